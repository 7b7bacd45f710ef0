//! The device of the tests, and the way from a tensor back to numbers. The one place outside `cli`
//! and `kernels` that names a backend.

use burn::tensor::{Device, Tensor};

/// The CPU device (Flex) that tests compute on, without gradients.
pub fn device() -> Device {
    Device::flex()
}

/// [`device`] with gradients tracked.
pub fn autodiff_device() -> Device {
    device().autodiff()
}

/// The elements of a float tensor in row-major order, as f32 whatever its dtype.
///
/// # Shapes
/// `tensor`: any; the result has as many elements.
pub fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_tracked_on_the_autodiff_device_only() {
        assert!(autodiff_device().is_autodiff());
        assert!(!device().is_autodiff());
    }

    #[test]
    fn floats_are_row_major() {
        let tensor = Tensor::<2>::from_data([[1.0, 2.0], [3.0, 4.0]], &device());

        assert_eq!(floats(tensor.clone()), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(floats(tensor.transpose()), [1.0, 3.0, 2.0, 4.0]);
    }
}
