//! Flex tensors as slices, and slices as Flex tensors.

use burn::tensor::{Shape, TensorData};
use burn_flex::FlexTensor;

/// The values of an f32 tensor, row-major; copied only where the tensor is a view with other strides.
pub(crate) struct Floats(FlexTensor);

impl Floats {
    pub(crate) fn of(tensor: &FlexTensor) -> Self {
        Self(tensor.to_contiguous())
    }

    pub(crate) fn slice(&self) -> &[f32] {
        self.0.as_slice().expect("the dispatcher lets only f32 through, and the tensor was made contiguous")
    }
}

/// The tensor with storage that is its values and nothing else, row-major: itself where that is so already. Writing to
/// it copies it first if another tensor shares it.
pub(crate) fn owned(tensor: FlexTensor) -> FlexTensor {
    let whole = tensor.storage::<f32>().len();
    match tensor.layout().contiguous_offsets() {
        Some((0, end)) if end == whole => tensor,
        _ => {
            let shape = tensor.layout().shape().clone();
            self::tensor(Floats::of(&tensor).slice().to_vec(), shape)
        }
    }
}

/// A tensor of values in row-major order, without a copy.
pub(crate) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

/// Rows that one task should take so that starting it costs nothing: about 16k elements' worth, at least 1.
pub(crate) fn rows_at_once(width: usize) -> usize {
    (16_384 / width.max(1)).max(1)
}
