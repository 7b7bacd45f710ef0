//! Log-probabilities of some candidates of each token, and of all other tokens together, from hidden states, a block
//! of logits at a time: what a divergence from a distribution of which only the top is known takes.

// N tokens, D hidden, V vocabulary, K candidates

mod top;

use crate::backend::{Form, operation};
use crate::linear::products;
use crate::logits::Plan;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};
pub use top::{TopLogprobs, top_logprobs};

/// `ln p(candidate)` of K tokens of each row, and `ln` of the probability of all the others together, in nats, of
/// `softmax(hidden W^T / temperature)`. A row of the result sums to 1 once exponentiated; its last column is `-inf`,
/// without gradient, where the candidates are the whole vocabulary.
///
/// # Shapes
/// - `hidden`: `[N, D]`, `head`: `[V, D]`, `candidates`: `N K` ids below V, row-major, no id twice in a row
/// - result: `[N, K + 1]`
///
/// # Panics
/// When there is no token, or not a whole number of candidates a token, from 1 to V.
pub fn candidate_logprobs(
    hidden: Tensor<2>,
    head: Tensor<2>,
    candidates: &[u32],
    temperature: f64,
) -> Tensor<2> {
    let [tokens, _] = hidden.dims();
    let [vocabulary, _] = head.dims();
    assert!(tokens > 0 && candidates.len().is_multiple_of(tokens), "as many candidates for each token");
    let chosen = candidates.len() / tokens;
    assert!((1..=vocabulary).contains(&chosen), "from 1 to {vocabulary} candidates a token, found {chosen}");
    match CandidateLogprobs::form_of_products(&hidden) {
        Form::Reference => reference(hidden, head, candidates, Plan::rows(temperature, vocabulary)),
        Form::Fused => fused(hidden, head, candidates, Plan::blocks(temperature)),
    }
}

/// The operation of [`candidate_logprobs`]; besides them it gives, without gradient, the log-sums of a whole row and of
/// its others.
#[derive(Clone, Debug)]
pub(crate) struct CandidateLogprobs {
    pub(crate) candidates: Vec<u32>,
    pub(crate) plan: Plan,
}

operation!(CandidateLogprobs(hidden: Tensor<2>, head: Tensor<2>) -> (logprobs: Tensor<2>, besides: Tensor<2>));

fn fused(hidden: Tensor<2>, head: Tensor<2>, candidates: &[u32], plan: Plan) -> Tensor<2> {
    let (logprobs, _) = CandidateLogprobs { candidates: candidates.to_vec(), plan }.fused(hidden, head);
    logprobs
}

/// Added to a logit to leave it out of a sum: finite, so that no gradient becomes NaN.
const OUT: f32 = -1e30;

fn reference(hidden: Tensor<2>, head: Tensor<2>, candidates: &[u32], plan: Plan) -> Tensor<2> {
    let Plan { temperature, tokens_at_once, .. } = plan;
    let ([tokens, _], [vocabulary, _]) = (hidden.dims(), head.dims());
    let chosen = candidates.len() / tokens;
    let (hidden, head) = products(hidden, head);
    let head = head.transpose(); // [D, V]
    let chunk = |start: usize| {
        let length = tokens_at_once.min(tokens - start);
        let logits = hidden.clone().narrow(0, start, length).matmul(head.clone()).div_scalar(temperature);
        let ids: Vec<i32> =
            candidates[start * chosen..(start + length) * chosen].iter().map(|&id| id as i32).collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [length, chosen]), &logits.device());
        let of_candidates = logits.clone().gather(1, ids.clone()); // [n, K]
        if chosen == vocabulary {
            let logprobs = of_candidates.clone() - log_sum(of_candidates.clone());
            let none = logprobs.clone().detach().narrow(1, 0, 1).full_like(f64::NEG_INFINITY);
            return Tensor::cat(vec![logprobs, none], 1);
        }
        let out = of_candidates.clone().detach().full_like(OUT);
        let mask = logits.clone().detach().zeros_like().scatter(1, ids, out, IndexingUpdateOp::Add);
        let columns = Tensor::cat(vec![of_candidates, log_sum(logits + mask)], 1); // [n, K + 1]
        columns.clone() - log_sum(columns)
    };
    Tensor::cat((0..tokens).step_by(tokens_at_once).map(chunk).collect(), 0)
}

/// `ln sum e^x` of each row.
fn log_sum(x: Tensor<2>) -> Tensor<2> {
    let largest = x.clone().detach().max_dim(1); // [n, 1]
    (x - largest.clone()).exp().sum_dim(1).log() + largest
}

#[cfg(test)]
mod tests {
    use super::{candidate_logprobs, fused, reference};
    use crate::ComputeDtype;
    use crate::grad_check::{close_with_gradients, same_with_gradients};
    use crate::logits::Plan;
    use crate::test_inputs;
    use burn::tensor::DType;
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    /// Different ids of each row, in no order.
    fn candidates(tokens: usize, chosen: usize, vocabulary: usize, seed: usize) -> Vec<u32> {
        let row =
            |t: usize| (0..chosen).map(move |k| ((seed + t * 3 + (chosen - k) * 7919) % vocabulary) as u32);
        (0..tokens).flat_map(row).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn columns_are_the_softmax_and_what_it_leaves(
            [tokens, width] in prop::array::uniform2(1_usize..8),
            (vocabulary, chosen) in (2_usize..12).prop_flat_map(|v| (Just(v), 1..v)),
            temperature in 0.2_f64..3.0,
            seed in 0_u32..1000,
        ) {
            let device = testkit::device();
            let hidden = test_inputs::tensor::<2>([tokens, width], seed, &device);
            let head = test_inputs::tensor::<2>([vocabulary, width], seed + 1, &device).mul_scalar(3.0);
            let ids = candidates(tokens, chosen, vocabulary, seed as usize);
            let logits = testkit::floats(hidden.clone().matmul(head.clone().transpose()));
            let mut expected = Vec::new();
            for (row, ids) in logits.chunks(vocabulary).zip(ids.chunks(chosen)) {
                let weights: Vec<f64> = row.iter().map(|&x| (f64::from(x) / temperature).exp()).collect();
                let all: f64 = weights.iter().sum();
                expected.extend(ids.iter().map(|&id| (weights[id as usize] / all).ln() as f32));
                let of_others = |(id, _): &(usize, &f64)| !ids.contains(&(*id as u32));
                let others: f64 = weights.iter().enumerate().filter(of_others).map(|(_, w)| w).sum();
                expected.push((others / all).ln() as f32);
            }
            let plan = Plan { temperature, tokens_at_once: 3, ids_at_once: 4 };
            for actual in [
                fused(hidden.clone(), head.clone(), &ids, plan),
                reference(hidden, head, &ids, plan),
            ] {
                testkit::assert_close(&testkit::floats(actual), &expected, 1e-4);
            }
        }

        #[test]
        fn the_fused_form_equals_the_reference_in_value_and_gradients(
            [tokens, width] in prop::array::uniform2(1_usize..20),
            (vocabulary, chosen) in (2_usize..150).prop_flat_map(|v| (Just(v), 1..v)),
            temperature in prop::sample::select(vec![0.6, 1.0]),
            [tokens_at_once, ids_at_once] in [1_usize..25, 1_usize..170],
            seed in 0_u32..1000,
        ) {
            let device = testkit::autodiff_device();
            let hidden = test_inputs::tensor::<2>([tokens, width], seed, &device);
            let head = test_inputs::tensor::<2>([vocabulary, width], seed + 1, &device);
            let ids = candidates(tokens, chosen, vocabulary, seed as usize);
            same_with_gradients(
                (hidden, head),
                |(hidden, head)| reference(hidden, head, &ids, Plan::rows(temperature, vocabulary)),
                |(hidden, head)| fused(hidden, head, &ids, Plan { temperature, tokens_at_once, ids_at_once }),
            );
        }
    }

    #[test]
    fn nothing_is_left_of_a_whole_vocabulary_and_nothing_flows_from_it() {
        let device = testkit::autodiff_device();
        let (hidden, head) =
            (test_inputs::tensor::<2>([3, 4], 1, &device), test_inputs::tensor::<2>([5, 4], 2, &device));
        let ids = candidates(3, 5, 5, 0);
        let plan = Plan { temperature: 1.0, tokens_at_once: 2, ids_at_once: 2 };
        let whole = testkit::floats(candidate_logprobs(hidden.clone(), head.clone(), &ids, 1.0));
        for row in whole.chunks(6) {
            assert_eq!(row[5], f32::NEG_INFINITY);
            assert!((row[..5].iter().map(|x| x.exp()).sum::<f32>() - 1.0).abs() < 1e-6);
        }
        same_with_gradients(
            (hidden, head),
            |(hidden, head)| reference(hidden, head, &ids, plan).narrow(1, 0, 5),
            |(hidden, head)| fused(hidden, head, &ids, plan).narrow(1, 0, 5),
        );
    }

    #[test]
    fn what_is_left_of_a_certain_prediction_keeps_its_digits() {
        // 1 - p would be 0 in f32: the others together have e^-30 of the whole.
        let device = testkit::device();
        let hidden = burn::tensor::Tensor::<2>::from_floats([[1.0]], &device);
        let head = burn::tensor::Tensor::<2>::from_floats([[30.0], [-1.0], [-1.0]], &device);
        let row = testkit::floats(candidate_logprobs(hidden, head, &[0], 1.0));
        testkit::assert_close(&row, &[0.0, 2_f32.ln() - 31.0], 1e-5);
    }

    #[test]
    fn in_bfloat16_value_and_gradients_are_the_references() {
        let device = testkit::autodiff_device();
        // Several blocks of ids; the temperature is taken after products of rounded numbers.
        for (tokens, width, vocabulary, temperature) in [(3, 9, 40, 0.7), (70, 24, 1700, 1.0)] {
            let candidates = candidates(tokens, 3, vocabulary, 5);
            let inputs = (
                test_inputs::tensor::<2>([tokens, width], 1, &device),
                test_inputs::tensor::<2>([vocabulary, width], 2, &device),
            );
            close_with_gradients(
                1.0 / 128.0,
                inputs,
                |(hidden, head)| {
                    reference(
                        hidden.cast(DType::BF16),
                        head,
                        &candidates,
                        Plan::rows(temperature, vocabulary),
                    )
                },
                |(hidden, head)| {
                    candidate_logprobs(ComputeDtype::Bf16.operand(hidden), head, &candidates, temperature)
                },
            );
        }
    }
}
