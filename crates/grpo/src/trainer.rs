//! GRPO, a step after the other: sample, score, compare within the group, learn.

use crate::advantage::{Advantages, Comparison};
use crate::ahead::{Ahead, Sampling, save_before};
use crate::filter_groups::{Batch, fill};
use crate::kept::check_kept;
use crate::learn::{Example, Rules, UpdateStats, is_masked, update};
use crate::loss::KlPlacement;
use crate::metrics::{Times, collect, corrections, entropy_bonus};
use crate::mismatch::Mismatch;
use crate::{Config, Error, PolicyLoss};
use burn::module::Module;
use rand::seq::SliceRandom;
use ruminate_data::{
    Completion, Group, Pools, Problem, SamplingParams, Score, Seed, SourceError, Stop, Verdict,
};
use ruminate_model::Decoder;
use ruminate_rollout::Engine;
use ruminate_train::{
    Alone, Metrics, MismatchAlarm, Observer, Ranks, RouterTraining, Schedule, State, TrainLoop, alarms,
    is_due, score_drawn,
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

impl TrainerArgs<'_> {
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

/// Problems by their index, the same one each time.
pub type Problems<'a> = dyn FnMut(u64) -> Result<Problem, SourceError> + 'a;

/// Trains a policy, [a step](Self::step) after the other, or [a whole run](Self::run).
pub struct Trainer<'a> {
    /// None during a step, and after one that failed.
    state: Option<State>,
    engine: &'a mut dyn Engine,
    problems: &'a mut Problems<'a>,
    score: &'a (dyn Score + Sync),
    args: TrainerArgs<'a>,
    loss: PolicyLoss,
    schedule: Schedule,
    /// Those of the verdicts' components.
    weights: Vec<(String, f64)>,
    mismatch: MismatchAlarm,
    ranks: &'a dyn Ranks,
    /// What is sampled for later steps.
    ahead: Ahead,
}

/// What a step did.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// The step, counted from 1.
    pub step: usize,
    /// Its row of the log.
    pub metrics: Metrics,
    /// What was sampled, with its verdicts.
    pub groups: Vec<Group>,
    /// One per completion, by group.
    pub advantages: Vec<Vec<f64>>,
}

impl<'a> Trainer<'a> {
    /// A trainer that goes on from `state`.
    ///
    /// `engine` samples; it gets the policy's weights at every step. `problems` gives the problem of an index, always the same
    /// one; a step takes the `prompts_per_step` after the state's cursor, under `filter_groups` more. `score` judges groups of completions, on a thread of its
    /// own while others are still sampled; an unscored one is left out of everything but the count.
    ///
    /// # Errors
    /// Names the first key of a table whose value cannot be, or that contradicts another.
    pub fn new(
        mut state: State,
        engine: &'a mut dyn Engine,
        problems: &'a mut Problems<'a>,
        score: &'a (dyn Score + Sync),
        args: TrainerArgs<'a>,
    ) -> Result<Self, Error> {
        args.validate()?;
        let config = args.config;
        let logprobs = engine.logprobs().beside(state.policy.compute_dtype());
        let loss = config.policy_loss(logprobs)?;
        if config.pools.is_some() && state.pools.as_ref().is_none_or(Pools::is_empty) {
            return Err(Error::Range {
                key: "pools",
                found: "given, and the state has none".to_owned(),
                expected: "a list of problems or of sources, `State::pools`, whose `Pools::problem` is the index that `problems` gets",
            });
        }
        if let Some((key, found, expected)) = args.sampling.first_cut()
            && !engine.records_kept()
        {
            return Err(Error::CutUnseen { key, found, expected });
        }
        // Under adapters the first policy is the base, which is there with them off.
        let copied = config.beta > 0.0 && state.policy.adapters().is_none();
        if copied && !state.models.contains_key(REFERENCE) {
            state.models.insert(REFERENCE.to_owned(), state.policy.valid());
        }
        // Older weights are another policy, not a fault.
        let limit = if config.staleness() == 0 { logprobs.mismatch_limit() } else { f64::INFINITY };
        let mismatch = MismatchAlarm::new(config.max_mismatch_kl.unwrap_or(limit));
        let schedule = Schedule::new(args.train, args.max_steps * config.updates_per_step());
        let weights = score.weights();
        Ok(Self {
            state: Some(state),
            engine,
            problems,
            score,
            args,
            loss,
            schedule,
            weights,
            mismatch,
            ranks: &Alone,
            ahead: Ahead::default(),
        })
    }

    /// The same with a loss of the caller's in place of what the recipe's keys say. `beta` stays the weight of the KL term.
    #[must_use]
    pub fn with_loss(self, loss: PolicyLoss) -> Self {
        Self { loss, ..self }
    }

    /// The same as one of several processes, whose gradients are summed before each update.
    #[must_use]
    pub fn with_ranks(self, ranks: &'a dyn Ranks) -> Self {
        Self { ranks, ..self }
    }

    /// What the policy learns by.
    pub fn loss(&self) -> &PolicyLoss {
        &self.loss
    }

    /// Where the run is; None after a step that failed.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Where the run is, to be kept; None after a step that failed.
    pub fn into_state(self) -> Option<State> {
        self.state
    }

    /// Takes one step: samples, has the completions scored, compares them within their groups, and learns. `observer` gets
    /// what a step has; it is asked to save only where the first step without verdicts begins.
    ///
    /// # Errors
    /// A problem cannot be had, numbers are not finite or stay so, sampler and trainer disagree, most completions have no
    /// verdict for three steps in a row, or no completion is right for as many as `alarms` allows. [`Error::Spent`] after any of
    /// these: a run goes on from a checkpoint.
    pub fn step(&mut self, observer: &mut dyn Observer) -> Result<StepReport, Error> {
        let state = self.state.take().ok_or(Error::Spent)?;
        let (state, report) = self.advance(state, observer)?;
        self.state = Some(state);
        Ok(report)
    }

    fn advance(
        &mut self,
        mut state: State,
        observer: &mut dyn Observer,
    ) -> Result<(State, StepReport), Error> {
        let Self {
            engine,
            problems,
            score,
            args,
            loss,
            schedule,
            weights,
            mismatch: alarm,
            ranks,
            ahead,
            ..
        } = self;
        let config = args.config;
        let started = Instant::now();
        let first = state.cursor;
        let with = Sampling { engine: &mut **engine, problems: &mut **problems, score: *score, args };
        let sampled = sample(with, ahead, &mut state);
        if sampled.as_ref().is_err_and(Error::is_of_engine) && state.step > 0 {
            observer.save(&state)?; // engines elsewhere come back, and the run goes on from here
        }
        let batch = sampled?;
        let rollout_time = started.elapsed().as_secs_f64();

        let groups = &batch.rollout.groups;
        check_kept(groups, &args.sampling)?;
        let verdicts = batch.verdicts();
        let is_unscored = args.alarms.is_unscored(verdicts.unscored(), verdicts.completions);
        if is_unscored && state.unscored_steps == 0 && state.step > 0 {
            // If there are no verdicts in the next steps either, a resumed run continues from here.
            save_before(&mut state, groups, batch.rollout.ages.is_some(), observer)?;
        }
        let penalties = reward_penalties(&state, groups, args, loss)?;
        let comparison = Comparison {
            weights,
            penalties: &penalties.values,
            pass_at_k: config.pass_at_k.unwrap_or(config.num_generations),
        };
        let advantages = loss.advantage.of(groups, comparison);
        observer.groups(state.step + 1, groups, &advantages.values);
        let rules = Rules {
            loss,
            replays: config.replays_routes(engine.logprobs().beside(state.policy.compute_dtype())),
        };
        let learned = ahead.beside(&mut **engine, config.num_generations, *score, || {
            learn(state, groups, &advantages, *schedule, args, rules, *ranks)
        });
        let (next, report, mismatch) = learned?;
        state = next;
        ahead.settle(&mut state);
        if report.skipped > 0 {
            let (step, last) = (state.step + 1, first + batch.taken);
            let (skipped, updates) = (report.skipped, report.updates);
            observer.warn(&format!(
                "step {step}: {skipped} of {updates} updates skipped, loss or gradient not finite; problems {:?}",
                first..last
            ));
        }

        state.step += 1;
        state.unscored_steps = if is_unscored { state.unscored_steps + 1 } else { 0 };
        state.cursor += batch.taken;
        state.num_tokens += batch.num_tokens;
        let elapsed = started.elapsed().as_secs_f64();
        let times = Times { rollout: rollout_time, train: elapsed - rollout_time, step: elapsed };
        let mut metrics: Metrics =
            collect(&batch.rollout, weights, &advantages, &report, &mismatch, state.num_tokens, times);
        batch.tell(&mut metrics);
        if let (Some(shares), Some(pools)) = (&config.pools, &mut state.pools) {
            batch.record(pools, shares, &mut metrics);
        }
        corrections(&mut metrics, loss, &report.tally);
        entropy_bonus(&mut metrics, config, &state, &report.tally);
        if let Some(kl) = penalties.kl {
            metrics.set("kl", kl);
        }
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
        if args.alarms.ends_all_wrong(state.all_wrong_steps) {
            return Err(verdicts.all_wrong_error(state.step, state.all_wrong_steps));
        }
        alarm.check(state.step, mismatch.kl())?;

        if config.beta > 0.0 && is_due(state.step, config.ref_model_sync_steps) {
            state.models.insert(REFERENCE.to_owned(), state.policy.valid());
        }
        let report = StepReport {
            step: state.step,
            metrics,
            groups: batch.rollout.groups,
            advantages: advantages.values,
        };
        Ok((state, report))
    }

    /// Trains to `max_steps`, or until the observer is interrupted: then the returned step is smaller. Evaluations and
    /// checkpoints are due as [`TrainLoop`] has it.
    ///
    /// # Errors
    /// As [`step`](Self::step), and where a checkpoint could not be saved.
    pub fn run(mut self, observer: &mut dyn Observer) -> Result<State, Error> {
        let steps = TrainLoop {
            max_steps: self.args.max_steps,
            eval_steps: self.args.config.eval_steps,
            save_steps: self.args.train.save_steps,
        };
        let state = self.state.take().ok_or(Error::Spent)?;
        steps.run(state, observer, &mut |state, observer| Ok(self.advance(state, observer)?.0))
    }
}

/// Trains `state.policy` to `max_steps`, or until the observer is interrupted: [`Trainer::run`] in one call.
///
/// # Errors
/// As [`Trainer::new`] and [`Trainer::run`].
pub fn train<'a>(
    state: State,
    engine: &'a mut dyn Engine,
    problems: &'a mut Problems<'a>,
    score: &'a (dyn Score + Sync),
    args: &TrainerArgs<'a>,
    observer: &mut dyn Observer,
) -> Result<State, Error> {
    Trainer::new(state, engine, problems, score, *args)?.run(observer)
}

/// The groups of the next step: those that were sampled ahead, or new ones with the current weights.
fn sample(with: Sampling, ahead: &mut Ahead, state: &mut State) -> Result<Batch, Error> {
    if with.args.config.staleness() == 0 {
        return fill(with, state);
    }
    let (first, step) = (state.cursor, state.step);
    Batch::sampled_ahead(ahead.sample(with, state)?, first, step)
}

/// The name under which the reference policy is kept and saved.
const REFERENCE: &str = "reference";

/// All updates of a step: `num_iterations` passes, each over the groups in a new order, in `num_minibatches` parts. And how
/// far sampler and trainer were apart before the first of them.
fn learn(
    mut state: State,
    groups: &[Group],
    advantages: &Advantages,
    schedule: Schedule,
    setup: &TrainerArgs,
    rules: Rules,
    ranks: &dyn Ranks,
) -> Result<(State, UpdateStats, Mismatch), Error> {
    let config = setup.config;
    let examples = examples(&state, groups, advantages, setup, rules.loss)?;
    let mut report = UpdateStats::default();
    let done = state.step * config.updates_per_step();
    let mut order: Vec<usize> = (0..groups.len()).collect();
    for iteration in 0..config.num_iterations {
        let seed = setup.seed.child("minibatches").index(state.step as u64).index(iteration as u64);
        order.shuffle(&mut seed.rng());
        let size = groups.len().div_ceil(config.num_minibatches);
        for (part, members) in order.chunks(size).enumerate() {
            let minibatch: Vec<&Example> = members.iter().flat_map(|&group| &examples[group]).collect();
            report.learning_rate = schedule.learning_rate(done + iteration * config.num_minibatches + part);
            state = update(state, groups, &minibatch, setup, rules, ranks, &mut report)?;
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

/// The step's completions with their advantages, by group, and with the log-probabilities of other policies that the loss
/// asks for.
fn examples<'a>(
    state: &State,
    groups: &'a [Group],
    advantages: &Advantages,
    setup: &TrainerArgs,
    loss: &PolicyLoss,
) -> Result<Vec<Vec<Example<'a>>>, Error> {
    let all: Vec<&Completion> = groups.iter().flat_map(|group| &group.completions).collect();
    let under = |policy: Option<Decoder>| match policy {
        None => Ok(vec![Vec::new(); all.len()]),
        Some(policy) => {
            score_drawn(&policy, &all, &setup.sampling, setup.stop, setup.config.micro_batch_size)
        }
    };
    let compared = loss.beta_in_loss(setup.config.beta) > 0.0;
    let mut reference = under(compared.then(|| reference(state)))?.into_iter();
    let trainer = loss.correction.needs_trainer_logprobs().then(|| state.policy.valid());
    let mut old = under(trainer)?.into_iter();
    let mut example = |(completion, (verdict, &advantage)): (&'a Completion, (&Verdict, &f64))| Example {
        completion,
        advantage,
        old: trained(completion, old.next().unwrap_or_default()),
        reference: trained(completion, reference.next().unwrap_or_default()),
        trains: verdict.is_scored() && !is_masked(completion, setup),
    };
    Ok(groups
        .iter()
        .zip(&advantages.values)
        .map(|(group, values)| {
            group.completions.iter().zip(group.verdicts.iter().zip(values)).map(&mut example).collect()
        })
        .collect())
}

/// Of values for a completion's tokens those that are trained; of none, none.
fn trained(completion: &Completion, values: Vec<f32>) -> Vec<f32> {
    if values.is_empty() { values } else { completion.of_trained(&values) }
}

/// The reference policy: the copy that was kept, or the base under the adapters.
fn reference(state: &State) -> Decoder {
    state.models.get(REFERENCE).cloned().unwrap_or_else(|| state.policy.valid().without_adapters())
}

/// What the KL term subtracts from rewards.
#[derive(Clone, Debug, Default)]
struct Penalties {
    /// One per completion, by group; empty where nothing is subtracted.
    values: Vec<Vec<f64>>,
    /// The mean estimate, in nats per token.
    kl: Option<f64>,
}

/// `beta` times the sum of the estimates over each completion's tokens, of the sampler's log-probabilities.
fn reward_penalties(
    state: &State,
    groups: &[Group],
    setup: &TrainerArgs,
    loss: &PolicyLoss,
) -> Result<Penalties, Error> {
    let beta = setup.config.beta;
    if beta == 0.0 || loss.kl.placement == KlPlacement::Loss {
        return Ok(Penalties::default());
    }
    let all: Vec<&Completion> = groups.iter().flat_map(|group| &group.completions).collect();
    let (sampling, at_once) = (&setup.sampling, setup.config.micro_batch_size);
    let scores = score_drawn(&reference(state), &all, sampling, setup.stop, at_once)?;
    let (mut scores, mut sum, mut tokens) = (scores.into_iter(), 0.0, 0);
    let mut penalty = |completion: &Completion| {
        let reference = completion.of_trained(&scores.next().unwrap_or_default());
        let sampler = completion.of_trained(&completion.drawn_logprobs());
        let estimates = sampler.iter().zip(&reference).map(|(&of, &to)| loss.kl.estimator.value(of, to));
        let kl: f64 = estimates.sum();
        sum += kl;
        tokens += reference.len();
        beta * kl
    };
    let values = groups.iter().map(|group| group.completions.iter().map(&mut penalty).collect()).collect();
    Ok(Penalties { values, kl: Some(sum / tokens.max(1) as f64) })
}
