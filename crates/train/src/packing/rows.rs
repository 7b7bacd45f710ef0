//! Which row takes what, by lengths alone.

use super::microbatches;

/// Indices of what goes into each row: from long to short, each into the first row that has room for it.
pub(super) fn first_fit(lengths: &[usize], row_length: usize) -> Vec<Vec<usize>> {
    let mut rows: Vec<(usize, Vec<usize>)> = Vec::new();
    for index in from_long_to_short(lengths) {
        let length = lengths[index];
        match rows.iter_mut().find(|(used, _)| used + length <= row_length) {
            Some((used, row)) => {
                *used += length;
                row.push(index);
            }
            None => rows.push((length, vec![index])),
        }
    }
    rows.into_iter().map(|(_, row)| row).collect()
}

/// As many rows as [`first_fit`] needs, but from long to short each into the row that has least: all are padded to the
/// longest of them, and three equals in a row beside one in the next would be a third padding.
pub(super) fn even(lengths: &[usize], row_length: usize) -> Vec<Vec<usize>> {
    let filled = first_fit(lengths, row_length);
    let mut rows = vec![(0, Vec::new()); filled.len()];
    for index in from_long_to_short(lengths) {
        let (used, row) = rows.iter_mut().min_by_key(|(used, _)| *used).expect("what is there needs a row");
        *used += lengths[index];
        row.push(index);
    }
    let rows: Vec<Vec<usize>> = rows.into_iter().map(|(_, row)| row).collect();
    // Where rows are nearly full, it may take the order of first-fit to fit at all.
    if longest(&rows, lengths) < longest(&filled, lengths) { rows } else { filled }
}

fn from_long_to_short(lengths: &[usize]) -> Vec<usize> {
    microbatches(lengths, lengths.len()).concat()
}

fn longest(rows: &[Vec<usize>], lengths: &[usize]) -> usize {
    rows.iter().map(|row| row.iter().map(|&index| lengths[index]).sum()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{even, first_fit, longest};
    use proptest::prelude::*;

    #[test]
    fn rows_are_filled_evenly_as_long_as_they_hold_it() {
        assert_eq!(first_fit(&[3, 3, 3, 3], 10), [vec![0, 1, 2], vec![3]]);
        assert_eq!(even(&[3, 3, 3, 3], 10), [[0, 2], [1, 3]]);
        assert_eq!(even(&[6, 5, 4, 3], 10), [[0, 3], [1, 2]]);
        // Evenly the second row would have 11.
        assert_eq!(even(&[5, 5, 4, 3, 3], 10), [vec![0, 1], vec![2, 3, 4]]);
        assert!(even(&[], 10).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_is_lost_and_no_row_is_longer_than_by_first_fit(
            lengths in prop::collection::vec(0_usize..40, 0..30),
            row_length in 40_usize..100,
        ) {
            let (filled, rows) = (first_fit(&lengths, row_length), even(&lengths, row_length));
            prop_assert_eq!(rows.len(), filled.len());
            prop_assert!(longest(&rows, &lengths) <= longest(&filled, &lengths));
            let mut indices = rows.concat();
            indices.sort_unstable();
            prop_assert!(indices.into_iter().eq(0..lengths.len()));
        }
    }
}
