//! One evaluation as one row of `eval.jsonl`.

use crate::metrics::{bootstrap_ci, component_means, consensus, mean, pass_at_k, scored, solve_rate};
use crate::slices::slices;
use ruminate_data::{Completion, FinishReason, Group, Outcome, Seed, Verdict};
use ruminate_run::rows::{AtK, Evaluation};
use std::collections::BTreeMap;

/// Why completions make no evaluation.
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

/// The row of one evaluation: `sampled` has k completions a problem, `greedy`, where given, one a problem. `seed` decides the
/// bootstrap alone.
///
/// # Errors
/// When there is no problem, when groups differ in size, and when nothing was scored.
pub fn evaluate(
    step: u64,
    set: &str,
    sampled: &[Group],
    greedy: Option<&[Group]>,
    seed: Seed,
) -> Result<Evaluation, Error> {
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
    Ok(Evaluation {
        step,
        set: set.to_owned(),
        n: sampled.len(),
        pass_at_1: is_measured.then(|| rates.iter().sum::<f64>() / rates.len() as f64),
        pass_at_1_ci: is_measured.then(|| bootstrap_ci(&rates, seed)),
        pass_at_1_greedy,
        at_k: (k > 1).then(|| if is_measured { at_k(k, sampled) } else { AtK { k, pass: None, cons: None } }),
        completion_length_mean: mean(completions().map(|(c, _)| c.ids.len() as f64)).unwrap_or_default(),
        truncated,
        measures: component_means(sampled),
        unscored: unscored(sampled) + greedy.map_or(0, unscored),
        tasks: BTreeMap::new(),
        difficulties: BTreeMap::new(),
    })
}

/// The row with its parts by task and by difficulty, one label of each a group. What has one part only is left whole, and
/// so is what was not measured.
///
/// # Panics
/// Unless there is one label a group.
#[must_use]
pub fn by_part(
    evaluation: Evaluation,
    sampled: &[Group],
    tasks: &[Option<String>],
    difficulties: &[Option<String>],
    seed: Seed,
) -> Evaluation {
    let parts = |labels, purpose| {
        let parts = slices(labels, sampled, seed.child(purpose));
        if parts.len() > 1 && evaluation.pass_at_1.is_some() { parts } else { BTreeMap::new() }
    };
    let (tasks, difficulties) = (parts(tasks, "tasks"), parts(difficulties, "difficulties"));
    Evaluation { tasks, difficulties, ..evaluation }
}

fn at_k(k: usize, sampled: &[Group]) -> AtK {
    let all_scored = sampled.iter().filter(|group| scored(group).count() == k);
    let correct = |group: &Group| scored(group).filter(|(_, v)| v.outcome == Outcome::Correct).count();
    let right = sampled.iter().filter_map(consensus).map(|right| f64::from(u8::from(right)));
    AtK {
        k,
        pass: mean(all_scored.map(|group| pass_at_k(k, correct(group), k))),
        cons: Some(mean(right).unwrap_or_default()),
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
