//! Grouped-query attention (Ainslie et al., arXiv 2305.13245) as Llama and Qwen have it.

// B batch, T tokens, H query heads, Hk key-value heads, Dh head width

use crate::config::{Bias, Config, Gqa, HeadNorm};
use crate::init::Initializer;
use crate::layers::{Linear, RmsNorm};
use burn::module::Module;
use burn::tensor::Tensor;
use rand::Rng;
use ruminate_kernels::{Angles, Segments, attention, rotate_halves};

#[derive(Module, Debug)]
pub(crate) struct GroupedQuery {
    pub(crate) q_proj: Linear,
    pub(crate) k_proj: Linear,
    pub(crate) v_proj: Linear,
    pub(crate) o_proj: Linear,
    pub(crate) q_norm: Option<RmsNorm>,
    pub(crate) k_norm: Option<RmsNorm>,
    #[module(skip)]
    pub(crate) sizes: Gqa,
    pub(crate) scale: f64,
}

impl GroupedQuery {
    pub(crate) fn init<R: Rng>(init: &mut Initializer<R>, config: &Config, sizes: Gqa) -> Self {
        let width = config.hidden_size;
        let (query, key) =
            (sizes.num_attention_heads * sizes.head_dim, sizes.num_key_value_heads * sizes.head_dim);
        let mut project = |input, output| match sizes.bias {
            Bias::QueryKeyValue => Linear::with_bias(init, input, output),
            Bias::None => Linear::init(init, input, output),
        };
        let (q_proj, k_proj, v_proj) = (project(width, query), project(width, key), project(width, key));
        let o_proj = Linear::init(init, query, width);
        let mut norm = || match sizes.norm {
            HeadNorm::Rms => Some(RmsNorm::init(init, sizes.head_dim, config.rms_norm_eps)),
            HeadNorm::None => None,
        };
        let (q_norm, k_norm) = (norm(), norm());
        Self { q_proj, k_proj, v_proj, o_proj, q_norm, k_norm, sizes, scale: config.softmax_scale() }
    }

    pub(crate) fn forward(&self, x: Tensor<2>, angles: &Angles, segments: &Segments) -> Tensor<2> {
        let (q, k, v) = self.project(x, angles, segments.shape());
        let out = attention(q, k, v, segments, self.scale); // [B, T, H, Dh]
        let [batch, tokens, heads, width] = out.dims();
        self.o_proj.forward(out.reshape([batch * tokens, heads * width]))
    }

    /// Its linear maps by name.
    pub(crate) fn linears(&mut self) -> Vec<(&'static str, &mut Linear)> {
        vec![
            ("q_proj", &mut self.q_proj),
            ("k_proj", &mut self.k_proj),
            ("v_proj", &mut self.v_proj),
            ("o_proj", &mut self.o_proj),
        ]
    }

    /// Queries `[B, T, H, Dh]`, keys and values `[B, T, Hk, Dh]`, rotated.
    fn project(
        &self,
        x: Tensor<2>,
        angles: &Angles,
        [batch, tokens]: [usize; 2],
    ) -> (Tensor<4>, Tensor<4>, Tensor<4>) {
        let Gqa { num_attention_heads, num_key_value_heads, head_dim, .. } = self.sizes;
        let heads = |linear: &Linear, norm: Option<&RmsNorm>, count: usize| {
            let mut y = linear.forward(x.clone());
            if let Some(norm) = norm {
                y = norm.forward(y.reshape([batch * tokens * count, head_dim]));
            }
            y.reshape([batch, tokens, count, head_dim])
        };
        let q = heads(&self.q_proj, self.q_norm.as_ref(), num_attention_heads);
        let k = heads(&self.k_proj, self.k_norm.as_ref(), num_key_value_heads);
        let v = heads(&self.v_proj, None, num_key_value_heads);
        (rotate_halves(q, angles), rotate_halves(k, angles), v)
    }
}
