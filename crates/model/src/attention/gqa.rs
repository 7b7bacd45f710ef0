//! Grouped-query attention (Ainslie et al., arXiv 2305.13245) as Llama and Qwen have it.

// B batch, T tokens, S slots, L cache columns, H query heads, Hk key-value heads, Dh head width

use crate::cache::LayerCache;
use crate::config::{Bias, Config, Gqa, HeadNorm};
use crate::init::Initializer;
use crate::layers::{Linear, RmsNorm};
use burn::module::Module;
use burn::tensor::Tensor;
use rand::Rng;
use ruminate_kernels::{Angles, attention, rotate_halves};

#[derive(Module, Debug)]
pub(crate) struct GroupedQuery {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    q_norm: Option<RmsNorm>,
    k_norm: Option<RmsNorm>,
    #[module(skip)]
    sizes: Gqa,
    scale: f64,
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

    pub(crate) fn forward(&self, x: Tensor<2>, angles: &Angles, bias: &Tensor<4>) -> (Tensor<2>, LayerCache) {
        let [batch, _, tokens, _] = bias.dims();
        let (q, k, v) = self.project(x, angles, [batch, tokens]);
        let out = attention(q, k.clone(), v.clone(), bias.clone(), self.scale);
        (self.output(out), LayerCache::KeyValue { key: k, value: v })
    }

    pub(crate) fn decode(
        &self,
        x: Tensor<2>,
        angles: &Angles,
        bias: &Tensor<4>,
        cache: &mut LayerCache,
        column: usize,
    ) -> Tensor<2> {
        let [slots, _] = x.dims();
        let (q, k, v) = self.project(x, angles, [slots, 1]);
        let (keys, values) = cache.push_key_value(column, k, v); // [S, Hk, L, Dh]
        self.output(attention(q, keys, values, bias.clone(), self.scale))
    }

    /// Queries `[B, H, T, Dh]`, keys and values `[B, Hk, T, Dh]`, rotated.
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
            y.reshape([batch, tokens, count, head_dim]).swap_dims(1, 2)
        };
        let q = heads(&self.q_proj, self.q_norm.as_ref(), num_attention_heads);
        let k = heads(&self.k_proj, self.k_norm.as_ref(), num_key_value_heads);
        let v = heads(&self.v_proj, None, num_key_value_heads);
        (rotate_halves(q, angles), rotate_halves(k, angles), v)
    }

    fn output(&self, out: Tensor<4>) -> Tensor<2> {
        let [batch, heads, tokens, width] = out.dims();
        self.o_proj.forward(out.swap_dims(1, 2).reshape([batch * tokens, heads * width]))
    }
}
