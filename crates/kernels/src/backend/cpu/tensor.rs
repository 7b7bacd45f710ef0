//! Flex tensors as slices, and slices as Flex tensors.

use burn::backend::Flex;
use burn::tensor::{Shape, Tensor, TensorData};
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

/// The rows of an f32 matrix; a view is read in its place as long as the columns of a row are adjacent.
pub(crate) struct Rows {
    tensor: FlexTensor,
    start: usize,
    stride: usize,
    width: usize,
}

impl Rows {
    pub(crate) fn of(tensor: &FlexTensor) -> Self {
        let readable = matches!(tensor.layout().strides(), &[row, 1] if row >= 0);
        let tensor = if readable { tensor.clone() } else { tensor.to_contiguous() };
        let layout = tensor.layout();
        let [_, width] = layout.shape().dims();
        Self { start: layout.start_offset(), stride: layout.strides()[0] as usize, width, tensor }
    }

    /// Row `index`.
    pub(crate) fn row(&self, index: usize) -> &[f32] {
        &self.tensor.storage()[self.start + index * self.stride..][..self.width]
    }
}

/// A tensor of the CPU as its backend has it, without its graph.
pub(crate) fn flex<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    tensor.inner().try_into_primitive::<Flex>().expect("the dispatcher lets only tensors of Flex through")
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

/// The first `length` numbers of a buffer that is used again and again, whatever they are; it grows where it must.
pub(crate) fn sized(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    &mut buffer[..length]
}
