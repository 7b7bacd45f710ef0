//! Groups of which a completion was given up: none of their verdicts counts, since what is left is no fair sample.

use ruminate_data::{Completion, Score, Task, Verdict};

/// A score that leaves such groups unscored.
pub(crate) struct LostUnscored<'a>(pub(crate) &'a (dyn Score + Sync));

impl Score for LostUnscored<'_> {
    fn score(&self, groups: &[(&Task, &[Completion])]) -> Vec<Vec<Verdict>> {
        let is_lost = |group: &[Completion]| group.iter().any(|completion| completion.ids.is_empty());
        let whole: Vec<(&Task, &[Completion])> =
            groups.iter().copied().filter(|(_, group)| !is_lost(group)).collect();
        let mut scored = if whole.is_empty() { Vec::new() } else { self.0.score(&whole) }.into_iter();
        let lost = || Verdict::unscored("no server answered for a completion of its group in time");
        groups
            .iter()
            .map(|(_, group)| {
                if is_lost(group) {
                    group.iter().map(|_| lost()).collect()
                } else {
                    scored.next().unwrap_or_default()
                }
            })
            .collect()
    }

    fn weights(&self) -> Vec<(String, f64)> {
        self.0.weights()
    }
}
