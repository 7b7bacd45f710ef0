//! Log-probabilities of given next tokens, from hidden states, a block of logits at a time: the logits of a
//! whole batch are never in memory at once.

use crate::backend::{Form, operation};
use crate::linear::products;
use crate::logits::Plan;
use burn::tensor::{Int, Tensor, activation::log_softmax};

/// What a policy says of given tokens.
#[derive(Clone, Debug)]
pub struct TokenStatistics {
    /// `[N]`: `ln p(target)` in nats.
    pub logprobs: Tensor<1>,
    /// `[N]`: entropy of the next-token distribution in nats, without gradient.
    pub entropy: Tensor<1>,
}

/// `log_softmax(hidden W^T / temperature)[target]` and the entropy of that distribution. Logits are products in the dtype
/// of `hidden`, as those of [`linear`](crate::linear()); all else is in f32.
///
/// # Shapes
/// - `hidden`: `[N, D]`, `head`: `[V, D]`, `targets`: N ids below V
///
/// # Panics
/// When there is no token, or not one target per token.
pub fn token_logprobs(
    hidden: Tensor<2>,
    head: Tensor<2>,
    targets: &[u32],
    temperature: f64,
) -> TokenStatistics {
    assert!(!targets.is_empty() && targets.len() == hidden.dims()[0], "one target a token, at least one");
    match TargetLogprobs::form_of_products(&hidden) {
        Form::Reference => {
            let plan = Plan::rows(temperature, head.dims()[0]);
            reference(hidden, head, targets, plan)
        }
        Form::Fused => fused(hidden, head, targets, Plan::blocks(temperature)),
    }
}

/// The operation of [`token_logprobs`]; besides them it gives, without gradient, the entropy and `ln sum_v e^logit`
/// of each.
#[derive(Clone, Debug)]
pub(crate) struct TargetLogprobs {
    pub(crate) targets: Vec<u32>,
    pub(crate) plan: Plan,
}

operation!(TargetLogprobs(hidden: Tensor<2>, head: Tensor<2>) -> (logprobs: Tensor<1>, besides: Tensor<2>));

fn fused(hidden: Tensor<2>, head: Tensor<2>, targets: &[u32], plan: Plan) -> TokenStatistics {
    let tokens = targets.len();
    let (logprobs, besides) = TargetLogprobs { targets: targets.to_vec(), plan }.fused(hidden, head);
    TokenStatistics { logprobs, entropy: besides.narrow(1, 0, 1).reshape([tokens]) }
}

fn reference(hidden: Tensor<2>, head: Tensor<2>, targets: &[u32], plan: Plan) -> TokenStatistics {
    let Plan { temperature, tokens_at_once, .. } = plan;
    let [tokens, _] = hidden.dims();
    let targets: Vec<i32> = targets.iter().map(|&target| target as i32).collect();
    let targets = Tensor::<1, Int>::from_ints(targets.as_slice(), &hidden.device());
    let (hidden, head) = products(hidden, head);
    let head = head.transpose(); // [D, V]
    let (mut logprobs, mut entropy) = (Vec::new(), Vec::new());
    for start in (0..tokens).step_by(tokens_at_once) {
        let length = tokens_at_once.min(tokens - start);
        let logits = hidden.clone().narrow(0, start, length).matmul(head.clone()).div_scalar(temperature);
        let all = log_softmax(logits, 1); // [n, V]
        let chosen = targets.clone().narrow(0, start, length).unsqueeze_dim(1);
        logprobs.push(all.clone().gather(1, chosen).reshape([length]));
        let all = all.detach();
        entropy.push((all.clone().exp() * all).sum_dim(1).neg().reshape([length]));
    }
    TokenStatistics { logprobs: Tensor::cat(logprobs, 0), entropy: Tensor::cat(entropy, 0) }
}

#[cfg(test)]
mod tests {
    use super::{Plan, fused, reference, token_logprobs};
    use crate::ComputeDtype;
    use crate::grad_check::{close_with_gradients, same_with_gradients};
    use crate::test_inputs;
    use burn::tensor::{DType, Tensor};
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    fn targets(tokens: usize, vocabulary: usize, seed: u32) -> Vec<u32> {
        (0..tokens).map(|t| ((t * 7 + seed as usize) % vocabulary) as u32).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn logprobs_and_entropy_are_those_of_the_tempered_softmax(
            [tokens, width, vocabulary] in prop::array::uniform3(1_usize..8),
            temperature in 0.2_f64..3.0,
            seed in 0_u32..1000,
        ) {
            let device = testkit::device();
            let hidden = test_inputs::tensor::<2>([tokens, width], seed, &device);
            let head = test_inputs::tensor::<2>([vocabulary, width], seed + 1, &device).mul_scalar(3.0);
            let targets = targets(tokens, vocabulary, seed);
            let logits = testkit::floats(hidden.clone().matmul(head.clone().transpose()));

            let (mut logprobs, mut entropy) = (Vec::new(), Vec::new());
            for (row, &target) in logits.chunks(vocabulary).zip(&targets) {
                let scaled: Vec<f64> = row.iter().map(|&logit| f64::from(logit) / temperature).collect();
                let total = scaled.iter().map(|x| x.exp()).sum::<f64>().ln();
                logprobs.push((scaled[target as usize] - total) as f32);
                entropy.push(scaled.iter().map(|x| (x - total).exp() * (total - x)).sum::<f64>() as f32);
            }
            let plan = Plan { temperature, tokens_at_once: 3, ids_at_once: 4 };
            for actual in [
                fused(hidden.clone(), head.clone(), &targets, plan),
                reference(hidden, head, &targets, plan),
            ] {
                testkit::assert_close(&testkit::floats(actual.logprobs), &logprobs, 1e-4);
                testkit::assert_close(&testkit::floats(actual.entropy), &entropy, 1e-4);
            }
        }

        #[test]
        fn the_fused_form_equals_the_reference_in_value_and_gradients(
            [tokens, width] in prop::array::uniform2(1_usize..20),
            vocabulary in 1_usize..150,
            temperature in prop::sample::select(vec![0.6, 1.0]),
            [tokens_at_once, ids_at_once] in [1_usize..25, 1_usize..170],
            seed in 0_u32..1000,
        ) {
            let device = testkit::autodiff_device();
            let hidden = test_inputs::tensor::<2>([tokens, width], seed, &device);
            let head = test_inputs::tensor::<2>([vocabulary, width], seed + 1, &device);
            let targets = targets(tokens, vocabulary, seed);
            same_with_gradients(
                (hidden, head),
                |(hidden, head)| {
                    reference(hidden, head, &targets, Plan::rows(temperature, vocabulary)).logprobs
                },
                |(hidden, head)| {
                    fused(hidden, head, &targets, Plan { temperature, tokens_at_once, ids_at_once }).logprobs
                },
            );
        }

        #[test]
        fn a_frozen_head_changes_no_gradient_of_the_hidden_states(
            [tokens, width] in prop::array::uniform2(1_usize..20),
            vocabulary in 1_usize..150,
            [tokens_at_once, ids_at_once] in [1_usize..25, 1_usize..170],
            seed in 0_u32..1000,
        ) {
            let device = testkit::autodiff_device();
            let targets = targets(tokens, vocabulary, seed);
            let plan = Plan { temperature: 0.6, tokens_at_once, ids_at_once };
            let head = test_inputs::tensor::<2>([vocabulary, width], seed + 1, &device);
            let gradient = |head: Tensor<2>| {
                let hidden = test_inputs::tensor::<2>([tokens, width], seed, &device).require_grad();
                let logprobs = fused(hidden.clone(), head.clone(), &targets, plan).logprobs;
                let gradients = logprobs.sum().backward();
                (testkit::floats(hidden.grad(&gradients).expect("tracked")), head.grad(&gradients).is_some())
            };
            let (tracked, has_one) = gradient(head.clone().require_grad());
            let (frozen, has_none) = gradient(head);
            prop_assert_eq!(tracked, frozen);
            prop_assert!(has_one && !has_none);
        }
    }

    #[test]
    fn in_bfloat16_value_and_gradients_are_the_references() {
        let device = testkit::autodiff_device();
        // Several blocks of ids; the temperature is taken after products of rounded numbers.
        for (tokens, width, vocabulary, temperature) in [(3, 9, 40, 0.7), (70, 24, 1700, 1.0)] {
            let targets = targets(tokens, vocabulary, 5);
            let inputs = (
                test_inputs::tensor::<2>([tokens, width], 1, &device),
                test_inputs::tensor::<2>([vocabulary, width], 2, &device),
            );
            close_with_gradients(
                1.0 / 128.0,
                inputs,
                |(hidden, head)| {
                    reference(hidden.cast(DType::BF16), head, &targets, Plan::rows(temperature, vocabulary))
                        .logprobs
                },
                |(hidden, head)| {
                    token_logprobs(ComputeDtype::Bf16.operand(hidden), head, &targets, temperature).logprobs
                },
            );
        }
    }
}
