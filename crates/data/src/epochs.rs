//! Shuffled epochs: which row of a data set stands at an index of an endless stream.

use crate::Seed;
use rand::seq::SliceRandom;

/// The order of a data set over endlessly many epochs. Index / `len` is the epoch; each epoch is a permutation of its
/// own, drawn from `seed.index(epoch)`.
///
/// A position depends on seed and index alone, so the index is all that a resumed run needs. The order of the epoch
/// that was last asked for is kept: indices in sequence cost one shuffle per epoch.
///
/// ```
/// use ruminate_data::{Epochs, Seed};
///
/// let mut epochs = Epochs::new(5, Seed::new(0).child("shuffle")).expect("five rows");
/// let mut first: Vec<usize> = (0..5).map(|index| epochs.position(index)).collect();
/// first.sort_unstable();
/// assert_eq!(first, [0, 1, 2, 3, 4]);
/// assert!(Epochs::new(0, Seed::new(0)).is_none());
/// ```
#[derive(Clone, Debug)]
pub struct Epochs {
    len: usize,
    seed: Seed,
    /// The epoch whose order is kept.
    epoch: Option<u64>,
    order: Vec<usize>,
}

impl Epochs {
    /// The epochs of `len` rows; `None` for none, which have no first one.
    pub fn new(len: usize, seed: Seed) -> Option<Self> {
        (len > 0).then_some(Self { len, seed, epoch: None, order: Vec::new() })
    }

    /// The row at an index, in `0..len`.
    pub fn position(&mut self, index: u64) -> usize {
        let epoch = index / self.len as u64;
        if self.epoch != Some(epoch) {
            self.order = (0..self.len).collect();
            self.order.shuffle(&mut self.seed.index(epoch).rng());
            self.epoch = Some(epoch);
        }
        self.order[(index % self.len as u64) as usize]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::Epochs;
    use crate::Seed;
    use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};
    use rand::seq::SliceRandom;

    /// The formula of the runs before this type existed: their checkpoints resume only while the order stays.
    fn formula(len: usize, seed: Seed, index: u64) -> usize {
        let epoch = index / len as u64;
        let mut order: Vec<usize> = (0..len).collect();
        order.shuffle(&mut seed.index(epoch).rng());
        order[(index % len as u64) as usize]
    }

    #[test]
    fn the_order_is_fixed() {
        let mut epochs = Epochs::new(8, Seed::new(3).child("shuffle")).unwrap();
        let order: Vec<usize> = (0..16).map(|index| epochs.position(index)).collect();
        assert_eq!(order, [0, 7, 2, 4, 3, 1, 6, 5, 1, 0, 5, 3, 4, 7, 6, 2]);
    }

    #[test]
    fn an_epoch_has_every_row_once_in_an_order_of_its_own() {
        let mut epochs = Epochs::new(20, Seed::new(3)).unwrap();
        let drawn: Vec<usize> = (0..60).map(|index| epochs.position(index)).collect();
        for epoch in drawn.chunks(20) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..20).collect::<Vec<usize>>());
        }
        assert_ne!(drawn[..20], drawn[20..40]);
        assert_ne!(drawn[20..40], drawn[40..]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn a_position_depends_on_seed_and_index_alone(
            len in 1..40_usize, seed: u64, indices in proptest::collection::vec(0..10_000_u64, 1..8),
        ) {
            let seed = Seed::new(seed);
            let mut epochs = Epochs::new(len, seed).unwrap();
            for index in indices {
                prop_assert_eq!(epochs.position(index), formula(len, seed, index));
            }
        }
    }
}
