//! Grouped-query attention (Ainslie et al., arXiv 2305.13245) as Llama and Qwen have it.

// B batch, T tokens, Tq new ones, S slots, W tokens per slot, H query heads, Hk key-value heads, Dh head width

use super::Context;
use crate::cache::LayerCache;
use crate::config::{Bias, Config, Gqa, HeadNorm};
use crate::init::Initializer;
use crate::layers::{Linear, LinearMap, RmsNorm};
use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;
use rand::Rng;
use ruminate_kernels::{Angles, VisibleColumns, attention, decode_attention, rotate_halves};

#[derive(Module, Debug)]
pub(crate) struct GroupedQuery<L: LinearMap = Linear> {
    pub(crate) qkv: L::QueryKeyValue,
    pub(crate) o_proj: L,
    pub(crate) q_norm: Option<RmsNorm>,
    pub(crate) k_norm: Option<RmsNorm>,
    #[module(skip)]
    pub(crate) sizes: Gqa,
    pub(crate) scale: f64,
    /// Whether positions rotate queries and keys.
    pub(crate) rotates: bool,
}

/// The maps to queries, keys and values, which share their input.
pub(crate) trait QueryKeyValue: Module + ModuleDisplay {
    /// Queries `[B, T, H, Dh]`, keys and values `[B, T, Hk, Dh]`, before norm and rotation.
    ///
    /// # Shapes
    /// - `x`: `[B * T, D]`, `shape`: B and T
    fn heads(&self, x: Tensor<2>, shape: [usize; 2], sizes: Gqa) -> [Tensor<4>; 3];
}

/// The maps of [`GroupedQuery`] to queries, keys and values, one by one.
#[derive(Module, Debug)]
pub(crate) struct HeadLinears {
    pub(crate) q_proj: Linear,
    pub(crate) k_proj: Linear,
    pub(crate) v_proj: Linear,
}

impl QueryKeyValue for HeadLinears {
    fn heads(&self, x: Tensor<2>, [batch, tokens]: [usize; 2], sizes: Gqa) -> [Tensor<4>; 3] {
        let Gqa { num_attention_heads: queries, num_key_value_heads: keys, head_dim, .. } = sizes;
        [(&self.q_proj, queries), (&self.k_proj, keys), (&self.v_proj, keys)]
            .map(|(linear, count)| linear.forward(x.clone()).reshape([batch, tokens, count, head_dim]))
    }
}

impl<L: LinearMap> GroupedQuery<L> {
    pub(crate) fn forward(&self, x: Tensor<2>, angles: &Angles, context: Context) -> Tensor<2> {
        let [tokens, _] = x.dims();
        let dtype = context.dtype();
        let [q, k, v] = self.project(x, angles, context.shape(tokens));
        let Gqa { num_attention_heads: heads, head_dim, .. } = self.sizes;
        let joined = [tokens, heads * head_dim];
        let out = match context {
            Context::Rows { segments, .. } => attention(q, k, v, segments, self.scale, dtype).reshape(joined),
            Context::Prompt { segments, kept } => {
                let (k, v) = match kept.take().map(LayerCache::by_place) {
                    None => (k, v),
                    Some([keys, values]) => (Tensor::cat(vec![keys, k], 1), Tensor::cat(vec![values, v], 1)),
                };
                let out = attention(q, k.clone(), v.clone(), segments, self.scale, dtype); // [B, Tq, H, Dh]
                *kept = Some(LayerCache::KeyValue { key: k.permute([0, 2, 3, 1]), value: v.swap_dims(1, 2) });
                out.reshape(joined)
            }
            Context::Ring { latest, cache } => self.decode([q, k, v], latest, cache).reshape(joined),
        };
        self.o_proj.forward(dtype.operand(out))
    }

    /// # Shapes
    /// - queries `[W * S, 1, H, Dh]`, keys and values `[W * S, 1, Hk, Dh]`; result: `[W * S, H, Dh]`
    fn decode(&self, heads: [Tensor<4>; 3], latest: &[VisibleColumns], cache: &mut LayerCache) -> Tensor<3> {
        let heads = heads.map(|heads| heads.squeeze_dim::<3>(1));
        let slots = heads[0].dims()[0] / latest.len();
        let one_each = |(token, latest): (usize, &VisibleColumns)| {
            let [q, k, v] = heads.each_ref().map(|heads| heads.clone().narrow(0, token * slots, slots));
            cache.change_key_value(|ring| decode_attention(q, k, v, ring, latest, self.scale)) // [S, H, Dh]
        };
        Tensor::cat(latest.iter().enumerate().map(one_each).collect(), 0)
    }

    /// Queries `[B, T, H, Dh]`, keys and values `[B, T, Hk, Dh]`, rotated where the block is.
    fn project(&self, x: Tensor<2>, angles: &Angles, shape: [usize; 2]) -> [Tensor<4>; 3] {
        let [q, k, v] = self.qkv.heads(x, shape, self.sizes);
        let normed = |heads: Tensor<4>, norm: Option<&RmsNorm>| match norm {
            None => heads,
            Some(norm) => {
                let [batch, tokens, count, width] = heads.dims();
                let rows = heads.reshape([batch * tokens * count, width]);
                norm.forward(rows).reshape([batch, tokens, count, width])
            }
        };
        let (q, k) = (normed(q, self.q_norm.as_ref()), normed(k, self.k_norm.as_ref()));
        if self.rotates { [rotate_halves(q, angles), rotate_halves(k, angles), v] } else { [q, k, v] }
    }
}

impl GroupedQuery {
    pub(crate) fn init<R: Rng>(init: &mut Initializer<R>, config: &Config, sizes: Gqa, layer: usize) -> Self {
        let width = config.hidden_size;
        let (query, key) =
            (sizes.num_attention_heads * sizes.head_dim, sizes.num_key_value_heads * sizes.head_dim);
        let mut project = |input, output| match sizes.bias {
            Bias::QueryKeyValue | Bias::All => Linear::with_bias(init, input, output),
            Bias::None => Linear::init(init, input, output),
        };
        let qkv = HeadLinears {
            q_proj: project(width, query),
            k_proj: project(width, key),
            v_proj: project(width, key),
        };
        let o_proj = match sizes.bias {
            Bias::All => Linear::with_bias(init, query, width),
            Bias::QueryKeyValue | Bias::None => Linear::init(init, query, width),
        };
        let mut norm = || match sizes.norm {
            HeadNorm::Rms => Some(RmsNorm::init(init, sizes.head_dim, config.rms_norm_eps)),
            HeadNorm::None => None,
        };
        let (q_norm, k_norm) = (norm(), norm());
        let rotates = !config.unrotated.contains(layer);
        Self { qkv, o_proj, q_norm, k_norm, sizes, scale: config.softmax_scale(), rotates }
    }

    /// Its linear maps by name.
    pub(crate) fn linears(&mut self) -> Vec<(&'static str, &mut Linear)> {
        vec![
            ("q_proj", &mut self.qkv.q_proj),
            ("k_proj", &mut self.qkv.k_proj),
            ("v_proj", &mut self.qkv.v_proj),
            ("o_proj", &mut self.o_proj),
        ]
    }
}
