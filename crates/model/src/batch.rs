//! Packed rows of tokens, on the host. Whoever packs knows the positions, so the device never computes them.

use ruminate_kernels::Segments;

/// `B` rows of `T` tokens. A row may hold several sequences, told apart by their segment. Nothing attends across
/// segments, but that the first one of a tree is seen by the others of the tree: a prompt that is computed once for all
/// completions that were sampled for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// `[B * T]` token ids, row-major.
    pub tokens: Vec<u32>,
    /// `[B * T]` positions within each sequence.
    pub positions: Vec<u32>,
    /// `[B * T]` segment numbers within each row; 0 is padding.
    pub segments: Vec<u32>,
    /// `[B * T]` tree numbers within each row: those of the segments, where each segment stands alone.
    pub trees: Vec<u32>,
    /// `[B, T]`
    pub shape: [usize; 2],
}

impl Batch {
    /// One sequence a row, padded on the right to the longest.
    pub fn from_rows<S: AsRef<[u32]>>(rows: &[S]) -> Self {
        Self::aligned(rows, |_, _| 0)
    }

    /// One sequence a row, padded on the left to the longest: all rows end in the same column.
    pub fn from_rows_right_aligned<S: AsRef<[u32]>>(rows: &[S]) -> Self {
        Self::aligned(rows, |longest, length| longest - length)
    }

    fn aligned<S: AsRef<[u32]>>(rows: &[S], offset: impl Fn(usize, usize) -> usize) -> Self {
        let longest = rows.iter().map(|row| row.as_ref().len()).max().unwrap_or(0);
        let size = rows.len() * longest;
        let mut batch = Self {
            tokens: vec![0; size],
            positions: vec![0; size],
            segments: vec![0; size],
            trees: vec![0; size],
            shape: [rows.len(), longest],
        };
        for (r, row) in rows.iter().map(AsRef::as_ref).enumerate() {
            let start = r * longest + offset(longest, row.len());
            for (i, &token) in row.iter().enumerate() {
                batch.tokens[start + i] = token;
                batch.positions[start + i] = i as u32;
                batch.segments[start + i] = 1;
                batch.trees[start + i] = 1;
            }
        }
        batch
    }

    /// Number of token places, padding included.
    pub fn places(&self) -> usize {
        self.tokens.len()
    }

    /// What each place may see.
    pub(crate) fn visible(&self) -> Segments {
        Segments::in_trees(&self.segments, &self.trees, self.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::Batch;

    #[test]
    fn right_aligned_rows_end_in_the_same_column() {
        let batch = Batch::from_rows_right_aligned(&[vec![5_u32, 6, 7], vec![8]]);
        assert_eq!(batch.tokens, [5, 6, 7, 0, 0, 8]);
        assert_eq!(batch.positions, [0, 1, 2, 0, 0, 0]);
        assert_eq!(batch.segments, [1, 1, 1, 0, 0, 1]);
    }
}
