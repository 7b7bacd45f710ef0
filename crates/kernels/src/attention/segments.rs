//! What each place of packed rows may see: its own sequence up to itself, and the trunk that it branches from. Kept on
//! the host, where the rows were packed; a device gets it as a bias only where the reference composition
//! runs.

// B rows, T places a row

use super::MASKED;
use burn::tensor::{Device, Tensor, TensorData};
use std::iter::Chain;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// The sequences packed into `B` rows of `T` places: stretches of places that see their own past, and trees of them,
/// whose branches see their trunk too.
#[derive(Clone, Debug)]
pub struct Segments {
    spans: Arc<Spans>,
    bias: OnceLock<Tensor<4>>,
}

/// What each place sees, and what sees it.
#[derive(Debug)]
pub(crate) struct Spans {
    /// First place of the stretch that each place belongs to.
    starts: Vec<u32>,
    /// Where those end that see each place: its stretch does, or its tree if it lies in the trunk.
    ends: Vec<u32>,
    /// The trunk that each place sees besides its stretch; empty for those in a trunk.
    trunks: Vec<[u32; 2]>,
    tokens: usize,
}

impl Segments {
    /// Stretches of equal numbers. Padding is a segment like any other, so every place sees itself at least; a number
    /// that comes back later in a row is another segment.
    ///
    /// # Shapes
    /// - `numbers`: B * T values, row-major
    pub fn new(numbers: &[u32], shape: [usize; 2]) -> Self {
        Self::in_trees(numbers, numbers, shape)
    }

    /// Stretches of equal numbers in stretches of equal trees. The first stretch of a tree is its trunk: the others,
    /// its branches, see all of it and their own past, as if each came right after it.
    ///
    /// # Shapes
    /// - `numbers`, `trees`: B * T values, row-major
    pub fn in_trees(numbers: &[u32], trees: &[u32], [batch, tokens]: [usize; 2]) -> Self {
        assert_eq!([numbers.len(), trees.len()], [batch * tokens; 2], "a number and a tree for each place");
        let mut spans = Spans { starts: Vec::new(), ends: Vec::new(), trunks: Vec::new(), tokens };
        for row in 0..batch {
            let row = row * tokens..(row + 1) * tokens;
            let mut first = 0;
            for tree in trees[row.clone()].chunk_by(|a, b| a == b) {
                let places = row.start + first..row.start + first + tree.len();
                spans.push_tree(&numbers[places], first as u32);
                first += tree.len();
            }
        }
        Self { spans: Arc::new(spans), bias: OnceLock::new() }
    }

    /// `[B, T]`
    pub fn shape(&self) -> [usize; 2] {
        let Spans { starts, tokens, .. } = &*self.spans;
        [starts.len() / (*tokens).max(1), *tokens]
    }

    pub(super) fn spans(&self) -> Arc<Spans> {
        Arc::clone(&self.spans)
    }

    /// 0 where a place sees another, [`MASKED`] where it does not: `[B, 1, T, T]`, made at the first call.
    pub(super) fn bias(&self, device: &Device) -> Tensor<4> {
        let bias = || {
            let [batch, tokens] = self.shape();
            let mut bias = vec![MASKED; batch * tokens * tokens];
            for (place, row) in bias.chunks_exact_mut(tokens.max(1)).enumerate() {
                let [trunk, end] = self.spans.trunks[place];
                row[trunk as usize..end as usize].fill(0.0);
                row[self.spans.starts[place] as usize..=place % tokens].fill(0.0);
            }
            Tensor::from_data(TensorData::new(bias, [batch, 1, tokens, tokens]), device)
        };
        self.bias.get_or_init(bias).clone()
    }
}

impl Spans {
    /// Takes up the stretches of a tree whose first place is `first`.
    fn push_tree(&mut self, numbers: &[u32], first: u32) {
        let tree_end = first + numbers.len() as u32;
        let mut trunk = [first; 2];
        let mut start = first;
        for stretch in numbers.chunk_by(|a, b| a == b) {
            let end = start + stretch.len() as u32;
            let count = self.starts.len() + stretch.len();
            self.starts.resize(count, start);
            self.ends.resize(count, if start == first { tree_end } else { end });
            self.trunks.resize(count, trunk);
            if start == first {
                trunk = [first, end];
            }
            start = end;
        }
    }

    /// The places of row `row` that at least one of `places` sees.
    pub(crate) fn seen_from(&self, row: usize, places: &Range<usize>) -> Seen {
        let first = row * self.tokens + places.start;
        let [trunk, end] = self.trunks[first].map(|place| place as usize);
        let start = self.starts[first] as usize;
        // Who comes after the first place sees what it sees, places after it, or both.
        if end == start {
            Seen { trunk: trunk..trunk, own: trunk..places.end }
        } else {
            Seen { trunk: trunk..end, own: start..places.end }
        }
    }

    /// The places of row `row` among `places` that see `source`: those after it in its segment or, from a trunk, in its
    /// tree, and itself.
    pub(crate) fn seeing(&self, row: usize, source: usize, places: &Range<usize>) -> Range<usize> {
        let first = source.max(places.start);
        let end = (self.ends[row * self.tokens + source] as usize).min(places.end);
        first..end.max(first)
    }
}

/// Places in up to two stretches, the former before the latter.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    trunk: Range<usize>,
    own: Range<usize>,
}

impl Seen {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.trunk.len() + self.own.len()
    }

    /// One after the other.
    pub(crate) fn places(&self) -> Chain<Range<usize>, Range<usize>> {
        self.trunk.clone().chain(self.own.clone())
    }

    /// The stretches, each with its first place's rank.
    pub(crate) fn stretches(&self) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let second = self.trunk.len();
        [(0, self.trunk.clone()), (second, self.own.clone())]
            .into_iter()
            .filter(|(_, places)| !places.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::Segments;
    use crate::attention::MASKED;
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn its_trunk_and_a_segments_own_past_are_open_and_nothing_else(
            tokens in 1_usize..12,
            mut numbers in prop::collection::vec(0_u32..3, 2 * 12),
            mut trees in prop::collection::vec(prop::bool::weighted(0.2), 2 * 12),
            [from, count] in prop::array::uniform2(0_usize..12),
        ) {
            numbers.truncate(2 * tokens);
            trees.truncate(2 * tokens);
            // A new tree wherever one is drawn.
            let trees: Vec<u32> = trees.iter().scan(0, |tree, &new| { *tree += u32::from(new); Some(*tree) }).collect();
            let segments = Segments::in_trees(&numbers, &trees, [2, tokens]);
            prop_assert_eq!(segments.shape(), [2, tokens]);
            let open = |row: usize, place: usize, source: usize| {
                let row = row * tokens..(row + 1) * tokens;
                let (numbers, trees) = (&numbers[row.clone()], &trees[row]);
                let alike = |from: usize, to: usize| numbers[from..=to].iter().all(|&number| number == numbers[to]);
                let tree = (0..=place).rev().take_while(|&i| trees[i] == trees[place]).last().expect("itself");
                (tree..=place).contains(&source) && (alike(source, place) || alike(tree, source))
            };
            let bias = testkit::floats(segments.bias(&testkit::device()));
            prop_assert_eq!(bias.len(), 2 * tokens * tokens);
            for (i, &bias) in bias.iter().enumerate() {
                let (row, place, source) = (i / (tokens * tokens), i / tokens % tokens, i % tokens);
                prop_assert_eq!(bias, if open(row, place, source) { 0.0 } else { MASKED });
            }

            // What the fused form asks of a block of places.
            let from = from.min(tokens - 1);
            let places = from..(from + 1 + count).min(tokens);
            let spans = segments.spans();
            for row in 0..2 {
                let seen: Vec<usize> = spans.seen_from(row, &places).places().collect();
                for source in 0..tokens {
                    let seeing = spans.seeing(row, source, &places);
                    for place in places.clone() {
                        let open = open(row, place, source);
                        prop_assert!(!open || seen.contains(&source));
                        prop_assert!(!seen.contains(&source) || seeing.contains(&place) == open);
                    }
                }
            }
        }
    }
}
