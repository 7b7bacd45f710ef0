//! Log-probabilities of given next tokens under a distribution that the sampler shaped: logits that penalties changed, and a
//! softmax over the tokens that top-k, top-p or min-p kept. From hidden states, a block of logits at a time.

// N tokens, D hidden, V vocabulary

use crate::TokenStatistics;
use crate::backend::{Form, operation};
use crate::linear::products;
use crate::logits::Plan;
use burn::tensor::{Int, Tensor, TensorData, activation::log_softmax};
use std::ops::Range;

/// How a logit x of one token is changed: to `x / scale - minus` where x is positive, else to `x * scale - minus`. An infinite
/// `minus` leaves the token out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogitEdit {
    /// The token.
    pub id: u32,
    /// Above 0.
    pub scale: f32,
    /// What is taken off.
    pub minus: f32,
}

impl LogitEdit {
    /// The changed logit, where both were divided by the temperature; and by what the logit's own gradient is multiplied.
    pub(crate) fn apply(&self, cooled: f32, temperature: f32) -> (f32, f32) {
        let factor = if cooled > 0.0 { 1.0 / self.scale } else { self.scale };
        (cooled * factor - self.minus / temperature, factor)
    }
}

/// How the distribution of each row was shaped.
#[derive(Clone, Debug, Default)]
pub struct Shaping {
    edits: Vec<LogitEdit>,
    edit_ends: Vec<usize>,
    kept: Vec<u32>,
    kept_ends: Vec<usize>,
}

impl Shaping {
    /// Adds a row: the changes of its logits, and the tokens that were kept; none for all of them.
    ///
    /// # Panics
    /// When ids do not ascend, or one comes twice.
    pub fn push(&mut self, edits: impl IntoIterator<Item = LogitEdit>, kept: &[u32]) {
        let start = self.edits.len();
        self.edits.extend(edits);
        let ascends = self.edits[start..].windows(2).all(|pair| pair[0].id < pair[1].id);
        assert!(ascends && kept.windows(2).all(|pair| pair[0] < pair[1]), "ids ascend");
        self.kept.extend_from_slice(kept);
        self.edit_ends.push(self.edits.len());
        self.kept_ends.push(self.kept.len());
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.kept_ends.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.kept_ends.is_empty()
    }

    /// The changes of a row's logits of some ids.
    pub(crate) fn edits_of(&self, row: usize, ids: &Range<usize>) -> &[LogitEdit] {
        within(&self.edits[range(&self.edit_ends, row)], ids, |edit| edit.id)
    }

    /// The kept ones of some ids; None where a row keeps all.
    pub(crate) fn kept_of(&self, row: usize, ids: &Range<usize>) -> Option<&[u32]> {
        let kept = &self.kept[range(&self.kept_ends, row)];
        (!kept.is_empty()).then(|| within(kept, ids, |&id| id))
    }
}

/// Where a row's items are.
fn range(ends: &[usize], row: usize) -> Range<usize> {
    row.checked_sub(1).map_or(0, |before| ends[before])..ends[row]
}

/// Of items whose ids ascend, those with one of some ids.
fn within<'a, T>(items: &'a [T], ids: &Range<usize>, id: impl Fn(&T) -> u32) -> &'a [T] {
    let before = |end: usize| items.partition_point(|item| (id(item) as usize) < end);
    &items[before(ids.start)..before(ids.end)]
}

/// `ln p(target)` in nats, and the entropy, of the softmax of `hidden W^T`, changed as `shaping` says, then divided by the
/// temperature, over the tokens that are kept.
///
/// # Shapes
/// - `hidden`: `[N, D]`, `head`: `[V, D]`, `targets`: N ids below V, `shaping`: N rows of ids, of which those from V on count
///   for nothing
///
/// # Panics
/// When there is no token, not one target and row per token, or a target is not among what its row keeps.
pub fn shaped_logprobs(
    hidden: Tensor<2>,
    head: Tensor<2>,
    targets: &[u32],
    shaping: &Shaping,
    temperature: f64,
) -> TokenStatistics {
    assert!(!targets.is_empty() && targets.len() == hidden.dims()[0], "one target a token, at least one");
    assert_eq!(targets.len(), shaping.len(), "one row a token");
    let [vocabulary, _] = head.dims();
    for (row, target) in targets.iter().enumerate() {
        let is_kept = shaping.kept_of(row, &(0..vocabulary)).is_none_or(|kept| kept.contains(target));
        assert!(is_kept, "token {row}: its target {target} is not among what was kept");
    }
    match ShapedLogprobs::form_of_products(&hidden) {
        Form::Reference => reference(hidden, head, targets, shaping, Plan::rows(temperature, vocabulary)),
        Form::Fused => fused(hidden, head, targets, shaping.clone(), Plan::blocks(temperature)),
    }
}

/// The operation of [`shaped_logprobs`]; besides them it gives, without gradient, the entropy and the log-sum of what is kept
/// of each.
#[derive(Clone, Debug)]
pub(crate) struct ShapedLogprobs {
    pub(crate) targets: Vec<u32>,
    pub(crate) shaping: Shaping,
    pub(crate) plan: Plan,
}

operation!(ShapedLogprobs(hidden: Tensor<2>, head: Tensor<2>) -> (logprobs: Tensor<1>, besides: Tensor<2>));

fn fused(
    hidden: Tensor<2>,
    head: Tensor<2>,
    targets: &[u32],
    shaping: Shaping,
    plan: Plan,
) -> TokenStatistics {
    let tokens = targets.len();
    let operation = ShapedLogprobs { targets: targets.to_vec(), shaping, plan };
    let (logprobs, besides) = operation.fused(hidden, head);
    TokenStatistics { logprobs, entropy: besides.narrow(1, 0, 1).reshape([tokens]) }
}

/// What is taken off a logit to leave it out of a sum: finite, so that no gradient becomes NaN.
const OUT: f32 = 1e30;

fn reference(
    hidden: Tensor<2>,
    head: Tensor<2>,
    targets: &[u32],
    shaping: &Shaping,
    plan: Plan,
) -> TokenStatistics {
    let Plan { temperature, tokens_at_once, .. } = plan;
    let ([tokens, _], [vocabulary, _], device) = (hidden.dims(), head.dims(), hidden.device());
    let targets: Vec<i32> = targets.iter().map(|&target| target as i32).collect();
    let targets = Tensor::<1, Int>::from_ints(targets.as_slice(), &device);
    let (hidden, head) = products(hidden, head);
    let head = head.transpose(); // [D, V]
    let (mut logprobs, mut entropy) = (Vec::new(), Vec::new());
    for start in (0..tokens).step_by(tokens_at_once) {
        let length = tokens_at_once.min(tokens - start);
        let dense =
            |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [length, vocabulary]), &device);
        let (mut scales, mut minus) = (vec![1.0; length * vocabulary], vec![0.0; length * vocabulary]);
        for row in 0..length {
            let (token, ids) = (start + row, 0..vocabulary);
            let minus = &mut minus[row * vocabulary..][..vocabulary];
            if let Some(kept) = shaping.kept_of(token, &ids) {
                minus.fill(OUT);
                for &id in kept {
                    minus[id as usize] = 0.0;
                }
            }
            for edit in shaping.edits_of(token, &ids) {
                scales[row * vocabulary + edit.id as usize] = edit.scale;
                let of_edit = &mut minus[edit.id as usize];
                *of_edit = (*of_edit + edit.minus / temperature as f32).min(OUT);
            }
        }
        let logits = hidden.clone().narrow(0, start, length).matmul(head.clone()).div_scalar(temperature);
        let scales = dense(scales);
        let positive = logits.clone().detach().greater_elem(0.0);
        let factors = scales.clone().mask_where(positive, scales.recip());
        let all = log_softmax(logits * factors - dense(minus), 1); // [n, V]
        let chosen = targets.clone().narrow(0, start, length).unsqueeze_dim(1);
        logprobs.push(all.clone().gather(1, chosen).reshape([length]));
        let all = all.detach();
        entropy.push((all.clone().exp() * all).sum_dim(1).neg().reshape([length]));
    }
    TokenStatistics { logprobs: Tensor::cat(logprobs, 0), entropy: Tensor::cat(entropy, 0) }
}

#[cfg(test)]
mod tests {
    use super::{LogitEdit, Plan, Shaping, fused, reference, shaped_logprobs};
    use crate::grad_check::same_with_gradients;
    use crate::{test_inputs, token_logprobs};
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    /// Some number of a row and an id.
    fn mixed(row: usize, id: usize, seed: u32) -> usize {
        (row * 7919 + id * 104_729 + seed as usize * 31 + 17) % 1009
    }

    /// Targets and rows of every kind: whole or cut, with and without edits and tokens that are left out.
    fn shaped(tokens: usize, vocabulary: usize, seed: u32) -> (Vec<u32>, Shaping) {
        let targets: Vec<u32> = (0..tokens).map(|t| (mixed(t, 0, seed) % vocabulary) as u32).collect();
        let mut shaping = Shaping::default();
        for (row, &target) in targets.iter().enumerate() {
            let is_kept = |&id: &u32| id == target || mixed(row, id as usize, seed + 1).is_multiple_of(3);
            let kept: Vec<u32> = (0..vocabulary as u32).filter(is_kept).collect();
            let edit = |id: u32| {
                let kind = mixed(row, id as usize, seed + 2);
                let minus = if kind.is_multiple_of(11) && id != target {
                    f32::INFINITY
                } else {
                    kind as f32 / 1000.0
                };
                let scale = if kind.is_multiple_of(2) { 1.0 } else { 1.7 };
                (kind % 4 < 2).then_some(LogitEdit { id, scale, minus })
            };
            let edits: Vec<LogitEdit> = (0..vocabulary as u32).filter_map(edit).collect();
            let kept = if row % 3 == 0 { &[] } else { kept.as_slice() };
            shaping.push(if row % 4 == 1 { Vec::new() } else { edits }, kept);
        }
        (targets, shaping)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn logprobs_and_entropy_are_those_of_the_shaped_softmax(
            [tokens, width, vocabulary] in prop::array::uniform3(1_usize..9),
            temperature in 0.2_f64..3.0,
            seed in 0_u32..1000,
        ) {
            let device = testkit::device();
            let hidden = test_inputs::tensor::<2>([tokens, width], seed, &device);
            let head = test_inputs::tensor::<2>([vocabulary, width], seed + 1, &device).mul_scalar(3.0);
            let (targets, shaping) = shaped(tokens, vocabulary, seed);
            let logits = testkit::floats(hidden.clone().matmul(head.clone().transpose()));
            let (mut logprobs, mut entropy) = (Vec::new(), Vec::new());
            for (row, (logits, &target)) in logits.chunks(vocabulary).zip(&targets).enumerate() {
                let mut x: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
                for LogitEdit { id, scale, minus } in shaping.edits_of(row, &(0..vocabulary)) {
                    let (x, scale) = (&mut x[*id as usize], f64::from(*scale));
                    *x = if *x > 0.0 { *x / scale } else { *x * scale } - f64::from(*minus);
                }
                if let Some(kept) = shaping.kept_of(row, &(0..vocabulary)) {
                    let out = (0..vocabulary).filter(|&id| !kept.contains(&(id as u32)));
                    out.for_each(|id| x[id] = f64::NEG_INFINITY);
                }
                let total = x.iter().map(|x| (x / temperature).exp()).sum::<f64>().ln();
                logprobs.push((x[target as usize] / temperature - total) as f32);
                let finite = x.iter().map(|x| x / temperature - total).filter(|logprob| logprob.is_finite());
                entropy.push(finite.map(|logprob| -logprob.exp() * logprob).sum::<f64>() as f32);
            }
            let plan = Plan { temperature, tokens_at_once: 3, ids_at_once: 4 };
            for actual in [
                fused(hidden.clone(), head.clone(), &targets, shaping.clone(), plan),
                reference(hidden, head, &targets, &shaping, plan),
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
            let (targets, shaping) = shaped(tokens, vocabulary, seed);
            same_with_gradients(
                (hidden, head),
                |(hidden, head)| {
                    let plan = Plan::rows(temperature, vocabulary);
                    reference(hidden, head, &targets, &shaping, plan).logprobs
                },
                |(hidden, head)| {
                    let plan = Plan { temperature, tokens_at_once, ids_at_once };
                    fused(hidden, head, &targets, shaping.clone(), plan).logprobs
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
}
