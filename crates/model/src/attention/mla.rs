//! Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1; V3, arXiv 2412.19437, eq. 1-11).
//!
//! Keys and values are up-projections of one small latent per token. Rows and prompts multiply them out; decoding
//! folds the up-projections into the query and the output ("absorbed"), so that the cache holds the normed latent and
//! the rotated shared key only.

// B batch, T tokens, Tq new ones, S slots, W tokens per slot, D hidden, H heads, C kv_lora_rank,
// P qk_nope_head_dim, R qk_rope_head_dim, Dv v_head_dim

use super::Context;
use crate::cache::LayerCache;
use crate::config::{Config, Mla};
use crate::init::Initializer;
use crate::layers::{Linear, LinearMap, RmsNorm};
use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;
use rand::Rng;
use ruminate_kernels::{
    Angles, ComputeDtype, Segments, VisibleColumns, decode_latent_attention, latent_attention,
    rotate_interleaved,
};

/// Epsilon of the norms inside the low ranks: the checkpoints' code uses this one whatever `rms_norm_eps` says.
const LOW_RANK_EPS: f64 = 1e-6;

/// Queries, projected directly or through a low rank.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "one of them in an attention")]
pub(crate) enum Query<L: LinearMap = Linear> {
    Direct(DirectQuery<L>),
    LowRank(LowRankQuery<L>),
}

#[derive(Module, Debug)]
pub(crate) struct DirectQuery<L: LinearMap = Linear> {
    pub(crate) q_proj: L,
}

#[derive(Module, Debug)]
pub(crate) struct LowRankQuery<L: LinearMap = Linear> {
    pub(crate) q_a_proj: L,
    pub(crate) q_a_layernorm: RmsNorm,
    pub(crate) q_b_proj: L,
}

#[derive(Module, Debug)]
pub(crate) struct Latent<L: LinearMap = Linear> {
    pub(crate) query: Query<L>,
    pub(crate) kv_a_proj_with_mqa: L,
    pub(crate) kv_a_layernorm: RmsNorm,
    pub(crate) kv_b_proj: L::LatentUp,
    pub(crate) o_proj: L,
    #[module(skip)]
    pub(crate) sizes: Mla,
    pub(crate) scale: f64,
}

/// The up-projection of latents to each head's own key columns and its values.
pub(crate) trait LatentUp: Module + ModuleDisplay {
    /// Multiplies latents out.
    ///
    /// # Shapes
    /// - `latent`: `[N, C]`, result: `[N, H * (P + Dv)]`
    fn expand(&self, latent: Tensor<2>) -> Tensor<2>;

    /// Its halves, for the absorbed form.
    fn absorbed(&self, sizes: Mla) -> Absorbed;
}

/// The halves of `kv_b_proj`, by head.
#[derive(Clone, Debug)]
pub(crate) struct Absorbed {
    /// `[H, P, C]`
    key: Tensor<3>,
    /// `[H, C, Dv]`
    value: Tensor<3>,
}

impl LatentUp for Linear {
    fn expand(&self, latent: Tensor<2>) -> Tensor<2> {
        self.forward(latent)
    }

    fn absorbed(&self, sizes: Mla) -> Absorbed {
        let Mla { num_attention_heads: heads, qk_nope_head_dim: nope, v_head_dim, kv_lora_rank, .. } = sizes;
        let up = self.effective_weight().inner().reshape([heads, nope + v_head_dim, kv_lora_rank]);
        Absorbed { key: up.clone().narrow(1, 0, nope), value: up.narrow(1, nope, v_head_dim).swap_dims(1, 2) }
    }
}

impl<L: LinearMap> Latent<L> {
    pub(crate) fn forward(&self, x: Tensor<2>, angles: &Angles, context: Context) -> Tensor<2> {
        let Mla { num_attention_heads: heads, qk_rope_head_dim: rotary, v_head_dim, kv_lora_rank, .. } =
            self.sizes;
        let [tokens, _] = x.dims();
        let (shape, dtype) = (context.shape(tokens), context.dtype());
        let q = self.queries(x.clone(), angles, shape); // [B, Tq, H, P + R]
        let (latent, k_rope) = self.latents(x, angles, shape); // [B * Tq, C], [B, Tq, 1, R]
        let joined = [tokens, heads * v_head_dim];
        let out = match context {
            Context::Rows { segments, .. } => {
                self.multiplied_out(q, dtype.operand(latent), k_rope, segments).reshape(joined)
            }
            Context::Prompt { segments, kept } => {
                let ([batch, new], [_, all]) = (shape, segments.shape());
                let latent = latent.reshape([batch, new, kv_lora_rank]);
                let new = Tensor::cat(vec![latent, k_rope.squeeze_dim(2)], 2);
                let all_kept = match kept.take().map(LayerCache::latents) {
                    None => new,
                    Some(past) => Tensor::cat(vec![past, new], 1),
                }; // [B, T, C + R]
                let latent = all_kept.clone().narrow(2, 0, kv_lora_rank).reshape([batch * all, kv_lora_rank]);
                let k_rope = all_kept.clone().narrow(2, kv_lora_rank, rotary).unsqueeze_dim(2); // [B, T, 1, R]
                *kept = Some(LayerCache::Latent(all_kept));
                self.multiplied_out(q, latent, k_rope, segments).reshape(joined)
            }
            Context::Ring { latest, cache } => {
                let new = Tensor::cat(vec![latent, k_rope.reshape([tokens, rotary])], 1);
                self.decode(q.squeeze_dim(1), new, latest, cache).reshape(joined)
            }
        };
        self.o_proj.forward(dtype.operand(out))
    }

    /// # Shapes
    /// - `q`: `[B, Tq, H, P + R]`, `latent`: `[B * T, C]`, an operand of the products' dtype, `k_rope`: `[B, T, 1, R]`; result: `[B, Tq, H, Dv]`
    fn multiplied_out(
        &self,
        q: Tensor<4>,
        latent: Tensor<2>,
        k_rope: Tensor<4>,
        segments: &Segments,
    ) -> Tensor<4> {
        let Mla { num_attention_heads: heads, qk_nope_head_dim: nope, v_head_dim, .. } = self.sizes;
        let [batch, tokens] = segments.shape();
        let dtype = ComputeDtype::of(&latent);
        let up = self.kv_b_proj.expand(latent).reshape([batch, tokens, heads, nope + v_head_dim]);
        latent_attention(q, up, k_rope, segments, self.scale, dtype)
    }

    /// The absorbed form: `q_nope W_UK` scores against the latent itself, and `W_UV` comes after softmax.
    ///
    /// # Shapes
    /// - `q`: `[W * S, H, P + R]`, `new`: `[W * S, C + R]`; result: `[W * S, H, Dv]`
    fn decode(
        &self,
        q: Tensor<3>,
        new: Tensor<2>,
        latest: &[VisibleColumns],
        cache: &mut LayerCache,
    ) -> Tensor<3> {
        let Mla { qk_nope_head_dim: nope, qk_rope_head_dim: rotary, kv_lora_rank, .. } = self.sizes;
        let absorbed = self.kv_b_proj.absorbed(self.sizes);
        let [rows, _] = new.dims();
        let slots = rows / latest.len();
        let q_nope = q.clone().narrow(2, 0, nope).swap_dims(0, 1); // [H, W * S, P]
        let q_latent = q_nope.matmul(absorbed.key).swap_dims(0, 1); // [W * S, H, C]
        let q = Tensor::cat(vec![q_latent, q.narrow(2, nope, rotary)], 2);
        let one_each = |(token, latest): (usize, &VisibleColumns)| {
            let q = q.clone().narrow(0, token * slots, slots);
            let new = new.clone().narrow(0, token * slots, slots);
            cache.change_latent(|kept| {
                decode_latent_attention(q, new, kept, kv_lora_rank, latest, self.scale) // [S, H, C]
            })
        };
        let context = Tensor::cat(latest.iter().enumerate().map(one_each).collect(), 0);
        context.swap_dims(0, 1).matmul(absorbed.value).swap_dims(0, 1)
    }

    /// `[B, T, H, P + R]`, the last R columns rotated.
    fn queries(&self, x: Tensor<2>, angles: &Angles, [batch, tokens]: [usize; 2]) -> Tensor<4> {
        let Mla { num_attention_heads: heads, qk_nope_head_dim: nope, qk_rope_head_dim: rotary, .. } =
            self.sizes;
        let q = match &self.query {
            Query::Direct(direct) => direct.q_proj.forward(x),
            Query::LowRank(low) => {
                let dtype = ComputeDtype::of(&x);
                let narrow = low.q_a_layernorm.forward(low.q_a_proj.forward(x));
                low.q_b_proj.forward(dtype.operand(narrow))
            }
        };
        rotate_interleaved(q.reshape([batch, tokens, heads, nope + rotary]), angles)
    }

    /// The normed latent `[B * T, C]` and the rotated key that all heads share `[B, T, 1, R]`.
    fn latents(&self, x: Tensor<2>, angles: &Angles, [batch, tokens]: [usize; 2]) -> (Tensor<2>, Tensor<4>) {
        let Mla { kv_lora_rank, qk_rope_head_dim: rotary, .. } = self.sizes;
        let down = self.kv_a_proj_with_mqa.forward(x);
        let k_rope = down.clone().narrow(1, kv_lora_rank, rotary).reshape([batch, tokens, 1, rotary]);
        let latent = self.kv_a_layernorm.forward(down.narrow(1, 0, kv_lora_rank));
        (latent, rotate_interleaved(k_rope, angles))
    }
}

impl Latent {
    pub(crate) fn init<R: Rng>(init: &mut Initializer<R>, config: &Config, sizes: Mla) -> Self {
        let (width, heads) = (config.hidden_size, sizes.num_attention_heads);
        let query_width = heads * (sizes.qk_nope_head_dim + sizes.qk_rope_head_dim);
        let query = match sizes.q_lora_rank {
            None => Query::Direct(DirectQuery { q_proj: Linear::init(init, width, query_width) }),
            Some(rank) => Query::LowRank(LowRankQuery {
                q_a_proj: Linear::init(init, width, rank),
                q_a_layernorm: RmsNorm::init(init, rank, LOW_RANK_EPS),
                q_b_proj: Linear::init(init, rank, query_width),
            }),
        };
        let latent = sizes.kv_lora_rank;
        let up = heads * (sizes.qk_nope_head_dim + sizes.v_head_dim);
        Self {
            query,
            kv_a_proj_with_mqa: Linear::init(init, width, latent + sizes.qk_rope_head_dim),
            kv_a_layernorm: RmsNorm::init(init, latent, LOW_RANK_EPS),
            kv_b_proj: Linear::init(init, latent, up),
            o_proj: Linear::init(init, heads * sizes.v_head_dim, width),
            sizes,
            scale: config.softmax_scale(),
        }
    }

    /// Its linear maps by name.
    pub(crate) fn linears(&mut self) -> Vec<(&'static str, &mut Linear)> {
        let mut linears = match &mut self.query {
            Query::Direct(direct) => vec![("q_proj", &mut direct.q_proj)],
            Query::LowRank(low) => vec![("q_a_proj", &mut low.q_a_proj), ("q_b_proj", &mut low.q_b_proj)],
        };
        linears.extend([
            ("kv_a_proj_with_mqa", &mut self.kv_a_proj_with_mqa),
            ("kv_b_proj", &mut self.kv_b_proj),
            ("o_proj", &mut self.o_proj),
        ]);
        linears
    }
}
