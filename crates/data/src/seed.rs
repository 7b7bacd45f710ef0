//! Derived randomness: every random decision names where it is made, so that it depends on nothing else.
//!
//! A run has one seed. A decision at (step, task, sibling) draws from
//! `Seed::new(run).child("rollout").index(step).index(task).index(sibling)`; thread interleaving, batch
//! composition and resumption cannot change it.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A node in the tree of seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// The root: the run's `seed`.
    pub fn new(run_seed: u64) -> Self {
        Self(mix(run_seed ^ 0x5275_6d69_6e61_7465))
    }

    /// The child named by a purpose ("rollout", "shuffle", ...).
    #[must_use]
    pub fn child(self, purpose: &str) -> Self {
        Self(mix(self.0 ^ stable_hash(purpose.bytes())))
    }

    /// The child numbered by a step, a task, a sibling.
    #[must_use]
    pub fn index(self, index: u64) -> Self {
        Self(mix(self.0 ^ mix(index.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    /// The generator of this node: ChaCha8, whose stream is the same on every platform and version.
    pub fn rng(self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.0)
    }

    /// The raw value, for counter-based noise and for records.
    pub fn value(self) -> u64 {
        self.0
    }
}

/// FNV-1a over the bytes, its bits spread by [`mix`]: the same number on every platform and in every version.
/// Splits stand on it, so changing it moves problems between training and evaluation.
pub(crate) fn stable_hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    mix(bytes
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)))
}

/// SplitMix64's finaliser (Steele et al., 2014): a bijection that spreads every input bit.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::Seed;
    use std::collections::HashSet;

    #[test]
    fn neighbours_in_the_tree_never_share_a_value() {
        let mut seen = HashSet::new();
        for run in 0..4 {
            for purpose in ["rollout", "shuffle"] {
                for step in 0..32 {
                    for sibling in 0..16 {
                        let seed = Seed::new(run).child(purpose).index(step).index(sibling);
                        assert!(seen.insert(seed.value()), "{run} {purpose} {step} {sibling}");
                    }
                }
            }
        }
    }

    #[test]
    fn order_of_indices_matters() {
        let root = Seed::new(1);
        assert_ne!(root.index(1).index(2), root.index(2).index(1));
    }
}
