//! The problems of a step, sampled and judged; under dynamic sampling (DAPO, arXiv 2503.14476, section 3.2; verl's
//! `filter_groups`) groups whose rewards are all equal are replaced by further problems, up to a bound.
//!
//! Which problems a step has asked is a function of the state before it, and so is where the next step begins: `cursor`, and
//! what is known of the difficulty pools, is all that a resumed run needs.

use crate::rollouts::{Rollout, rollout};
use crate::trainer::Problems;
use crate::verdicts::{Verdicts, check_rewards};
use crate::{Config, Error, TrainerArgs};
use ruminate_data::{Group, Outcome, PoolShares, Pools, Problem, Score};
use ruminate_rollout::Engine;
use ruminate_train::Metrics;

/// What a step learns from.
pub(crate) struct Batch {
    /// `prompts_per_step` groups.
    pub(crate) rollout: Rollout,
    /// Problems taken from the source.
    pub(crate) taken: u64,
    /// Tokens that were sampled, prompts included.
    pub(crate) num_tokens: u64,
    /// Verdicts of all groups, those that were replaced included.
    pub(crate) verdicts: Verdicts,
    /// Of each problem that was asked from pools its place there, the index under which it was asked, and its pass rate.
    rates: Vec<(usize, u64, Option<f64>)>,
    /// What was replaced; none where nothing ever is.
    filtered: Option<Filtered>,
}

/// What dynamic sampling did.
#[derive(Clone, Copy, Debug)]
struct Filtered {
    /// Rounds of sampling.
    gen_batches: usize,
    /// Groups with equal rewards that the step does without.
    replaced: usize,
    /// Those that it has, since the bound was reached.
    unfilled: usize,
    /// Mean reward of all scored completions; NaN where there are none.
    reward: f64,
}

impl Config {
    /// Rounds of sampling that a step may take; none where groups with equal rewards stay.
    fn gen_batches(&self) -> Option<usize> {
        self.filter_groups.unwrap_or(false).then(|| self.max_num_gen_batches.unwrap_or(10))
    }

    /// Refuses a bound of nothing, and one without effect.
    pub(crate) fn check_filter_groups(&self) -> Result<(), Error> {
        match self.max_num_gen_batches {
            Some(0) => Err(Error::Range {
                key: "max_num_gen_batches",
                found: "0".to_owned(),
                expected: "a whole number from 1: a step without a bound may never end",
            }),
            Some(bound) if self.gen_batches().is_none() => Err(Error::Conflict {
                key: "max_num_gen_batches",
                found: bound.to_string(),
                other: "filter_groups",
                stated: "false".to_owned(),
                advice:
                    "the bound is of dynamic sampling; set `filter_groups = true`, or leave the bound out"
                        .to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// Samples and judges the problems from `first` on until `prompts_per_step` groups have rewards that differ, or are unscored,
/// which is no measure of a problem. Each round asks as many problems as are missing. At the bound the batch is filled with
/// groups of equal rewards, in the order in which they were asked, which teach nothing.
///
/// # Errors
/// Those of the source of problems, of sampling, and of rewards that cannot be compared.
pub(crate) fn fill(
    engine: &mut dyn Engine,
    problems: &mut Problems,
    pools: Option<(&PoolShares, &Pools)>,
    first: u64,
    step: usize,
    setup: &TrainerArgs,
    score: &(dyn Score + Sync),
) -> Result<Batch, Error> {
    let wanted = setup.config.prompts_per_step;
    let bound = setup.config.gen_batches();
    let mut all: Option<Rollout> = None;
    let (mut taken, mut kept, mut rounds, mut picked) = (0, 0, 0, Vec::new());
    while kept < wanted && rounds < bound.unwrap_or(1) {
        let from = first + taken;
        let mut at = |index: u64| {
            let Some((shares, pools)) = pools else { return index };
            let place = pools.pick(shares, index, &picked).unwrap_or_default();
            picked.push(place);
            place as u64
        };
        let asked: Vec<Problem> = (from..from + (wanted - kept) as u64)
            .map(|index| problems(at(index)).map_err(|source| Error::Problem { index, source }))
            .collect::<Result<_, _>>()?;
        let round = rollout(engine, &asked, from, step, setup, score)?;
        check_rewards(&round.groups, step + 1)?;
        taken += asked.len() as u64;
        kept += round.groups.iter().filter(|group| !is_equal(group)).count();
        rounds += 1;
        match &mut all {
            None => all = Some(round),
            Some(all) => all.extend(round),
        }
    }
    let rollout = all.unwrap_or_default();
    let (verdicts, num_tokens) = (Verdicts::of(&rollout.groups), sampled_tokens(&rollout.groups));
    let asked = picked.into_iter().zip(first..).zip(&rollout.groups);
    let rates = asked.map(|((place, index), group)| (place, index, pass_rate(group))).collect();
    let mut batch = Batch { rollout, taken, num_tokens, verdicts, rates, filtered: None };
    if bound.is_some() {
        batch.filter(wanted, rounds);
    }
    Ok(batch)
}

impl Batch {
    /// Leaves `wanted` groups, those with equal rewards only where there are not enough others.
    fn filter(&mut self, wanted: usize, gen_batches: usize) {
        let groups = std::mem::take(&mut self.rollout.groups);
        let scores: Vec<f64> = groups.iter().flat_map(scores).collect();
        let reward = scores.iter().sum::<f64>() / scores.len() as f64;
        let (equal, others): (Vec<Group>, Vec<Group>) = groups.into_iter().partition(is_equal);
        let unfilled = wanted - others.len();
        let replaced = equal.len() - unfilled;
        self.rollout.groups = others.into_iter().chain(equal.into_iter().take(unfilled)).collect();
        self.filtered = Some(Filtered { gen_batches, replaced, unfilled, reward });
    }

    /// Writes down how the step's problems were solved.
    pub(crate) fn record(&self, pools: &mut Pools) {
        for &(place, index, rate) in &self.rates {
            pools.record(place, index, rate);
        }
    }

    /// Adds what was replaced to the step's row.
    pub(crate) fn tell(&self, metrics: &mut Metrics) {
        let Some(Filtered { gen_batches, replaced, unfilled, reward }) = self.filtered else { return };
        metrics.set("filter_groups/num_gen_batches", gen_batches as f64);
        metrics.set("filter_groups/replaced", replaced as f64);
        metrics.set("filter_groups/unfilled", unfilled as f64);
        metrics.set("filter_groups/sampled_reward", reward);
    }
}

/// Whether a group's scored rewards are all equal, and there are some.
fn is_equal(group: &Group) -> bool {
    let mut scores = scores(group);
    scores.next().is_some_and(|first| scores.all(|score| score == first))
}

/// The share of a group's scored completions that are right; none where none was scored.
fn pass_rate(group: &Group) -> Option<f64> {
    let scored = group.verdicts.iter().filter(|verdict| verdict.is_scored()).count();
    let right = group.verdicts.iter().filter(|verdict| verdict.outcome == Outcome::Correct).count();
    (scored > 0).then(|| right as f64 / scored as f64)
}

fn scores(group: &Group) -> impl Iterator<Item = f64> {
    group.verdicts.iter().filter(|verdict| verdict.is_scored()).map(|verdict| verdict.score)
}

fn sampled_tokens(groups: &[Group]) -> u64 {
    let completions = groups.iter().flat_map(|group| &group.completions);
    completions.map(|completion| (completion.prompt_ids.len() + completion.ids.len()) as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::is_equal;
    use crate::Config;
    use ruminate_data::{Group, Verdict};

    #[test]
    fn equal_are_scored_rewards_without_a_difference() {
        let group = |verdicts: Vec<Verdict>| Group { task: 0, completions: Vec::new(), verdicts };
        let (right, wrong, none) = (Verdict::correct(1.0), Verdict::wrong(0.0), Verdict::unscored("gone"));
        for (verdicts, equal) in [
            (vec![right.clone(), right.clone()], true),
            (vec![wrong.clone(), none.clone(), wrong.clone()], true),
            (vec![right.clone(), none.clone()], true),
            (vec![right, wrong], false),
            (vec![none.clone(), none], false),
        ] {
            assert_eq!(is_equal(&group(verdicts.clone())), equal, "{verdicts:?}");
        }
    }

    #[test]
    fn a_bound_needs_something_to_bound_and_is_from_one() {
        let config = |filter_groups, max_num_gen_batches| Config {
            filter_groups,
            max_num_gen_batches,
            ..Config::default()
        };
        for (config, says) in [
            (config(Some(true), Some(0)), "`grpo.max_num_gen_batches` is 0"),
            (config(None, Some(3)), "filter_groups"),
            (config(Some(false), Some(3)), "filter_groups"),
        ] {
            let message = config.validate().expect_err(says).to_string();
            assert!(message.contains(says), "{message}");
        }
        assert_eq!(config(Some(true), None).gen_batches(), Some(10));
        assert_eq!(config(None, None).gen_batches(), None);
        config(Some(true), Some(1)).validate().expect("valid");
    }
}
