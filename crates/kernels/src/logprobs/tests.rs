//! Log-probabilities against sums in f64, and the fused form against the composition.

use super::{LogitEdit, Plan, Shaping, TargetLogprobs, shaped_logprobs, token_logprobs};
use crate::ComputeDtype;
use crate::grad_check::{close_with_gradients, same_with_gradients};
use crate::test_inputs;
use burn::tensor::{DType, Tensor};
use proptest::prelude::*;
use ruminate_testkit as testkit;

fn targets(tokens: usize, vocabulary: usize, seed: u32) -> Vec<u32> {
    (0..tokens).map(|t| ((t * 7 + seed as usize) % vocabulary) as u32).collect()
}

/// Some number of a row and an id.
fn mixed(row: usize, id: usize, seed: u32) -> usize {
    (row * 7919 + id * 104_729 + seed as usize * 31 + 17) % 1009
}

/// Rows of every kind: whole or cut, with and without edits and tokens that are left out.
fn shaping(targets: &[u32], vocabulary: usize, seed: u32) -> Shaping {
    let mut shaping = Shaping::default();
    for (row, &target) in targets.iter().enumerate() {
        let is_kept = |&id: &u32| id == target || mixed(row, id as usize, seed + 1).is_multiple_of(3);
        let kept: Vec<u32> = (0..vocabulary as u32).filter(is_kept).collect();
        let edit = |id: u32| {
            let kind = mixed(row, id as usize, seed + 2);
            let minus =
                if kind.is_multiple_of(11) && id != target { f32::INFINITY } else { kind as f32 / 1000.0 };
            let scale = if kind.is_multiple_of(2) { 1.0 } else { 1.7 };
            (kind % 4 < 2).then_some(LogitEdit { id, scale, minus })
        };
        let edits: Vec<LogitEdit> = (0..vocabulary as u32).filter_map(edit).collect();
        let kept = if row % 3 == 0 { &[] } else { kept.as_slice() };
        shaping.push(if row % 4 == 1 { Vec::new() } else { edits }, kept);
    }
    shaping
}

/// With a shape of every row, or with none.
fn operation(tokens: usize, vocabulary: usize, is_shaped: bool, seed: u32, plan: Plan) -> TargetLogprobs {
    let targets = targets(tokens, vocabulary, seed);
    let shaping = is_shaped.then(|| shaping(&targets, vocabulary, seed));
    TargetLogprobs { targets, shaping, plan }
}

/// The tempered softmax of a row in f64: the log-probability of a target, and the entropy.
fn expected(
    logits: &[f32],
    target: u32,
    (edits, kept): (&[LogitEdit], Option<&[u32]>),
    temperature: f64,
) -> (f32, f32) {
    let mut x: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
    for LogitEdit { id, scale, minus } in edits {
        let (x, scale) = (&mut x[*id as usize], f64::from(*scale));
        *x = if *x > 0.0 { *x / scale } else { *x * scale } - f64::from(*minus);
    }
    if let Some(kept) = kept {
        for (_, x) in x.iter_mut().enumerate().filter(|(id, _)| !kept.contains(&(*id as u32))) {
            *x = f64::NEG_INFINITY;
        }
    }
    let total = x.iter().map(|x| (x / temperature).exp()).sum::<f64>().ln();
    let finite = x.iter().map(|x| x / temperature - total).filter(|logprob| logprob.is_finite());
    let entropy = finite.map(|logprob| -logprob.exp() * logprob).sum::<f64>();
    ((x[target as usize] / temperature - total) as f32, entropy as f32)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn logprobs_and_entropy_are_those_of_the_tempered_softmax(
        [tokens, width, vocabulary] in prop::array::uniform3(1_usize..9),
        temperature in 0.2_f64..3.0,
        is_shaped in any::<bool>(),
        seed in 0_u32..1000,
    ) {
        let device = testkit::device();
        let hidden = test_inputs::tensor::<2>([tokens, width], seed, &device);
        let head = test_inputs::tensor::<2>([vocabulary, width], seed + 1, &device).mul_scalar(3.0);
        let logits = testkit::floats(hidden.clone().matmul(head.clone().transpose()));
        let plan = Plan { temperature, tokens_at_once: 3, ids_at_once: 4 };
        let operation = operation(tokens, vocabulary, is_shaped, seed, plan);
        let rows = logits.chunks(vocabulary).zip(&operation.targets).enumerate();
        let (logprobs, entropy): (Vec<f32>, Vec<f32>) = rows
            .map(|(row, (logits, &target))| {
                expected(logits, target, operation.shape_of(row, &(0..vocabulary)), temperature)
            })
            .unzip();
        for actual in [
            operation.reference(hidden.clone(), head.clone()),
            operation.statistics(hidden, head),
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
        is_shaped in any::<bool>(),
        seed in 0_u32..1000,
    ) {
        let device = testkit::autodiff_device();
        let hidden = test_inputs::tensor::<2>([tokens, width], seed, &device);
        let head = test_inputs::tensor::<2>([vocabulary, width], seed + 1, &device);
        let with = |plan| operation(tokens, vocabulary, is_shaped, seed, plan);
        same_with_gradients(
            (hidden, head),
            |(hidden, head)| with(Plan::rows(temperature, vocabulary)).reference(hidden, head).logprobs,
            |(hidden, head)| {
                with(Plan { temperature, tokens_at_once, ids_at_once }).statistics(hidden, head).logprobs
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
        let plan = Plan { temperature: 0.6, tokens_at_once, ids_at_once };
        let head = test_inputs::tensor::<2>([vocabulary, width], seed + 1, &device);
        let gradient = |head: Tensor<2>| {
            let hidden = test_inputs::tensor::<2>([tokens, width], seed, &device).require_grad();
            let operation = operation(tokens, vocabulary, seed.is_multiple_of(2), seed, plan);
            let logprobs = operation.statistics(hidden.clone(), head.clone()).logprobs;
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
                let plan = Plan::rows(temperature, vocabulary);
                let operation = TargetLogprobs { targets: targets.clone(), shaping: None, plan };
                operation.reference(hidden.cast(DType::BF16), head).logprobs
            },
            |(hidden, head)| {
                token_logprobs(ComputeDtype::Bf16.operand(hidden), head, &targets, temperature).logprobs
            },
        );
    }
}

#[test]
fn without_any_shape_it_is_the_plain_softmax_and_ids_beyond_the_vocabulary_count_for_nothing() {
    let device = testkit::device();
    let hidden = test_inputs::tensor::<2>([3, 4], 1, &device);
    let head = test_inputs::tensor::<2>([6, 4], 2, &device);
    let plain = token_logprobs(hidden.clone(), head.clone(), &[0, 5, 2], 0.8);
    let mut shaping = Shaping::default();
    for _ in 0..3 {
        shaping.push([LogitEdit { id: 6, scale: 2.0, minus: 1.0 }], &[0, 1, 2, 3, 4, 5, 6]);
    }
    let shaped = shaped_logprobs(hidden, head, &[0, 5, 2], &shaping, 0.8);
    testkit::assert_close(&testkit::floats(shaped.logprobs), &testkit::floats(plain.logprobs), 1e-6);
    testkit::assert_close(&testkit::floats(shaped.entropy), &testkit::floats(plain.entropy), 1e-6);
}
