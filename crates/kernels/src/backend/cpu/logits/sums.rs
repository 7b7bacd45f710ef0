//! The softmax of a row that comes in blocks.

// V vocabulary, v ids of it in a block

use crate::backend::cpu::{exp, lanewise_pairs, largest, total, vectorized};

/// `sum_v e^x[v]` of what has come of a row, as `e^top sum`, and with it `sum_v e^(x[v] - top) (x[v] - top)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sums {
    top: f32,
    sum: f32,
    weighted: f32,
}

impl Sums {
    /// Those of nothing.
    pub(crate) const NONE: Self = Self { top: f32::NEG_INFINITY, sum: 0.0, weighted: 0.0 };

    /// Those of a whole row.
    pub(crate) fn of(logits: &[f32]) -> Self {
        let mut sums = Self::NONE;
        sums.add(logits);
        sums
    }

    /// Takes up a block; `-inf` adds nothing.
    pub(crate) fn add(&mut self, logits: &[f32]) {
        let [top, sum, weighted] = vectorized!(|logits: &[f32]| -> [f32; 3] {
            /// Whatever is further below the largest has no weight, and may be `-inf`.
            const NOTHING: f32 = -100.0;
            let top = largest(logits);
            let sums = lanewise_pairs(logits.len(), |v| {
                let below = logits[v] - top;
                let weight = exp(below);
                [weight, weight * below.max(NOTHING)]
            });
            let [sum, weighted] = sums.map(total);
            [top, sum, weighted]
        });
        // Of nothing but `-inf`, or of nothing but NaN, which has to be seen.
        let is_empty = top == f32::NEG_INFINITY && !logits.iter().any(|x| x.is_nan());
        if !is_empty {
            *self = self.and(Self { top, sum, weighted });
        }
    }

    fn and(self, other: Self) -> Self {
        if self.sum == 0.0 {
            return other;
        }
        let top = self.top.max(other.top);
        let of = |part: Self| {
            let (factor, below) = ((part.top - top).exp(), part.top - top);
            [factor * part.sum, factor * (part.weighted + part.sum * below)]
        };
        let ([a, a_weighted], [b, b_weighted]) = (of(self), of(other));
        Self { top, sum: a + b, weighted: a_weighted + b_weighted }
    }

    /// `ln sum_v e^x[v]`; `-inf` of nothing.
    pub(crate) fn log(&self) -> f32 {
        self.top + self.sum.ln()
    }

    /// The entropy of the softmax in nats.
    pub(super) fn entropy(&self) -> f32 {
        self.sum.ln() - self.weighted / self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::Sums;
    use crate::test_inputs;
    use proptest::prelude::*;

    fn of_blocks(row: &[f32], block: usize) -> Sums {
        let mut sums = Sums::NONE;
        row.chunks(block).for_each(|block| sums.add(block));
        sums
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_row_in_blocks_has_the_log_sum_and_entropy_of_its_softmax(
            length in 1_usize..300,
            block in 1_usize..300,
            scale in prop::sample::select(vec![1.0_f32, 30.0, 300.0]),
            without in prop::option::of(0_usize..300),
            seed in 0_u32..1000,
        ) {
            let mut row: Vec<f32> = test_inputs::values(length, seed).iter().map(|x| x * scale).collect();
            if let Some(place) = without.filter(|&place| place < length && length > 1) {
                row[place] = f32::NEG_INFINITY;
            }
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let below = row.iter().filter(|x| x.is_finite()).map(|x| f64::from(*x) - f64::from(top));
            let sum: f64 = below.clone().map(f64::exp).sum();
            let entropy = sum.ln() - below.map(|x| x.exp() * x).sum::<f64>() / sum;
            let sums = of_blocks(&row, block);
            prop_assert!((f64::from(sums.log()) - (f64::from(top) + sum.ln())).abs() < 1e-6 * f64::from(scale.max(4.0)));
            prop_assert!((f64::from(sums.entropy()) - entropy).abs() < 2e-5, "{} {}", sums.entropy(), entropy);
        }
    }

    #[test]
    fn nothing_is_nothing_and_what_is_no_number_is_seen() {
        assert_eq!(of_blocks(&[f32::NEG_INFINITY; 5], 2).log(), f32::NEG_INFINITY);
        for place in 0..5 {
            let mut row = [1.0, 2.0, 3.0, 4.0, 5.0];
            row[place] = f32::NAN;
            assert!(of_blocks(&row, 2).log().is_nan(), "{place}");
        }
        assert!(of_blocks(&[f32::NAN; 4], 2).log().is_nan());
    }
}
