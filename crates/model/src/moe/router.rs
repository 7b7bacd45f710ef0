//! The router: scores on the device in f32, choice on the host, weights from the scores of the chosen.
//!
//! The choice is made on the host because grouping tokens by expert needs it there anyway; it also makes ties
//! (lowest expert first) the same on every device.

// N places, D hidden, E experts, K chosen experts a token

use super::LayerRouting;
use crate::config::{Moe, Router};
use crate::init::Initializer;
use burn::module::{Module, Param};
use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::{DType, Int, Tensor, TensorData};
use rand::Rng;

/// The router's weights.
#[derive(Module, Debug)]
pub(crate) struct Gate {
    /// `[E, D]`
    weight: Param<Tensor<2>>,
    /// `[E]`: added to the scores for the choice only, moved by the load instead of by gradients
    /// (auxiliary-loss-free balance, arXiv 2408.15664).
    pub(crate) e_score_correction_bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    moe: Moe,
}

/// A routing decision with its weights.
pub(crate) struct Route {
    pub(crate) routing: LayerRouting,
    /// `[N, K]`, in the order of `routing.experts`.
    pub(crate) weights: Tensor<2>,
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

    /// # Shapes
    /// - `x`: `[N, D]`, `replay`: N * K expert ids
    pub(crate) fn forward(&self, x: Tensor<2>, replay: Option<&[u16]>) -> Route {
        // f32 whatever the model's dtype: ties of bf16 scores change the chosen experts.
        let logits = x.cast(DType::F32).matmul(self.weight.val().cast(DType::F32).transpose());
        let scores = match self.moe.router {
            Router::Sigmoid { .. } => sigmoid(logits),
            Router::Softmax { .. } => softmax(logits, 1),
        };
        let experts = match replay {
            Some(experts) => experts.to_vec(),
            None => self.choose(&scores),
        };
        let weights = self.weigh(&scores, &experts);
        Route { routing: LayerRouting { experts, scores }, weights }
    }

    fn choose(&self, scores: &Tensor<2>) -> Vec<u16> {
        let [_, n_experts] = scores.dims();
        let host = floats(scores.clone().detach());
        let bias = match &self.e_score_correction_bias {
            Some(bias) => floats(bias.val().detach()),
            None => vec![0.0; n_experts],
        };
        let mut chosen = Vec::with_capacity(host.len() / n_experts * self.moe.num_experts_per_tok);
        let mut biased = vec![0.0; n_experts];
        for row in host.chunks_exact(n_experts) {
            for (sum, (score, bias)) in biased.iter_mut().zip(row.iter().zip(&bias)) {
                *sum = score + bias;
            }
            if let Router::Sigmoid { n_group, topk_group, .. } = self.moe.router {
                keep_best_groups(&mut biased, n_group, topk_group);
            }
            for _ in 0..self.moe.num_experts_per_tok {
                let best = first_maximum(&biased);
                biased[best] = f32::NEG_INFINITY;
                chosen.push(best as u16);
            }
        }
        chosen
    }

    fn weigh(&self, scores: &Tensor<2>, experts: &[u16]) -> Tensor<2> {
        let (chosen, [places, _]) = (self.moe.num_experts_per_tok, scores.dims());
        let ids: Vec<i32> = experts.iter().map(|&expert| i32::from(expert)).collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [places, chosen]), &scores.device());
        let picked = scores.clone().gather(1, ids); // [N, K]
        let (normalise, factor) = match self.moe.router {
            Router::Sigmoid { norm_topk_prob, routed_scaling_factor, .. } => {
                (norm_topk_prob, routed_scaling_factor)
            }
            Router::Softmax { norm_topk_prob } => (norm_topk_prob, 1.0),
        };
        if normalise { picked.clone() / (picked.sum_dim(1) + 1e-20) * factor } else { picked * factor }
    }
}

/// Node-limited routing (arXiv 2412.19437, section 2.1.2): a group's score is the sum of its two best; experts of
/// the other groups are out.
fn keep_best_groups(biased: &mut [f32], n_group: usize, topk_group: usize) {
    if topk_group >= n_group {
        return;
    }
    let size = biased.len() / n_group;
    let mut group_scores: Vec<f32> = biased
        .chunks_exact(size)
        .map(|group| {
            let best = first_maximum(group);
            let second = (0..size).filter(|&i| i != best).map(|i| group[i]).fold(f32::NEG_INFINITY, f32::max);
            if size > 1 { group[best] + second } else { group[best] }
        })
        .collect();
    let mut kept = vec![false; n_group];
    for _ in 0..topk_group {
        let best = first_maximum(&group_scores);
        group_scores[best] = f32::NEG_INFINITY;
        kept[best] = true;
    }
    for (group, kept) in biased.chunks_exact_mut(size).zip(kept) {
        if !kept {
            group.fill(f32::NEG_INFINITY);
        }
    }
}

/// Index of the largest value, the first of equals. NaN never wins; a row of NaN gives 0.
fn first_maximum(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, &value) in values.iter().enumerate() {
        if value > values[best] || values[best].is_nan() {
            best = i;
        }
    }
    best
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().expect("a float tensor reads as f32")
}

#[cfg(test)]
mod tests {
    use super::{Gate, first_maximum, floats, keep_best_groups};
    use crate::config::{Moe, Router};
    use burn::module::Param;
    use burn::tensor::{Tensor, TensorData};
    use ruminate_testkit as testkit;
    use serde_json::Value;

    /// A case of router.json: the gate and its input `[N, D]`.
    fn gate(case: &Value) -> (Gate, Tensor<2>) {
        let count = |key: &str| case[key].as_u64().expect("a count") as usize;
        let [weight, hidden] = ["weight", "hidden"].map(|key| matrix(&case[key]));
        let bias: Vec<f32> = numbers(&case["bias"]);
        let moe = Moe {
            n_routed_experts: bias.len(),
            n_shared_experts: 0,
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

    #[test]
    fn a_group_wins_by_the_sum_of_its_two_best() {
        // The single best expert sits in the second group, but the first group's pair is worth more.
        let mut scores = [0.6, 0.6, 0.9, 0.1];
        keep_best_groups(&mut scores, 2, 1);
        assert_eq!(scores, [0.6, 0.6, f32::NEG_INFINITY, f32::NEG_INFINITY]);
    }

    #[test]
    fn ties_go_to_the_lowest_index_and_nan_never_wins() {
        assert_eq!(first_maximum(&[0.5, 0.5, 0.1]), 0);
        assert_eq!(first_maximum(&[f32::NAN, 0.1, 0.1]), 1);
    }
}
