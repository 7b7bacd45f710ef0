//! Scaled dot-product attention with grouped queries and values of their own width: of packed rows, for learning and
//! prefill, and of one new token per slot over a cache.

// B batch, T tokens, H query heads, Hk key-value heads, G = H / Hk, Dk key width, Dv value width,
// P a head's own key columns, R the rotary columns that all heads share

pub(crate) mod decode;
mod segments;
#[cfg(test)]
mod tests;

use crate::backend::{Form, operation};
use crate::compute_dtype::ComputeDtype;
use burn::tensor::{Tensor, activation::softmax};
use std::sync::Arc;

pub(crate) use decode::{DecodeAttention, DecodeLatentAttention};
pub use decode::{KeyValueRing, VisibleColumns, decode_attention, decode_latent_attention};
pub use segments::Segments;
pub(crate) use segments::{Seen, Spans};

/// What is added to a score that must not count. Large enough to vanish in softmax, small enough that no sum
/// of it overflows; `-inf` would turn a fully masked row into NaN.
pub(crate) const MASKED: f32 = -1e30;

/// Where keys and values lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sources {
    /// Keys `[B, T, Hk, Dk]` and values `[B, T, Hk, Dv]`.
    Separate,
    /// `[B, T, H, P + Dv]`, each head's own key columns and its values, and `[B, T, 1, R]`, the rotary columns of
    /// the key that all heads share.
    Joint,
}

/// `softmax(q k^T * scale) v` over the places that [`Segments`] open. Query head h reads key-value head `h / G`.
///
/// Where no gradient is asked for, the queries may be those of the last `Tq` of the `T` places only: a piece of a
/// prompt behind what was computed of it before.
///
/// Products are in f32. `kept` is the dtype of what the backward pass reads of queries, keys and values.
///
/// # Shapes
/// - `q`: `[B, Tq, H, Dk]`, `k`: `[B, T, Hk, Dk]`, `v`: `[B, T, Hk, Dv]`, `segments`: `[B, T]`
/// - result: `[B, Tq, H, Dv]`
pub fn attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    segments: &Segments,
    scale: f64,
    kept: ComputeDtype,
) -> Tensor<4> {
    match PackedAttention::form(&q) {
        Form::Reference => reference(q, k, v, segments, scale),
        Form::Fused => PackedAttention::new(segments, Sources::Separate, scale, kept).fused(q, k, v),
    }
}

/// Attention over multiplied-out latents (DeepSeek-V2, arXiv 2405.04434, eq. 9-19): a head's key is its own columns
/// followed by the rotary columns that all heads share. Nothing is put together in memory. As in [`attention`], the
/// queries may be those of the last places only, and `kept` is the dtype of what the backward pass reads of the inputs.
///
/// # Shapes
/// - `q`: `[B, Tq, H, P + R]`; `up`: `[B, T, H, P + Dv]`, own key columns, then values; `k_rope`: `[B, T, 1, R]`
/// - result: `[B, Tq, H, Dv]`
pub fn latent_attention(
    q: Tensor<4>,
    up: Tensor<4>,
    k_rope: Tensor<4>,
    segments: &Segments,
    scale: f64,
    kept: ComputeDtype,
) -> Tensor<4> {
    match PackedAttention::form(&q) {
        Form::Reference => latent_reference(q, up, k_rope, segments, scale),
        Form::Fused => PackedAttention::new(segments, Sources::Joint, scale, kept).fused(q, up, k_rope),
    }
}

/// The operation of [`attention()`] and [`latent_attention`].
#[derive(Clone, Debug)]
pub(crate) struct PackedAttention {
    pub(crate) spans: Arc<Spans>,
    pub(crate) sources: Sources,
    pub(crate) scale: f64,
    /// The dtype of the inputs that are kept.
    pub(crate) kept: ComputeDtype,
}

impl PackedAttention {
    fn new(segments: &Segments, sources: Sources, scale: f64, kept: ComputeDtype) -> Self {
        Self { spans: segments.spans(), sources, scale, kept }
    }
}

// `q` `[B, Tq, H, Dk]`, keys and values in `x` and `y` as `Sources` says -> `[B, Tq, H, Dv]`
operation!(PackedAttention(q: Tensor<4>, x: Tensor<4>, y: Tensor<4>) -> (out: Tensor<4>));

fn reference(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, segments: &Segments, scale: f64) -> Tensor<4> {
    let ([_, queries, _, _], [_, places, _, _]) = (q.dims(), k.dims());
    let bias = segments.bias(&q.device()).narrow(2, places - queries, queries);
    let [q, k, v] = [q, k, v].map(|x| x.swap_dims(1, 2)); // [B, H, T, D]
    composed(q, k, v, bias, scale).swap_dims(1, 2)
}

fn latent_reference(
    q: Tensor<4>,
    up: Tensor<4>,
    k_rope: Tensor<4>,
    segments: &Segments,
    scale: f64,
) -> Tensor<4> {
    let [batch, tokens, heads, both] = up.dims();
    let ([_, _, _, key], [_, _, _, rotary]) = (q.dims(), k_rope.dims());
    let own = key - rotary;
    let shared = k_rope.expand([batch, tokens, heads, rotary]);
    let k = Tensor::cat(vec![up.clone().narrow(3, 0, own), shared], 3);
    reference(q, k, up.narrow(3, own, both - own), segments, scale)
}

/// `softmax(q k^T * scale + bias) v` for `q` `[B, H, T, Dk]`, `k` `[B, Hk, S, Dk]`, `v` `[B, Hk, S, Dv]`, and `bias`
/// `[B, 1, T, S]` over any S sources.
fn composed(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, bias: Tensor<4>, scale: f64) -> Tensor<4> {
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
