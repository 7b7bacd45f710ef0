//! The router of a mixture of experts in three steps: scores on the device, the choice on the host, weights from the
//! scores of the chosen (DeepSeek-V3, arXiv 2412.19437, eq. 12-16). Who holds the router's weights is not known here.

// N places, D hidden, E experts, K chosen experts per token

mod choice;

use crate::backend::{Form, operation};
use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::{Int, Tensor, TensorData};
use std::sync::Arc;

pub use choice::RouterChoice;

/// How logits become scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scoring {
    /// Each expert for itself.
    Sigmoid,
    /// All experts of a token sum to one.
    Softmax,
}

/// What the scores of a token's chosen experts are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalisation {
    /// Their sum.
    Sum,
    /// Nothing.
    None,
}

/// `sigmoid(x W^T)` or `softmax(x W^T)`.
///
/// # Shapes
/// - `x`: `[N, D]`, `weight`: `[E, D]`, result: `[N, E]`
pub fn router_scores(x: Tensor<2>, weight: Tensor<2>, scoring: Scoring) -> Tensor<2> {
    match RouterScores::form(&x) {
        Form::Reference => reference_scores(x, weight, scoring),
        Form::Fused => RouterScores { scoring }.fused(x, weight),
    }
}

/// The scores of the chosen experts, divided by their sum where so asked, times `factor`.
///
/// # Shapes
/// - `scores`: `[N, E]`, `experts`: N * K ids, row-major by place, result: `[N, K]`
pub fn route_weights(
    scores: Tensor<2>,
    experts: &[u16],
    normalisation: Normalisation,
    factor: f64,
) -> Tensor<2> {
    match RouteWeights::form(&scores) {
        Form::Reference => reference_weights(scores, experts, normalisation, factor),
        Form::Fused => fused_weights(scores, experts, normalisation, factor),
    }
}

/// The operation of [`router_scores`].
#[derive(Clone, Debug)]
pub(crate) struct RouterScores {
    pub(crate) scoring: Scoring,
}

operation!(RouterScores(x: Tensor<2>, weight: Tensor<2>) -> (scores: Tensor<2>));

/// The operation of [`route_weights`].
#[derive(Clone, Debug)]
pub(crate) struct RouteWeights {
    /// N * K ids.
    pub(crate) experts: Arc<[u16]>,
    pub(crate) normalisation: Normalisation,
    pub(crate) factor: f64,
}

operation!(RouteWeights(scores: Tensor<2>) -> (weights: Tensor<2>));

fn fused_weights(scores: Tensor<2>, experts: &[u16], normalisation: Normalisation, factor: f64) -> Tensor<2> {
    RouteWeights { experts: Arc::from(experts), normalisation, factor }.fused(scores)
}

/// Keeps a sum of vanishing scores from dividing by zero; transformers has the same.
pub(crate) const SUM_EPSILON: f32 = 1e-20;

pub(crate) fn reference_scores(x: Tensor<2>, weight: Tensor<2>, scoring: Scoring) -> Tensor<2> {
    let logits = x.matmul(weight.transpose());
    match scoring {
        Scoring::Sigmoid => sigmoid(logits),
        Scoring::Softmax => softmax(logits, 1),
    }
}

pub(crate) fn reference_weights(
    scores: Tensor<2>,
    experts: &[u16],
    normalisation: Normalisation,
    factor: f64,
) -> Tensor<2> {
    let [places, _] = scores.dims();
    let ids: Vec<i32> = experts.iter().map(|&expert| i32::from(expert)).collect();
    let shape = [places, experts.len() / places.max(1)];
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, shape), &scores.device());
    let picked = scores.gather(1, ids); // [N, K]
    match normalisation {
        Normalisation::Sum => picked.clone() / (picked.sum_dim(1) + SUM_EPSILON) * factor,
        Normalisation::None => picked * factor,
    }
}

#[cfg(test)]
mod tests {
    use super::{Normalisation, RouterScores, Scoring, fused_weights, reference_scores, reference_weights};
    use crate::grad_check::{same_with_gradients, same_with_gradients_of_terms};
    use crate::test_inputs;
    use burn::tensor::Tensor;
    use burn::tensor::activation::sigmoid;
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn fused_scores_equal_the_reference_in_value_and_gradients(
            [tokens, width, n_experts] in prop::array::uniform3(1_usize..70),
            scoring in prop::sample::select(vec![Scoring::Sigmoid, Scoring::Softmax]),
            seed in 0_u32..1000,
        ) {
            let device = testkit::autodiff_device();
            let x = test_inputs::tensor::<2>([tokens, width], seed, &device);
            let weight = test_inputs::tensor::<2>([n_experts, width], seed + 1, &device);
            same_with_gradients(
                (x, weight),
                |(x, weight)| reference_scores(x, weight, scoring),
                |(x, weight)| RouterScores { scoring }.fused(x, weight),
            );
        }

        #[test]
        fn fused_weights_equal_the_reference_in_value_and_gradients(
            [tokens, n_experts] in prop::array::uniform2(1_usize..40),
            per_token in 1_usize..5,
            normalisation in prop::sample::select(vec![Normalisation::Sum, Normalisation::None]),
            factor in prop::sample::select(vec![1.0, 2.5]),
            draws in prop::collection::vec(any::<u16>(), 40 * 5),
            seed in 0_u32..1000,
        ) {
            let device = testkit::autodiff_device();
            let scores: Tensor<2> = sigmoid(test_inputs::tensor([tokens, n_experts], seed, &device));
            // A replayed choice may name an expert twice.
            let experts: Vec<u16> =
                draws[..tokens * per_token].iter().map(|draw| draw % n_experts as u16).collect();
            // What the sum takes from a gradient may cancel all of it: with one expert it is 0.
            same_with_gradients_of_terms(
                factor as f32,
                scores,
                |scores| reference_weights(scores, &experts, normalisation, factor),
                |scores| fused_weights(scores, &experts, normalisation, factor),
            );
        }
    }

    #[test]
    fn logits_of_any_size_give_finite_scores() {
        let device = testkit::device();
        let x = Tensor::<2>::from_floats([[1e30], [-1e30], [0.0]], &device);
        let weight = Tensor::<2>::from_floats([[1.0], [-1.0]], &device);
        let sigmoid = RouterScores { scoring: Scoring::Sigmoid }.fused(x.clone(), weight.clone());
        testkit::assert_close(&testkit::floats(sigmoid), &[1.0, 0.0, 0.0, 1.0, 0.5, 0.5], 1e-6);
        let softmax = RouterScores { scoring: Scoring::Softmax }.fused(x, weight);
        testkit::assert_close(&testkit::floats(softmax), &[1.0, 0.0, 0.0, 1.0, 0.5, 0.5], 1e-6);
    }
}
