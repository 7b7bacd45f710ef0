//! How a sampler shapes a distribution before it draws: logits that penalties change, and a softmax over the tokens that
//! top-k, top-p or min-p keep.

use burn::tensor::{Device, Tensor, TensorData};
use std::ops::Range;

/// What is taken off a logit to leave it out of a sum: finite, so that no gradient becomes NaN.
const OUT: f32 = 1e30;

/// How a logit x of one token is changed: to `x / scale - minus` where x is positive, else to `x * scale - minus`. An infinite
/// `minus` leaves the token out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogitEdit {
    /// The token.
    pub id: u32,
    /// Above 0.
    pub scale: f32,
    /// What is taken off.
    pub minus: f32,
}

impl LogitEdit {
    /// The changed logit, where both were divided by the temperature; and by what the logit's own gradient is multiplied.
    pub(crate) fn apply(&self, cooled: f32, temperature: f32) -> (f32, f32) {
        let factor = if cooled > 0.0 { 1.0 / self.scale } else { self.scale };
        (cooled * factor - self.minus / temperature, factor)
    }
}

/// How the distribution of each row was shaped.
#[derive(Clone, Debug, Default)]
pub struct Shaping {
    edits: Vec<LogitEdit>,
    edit_ends: Vec<usize>,
    kept: Vec<u32>,
    kept_ends: Vec<usize>,
}

impl Shaping {
    /// Adds a row: the changes of its logits, and the tokens that were kept; none for all of them.
    ///
    /// # Panics
    /// When ids do not ascend, or one comes twice.
    pub fn push(&mut self, edits: impl IntoIterator<Item = LogitEdit>, kept: &[u32]) {
        let start = self.edits.len();
        self.edits.extend(edits);
        let ascends = self.edits[start..].windows(2).all(|pair| pair[0].id < pair[1].id);
        assert!(ascends && kept.windows(2).all(|pair| pair[0] < pair[1]), "ids ascend");
        self.kept.extend_from_slice(kept);
        self.edit_ends.push(self.edits.len());
        self.kept_ends.push(self.kept.len());
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.kept_ends.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.kept_ends.is_empty()
    }

    /// The logits of some rows, divided by the temperature, changed as theirs are. For compositions.
    ///
    /// # Shapes
    /// - `cooled`: `[rows, V]`; so is the result
    pub(super) fn applied(&self, cooled: Tensor<2>, rows: Range<usize>, temperature: f32) -> Tensor<2> {
        let [length, vocabulary] = cooled.dims();
        let device = cooled.device();
        let (mut scales, mut minus) = (vec![1.0; length * vocabulary], vec![0.0; length * vocabulary]);
        for (row, token) in rows.enumerate() {
            let ids = 0..vocabulary;
            let minus = &mut minus[row * vocabulary..][..vocabulary];
            if let Some(kept) = self.kept_of(token, &ids) {
                minus.fill(OUT);
                for &id in kept {
                    minus[id as usize] = 0.0;
                }
            }
            for edit in self.edits_of(token, &ids) {
                scales[row * vocabulary + edit.id as usize] = edit.scale;
                let of_edit = &mut minus[edit.id as usize];
                *of_edit = (*of_edit + edit.minus / temperature).min(OUT);
            }
        }
        let dense = |values| dense(values, [length, vocabulary], &device);
        let scales = dense(scales);
        let positive = cooled.clone().detach().greater_elem(0.0);
        let factors = scales.clone().mask_where(positive, scales.recip());
        cooled * factors - dense(minus)
    }

    /// The changes of a row's logits of some ids.
    pub(crate) fn edits_of(&self, row: usize, ids: &Range<usize>) -> &[LogitEdit] {
        within(&self.edits[range(&self.edit_ends, row)], ids, |edit| edit.id)
    }

    /// The kept ones of some ids; None where a row keeps all.
    pub(crate) fn kept_of(&self, row: usize, ids: &Range<usize>) -> Option<&[u32]> {
        let kept = &self.kept[range(&self.kept_ends, row)];
        (!kept.is_empty()).then(|| within(kept, ids, |&id| id))
    }
}

/// Where a row's items are.
fn range(ends: &[usize], row: usize) -> Range<usize> {
    row.checked_sub(1).map_or(0, |before| ends[before])..ends[row]
}

/// Of items whose ids ascend, those with one of some ids.
fn within<'a, T>(items: &'a [T], ids: &Range<usize>, id: impl Fn(&T) -> u32) -> &'a [T] {
    let before = |end: usize| items.partition_point(|item| (id(item) as usize) < end);
    &items[before(ids.start)..before(ids.end)]
}

fn dense(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
