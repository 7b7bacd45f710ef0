//! The router: its weights, and what a configuration means for scores, choice and weights, whose arithmetic is
//! `kernels`'.

// N places, D hidden, E experts, K chosen experts a token

use super::LayerRouting;
use crate::config::{Moe, Router};
use crate::init::Initializer;
use crate::layers::{Linear, LinearMap};
use burn::module::{Module, ModuleDisplay, Param};
use burn::tensor::{DType, Tensor};
use rand::Rng;
use ruminate_kernels::read::{Place, floats};
use ruminate_kernels::{Normalisation, RouterChoice, Scoring, route_weights, router_scores};
use std::borrow::Cow;

/// The router's weights.
#[derive(Module, Debug)]
pub(crate) struct Gate<L: LinearMap = Linear> {
    /// `[E, D]`
    pub(crate) weight: Param<Tensor<2>>,
    /// `[E]`: added to the scores for the choice only, moved by the load instead of by gradients
    /// (auxiliary-loss-free balance, arXiv 2408.15664).
    pub(crate) e_score_correction_bias: Option<L::RouterBias>,
    #[module(skip)]
    pub(crate) moe: Moe,
}

/// The balancing bias of a router.
pub(crate) trait RouterBias: Module + ModuleDisplay {
    /// One number per expert, on the host.
    fn values(&self) -> Cow<'_, [f32]>;
}

impl RouterBias for Param<Tensor<1>> {
    fn values(&self) -> Cow<'_, [f32]> {
        floats(self.val(), Place::RouterBias).into()
    }
}

/// A routing decision with its weights.
pub(crate) struct Route {
    pub(crate) routing: LayerRouting,
    /// `[N, K]`, in the order of `routing.experts`.
    pub(crate) weights: Tensor<2>,
}

impl<L: LinearMap> Gate<L> {
    /// # Shapes
    /// - `x`: `[N, D]`, `replay`: N * K expert ids
    pub(crate) fn forward(&self, x: Tensor<2>, replay: Option<&[u16]>) -> Route {
        // f32 whatever the model's dtype: ties of bf16 scores change the chosen experts.
        let (x, weight) = (x.cast(DType::F32), self.weight.val().cast(DType::F32));
        let (scoring, normalised, factor) = match self.moe.router {
            Router::Sigmoid { norm_topk_prob, routed_scaling_factor, .. } => {
                (Scoring::Sigmoid, norm_topk_prob, routed_scaling_factor)
            }
            Router::Softmax { norm_topk_prob } => (Scoring::Softmax, norm_topk_prob, 1.0),
        };
        let scores = router_scores(x, weight, scoring);
        let experts = replay.map_or_else(|| self.choose(&scores), <[u16]>::to_vec);
        let normalisation = if normalised { Normalisation::Sum } else { Normalisation::None };
        let weights = route_weights(scores.clone(), &experts, normalisation, factor);
        Route { routing: LayerRouting { experts, scores }, weights }
    }

    fn choose(&self, scores: &Tensor<2>) -> Vec<u16> {
        let [_, n_experts] = scores.dims();
        let (n_group, topk_group) = match self.moe.router {
            Router::Sigmoid { n_group, topk_group, .. } => (n_group, topk_group),
            Router::Softmax { .. } => (1, 1),
        };
        RouterChoice { experts_per_token: self.moe.num_experts_per_tok, n_group, topk_group }.of(
            &floats(scores.clone(), Place::RouterScores),
            self.e_score_correction_bias.as_ref().map(RouterBias::values).as_deref(),
            n_experts,
        )
    }
}

impl Gate {
    pub(crate) fn init<R: Rng>(init: &mut Initializer<R>, width: usize, moe: Moe) -> Self {
        let weight = init.normal([moe.n_routed_experts, width]);
        let e_score_correction_bias = match moe.router {
            Router::Sigmoid { .. } => {
                Some(init.constant([moe.n_routed_experts], 0.0).set_require_grad(false))
            }
            Router::Softmax { .. } => None,
        };
        Self { weight, e_score_correction_bias, moe }
    }
}

#[cfg(test)]
mod tests {
    use super::Gate;
    use crate::config::{Moe, Router};
    use burn::module::Param;
    use burn::tensor::{Tensor, TensorData};
    use ruminate_testkit::{self as testkit, floats};
    use serde_json::Value;

    /// A case of router.json: the gate and its input `[N, D]`.
    fn gate(case: &Value) -> (Gate, Tensor<2>) {
        let count = |key: &str| case[key].as_u64().expect("a count") as usize;
        let [weight, hidden] = ["weight", "hidden"].map(|key| matrix(&case[key]));
        let bias: Vec<f32> = numbers(&case["bias"]);
        let moe = Moe {
            n_routed_experts: bias.len(),
            n_shared_experts: 0,
            gated_shared_expert: None,
            num_experts_per_tok: count("num_experts_per_tok"),
            moe_intermediate_size: 1,
            first_k_dense_replace: 0,
            router: Router::Sigmoid {
                n_group: count("n_group"),
                topk_group: count("topk_group"),
                norm_topk_prob: case["norm_topk_prob"].as_bool().expect("a flag"),
                routed_scaling_factor: case["routed_scaling_factor"].as_f64().expect("a number"),
            },
        };
        let bias = Tensor::from_floats(bias.as_slice(), &testkit::device());
        let gate = Gate {
            weight: Param::from_tensor(weight),
            e_score_correction_bias: Some(Param::from_tensor(bias)),
            moe,
        };
        (gate, hidden)
    }

    fn numbers(list: &Value) -> Vec<f32> {
        list.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number") as f32).collect()
    }

    fn matrix(rows: &Value) -> Tensor<2> {
        let rows: Vec<Vec<f32>> = rows.as_array().expect("a list").iter().map(numbers).collect();
        let shape = [rows.len(), rows[0].len()];
        Tensor::from_data(TensorData::new(rows.concat(), shape), &testkit::device())
    }

    #[test]
    fn choice_and_weights_equal_transformers() {
        let cases: Vec<Value> = testkit::json("model/router.json");
        assert!(cases.iter().any(|case| case["name"] == "negative_bias"));
        for case in &cases {
            let (gate, hidden) = gate(case);
            let route = gate.forward(hidden, None);
            let chosen = gate.moe.num_experts_per_tok;
            let weights = floats(route.weights);
            // The fixture lists experts ascending, we list them by preference.
            let mut slots: Vec<(u16, f32)> = route.routing.experts.into_iter().zip(weights).collect();
            slots.chunks_mut(chosen).for_each(|row| row.sort_unstable_by_key(|&(expert, _)| expert));
            let (experts, weights): (Vec<f32>, Vec<f32>) =
                slots.into_iter().map(|(expert, weight)| (f32::from(expert), weight)).unzip();
            assert_eq!(experts, floats(matrix(&case["experts"])), "{}", case["name"]);
            testkit::assert_close(&weights, &floats(matrix(&case["weights"])), 1e-5);
        }
    }

    #[test]
    fn normalised_weights_sum_to_the_route_scale_also_when_replayed() {
        let cases: Vec<Value> = testkit::json("model/router.json");
        for case in cases.iter().filter(|case| case["norm_topk_prob"] == true) {
            let (gate, hidden) = gate(case);
            let [tokens, _] = hidden.dims();
            let other: Vec<u16> =
                (0..tokens).flat_map(|token| [token as u16 % 8, 8 - 1 - token as u16 % 4]).collect();
            let gate = Gate { moe: Moe { num_experts_per_tok: 2, ..gate.moe }, ..gate };
            for replay in [None, Some(other.as_slice())] {
                let route = gate.forward(hidden.clone(), replay);
                if let Some(replay) = replay {
                    assert_eq!(route.routing.experts, replay);
                }
                testkit::assert_close(&floats(route.weights.sum_dim(1)), &vec![2.5; tokens], 1e-5);
            }
        }
    }
}
