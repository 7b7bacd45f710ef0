//! Rows on the way to being filled: where a segment's tokens go, and which places predict a token with loss. Which
//! sequence goes into which row is decided before.

use super::{Continuation, Packed, Sequence};
use ruminate_model::Batch;
use std::ops::Range;

/// Rows on the way to being filled.
pub(super) struct Layout {
    pub(super) packed: Packed,
    /// The next free place.
    place: usize,
    /// Segments and trees of the row so far.
    segments: u32,
    trees: u32,
}

impl Layout {
    pub(super) fn new(rows: usize, length: usize, sequences: usize) -> Self {
        let size = rows * length;
        let batch = Batch {
            tokens: vec![0; size],
            positions: vec![0; size],
            segments: vec![0; size],
            trees: vec![0; size],
            shape: [rows, length],
        };
        let places = vec![[0..0, 0..0]; sequences];
        let packed =
            Packed { batch, loss_places: Vec::new(), loss_targets: Vec::new(), order: Vec::new(), places };
        Self { packed, place: 0, segments: 0, trees: 0 }
    }

    pub(super) fn begin_row(&mut self, row: usize) {
        let [_, length] = self.packed.batch.shape;
        (self.place, self.segments, self.trees) = (row * length, 0, 0);
    }

    pub(super) fn push_sequence(&mut self, index: usize, Sequence { ids, loss_mask }: Sequence<'_>) {
        assert_eq!(ids.len(), loss_mask.len(), "sequence {index}: one mask entry a token");
        self.trees += 1;
        let own = self.push_segment(ids, 0);
        let before = self.packed.loss_places.len();
        for (place, (&next, _)) in
            own.clone().zip(ids.iter().zip(loss_mask).skip(1)).filter(|(_, (_, trained))| **trained)
        {
            self.push_loss(place, next);
        }
        self.end_sequence(index, before, [own.start..own.start, own]);
    }

    /// Branches of one prompt; the first has number `first`.
    pub(super) fn push_tree(&mut self, first: usize, branches: &[Continuation]) {
        self.trees += 1;
        let prompt = branches[0].prompt;
        let trunk = self.push_segment(prompt, 0);
        for (index, branch) in (first..).zip(branches) {
            let own = self.push_segment(branch.completion, prompt.len());
            let before = self.packed.loss_places.len();
            // The trunk's last place predicts the first token, each token the next one.
            let predicting = trunk.clone().last().into_iter().chain(own.clone());
            for (token, (place, &next)) in predicting.zip(branch.completion).enumerate() {
                if branch.trained.is_none_or(|trained| trained[token]) {
                    self.push_loss(place, next);
                }
            }
            self.end_sequence(index, before, [trunk.clone(), own]);
        }
    }

    /// Writes the tokens of a segment, whose first has the given position in its sequence.
    fn push_segment(&mut self, ids: &[u32], position: usize) -> Range<usize> {
        self.segments += 1;
        let places = self.place..self.place + ids.len();
        let batch = &mut self.packed.batch;
        batch.tokens[places.clone()].copy_from_slice(ids);
        batch.segments[places.clone()].fill(self.segments);
        batch.trees[places.clone()].fill(self.trees);
        for (position, slot) in (position as u32..).zip(&mut batch.positions[places.clone()]) {
            *slot = position;
        }
        self.place = places.end;
        places
    }

    fn push_loss(&mut self, place: usize, target: u32) {
        self.packed.loss_places.push(place as u32);
        self.packed.loss_targets.push(target);
    }

    fn end_sequence(&mut self, index: usize, losses_before: usize, places: [Range<usize>; 2]) {
        self.packed.order.push((index, self.packed.loss_places.len() - losses_before));
        self.packed.places[index] = places;
    }
}
