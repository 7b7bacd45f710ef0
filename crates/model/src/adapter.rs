//! One adapter: two factors of a small rank beside a frozen weight.

// N rows, r rank

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use rand::{Rng, RngExt};
use ruminate_kernels::{ComputeDtype, linear};

/// `scale * B A`, which is added to a weight without ever being multiplied out.
#[derive(Module, Debug)]
pub(crate) struct Adapter {
    /// A: `[r, in]`
    lora_a: Param<Tensor<2>>,
    /// B: `[out, r]`
    lora_b: Param<Tensor<2>>,
    scale: f64,
}

impl Adapter {
    /// # Shapes
    /// - `a`: `[r, in]`, `b`: `[out, r]`
    pub(crate) fn new(a: Tensor<2>, b: Tensor<2>, scale: f64) -> Self {
        Self { lora_a: Param::from_tensor(a), lora_b: Param::from_tensor(b), scale }
    }

    /// A drawn on the host as PEFT draws it (`kaiming_uniform_` with a = sqrt(5): uniform within `1 / sqrt(in)`), B zero.
    ///
    /// # Shapes
    /// - `weight`: `[out, in]`
    pub(crate) fn fresh(weight: Tensor<2>, rank: usize, scale: f64, rng: &mut impl Rng) -> Self {
        let [output, input] = weight.dims();
        let bound = (input as f64).powf(-0.5);
        let values: Vec<f32> =
            (0..rank * input).map(|_| ((2.0 * rng.random::<f64>() - 1.0) * bound) as f32).collect();
        let device = weight.device();
        let a = Tensor::from_data(TensorData::new(values, [rank, input]), &device);
        Self::new(a, Tensor::zeros([output, rank], &device), scale)
    }

    /// What it adds to a product.
    ///
    /// # Shapes
    /// - `x`: `[N, in]`, result: `[N, out]`
    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let dtype = ComputeDtype::of(&x);
        let narrow = linear(x, self.lora_a.val()).mul_scalar(self.scale); // [N, r]: scaled where it is small
        linear(dtype.operand(narrow), self.lora_b.val())
    }

    /// What it adds to a weight, `[out, in]`.
    pub(crate) fn product(&self) -> Tensor<2> {
        self.lora_b.val().mul_scalar(self.scale).matmul(self.lora_a.val())
    }

    /// A and B.
    pub(crate) fn factors(&self) -> [Tensor<2>; 2] {
        [self.lora_a.val(), self.lora_b.val()]
    }
}
