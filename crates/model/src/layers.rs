//! The small parts: linear map, RMS norm, gated feed-forward layer, and the angles of rotary embedding.
//!
//! Every layer is generic over its linear maps, and so has one definition for learning and for decoding.

// N rows, D hidden, F feed-forward width

use crate::adapter::Adapter;
use crate::attention::{HeadLinears, LatentUp, QueryKeyValue};
use crate::config::{Config, Maps};
use crate::init::Initializer;
use crate::moe::{ExpertMaps, Experts, RouterBias};
use burn::module::{Module, ModuleDisplay, Param};
use burn::tensor::{DType, Tensor};
use rand::Rng;
use ruminate_kernels::{self as kernels, ComputeDtype};
use std::collections::HashMap;

/// A linear map, and with it the form of all weights of a decoder: [`Linear`] holds parameters, which learn;
/// `prepared::PackedLinear` holds packed copies, which decode. The associated types are the weights that the two forms
/// lay out differently.
pub(crate) trait LinearMap: Module + ModuleDisplay {
    /// The maps to queries, keys and values of grouped-query attention.
    type QueryKeyValue: QueryKeyValue;
    /// The maps to gate and values of a feed-forward layer.
    type GateUp: GateUp;
    /// The map from latents to keys and values.
    type LatentUp: LatentUp;
    /// Routed experts.
    type Experts: ExpertMaps;
    /// The balancing bias of a router.
    type RouterBias: RouterBias;

    /// `x W^T + b`, in f32.
    ///
    /// # Shapes
    /// - `x`: `[N, in]`, an operand of the products' dtype, result: `[N, out]`
    fn forward(&self, x: Tensor<2>) -> Tensor<2>;
}

/// The maps to gate and values of a feed-forward layer, which share their input.
pub(crate) trait GateUp: Module + ModuleDisplay {
    /// Gate and values.
    ///
    /// # Shapes
    /// - `x`: `[N, D]`, results: `[N, F]`
    fn forward(&self, x: Tensor<2>) -> [Tensor<2>; 2];
}

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

    /// The weight that [`forward`](LinearMap::forward) amounts to, in f32: `W + scale * B A`, a tensor of its own where there
    /// is an adapter.
    pub(crate) fn effective_weight(&self) -> Tensor<2> {
        let weight = self.weight.val().cast(DType::F32);
        match &self.adapter {
            Some(adapter) => weight + adapter.product(),
            None => weight,
        }
    }
}

impl LinearMap for Linear {
    type QueryKeyValue = HeadLinears;
    type GateUp = GateUpLinears;
    type LatentUp = Self;
    type Experts = Experts;
    type RouterBias = Param<Tensor<1>>;

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let product = match &self.adapter {
            Some(adapter) => kernels::linear(x.clone(), self.weight.val()) + adapter.forward(x),
            None => kernels::linear(x, self.weight.val()),
        };
        match &self.bias {
            Some(bias) => product + bias.val().unsqueeze(),
            None => product,
        }
    }
}

/// `x` times a factor of the architecture; nothing is computed for 1.
pub(crate) fn scaled<const D: usize>(x: Tensor<D>, factor: f64) -> Tensor<D> {
    if factor == 1.0 { x } else { x * factor }
}

impl Config {
    /// Normed states as the output head takes them: logits are a product, and nothing after it.
    pub(crate) fn for_head<const D: usize>(&self, hidden: Tensor<D>) -> Tensor<D> {
        scaled(hidden, 1.0 / self.multipliers.logits)
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
pub(crate) struct Mlp<L: LinearMap = Linear> {
    pub(crate) gate_up: L::GateUp,
    pub(crate) down_proj: L,
}

/// Which maps of [`Mlp`] have a bias.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MlpBias {
    None,
    All,
}

/// The maps of [`Mlp`] to gate and values.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "one of them in a layer")]
pub(crate) enum GateUpLinears {
    Apart(ApartGateUp),
    Joined(JoinedGateUp),
}

/// One by one.
#[derive(Module, Debug)]
pub(crate) struct ApartGateUp {
    pub(crate) gate_proj: Linear,
    pub(crate) up_proj: Linear,
}

/// As one, whose first half is the gate.
#[derive(Module, Debug)]
pub(crate) struct JoinedGateUp {
    pub(crate) gate_up_proj: Linear,
}

impl GateUpLinears {
    /// The maps in the order of their outputs.
    pub(crate) fn stack(&self) -> Vec<&Linear> {
        match self {
            Self::Apart(ApartGateUp { gate_proj, up_proj }) => vec![gate_proj, up_proj],
            Self::Joined(JoinedGateUp { gate_up_proj }) => vec![gate_up_proj],
        }
    }
}

impl GateUp for GateUpLinears {
    fn forward(&self, x: Tensor<2>) -> [Tensor<2>; 2] {
        match self {
            Self::Apart(ApartGateUp { gate_proj, up_proj }) => {
                [gate_proj.forward(x.clone()), up_proj.forward(x)]
            }
            Self::Joined(JoinedGateUp { gate_up_proj }) => halves(gate_up_proj.forward(x)),
        }
    }
}

/// Gate and values of a product that has both.
///
/// # Shapes
/// - `joined`: `[N, 2 F]`, results: `[N, F]`
pub(crate) fn halves(joined: Tensor<2>) -> [Tensor<2>; 2] {
    let [_, width] = joined.dims();
    [0, width / 2].map(|start| joined.clone().narrow(1, start, width / 2))
}

impl<L: LinearMap> Mlp<L> {
    /// # Shapes
    /// - `x`: `[N, D]`, an operand of the products' dtype, result: `[N, D]`
    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let dtype = ComputeDtype::of(&x);
        let [gate, up] = self.gate_up.forward(x);
        self.down_proj.forward(kernels::swiglu_operand(gate, up, dtype))
    }
}

impl Mlp {
    pub(crate) fn init<R: Rng>(
        init: &mut Initializer<R>,
        width: usize,
        inner: usize,
        bias: MlpBias,
        maps: Maps,
    ) -> Self {
        let mut map = |input, output| match bias {
            MlpBias::All => Linear::with_bias(init, input, output),
            MlpBias::None => Linear::init(init, input, output),
        };
        Self {
            gate_up: match maps {
                Maps::Apart => GateUpLinears::Apart(ApartGateUp {
                    gate_proj: map(width, inner),
                    up_proj: map(width, inner),
                }),
                Maps::Joined => GateUpLinears::Joined(JoinedGateUp { gate_up_proj: map(width, 2 * inner) }),
            },
            down_proj: map(inner, width),
        }
    }

    /// Its linear maps by name.
    pub(crate) fn linears(&mut self) -> Vec<(&'static str, &mut Linear)> {
        let mut linears = match &mut self.gate_up {
            GateUpLinears::Apart(ApartGateUp { gate_proj, up_proj }) => {
                vec![("gate_proj", gate_proj), ("up_proj", up_proj)]
            }
            GateUpLinears::Joined(JoinedGateUp { gate_up_proj }) => vec![("gate_up_proj", gate_up_proj)],
        };
        linears.push(("down_proj", &mut self.down_proj));
        linears
    }
}

/// The rotation angles of given positions, computed on the host in f32 as the checkpoints' own code does: once for
/// each position, however many rows have it.
pub(crate) fn angles(config: &Config, positions: &[u32]) -> kernels::Angles {
    let frequencies = config.rope.frequencies(config.rotary_width());
    let factor = config.rope.angle_factor() as f32;
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
