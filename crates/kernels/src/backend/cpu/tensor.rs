//! Flex tensors as slices, and slices as Flex tensors.

use super::{Matrix, Number, Operand, vectorized};
use burn::backend::Flex;
use burn::tensor::{DType, Element, Shape, Tensor, TensorData};
use burn_flex::FlexTensor;
use half::bf16;
use rayon::prelude::*;
use std::borrow::Cow;

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

/// The values of a tensor of f32 or bfloat16, row-major; copied only where the tensor is a view with other strides.
pub(crate) enum Numbers {
    F32(Floats),
    Bf16(FlexTensor),
}

impl Numbers {
    pub(crate) fn of(tensor: &FlexTensor) -> Self {
        match tensor.dtype() {
            DType::BF16 => Self::Bf16(tensor.to_contiguous()),
            _ => Self::F32(Floats::of(tensor)),
        }
    }

    /// These rows as an operand of a product; `first` is the element that they begin with.
    pub(crate) fn matrix(&self, first: usize, rows: usize, columns: usize) -> Operand<'_> {
        match self {
            Self::F32(floats) => Matrix::new(&floats.slice()[first..], rows, columns).into(),
            Self::Bf16(tensor) => Matrix::new(&bf16s(tensor)[first..], rows, columns).into(),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(floats) => floats.slice().len(),
            Self::Bf16(tensor) => bf16s(tensor).len(),
        }
    }

    /// Some of the values in f32, from `first` on.
    pub(crate) fn widen(&self, first: usize, out: &mut [f32]) {
        match self {
            Self::F32(floats) => out.copy_from_slice(&floats.slice()[first..][..out.len()]),
            Self::Bf16(tensor) => {
                let values = &bf16s(tensor)[first..][..out.len()];
                vectorized!(|out: &mut [f32], values: &[bf16]| {
                    for (out, value) in out.iter_mut().zip(values) {
                        *out = f32::from_bits(u32::from(value.to_bits()) << 16);
                    }
                });
            }
        }
    }

    fn widened(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.len()];
        let block = rows_at_once(1);
        out.par_chunks_mut(block).enumerate().for_each(|(index, out)| self.widen(index * block, out));
        out
    }

    /// The values in f32.
    pub(crate) fn floats(&self) -> Cow<'_, [f32]> {
        match self {
            Self::F32(floats) => floats.slice().into(),
            Self::Bf16(_) => self.widened().into(),
        }
    }
}

fn bf16s(tensor: &FlexTensor) -> &[bf16] {
    tensor.as_slice().expect("a contiguous tensor of bfloat16")
}

/// The nearest numbers of bfloat16, ties to even.
fn halves(values: &[f32]) -> Vec<bf16> {
    let mut out = vec![bf16::ZERO; values.len()];
    let block = rows_at_once(1);
    out.par_chunks_mut(block).zip(values.par_chunks(block)).for_each(|(out, values)| {
        vectorized!(|out: &mut [bf16], values: &[f32]| {
            for (out, value) in out.iter_mut().zip(values) {
                *out = bf16::from_bits(value.rounded() as u16);
            }
        });
    });
    out
}

/// A tensor of f32 rounded to bfloat16, row-major.
pub(crate) fn in_bf16(tensor: &FlexTensor) -> FlexTensor {
    self::tensor(halves(Floats::of(tensor).slice()), tensor.layout().shape().clone())
}

/// The tensor itself, or what it holds of bfloat16 in f32.
pub(crate) fn in_f32(tensor: FlexTensor) -> FlexTensor {
    match Numbers::of(&tensor) {
        Numbers::F32(_) => tensor,
        values @ Numbers::Bf16(_) => self::tensor(values.widened(), tensor.layout().shape().clone()),
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
pub(crate) fn tensor<T: Element>(values: Vec<T>, shape: impl Into<Shape>) -> FlexTensor {
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
