//! Attention of one new token a slot over a cache whose columns are a ring: every slot writes the same column at the
//! same moment, and sees as many of the latest columns as its sequence has tokens. Only those are read.

// S slots, H query heads, Hk key-value heads, G = H / Hk, L columns, Dk key width, Dv value width, C latent columns,
// n columns that a slot sees

use super::autodiff::fused_decode;
use super::{MASKED, composed};
use crate::cpu::{Floats, Matrix, MatrixMut, Store, exp, small_product, tensor, vectorized};
use crate::dispatch::{Form, form};
use burn::tensor::{Device, Tensor, TensorData};
use burn_flex::FlexTensor;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Heads that share a vector.
const HEADS: usize = 16;

/// How many of the latest columns each slot sees.
#[derive(Clone, Debug)]
pub struct Latest {
    counts: Arc<[usize]>,
    column: usize,
}

impl Latest {
    /// Slot s sees `counts[s]` columns, `column` and those before it; the first column comes after the last.
    pub fn new(counts: impl IntoIterator<Item = usize>, column: usize) -> Self {
        Self { counts: counts.into_iter().collect(), column }
    }

    /// What a slot sees of a ring of `columns`, the oldest first: the second range begins at column 0.
    fn seen(&self, slot: usize, columns: usize) -> [Range<usize>; 2] {
        let (count, end) = (self.counts[slot].min(columns), self.column + 1);
        if count <= end { [end - count..end, 0..0] } else { [columns - (count - end)..columns, 0..end] }
    }

    /// `[S, 1, 1, L]`: 0 for what is seen, [`MASKED`] for the rest.
    fn bias(&self, columns: usize, device: &Device) -> Tensor<4> {
        let slots = self.counts.len();
        let mut bias = vec![MASKED; slots * columns];
        for (slot, row) in bias.chunks_exact_mut(columns.max(1)).enumerate() {
            for seen in self.seen(slot, columns) {
                row[seen].fill(0.0);
            }
        }
        Tensor::from_data(TensorData::new(bias, [slots, 1, 1, columns]), device)
    }
}

/// `softmax(q k^T * scale) v` of one query a slot. No gradient flows through it: what decodes does not learn.
///
/// # Shapes
/// - `q`: `[S, H, Dk]`, `keys`: `[S, Hk, L, Dk]`, `values`: `[S, Hk, L, Dv]`
/// - result: `[S, H, Dv]`
pub fn decode_attention(
    q: Tensor<3>,
    keys: Tensor<4>,
    values: Tensor<4>,
    latest: &Latest,
    scale: f64,
) -> Tensor<3> {
    let [_, _, _, width] = values.dims();
    match form(&q) {
        Form::Reference => reference(q, keys, values, latest, scale),
        Form::Flex => fused_decode(q, keys, values, width, latest, scale),
    }
}

/// The same over latents (MLA's absorbed form): one key head, whose first `width` columns are the value.
///
/// # Shapes
/// - `q`: `[S, H, C + R]`, `kept`: `[S, L, C + R]`; result: `[S, H, C]` for `width` C
pub fn decode_latent_attention(
    q: Tensor<3>,
    kept: Tensor<3>,
    width: usize,
    latest: &Latest,
    scale: f64,
) -> Tensor<3> {
    let kept = kept.unsqueeze_dim::<4>(1); // [S, 1, L, C + R]
    match form(&q) {
        // The columns after the value ride along and are dropped: cheaper than a copy of those before.
        Form::Reference => reference(q, kept.clone(), kept, latest, scale).narrow(2, 0, width),
        Form::Flex => fused_decode(q, kept.clone(), kept, width, latest, scale),
    }
}

pub(super) fn reference(
    q: Tensor<3>,
    keys: Tensor<4>,
    values: Tensor<4>,
    latest: &Latest,
    scale: f64,
) -> Tensor<3> {
    let [_, _, columns, _] = keys.dims();
    let bias = latest.bias(columns, &q.device());
    composed(q.unsqueeze_dim(2), keys, values, bias, scale).squeeze_dim(2).detach()
}

/// One task a slot and key-value head. Columns count in the order of age, so a slot's result does not depend on where
/// in the ring they lie.
pub(super) fn fused(
    q: &FlexTensor,
    keys: &FlexTensor,
    values: &FlexTensor,
    width: usize,
    latest: &Latest,
    scale: f64,
) -> FlexTensor {
    let shape = |x: &FlexTensor, axis: usize| x.layout().shape()[axis];
    let (slots, heads, key_width) = (shape(q, 0), shape(q, 1), shape(q, 2));
    let (kv_heads, columns, value_width) = (shape(keys, 1), shape(keys, 2), shape(values, 3));
    let group = heads / kv_heads.max(1);
    let lanes = group.next_multiple_of(HEADS);
    let (q, keys, values) = (Floats::of(q), Floats::of(keys), Floats::of(values));
    let (q, keys, values) = (q.slice(), keys.slice(), values.slice());
    let mut out = vec![0.0; slots * heads * width];
    let tasks = out.par_chunks_mut((group * width).max(1)).enumerate();
    tasks.for_each_init(<(Vec<f32>, Vec<f32>)>::default, |(queries, weights), (task, out)| {
        let seen = latest.seen(task / kv_heads, columns);
        let count: usize = seen.iter().map(Range::len).sum();
        queries.resize(key_width * lanes, 0.0);
        let of_task = &q[task * group * key_width..(task + 1) * group * key_width];
        turn(of_task, scale as f32, lanes, queries);
        weights.resize(count * lanes, 0.0);
        let places = seen.clone().map(|seen| task * columns + seen.start..task * columns + seen.end);
        let mut done = 0;
        for places in &places {
            small_product(
                MatrixMut::new(&mut weights[done * lanes..], places.len(), lanes),
                Store::Replace,
                Matrix::new(&keys[places.start * key_width..places.end * key_width], places.len(), key_width),
                Matrix::new(queries, key_width, lanes),
            );
            done += places.len();
        }
        vectorized(|| softmax(weights, lanes));
        let mut done = 0;
        for (places, store) in places.iter().zip([Store::Replace, Store::Add]) {
            let values = &values[places.start * value_width..places.end * value_width];
            small_product(
                MatrixMut::new(out, group, width),
                store,
                Matrix::strided(&weights[done * lanes..], places.len(), group, lanes).transposed(),
                Matrix::strided(values, places.len(), width, value_width),
            );
            done += places.len();
        }
    });
    tensor(out, [slots, heads, width])
}

/// Queries `[G, Dk]` as lanes `[Dk, lanes]`.
fn turn(queries: &[f32], scale: f32, lanes: usize, turned: &mut [f32]) {
    let width = turned.len() / lanes;
    for (member, query) in queries.chunks_exact(width.max(1)).enumerate() {
        for (lanes, x) in turned.chunks_exact_mut(lanes).zip(query) {
            lanes[member] = x * scale;
        }
    }
}

/// Softmax of each lane over the rows of `[n, lanes]`.
#[allow(clippy::inline_always, reason = "to be compiled for the caller's vectors")]
#[inline(always)]
fn softmax(weights: &mut [f32], lanes: usize) {
    let (weights, _) = weights.as_chunks_mut::<HEADS>();
    let vectors = lanes / HEADS;
    for first in 0..vectors {
        let mut largest = [MASKED; HEADS];
        for row in weights.iter().skip(first).step_by(vectors) {
            for lane in 0..HEADS {
                largest[lane] = if row[lane] > largest[lane] { row[lane] } else { largest[lane] };
            }
        }
        let mut sums = [0.0; HEADS];
        for row in weights.iter_mut().skip(first).step_by(vectors) {
            for lane in 0..HEADS {
                row[lane] = exp(row[lane] - largest[lane]);
                sums[lane] += row[lane];
            }
        }
        let inverse = sums.map(f32::recip);
        for row in weights.iter_mut().skip(first).step_by(vectors) {
            for lane in 0..HEADS {
                row[lane] *= inverse[lane];
            }
        }
    }
}
