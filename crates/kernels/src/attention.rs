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
