//! Alarms over the steps of a run: the patterns in its metrics that mean that it learns nothing, or the wrong thing. It
//! does not know texts: what an alarm advises is the binary's.
//!
//! An alarm is raised once, at the step at which its condition begins to hold, and again only after the condition has
//! ceased to hold in between.

mod config;
mod mismatch;
#[cfg(test)]
mod tests;

pub use config::{Config, Limit};
pub use mismatch::MismatchAlarm;

use crate::Metrics;
use std::collections::VecDeque;

/// Steps in a row, or steps of a mean, that make a pattern of what may be chance in one or two.
pub const IN_A_ROW: usize = 3;

/// Steps whose mean reward is the start that later steps are compared with.
const FIRST: usize = 5;

/// Steps over which most groups have to be equal.
const LONG: usize = 10;

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every group of some steps in a row had equal rewards: nothing was learned.
    AllEqual,
    /// Every group of many steps in a row had equal rewards, and no completion was right. Trainers end the run at the same
    /// step.
    AllWrong,
    /// Nearly every group of many steps had equal rewards, and few completions were right.
    MostlyEqual,
    /// Completions reach the length limit.
    Clipped,
    /// Completions get no verdict. Trainers end the run at the same step.
    Unscored,
    /// The policy became certain, and is worse than at its start.
    Entropy,
    /// The reward has been below that of the first steps for long.
    Reward,
    /// Validation problems are solved less often than before training.
    Validation,
    /// Groups are dropped because their tokens are too old.
    Stale,
    /// Steps wait for verdicts. It depends on the clock, so that it belongs into no file that the seed decides.
    Judge,
}

impl Kind {
    /// The alarm's name, which is its key in `[alarms]`, too.
    pub fn name(self) -> &'static str {
        match self {
            Self::AllEqual => "all_equal",
            Self::AllWrong => "all_wrong",
            Self::MostlyEqual => "mostly_equal",
            Self::Clipped => "clipped",
            Self::Unscored => "unscored",
            Self::Entropy => "entropy",
            Self::Reward => "reward",
            Self::Validation => "validation",
            Self::Stale => "stale",
            Self::Judge => "judge",
        }
    }

    /// The metric that an alarm's value is of.
    pub fn metric(self) -> &'static str {
        match self {
            Self::AllEqual | Self::MostlyEqual => "frac_reward_zero_std",
            Self::AllWrong => "correct",
            Self::Clipped => "completions/clipped_ratio",
            Self::Unscored => "unscored",
            Self::Entropy => "entropy",
            Self::Reward => "reward",
            Self::Validation => "pass@1",
            Self::Stale => "staleness/dropped_ratio",
            Self::Judge => "judge_wait_time_s",
        }
    }
}

/// An alarm at the step that raised it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alarm {
    /// What it is about.
    pub kind: Kind,
    /// The metric's value, or its mean over the alarm's steps.
    pub value: f64,
}

/// pass@1 of an evaluation with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// pass@1.
    pub pass_at_1: f64,
    /// The interval's ends.
    pub interval: [f64; 2],
}

/// Watches the steps of one run. What it says depends on the metrics alone, in their order: after the same rows a
/// resumed run goes on as the uninterrupted one.
#[derive(Clone, Debug)]
pub struct Alarms {
    config: Config,
    /// Completions of a step.
    completions: usize,
    /// Steps in a row in which all groups were equal; in which no completion was right, besides; in which most completions
    /// were unscored; below the start's reward.
    equal_steps: usize,
    all_wrong_steps: usize,
    unscored_steps: usize,
    falling_steps: usize,
    /// Rewards of the first steps.
    first: Vec<f64>,
    equal: Recent,
    correct: Recent,
    clipped: Recent,
    entropy: Recent,
    reward: Recent,
    stale: Recent,
    judge: Recent,
    raised: Vec<Kind>,
}

impl Alarms {
    /// Before the first step of a run whose steps have so many completions.
    pub fn new(config: Config, completions: usize) -> Self {
        let recent = || Recent::of(IN_A_ROW);
        Self {
            config,
            completions,
            equal_steps: 0,
            all_wrong_steps: 0,
            unscored_steps: 0,
            falling_steps: 0,
            first: Vec::new(),
            equal: Recent::of(LONG),
            correct: Recent::of(LONG),
            clipped: recent(),
            entropy: recent(),
            reward: recent(),
            stale: Recent::of(LONG),
            judge: recent(),
            raised: Vec::new(),
        }
    }

    /// Takes in a step's metrics and returns the alarms that it raises. A metric that a trainer does not have, or that is
    /// null at a step, raises nothing.
    pub fn step(&mut self, metrics: &Metrics) -> Vec<Alarm> {
        let value = |name| metrics.measured(name);
        if let Some(equal) = value(Kind::AllEqual.metric()) {
            self.equal_steps = if equal >= 1.0 { self.equal_steps + 1 } else { 0 };
            self.equal.push(equal);
        }
        self.all_wrong_steps = all_wrong_steps(self.all_wrong_steps, metrics);
        if let Some(unscored) = value(Kind::Unscored.metric()) {
            let is_unscored = self.config.is_unscored(unscored as usize, self.completions);
            self.unscored_steps = if is_unscored { self.unscored_steps + 1 } else { 0 };
        }
        if let Some(reward) = value(Kind::Reward.metric()) {
            if self.first.len() < FIRST {
                self.first.push(reward);
            } else {
                self.falling_steps = if reward < mean(&self.first) { self.falling_steps + 1 } else { 0 };
            }
            self.reward.push(reward);
        }
        for (recent, name) in [
            (&mut self.correct, "correct"),
            (&mut self.clipped, Kind::Clipped.metric()),
            (&mut self.entropy, Kind::Entropy.metric()),
            (&mut self.stale, Kind::Stale.metric()),
        ] {
            recent.values.extend(value(name));
            recent.cut();
        }
        if let (Some(waited), Some(step)) = (value(Kind::Judge.metric()), value("step_time_s")) {
            self.judge.push(if step > 0.0 { waited / step } else { 0.0 });
        }
        let conditions = self.conditions(metrics);
        conditions.into_iter().filter_map(|(kind, holds)| self.raise(kind, holds)).collect()
    }

    /// Compares an evaluation on the validation problems with the one before training.
    pub fn evaluation(&mut self, before: Measured, now: Measured) -> Option<Alarm> {
        let limit = self.config.validation.value()?;
        // The interval of the difference, as of two independent measurements.
        let reach = (before.pass_at_1 - before.interval[0]).hypot(now.interval[1] - now.pass_at_1);
        let is_worse = before.pass_at_1 - now.pass_at_1 > limit * reach;
        self.raise(Kind::Validation, is_worse.then_some(now.pass_at_1))
    }

    /// Those that are raised now.
    pub fn raised(&self) -> &[Kind] {
        &self.raised
    }

    /// Which conditions hold after a step, and of which value.
    fn conditions(&self, metrics: &Metrics) -> Vec<(Kind, Option<f64>)> {
        let Config {
            all_equal,
            all_wrong,
            mostly_equal,
            clipped,
            unscored,
            entropy,
            reward,
            stale,
            judge,
            ..
        } = &self.config;
        let in_a_row = |kind: Kind, limit: &Limit, count: usize| {
            let holds = limit.value().is_some_and(|limit| count > 0 && count as f64 >= limit);
            (kind, holds.then(|| metrics.measured(kind.metric())).flatten())
        };
        let above = |limit: &Limit, recent: &Recent| {
            recent.mean().filter(|&mean| limit.value().is_some_and(|limit| mean > limit))
        };
        let is_below_start = || {
            let start = (self.first.len() == FIRST).then(|| mean(&self.first));
            start.zip(self.reward.mean()).is_some_and(|(start, now)| now < start)
        };
        let is_seldom_right = self.correct.mean().is_some_and(|share| share < 0.5);
        let is_certain =
            self.entropy.mean().filter(|&mean| entropy.value().is_some_and(|limit| mean < limit));
        let unscored = unscored.value().filter(|_| self.unscored_steps >= IN_A_ROW);
        vec![
            in_a_row(Kind::AllEqual, all_equal, self.equal_steps),
            in_a_row(Kind::AllWrong, all_wrong, self.all_wrong_steps),
            // Where all are equal that has been said.
            (
                Kind::MostlyEqual,
                above(mostly_equal, &self.equal).filter(|_| is_seldom_right && self.equal_steps < LONG),
            ),
            (Kind::Clipped, above(clipped, &self.clipped)),
            (Kind::Unscored, unscored.and_then(|_| metrics.measured(Kind::Unscored.metric()))),
            (Kind::Entropy, is_certain.filter(|_| is_below_start())),
            in_a_row(Kind::Reward, reward, self.falling_steps),
            (Kind::Stale, above(stale, &self.stale)),
            (Kind::Judge, above(judge, &self.judge)),
        ]
    }

    /// The alarm of a condition that has just begun to hold.
    fn raise(&mut self, kind: Kind, holds: Option<f64>) -> Option<Alarm> {
        let was_raised = self.raised.contains(&kind);
        match holds {
            None => {
                self.raised.retain(|raised| *raised != kind);
                None
            }
            Some(_) if was_raised => None,
            Some(value) => {
                self.raised.push(kind);
                Some(Alarm { kind, value })
            }
        }
    }
}

/// Steps in a row in which every group had equal rewards and no completion was right, after a step with these metrics that
/// followed `before` such steps. A step without a scored completion neither adds to them nor ends them.
pub fn all_wrong_steps(before: usize, metrics: &Metrics) -> usize {
    let measured = |kind: Kind| metrics.measured(kind.metric());
    match measured(Kind::AllEqual).zip(measured(Kind::AllWrong)) {
        None => before,
        Some((equal, correct)) if equal >= 1.0 && correct == 0.0 => before + 1,
        Some(_) => 0,
    }
}

/// The last values of a metric.
#[derive(Clone, Debug)]
struct Recent {
    values: VecDeque<f64>,
    size: usize,
}

impl Recent {
    fn of(size: usize) -> Self {
        Self { values: VecDeque::new(), size }
    }

    fn push(&mut self, value: f64) {
        self.values.push_back(value);
        self.cut();
    }

    fn cut(&mut self) {
        while self.values.len() > self.size {
            self.values.pop_front();
        }
    }

    /// Their mean, once there are as many as it takes.
    fn mean(&self) -> Option<f64> {
        (self.values.len() == self.size).then(|| self.values.iter().sum::<f64>() / self.size as f64)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
