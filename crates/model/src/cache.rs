//! Static caches for decoding: one row a slot, one column a token. Columns are a ring: a slot writes its next column, and
//! sees as many of its latest ones as its sequence has tokens (`kernels::VisibleColumns`).
//!
//! Where all slots write the same column, a step is one `slice_assign` a layer, whatever the lengths.

// S slots, L columns, P columns of a prefilled chunk, C + R latent width, Hk key-value heads, Dh head width

use crate::config::{Attention, Config};
use burn::tensor::{Device, Int, Tensor};
use ruminate_kernels::KeyValueRing;
use std::mem;

/// What one layer keeps of the past.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a handful of them exist, one a layer")]
pub enum LayerCache {
    /// MLA: normed latent and rotated shared key, `[S, L, C + R]`.
    Latent(Tensor<3>),
    /// GQA: rotated keys and values.
    KeyValue {
        /// Keys, `[S, Hk, Dh, L]`.
        key: Tensor<4>,
        /// Values, `[S, Hk, L, Dh]`.
        value: Tensor<4>,
    },
}

/// The caches of all layers.
#[derive(Clone, Debug)]
pub struct Cache {
    pub(crate) layers: Vec<LayerCache>,
    slots: usize,
    columns: usize,
}

impl Cache {
    /// An empty cache of so many layers. Its contents are zeros: finite, so that a masked column adds nothing.
    pub(crate) fn new(config: &Config, layers: usize, slots: usize, columns: usize, device: &Device) -> Self {
        let layer = || match config.attention {
            Attention::Mla(mla) => LayerCache::Latent(Tensor::zeros(
                [slots, columns, mla.kv_lora_rank + mla.qk_rope_head_dim],
                device,
            )),
            Attention::Gqa(gqa) => {
                let heads = gqa.num_key_value_heads;
                LayerCache::KeyValue {
                    key: Tensor::zeros([slots, heads, gqa.head_dim, columns], device),
                    value: Tensor::zeros([slots, heads, columns, gqa.head_dim], device),
                }
            }
        };
        Self { layers: (0..layers).map(|_| layer()).collect(), slots, columns }
    }

    /// Slots (S).
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Columns (L).
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Takes up prefilled prompts: row `rows[i]` of `prompts` goes to `slots[i]`, its last column right before `end`
    /// (modulo the ring). `prompts` come from [`PreparedDecoder::prefill`](crate::PreparedDecoder::prefill); slots that
    /// share a prompt name the same row.
    pub fn insert(&mut self, slots: &[usize], end: usize, prompts: &[LayerCache], rows: &[usize]) {
        let length = prompts.first().map_or(0, LayerCache::columns);
        let start = (end + self.columns - length % self.columns) % self.columns;
        // What wraps is written in two pieces.
        let first = length.min(self.columns - start);
        let pieces = [(start, 0, first), (0, first, length - first)];
        for (layer, prompts) in self.layers.iter_mut().zip(prompts) {
            let chosen = prompts.clone().select(rows);
            for (to, from, count) in pieces.into_iter().filter(|&(_, _, count)| count > 0) {
                for run in runs(slots) {
                    layer.write(slots[run.start], to, &chosen.part(run.clone(), from, count));
                }
            }
        }
    }

    /// Keeps these slots, in this order.
    #[must_use]
    pub fn select(self, slots: &[usize]) -> Self {
        let layers = self.layers.into_iter().map(|layer| layer.select(slots)).collect();
        Self { layers, slots: slots.len(), columns: self.columns }
    }
}

impl LayerCache {
    /// Rows by index; an index may repeat.
    #[must_use]
    pub fn select(self, rows: &[usize]) -> Self {
        let rows: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
        match self {
            Self::Latent(kept) => {
                let rows = Tensor::<1, Int>::from_ints(rows.as_slice(), &kept.device());
                Self::Latent(kept.select(0, rows))
            }
            Self::KeyValue { key, value } => {
                let rows = Tensor::<1, Int>::from_ints(rows.as_slice(), &key.device());
                Self::KeyValue { key: key.select(0, rows.clone()), value: value.select(0, rows) }
            }
        }
    }

    /// The latents of MLA.
    pub(crate) fn latents(self) -> Tensor<3> {
        match self {
            Self::Latent(kept) => kept,
            Self::KeyValue { .. } => unreachable!("a model has one kind of attention"),
        }
    }

    /// Keys and values of GQA, by place: `[B, T, Hk, Dh]` each.
    pub(crate) fn by_place(self) -> [Tensor<4>; 2] {
        match self {
            Self::KeyValue { key, value } => [key.permute([0, 3, 1, 2]), value.swap_dims(1, 2)],
            Self::Latent(_) => unreachable!("a model has one kind of attention"),
        }
    }

    pub(crate) fn columns(&self) -> usize {
        match self {
            Self::Latent(kept) => kept.dims()[1],
            Self::KeyValue { value, .. } => value.dims()[2],
        }
    }

    fn part(&self, rows: std::ops::Range<usize>, column: usize, count: usize) -> Self {
        let columns = column..column + count;
        match self {
            Self::Latent(kept) => Self::Latent(kept.clone().slice([rows, columns])),
            Self::KeyValue { key, value } => {
                let [_, heads, width, _] = key.dims();
                Self::KeyValue {
                    key: key.clone().slice([rows.clone(), 0..heads, 0..width, columns.clone()]),
                    value: value.clone().slice([rows, 0..heads, columns]),
                }
            }
        }
    }

    fn write(&mut self, row: usize, column: usize, part: &Self) {
        match (self, part) {
            (Self::Latent(kept), Self::Latent(part)) => {
                let [rows, count, width] = part.dims();
                let ranges = [row..row + rows, column..column + count, 0..width];
                replace(kept, |kept| kept.slice_assign(ranges, part.clone()));
            }
            (Self::KeyValue { key, value }, Self::KeyValue { key: new_key, value: new_value }) => {
                let [rows, heads, count, width] = new_value.dims();
                let (rows, columns) = (row..row + rows, column..column + count);
                let [_, _, key_width, _] = new_key.dims();
                let ranges = [rows.clone(), 0..heads, 0..key_width, columns.clone()];
                replace(key, |key| key.slice_assign(ranges, new_key.clone()));
                let ranges = [rows, 0..heads, columns, 0..width];
                replace(value, |value| value.slice_assign(ranges, new_value.clone()));
            }
            _ => unreachable!("a model has one kind of attention"),
        }
    }

    /// Lends the ring of latents to `change`, which gives it back.
    pub(crate) fn change_latent<R>(&mut self, change: impl FnOnce(Tensor<3>) -> (R, Tensor<3>)) -> R {
        match self {
            Self::Latent(kept) => {
                let (result, changed) = change(taken(kept));
                *kept = changed;
                result
            }
            Self::KeyValue { .. } => unreachable!("a model has one kind of attention"),
        }
    }

    /// Lends the ring of keys and values to `change`, which gives it back.
    pub(crate) fn change_key_value<R>(
        &mut self,
        change: impl FnOnce(KeyValueRing) -> (R, KeyValueRing),
    ) -> R {
        match self {
            Self::KeyValue { key, value } => {
                let (keys, values) = (taken(key), taken(value));
                let (result, KeyValueRing { keys, values }) = change(KeyValueRing { keys, values });
                (*key, *value) = (keys, values);
                result
            }
            Self::Latent(_) => unreachable!("a model has one kind of attention"),
        }
    }
}

/// Replaces a tensor by a function of itself; the tensor is moved through, so that an only owner is changed in
/// place.
fn replace<const D: usize>(tensor: &mut Tensor<D>, change: impl FnOnce(Tensor<D>) -> Tensor<D>) {
    *tensor = change(taken(tensor));
}

/// Moves a tensor out, and leaves an empty one.
fn taken<const D: usize>(tensor: &mut Tensor<D>) -> Tensor<D> {
    let empty = Tensor::empty([0; D], &tensor.device());
    mem::replace(tensor, empty)
}

/// Maximal stretches of consecutive slots, as ranges of indices into `slots`.
fn runs(slots: &[usize]) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for (i, &slot) in slots.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if slots[run.end - 1] + 1 == slot => run.end = i + 1,
            _ => runs.push(i..i + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn runs_cover_all_slots_in_consecutive_stretches() {
        assert_eq!(runs(&[0, 1, 2, 5, 6, 9, 3]), [0..3, 3..5, 5..6, 6..7]);
        assert!(runs(&[]).is_empty());
    }
}
