//! The small parts with prepared weights: linear map, norm, feed-forward layer.

// N rows, D hidden, F feed-forward width

use crate::layers;
use burn::tensor::Tensor;
use ruminate_kernels::{self as kernels, Precision, PreparedWeight};

/// `x W^T + b`, or several of them over the same x.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    weight: PreparedWeight,
    bias: Option<Tensor<1>>,
}

impl Linear {
    pub(super) fn new(linear: &layers::Linear, precision: Precision) -> Self {
        Self::stacked(&[linear], precision)
    }

    /// Maps whose outputs follow each other. All of them have a bias, or none.
    pub(super) fn stacked(maps: &[&layers::Linear], precision: Precision) -> Self {
        let weights = maps.iter().map(|map| map.effective_weight().inner()).collect();
        let biases: Vec<Tensor<1>> =
            maps.iter().filter_map(|map| Some(map.bias.as_ref()?.val().inner())).collect();
        assert!(biases.is_empty() || biases.len() == maps.len(), "maps with and without bias in one stack");
        Self {
            weight: PreparedWeight::stacked(weights, precision),
            bias: (!biases.is_empty()).then(|| Tensor::cat(biases, 0)),
        }
    }

    /// # Shapes
    /// - `x`: `[N, in]`, result: `[N, out]`
    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let product = self.weight.times(x);
        match &self.bias {
            Some(bias) => product + bias.clone().unsqueeze(),
            None => product,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct RmsNorm {
    gain: Tensor<1>,
    eps: f64,
}

impl RmsNorm {
    pub(super) fn new(norm: &layers::RmsNorm) -> Self {
        Self { gain: norm.weight.val().inner(), eps: norm.eps }
    }

    /// # Shapes
    /// - `x`: `[N, D]`, result: `[N, D]`
    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        kernels::rms_norm(x, self.gain.clone(), self.eps)
    }
}

/// SwiGLU feed-forward layer, gate and up in one product.
#[derive(Clone, Debug)]
pub(super) struct Mlp {
    gate_up: Linear,
    down: Linear,
    inner: usize,
}

impl Mlp {
    pub(super) fn new(mlp: &layers::Mlp, precision: Precision) -> Self {
        let [inner, _] = mlp.gate_proj.weight.dims();
        Self {
            gate_up: Linear::stacked(&[&mlp.gate_proj, &mlp.up_proj], precision),
            down: Linear::new(&mlp.down_proj, precision),
            inner,
        }
    }

    /// # Shapes
    /// - `x`: `[N, D]`, result: `[N, D]`
    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let both = self.gate_up.forward(x); // [N, 2 F]
        let gate = both.clone().narrow(1, 0, self.inner);
        self.down.forward(kernels::swiglu(gate, both.narrow(1, self.inner, self.inner)))
    }
}
