//! Grouped-query attention with prepared weights: queries, keys and values are one product.

// B batch, T tokens, Tq those of a piece, S slots, W tokens a slot, L cache columns, H query heads, Hk key-value heads, Dh head width

use super::layers::{Linear, RmsNorm};
use crate::attention;
use crate::cache::LayerCache;
use crate::config::Gqa;
use burn::tensor::Tensor;
use ruminate_kernels::{
    Angles, Precision, Segments, VisibleColumns, attention, decode_attention, rotate_halves,
};

#[derive(Clone, Debug)]
pub(super) struct GroupedQuery {
    qkv: Linear,
    output: Linear,
    q_norm: Option<RmsNorm>,
    k_norm: Option<RmsNorm>,
    sizes: Gqa,
    scale: f64,
}

impl GroupedQuery {
    pub(super) fn new(grouped: &attention::GroupedQuery, precision: Precision) -> Self {
        Self {
            qkv: Linear::stacked(&[&grouped.q_proj, &grouped.k_proj, &grouped.v_proj], precision),
            output: Linear::new(&grouped.o_proj, precision),
            q_norm: grouped.q_norm.as_ref().map(RmsNorm::new),
            k_norm: grouped.k_norm.as_ref().map(RmsNorm::new),
            sizes: grouped.sizes,
            scale: grouped.scale,
        }
    }

    pub(super) fn prefill(
        &self,
        x: Tensor<2>,
        angles: &Angles,
        segments: &Segments,
        past: Option<LayerCache>,
    ) -> (Tensor<2>, LayerCache) {
        let ([places, _], [batch, _]) = (x.dims(), segments.shape());
        let (q, mut k, mut v) = self.project(x, angles, [batch, places / batch]);
        if let Some(past) = past {
            let [keys, values] = past.by_place();
            (k, v) = (Tensor::cat(vec![keys, k], 1), Tensor::cat(vec![values, v], 1));
        }
        let out = attention(q, k.clone(), v.clone(), segments, self.scale); // [B, Tq, H, Dh]
        let [_, _, heads, width] = out.dims();
        let kept = LayerCache::KeyValue { key: k.permute([0, 2, 3, 1]), value: v.swap_dims(1, 2) };
        (self.output.forward(out.reshape([places, heads * width])), kept)
    }

    /// `latest` is what the first token of each slot sees, then what the second does, ...
    pub(super) fn decode(
        &self,
        x: Tensor<2>,
        angles: &Angles,
        latest: &[VisibleColumns],
        cache: &mut LayerCache,
    ) -> Tensor<2> {
        let [rows, _] = x.dims(); // W * S
        let slots = rows / latest.len();
        let (q, k, v) = self.project(x, angles, [rows, 1]);
        let [q, k, v] = [q, k, v].map(|heads| heads.squeeze_dim::<3>(1)); // [W * S, H or Hk, Dh]
        let one_each = |(token, latest): (usize, &VisibleColumns)| {
            let [q, k, v] = [&q, &k, &v].map(|heads| heads.clone().narrow(0, token * slots, slots));
            cache.change_key_value(|ring| decode_attention(q, k, v, ring, latest, self.scale)) // [S, H, Dh]
        };
        let out = Tensor::cat(latest.iter().enumerate().map(one_each).collect(), 0);
        self.output.forward(out.flatten(1, 2))
    }

    /// Queries `[B, T, H, Dh]`, keys and values `[B, T, Hk, Dh]`, rotated.
    fn project(
        &self,
        x: Tensor<2>,
        angles: &Angles,
        [batch, tokens]: [usize; 2],
    ) -> (Tensor<4>, Tensor<4>, Tensor<4>) {
        let Gqa { num_attention_heads: queries, num_key_value_heads: keys, head_dim, .. } = self.sizes;
        let heads = self.qkv.forward(x).reshape([batch, tokens, queries + 2 * keys, head_dim]);
        let part = |start: usize, count: usize, norm: Option<&RmsNorm>| {
            let part = heads.clone().narrow(2, start, count);
            match norm {
                None => part,
                Some(norm) => {
                    let rows = part.reshape([batch * tokens * count, head_dim]);
                    norm.forward(rows).reshape([batch, tokens, count, head_dim])
                }
            }
        };
        let q = rotate_halves(part(0, queries, self.q_norm.as_ref()), angles);
        let k = rotate_halves(part(queries, keys, self.k_norm.as_ref()), angles);
        (q, k, part(queries + keys, keys, None))
    }
}
