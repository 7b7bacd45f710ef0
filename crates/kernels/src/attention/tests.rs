//! The compositions against plain arithmetic, the fused forms against the compositions.

use super::{
    KeyValueRing, MASKED, PackedAttention, Segments, Sources, VisibleColumns, attention, composed, decode,
    decode_attention, decode_latent_attention, latent_attention, latent_reference, reference,
};
use crate::ComputeDtype;
use crate::grad_check::{close_with_gradients, same_with_gradients, same_with_gradients_of_terms};
use crate::test_inputs;
use burn::tensor::Tensor;
use proptest::prelude::*;
use ruminate_testkit as testkit;

fn fused(
    q: Tensor<4>,
    x: Tensor<4>,
    y: Tensor<4>,
    segments: &Segments,
    sources: Sources,
    scale: f64,
) -> Tensor<4> {
    PackedAttention::new(segments, sources, scale, ComputeDtype::F32).fused(q, x, y)
}

/// One head in f64: `q` `[T, Dk]`, `k` `[S, Dk]`, `v` `[S, Dv]`, `bias` `[T, S]`, row-major.
fn one_head(q: &[f32], k: &[f32], v: &[f32], bias: &[f32], [key, value]: [usize; 2], scale: f64) -> Vec<f32> {
    let sources = v.len() / value;
    let mut out = Vec::new();
    for (q, bias) in q.chunks(key).zip(bias.chunks(sources)) {
        let product = |k: &[f32]| q.iter().zip(k).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum::<f64>();
        let scores: Vec<f64> =
            k.chunks(key).zip(bias).map(|(k, &bias)| product(k) * scale + f64::from(bias)).collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
        let total: f64 = weights.iter().sum();
        for column in 0..value {
            let sum: f64 = weights.iter().zip(v.chunks(value)).map(|(w, v)| w * f64::from(v[column])).sum();
            out.push((sum / total) as f32);
        }
    }
    out
}

/// `batch` rows whose stretches have about `length` places, other ones in each row.
fn segments(batch: usize, tokens: usize, length: usize) -> Segments {
    trees(batch, tokens, length, 1)
}

/// The same, of which about `branches` in a row make a tree.
fn trees(batch: usize, tokens: usize, length: usize, branches: usize) -> Segments {
    let number = |place: usize, length: usize| ((place % tokens + place / tokens * 3) / length) as u32;
    let numbers = |length| (0..batch * tokens).map(|place| number(place, length)).collect::<Vec<u32>>();
    Segments::in_trees(&numbers(length), &numbers(length * branches), [batch, tokens])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_head_is_softmax_attention_over_its_groups_key_value_head(
        [batch, kv_heads, group] in prop::array::uniform3(1_usize..4),
        [tokens, sources, key, value] in prop::array::uniform4(1_usize..7),
        seed in 0_u32..1000,
    ) {
        let device = testkit::device();
        let heads = kv_heads * group;
        let q = test_inputs::tensor([batch, heads, tokens, key], seed, &device);
        let k = test_inputs::tensor([batch, kv_heads, sources, key], seed + 1, &device);
        let v = test_inputs::tensor([batch, kv_heads, sources, value], seed + 2, &device);
        let bias = test_inputs::tensor([batch, 1, tokens, sources], seed + 3, &device);
        let out = composed(q.clone(), k.clone(), v.clone(), bias.clone(), 0.7);
        prop_assert_eq!(out.dims(), [batch, heads, tokens, value]);

        let [q, k, v, bias] = [q, k, v, bias].map(testkit::floats);
        let expected: Vec<f32> = (0..batch * heads)
            .flat_map(|i| {
                // Head h of a row reads key-value head h / G.
                let kv = i / heads * kv_heads + i % heads / group;
                let part = |x: &[f32], i: usize, size: usize| x[i * size..(i + 1) * size].to_vec();
                one_head(
                    &part(&q, i, tokens * key),
                    &part(&k, kv, sources * key),
                    &part(&v, kv, sources * value),
                    &part(&bias, i / heads, tokens * sources),
                    [key, value],
                    0.7,
                )
            })
            .collect();
        testkit::assert_close(&testkit::floats(out), &expected, 1e-5);
    }

    #[test]
    fn the_fused_form_equals_the_reference_in_value_and_gradients(
        [batch, kv_heads, group] in prop::array::uniform3(1_usize..4),
        tokens in 1_usize..100,
        length in 1_usize..100,
        branches in 1_usize..6,
        [key, value] in prop::array::uniform2(1_usize..40),
        seed in 0_u32..1000,
    ) {
        let device = testkit::autodiff_device();
        let segments = trees(batch, tokens, length, branches);
        let q = test_inputs::tensor::<4>([batch, tokens, kv_heads * group, key], seed, &device);
        let k = test_inputs::tensor::<4>([batch, tokens, kv_heads, key], seed + 1, &device);
        let v = test_inputs::tensor::<4>([batch, tokens, kv_heads, value], seed + 2, &device);
        // A place that sees few others: what is left of gradients of probabilities of about 1.
        same_with_gradients_of_terms(
            1.0,
            (q, k, v),
            |(q, k, v)| reference(q, k, v, &segments, 0.7),
            |(q, k, v)| fused(q, k, v, &segments, Sources::Separate, 0.7),
        );
    }

    #[test]
    fn the_fused_form_over_latents_equals_the_reference_in_value_and_gradients(
        [batch, heads] in prop::array::uniform2(1_usize..4),
        tokens in 1_usize..100,
        length in 1_usize..100,
        branches in 1_usize..6,
        [own, rotary, value] in prop::array::uniform3(1_usize..40),
        seed in 0_u32..1000,
    ) {
        let device = testkit::autodiff_device();
        let segments = trees(batch, tokens, length, branches);
        let q = test_inputs::tensor::<4>([batch, tokens, heads, own + rotary], seed, &device);
        let up = test_inputs::tensor::<4>([batch, tokens, heads, own + value], seed + 1, &device);
        let k_rope = test_inputs::tensor::<4>([batch, tokens, 1, rotary], seed + 2, &device);
        same_with_gradients_of_terms(
            1.0,
            (q, up, k_rope),
            |(q, up, k_rope)| latent_reference(q, up, k_rope, &segments, 0.7),
            |(q, up, k_rope)| fused(q, up, k_rope, &segments, Sources::Joint, 0.7),
        );
    }

    #[test]
    fn decoding_equals_its_reference_wherever_in_the_ring(
        [slots, kv_heads] in prop::array::uniform2(1_usize..4),
        group in 1_usize..20,
        [columns, key, value] in prop::array::uniform3(1_usize..40),
        counts in prop::array::uniform3(1_usize..45),
        written in prop::array::uniform3(0_usize..40),
        together in any::<bool>(),
        seed in 0_u32..1000,
    ) {
        let device = testkit::device();
        // All slots write the same column, or each its own.
        let written = if together { [written[0]; 3] } else { written };
        let latest = VisibleColumns::new((0..slots).map(|slot| (counts[slot], written[slot] % columns)));
        let q = test_inputs::tensor::<3>([slots, kv_heads * group, key], seed, &device);
        let k = test_inputs::tensor::<3>([slots, kv_heads, key], seed + 3, &device);
        let v = test_inputs::tensor::<3>([slots, kv_heads, value], seed + 4, &device);
        let ring = KeyValueRing {
            keys: test_inputs::tensor([slots, kv_heads, key, columns], seed + 1, &device),
            values: test_inputs::tensor([slots, kv_heads, columns, value], seed + 2, &device),
        };
        let (expected, expected_ring) =
            decode::reference(q.clone(), k.clone(), v.clone(), ring.clone(), &latest, 0.7);
        let (actual, actual_ring) = decode_attention(q, k, v, ring, &latest, 0.7);
        testkit::assert_close(&testkit::floats(actual), &testkit::floats(expected), 1e-5);
        assert_eq!(testkit::floats(actual_ring.keys), testkit::floats(expected_ring.keys));
        assert_eq!(testkit::floats(actual_ring.values), testkit::floats(expected_ring.values));

        let q = test_inputs::tensor::<3>([slots, group, key], seed, &device);
        let new = test_inputs::tensor::<2>([slots, key], seed + 5, &device);
        let kept = test_inputs::tensor::<3>([slots, columns, key], seed + 1, &device);
        let width = value.min(key);
        let (expected, expected_kept) =
            decode::latent_reference(q.clone(), new.clone(), kept.clone(), width, &latest, 0.7);
        let (actual, actual_kept) = decode_latent_attention(q, new, kept, width, &latest, 0.7);
        testkit::assert_close(&testkit::floats(actual), &testkit::floats(expected), 1e-5);
        assert_eq!(testkit::floats(actual_kept), testkit::floats(expected_kept));
    }
}

#[test]
fn the_queries_of_the_last_places_alone_give_the_bits_that_they_give_among_all() {
    let device = testkit::device();
    let (batch, tokens) = (2, 75);
    let segments = trees(batch, tokens, 21, 3);
    let q = test_inputs::tensor::<4>([batch, tokens, 6, 16], 1, &device);
    let [k, v] = [2, 3].map(|seed| test_inputs::tensor::<4>([batch, tokens, 3, 16], seed, &device));
    let up = test_inputs::tensor::<4>([batch, tokens, 6, 19], 4, &device);
    let k_rope = test_inputs::tensor::<4>([batch, tokens, 1, 5], 5, &device);
    let all = attention(q.clone(), k.clone(), v.clone(), &segments, 0.7, ComputeDtype::F32);
    let all_latent =
        latent_attention(q.clone(), up.clone(), k_rope.clone(), &segments, 0.7, ComputeDtype::F32);
    for first in [1, 32, 33, 74] {
        let last = |x: &Tensor<4>| x.clone().narrow(1, first, tokens - first);
        let same = |part: Tensor<4>, all: &Tensor<4>| {
            assert_eq!(testkit::floats(part), testkit::floats(last(all)), "from place {first}");
        };
        same(attention(last(&q), k.clone(), v.clone(), &segments, 0.7, ComputeDtype::F32), &all);
        same(
            latent_attention(last(&q), up.clone(), k_rope.clone(), &segments, 0.7, ComputeDtype::F32),
            &all_latent,
        );
        let composed = reference(last(&q), k.clone(), v.clone(), &segments, 0.7);
        testkit::assert_close(&testkit::floats(composed), &testkit::floats(last(&all)), 1e-5);
    }
}

#[test]
fn views_are_read_where_they_lie() {
    let device = testkit::autodiff_device();
    let segments = segments(2, 40, 25);
    let shape = [2, 3, 40, 8];
    let [q, k, v] = [1, 2, 3].map(|seed| test_inputs::tensor::<4>(shape, seed, &device));
    // Heads before places, and columns in the middle of wider rows.
    let view = |x: Tensor<4>| x.swap_dims(1, 2).narrow(3, 2, 5);
    same_with_gradients(
        (q, k, v),
        |(q, k, v)| reference(view(q), view(k), view(v), &segments, 0.7),
        |(q, k, v)| fused(view(q), view(k), view(v), &segments, Sources::Separate, 0.7),
    );
}

#[test]
fn repeating_the_key_value_heads_changes_neither_result_nor_gradients() {
    let device = testkit::autodiff_device();
    let (batch, kv_heads, group, tokens, width) = (2, 2, 3, 5, 4);
    let segments = Segments::new(&[1, 1, 1, 2, 2, 1, 1, 1, 1, 0], [batch, tokens]);
    let heads = |x: Tensor<4>| {
        let shape = [batch, tokens, kv_heads, group, width];
        x.unsqueeze_dim::<5>(3).expand(shape).reshape([batch, tokens, kv_heads * group, width])
    };
    let q = test_inputs::tensor::<4>([batch, tokens, kv_heads * group, width], 1, &device);
    let [k, v] = [2, 3].map(|seed| test_inputs::tensor::<4>([batch, tokens, kv_heads, width], seed, &device));
    same_with_gradients(
        (q, k, v),
        |(q, k, v)| reference(q, heads(k), heads(v), &segments, 0.5),
        |(q, k, v)| reference(q, k, v, &segments, 0.5),
    );
}

#[test]
fn a_trunk_with_branches_is_each_branch_after_a_trunk_of_its_own() {
    let device = testkit::autodiff_device();
    let (heads, kv_heads, width, trunk, branch, branches) = (4, 2, 8, 13, 9, 5);
    let tokens = trunk + branch * branches;
    let numbers: Vec<u32> = (0..tokens)
        .map(|place| if place < trunk { 1 } else { 2 + ((place - trunk) / branch) as u32 })
        .collect();
    let tree = Segments::in_trees(&numbers, &vec![1; tokens], [1, tokens]);
    let alone = Segments::new(&vec![1; branches * (trunk + branch)], [branches, trunk + branch]);
    // `[1, T, H, W]` as a row per branch, and the results of the trunk and the branches again as one row.
    let apart = |x: Tensor<4>| {
        let shared = x.clone().narrow(1, 0, trunk);
        let row =
            |index| Tensor::cat(vec![shared.clone(), x.clone().narrow(1, trunk + index * branch, branch)], 1);
        Tensor::cat((0..branches).map(row).collect(), 0)
    };
    let together = |x: Tensor<4>| {
        let of = |row: usize, start, count| x.clone().narrow(0, row, 1).narrow(1, start, count);
        let branches = (0..branches).map(|row| of(row, trunk, branch));
        Tensor::cat([of(0, 0, trunk)].into_iter().chain(branches).collect(), 1)
    };
    let q = test_inputs::tensor::<4>([1, tokens, heads, width], 1, &device);
    let [k, v] = [2, 3].map(|seed| test_inputs::tensor::<4>([1, tokens, kv_heads, width], seed, &device));
    same_with_gradients(
        (q, k, v),
        |(q, k, v)| together(fused(apart(q), apart(k), apart(v), &alone, Sources::Separate, 0.5)),
        |(q, k, v)| fused(q, k, v, &tree, Sources::Separate, 0.5),
    );
}

#[test]
fn a_row_that_is_masked_whole_stays_finite() {
    let device = testkit::device();
    let [q, k, v] = [1, 2, 3].map(|seed| test_inputs::tensor([1, 1, 2, 4], seed, &device));
    let bias = Tensor::full([1, 1, 2, 2], MASKED, &device);
    assert!(testkit::floats(composed(q, k, v, bias, 1.0)).iter().all(|x| x.is_finite()));
}

#[test]
fn a_slots_bits_do_not_depend_on_where_in_the_ring_its_columns_lie() {
    let device = testkit::device();
    let (columns, seen) = (37, 21);
    let q = test_inputs::tensor::<3>([1, 6, 24], 1, &device);
    let keys = test_inputs::tensor::<4>([1, 2, 24, columns], 2, &device);
    let values = test_inputs::tensor::<4>([1, 2, columns, 24], 3, &device);
    let [k, v] = [4, 5].map(|seed| test_inputs::tensor::<3>([1, 2, 24], seed, &device));
    let turned = |column: usize| {
        // The same columns, the latest at `column`.
        let by = (column + columns - 20) % columns;
        let turn = |x: &Tensor<4>, axis: usize| match by {
            0 => x.clone(),
            by => Tensor::cat(
                vec![x.clone().narrow(axis, columns - by, by), x.clone().narrow(axis, 0, columns - by)],
                axis,
            ),
        };
        let ring = KeyValueRing { keys: turn(&keys, 3), values: turn(&values, 2) };
        let latest = VisibleColumns::new([(seen, column)]);
        testkit::floats(decode_attention(q.clone(), k.clone(), v.clone(), ring, &latest, 0.3).0)
    };
    for column in 0..columns {
        assert_eq!(turned(column), turned(20), "column {column}");
    }
}

#[test]
fn decoding_works_on_a_device_that_tracks() {
    let run = |device| {
        let q = test_inputs::tensor::<3>([2, 4, 8], 1, &device);
        let [k, v] = [4, 5].map(|seed| test_inputs::tensor::<3>([2, 2, 8], seed, &device));
        let ring = KeyValueRing {
            keys: test_inputs::tensor([2, 2, 8, 5], 2, &device),
            values: test_inputs::tensor([2, 2, 5, 8], 3, &device),
        };
        testkit::floats(decode_attention(q, k, v, ring, &VisibleColumns::new([(3, 1), (5, 1)]), 0.3).0)
    };
    assert_eq!(run(testkit::autodiff_device()), run(testkit::device()));
}

#[test]
fn threads_change_no_bit() {
    let device = testkit::autodiff_device();
    let segments = segments(2, 150, 90);
    let run = || {
        let q = test_inputs::tensor::<4>([2, 150, 6, 24], 1, &device).require_grad();
        let [k, v] =
            [2, 3].map(|seed| test_inputs::tensor::<4>([2, 150, 3, 24], seed, &device).require_grad());
        let out = fused(q.clone(), k.clone(), v.clone(), &segments, Sources::Separate, 0.7);
        let weights = test_inputs::tensor([2, 150, 6, 24], 9, &device);
        let gradients = (out.clone() * weights).sum().backward();
        let gradient = |x: &Tensor<4>| testkit::floats(x.grad(&gradients).expect("tracked"));
        [testkit::floats(out.inner()), gradient(&q), gradient(&k), gradient(&v)]
    };
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    assert_eq!(pool(1).install(run), pool(5).install(run));
}

#[test]
fn what_is_kept_in_bfloat16_changes_no_value_and_gradients_by_its_rounding() {
    let device = testkit::autodiff_device();
    let segments = trees(2, 50, 30, 2);
    let [q, k, v, y] = [(6, 24, 1), (3, 24, 2), (3, 20, 3), (1, 8, 4)]
        .map(|(heads, width, seed)| test_inputs::tensor::<4>([2, 50, heads, width], seed, &device));
    let run = |kept, q: Tensor<4>, k, v| attention(q, k, v, &segments, 0.7, kept);
    let exact = testkit::floats(run(ComputeDtype::F32, q.clone(), k.clone(), v.clone()));
    assert_eq!(testkit::floats(run(ComputeDtype::Bf16, q.clone(), k.clone(), v.clone())), exact);
    close_with_gradients(
        1.0 / 64.0,
        (q.clone(), k, v),
        |(q, k, v)| reference(q, k, v, &segments, 0.7),
        |(q, k, v)| run(ComputeDtype::Bf16, q, k, v),
    );
    let up = test_inputs::tensor::<4>([2, 50, 6, 16 + 20], 5, &device);
    close_with_gradients(
        1.0 / 64.0,
        (q, up, y),
        |(q, up, y)| latent_reference(q, up, y, &segments, 0.7),
        |(q, up, y)| latent_attention(q, up, y, &segments, 0.7, ComputeDtype::Bf16),
    );
}
