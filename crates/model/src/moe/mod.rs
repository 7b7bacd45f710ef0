//! The mixture of experts of a block: router, routed experts, shared experts, and the balance of the load.

mod balance;
mod router;

use crate::config::Moe;
use crate::init::Initializer;
use crate::layers::{Linear, LinearMap, Mlp, MlpBias};
use burn::module::{Module, ModuleDisplay, Param};
use burn::tensor::{DType, Tensor};
use rand::Rng;
use router::Route;
use ruminate_kernels::{ComputeDtype, ExpertWeights, Permutation, experts};

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
    pub(crate) shared_experts: Option<Mlp<L>>,
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
        let x = dtype.operand(x);
        let mut out = self.experts.forward(x.clone(), permutation, weights);
        if let Some(shared) = &self.shared_experts {
            out = out + shared.forward(x);
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
            shared_experts: (moe.n_shared_experts > 0)
                .then(|| Mlp::init(init, width, inner * moe.n_shared_experts, MlpBias::None)),
        }
    }
}
