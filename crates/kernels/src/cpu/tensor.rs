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

/// A tensor of values in row-major order, without a copy.
pub(crate) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

/// Rows that one task should take so that starting it costs nothing: about 16k elements' worth, at least 1.
pub(crate) fn rows_at_once(width: usize) -> usize {
    (16_384 / width.max(1)).max(1)
}
