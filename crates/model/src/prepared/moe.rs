//! The mixture of experts with prepared weights. The router stays in f32: what it rounds differently goes to other
//! experts.

// N places, D hidden, E experts, F expert width

use super::layers::Mlp;
use crate::moe::{self, Gate, LayerRouting};
use burn::tensor::Tensor;
use ruminate_kernels::{ExpertWeights, Permutation, Precision, experts};

#[derive(Clone, Debug)]
pub(super) struct MixtureOfExperts {
    gate: Gate,
    experts: ExpertWeights,
    shared_experts: Option<Mlp>,
}

impl MixtureOfExperts {
    pub(super) fn new(moe: &moe::MixtureOfExperts, precision: Precision) -> Self {
        Self {
            gate: moe.gate.clone(),
            experts: ExpertWeights {
                gate_up: moe.experts.gate_up_proj.val().inner(),
                down: moe.experts.down_proj.val().inner(),
            },
            shared_experts: moe.shared_experts.as_ref().map(|shared| Mlp::new(shared, precision)),
        }
    }

    /// # Shapes
    /// - `x`: `[N, D]`, result: `[N, D]`
    pub(super) fn forward(&self, x: Tensor<2>) -> (Tensor<2>, LayerRouting) {
        let route = self.gate.forward(x.clone(), None);
        let [_, chosen] = route.weights.dims();
        let [n_experts, _, _] = self.experts.down.dims();
        let permutation = Permutation::new(&route.routing.experts, chosen, n_experts);
        let mut out = experts(x.clone(), self.experts.clone(), permutation, route.weights);
        if let Some(shared) = &self.shared_experts {
            out = out + shared.forward(x);
        }
        (out, route.routing)
    }
}
