//! Decoding's attention on the CPU: slots in parallel, each over what it sees of its ring, as one or two stretches.

// S slots, H query heads, Hk key-value heads, G = H / Hk, L columns, Dk key width, Dv value width, n columns that a
// slot sees

use crate::attention::{DecodeAttention, DecodeLatentAttention, MASKED, VisibleColumns};
use crate::backend::Operation;
use crate::backend::cpu::{
    Floats, Matrix, MatrixMut, Store, exp, gemm_small, lanewise, largest, owned, tensor, total, vectorized,
};
use burn::backend::Flex;
use burn_flex::FlexTensor;
use rayon::prelude::*;
use std::ops::Range;

impl Operation<Flex, 5, 3> for DecodeAttention {
    fn forward(&self, [q, k, v, keys, values]: [FlexTensor; 5]) -> [FlexTensor; 3] {
        let (mut keys, mut values) = (owned(keys), owned(values));
        let out = attended(&q, &k, &v, &mut keys, &mut values, &self.latest, self.scale);
        [out, keys, values]
    }
}

impl Operation<Flex, 3, 2> for DecodeLatentAttention {
    fn forward(&self, [q, new, kept]: [FlexTensor; 3]) -> [FlexTensor; 2] {
        let mut kept = owned(kept);
        let out = attended_latent(&q, &new, &mut kept, self.width, &self.latest, self.scale);
        [out, kept]
    }
}

/// Heads of latent attention that share a vector.
const HEADS: usize = 16;

/// One task per slot and key-value head: it writes its column, and reads each key and value once for the G queries that
/// share them. Columns count in the order of age, so a slot's result does not depend on where in the ring they lie.
fn attended(
    q: &FlexTensor,
    k: &FlexTensor,
    v: &FlexTensor,
    keys: &mut FlexTensor,
    values: &mut FlexTensor,
    latest: &VisibleColumns,
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
            let column = latest.column(task / kv_heads);
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
                gemm_small(
                    MatrixMut::strided(&mut weights[done..], group, places.len(), count),
                    Store::Replace,
                    Matrix::new(queries, group, key_width),
                    Matrix::strided(&keys[places.start..], key_width, places.len(), columns),
                );
                done += places.len();
            }
            softmax_of_rows(weights, count);
            let mut done = 0;
            for (places, store) in places.iter().zip([Store::Replace, Store::Add]) {
                let values = &values[places.start * value_width..places.end * value_width];
                gemm_small(
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

/// Softmax of each row of `[m, n]`.
fn softmax_of_rows(weights: &mut [f32], count: usize) {
    vectorized!(|weights: &mut [f32], count: usize| {
        for row in weights.chunks_exact_mut(count) {
            let largest = largest(row);
            for weight in row.iter_mut() {
                *weight = exp(*weight - largest);
            }
            let inverse = total(lanewise(row.len(), |i| row[i])).recip();
            for weight in row {
                *weight *= inverse;
            }
        }
    });
}

/// One task per slot: it writes its column. Keys and values are the same latents, as they lie, and all heads' queries
/// share them.
fn attended_latent(
    q: &FlexTensor,
    new: &FlexTensor,
    kept: &mut FlexTensor,
    width: usize,
    latest: &VisibleColumns,
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
            let column = latest.column(slot);
            kept[column * key_width..][..key_width].copy_from_slice(new);
            let places = latest.seen(slot, columns);
            let count: usize = places.iter().map(Range::len).sum();
            queries.resize(key_width * lanes, 0.0);
            turn(q, scale as f32, lanes, queries);
            weights.resize(count * lanes, 0.0);
            let mut done = 0;
            for places in &places {
                let keys = &kept[places.start * key_width..places.end * key_width];
                gemm_small(
                    MatrixMut::new(&mut weights[done * lanes..], places.len(), lanes),
                    Store::Replace,
                    Matrix::new(keys, places.len(), key_width),
                    Matrix::new(queries, key_width, lanes),
                );
                done += places.len();
            }
            softmax_of_lanes(weights, lanes);
            let mut done = 0;
            for (places, store) in places.iter().zip([Store::Replace, Store::Add]) {
                let values = &kept[places.start * key_width..places.end * key_width];
                gemm_small(
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
fn softmax_of_lanes(weights: &mut [f32], lanes: usize) {
    vectorized!(|weights: &mut [f32], lanes: usize| {
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
    });
}
