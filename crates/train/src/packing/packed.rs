//! What packing leaves: rows for a forward pass, which of their places predict a token with loss, and whose they are. It
//! refuses to know how sequences found their rows.

// B rows, T places a row, S sequences, N tokens with loss

use ruminate_model::Batch;
use std::ops::Range;

/// Rows of sequences, ready for a forward pass and its loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Rows as the decoder takes them.
    pub batch: Batch,
    /// `[N]`: the places that predict a token with loss. Tensors over loss tokens have this order. A place of a
    /// shared prompt's end predicts the first token of every completion.
    pub loss_places: Vec<u32>,
    /// `[N]`: the tokens that they predict.
    pub loss_targets: Vec<u32>,
    /// The sequences in the order in which they were laid out, each with its number of loss tokens.
    pub(super) order: Vec<(usize, usize)>,
    /// The places of each sequence, in the order given: of a shared prompt, then its own.
    pub(super) places: Vec<[Range<usize>; 2]>,
}

impl Packed {
    /// Number of tokens with loss (N).
    pub fn loss_tokens(&self) -> usize {
        self.loss_places.len()
    }

    /// Number of sequences (S).
    pub fn sequences(&self) -> usize {
        self.order.len()
    }

    /// Number of places that hold a token, padding left out; a shared prompt counts once.
    pub fn tokens(&self) -> usize {
        self.batch.segments.iter().filter(|&&segment| segment != 0).count()
    }

    /// The places of a sequence's tokens, in their order.
    pub fn places_of(&self, sequence: usize) -> impl Iterator<Item = usize> + use<> {
        let [trunk, own] = self.places[sequence].clone();
        trunk.chain(own)
    }

    /// How many of a sequence's first places are those of the sequence before it, in the same tree.
    pub fn shared_with_previous(&self, sequence: usize) -> usize {
        match sequence.checked_sub(1).map(|previous| &self.places[previous][0]) {
            Some(trunk) if *trunk == self.places[sequence][0] => trunk.len(),
            _ => 0,
        }
    }

    /// Values of each sequence's loss tokens, in the order of the sequences given, laid out over the loss tokens.
    ///
    /// # Panics
    /// When a sequence has another number of values than of loss tokens.
    pub fn over_loss_places<T: Copy, V: AsRef<[T]>>(&self, by_sequence: &[V]) -> Vec<T> {
        let mut values = Vec::with_capacity(self.loss_tokens());
        for &(index, count) in &self.order {
            let own = by_sequence[index].as_ref();
            assert_eq!(own.len(), count, "sequence {index}: one value a loss token");
            values.extend_from_slice(own);
        }
        values
    }

    /// The reverse: values over the loss tokens, by sequence in the order given.
    ///
    /// # Shapes
    /// - `values`: `[N]`, result: S vectors
    pub fn by_sequence<T: Copy>(&self, values: &[T]) -> Vec<Vec<T>> {
        assert_eq!(values.len(), self.loss_tokens(), "one value a loss token");
        let mut sequences = vec![Vec::new(); self.order.len()];
        let mut rest = values;
        for &(index, count) in &self.order {
            let (own, others) = rest.split_at(count);
            sequences[index] = own.to_vec();
            rest = others;
        }
        sequences
    }

    /// Places whose token after next belongs to the same segment and carries loss, with that token: what
    /// multi-token prediction learns.
    pub fn second_targets(&self) -> (Vec<u32>, Vec<u32>) {
        let [_, length] = self.batch.shape;
        let segments = &self.batch.segments;
        let losses = self.loss_places.iter().zip(&self.loss_targets);
        losses
            // The place before one that predicts a token with loss.
            .filter(|&(&place, _)| !(place as usize).is_multiple_of(length))
            .filter(|&(&place, _)| segments[place as usize - 1] == segments[place as usize])
            .map(|(place, target)| (place - 1, *target))
            .unzip()
    }
}
