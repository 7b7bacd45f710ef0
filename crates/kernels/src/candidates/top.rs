//! The most probable tokens of each place, chosen on the host: what is kept of a teacher.

// N tokens, n of them at once, V vocabulary, K kept

use crate::backend::cpu::Sums;
use crate::linear::linear;
use crate::logits::Plan;
use crate::read::{Place, floats};
use burn::tensor::Tensor;
use rayon::prelude::*;

/// The top of some next-token distributions, and the rest of each as one number. Rows sum to 1 once exponentiated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopLogprobs {
    /// `[N, K]`: the most probable tokens, the most probable first; ties go to the lower id.
    pub ids: Vec<u32>,
    /// `[N, K]`: their log-probabilities in nats.
    pub logprobs: Vec<f32>,
    /// `[N]`: `ln` of the probability of all the others together; `-inf` where there are none.
    pub rest: Vec<f32>,
}

/// The `count` most probable tokens of `softmax(hidden W^T / temperature)` in each row, a chunk of rows at a time.
///
/// # Shapes
/// - `hidden`: `[N, D]`, `head`: `[V, D]`
///
/// # Panics
/// When `count` is 0 or above V.
pub fn top_logprobs(hidden: Tensor<2>, head: Tensor<2>, count: usize, temperature: f64) -> TopLogprobs {
    let ([tokens, _], [vocabulary, _]) = (hidden.dims(), head.dims());
    assert!((1..=vocabulary).contains(&count), "from 1 to {vocabulary} tokens of a row, found {count}");
    let step = Plan::rows(temperature, vocabulary).tokens_at_once;
    let mut top = TopLogprobs {
        ids: vec![0; tokens * count],
        logprobs: vec![0.0; tokens * count],
        rest: vec![0.0; tokens],
    };
    for start in (0..tokens).step_by(step) {
        let end = tokens.min(start + step);
        let logits = linear(hidden.clone().narrow(0, start, end - start), head.clone()); // [n, V]
        let mut logits = floats(logits.div_scalar(temperature), Place::Logits);
        logits
            .par_chunks_mut(vocabulary)
            .zip(top.ids[start * count..end * count].par_chunks_mut(count))
            .zip(top.logprobs[start * count..end * count].par_chunks_mut(count))
            .zip(top.rest[start..end].par_iter_mut())
            .for_each(|(((logits, ids), logprobs), rest)| fill(logits, ids, logprobs, rest));
    }
    top
}

/// One row. What is chosen is taken out of `logits`.
fn fill(logits: &mut [f32], ids: &mut [u32], logprobs: &mut [f32], rest: &mut f32) {
    let higher = |&a: &u32, &b: &u32| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b));
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    if ids.len() < order.len() {
        order.select_nth_unstable_by(ids.len() - 1, higher);
        order.truncate(ids.len());
    }
    order.sort_unstable_by(higher);
    ids.copy_from_slice(&order);
    for (logprob, &id) in logprobs.iter_mut().zip(&order) {
        *logprob = std::mem::replace(&mut logits[id as usize], f32::NEG_INFINITY);
    }
    let of_others = Sums::of(logits).log();
    let of_all = Sums::of(&[Sums::of(logprobs).log(), of_others]).log();
    for logprob in logprobs {
        *logprob -= of_all;
    }
    *rest = of_others - of_all;
}

#[cfg(test)]
mod tests {
    use super::top_logprobs;
    use crate::candidate_logprobs;
    use crate::test_inputs;
    use burn::tensor::Tensor;
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_top_is_in_order_and_the_rest_is_below_it(
            [tokens, width] in prop::array::uniform2(1_usize..8),
            (vocabulary, count) in (1_usize..40).prop_flat_map(|v| (Just(v), 1..=v)),
            temperature in 0.2_f64..3.0,
            seed in 0_u32..1000,
        ) {
            let device = testkit::device();
            let hidden = test_inputs::tensor::<2>([tokens, width], seed, &device);
            let head = test_inputs::tensor::<2>([vocabulary, width], seed + 1, &device).mul_scalar(3.0);
            let top = top_logprobs(hidden.clone(), head.clone(), count, temperature);
            let again = testkit::floats(candidate_logprobs(hidden.clone(), head.clone(), &top.ids, temperature));
            let logits = testkit::floats(hidden.matmul(head.transpose()));
            for (row, logits) in logits.chunks(vocabulary).enumerate() {
                let of_row = row * count..(row + 1) * count;
                let (ids, logprobs) = (&top.ids[of_row.clone()], &top.logprobs[of_row]);
                prop_assert!(logprobs.windows(2).all(|pair| pair[0] >= pair[1]));
                let lowest = logits[ids[count - 1] as usize];
                let above = (0..vocabulary as u32).filter(|id| !ids.contains(id) && logits[*id as usize] > lowest + 1e-5);
                prop_assert_eq!(above.count(), 0);
                let again = &again[row * (count + 1)..(row + 1) * (count + 1)];
                // Some units in the last place of the largest, since logits of this size are rounded on the way.
                let largest = logprobs.iter().fold(0.0_f32, |largest, logprob| largest.max(logprob.abs()));
                testkit::assert_close(logprobs, &again[..count], 1e-5_f32.max(5e-7 * largest));
                testkit::assert_close(&top.rest[row..=row], &again[count..], 1e-4);
            }
        }
    }

    #[test]
    fn ties_go_to_the_lower_id() {
        let device = testkit::device();
        let hidden = Tensor::<2>::from_floats([[1.0]], &device);
        let head = Tensor::<2>::from_floats([[0.0], [1.0], [1.0], [0.0]], &device);
        assert_eq!(top_logprobs(hidden, head, 3, 1.0).ids, [1, 2, 0]);
    }
}
