//! Multi-head latent attention with prepared weights. Prefill multiplies keys and values out; decoding has the
//! up-projections folded into the query and the output.

// B batch, T tokens, Tq those of a piece, S slots, W tokens a slot, L cache columns, D hidden, H heads, C kv_lora_rank,
// P qk_nope_head_dim, R qk_rope_head_dim, Dv v_head_dim

use super::layers::{Linear, RmsNorm};
use crate::attention;
use crate::cache::LayerCache;
use crate::config::Mla;
use burn::tensor::Tensor;
use ruminate_kernels::{
    Angles, Precision, Segments, VisibleColumns, decode_latent_attention, latent_attention,
    rotate_interleaved,
};

#[derive(Clone, Debug)]
pub(super) struct Latent {
    query: Query,
    kv_a: Linear,
    kv_a_norm: RmsNorm,
    kv_b: Linear,
    absorbed: Absorbed,
    output: Linear,
    sizes: Mla,
    scale: f64,
}

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "one of them in an attention")]
enum Query {
    Direct(Linear),
    LowRank { a: Linear, norm: RmsNorm, b: Linear },
}

/// The halves of `kv_b_proj`, by head.
#[derive(Clone, Debug)]
struct Absorbed {
    /// `[H, P, C]`
    key: Tensor<3>,
    /// `[H, C, Dv]`
    value: Tensor<3>,
}

impl Absorbed {
    fn new(up: Tensor<2>, sizes: Mla) -> Self {
        let Mla { num_attention_heads: heads, qk_nope_head_dim: nope, v_head_dim, kv_lora_rank, .. } = sizes;
        let up = up.reshape([heads, nope + v_head_dim, kv_lora_rank]);
        Self { key: up.clone().narrow(1, 0, nope), value: up.narrow(1, nope, v_head_dim).swap_dims(1, 2) }
    }
}

impl Latent {
    pub(super) fn new(latent: &attention::Latent, precision: Precision) -> Self {
        let linear = |map| Linear::new(map, precision);
        Self {
            query: match &latent.query {
                attention::Query::Direct(direct) => Query::Direct(linear(&direct.q_proj)),
                attention::Query::LowRank(low) => Query::LowRank {
                    a: linear(&low.q_a_proj),
                    norm: RmsNorm::new(&low.q_a_layernorm),
                    b: linear(&low.q_b_proj),
                },
            },
            kv_a: linear(&latent.kv_a_proj_with_mqa),
            kv_a_norm: RmsNorm::new(&latent.kv_a_layernorm),
            kv_b: linear(&latent.kv_b_proj),
            absorbed: Absorbed::new(latent.kv_b_proj.effective_weight().inner(), latent.sizes),
            output: linear(&latent.o_proj),
            sizes: latent.sizes,
            scale: latent.scale,
        }
    }

    pub(super) fn prefill(
        &self,
        x: Tensor<2>,
        angles: &Angles,
        segments: &Segments,
        past: Option<LayerCache>,
    ) -> (Tensor<2>, LayerCache) {
        let Mla { num_attention_heads: heads, qk_nope_head_dim: nope, v_head_dim, kv_lora_rank, .. } =
            self.sizes;
        let ([places, _], [batch, all]) = (x.dims(), segments.shape());
        let tokens = places / batch;
        let q = self.queries(x.clone(), angles, [batch, tokens]); // [B, Tq, H, P + R]
        let (latent, k_rope) = self.latents(x, angles, [batch, tokens]); // [B * Tq, C], [B, Tq, 1, R]
        let [_, _, _, rotary] = k_rope.dims();
        let new = Tensor::cat(vec![latent.reshape([batch, tokens, kv_lora_rank]), k_rope.squeeze_dim(2)], 2);
        let kept = match past {
            None => new,
            Some(past) => Tensor::cat(vec![past.latents(), new], 1),
        }; // [B, T, C + R]

        let latent = kept.clone().narrow(2, 0, kv_lora_rank).reshape([batch * all, kv_lora_rank]);
        let k_rope = kept.clone().narrow(2, kv_lora_rank, rotary).unsqueeze_dim(2); // [B, T, 1, R]
        let up = self.kv_b.forward(latent).reshape([batch, all, heads, nope + v_head_dim]);
        let out = latent_attention(q, up, k_rope, segments, self.scale); // [B, Tq, H, Dv]
        (self.output.forward(out.reshape([places, heads * v_head_dim])), LayerCache::Latent(kept))
    }

    /// The absorbed form: `q_nope W_UK` scores against the latent itself, and `W_UV` comes after softmax. `latest` is what
    /// the first token of each slot sees, then what the second does, ...
    pub(super) fn decode(
        &self,
        x: Tensor<2>,
        angles: &Angles,
        latest: &[VisibleColumns],
        cache: &mut LayerCache,
    ) -> Tensor<2> {
        let Mla { num_attention_heads: heads, qk_nope_head_dim: nope, v_head_dim, kv_lora_rank, .. } =
            self.sizes;
        let [rows, _] = x.dims(); // W * S
        let slots = rows / latest.len();
        let q: Tensor<3> = self.queries(x.clone(), angles, [rows, 1]).squeeze_dim(1); // [W * S, H, P + R]
        let (latent, k_rope) = self.latents(x, angles, [rows, 1]); // [W * S, C], [W * S, 1, 1, R]
        let [_, _, _, rotary] = k_rope.dims();
        let new = Tensor::cat(vec![latent, k_rope.reshape([rows, rotary])], 1);

        let q_nope = q.clone().narrow(2, 0, nope).swap_dims(0, 1); // [H, W * S, P]
        let q_latent = q_nope.matmul(self.absorbed.key.clone()).swap_dims(0, 1); // [W * S, H, C]
        let q = Tensor::cat(vec![q_latent, q.narrow(2, nope, rotary)], 2);
        let one_each = |(token, latest): (usize, &VisibleColumns)| {
            let q = q.clone().narrow(0, token * slots, slots);
            let new = new.clone().narrow(0, token * slots, slots);
            cache.change_latent(|kept| {
                decode_latent_attention(q, new, kept, kv_lora_rank, latest, self.scale) // [S, H, C]
            })
        };
        let context = Tensor::cat(latest.iter().enumerate().map(one_each).collect(), 0);
        let out = context.swap_dims(0, 1).matmul(self.absorbed.value.clone()); // [H, W * S, Dv]
        self.output.forward(out.swap_dims(0, 1).reshape([rows, heads * v_head_dim]))
    }

    /// `[B, T, H, P + R]`, the last R columns rotated.
    fn queries(&self, x: Tensor<2>, angles: &Angles, [batch, tokens]: [usize; 2]) -> Tensor<4> {
        let Mla { num_attention_heads: heads, qk_nope_head_dim: nope, qk_rope_head_dim: rotary, .. } =
            self.sizes;
        let q = match &self.query {
            Query::Direct(linear) => linear.forward(x),
            Query::LowRank { a, norm, b } => b.forward(norm.forward(a.forward(x))),
        };
        rotate_interleaved(q.reshape([batch, tokens, heads, nope + rotary]), angles)
    }

    /// The normed latent `[B * T, C]` and the rotated key that all heads share `[B, T, 1, R]`.
    fn latents(&self, x: Tensor<2>, angles: &Angles, [batch, tokens]: [usize; 2]) -> (Tensor<2>, Tensor<4>) {
        let Mla { kv_lora_rank, qk_rope_head_dim: rotary, .. } = self.sizes;
        let down = self.kv_a.forward(x);
        let k_rope = down.clone().narrow(1, kv_lora_rank, rotary).reshape([batch, tokens, 1, rotary]);
        let latent = self.kv_a_norm.forward(down.narrow(1, 0, kv_lora_rank));
        (latent, rotate_interleaved(k_rope, angles))
    }
}
