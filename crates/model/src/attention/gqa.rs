//! Grouped-query attention (Ainslie et al., arXiv 2305.13245) as Llama and Qwen have it.

// B batch, T tokens, Tq new ones, S slots, W tokens per slot, H query heads, Hk key-value heads, Dh head width

use super::Context;
use crate::cache::LayerCache;
use crate::config::{Bias, Config, Gqa, HeadNorm, Maps};
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

/// The maps of [`GroupedQuery`] to queries, keys and values.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "one of them in an attention")]
pub(crate) enum HeadLinears {
    Apart(ApartHeads),
    Joined(JoinedHeads),
}

/// One by one.
#[derive(Module, Debug)]
pub(crate) struct ApartHeads {
    pub(crate) q_proj: Linear,
    pub(crate) k_proj: Linear,
    pub(crate) v_proj: Linear,
}

/// As one, whose outputs follow each other.
#[derive(Module, Debug)]
pub(crate) struct JoinedHeads {
    pub(crate) qkv_proj: Linear,
}

impl HeadLinears {
    /// The maps in the order of their outputs.
    pub(crate) fn stack(&self) -> Vec<&Linear> {
        match self {
            Self::Apart(ApartHeads { q_proj, k_proj, v_proj }) => vec![q_proj, k_proj, v_proj],
            Self::Joined(JoinedHeads { qkv_proj }) => vec![qkv_proj],
        }
    }
}

impl QueryKeyValue for HeadLinears {
    fn heads(&self, x: Tensor<2>, [batch, tokens]: [usize; 2], sizes: Gqa) -> [Tensor<4>; 3] {
        let Gqa { num_attention_heads: queries, num_key_value_heads: keys, head_dim, .. } = sizes;
        match self {
            Self::Apart(ApartHeads { q_proj, k_proj, v_proj }) => {
                [(q_proj, queries), (k_proj, keys), (v_proj, keys)].map(|(linear, count)| {
                    linear.forward(x.clone()).reshape([batch, tokens, count, head_dim])
                })
            }
            Self::Joined(JoinedHeads { qkv_proj }) => {
                split_heads(qkv_proj.forward(x), [batch, tokens], sizes)
            }
        }
    }
}

/// Queries, keys and values of a product that has them in this order.
///
/// # Shapes
/// - `joined`: `[B * T, (H + 2 Hk) * Dh]`
pub(crate) fn split_heads(joined: Tensor<2>, [batch, tokens]: [usize; 2], sizes: Gqa) -> [Tensor<4>; 3] {
    let Gqa { num_attention_heads: queries, num_key_value_heads: keys, head_dim, .. } = sizes;
    let heads = joined.reshape([batch, tokens, queries + 2 * keys, head_dim]);
    [(0, queries), (queries, keys), (queries + keys, keys)]
        .map(|(start, count)| heads.clone().narrow(2, start, count))
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
                let rows = match self.sizes.norm {
                    HeadNorm::Together => heads.reshape([batch * tokens, count * width]),
                    HeadNorm::Each | HeadNorm::None => heads.reshape([batch * tokens * count, width]),
                };
                norm.forward(rows).reshape([batch, tokens, count, width])
            }
        };
        let (q, k) = (normed(q, self.q_norm.as_ref()), normed(k, self.k_norm.as_ref()));
        if self.rotates { [self.rotated(q, angles), self.rotated(k, angles), v] } else { [q, k, v] }
    }

    /// Heads whose first columns are rotated, in halves of these columns.
    fn rotated(&self, heads: Tensor<4>, angles: &Angles) -> Tensor<4> {
        let Gqa { head_dim, rotary_dim, .. } = self.sizes;
        if rotary_dim == head_dim {
            return rotate_halves(heads, angles);
        }
        let turned = rotate_halves(heads.clone().narrow(3, 0, rotary_dim), angles);
        Tensor::cat(vec![turned, heads.narrow(3, rotary_dim, head_dim - rotary_dim)], 3)
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
        let qkv = match config.maps {
            Maps::Apart => HeadLinears::Apart(ApartHeads {
                q_proj: project(width, query),
                k_proj: project(width, key),
                v_proj: project(width, key),
            }),
            Maps::Joined => HeadLinears::Joined(JoinedHeads { qkv_proj: project(width, query + 2 * key) }),
        };
        let o_proj = match sizes.bias {
            Bias::All => Linear::with_bias(init, query, width),
            Bias::QueryKeyValue | Bias::None => Linear::init(init, query, width),
        };
        let mut norm = |all: usize| match sizes.norm {
            HeadNorm::Each => Some(RmsNorm::init(init, sizes.head_dim, config.rms_norm_eps)),
            HeadNorm::Together => Some(RmsNorm::init(init, all, config.rms_norm_eps)),
            HeadNorm::None => None,
        };
        let (q_norm, k_norm) = (norm(query), norm(key));
        let rotates = !config.unrotated.contains(layer);
        Self { qkv, o_proj, q_norm, k_norm, sizes, scale: config.softmax_scale(), rotates }
    }

    /// Its linear maps by name.
    pub(crate) fn linears(&mut self) -> Vec<(&'static str, &mut Linear)> {
        let mut linears = match &mut self.qkv {
            HeadLinears::Apart(ApartHeads { q_proj, k_proj, v_proj }) => {
                vec![("q_proj", q_proj), ("k_proj", k_proj), ("v_proj", v_proj)]
            }
            HeadLinears::Joined(JoinedHeads { qkv_proj }) => vec![("qkv_proj", qkv_proj)],
        };
        linears.push(("o_proj", &mut self.o_proj));
        linears
    }
}
