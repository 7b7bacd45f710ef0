//! One evaluation as one row of `eval.jsonl`.

use crate::metrics::{bootstrap_ci, component_mean, consensus, mean, pass_at_k, scored, solve_rate};
use crate::slices::{Slice, slices};
use ruminate_data::{Completion, FinishReason, Group, Seed, Verdict};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// What an evaluation found. Shares lie in 0..=1. Serialises to the object that `eval.jsonl` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The step of training after which it was taken; 0 is before training.
    pub step: u64,
    /// The set's name: `held_out`, ...
    pub set: String,
    /// Number of problems.
    pub n: usize,
    /// The chance that one sample solves a problem: the mean over problems of the mean over their samples. None where
    /// every completion was cut off at the length limit: then the limit was measured, and not the policy.
    #[serde(rename = "pass@1")]
    pub pass_at_1: Option<f64>,
    /// The 95 % confidence interval of `pass_at_1`, low and high, by bootstrap over problems.
    #[serde(rename = "pass@1_ci")]
    pub pass_at_1_ci: Option<[f64; 2]>,
    /// pass@1 of greedy decoding, where it was asked for and not every such completion was cut off.
    #[serde(rename = "pass@1_greedy", default, skip_serializing_if = "Option::is_none")]
    pub pass_at_1_greedy: Option<f64>,
    /// Measures of more than one sample per problem; absent with one.
    #[serde(flatten)]
    pub at_k: Option<AtK>,
    /// Mean length of a completion in tokens, the ending token included.
    pub completion_length_mean: f64,
    /// Mean of the measure `thought_length` in tokens; absent when it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thought_length_mean: Option<f64>,
    /// Share of completions that reached the length limit.
    pub truncated: f64,
    /// Mean of the reward component `format`; absent when the rubric has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub well_formed: Option<f64>,
    /// Mean of the reward component `all_steps`; absent when the task does not know its steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_steps: Option<f64>,
    /// Share of completions whose thought takes a step back (the measure `self_check`); absent when it was not
    /// measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_check: Option<f64>,
    /// Share of completions whose thought is in more than one language (the measure `language_mixed`); absent when
    /// it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language_mixed: Option<f64>,
    /// Completions, greedy ones included, that no verifier could judge: they are in none of the means.
    pub unscored: usize,
    /// The same by task, where there is more than one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tasks: BTreeMap<String, Slice>,
    /// The same by difficulty, where there is more than one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub difficulties: BTreeMap<String, Slice>,
}

/// The metrics over `k` samples per problem: the keys `pass@{k}` and `cons@{k}`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AtK {
    /// Samples per problem, at least 2.
    pub k: usize,
    /// The chance that at least one of `k` samples is correct; `None` when no problem has all of them scored.
    pub pass: Option<f64>,
    /// Share of problems whose majority answer is correct; `None` where every completion was cut off.
    pub cons: Option<f64>,
}

/// Why completions make no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no problem.
    #[error("the set {set:?} has no problems: expected at least one to evaluate on")]
    Empty {
        /// The set.
        set: String,
    },
    /// The groups do not all have the same number of samples, each with its verdict.
    #[error(
        "task {task} of the set {set:?} has {completions} completions and {verdicts} verdicts, \
         expected {expected} of both as for the others"
    )]
    Uneven {
        /// The set.
        set: String,
        /// The group's task.
        task: usize,
        /// Its completions.
        completions: usize,
        /// Its verdicts.
        verdicts: usize,
        /// What the first group has.
        expected: usize,
    },
    /// No verifier could judge anything.
    #[error(
        "none of the {completions} completions of the set {set:?} could be scored; the first verdict says: {why}"
    )]
    NothingScored {
        /// The set.
        set: String,
        /// How many there were.
        completions: usize,
        /// The first verdict's reason.
        why: String,
    },
}

impl Report {
    /// The report of one evaluation: `sampled` has k completions a problem, `greedy`, where given, one a problem.
    /// `seed` decides the bootstrap alone.
    ///
    /// # Errors
    /// When there is no problem, when groups differ in size, and when nothing was scored.
    pub fn new(
        step: u64,
        set: &str,
        sampled: &[Group],
        greedy: Option<&[Group]>,
        seed: Seed,
    ) -> Result<Self, Error> {
        let k = samples_a_problem(set, sampled)?;
        let rates = solve_rates(set, sampled)?;
        let pass_at_1_greedy = match greedy {
            None => None,
            Some(greedy) => {
                samples_a_problem(set, greedy)?;
                let rates = solve_rates(set, greedy)?;
                mean(rates).filter(|_| truncated(greedy) < 1.0)
            }
        };
        let completions = || sampled.iter().flat_map(scored);
        let truncated = truncated(sampled);
        let is_measured = truncated < 1.0;
        Ok(Self {
            step,
            set: set.to_owned(),
            n: sampled.len(),
            pass_at_1: is_measured.then(|| rates.iter().sum::<f64>() / rates.len() as f64),
            pass_at_1_ci: is_measured.then(|| bootstrap_ci(&rates, seed)),
            pass_at_1_greedy,
            at_k: (k > 1).then(|| if is_measured { AtK::new(k, sampled) } else { AtK::unmeasured(k) }),
            completion_length_mean: mean(completions().map(|(c, _)| c.ids.len() as f64)).unwrap_or_default(),
            thought_length_mean: component_mean(sampled, "thought_length"),
            truncated,
            well_formed: component_mean(sampled, "format"),
            all_steps: component_mean(sampled, "all_steps"),
            self_check: component_mean(sampled, "self_check"),
            language_mixed: component_mean(sampled, "language_mixed"),
            unscored: unscored(sampled) + greedy.map_or(0, unscored),
            tasks: BTreeMap::new(),
            difficulties: BTreeMap::new(),
        })
    }

    /// The report with its parts by task and by difficulty, one label of each a group. What has one part only is left
    /// whole, and so is what was not measured.
    ///
    /// # Panics
    /// Unless there is one label a group.
    #[must_use]
    pub fn by_part(
        mut self,
        sampled: &[Group],
        tasks: &[Option<String>],
        difficulties: &[Option<String>],
        seed: Seed,
    ) -> Self {
        let parts = |labels, purpose| {
            let parts = slices(labels, sampled, seed.child(purpose));
            if parts.len() > 1 && self.pass_at_1.is_some() { parts } else { BTreeMap::new() }
        };
        self.tasks = parts(tasks, "tasks");
        self.difficulties = parts(difficulties, "difficulties");
        self
    }
}

impl AtK {
    fn new(k: usize, sampled: &[Group]) -> Self {
        let all_scored = sampled.iter().filter(|group| scored(group).count() == k);
        let correct = |group: &Group| {
            scored(group).filter(|(_, v)| v.outcome == ruminate_data::Outcome::Correct).count()
        };
        Self {
            k,
            pass: mean(all_scored.map(|group| pass_at_k(k, correct(group), k))),
            cons: Some(
                mean(sampled.iter().filter_map(consensus).map(|right| f64::from(u8::from(right))))
                    .unwrap_or_default(),
            ),
        }
    }

    /// Of completions that say nothing.
    fn unmeasured(k: usize) -> Self {
        Self { k, pass: None, cons: None }
    }
}

fn samples_a_problem(set: &str, groups: &[Group]) -> Result<usize, Error> {
    let expected = match groups.first() {
        Some(group) if !group.completions.is_empty() => group.completions.len(),
        _ => return Err(Error::Empty { set: set.to_owned() }),
    };
    match groups.iter().find(|g| g.completions.len() != expected || g.verdicts.len() != expected) {
        None => Ok(expected),
        Some(group) => Err(Error::Uneven {
            set: set.to_owned(),
            task: group.task,
            completions: group.completions.len(),
            verdicts: group.verdicts.len(),
            expected,
        }),
    }
}

/// One solve rate a problem that has a scored completion; at least one.
fn solve_rates(set: &str, groups: &[Group]) -> Result<Vec<f64>, Error> {
    let rates: Vec<f64> = groups.iter().filter_map(solve_rate).collect();
    if rates.is_empty() {
        let mut verdicts = groups.iter().flat_map(|g| &g.verdicts);
        let why = verdicts.next().map(|v| v.why.clone()).unwrap_or_default();
        return Err(Error::NothingScored { set: set.to_owned(), completions: unscored(groups), why });
    }
    Ok(rates)
}

/// Share of scored completions that reached the length limit.
fn truncated(groups: &[Group]) -> f64 {
    let is_truncated = |(c, _): (&Completion, &Verdict)| c.finish_reason == FinishReason::Length;
    let shares = groups.iter().flat_map(scored).map(|c| f64::from(u8::from(is_truncated(c))));
    mean(shares).unwrap_or_default()
}

fn unscored(groups: &[Group]) -> usize {
    groups.iter().flat_map(|g| &g.verdicts).filter(|v| !v.is_scored()).count()
}

impl Serialize for AtK {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(&format!("pass@{}", self.k), &self.pass)?;
        map.serialize_entry(&format!("cons@{}", self.k), &self.cons)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for AtK {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AtKVisitor)
    }
}

/// Finds `cons@{k}` and `pass@{k}` among the keys of a row.
struct AtKVisitor;

impl<'de> Visitor<'de> for AtKVisitor {
    type Value = AtK;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with the keys pass@K and cons@K")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AtK, A::Error> {
        let mut pass = Vec::new();
        let mut cons = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.split_once('@').and_then(|(name, k)| Some((name, k.parse::<usize>().ok()?))) {
                Some(("pass", k)) => pass.push((k, map.next_value::<Option<f64>>()?)),
                Some(("cons", k)) => cons = Some((k, map.next_value()?)),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let (k, cons) = cons.ok_or_else(|| serde::de::Error::missing_field("cons@K"))?;
        let pass = pass.into_iter().find(|&(of, _)| of == k).and_then(|(_, pass)| pass);
        Ok(AtK { k, pass, cons })
    }
}
