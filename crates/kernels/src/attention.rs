//! Scaled dot-product attention with an additive bias, grouped queries, and values of their own width (MLA).

use burn::tensor::{Device, Int, Tensor, activation::softmax};

/// What is added to a score that must not count. Large enough to vanish in softmax, small enough that no sum
/// of it overflows; `-inf` would turn a fully masked row into NaN.
pub const MASKED: f32 = -1e30;

/// `softmax(q k^T * scale + bias) v`.
///
/// # Shapes
/// - `q`: `[B, H, T, Dk]`, `k`: `[B, H / G, S, Dk]`, `v`: `[B, H / G, S, Dv]`
/// - `bias`: `[B, 1, T, S]`
/// - result: `[B, H, T, Dv]`
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, bias: Tensor<4>, scale: f64) -> Tensor<4> {
    let [batch, heads, tokens, key_width] = q.dims();
    let [_, kv_heads, sources, value_width] = v.dims();
    let group = heads / kv_heads;
    // The G query heads that share a key-value head become rows of one product: no key is repeated.
    let q = q.reshape([batch, kv_heads, group * tokens, key_width]);
    let scores = q.matmul(k.swap_dims(2, 3)).mul_scalar(scale);
    let scores = scores.reshape([batch, heads, tokens, sources]) + bias;
    let weights = softmax(scores, 3).reshape([batch, kv_heads, group * tokens, sources]);
    weights.matmul(v).reshape([batch, heads, tokens, value_width])
}

/// The bias of packed rows: a token sees the earlier tokens of its own segment, and itself.
///
/// `segments` numbers the sequences packed into a row; padding is a segment like any other, so no row of
/// scores is masked whole.
///
/// # Shapes
/// - `segments`: B * T values, row-major; result: `[B, 1, T, T]`
pub fn causal_bias(segments: &[u32], [batch, tokens]: [usize; 2], device: &Device) -> Tensor<4> {
    let ids: Vec<i32> = segments.iter().map(|&s| s as i32).collect();
    let ids = Tensor::<1, Int>::from_ints(ids.as_slice(), device).reshape([batch, tokens]);
    let rows: Tensor<3, Int> = ids.clone().unsqueeze_dim::<3>(2).expand([batch, tokens, tokens]);
    let columns: Tensor<3, Int> = ids.unsqueeze_dim::<3>(1).expand([batch, tokens, tokens]);
    let foreign = rows.not_equal(columns).float();
    let future = Tensor::<2>::ones([tokens, tokens], device).triu(1).unsqueeze::<3>();
    let hidden = (foreign + future).clamp_max(1.0);
    hidden.mul_scalar(MASKED).unsqueeze_dim(1)
}

#[cfg(test)]
mod tests {
    use super::{MASKED, attention, causal_bias};
    use crate::noise;
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    /// One head in f64: `q` `[T, Dk]`, `k` `[S, Dk]`, `v` `[S, Dv]`, `bias` `[T, S]`, row-major.
    fn one_head(
        q: &[f32],
        k: &[f32],
        v: &[f32],
        bias: &[f32],
        [key, value]: [usize; 2],
        scale: f64,
    ) -> Vec<f32> {
        let sources = v.len() / value;
        let mut out = Vec::new();
        for (q, bias) in q.chunks(key).zip(bias.chunks(sources)) {
            let product =
                |k: &[f32]| q.iter().zip(k).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum::<f64>();
            let scores: Vec<f64> =
                k.chunks(key).zip(bias).map(|(k, &bias)| product(k) * scale + f64::from(bias)).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
            let total: f64 = weights.iter().sum();
            for column in 0..value {
                let sum: f64 =
                    weights.iter().zip(v.chunks(value)).map(|(w, v)| w * f64::from(v[column])).sum();
                out.push((sum / total) as f32);
            }
        }
        out
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
            let q = noise::tensor([batch, heads, tokens, key], seed, &device);
            let k = noise::tensor([batch, kv_heads, sources, key], seed + 1, &device);
            let v = noise::tensor([batch, kv_heads, sources, value], seed + 2, &device);
            let bias = noise::tensor([batch, 1, tokens, sources], seed + 3, &device);
            let out = attention(q.clone(), k.clone(), v.clone(), bias.clone(), 0.7);
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
        fn the_bias_opens_a_segments_own_past_and_nothing_else(
            tokens in 1_usize..8,
            segments in prop::collection::vec(0_u32..3, 2 * 8),
        ) {
            let segments = &segments[..2 * tokens];
            let bias = testkit::floats(causal_bias(segments, [2, tokens], &testkit::device()));
            prop_assert_eq!(bias.len(), 2 * tokens * tokens);
            for (i, &bias) in bias.iter().enumerate() {
                let (row, query, source) = (i / (tokens * tokens), i / tokens % tokens, i % tokens);
                let of = |place: usize| segments[row * tokens + place];
                let open = source <= query && of(source) == of(query);
                prop_assert_eq!(bias, if open { 0.0 } else { MASKED }, "row {}, {} sees {}", row, query, source);
            }
        }
    }

    #[test]
    fn repeating_the_key_value_heads_changes_neither_result_nor_gradients() {
        let device = testkit::autodiff_device();
        let (batch, kv_heads, group, tokens, width) = (2, 2, 3, 5, 4);
        let bias = causal_bias(&[1, 1, 1, 2, 2, 1, 1, 1, 1, 0], [batch, tokens], &device);
        let weights = noise::tensor([batch, kv_heads * group, tokens, width], 9, &device);
        let run = |repeat: bool| {
            let q = noise::tensor::<4>([batch, kv_heads * group, tokens, width], 1, &device).require_grad();
            let k = noise::tensor::<4>([batch, kv_heads, tokens, width], 2, &device).require_grad();
            let v = noise::tensor::<4>([batch, kv_heads, tokens, width], 3, &device).require_grad();
            let heads = |x: &burn::tensor::Tensor<4>| {
                let shape = [batch, kv_heads, group, tokens, width];
                let repeated = x.clone().unsqueeze_dim::<5>(2).expand(shape);
                if repeat { repeated.reshape([batch, kv_heads * group, tokens, width]) } else { x.clone() }
            };
            let out = attention(q.clone(), heads(&k), heads(&v), bias.clone(), 0.5);
            let gradients = (out.clone() * weights.clone()).sum().backward();
            let gradient =
                |x: &burn::tensor::Tensor<4>| testkit::floats(x.grad(&gradients).expect("tracked"));
            [testkit::floats(out.inner()), gradient(&q), gradient(&k), gradient(&v)]
        };
        for (grouped, repeated) in run(false).iter().zip(&run(true)) {
            testkit::assert_close(grouped, repeated, 1e-5);
        }
    }

    #[test]
    fn a_row_that_is_masked_whole_stays_finite() {
        let device = testkit::device();
        let [q, k, v] = [1, 2, 3].map(|seed| noise::tensor([1, 1, 2, 4], seed, &device));
        let bias = burn::tensor::Tensor::full([1, 1, 2, 2], MASKED, &device);
        assert!(testkit::floats(attention(q, k, v, bias, 1.0)).iter().all(|x| x.is_finite()));
    }
}
