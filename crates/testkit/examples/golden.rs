//! A golden test in small: transformers' router weights, recomputed from its chosen experts.
//!
//! `cargo run -p ruminate-testkit --example golden`

use burn::tensor::{Int, Tensor, TensorData, activation::sigmoid};
use ruminate_testkit::{assert_close, device, floats, json};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    norm_topk_prob: bool,
    routed_scaling_factor: f32,
    logits: Vec<Vec<f32>>,
    experts: Vec<Vec<i64>>,
    weights: Vec<Vec<f32>>,
}

fn main() {
    let device = device();
    for case in json::<Vec<Case>>("model/router.json") {
        let (tokens, chosen) = (case.experts.len(), case.experts[0].len());
        let logits = TensorData::new(case.logits.concat(), [tokens, case.logits[0].len()]);
        let experts = TensorData::new(case.experts.concat(), [tokens, chosen]);

        let experts = Tensor::<2, Int>::from_data(experts, &device);
        let mut weights = sigmoid(Tensor::<2>::from_data(logits, &device)).gather(1, experts); // [N, K]
        if case.norm_topk_prob {
            weights = weights.clone() / weights.sum_dim(1);
        }

        assert_close(&floats(weights * case.routed_scaling_factor), &case.weights.concat(), 1e-5);
        eprintln!("{}: {tokens} tokens agree", case.name);
    }
}
