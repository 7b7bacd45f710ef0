//! The small parts: linear map, RMS norm, gated feed-forward layer, and the angles of rotary embedding.

// N rows, D hidden, F feed-forward width

use crate::adapter::Adapter;
use crate::config::Rope;
use crate::init::Initializer;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use rand::Rng;
use ruminate_kernels as kernels;
use std::collections::HashMap;

/// `x W^T + b`, and what an adapter adds; the weight lies as checkpoints hold it, `[out, in]`.
#[derive(Module, Debug)]
pub(crate) struct Linear {
    pub(crate) weight: Param<Tensor<2>>,
    pub(crate) bias: Option<Param<Tensor<1>>>,
    pub(crate) adapter: Option<Adapter>,
}

impl Linear {
    pub(crate) fn init<R: Rng>(init: &mut Initializer<R>, input: usize, output: usize) -> Self {
        Self { weight: init.normal([output, input]), bias: None, adapter: None }
    }

    pub(crate) fn with_bias<R: Rng>(init: &mut Initializer<R>, input: usize, output: usize) -> Self {
        Self { bias: Some(init.constant([output], 0.0)), ..Self::init(init, input, output) }
    }

    /// # Shapes
    /// - `x`: `[N, in]`, result: `[N, out]`
    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let product = match &self.adapter {
            Some(adapter) => kernels::linear(x.clone(), self.weight.val()) + adapter.forward(x),
            None => kernels::linear(x, self.weight.val()),
        };
        match &self.bias {
            Some(bias) => product + bias.val().unsqueeze(),
            None => product,
        }
    }

    /// The weight that [`Self::forward`] amounts to: `W + scale * B A`, a tensor of its own where there is an adapter.
    pub(crate) fn effective_weight(&self) -> Tensor<2> {
        match &self.adapter {
            Some(adapter) => self.weight.val() + adapter.product(),
            None => self.weight.val(),
        }
    }
}

/// RMS norm with its gain.
#[derive(Module, Debug)]
pub(crate) struct RmsNorm {
    pub(crate) weight: Param<Tensor<1>>,
    pub(crate) eps: f64,
}

impl RmsNorm {
    pub(crate) fn init<R: Rng>(init: &mut Initializer<R>, width: usize, eps: f64) -> Self {
        Self { weight: init.constant([width], 1.0), eps }
    }

    /// # Shapes
    /// - `x`: `[N, D]`, result: `[N, D]`
    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        kernels::rms_norm(x, self.weight.val(), self.eps)
    }
}

/// SwiGLU feed-forward layer (Shazeer 2020): `down(silu(gate x) * up x)`.
#[derive(Module, Debug)]
pub(crate) struct Mlp {
    pub(crate) gate_proj: Linear,
    pub(crate) up_proj: Linear,
    pub(crate) down_proj: Linear,
}

impl Mlp {
    pub(crate) fn init<R: Rng>(init: &mut Initializer<R>, width: usize, inner: usize) -> Self {
        Self {
            gate_proj: Linear::init(init, width, inner),
            up_proj: Linear::init(init, width, inner),
            down_proj: Linear::init(init, inner, width),
        }
    }

    /// # Shapes
    /// - `x`: `[N, D]`, result: `[N, D]`
    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let gate = self.gate_proj.forward(x.clone());
        self.down_proj.forward(kernels::swiglu(gate, self.up_proj.forward(x)))
    }

    /// Its linear maps by name.
    pub(crate) fn linears(&mut self) -> Vec<(&'static str, &mut Linear)> {
        vec![
            ("gate_proj", &mut self.gate_proj),
            ("up_proj", &mut self.up_proj),
            ("down_proj", &mut self.down_proj),
        ]
    }
}

/// The rotation angles of given positions, computed on the host in f32 as the checkpoints' own code does: once for
/// each position, however many rows have it.
pub(crate) fn angles(rope: &Rope, width: usize, positions: &[u32]) -> kernels::Angles {
    let frequencies = rope.frequencies(width);
    let factor = rope.angle_factor() as f32;
    let count = frequencies.len();
    let mut seen: HashMap<u32, usize> = HashMap::new();
    let (mut cos, mut sin) = (Vec::new(), Vec::new());
    for (place, &position) in positions.iter().enumerate() {
        let before = *seen.entry(position).or_insert(place);
        if before < place {
            cos.extend_from_within(before * count..(before + 1) * count);
            sin.extend_from_within(before * count..(before + 1) * count);
            continue;
        }
        for frequency in &frequencies {
            let (s, c) = (position as f32 * frequency).sin_cos();
            cos.push(c * factor);
            sin.push(s * factor);
        }
    }
    kernels::Angles::new(cos, sin, count)
}
