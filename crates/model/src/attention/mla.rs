//! Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1; V3, arXiv 2412.19437, eq. 1-11).
//!
//! Keys and values are up-projections of one small latent a token. Training multiplies them out; decoding
//! (`prepared/mla.rs`) folds the up-projections into the query and the output ("absorbed"), so that the cache holds
//! the normed latent and the rotated shared key only.

// B batch, T tokens, D hidden, H heads, C kv_lora_rank,
// P qk_nope_head_dim, R qk_rope_head_dim, Dv v_head_dim

use crate::config::{Config, Mla};
use crate::init::Initializer;
use crate::layers::{Linear, RmsNorm};
use burn::module::Module;
use burn::tensor::Tensor;
use rand::Rng;
use ruminate_kernels::{Angles, Segments, latent_attention, rotate_interleaved};

/// Epsilon of the norms inside the low ranks: the checkpoints' code uses this one whatever `rms_norm_eps` says.
const LOW_RANK_EPS: f64 = 1e-6;

/// Queries, projected directly or through a low rank.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "one of them in an attention")]
pub(crate) enum Query {
    Direct(DirectQuery),
    LowRank(LowRankQuery),
}

#[derive(Module, Debug)]
pub(crate) struct DirectQuery {
    pub(crate) q_proj: Linear,
}

#[derive(Module, Debug)]
pub(crate) struct LowRankQuery {
    pub(crate) q_a_proj: Linear,
    pub(crate) q_a_layernorm: RmsNorm,
    pub(crate) q_b_proj: Linear,
}

#[derive(Module, Debug)]
pub(crate) struct Latent {
    pub(crate) query: Query,
    pub(crate) kv_a_proj_with_mqa: Linear,
    pub(crate) kv_a_layernorm: RmsNorm,
    pub(crate) kv_b_proj: Linear,
    pub(crate) o_proj: Linear,
    #[module(skip)]
    pub(crate) sizes: Mla,
    pub(crate) scale: f64,
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

    pub(crate) fn forward(&self, x: Tensor<2>, angles: &Angles, segments: &Segments) -> Tensor<2> {
        let Mla { num_attention_heads: heads, qk_nope_head_dim: nope, v_head_dim, .. } = self.sizes;
        let [batch, tokens] = segments.shape();
        let q = self.queries(x.clone(), angles, [batch, tokens]); // [B, T, H, P + R]
        let (latent, k_rope) = self.latents(x, angles, [batch, tokens]); // [B * T, C], [B, T, 1, R]

        let up = self.kv_b_proj.forward(latent).reshape([batch, tokens, heads, nope + v_head_dim]);
        let out = latent_attention(q, up, k_rope, segments, self.scale); // [B, T, H, Dv]
        self.o_proj.forward(out.reshape([batch * tokens, heads * v_head_dim]))
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

    /// `[B, T, H, P + R]`, the last R columns rotated.
    fn queries(&self, x: Tensor<2>, angles: &Angles, [batch, tokens]: [usize; 2]) -> Tensor<4> {
        let Mla { num_attention_heads: heads, qk_nope_head_dim: nope, qk_rope_head_dim: rotary, .. } =
            self.sizes;
        let q = match &self.query {
            Query::Direct(direct) => direct.q_proj.forward(x),
            Query::LowRank(low) => low.q_b_proj.forward(low.q_a_layernorm.forward(low.q_a_proj.forward(x))),
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
