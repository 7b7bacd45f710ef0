//! The problems of a step, sampled and judged; under dynamic sampling (DAPO, arXiv 2503.14476, section 3.2; verl's
//! `filter_groups`) groups whose rewards are all equal are replaced by further problems, up to a bound.
//!
//! Which problems a step has asked is a function of the state before it, and so is where the next step begins: `cursor`, and
//! what is known of the difficulty pools, is all that a resumed run needs.

use crate::ahead::Sampling;
use crate::rollouts::{Rollout, rollout};
use crate::verdicts::{Verdicts, check_rewards};
use crate::{Config, Error};
use burn::module::Module;
use ruminate_data::{Group, Outcome, PoolShares, Pools, Problem};
use ruminate_train::{Metrics, State};

/// What a step learns from.
pub(crate) struct Batch {
    /// `prompts_per_step` groups.
    pub(crate) rollout: Rollout,
    /// Problems taken from the source.
    pub(crate) taken: u64,
    /// Tokens that were sampled, prompts included.
    pub(crate) num_tokens: u64,
    /// Verdicts of all groups, those that were replaced included.
    verdicts: Verdicts,
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

    /// Refuses a bound of nothing, one without effect, and problems that are chosen by verdicts which groups sampled ahead do
    /// not have yet.
    pub(crate) fn check_filter_groups(&self) -> Result<(), Error> {
        let chooses = [("filter_groups", self.gen_batches().is_some()), ("pools", self.pools.is_some())];
        if let Some((other, _)) = chooses.into_iter().find(|(_, chooses)| *chooses)
            && self.staleness() > 0
        {
            return Err(Error::Conflict {
                key: "max_staleness",
                found: self.staleness().to_string(),
                other,
                stated: "set".to_owned(),
                advice: "groups that are sampled ahead have no verdicts by which the next problems could be chosen; set \
                         `max_staleness = 0`, or leave the other out"
                    .to_owned(),
            });
        }
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

/// Samples and judges problems with the current weights until `prompts_per_step` groups have rewards that differ, or are unscored,
/// which is no measure of a problem. Each round asks as many problems as are missing. At the bound the batch is filled with
/// groups of equal rewards, in the order in which they were asked, which teach nothing.
///
/// # Errors
/// Those of the source of problems, of sampling, and of rewards that cannot be compared.
pub(crate) fn fill(mut with: Sampling, state: &State) -> Result<Batch, Error> {
    let version = state.step as u64;
    let loaded = with.engine.load_weights(&state.policy.valid(), version).map_err(Error::from);
    let batch = loaded.and_then(|()| fill_loaded(&mut with, state));
    with.engine.unload_weights(); // a living copy would keep the optimizer from working in place
    batch
}

fn fill_loaded(with: &mut Sampling, state: &State) -> Result<Batch, Error> {
    let (config, first) = (with.args.config, state.cursor);
    let pools = config.pools.as_ref().zip(state.pools.as_ref());
    let (wanted, bound) = (config.prompts_per_step, config.gen_batches());
    let seed = with.args.seed.child("rollout").index(state.step as u64);
    let mut all: Option<Rollout> = None;
    let (mut taken, mut kept, mut rounds, mut picked) = (0, 0, 0, Vec::new());
    while kept < wanted && rounds < bound.unwrap_or(1) {
        let from = first + taken;
        let mut at = |index: u64| {
            let Some((shares, pools)) = pools else { return index };
            let place = pools.pick(shares, index, &picked).unwrap_or_default();
            picked.push(place);
            pools.problem(place, index)
        };
        let indices: Vec<u64> = (from..from + (wanted - kept) as u64).collect();
        let chosen: Vec<u64> = indices.iter().map(|&index| at(index)).collect();
        let problem =
            |&index: &u64| (with.problems)(index).map_err(|source| Error::Problem { index, source });
        let asked: Vec<Problem> = chosen.iter().map(problem).collect::<Result<_, _>>()?;
        let mut round = rollout(with.engine, &asked, &indices, seed, with.args, with.score)?;
        for (group, index) in round.groups.iter_mut().zip(chosen) {
            group.task = index as usize;
        }
        check_rewards(&round.groups, state.step + 1)?;
        taken += asked.len() as u64;
        kept += round.groups.iter().filter(|group| !is_equal(group)).count();
        rounds += 1;
        match &mut all {
            None => all = Some(round),
            Some(all) => all.extend(round),
        }
    }
    let rollout = all.unwrap_or_default();
    let asked = picked.into_iter().zip(first..).zip(&rollout.groups);
    let rates = asked.map(|((place, index), group)| (place, index, pass_rate(group))).collect();
    let mut batch = Batch::of(rollout, taken, rates);
    if bound.is_some() {
        batch.filter(wanted, rounds);
    }
    Ok(batch)
}

impl Batch {
    fn of(rollout: Rollout, taken: u64, rates: Vec<(usize, u64, Option<f64>)>) -> Self {
        let (verdicts, num_tokens) = (Verdicts::of(&rollout.groups), sampled_tokens(&rollout.groups));
        Self { rollout, taken, num_tokens, verdicts, rates, filtered: None }
    }

    /// Groups from `first` on that were sampled ahead of a step, as they are.
    ///
    /// # Errors
    /// Rewards cannot be compared.
    pub(crate) fn sampled_ahead(rollout: Rollout, first: u64, step: usize) -> Result<Self, Error> {
        check_rewards(&rollout.groups, step + 1)?;
        let taken = rollout.next - first;
        Ok(Self::of(rollout, taken, Vec::new()))
    }

    /// The verdicts of all groups that were sampled, or of those that the step has: where a larger share is missing.
    pub(crate) fn verdicts(&self) -> Verdicts {
        let kept = Verdicts::of(&self.rollout.groups);
        let lacks_more =
            kept.unscored() * self.verdicts.completions > self.verdicts.unscored() * kept.completions;
        if lacks_more { kept } else { self.verdicts.clone() }
    }

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

    /// Writes down how the step's problems were solved, and how many are now in each pool.
    pub(crate) fn record(&self, pools: &mut Pools, shares: &PoolShares, metrics: &mut Metrics) {
        for &(place, index, rate) in &self.rates {
            pools.record(place, index, rate);
        }
        let counts = pools.counts(shares).map(|count| count as f64 / pools.len().max(1) as f64);
        for (name, share) in ["pools/easy", "pools/normal", "pools/hard"].into_iter().zip(counts) {
            metrics.set(name, share);
        }
    }

    /// Adds to the step's row what was replaced, and how old tokens are that were sampled ahead.
    pub(crate) fn tell(&self, metrics: &mut Metrics) {
        if let Some(ages) = &self.rollout.ages {
            ages.report(metrics);
        }
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
    use ruminate_data::{Group, PoolShares, Verdict};

    #[test]
    fn problems_are_not_chosen_by_verdicts_that_are_not_there_yet() {
        let ahead = Config { max_staleness: Some(1), ..Config::default() };
        assert!(ahead.validate().is_ok());
        for config in [
            Config { filter_groups: Some(true), ..ahead.clone() },
            Config { pools: Some(PoolShares::default()), ..ahead },
        ] {
            let refused = config.validate().expect_err("they exclude each other").to_string();
            assert!(refused.contains("max_staleness"), "{refused}");
        }
    }

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
