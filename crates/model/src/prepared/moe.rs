//! The mixture of experts with prepared weights. The router stays in f32: what it rounds differently goes to other
//! experts.

// N places, D hidden, E experts, F expert width

use super::layers::Mlp;
use crate::moe::{self, Gate, LayerRouting};
use burn::tensor::Tensor;
use ruminate_kernels::{ExpertWeights, Permutation, Precision, PreparedExperts};

#[derive(Clone, Debug)]
pub(super) struct MixtureOfExperts {
    gate: Gate,
    /// The gate's, read once.
    bias: Option<Vec<f32>>,
    experts: PreparedExperts,
    n_experts: usize,
    shared_experts: Option<Mlp>,
}

impl MixtureOfExperts {
    pub(super) fn new(moe: &moe::MixtureOfExperts, precision: Precision) -> Self {
        let weights = ExpertWeights {
            gate_up: moe.experts.gate_up_proj.val().inner(),
            down: moe.experts.down_proj.val().inner(),
        };
        let [n_experts, _, _] = weights.down.dims();
        Self {
            gate: moe.gate.clone(),
            bias: moe.gate.bias(),
            experts: PreparedExperts::new(weights, precision),
            n_experts,
            shared_experts: moe.shared_experts.as_ref().map(|shared| Mlp::new(shared, precision)),
        }
    }

    /// # Shapes
    /// - `x`: `[N, D]`, result: `[N, D]`
    pub(super) fn forward(&self, x: Tensor<2>) -> (Tensor<2>, LayerRouting) {
        let route = self.gate.forward_with(x.clone(), self.bias.as_deref());
        let [_, chosen] = route.weights.dims();
        let permutation = Permutation::new(&route.routing.experts, chosen, self.n_experts);
        let mut out = self.experts.forward(x.clone(), permutation, route.weights);
        if let Some(shared) = &self.shared_experts {
            out = out + shared.forward(x);
        }
        (out, route.routing)
    }
}
