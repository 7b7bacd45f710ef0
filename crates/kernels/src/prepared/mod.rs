//! Weights prepared once for many linear maps: what a rollout multiplies with at every token. No gradient flows through
//! them.

// N rows, D inner dimension, O outputs

mod experts;

use crate::backend::cpu::round;
use crate::backend::{self, Form, PackedWeight, form};
use crate::read::{Place, floats};
use burn::tensor::{DType, Tensor, TensorData};
use std::sync::Arc;

pub use experts::PreparedExperts;

/// How the numbers of a packed weight are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// As they are: products are exact up to the order of their sums.
    #[default]
    F32,
    /// Weights and inputs rounded to bfloat16, products summed in f32. Half the bytes, twice the multiplications an
    /// instruction where a CPU has AVX512-BF16.
    Bf16,
    /// Weights and inputs as 8-bit integers with a scale for each output (each row) and block of 64 inputs, products
    /// summed exactly in integers within a block. A quarter of the bytes, four times the multiplications an
    /// instruction where a CPU has AVX512-VNNI.
    Int8,
}

/// Numbers that share a scale in [`Precision::Int8`].
const BLOCK: usize = 64;

/// A weight `[O, D]`, perhaps stacked from several that share their input. Clones share it.
///
/// On a CPU it is a copy, packed for the instructions that the machine has. Other backends multiply with the tensors
/// as they are; of a reduced precision they have the rounding of the weights, not the speed.
#[derive(Clone, Debug)]
pub struct PreparedWeight(Prepared);

#[derive(Clone, Debug)]
enum Prepared {
    /// The parts of the stack, `[O_i, D]`.
    Plain(Vec<Tensor<2>>),
    Packed(Arc<dyn PackedWeight>),
}

impl PreparedWeight {
    /// Prepares a weight.
    ///
    /// # Shapes
    /// - `weight`: `[O, D]`
    pub fn new(weight: Tensor<2>, precision: Precision) -> Self {
        Self::stacked(vec![weight], precision)
    }

    /// Prepares weights that share their input as one, whose outputs follow each other.
    ///
    /// # Shapes
    /// - `weights`: `[O_i, D]` each
    pub fn stacked(weights: Vec<Tensor<2>>, precision: Precision) -> Self {
        let fused = weights.first().is_some_and(|weight| form(weight) == Form::Fused);
        let weights: Vec<Tensor<2>> = weights.into_iter().map(Tensor::detach).collect();
        Self(if fused {
            Prepared::Packed(backend::pack_weight(weights, precision))
        } else {
            Prepared::Plain(weights.into_iter().map(|weight| rounded(weight, precision)).collect())
        })
    }

    /// `x W^T`
    ///
    /// # Shapes
    /// - `x`: `[N, D]`, result: `[N, O]`, O being the sum of the parts' outputs
    pub fn times(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.0 {
            Prepared::Plain(parts) if parts.len() == 1 => x.matmul(parts[0].clone().transpose()),
            Prepared::Plain(parts) => {
                let outputs =
                    parts.iter().map(|weight| x.clone().matmul(weight.clone().transpose())).collect();
                Tensor::cat(outputs, 1)
            }
            Prepared::Packed(packed) => packed.times(x),
        }
    }
}

/// The weight with every number replaced by what the precision holds of it.
fn rounded(weight: Tensor<2>, precision: Precision) -> Tensor<2> {
    match precision {
        Precision::F32 => weight,
        Precision::Bf16 if weight.device().supports_dtype(DType::BF16) => {
            weight.cast(DType::BF16).cast(DType::F32)
        }
        Precision::Bf16 => on_host(weight, precision),
        Precision::Int8 => in_blocks(weight),
    }
}

/// The nearest multiples of a 127th of the largest magnitude of each row's block of [`BLOCK`] numbers, on the device.
fn in_blocks(weight: Tensor<2>) -> Tensor<2> {
    let [outputs, width] = weight.dims();
    let blocks = width.div_ceil(BLOCK);
    let padding = blocks * BLOCK - width;
    let padded = if padding > 0 {
        Tensor::cat(vec![weight.clone(), Tensor::zeros([outputs, padding], &weight.device())], 1)
    } else {
        weight
    };
    let values = padded.reshape([outputs, blocks, BLOCK]);
    let largest = values.clone().abs().max_dim(2); // [O, B, 1]
    // Of numbers near the smallest there is, the inverse would be infinite; they are 0 here.
    let inverse =
        largest.clone().recip().mul_scalar(127.0).mask_fill(largest.clone().lower_equal_elem(1e-36), 0.0);
    let rounded = (values * inverse).round() * largest.div_scalar(127.0);
    rounded.reshape([outputs, blocks * BLOCK]).narrow(1, 0, width)
}

/// The same by the host, for devices without the type.
fn on_host(weight: Tensor<2>, precision: Precision) -> Tensor<2> {
    let (shape, device) = (weight.dims(), weight.device());
    let mut values = floats(weight, Place::Weights);
    for row in values.chunks_exact_mut(shape[1].max(1)) {
        round(row, precision);
    }
    Tensor::from_data(TensorData::new(values, shape), &device)
}

#[cfg(test)]
mod tests {
    use super::{Precision, PreparedWeight, on_host, rounded};
    use crate::{linear, test_inputs};
    use burn::tensor::Tensor;
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_stack_gives_the_outputs_of_its_parts_one_after_the_other(
            rows in 1_usize..70,
            [width, first, second] in prop::array::uniform3(1_usize..90),
            seed in 0_u32..1000,
        ) {
            let device = testkit::device();
            let x = test_inputs::tensor::<2>([rows, width], seed, &device);
            let parts = [(first, 1), (second, 2)]
                .map(|(outputs, part)| test_inputs::tensor::<2>([outputs, width], seed + part, &device));
            for (precision, tolerance) in
                [(Precision::F32, 1e-5), (Precision::Bf16, 1e-2), (Precision::Int8, 2e-2)]
            {
                let prepared = PreparedWeight::stacked(parts.to_vec(), precision);
                let expected = Tensor::cat(
                    parts.iter().map(|part| linear(x.clone(), rounded(part.clone(), precision))).collect(),
                    1,
                );
                let actual = testkit::floats(prepared.times(x.clone()));
                let expected = testkit::floats(expected);
                testkit::assert_close(&actual, &expected, tolerance * test_inputs::magnitude(&expected));
            }
        }
    }

    #[test]
    fn the_device_rounds_as_the_host_does() {
        let device = testkit::device();
        for shape in [[3, 64], [5, 130], [1, 7]] {
            let weight = test_inputs::tensor::<2>(shape, 9, &device).mul_scalar(0.03);
            for precision in [Precision::Bf16, Precision::Int8] {
                let [device, host] = [rounded, on_host].map(|round| round(weight.clone(), precision));
                let host = testkit::floats(host);
                let tolerance = 1e-6 * test_inputs::magnitude(&host);
                testkit::assert_close(&testkit::floats(device), &host, tolerance);
                assert_ne!(host, testkit::floats(weight.clone()), "{precision:?} rounds");
            }
        }
        let zeros = rounded(Tensor::zeros([2, 70], &device), Precision::Int8);
        assert!(testkit::floats(zeros).iter().all(|&zero| zero == 0.0));
    }

    #[test]
    fn a_tracked_weight_is_prepared_without_its_graph() {
        let device = testkit::autodiff_device();
        let weight = test_inputs::tensor::<2>([3, 5], 1, &device).require_grad();
        let x = test_inputs::tensor::<2>([2, 5], 2, &testkit::device());
        let expected = linear(x.clone(), weight.clone().inner());
        let actual = PreparedWeight::new(weight, Precision::F32).times(x);
        testkit::assert_close(&testkit::floats(actual), &testkit::floats(expected), 1e-6);
    }
}
