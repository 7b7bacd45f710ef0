//! The mixture of experts of a block: router, routed experts, shared experts, and the balance of the load.

mod balance;
mod router;

use crate::config::{Maps, Moe};
use crate::init::Initializer;
use crate::layers::{Linear, LinearMap, Mlp, MlpBias};
use burn::module::{Module, ModuleDisplay, Param};
use burn::tensor::{DType, Tensor};
use rand::Rng;
use router::Route;
use ruminate_kernels::{ComputeDtype, ExpertWeights, Permutation, Scoring, experts, router_scores};

pub use balance::balance_loss;
pub(crate) use router::{Gate, RouterBias};

/// Who decides which experts a token goes to.
#[derive(Clone, Copy, Debug, Default)]
pub enum Routes<'a> {
    /// The router of this forward.
    #[default]
    Choose,
    /// Expert ids from another forward (the sampler's), `[N * K]` a MoE layer: weights come from this forward's
    /// scores, the choice does not.
    Replay(&'a [Vec<u16>]),
}

impl<'a> Routes<'a> {
    /// The experts to be replayed in the MoE layer of that rank, if there is such a layer.
    pub(crate) fn of_layer(self, rank: usize) -> Option<&'a [u16]> {
        match self {
            Self::Replay(layers) => layers.get(rank).map(Vec::as_slice),
            Self::Choose => None,
        }
    }
}

/// What the router of one layer did.
#[derive(Clone, Debug)]
pub struct LayerRouting {
    /// Chosen experts, `[N * K]` row-major by place; each row ascending by the router's preference.
    pub experts: Vec<u16>,
    /// Scores before the choice, `[N, E]`, with gradient where tracked.
    pub scores: Tensor<2>,
}

/// The experts' weights in Hugging Face's fused layout.
#[derive(Module, Debug)]
pub(crate) struct Experts {
    /// `[E, 2 F, D]`
    pub(crate) gate_up_proj: Param<Tensor<3>>,
    /// `[E, D, F]`
    pub(crate) down_proj: Param<Tensor<3>>,
}

/// The routed experts of a layer.
pub(crate) trait ExpertMaps: Module + ModuleDisplay {
    /// # Shapes
    /// - `x`: `[N, D]`, `route_weights`: `[N, K]`, result: `[N, D]`
    fn forward(&self, x: Tensor<2>, permutation: Permutation, route_weights: Tensor<2>) -> Tensor<2>;
}

impl Experts {
    pub(crate) fn weights(&self) -> ExpertWeights {
        ExpertWeights { gate_up: self.gate_up_proj.val(), down: self.down_proj.val() }
    }

    /// The same in f32, whatever frozen weights are held in.
    pub(crate) fn in_f32(&self) -> ExpertWeights {
        let ExpertWeights { gate_up, down } = self.weights();
        ExpertWeights { gate_up: gate_up.cast(DType::F32), down: down.cast(DType::F32) }
    }
}

impl ExpertMaps for Experts {
    fn forward(&self, x: Tensor<2>, permutation: Permutation, route_weights: Tensor<2>) -> Tensor<2> {
        experts(x, self.weights(), permutation, route_weights)
    }
}

/// A mixture-of-experts feed-forward layer (DeepSeek-V3, arXiv 2412.19437, section 2.1.2).
#[derive(Module, Debug)]
pub(crate) struct MixtureOfExperts<L: LinearMap = Linear> {
    pub(crate) gate: Gate<L>,
    pub(crate) experts: L::Experts,
    pub(crate) shared: Option<Shared<L>>,
}

/// What every token passes besides.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "one of them in a mixture")]
pub(crate) enum Shared<L: LinearMap = Linear> {
    Plain(SharedExperts<L>),
    Gated(GatedExpert<L>),
}

/// DeepSeek's: added as they are.
#[derive(Module, Debug)]
pub(crate) struct SharedExperts<L: LinearMap = Linear> {
    pub(crate) shared_experts: Mlp<L>,
}

/// Qwen2-MoE's: weighed by a sigmoid of the state.
#[derive(Module, Debug)]
pub(crate) struct GatedExpert<L: LinearMap = Linear> {
    pub(crate) shared_expert: Mlp<L>,
    pub(crate) shared_expert_gate: SharedExpertGate,
}

#[derive(Module, Debug)]
pub(crate) struct SharedExpertGate {
    /// `[1, D]`
    pub(crate) weight: Param<Tensor<2>>,
}

impl<L: LinearMap> Shared<L> {
    /// # Shapes
    /// - `x`: `[N, D]` in f32, which the gate reads; `operand`: the same in the dtype of products; result: `[N, D]`
    fn forward(&self, x: Tensor<2>, operand: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Plain(plain) => plain.shared_experts.forward(operand),
            Self::Gated(GatedExpert { shared_expert, shared_expert_gate: gate }) => {
                let (x, weight) = (x.cast(DType::F32), gate.weight.val().cast(DType::F32));
                shared_expert.forward(operand) * router_scores(x, weight, Scoring::Sigmoid)
            }
        }
    }
}

impl<L: LinearMap> MixtureOfExperts<L> {
    /// # Shapes
    /// - `x`: `[N, D]` in f32, which the router reads; `replay`: N * K expert ids; `dtype`: of the experts' products;
    ///   result: `[N, D]`
    pub(crate) fn forward(
        &self,
        x: Tensor<2>,
        replay: Option<&[u16]>,
        dtype: ComputeDtype,
    ) -> (Tensor<2>, LayerRouting) {
        let Route { routing, weights } = self.gate.forward(x.clone(), replay);
        let ([_, chosen], [_, n_experts]) = (weights.dims(), routing.scores.dims());
        let permutation = Permutation::new(&routing.experts, chosen, n_experts);
        let operand = dtype.operand(x.clone());
        let mut out = self.experts.forward(operand.clone(), permutation, weights);
        if let Some(shared) = &self.shared {
            out = out + shared.forward(x, operand);
        }
        (out, routing)
    }
}

impl MixtureOfExperts {
    pub(crate) fn init<R: Rng>(init: &mut Initializer<R>, width: usize, moe: Moe) -> Self {
        let (count, inner) = (moe.n_routed_experts, moe.moe_intermediate_size);
        Self {
            gate: Gate::init(init, width, moe),
            experts: Experts {
                gate_up_proj: init.normal([count, 2 * inner, width]),
                down_proj: init.normal([count, width, inner]),
            },
            shared: (moe.shared_width() > 0).then(|| {
                let mlp = Mlp::init(init, width, moe.shared_width(), MlpBias::None, Maps::Apart);
                match moe.gated_shared_expert {
                    None => Shared::Plain(SharedExperts { shared_experts: mlp }),
                    Some(_) => Shared::Gated(GatedExpert {
                        shared_expert: mlp,
                        shared_expert_gate: SharedExpertGate { weight: init.normal([1, width]) },
                    }),
                }
            }),
        }
    }
}
