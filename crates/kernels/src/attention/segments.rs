//! What each place of packed rows may see: its own sequence up to itself. Kept on the host, where whoever packed the
//! rows knows it; a device gets it as a bias only where the reference composition runs.

// B rows, T places a row

use super::MASKED;
use burn::tensor::{Device, Tensor, TensorData};

use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// The sequences packed into `B` rows of `T` places: stretches of places that see their own past and nothing else.
#[derive(Clone, Debug)]
pub struct Segments {
    spans: Arc<Spans>,
    bias: OnceLock<Tensor<4>>,
}

/// First place and end of the stretch that each place belongs to.
#[derive(Debug)]
pub(crate) struct Spans {
    starts: Vec<u32>,
    ends: Vec<u32>,
    tokens: usize,
}

impl Segments {
    /// Stretches of equal numbers. Padding is a segment like any other, so every place sees itself at least; a number
    /// that comes back later in a row is another segment.
    ///
    /// # Shapes
    /// - `numbers`: B * T values, row-major
    pub fn new(numbers: &[u32], [batch, tokens]: [usize; 2]) -> Self {
        assert_eq!(numbers.len(), batch * tokens, "a number for each place");
        let (mut starts, mut ends) = (Vec::with_capacity(numbers.len()), Vec::with_capacity(numbers.len()));
        for row in numbers.chunks_exact(tokens.max(1)) {
            let mut start = 0;
            for segment in row.chunk_by(|a, b| a == b) {
                let end = start + segment.len() as u32;
                starts.resize(starts.len() + segment.len(), start);
                ends.resize(ends.len() + segment.len(), end);
                start = end;
            }
        }
        Self { spans: Arc::new(Spans { starts, ends, tokens }), bias: OnceLock::new() }
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
                row[self.spans.starts[place] as usize..=place % tokens].fill(0.0);
            }
            Tensor::from_data(TensorData::new(bias, [batch, 1, tokens, tokens]), device)
        };
        self.bias.get_or_init(bias).clone()
    }
}

impl Spans {
    /// The places of row `row` that at least one of `places` sees.
    pub(super) fn seen_from(&self, row: usize, places: &Range<usize>) -> Range<usize> {
        self.starts[row * self.tokens + places.start] as usize..places.end
    }

    /// The places of row `row` among `places` that see `source`: those after it in its segment, and itself.
    pub(super) fn seeing(&self, row: usize, source: usize, places: &Range<usize>) -> Range<usize> {
        let first = source.max(places.start);
        let end = (self.ends[row * self.tokens + source] as usize).min(places.end);
        first..end.max(first)
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
        fn a_segments_own_past_is_open_and_nothing_else(
            tokens in 1_usize..8,
            mut numbers in prop::collection::vec(0_u32..3, 2 * 8),
            [from, count] in prop::array::uniform2(0_usize..8),
        ) {
            numbers.truncate(2 * tokens);
            let segments = Segments::new(&numbers, [2, tokens]);
            prop_assert_eq!(segments.shape(), [2, tokens]);
            let open = |row: usize, place: usize, source: usize| {
                let row = &numbers[row * tokens..(row + 1) * tokens];
                source <= place && row[source..=place].iter().all(|&number| number == row[place])
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
                let seen = spans.seen_from(row, &places);
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
