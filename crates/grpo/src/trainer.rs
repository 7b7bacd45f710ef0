//! GRPO, a step after the other: sample, score, compare within the group, learn.

use crate::advantages::{Advantages, advantages, decoupled_advantages};
use crate::learn::{Example, UpdateStats, is_masked, update};
use crate::metrics::{Times, collect};
use crate::mismatch::Mismatch;
use crate::rollouts::rollout;
use crate::verdicts::{Verdicts, check_rewards};
use crate::{Aggregation, Config, Error};
use burn::module::Module;
use rand::seq::SliceRandom;
use ruminate_data::{Completion, Group, Problem, SamplingParams, Score, Seed, SourceError, Stop, Verdict};
use ruminate_model::Decoder;
use ruminate_rollout::{Engine, Logprobs};
use ruminate_train::{
    Metrics, MismatchAlarm, Observer, RouterTraining, Schedule, State, TrainLoop, alarms, is_due, logprobs,
};
use std::time::Instant;

/// Everything that a run of GRPO is told.
#[derive(Clone, Copy, Debug)]
pub struct TrainerArgs<'a> {
    /// The algorithm.
    pub config: &'a Config,
    /// Optimizer, schedule, router, saving.
    pub train: &'a ruminate_train::Config,
    /// How completions are drawn; `max_new_tokens` is the length limit.
    pub sampling: SamplingParams,
    /// What ends a completion.
    pub stop: &'a Stop,
    /// When a run raises alarms; the trainer ends it by one of them.
    pub alarms: &'a alarms::Config,
    /// Steps of the run.
    pub max_steps: usize,
    /// The run's randomness.
    pub seed: Seed,
}

/// Upper limit of the ratio where the sampler rounds, unless `delta` is set: TRL's cap on importance ratios between
/// engine and trainer. The clip bounds the ratio of positive advantages already.
const MISMATCH_CAP: f64 = 3.0;

impl TrainerArgs<'_> {
    /// The configuration with a sampler of such log-probabilities. The ratio of the loss is against what the sampler
    /// recorded, so it corrects the sampler's rounding, too; there it must not grow without limit.
    fn config_for(&self, logprobs: Logprobs) -> Config {
        let mut config = self.config.clone();
        if logprobs == Logprobs::Approximate {
            config.delta = config.delta.or(Some(MISMATCH_CAP.max(1.0 + config.epsilon_high())));
        }
        config
    }

    fn alarm(&self, logprobs: Logprobs) -> MismatchAlarm {
        match logprobs {
            Logprobs::Exact => MismatchAlarm::new(self.config.max_mismatch_kl),
            Logprobs::Approximate => MismatchAlarm::silent(),
        }
    }

    /// Checks all tables, before any tensor is made.
    ///
    /// # Errors
    /// Names the first key whose value cannot be.
    pub fn validate(&self) -> Result<(), Error> {
        self.config.validate()?;
        self.train.validate()?;
        self.sampling.validate()?;
        self.alarms.validate()?;
        if self.sampling.temperature == 0.0 {
            return Err(Error::Greedy);
        }
        Ok(())
    }
}

/// Trains `state.policy` to `max_steps`, or until the observer is interrupted: then the returned step is smaller.
///
/// `engine` samples; it gets the policy's weights at every step. `problems` gives the problem of an index, always the same one; step s takes the `prompts_per_step` after the
/// cursor. `score` judges groups of completions, on a thread of its own while others are still sampled; an unscored one is
/// left out of everything but the count.
///
/// # Errors
/// A table is out of range, a problem cannot be had, numbers are not finite or stay so, sampler and trainer disagree, most completions have no
/// verdict for three steps in a row, no completion is right for as many as `alarms` allows, or a checkpoint could not be saved.
pub fn train(
    mut state: State,
    engine: &mut dyn Engine,
    problems: &mut dyn FnMut(u64) -> Result<Problem, SourceError>,
    score: &(dyn Score + Sync),
    setup: &TrainerArgs,
    observer: &mut dyn Observer,
) -> Result<State, Error> {
    setup.validate()?;
    let config = &setup.config_for(engine.logprobs());
    let setup = &TrainerArgs { config, ..*setup };
    let schedule = Schedule::new(setup.train, setup.max_steps * config.updates_per_step());
    // Under adapters the first policy is the base, which is there with them off.
    let copied = config.beta > 0.0 && state.policy.adapters().is_none();
    if copied && !state.models.contains_key(REFERENCE) {
        state.models.insert(REFERENCE.to_owned(), state.policy.valid());
    }
    let weights = score.weights();
    let mut alarm = setup.alarm(engine.logprobs());
    let steps = TrainLoop {
        max_steps: setup.max_steps,
        eval_steps: config.eval_steps,
        save_steps: setup.train.save_steps,
    };
    steps.run(state, observer, &mut |mut state, observer| {
        let started = Instant::now();
        let first = state.cursor;
        let asked: Vec<Problem> = (first..first + config.prompts_per_step as u64)
            .map(|index| problems(index).map_err(|source| Error::Problem { index, source }))
            .collect::<Result<_, _>>()?;

        engine.load_weights(&state.policy.valid(), state.step as u64)?;
        let rollout = rollout(engine, &asked, first, state.step, setup, score)?;
        engine.unload_weights(); // a living copy would keep the optimizer from working in place
        let rollout_time = started.elapsed().as_secs_f64();

        let groups = &rollout.groups;
        check_rewards(groups, state.step + 1)?;
        let verdicts = Verdicts::of(groups);
        let is_unscored = setup.alarms.is_unscored(verdicts.unscored(), verdicts.completions);
        if is_unscored && state.unscored_steps == 0 && state.step > 0 {
            // If there are no verdicts in the next steps either, a resumed run continues from here.
            observer.save(&state)?;
        }
        let advantages = compare(groups, &weights, config);
        observer.groups(state.step + 1, groups, &advantages.values);
        let (report, mismatch);
        (state, report, mismatch) = learn(state, groups, &advantages, schedule, setup)?;
        if report.skipped > 0 {
            let (step, last) = (state.step + 1, first + config.prompts_per_step as u64);
            let (skipped, updates) = (report.skipped, report.updates);
            observer.warn(&format!(
                "step {step}: {skipped} of {updates} updates skipped, loss or gradient not finite; problems {:?}",
                first..last
            ));
        }

        state.step += 1;
        state.unscored_steps = if is_unscored { state.unscored_steps + 1 } else { 0 };
        state.cursor += config.prompts_per_step as u64;
        state.num_tokens += sampled_tokens(groups);
        let elapsed = started.elapsed().as_secs_f64();
        let times = Times { rollout: rollout_time, train: elapsed - rollout_time, step: elapsed };
        let metrics: Metrics =
            collect(&rollout, &weights, &advantages, &report, &mismatch, state.num_tokens, times);
        state.all_wrong_steps = alarms::all_wrong_steps(state.all_wrong_steps, &metrics);
        observer.step(state.step, &metrics);
        if !mismatch.load.layers.is_empty() {
            observer.expert_load(state.step, &mismatch.load);
        }
        observer.updated(state.step, &state.policy);
        if let Some(tokens) = mismatch.blind() {
            return Err(Error::NotFinite { step: state.step, tokens });
        }
        if state.unscored_steps >= alarms::IN_A_ROW {
            return Err(verdicts.unscored_error(state.step));
        }
        if setup.alarms.ends_all_wrong(state.all_wrong_steps) {
            return Err(verdicts.all_wrong_error(state.step, state.all_wrong_steps));
        }
        alarm.check(state.step, mismatch.kl())?;

        if config.beta > 0.0 && is_due(state.step, config.ref_model_sync_steps) {
            state.models.insert(REFERENCE.to_owned(), state.policy.valid());
        }
        Ok(state)
    })
}

/// The name under which the reference policy is kept and saved.
const REFERENCE: &str = "reference";

/// Advantages of a step's groups. `weights` are those of the verdicts' components.
fn compare(groups: &[Group], weights: &[(String, f64)], config: &Config) -> Advantages {
    let by_group = |reward: &dyn Fn(&Verdict) -> Option<Vec<f64>>| -> Vec<Vec<Option<Vec<f64>>>> {
        let scored = |verdict: &Verdict| verdict.is_scored().then(|| reward(verdict)).flatten();
        groups.iter().map(|group| group.verdicts.iter().map(scored).collect()).collect()
    };
    match config.multi_objective_aggregation {
        Aggregation::NormalizeThenSum if !weights.is_empty() => {
            let paid: Vec<&(String, f64)> = weights.iter().filter(|(_, weight)| *weight != 0.0).collect();
            let parts = by_group(&|verdict| paid.iter().map(|(name, _)| verdict.reward(name)).collect());
            decoupled_advantages(&parts, &paid.iter().map(|(_, weight)| *weight).collect::<Vec<f64>>())
        }
        Aggregation::NormalizeThenSum => {
            decoupled_advantages(&by_group(&|verdict| Some(vec![verdict.score])), &[1.0])
        }
        Aggregation::SumThenNormalize => {
            let score = |verdict: &Verdict| verdict.is_scored().then_some(verdict.score);
            let rewards: Vec<Vec<Option<f64>>> =
                groups.iter().map(|group| group.verdicts.iter().map(score).collect()).collect();
            advantages(&rewards, config.scale_rewards)
        }
    }
}

/// All updates of a step: `num_iterations` passes, each over the groups in a new order, in `num_minibatches` parts. And how
/// far sampler and trainer were apart before the first of them.
fn learn(
    mut state: State,
    groups: &[Group],
    advantages: &Advantages,
    schedule: Schedule,
    setup: &TrainerArgs,
) -> Result<(State, UpdateStats, Mismatch), Error> {
    let config = setup.config;
    let examples = examples(&state, groups, advantages, setup)?;
    let mut report = UpdateStats::default();
    let done = state.step * config.updates_per_step();
    let mut order: Vec<usize> = (0..groups.len()).collect();
    for iteration in 0..config.num_iterations {
        let seed = setup.seed.child("minibatches").index(state.step as u64).index(iteration as u64);
        order.shuffle(&mut seed.rng());
        let size = groups.len().div_ceil(config.num_minibatches);
        for (part, members) in order.chunks(size).enumerate() {
            let minibatch: Vec<&Example> = members.iter().flat_map(|&group| &examples[group]).collect();
            let rate = schedule.learning_rate(done + iteration * config.num_minibatches + part);
            state = update(state, groups, &minibatch, rate, setup, &mut report)?;
        }
    }
    // Without an update the policy is still the one that sampled.
    let measured = report.mismatch.take();
    let mismatch = measured.unwrap_or_else(|| report.probe(&state.policy, groups, setup));
    if setup.train.router == RouterTraining::Update {
        let (rate, bound) = (setup.train.router_bias_update_rate, setup.train.router_bias_bound);
        state.policy = state.policy.with_balanced_routers(&report.load.layers, rate as f32, bound as f32);
    }
    Ok((state, report, mismatch))
}

/// The step's completions with their advantages, by group, and with the reference's log-probabilities where there
/// is one.
fn examples<'a>(
    state: &State,
    groups: &'a [Group],
    advantages: &Advantages,
    setup: &TrainerArgs,
) -> Result<Vec<Vec<Example<'a>>>, Error> {
    let completions: Vec<&Completion> = groups.iter().flat_map(|group| &group.completions).collect();
    let mut reference = match reference(state, setup.config) {
        None => vec![Vec::new(); completions.len()],
        Some(reference) => {
            let pairs: Vec<(&[u32], &[u32])> =
                completions.iter().map(|c| (c.prompt_ids.as_slice(), c.ids.as_slice())).collect();
            logprobs::score(&reference, &pairs, setup.sampling.temperature, setup.config.micro_batch_size)?
        }
    }
    .into_iter();
    let example = |(completion, (verdict, &advantage)): (&'a Completion, (&Verdict, &f64))| Example {
        completion,
        advantage,
        reference: reference.next().unwrap_or_default(),
        trains: verdict.is_scored() && !is_masked(completion, setup),
    };
    let mut example = example;
    Ok(groups
        .iter()
        .zip(&advantages.values)
        .map(|(group, values)| {
            group.completions.iter().zip(group.verdicts.iter().zip(values)).map(&mut example).collect()
        })
        .collect())
}

/// The reference policy where the loss asks for one: the copy that was kept, or the base under the adapters.
fn reference(state: &State, config: &Config) -> Option<Decoder> {
    let kept = state.models.get(REFERENCE).cloned();
    kept.or_else(|| (config.beta > 0.0).then(|| state.policy.valid().without_adapters()))
}

fn sampled_tokens(groups: &[Group]) -> u64 {
    let tokens = |completion: &Completion| (completion.prompt_ids.len() + completion.ids.len()) as u64;
    groups.iter().flat_map(|group| &group.completions).map(tokens).sum()
}
