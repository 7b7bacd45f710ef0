//! Sequences of different length into rows, with the next tokens that carry loss. It refuses to know what a sequence
//! says, and never cuts one.

mod layout;
mod packed;
mod rows;

use crate::Error;
use layout::Layout;
use rows::{even, first_fit};
use ruminate_data::{Completion, Sample};
use std::ops::Range;

pub use packed::Packed;

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

/// A completion and what it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Continuation<'a> {
    /// Not empty, or nothing predicts the first token.
    pub prompt: &'a [u32],
    /// Its tokens.
    pub completion: &'a [u32],
    /// Which of them carry loss; None for all.
    pub trained: Option<&'a [bool]>,
}

impl<'a> Continuation<'a> {
    /// Of what policies wrote.
    pub fn of_all(completions: &[&'a Completion]) -> Vec<Self> {
        let of = |written: &&'a Completion| Self {
            prompt: &written.prompt_ids,
            completion: &written.ids,
            trained: written.trained.as_deref(),
        };
        completions.iter().map(of).collect()
    }
}

/// Places of a row that completions are packed into, where nothing is said: where attention has no fused form its memory
/// grows by the square.
pub const ROW_LENGTH: usize = 1024;

/// Packs sequences into rows of at most `row_length` places: first-fit over sequences from long to short, equals in
/// the given order. Rows are then trimmed to the longest.
///
/// # Errors
/// [`Error::TooLong`] when a sequence has more than `row_length` tokens.
pub fn pack(sequences: &[Sequence], row_length: usize) -> Result<Packed, Error> {
    if let Some((sequence, long)) = sequences.iter().enumerate().find(|(_, s)| s.ids.len() > row_length) {
        return Err(Error::TooLong { sequence, length: long.ids.len(), row_length });
    }
    let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids.len()).collect();
    Ok(lay_out(sequences, &first_fit(&lengths, row_length)))
}

/// One sequence a row, in the given order, padded on the right to the longest.
pub fn one_a_row(sequences: &[Sequence]) -> Packed {
    let rows: Vec<Vec<usize>> = (0..sequences.len()).map(|index| vec![index]).collect();
    lay_out(sequences, &rows)
}

/// Packs completions into rows of at most about `row_length` places, evenly filled. A prompt that neighbours share is laid out, and computed,
/// once for all of them: they become branches of a tree, and see what they would see alone.
///
/// A tree that fits no row is divided into several, each with the prompt; a single completion that fits none makes rows
/// longer.
pub fn pack_completions(completions: &[Continuation], row_length: usize) -> Packed {
    let trees = trees(completions, row_length);
    let lengths: Vec<usize> = trees.iter().map(|tree| tree_length(&completions[tree.clone()])).collect();
    let rows = even(&lengths, lengths.iter().fold(row_length, |longest, &length| longest.max(length)));
    let used = |row: &Vec<usize>| row.iter().map(|&tree| lengths[tree]).sum::<usize>();
    let mut layout = Layout::new(rows.len(), rows.iter().map(used).max().unwrap_or(0), completions.len());
    for (row, members) in rows.iter().enumerate() {
        layout.begin_row(row);
        for &tree in members {
            layout.push_tree(trees[tree].start, &completions[trees[tree].clone()]);
        }
    }
    layout.packed
}

/// Splits sequences into microbatches of similar length, long ones first, of at most `max_sequences` each: little
/// is padded when each becomes [`one_a_row`]. The result holds indices into `lengths`.
pub fn microbatches(lengths: &[usize], max_sequences: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
    order.chunks(max_sequences.max(1)).map(<[usize]>::to_vec).collect()
}

/// Splits completions, in their order, into as few microbatches as hold about `max_tokens` places and at most
/// `max_sequences` completions each when they become [`pack_completions`], all of about the same number of places.
pub fn completion_microbatches(
    completions: &[Continuation],
    max_tokens: usize,
    max_sequences: usize,
) -> Vec<Range<usize>> {
    let cost = |index: usize| {
        let Continuation { prompt, completion, .. } = completions[index];
        let shared = index > 0 && completions[index - 1].prompt == prompt;
        completion.len() + if shared { 0 } else { prompt.len() }
    };
    let total: usize = (0..completions.len()).map(cost).sum();
    let count = total.div_ceil(max_tokens.max(1)).max(completions.len().div_ceil(max_sequences.max(1)));
    let mut parts: Vec<Range<usize>> = Vec::new();
    let (mut before, mut current) = (0, 0);
    for index in 0..completions.len() {
        // By the middle of its places: no small rest is left at the end.
        let part = (2 * before + cost(index)) * count / (2 * total).max(1);
        before += cost(index);
        match parts.last_mut() {
            Some(last) if part == current && last.len() < max_sequences => last.end = index + 1,
            _ => parts.push(index..index + 1),
        }
        current = part;
    }
    parts
}

/// Neighbours with the same prompt, as long as they fit a row together.
fn trees(completions: &[Continuation], row_length: usize) -> Vec<Range<usize>> {
    let mut trees: Vec<Range<usize>> = Vec::new();
    for (index, next) in completions.iter().enumerate() {
        match trees.last_mut() {
            Some(tree)
                if completions[tree.start].prompt == next.prompt
                    && tree_length(&completions[tree.start..=index]) <= row_length =>
            {
                tree.end = index + 1;
            }
            _ => trees.push(index..index + 1),
        }
    }
    trees
}

fn tree_length(branches: &[Continuation]) -> usize {
    let trunk = branches.first().map_or(0, |branch| branch.prompt.len());
    trunk + branches.iter().map(|branch| branch.completion.len()).sum::<usize>()
}

fn lay_out(sequences: &[Sequence], rows: &[Vec<usize>]) -> Packed {
    let used = |row: &Vec<usize>| row.iter().map(|&index| sequences[index].ids.len()).sum::<usize>();
    let mut layout = Layout::new(rows.len(), rows.iter().map(used).max().unwrap_or(0), sequences.len());
    for (row, members) in rows.iter().enumerate() {
        layout.begin_row(row);
        for &index in members {
            layout.push_sequence(index, sequences[index]);
        }
    }
    layout.packed
}

#[cfg(test)]
mod tests {
    use super::{
        Continuation, Packed, Sequence, completion_microbatches, microbatches, one_a_row, pack,
        pack_completions,
    };
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
        assert_eq!(packed.batch.trees, packed.batch.segments);
        assert_eq!(packed.loss_places, [0, 1, 2, 3, 5, 8, 9]);
        assert_eq!(packed.loss_targets, [6, 7, 8, 9, 11, 3, 4]);
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
            assert_eq!(packed.over_loss_places(&values), packed.loss_targets);
            assert_eq!(packed.by_sequence(&packed.loss_targets), values);
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

    const fn whole<'a>(prompt: &'a [u32], completion: &'a [u32]) -> Continuation<'a> {
        Continuation { prompt, completion, trained: None }
    }

    const COMPLETIONS: [Continuation<'static>; 4] =
        [whole(&[1, 2], &[3, 4]), whole(&[1, 2], &[]), whole(&[1, 2], &[5, 6, 7]), whole(&[8], &[9])];

    #[test]
    fn a_shared_prompt_is_laid_out_once_and_predicts_every_first_token() {
        let packed = pack_completions(&COMPLETIONS, 9);
        assert_eq!(packed.batch.shape, [1, 9]);
        assert_eq!(packed.batch.tokens, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(packed.batch.positions, [0, 1, 2, 3, 2, 3, 4, 0, 1]);
        assert_eq!(packed.batch.segments, [1, 1, 2, 2, 4, 4, 4, 5, 6]);
        assert_eq!(packed.batch.trees, [1, 1, 1, 1, 1, 1, 1, 2, 2]);
        assert_eq!(packed.loss_places, [1, 2, 1, 4, 5, 7]);
        assert_eq!(packed.loss_targets, [3, 4, 5, 6, 7, 9]);
        assert_eq!(packed.places_of(2).collect::<Vec<_>>(), [0, 1, 4, 5, 6]);
        assert_eq!((packed.shared_with_previous(2), packed.shared_with_previous(3)), (2, 0));
        let by_sequence: Vec<&[u32]> = COMPLETIONS.iter().map(|c| c.completion).collect();
        assert_eq!(packed.by_sequence(&packed.loss_targets), by_sequence);
    }

    #[test]
    fn tokens_that_the_policy_did_not_draw_are_read_and_carry_no_loss() {
        let trained = Some(&[true, false, true][..]);
        let mut completions = COMPLETIONS;
        completions[2] = Continuation { trained, ..completions[2] };
        let (packed, all) = (pack_completions(&completions, 9), pack_completions(&COMPLETIONS, 9));
        assert_eq!(packed.batch, all.batch, "every token is computed as before");
        assert_eq!(packed.loss_places, [1, 2, 1, 5, 7]);
        assert_eq!(packed.loss_targets, [3, 4, 5, 7, 9]);
        assert_eq!(packed.by_sequence(&packed.loss_targets), [vec![3, 4], vec![], vec![5, 7], vec![9]]);
    }

    #[test]
    fn a_tree_that_fits_no_row_repeats_its_prompt() {
        let packed = pack_completions(&COMPLETIONS, 5);
        assert_eq!(packed.batch.shape, [3, 5]);
        assert_eq!(packed.batch.tokens, [1, 2, 5, 6, 7, 1, 2, 3, 4, 0, 8, 9, 0, 0, 0]);
        // What is longer than a row makes rows longer.
        assert_eq!(pack_completions(&COMPLETIONS, 1).batch.shape, [3, 5]);
    }

    #[test]
    fn equal_trees_share_rows_evenly() {
        let completions = [1, 2, 3, 4].map(|prompt| [prompt]);
        let completions: Vec<Continuation> =
            completions.iter().map(|prompt| whole(prompt, &[9, 9])).collect();
        assert_eq!(pack_completions(&completions, 10).batch.shape, [2, 6]);
    }

    #[test]
    fn microbatches_of_completions_are_even_and_keep_their_order() {
        let completions = [whole(&[1, 2], &[3; 8]); 10];
        assert_eq!(completion_microbatches(&completions, 82, 100), vec![0..10; 1]);
        assert_eq!(completion_microbatches(&completions, 81, 100), [0..5, 5..10]);
        assert_eq!(completion_microbatches(&completions, 82, 4), [0..3, 3..7, 7..10]);
        assert_eq!(completion_microbatches(&completions, 1, 100).len(), 10);
        assert!(completion_microbatches(&[], 1, 1).is_empty());
    }
}
