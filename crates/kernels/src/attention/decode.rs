//! Attention of one new token per slot over a cache whose columns are a ring: a slot writes its next column, and sees
//! as many of its latest columns as its sequence has tokens. Only those are read.

// S slots, H query heads, Hk key-value heads, G = H / Hk, L columns, Dk key width, Dv value width, C latent columns,
// n columns that a slot sees

use super::{MASKED, composed};
use crate::backend::{Form, operation};
use burn::tensor::{Device, Int, Tensor, TensorData};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// How many of its latest columns each slot sees.
#[derive(Clone, Debug)]
pub struct VisibleColumns(Arc<Visible>);

#[derive(Debug)]
struct Visible {
    slots: Vec<Seen>,
    /// The reference's, uploaded by the first layer of a step for all of them.
    bias: OnceLock<Tensor<4>>,
    /// What a form on another device than the CPU reads, uploaded likewise.
    counts: OnceLock<Tensor<1, Int>>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    count: usize,
    /// The latest one, which a step writes.
    column: usize,
}

impl VisibleColumns {
    /// A slot sees `count` columns, `column` and those before it; the first column comes after the last. A (count,
    /// column) for each slot.
    pub fn new(slots: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let slots = slots.into_iter().map(|(count, column)| Seen { count, column }).collect();
        Self(Arc::new(Visible { slots, bias: OnceLock::new(), counts: OnceLock::new() }))
    }

    /// What a slot sees of a ring of `columns`, the oldest first: the second range begins at column 0.
    pub(crate) fn seen(&self, slot: usize, columns: usize) -> [Range<usize>; 2] {
        let Seen { count, column } = self.0.slots[slot];
        let (count, end) = (count.min(columns), column + 1);
        if count <= end { [end - count..end, 0..0] } else { [columns - (count - end)..columns, 0..end] }
    }

    /// The column that a slot writes.
    pub(crate) fn column(&self, slot: usize) -> usize {
        self.0.slots[slot].column
    }

    /// Neighbouring slots that write the same column, with that column: where all slots keep step, one stretch of all.
    fn stretches(&self) -> impl Iterator<Item = (Range<usize>, usize)> + '_ {
        let mut start = 0;
        self.0.slots.chunk_by(|a, b| a.column == b.column).map(move |slots| {
            let first = start;
            start += slots.len();
            (first..start, slots[0].column)
        })
    }

    /// `[2 S]`: of each slot how many columns it sees, be they more than a ring has, and its latest one.
    #[cfg_attr(not(feature = "cube"), allow(dead_code, reason = "read by forms for GPUs"))]
    pub(crate) fn uploaded(&self, device: &Device) -> Tensor<1, Int> {
        let upload = || {
            let slots = &self.0.slots;
            let numbers = slots.iter().flat_map(|&Seen { count, column }| [count as i32, column as i32]);
            Tensor::from_data(TensorData::new(numbers.collect(), [2 * slots.len()]), device)
        };
        let counts = self.0.counts.get_or_init(upload);
        if counts.device() == *device { counts.clone() } else { upload() }
    }

    /// `[S, 1, 1, L]`: 0 for what is seen, [`MASKED`] for the rest.
    fn bias(&self, columns: usize, device: &Device) -> Tensor<4> {
        let bias = self.0.bias.get_or_init(|| self.upload_bias(columns, device));
        if bias.dims()[3] == columns && bias.device() == *device {
            bias.clone()
        } else {
            self.upload_bias(columns, device)
        }
    }

    fn upload_bias(&self, columns: usize, device: &Device) -> Tensor<4> {
        let slots = self.0.slots.len();
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

/// one new token per slot: the ring takes its key and value up in the slot's column of `latest`, then
/// `softmax(q k^T * scale) v` over what each slot sees. No gradient flows through it: what decodes does not learn.
///
/// A ring that no other tensor shares is written in place.
///
/// # Shapes
/// - `q`: `[S, H, Dk]`, `k`: `[S, Hk, Dk]`, `v`: `[S, Hk, Dv]`; result: `[S, H, Dv]`
pub fn decode_attention(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    ring: KeyValueRing,
    latest: &VisibleColumns,
    scale: f64,
) -> (Tensor<3>, KeyValueRing) {
    match DecodeAttention::form(&q) {
        Form::Reference => reference(q, k, v, ring, latest, scale),
        Form::Fused => {
            let KeyValueRing { keys, values } = ring;
            let operation = DecodeAttention { latest: latest.clone(), scale };
            let (out, keys, values) = operation.fused(q, k, v, keys, values);
            (out, KeyValueRing { keys, values })
        }
    }
}

/// The operation of [`decode_attention`].
pub(crate) struct DecodeAttention {
    pub(crate) latest: VisibleColumns,
    pub(crate) scale: f64,
}

operation!(
    untracked DecodeAttention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, keys: Tensor<4>, values: Tensor<4>)
        -> (out: Tensor<3>, keys: Tensor<4>, values: Tensor<4>)
);

/// The same over latents (MLA's absorbed form): one key head, whose first `width` columns are the value.
///
/// # Shapes
/// - `q`: `[S, H, C + R]`, `new`: `[S, C + R]`, `kept`: `[S, L, C + R]`; result: `[S, H, C]` for `width` C
pub fn decode_latent_attention(
    q: Tensor<3>,
    new: Tensor<2>,
    kept: Tensor<3>,
    width: usize,
    latest: &VisibleColumns,
    scale: f64,
) -> (Tensor<3>, Tensor<3>) {
    match DecodeLatentAttention::form(&q) {
        Form::Reference => latent_reference(q, new, kept, width, latest, scale),
        Form::Fused => DecodeLatentAttention { width, latest: latest.clone(), scale }.fused(q, new, kept),
    }
}

/// The operation of [`decode_latent_attention`].
pub(crate) struct DecodeLatentAttention {
    /// Columns of the value.
    pub(crate) width: usize,
    pub(crate) latest: VisibleColumns,
    pub(crate) scale: f64,
}

operation!(
    untracked DecodeLatentAttention(q: Tensor<3>, new: Tensor<2>, kept: Tensor<3>)
        -> (out: Tensor<3>, kept: Tensor<3>)
);

pub(crate) fn latent_reference(
    q: Tensor<3>,
    new: Tensor<2>,
    mut kept: Tensor<3>,
    width: usize,
    latest: &VisibleColumns,
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

pub(crate) fn reference(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    ring: KeyValueRing,
    latest: &VisibleColumns,
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
    latest: &VisibleColumns,
    scale: f64,
) -> Tensor<3> {
    let [_, _, columns, _] = keys.dims();
    let bias = latest.bias(columns, &q.device());
    composed(q.unsqueeze_dim(2), keys, values, bias, scale).squeeze_dim(2).detach()
}
