//! Rejection sampling: which of a teacher's completions are worth learning. R1 keeps correct and readable ones and
//! drops the rest (arXiv 2501.12948, section 2.3.3).

use crate::Config;
use ruminate_data::{Completion, FinishReason, Group, Outcome, Sample, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// What is learned, and an account of what is not.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    /// The kept completions, in the order of their groups.
    pub traces: Vec<Trace<'a>>,
    /// Counts of everything that was looked at.
    pub report: SelectionStats,
}

/// A completion worth learning, and where it came from.
#[derive(Clone, Copy, Debug)]
pub struct Trace<'a> {
    /// [`Group::task`] of its group.
    pub task: usize,
    /// Its place in the group.
    pub sample: usize,
    /// The completion.
    pub completion: &'a Completion,
}

/// How many completions were sampled, kept, and dropped; each dropped one is counted once, under the first cause that
/// applies, in the order of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectionStats {
    /// Completions looked at.
    pub sampled: usize,
    /// Completions kept.
    pub kept: usize,
    /// Cut off by the length limit, whatever the verdict.
    pub truncated: usize,
    /// Without a verdict.
    pub unscored: usize,
    /// Wrong.
    pub wrong: usize,
    /// Correct, but a required component of the reward is not 1.
    pub malformed: usize,
    /// Correct, but shorter than `min_length` or longer than `max_length`.
    pub length: usize,
    /// Correct, but more of it than `max_repetition` is repeated.
    pub repetitive: usize,
    /// The same tokens for the same prompt as an earlier one.
    pub duplicate: usize,
    /// Beyond `max_traces_per_prompt`.
    pub surplus: usize,
    /// Groups of which no completion was kept.
    pub tasks_without_trace: usize,
}

/// Keeps the completions that ended by themselves, are correct, have every required component at 1, and are new;
/// at most `max_traces_per_prompt` of them a prompt.
///
/// # Panics
/// When a group has not one verdict a completion.
pub fn select<'a>(groups: &'a [Group], config: &Config) -> Selection<'a> {
    let mut seen: HashMap<&[u32], HashSet<&[u32]>> = HashMap::new();
    let (mut traces, mut report) = (Vec::new(), SelectionStats::default());
    for group in groups {
        assert_eq!(
            group.completions.len(),
            group.verdicts.len(),
            "one verdict a completion of task {}",
            group.task
        );
        let kept_before = traces.len();
        for (sample, (completion, verdict)) in group.completions.iter().zip(&group.verdicts).enumerate() {
            report.sampled += 1;
            if let Some(cause) = unworthy(completion, verdict, config, &mut report) {
                *cause += 1;
                continue;
            }
            let kept = seen.entry(&completion.prompt_ids).or_default();
            if kept.contains(completion.ids.as_slice()) {
                report.duplicate += 1;
            } else if config.max_traces_per_prompt > 0 && kept.len() >= config.max_traces_per_prompt {
                report.surplus += 1;
            } else {
                kept.insert(&completion.ids);
                traces.push(Trace { task: group.task, sample, completion });
            }
        }
        report.tasks_without_trace += usize::from(traces.len() == kept_before);
    }
    report.kept = traces.len();
    Selection { traces, report }
}

/// The counter of what is wrong with a completion by itself.
fn unworthy<'r>(
    completion: &Completion,
    verdict: &Verdict,
    config: &Config,
    report: &'r mut SelectionStats,
) -> Option<&'r mut usize> {
    let formed = || config.required_rewards.iter().all(|name| verdict.reward(name) == Some(1.0));
    match (completion.finish_reason, verdict.outcome) {
        (FinishReason::Length | FinishReason::NotFinite | FinishReason::CacheMemory, _) => {
            Some(&mut report.truncated)
        }
        (FinishReason::Stop, Outcome::Unscored) => Some(&mut report.unscored),
        (FinishReason::Stop, Outcome::Wrong) => Some(&mut report.wrong),
        (FinishReason::Stop, Outcome::Correct) if !formed() => Some(&mut report.malformed),
        (FinishReason::Stop, Outcome::Correct) if !config.has_length(completion.ids.len()) => {
            Some(&mut report.length)
        }
        (FinishReason::Stop, Outcome::Correct)
            if repetition(&completion.ids, config.repetition_ngram) > config.max_repetition =>
        {
            Some(&mut report.repetitive)
        }
        (FinishReason::Stop, Outcome::Correct) => None,
    }
}

impl Config {
    fn has_length(&self, tokens: usize) -> bool {
        tokens >= self.min_length && (self.max_length == 0 || tokens <= self.max_length)
    }
}

/// Share of the n-grams that have occurred before; 0 where there is none.
fn repetition(ids: &[u32], n: usize) -> f64 {
    let (mut seen, mut all) = (HashSet::new(), 0_usize);
    for ngram in ids.windows(n.max(1)) {
        seen.insert(ngram);
        all += 1;
    }
    (all - seen.len()) as f64 / all.max(1) as f64
}

impl Trace<'_> {
    /// The trace as a student with the teacher's tokenizer learns it: loss on the completion only.
    pub fn sample(&self) -> Sample {
        Sample::completion_only(&self.completion.prompt_ids, &self.completion.ids)
    }
}

impl Selection<'_> {
    /// All traces as samples, for a student with the teacher's tokenizer.
    pub fn samples(&self) -> Vec<Sample> {
        self.traces.iter().map(Trace::sample).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{SelectionStats, select};
    use crate::Config;
    use proptest::prelude::*;
    use ruminate_data::{Completion, FinishReason, Group, Outcome, Verdict};

    fn completion(prompt: u32, ids: &[u32], finish_reason: FinishReason) -> Completion {
        let logprobs = vec![-1.0; ids.len()];
        Completion::new(vec![prompt], ids.to_vec(), logprobs, finish_reason)
    }

    fn verdict(outcome: Outcome, format: f64) -> Verdict {
        let rewards = vec![("exact".to_owned(), 1.0), ("format".to_owned(), format)];
        Verdict { outcome, score: 0.0, extracted: None, why: String::new(), rewards }
    }

    fn group(task: usize, members: Vec<(Completion, Verdict)>) -> Group {
        let (completions, verdicts) = members.into_iter().unzip();
        Group { task, completions, verdicts }
    }

    fn good(prompt: u32, ids: &[u32]) -> (Completion, Verdict) {
        (completion(prompt, ids, FinishReason::Stop), verdict(Outcome::Correct, 1.0))
    }

    #[test]
    fn only_finished_correct_and_well_formed_completions_are_kept() {
        let stop = |ids: &[u32]| completion(7, ids, FinishReason::Stop);
        let mut nameless = verdict(Outcome::Correct, 1.0);
        nameless.rewards.pop();
        let groups = [
            group(
                4,
                vec![
                    (stop(&[1]), verdict(Outcome::Wrong, 1.0)),
                    good(7, &[2, 0]),
                    (stop(&[3]), verdict(Outcome::Correct, 0.5)),
                    (stop(&[4]), nameless),
                    (completion(7, &[5], FinishReason::Length), verdict(Outcome::Correct, 1.0)),
                    (stop(&[6]), verdict(Outcome::Unscored, 1.0)),
                ],
            ),
            group(5, vec![(stop(&[8]), verdict(Outcome::Wrong, 0.0))]),
        ];
        let selection = select(&groups, &Config::default());
        let expected = SelectionStats {
            sampled: 7,
            kept: 1,
            truncated: 1,
            unscored: 1,
            wrong: 2,
            malformed: 2,
            tasks_without_trace: 1,
            ..SelectionStats::default()
        };
        assert_eq!(selection.report, expected);
        assert_eq!((selection.traces[0].task, selection.traces[0].sample), (4, 1));
        let sample = selection.samples().remove(0);
        assert_eq!(sample.ids, [7, 2, 0]);
        assert_eq!(sample.loss_mask, [false, true, true]);

        let lenient = Config { required_rewards: Vec::new(), ..Config::default() };
        assert_eq!(select(&groups, &lenient).report.kept, 3);
    }

    #[test]
    fn length_and_repetition_decide_after_the_verdict() {
        let long: Vec<u32> = (0..9).collect();
        let looping: Vec<u32> = (0..9).map(|place| place % 2).collect();
        let groups = [group(0, vec![good(7, &[1]), good(7, &long), good(7, &looping), good(7, &[1, 2, 3])])];
        let config = Config {
            min_length: 2,
            max_length: 9,
            repetition_ngram: 2,
            max_repetition: 0.5,
            ..Config::default()
        };
        let selection = select(&groups, &config);
        // Of eight pairs of the loop two are different.
        let expected =
            SelectionStats { sampled: 4, kept: 2, length: 1, repetitive: 1, ..SelectionStats::default() };
        assert_eq!(selection.report, expected);
        assert_eq!(selection.traces[0].completion.ids, long);
        assert_eq!(select(&groups, &Config { max_length: 3, ..config }).report.length, 3);
    }

    #[test]
    fn the_same_tokens_are_learned_once_a_prompt_also_across_groups() {
        let groups = [
            group(0, vec![good(7, &[1]), good(7, &[1]), good(7, &[2])]),
            group(1, vec![good(8, &[1])]),
            group(2, vec![good(7, &[2])]),
        ];
        let selection = select(&groups, &Config::default());
        assert_eq!((selection.report.kept, selection.report.duplicate), (3, 2));
        assert_eq!(selection.report.tasks_without_trace, 1);
    }

    #[test]
    fn the_first_of_a_prompt_are_kept_where_their_number_is_limited() {
        let groups = [group(0, (0..5).map(|id| good(7, &[id])).collect()), group(1, vec![good(8, &[0])])];
        let config = Config { max_traces_per_prompt: 2, ..Config::default() };
        let selection = select(&groups, &config);
        let ids: Vec<&[u32]> = selection.traces.iter().map(|trace| trace.completion.ids.as_slice()).collect();
        assert_eq!(ids, [[0].as_slice(), &[1], &[0]]);
        assert_eq!(selection.report.surplus, 3);
    }

    #[test]
    fn a_report_survives_json() {
        let report = SelectionStats { sampled: 3, kept: 1, duplicate: 2, ..SelectionStats::default() };
        let text = serde_json::to_string(&report).expect("a report");
        assert_eq!(serde_json::from_str::<SelectionStats>(&text).expect("our own"), report);
    }

    fn outcomes() -> impl Strategy<Value = Outcome> {
        prop::sample::select(vec![Outcome::Correct, Outcome::Wrong, Outcome::Unscored])
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_completion_is_kept_or_counted_once(
            members in prop::collection::vec(
                prop::collection::vec((0_u32..2, 0_u32..4, any::<bool>(), outcomes(), any::<bool>()), 0..6),
                0..5,
            ),
            max_traces_per_prompt in 0_usize..3,
        ) {
            let groups: Vec<Group> = members
                .into_iter()
                .enumerate()
                .map(|(task, members)| {
                    let member = |(prompt, id, stop, outcome, formed)| {
                        let reason = if stop { FinishReason::Stop } else { FinishReason::Length };
                        (completion(prompt, &[id], reason), verdict(outcome, f64::from(u8::from(formed))))
                    };
                    group(task, members.into_iter().map(member).collect())
                })
                .collect();
            let config = Config { max_traces_per_prompt, ..Config::default() };
            let selection = select(&groups, &config);
            let SelectionStats { sampled, kept, truncated, unscored, wrong, malformed, length, repetitive, duplicate, surplus, .. } =
                selection.report;
            prop_assert_eq!(sampled, groups.iter().map(|group| group.completions.len()).sum::<usize>());
            prop_assert_eq!(sampled, kept + truncated + unscored + wrong + malformed + length + repetitive + duplicate + surplus);
            prop_assert_eq!(kept, selection.samples().len());
            for trace in &selection.traces {
                let group = &groups[trace.task];
                prop_assert_eq!(trace.completion, &group.completions[trace.sample]);
                prop_assert_eq!(group.verdicts[trace.sample].outcome, Outcome::Correct);
            }
        }
    }
}
