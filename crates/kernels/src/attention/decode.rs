//! Attention of one new token a slot over a cache whose columns are a ring: a slot writes its next column, and sees as many
//! of its latest columns as its sequence has tokens. Only those are read.

// S slots, H query heads, Hk key-value heads, G = H / Hk, L columns, Dk key width, Dv value width, C latent columns,
// n columns that a slot sees

use super::{MASKED, composed};
use crate::cpu::{
    Floats, Matrix, MatrixMut, Store, exp, flex, lanewise, largest, owned, small_product, tensor, total,
    vectorized,
};
use crate::dispatch::{Form, form};
use burn::backend::Flex;
use burn::tensor::{Device, Tensor, TensorData};
use burn_flex::FlexTensor;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Heads of latent attention that share a vector.
const HEADS: usize = 16;

/// How many of its latest columns each slot sees.
#[derive(Clone, Debug)]
pub struct Latest(Arc<[Seen]>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    count: usize,
    /// The latest one, which a step writes.
    column: usize,
}

impl Latest {
    /// A slot sees `count` columns, `column` and those before it; the first column comes after the last. A (count, column)
    /// for each slot.
    pub fn new(slots: impl IntoIterator<Item = (usize, usize)>) -> Self {
        Self(slots.into_iter().map(|(count, column)| Seen { count, column }).collect())
    }

    /// What a slot sees of a ring of `columns`, the oldest first: the second range begins at column 0.
    fn seen(&self, slot: usize, columns: usize) -> [Range<usize>; 2] {
        let Seen { count, column } = self.0[slot];
        let (count, end) = (count.min(columns), column + 1);
        if count <= end { [end - count..end, 0..0] } else { [columns - (count - end)..columns, 0..end] }
    }

    /// Neighbouring slots that write the same column, with that column: where all slots keep step, one stretch of all.
    fn stretches(&self) -> impl Iterator<Item = (Range<usize>, usize)> + '_ {
        let mut start = 0;
        self.0.chunk_by(|a, b| a.column == b.column).map(move |slots| {
            let first = start;
            start += slots.len();
            (first..start, slots[0].column)
        })
    }

    /// `[S, 1, 1, L]`: 0 for what is seen, [`MASKED`] for the rest.
    fn bias(&self, columns: usize, device: &Device) -> Tensor<4> {
        let slots = self.0.len();
        let mut bias = vec![MASKED; slots * columns];
        for (slot, row) in bias.chunks_exact_mut(columns.max(1)).enumerate() {
            for seen in self.seen(slot, columns) {
                row[seen].fill(0.0);
            }
        }
        Tensor::from_data(TensorData::new(bias, [slots, 1, 1, columns]), device)
    }
}

/// The keys and values of a layer's past.
#[derive(Clone, Debug)]
pub struct KeyValueRing {
    /// `[S, Hk, Dk, L]`: columns are adjacent, so that a product over them needs no transpose.
    pub keys: Tensor<4>,
    /// `[S, Hk, L, Dv]`
    pub values: Tensor<4>,
}

/// One new token a slot: the ring takes its key and value up in the slot's column of `latest`, then
/// `softmax(q k^T * scale) v` over what each slot sees. No gradient flows through it: what decodes does not learn.
///
/// A ring that nobody else holds is written in place.
///
/// # Shapes
/// - `q`: `[S, H, Dk]`, `k`: `[S, Hk, Dk]`, `v`: `[S, Hk, Dv]`; result: `[S, H, Dv]`
pub fn decode_attention(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    ring: KeyValueRing,
    latest: &Latest,
    scale: f64,
) -> (Tensor<3>, KeyValueRing) {
    match form(&q) {
        Form::Reference => reference(q, k, v, ring, latest, scale),
        Form::Flex => {
            let KeyValueRing { keys, values } = ring;
            let (mut keys, mut values) = (owned(flex(keys)), owned(flex(values)));
            let out = fused(&flex(q), &flex(k), &flex(v), &mut keys, &mut values, latest, scale);
            let [keys, values] = [keys, values].map(Tensor::from_primitive::<Flex>);
            (Tensor::from_primitive::<Flex>(out), KeyValueRing { keys, values })
        }
    }
}

/// The same over latents (MLA's absorbed form): one key head, whose first `width` columns are the value.
///
/// # Shapes
/// - `q`: `[S, H, C + R]`, `new`: `[S, C + R]`, `kept`: `[S, L, C + R]`; result: `[S, H, C]` for `width` C
pub fn decode_latent_attention(
    q: Tensor<3>,
    new: Tensor<2>,
    kept: Tensor<3>,
    width: usize,
    latest: &Latest,
    scale: f64,
) -> (Tensor<3>, Tensor<3>) {
    match form(&q) {
        Form::Reference => latent_reference(q, new, kept, width, latest, scale),
        Form::Flex => {
            let mut kept = owned(flex(kept));
            let out = fused_latent(&flex(q), &flex(new), &mut kept, width, latest, scale);
            (Tensor::from_primitive::<Flex>(out), Tensor::from_primitive::<Flex>(kept))
        }
    }
}

pub(super) fn latent_reference(
    q: Tensor<3>,
    new: Tensor<2>,
    mut kept: Tensor<3>,
    width: usize,
    latest: &Latest,
    scale: f64,
) -> (Tensor<3>, Tensor<3>) {
    let [_, key_width] = new.dims();
    for (slots, column) in latest.stretches() {
        let new = new.clone().slice([slots.clone(), 0..key_width]).unsqueeze_dim(1);
        kept = kept.slice_assign([slots, column..column + 1, 0..key_width], new);
    }
    let keys = kept.clone().unsqueeze_dim::<4>(1); // [S, 1, L, C + R]
    // The columns after the value ride along and are dropped: cheaper than a copy of those before.
    (attended(q, keys.clone(), keys, latest, scale).narrow(2, 0, width), kept)
}

pub(super) fn reference(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    ring: KeyValueRing,
    latest: &Latest,
    scale: f64,
) -> (Tensor<3>, KeyValueRing) {
    let [_, heads, key_width] = k.dims();
    let [_, _, value_width] = v.dims();
    let KeyValueRing { mut keys, mut values } = ring;
    for (slots, column) in latest.stretches() {
        let column = column..column + 1;
        let k = k.clone().slice([slots.clone(), 0..heads, 0..key_width]).unsqueeze_dim(3);
        keys = keys.slice_assign([slots.clone(), 0..heads, 0..key_width, column.clone()], k);
        let v = v.clone().slice([slots.clone(), 0..heads, 0..value_width]).unsqueeze_dim(2);
        values = values.slice_assign([slots, 0..heads, column, 0..value_width], v);
    }
    let out = attended(q, keys.clone().swap_dims(2, 3), values.clone(), latest, scale);
    (out, KeyValueRing { keys, values })
}

/// `keys` `[S, Hk, L, Dk]`
pub(super) fn attended(
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

/// One task a slot and key-value head: it writes its column, and reads each key and value once for the G queries that
/// share them. Columns count in the order of age, so a slot's result does not depend on where in the ring they lie.
fn fused(
    q: &FlexTensor,
    k: &FlexTensor,
    v: &FlexTensor,
    keys: &mut FlexTensor,
    values: &mut FlexTensor,
    latest: &Latest,
    scale: f64,
) -> FlexTensor {
    let [slots, kv_heads, columns, value_width] = values.layout().shape().dims();
    let [_, heads, key_width] = q.layout().shape().dims();
    let group = heads / kv_heads.max(1);
    let (q, k, v) = (Floats::of(q), Floats::of(k), Floats::of(v));
    let mut out = vec![0.0; slots * heads * value_width];
    let at_least_one = |size: usize| size.max(1);
    let new =
        k.slice().par_chunks(at_least_one(key_width)).zip(v.slice().par_chunks(at_least_one(value_width)));
    let rings = keys
        .storage_mut::<f32>()
        .par_chunks_mut(at_least_one(key_width * columns))
        .zip(values.storage_mut::<f32>().par_chunks_mut(at_least_one(columns * value_width)));
    let queries = q.slice().par_chunks(at_least_one(group * key_width));
    let tasks = out.par_chunks_mut(at_least_one(group * value_width)).zip(queries).zip(new).zip(rings);
    tasks.enumerate().for_each_init(
        <[Vec<f32>; 2]>::default,
        |[queries, weights], (task, (((out, q), (k, v)), (keys, values)))| {
            let Seen { column, .. } = latest.0[task / kv_heads];
            for (keys, k) in keys.chunks_exact_mut(columns).zip(k) {
                keys[column] = *k;
            }
            values[column * value_width..][..value_width].copy_from_slice(v);

            queries.clear();
            queries.extend(q.iter().map(|x| x * scale as f32));
            let places = latest.seen(task / kv_heads, columns);
            let count: usize = places.iter().map(Range::len).sum();
            weights.resize(group * count, 0.0);
            let mut done = 0;
            for places in &places {
                small_product(
                    MatrixMut::strided(&mut weights[done..], group, places.len(), count),
                    Store::Replace,
                    Matrix::new(queries, group, key_width),
                    Matrix::strided(&keys[places.start..], key_width, places.len(), columns),
                );
                done += places.len();
            }
            vectorized(|| weights.chunks_exact_mut(count).for_each(softmax));
            let mut done = 0;
            for (places, store) in places.iter().zip([Store::Replace, Store::Add]) {
                let values = &values[places.start * value_width..places.end * value_width];
                small_product(
                    MatrixMut::new(out, group, value_width),
                    store,
                    Matrix::strided(&weights[done..], group, places.len(), count),
                    Matrix::new(values, places.len(), value_width),
                );
                done += places.len();
            }
        },
    );
    tensor(out, [slots, heads, value_width])
}

/// Softmax of a row.
#[allow(clippy::inline_always, reason = "to be compiled for the caller's vectors")]
#[inline(always)]
fn softmax(row: &mut [f32]) {
    let largest = largest(row);
    for weight in row.iter_mut() {
        *weight = exp(*weight - largest);
    }
    let inverse = total(lanewise(row.len(), |i| row[i])).recip();
    for weight in row {
        *weight *= inverse;
    }
}

/// One task a slot: it writes its column. Keys and values are the same latents, as they lie, and all heads' queries share
/// them.
fn fused_latent(
    q: &FlexTensor,
    new: &FlexTensor,
    kept: &mut FlexTensor,
    width: usize,
    latest: &Latest,
    scale: f64,
) -> FlexTensor {
    let [slots, heads, key_width] = q.layout().shape().dims();
    let [_, columns, _] = kept.layout().shape().dims();
    let lanes = heads.next_multiple_of(HEADS);
    let (q, new) = (Floats::of(q), Floats::of(new));
    let at_least_one = |size: usize| size.max(1);
    let mut out = vec![0.0; slots * heads * width];
    let tasks = out.par_chunks_mut(at_least_one(heads * width));
    let tasks = tasks.zip(q.slice().par_chunks(at_least_one(heads * key_width)));
    let tasks = tasks.zip(new.slice().par_chunks(at_least_one(key_width)));
    let tasks = tasks.zip(kept.storage_mut::<f32>().par_chunks_mut(at_least_one(columns * key_width)));
    tasks.enumerate().for_each_init(
        <(Vec<f32>, Vec<f32>)>::default,
        |(queries, weights), (slot, (((out, q), new), kept))| {
            let Seen { column, .. } = latest.0[slot];
            kept[column * key_width..][..key_width].copy_from_slice(new);
            let places = latest.seen(slot, columns);
            let count: usize = places.iter().map(Range::len).sum();
            queries.resize(key_width * lanes, 0.0);
            turn(q, scale as f32, lanes, queries);
            weights.resize(count * lanes, 0.0);
            let mut done = 0;
            for places in &places {
                let keys = &kept[places.start * key_width..places.end * key_width];
                small_product(
                    MatrixMut::new(&mut weights[done * lanes..], places.len(), lanes),
                    Store::Replace,
                    Matrix::new(keys, places.len(), key_width),
                    Matrix::new(queries, key_width, lanes),
                );
                done += places.len();
            }
            vectorized(|| softmax_of_lanes(weights, lanes));
            let mut done = 0;
            for (places, store) in places.iter().zip([Store::Replace, Store::Add]) {
                let values = &kept[places.start * key_width..places.end * key_width];
                small_product(
                    MatrixMut::new(out, heads, width),
                    store,
                    Matrix::strided(&weights[done * lanes..], places.len(), heads, lanes).transposed(),
                    Matrix::strided(values, places.len(), width, key_width),
                );
                done += places.len();
            }
        },
    );
    tensor(out, [slots, heads, width])
}

/// Queries `[H, Dk]` as lanes `[Dk, lanes]`.
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
fn softmax_of_lanes(weights: &mut [f32], lanes: usize) {
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
