//! The mixture of experts of a block: router, routed experts, shared experts, and the balance of the load.

mod balance;
mod router;

use crate::config::Moe;
use crate::init::Initializer;
use crate::layers::Mlp;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use rand::Rng;
use ruminate_kernels::{ExpertWeights, Permutation, experts};

pub use balance::balance_loss;
pub(crate) use router::Gate;

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

/// A mixture-of-experts feed-forward layer (DeepSeek-V3, arXiv 2412.19437, section 2.1.2).
#[derive(Module, Debug)]
pub(crate) struct MixtureOfExperts {
    pub(crate) gate: Gate,
    pub(crate) experts: Experts,
    pub(crate) shared_experts: Option<Mlp>,
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
                .then(|| Mlp::init(init, width, inner * moe.n_shared_experts)),
        }
    }

    /// # Shapes
    /// - `x`: `[N, D]`, `replay`: N * K expert ids, result: `[N, D]`
    pub(crate) fn forward(&self, x: Tensor<2>, replay: Option<&[u16]>) -> (Tensor<2>, LayerRouting) {
        let route = self.gate.forward(x.clone(), replay);
        let [_, chosen] = route.weights.dims();
        let weights =
            ExpertWeights { gate_up: self.experts.gate_up_proj.val(), down: self.experts.down_proj.val() };
        let permutation = Permutation::new(&route.routing.experts, chosen, weights.down.dims()[0]);
        let mut out = experts(x.clone(), weights, permutation, route.weights);
        if let Some(shared) = &self.shared_experts {
            out = out + shared.forward(x);
        }
        (out, route.routing)
    }
}
