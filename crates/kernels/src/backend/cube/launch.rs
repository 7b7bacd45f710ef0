//! How many cubes and units a kernel is launched with, and the tensors it writes.

use burn::backend::Cube;
use burn::backend::ops::{FloatTensorOps, IntTensorOps};
use burn::tensor::{DType, FloatDType, Shape, Slice, TensorData};
use burn_cubecl::cubecl::ir::AddressType;
use burn_cubecl::cubecl::prelude::{CubeCount, CubeDim};
use burn_cubecl::ops::numeric::{empty_device_contiguous_dtype, zeros_client};
use burn_cubecl::tensor::CubeTensor;
use std::ops::Range;

/// The most units of a cube. Eight planes of 32 hide the latency of memory, and more leave fewer cubes room beside it.
const MOST_UNITS: usize = 256;
/// The most cubes of a launch, which wgpu limits per axis. Kernels go on with the rows after them.
const MOST_CUBES: usize = 65_535;

/// Units that share a row of `width` columns, four columns each at least: a power of two, and no more than the device has. CubeCL's CPU
/// runtime has as many as the machine has threads.
pub(super) fn units_of_row(tensor: &CubeTensor, width: usize) -> usize {
    let most = tensor.client.properties().hardware.max_units_per_cube as usize;
    let wanted = width.div_ceil(4).clamp(32, MOST_UNITS).next_power_of_two();
    1 << wanted.min(most.max(1)).ilog2()
}

/// A cube of that many units.
pub(super) fn cube(units: usize) -> CubeDim {
    CubeDim::new_1d(units as u32)
}

/// A cube for each row, as far as a launch has them: a kernel goes on with row `CUBE_POS + CUBE_COUNT`.
pub(super) fn cubes(rows: usize) -> CubeCount {
    CubeCount::new_1d(rows.min(MOST_CUBES) as u32)
}

/// A unit for each column, and a cube in the second axis for each row, as far as a launch has them: a kernel goes on with row
/// `CUBE_POS_Y + CUBE_COUNT_Y`.
pub(super) fn of_elements(tensor: &CubeTensor, rows: usize, columns: usize) -> (CubeCount, CubeDim) {
    let units = units_of_row(tensor, columns);
    let count = CubeCount::new_2d(columns.div_ceil(units) as u32, rows.min(MOST_CUBES) as u32);
    (count, cube(units))
}

/// A unit for each of `length` elements, as far as a launch has them: a kernel goes on by `CUBE_COUNT * CUBE_DIM`.
pub(super) fn along(tensor: &CubeTensor, length: usize) -> (CubeCount, CubeDim) {
    let units = units_of_row(tensor, length);
    (cubes(length.div_ceil(units)), cube(units))
}

/// The tensor itself where nothing else holds it, else a copy: to be written in place.
pub(super) fn owned(tensor: CubeTensor) -> CubeTensor {
    if tensor.can_mut() && tensor.is_nonoverlapping() { tensor } else { tensor.copy() }
}

/// The tensor in f32.
pub(super) fn in_f32(tensor: CubeTensor) -> CubeTensor {
    if tensor.dtype == DType::F32 { tensor } else { Cube::float_cast(tensor, FloatDType::F32) }
}

/// The tensor rounded to bfloat16.
pub(super) fn in_bf16(tensor: CubeTensor) -> CubeTensor {
    Cube::float_cast(tensor, FloatDType::BF16)
}

/// A contiguous tensor of f32 on the device of another one, uninitialised.
pub(super) fn empty_beside(tensor: &CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    empty_device_contiguous_dtype(tensor.client.clone(), tensor.device.clone(), shape.into(), DType::F32)
}

/// A tensor of zeros beside another one.
pub(super) fn zeros_beside(tensor: &CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    zeros_client(tensor.client.clone(), tensor.device.clone(), shape.into(), DType::F32)
}

/// Whole numbers on the device of a tensor, `[n]`.
pub(super) fn upload(beside: &CubeTensor, numbers: Vec<u32>) -> CubeTensor {
    let shape = [numbers.len()];
    Cube::int_from_data(TensorData::new(numbers, shape), &beside.device)
}

/// Some rows of a matrix, a view.
pub(super) fn rows_of(tensor: &CubeTensor, rows: &Range<usize>) -> CubeTensor {
    let [_, width] = tensor.meta.shape().dims();
    let slices = [Slice::from(rows.clone()), Slice::from(0..width)];
    Cube::float_slice(tensor.clone(), &slices)
}

/// The addresses that reach every element of these tensors.
pub(super) fn addresses<const N: usize>(tensors: [&CubeTensor; N]) -> AddressType {
    tensors.into_iter().map(CubeTensor::required_address_type).max().unwrap_or_default()
}
