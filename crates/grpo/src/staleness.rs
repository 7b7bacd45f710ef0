//! How old the weights behind a group's tokens are, and how many groups may be sampled ahead of their step. It samples nothing.
//!
//! ```text
//! accepted + running <= (S + step + 1) x prompts_per_step        AReaL, arXiv 2505.24298; SkyRL; prime-rl's max_async_level is S
//! age of a token      = step - version of the weights that drew it, at most S
//! ```
//!
//! Steps and versions count from 0: the weights of step s are version s. Groups are consumed in the order of their indices, so
//! that a group which is sampled under this limit is never too old when its turn comes, and short completions are not preferred.

use crate::Config;
use ruminate_data::{Completion, Group, VersionSpan};
use ruminate_train::Metrics;

/// Groups that may have been accepted, or be running, while the policy has taken so many steps; those of the run's last step are
/// the last.
pub(crate) fn capacity(config: &Config, step: usize, max_steps: usize) -> usize {
    (config.staleness() + step + 1).min(max_steps.max(step + 1)) * config.prompts_per_step
}

/// How old the tokens of a step's groups are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Ages {
    sum: f64,
    tokens: f64,
    max: u64,
    /// Groups that were young enough.
    groups: usize,
    /// Groups that were too old.
    pub(crate) dropped: usize,
}

impl Ages {
    /// Adds the tokens of a group that is learned at `step`.
    pub(crate) fn add(&mut self, group: &Group, step: u64) {
        self.groups += 1;
        for span in group.completions.iter().flat_map(|completion| &completion.versions) {
            let (age, tokens) = (step.saturating_sub(span.version), span.tokens.len() as f64);
            self.sum += age as f64 * tokens;
            self.tokens += tokens;
            self.max = self.max.max(age);
        }
    }

    /// Sets the metrics `staleness/*`.
    pub(crate) fn report(&self, metrics: &mut Metrics) {
        metrics.set("staleness/mean", self.sum / self.tokens.max(1.0));
        metrics.set("staleness/max", self.max as f64);
        metrics.set("staleness/dropped", self.dropped as f64);
        let sampled = (self.groups + self.dropped).max(1) as f64;
        metrics.set("staleness/dropped_ratio", self.dropped as f64 / sampled);
    }
}

/// The age of a group's oldest token at `step`; 0 of one without tokens.
pub(crate) fn age(group: &Group, step: u64) -> u64 {
    let versions = group.completions.iter().flat_map(|completion| &completion.versions);
    versions.map(|span| step.saturating_sub(span.version)).max().unwrap_or(0)
}

/// Notes the version of a completion's weights where its engine does not say: it was asked for with these.
pub(crate) fn date(completion: &mut Completion, version: u64) {
    if completion.versions.is_empty() && !completion.ids.is_empty() {
        completion.versions = vec![VersionSpan { version, tokens: 0..completion.ids.len() }];
    }
}

#[cfg(test)]
mod tests {
    use super::{Ages, age, capacity, date};
    use crate::Config;
    use ruminate_data::{Completion, FinishReason, Group, VersionSpan};
    use ruminate_train::Metrics;

    #[test]
    fn the_capacity_grows_by_a_step_and_ends_with_the_run() {
        let with = |max_staleness| Config { prompts_per_step: 8, max_staleness, ..Config::default() };
        let of = |max_staleness, step| capacity(&with(max_staleness), step, 10);
        assert_eq!([of(None, 0), of(Some(0), 0), of(None, 9)], [8, 8, 80]);
        assert_eq!([of(Some(1), 0), of(Some(1), 1), of(Some(4), 3)], [16, 24, 64]);
        assert_eq!([of(Some(4), 5), of(Some(4), 8), of(Some(4), 9)], [80; 3], "ten steps have 80 groups");
    }

    /// What in-order consumption and the capacity give: group k is learned at step k / P, and was sent when the capacity
    /// reached it.
    #[test]
    fn a_group_within_the_capacity_is_never_too_old_at_its_turn() {
        for staleness in 0..5 {
            let config = Config { prompts_per_step: 3, max_staleness: Some(staleness), ..Config::default() };
            for group in 0..60 {
                let learned = group / 3;
                let sent = (0..20).find(|&step| group < capacity(&config, step, 20)).expect("sent");
                assert!(sent <= learned && learned - sent <= staleness, "{group} at {staleness}");
            }
        }
    }

    fn group(spans: &[(u64, std::ops::Range<usize>)]) -> Group {
        let mut completion = Completion::new(vec![1], vec![2; 4], vec![-1.0; 4], FinishReason::Length);
        let span = |(version, tokens): &(u64, std::ops::Range<usize>)| VersionSpan {
            version: *version,
            tokens: tokens.clone(),
        };
        completion.versions = spans.iter().map(span).collect();
        Group { task: 0, completions: vec![completion], verdicts: Vec::new() }
    }

    #[test]
    fn the_oldest_token_counts_and_the_mean_is_of_tokens() {
        let (mixed, new) = (group(&[(2, 0..1), (4, 1..4)]), group(&[(5, 0..4)]));
        assert_eq!((age(&mixed, 5), age(&new, 5), age(&group(&[]), 5)), (3, 0, 0));
        let mut ages = Ages { dropped: 2, ..Ages::default() };
        ages.add(&mixed, 5);
        ages.add(&new, 5);
        let mut metrics = Metrics::default();
        ages.report(&mut metrics);
        assert_eq!(metrics.get("staleness/mean"), Some((3.0 + 3.0) / 8.0));
        assert_eq!(metrics.get("staleness/max"), Some(3.0));
        assert_eq!(metrics.get("staleness/dropped"), Some(2.0));
        assert_eq!(metrics.get("staleness/dropped_ratio"), Some(0.5));
    }

    #[test]
    fn a_completion_without_versions_is_of_those_that_it_was_asked_for_with() {
        let mut undated = group(&[]).completions.remove(0);
        date(&mut undated, 7);
        assert_eq!(undated.versions, [VersionSpan { version: 7, tokens: 0..4 }]);
        date(&mut undated, 8);
        assert_eq!(undated.versions[0].version, 7);
    }
}
