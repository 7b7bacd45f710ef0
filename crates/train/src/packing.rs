//! Sequences of different length into rows, with the next token and the loss mask of every place. It refuses to
//! know what a sequence says, and never cuts one.

// B rows, T places a row, S sequences, N places with loss

use crate::Error;
use ruminate_data::Sample;
use ruminate_model::Batch;

/// Borrowed token ids and which of them carry loss.
#[derive(Clone, Copy, Debug)]
pub struct Sequence<'a> {
    /// Prompt and completion, concatenated.
    pub ids: &'a [u32],
    /// Whether predicting `ids[i]` from `ids[..i]` is trained; nothing predicts the first.
    pub loss_mask: &'a [bool],
}

impl<'a> From<&'a Sample> for Sequence<'a> {
    fn from(sample: &'a Sample) -> Self {
        Self { ids: &sample.ids, loss_mask: &sample.loss_mask }
    }
}

/// Rows of sequences, ready for a forward pass and its loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Rows as the decoder takes them.
    pub batch: Batch,
    /// `[B * T]`: the next token of the same sequence; 0 where there is none.
    pub targets: Vec<u32>,
    /// `[B * T]`: whether predicting the target is trained.
    pub loss_mask: Vec<bool>,
    /// `[N]`: the places with loss, ascending. Tensors over loss tokens have this order.
    pub loss_places: Vec<u32>,
    /// The sequences in the order of their places, each with its number of loss tokens.
    order: Vec<(usize, usize)>,
}

/// Packs sequences into rows of at most `row_length` places: first-fit over sequences from long to short, equals in
/// the given order. Rows are then trimmed to the longest.
///
/// # Errors
/// [`Error::TooLong`] when a sequence has more than `row_length` tokens.
pub fn pack(sequences: &[Sequence], row_length: usize) -> Result<Packed, Error> {
    if let Some((sequence, long)) = sequences.iter().enumerate().find(|(_, s)| s.ids.len() > row_length) {
        return Err(Error::TooLong { sequence, length: long.ids.len(), row_length });
    }
    let mut rows: Vec<(usize, Vec<usize>)> = Vec::new();
    for index in by_length(sequences) {
        let length = sequences[index].ids.len();
        match rows.iter_mut().find(|(used, _)| used + length <= row_length) {
            Some((used, row)) => {
                *used += length;
                row.push(index);
            }
            None => rows.push((length, vec![index])),
        }
    }
    let rows: Vec<Vec<usize>> = rows.into_iter().map(|(_, row)| row).collect();
    Ok(lay_out(sequences, &rows))
}

/// One sequence a row, in the given order, padded on the right to the longest.
pub fn one_a_row(sequences: &[Sequence]) -> Packed {
    let rows: Vec<Vec<usize>> = (0..sequences.len()).map(|index| vec![index]).collect();
    lay_out(sequences, &rows)
}

/// Splits sequences into microbatches of similar length, long ones first, of at most `max_sequences` each: little
/// is padded when each becomes [`one_a_row`]. The result holds indices into `lengths`.
pub fn microbatches(lengths: &[usize], max_sequences: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
    order.chunks(max_sequences.max(1)).map(<[usize]>::to_vec).collect()
}

fn by_length(sequences: &[Sequence]) -> Vec<usize> {
    let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids.len()).collect();
    microbatches(&lengths, lengths.len()).concat()
}

fn lay_out(sequences: &[Sequence], rows: &[Vec<usize>]) -> Packed {
    let used = |row: &Vec<usize>| row.iter().map(|&index| sequences[index].ids.len()).sum::<usize>();
    let length = rows.iter().map(used).max().unwrap_or(0);
    let size = rows.len() * length;
    let mut batch = Batch {
        tokens: vec![0; size],
        positions: vec![0; size],
        segments: vec![0; size],
        shape: [rows.len(), length],
    };
    let (mut targets, mut loss_mask) = (vec![0; size], vec![false; size]);
    let (mut loss_places, mut order) = (Vec::new(), Vec::new());
    for (r, row) in rows.iter().enumerate() {
        let mut place = r * length;
        for (segment, &index) in row.iter().enumerate() {
            let Sequence { ids, loss_mask: trained } = sequences[index];
            assert_eq!(ids.len(), trained.len(), "sequence {index}: one mask entry a token");
            let before = loss_places.len();
            for (i, &token) in ids.iter().enumerate() {
                batch.tokens[place] = token;
                batch.positions[place] = i as u32;
                batch.segments[place] = segment as u32 + 1;
                if let Some(&next) = ids.get(i + 1) {
                    targets[place] = next;
                    loss_mask[place] = trained[i + 1];
                    if trained[i + 1] {
                        loss_places.push(place as u32);
                    }
                }
                place += 1;
            }
            order.push((index, loss_places.len() - before));
        }
    }
    Packed { batch, targets, loss_mask, loss_places, order }
}

impl Packed {
    /// Number of places with loss (N).
    pub fn loss_tokens(&self) -> usize {
        self.loss_places.len()
    }

    /// Number of sequences (S).
    pub fn sequences(&self) -> usize {
        self.order.len()
    }

    /// Number of tokens, padding left out.
    pub fn tokens(&self) -> usize {
        self.batch.segments.iter().filter(|&&segment| segment != 0).count()
    }

    /// `[N]`: the tokens that the loss places predict.
    pub fn loss_targets(&self) -> Vec<u32> {
        self.loss_places.iter().map(|&place| self.targets[place as usize]).collect()
    }

    /// Values of each sequence's loss tokens, in the order of the sequences given, laid out over the loss places.
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

    /// The reverse: values over the loss places, by sequence in the order given.
    ///
    /// # Shapes
    /// - `values`: `[N]`, result: S vectors
    pub fn by_sequence<T: Copy>(&self, values: &[T]) -> Vec<Vec<T>> {
        assert_eq!(values.len(), self.loss_tokens(), "one value a loss place");
        let mut sequences = vec![Vec::new(); self.order.len()];
        let mut rest = values;
        for &(index, count) in &self.order {
            let (own, others) = rest.split_at(count);
            sequences[index] = own.to_vec();
            rest = others;
        }
        sequences
    }

    /// Places whose token after next belongs to the same sequence and carries loss, with that token: what
    /// multi-token prediction learns.
    pub fn second_targets(&self) -> (Vec<u32>, Vec<u32>) {
        let [_, length] = self.batch.shape;
        let segments = &self.batch.segments;
        (0..self.batch.places())
            .filter(|place| place % length + 2 < length)
            .filter(|&place| segments[place] != 0 && segments[place] == segments[place + 1])
            // The mask of the next place is false where the sequence ends there.
            .filter(|&place| self.loss_mask[place + 1])
            .map(|place| (place as u32, self.targets[place + 1]))
            .unzip()
    }
}

#[cfg(test)]
mod tests {
    use super::{Packed, Sequence, microbatches, one_a_row, pack};
    use crate::Error;
    use ruminate_data::Sample;

    fn samples() -> Vec<Sample> {
        [(&[1_u32, 2][..], &[3_u32, 4][..]), (&[5], &[6, 7, 8, 9]), (&[10], &[11])]
            .iter()
            .map(|(prompt, completion)| Sample::completion_only(prompt, completion))
            .collect()
    }

    fn packed(samples: &[Sample], row_length: usize) -> Packed {
        let sequences: Vec<Sequence> = samples.iter().map(Sequence::from).collect();
        pack(&sequences, row_length).expect("they fit")
    }

    #[test]
    fn long_sequences_come_first_and_short_ones_fill_up() {
        let packed = packed(&samples(), 7);
        assert_eq!(packed.batch.shape, [2, 7]);
        assert_eq!(packed.batch.tokens, [5, 6, 7, 8, 9, 10, 11, 1, 2, 3, 4, 0, 0, 0]);
        assert_eq!(packed.batch.positions, [0, 1, 2, 3, 4, 0, 1, 0, 1, 2, 3, 0, 0, 0]);
        assert_eq!(packed.batch.segments, [1, 1, 1, 1, 1, 2, 2, 1, 1, 1, 1, 0, 0, 0]);
        assert_eq!(packed.targets, [6, 7, 8, 9, 0, 11, 0, 2, 3, 4, 0, 0, 0, 0]);
        assert_eq!(packed.loss_places, [0, 1, 2, 3, 5, 8, 9]);
        assert_eq!(packed.tokens(), 11);
    }

    #[test]
    fn rows_are_trimmed_to_the_longest() {
        assert_eq!(packed(&samples(), 100).batch.shape, [1, 11]);
    }

    #[test]
    fn a_sequence_that_fits_no_row_is_refused() {
        let samples = samples();
        let sequences: Vec<Sequence> = samples.iter().map(Sequence::from).collect();
        match pack(&sequences, 4) {
            Err(Error::TooLong { sequence: 1, length: 5, row_length: 4 }) => {}
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn values_find_their_sequence_however_rows_are_laid_out() {
        let samples = samples();
        let sequences: Vec<Sequence> = samples.iter().map(Sequence::from).collect();
        let values = [vec![3_u32, 4], vec![6, 7, 8, 9], vec![11]];
        for packed in [packed(&samples, 7), one_a_row(&sequences)] {
            // Each loss token's own id is its value, so the layout must reproduce the targets.
            assert_eq!(packed.over_loss_places(&values), packed.loss_targets());
            assert_eq!(packed.by_sequence(&packed.loss_targets()), values);
        }
    }

    #[test]
    fn second_targets_stay_in_their_sequence_and_carry_loss() {
        let (places, tokens) = packed(&samples(), 7).second_targets();
        assert_eq!(places, [0, 1, 2, 7, 8]);
        assert_eq!(tokens, [7, 8, 9, 3, 4]);
    }

    #[test]
    fn microbatches_hold_every_index_once_and_similar_lengths() {
        assert_eq!(microbatches(&[3, 9, 1, 9, 4], 2), [vec![1, 3], vec![4, 0], vec![2]]);
    }
}
