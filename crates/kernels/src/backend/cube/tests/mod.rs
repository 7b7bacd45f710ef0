//! Every kernel against its reference composition, in value and gradient, on the device that `RUMINATE_KERNELS_DEVICE` names:
//! CubeCL's CPU runtime (`cpu`, unless another is named), or `wgpu`, `cuda`, where these features are compiled in.

mod decode;
mod norm;
mod products;
mod ptx;
mod rows;
mod updates;

use crate::grad_check::{Inputs, near_numbers, value_and_gradients};
use burn::backend::Cube;
use burn::tensor::{Device, Tensor};
use burn_cubecl::cubecl::logging::{LaunchObservation, LaunchObserver};
use ruminate_testkit as testkit;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

/// How far a form and its reference may be apart, as a part of the largest magnitude in a tensor: f32 sums of at most some
/// hundred terms, in another order.
const TOLERANCE: f32 = 1e-5;

/// The device under test.
fn device() -> Device {
    match std::env::var("RUMINATE_KERNELS_DEVICE").as_deref() {
        Err(_) | Ok("cpu") => Device::cpu(),
        #[cfg(feature = "wgpu")]
        Ok("wgpu") => Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
        #[cfg(feature = "cuda")]
        Ok("cuda") => Device::cuda(0),
        Ok(other) => {
            panic!("RUMINATE_KERNELS_DEVICE={other}: expected `cpu`, or `wgpu` or `cuda` with that feature")
        }
    }
}

/// A tensor of the same values whose rows lie apart in memory, as CUDA allocates them, with numbers between them that
/// would be noticed.
fn pitched<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    let mut shape = tensor.dims();
    let width = shape[D - 1];
    shape[D - 1] = 3;
    let gap = Tensor::full(shape, 1e6, &tensor.device());
    let padded = Tensor::cat(vec![tensor, gap], D - 1).inner();
    let mut primitive = padded.try_into_primitive::<Cube>().expect("a tensor of the device under test");
    assert!(primitive.is_contiguous(), "a concatenation is");
    primitive.meta.shape_mut()[D - 1] = width;
    Tensor::from_inner(Tensor::from_primitive::<Cube>(primitive))
}

/// Asserts that values and gradients agree to [`TOLERANCE`].
fn close_to(expected: &[Vec<f32>], actual: &[Vec<f32>]) {
    near_numbers(TOLERANCE, 0.1, expected, actual);
}

/// Asserts that the public function, the form of the device under test and the reference agree in value and in all
/// gradients; and that the CPU's own form (Flex) says the same. `inputs` makes the tensors on a device.
fn same_everywhere<I: Inputs, const D: usize>(
    inputs: impl Fn(&Device) -> I,
    reference: impl Fn(I) -> Tensor<D>,
    form: impl Fn(I) -> Tensor<D>,
) {
    let here = inputs(&device().autodiff());
    let actual = value_and_gradients(here.clone(), &form);
    close_to(&value_and_gradients(here, reference), &actual);
    close_to(&value_and_gradients(inputs(&testkit::autodiff_device()), form), &actual);
}

/// The kernels that this thread launches while `work` runs, and its result.
fn launches<T>(work: impl FnOnce() -> T) -> (Vec<&'static str>, T) {
    struct OfThread(ThreadId, Mutex<Vec<&'static str>>);

    impl LaunchObserver for OfThread {
        fn launched(&self, kernel: &'static str) {
            if std::thread::current().id() == self.0 {
                self.1.lock().expect("no test panics here").push(kernel);
            }
        }
    }

    /// Only one observer is installed at a time.
    static ONE: Mutex<()> = Mutex::new(());

    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let observer = Arc::new(OfThread(std::thread::current().id(), Mutex::new(Vec::new())));
    let observation = LaunchObservation::new(observer.clone());
    let result = work();
    drop(observation);
    let kernels = std::mem::take(&mut *observer.1.lock().expect("no test panics here"));
    (kernels, result)
}
