//! On-policy distillation: the student writes, the teacher says how probable it would have written each token, and the
//! student learns to be where its teacher would be, on its own way. The dense signal of distillation on the states that the
//! student itself gets into (GKD with lambda = 1, arXiv 2306.13649; the form is that of Thinking Machines, "On-Policy
//! Distillation", 2025, and its tinker-cookbook, which prime-rl, verl and slime have, too).
//!
//! ```text
//! A_t  = ln p_teacher(x_t | x_<t) - ln q_sampler(x_t | x_<t)          minus the sampled reverse KL of the token
//! loss = - mean_t  min(ratio_t, 3) A_t,   ratio_t = q_student(x_t) / q_sampler(x_t)
//! ```
//!
//! One update a batch, so the ratio is 1 but for what the sampler rounds, and the gradient is that of A_t ln q: without
//! bias the gradient of KL(student || teacher) at the token's place, since E_q[grad ln q] = 0. Each token answers for itself
//! (discount 0): what it does to later ones is left out, as it is in GKD.

// N places with loss

use crate::Error;
use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use ruminate_data::{
    Completion, FinishReason, Group, Problem, Sample, SamplingParams, Score, Seed, SourceError, Task,
};
use ruminate_model::Decoder;
use ruminate_model::read::{Place, floats};
use ruminate_rollout::{Engine, GroupArgs, generate_grouped};
use ruminate_train::logprobs::{score, token_logprobs};
use ruminate_train::packing::Packed;
use ruminate_train::{Alone, Batch, Metrics, MismatchAlarm, Observer, State, TokenLoss, supervised};
use std::borrow::Borrow;
use std::ops::ControlFlow;
use std::ops::Range;

/// A completion of the student's, with what its tokens are worth.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Prompt and completion, the loss on the completion.
    pub sample: Sample,
    /// Log-probabilities under the policy that sampled, in nats, one a completion token.
    pub old: Vec<f32>,
    /// Those of the teacher less those.
    pub advantages: Vec<f32>,
}

impl Borrow<Sample> for Judged {
    fn borrow(&self) -> &Sample {
        &self.sample
    }
}

/// Upper limit of the ratio between trainer and sampler, as TRL has it: a token that rounding made improbable must not
/// outweigh all others.
const RATIO_CAP: f64 = 3.0;

/// The measure that the alarm hears.
const MISMATCH_KL: &str = "sampling/mismatch_kl";

/// Sequences that the teacher scores at once.
const SEQUENCES: usize = 16;

/// Who says how probable each token of the student's is: a model in memory, or a server.
pub trait Teacher: std::fmt::Debug {
    /// Tokens of the longest sequence that it scores.
    fn positions(&self) -> usize;

    /// For each pair, the log-probabilities in nats of the tokens of its second part behind its first, of logits divided by
    /// `temperature`; NaN where it has none, which teaches nothing.
    ///
    /// # Errors
    /// [`Error::Teacher`] when it cannot be asked; the state is as good as before, and is saved.
    fn score(&self, pairs: &[(&[u32], &[u32])], temperature: f64) -> Result<Vec<Vec<f32>>, Error>;
}

impl Teacher for Decoder {
    fn positions(&self) -> usize {
        self.config().max_position_embeddings
    }

    fn score(&self, pairs: &[(&[u32], &[u32])], temperature: f64) -> Result<Vec<Vec<f32>>, Error> {
        Ok(score(self, pairs, temperature, SEQUENCES)?)
    }
}

/// What a run of on-policy distillation is told.
#[derive(Clone, Copy, Debug)]
pub struct OnPolicyArgs<'a> {
    /// Who judges the tokens.
    pub teacher: &'a dyn Teacher,
    /// How the student samples.
    pub groups: GroupArgs<'a>,
    /// A completion draws from what is derived of it by (step, problem, sample).
    pub seed: Seed,
    /// Optimizer, batch and steps.
    pub config: &'a supervised::Config,
    /// What sampler and trainer may differ by, in nats per token, before three such steps in a row end the run;
    /// [`Logprobs::mismatch_limit`](ruminate_rollout::Logprobs::mismatch_limit) without it.
    pub max_mismatch_kl: Option<f64>,
}

/// Trains `state` on its own completions to `config.max_steps`, or until the observer is interrupted.
///
/// `engine` samples; it gets the student's weights at every step. `problems` gives the problem of an index, always the same
/// one; a step takes the `batch_size / num_samples` after those of the step before. Verdicts of `score` are reported, and teach nothing.
///
/// # Errors
/// What [`validate`] refuses; a problem without a prompt or too long; a mismatch that raises the alarm; those of
/// [`supervised::train`].
pub fn train(
    state: State,
    engine: &mut dyn Engine,
    problems: &mut dyn FnMut(u64) -> Result<Problem, SourceError>,
    score: &dyn Score,
    args: &OnPolicyArgs,
    observer: &mut dyn Observer,
) -> Result<State, Error> {
    let OnPolicyArgs { groups: setup, config, max_mismatch_kl, .. } = args;
    validate(&setup.sampling, setup.count, config)?;
    if !setup.stop.bad_words().is_empty() {
        return Err(Error::NotThePolicy { key: "bad_words" });
    }
    let temperature = setup.sampling.temperature;
    let logprobs = engine.logprobs().beside(state.policy.compute_dtype());
    let mut alarm = MismatchAlarm::new(max_mismatch_kl.unwrap_or_else(|| logprobs.mismatch_limit()));
    let mut batches = |state: &State, indices: Range<u64>, observer: &mut dyn Observer| {
        let first = indices.start / setup.count as u64;
        let count = (indices.end - indices.start) / setup.count as u64;
        let asked: Vec<Problem> = (first..first + count)
            .map(|index| problems(index).map_err(|source| Error::Problem { index, source }))
            .collect::<Result<_, _>>()?;
        let made = batch(state, engine, first, &asked, score, args, observer);
        if matches!(made, Err(Error::Teacher(_))) && state.step > 0 {
            observer.save(state)?; // it comes back, and the run goes on from here
        }
        made
    };
    let loss = |policy: &Decoder, hidden: Tensor<2>, packed: &Packed, items: &[&Judged]| {
        on_policy_loss(policy, hidden, packed, items, temperature)
    };
    let mut check =
        |step: usize, metrics: &Metrics| Ok(alarm.check(step, metrics.get(MISMATCH_KL).unwrap_or_default())?);
    supervised::train_with_loss(state, &mut batches, &loss, &mut check, config, &Alone, observer)
}

/// Checks what can be checked before anything is computed.
///
/// # Errors
/// A sampling that is not the student's own distribution (greedy, cut, or penalised): its tokens would say nothing
/// about the KL; a batch that is no whole number of problems.
pub fn validate(
    sampling: &SamplingParams,
    num_samples: usize,
    config: &supervised::Config,
) -> Result<(), Error> {
    sampling.validate()?;
    config.validate()?;
    let key = match (sampling.temperature, sampling.top_p, sampling.top_k) {
        (0.0, _, _) => Some("temperature"),
        (_, top_p, _) if top_p < 1.0 => Some("top_p"),
        (_, _, 1..) => Some("top_k"),
        _ if sampling.min_p > 0.0 => Some("min_p"),
        _ if sampling.repetition_penalty != 1.0 => Some("repetition_penalty"),
        _ if sampling.presence_penalty != 0.0 => Some("presence_penalty"),
        _ if sampling.frequency_penalty != 0.0 => Some("frequency_penalty"),
        _ => None,
    };
    if let Some(key) = key {
        return Err(Error::NotThePolicy { key });
    }
    if !config.batch_size.is_multiple_of(num_samples) {
        return Err(Error::UnevenBatch { batch_size: config.batch_size, num_samples });
    }
    Ok(())
}

/// A step's completions, each token judged by the teacher.
fn batch(
    state: &State,
    engine: &mut dyn Engine,
    first: u64,
    asked: &[Problem],
    judge: &dyn Score,
    setup: &OnPolicyArgs,
    observer: &mut dyn Observer,
) -> Result<Batch<Judged>, Error> {
    let OnPolicyArgs { teacher, groups: args, seed, .. } = *setup;
    let sampling = args.sampling;
    let prompts: Vec<&[u32]> = asked.iter().map(|problem| problem.prompt_ids.as_slice()).collect();
    let positions = teacher.positions().min(state.policy.positions());
    crate::sampling::check_prompts(&prompts, sampling, positions)?;
    let seed = seed.child("rollout").index(state.step as u64);
    let seed_of = |problem: usize| -> Seed { seed.index(first + problem as u64) };
    engine.load_weights(&state.policy.valid(), state.step as u64)?;
    let completions = generate_grouped(engine, &prompts, args, seed_of, || ControlFlow::Continue(()))?;
    engine.unload_weights();

    let written: Vec<(&Task, &[Completion])> =
        asked.iter().zip(&completions).map(|(problem, group)| (&problem.task, group.as_slice())).collect();
    let verdicts = judge.score(&written);
    let pairs: Vec<(&[u32], &[u32])> =
        completions.iter().flatten().map(|c| (c.prompt_ids.as_slice(), c.ids.as_slice())).collect();
    let scores = teacher.score(&pairs, sampling.temperature)?;
    let items: Vec<Judged> = completions
        .iter()
        .flatten()
        .zip(&scores)
        .map(|(completion, teacher)| judged(completion, teacher))
        .collect();

    let groups: Vec<Group> = completions
        .into_iter()
        .zip(verdicts)
        .zip(first..)
        .map(|((completions, verdicts), task)| Group { task: task as usize, completions, verdicts })
        .collect();
    let means: Vec<f64> =
        items.iter().map(|item| mean(item.advantages.iter().copied().map(f64::from))).collect();
    let advantages: Vec<Vec<f64>> = means.chunks(args.count).map(<[f64]>::to_vec).collect();
    observer.groups(state.step + 1, &groups, &advantages);
    Ok(Batch { items, metrics: metrics(&groups) })
}

/// A completion with its tokens' advantages; a token that either has no finite log-probability for teaches nothing.
fn judged(completion: &Completion, teacher: &[f32]) -> Judged {
    let advantage = |(old, teacher): (&f32, &f32)| {
        let difference = teacher - old;
        if difference.is_finite() { difference } else { 0.0 }
    };
    Judged {
        sample: Sample::completion_only(&completion.prompt_ids, &completion.ids),
        old: completion.logprobs.iter().map(|old| if old.is_finite() { *old } else { 0.0 }).collect(),
        advantages: completion.logprobs.iter().zip(teacher).map(advantage).collect(),
    }
}

fn metrics(groups: &[Group]) -> Metrics {
    let completions = || groups.iter().flat_map(|group| &group.completions);
    let scored = groups.iter().flat_map(|group| &group.verdicts).filter(|verdict| verdict.is_scored());
    let mut metrics = Metrics::default();
    metrics.set("reward", mean(scored.map(|verdict| verdict.score)));
    metrics.set("completions/mean_length", mean(completions().map(|completion| completion.ids.len() as f64)));
    let clipped =
        |completion: &Completion| f64::from(u8::from(completion.finish_reason == FinishReason::Length));
    metrics.set("completions/clipped_ratio", mean(completions().map(clipped)));
    metrics
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

/// The loss of a microbatch, and of the same tokens the measures `reverse_kl` (the sampled estimate, in nats a token, with
/// which the loss begins), `entropy` (of the sampled tokens) and `sampling/mismatch_kl` (sampler and trainer, k3).
pub fn on_policy_loss(
    policy: &Decoder,
    hidden: Tensor<2>,
    packed: &Packed,
    items: &[&Judged],
    temperature: f64,
) -> TokenLoss {
    let over = |values: &dyn Fn(&Judged) -> Vec<f32>| -> Vec<f32> {
        packed.over_loss_places(&items.iter().map(|item| values(item)).collect::<Vec<_>>())
    };
    let old = over(&|item| item.old.clone());
    let advantages = over(&|item| item.advantages.clone());
    let logprobs = token_logprobs(policy, hidden, packed, temperature).logprobs; // [N]
    let now = floats(logprobs.clone(), Place::Logprobs);
    let mismatch = |(now, old): (&f32, &f32)| {
        let difference = f64::from(now - old);
        difference.exp() - difference - 1.0
    };
    let sum_of = |values: &[f32]| values.iter().copied().map(f64::from).sum::<f64>();
    let measures = vec![
        ("reverse_kl", -sum_of(&advantages)),
        ("entropy", -sum_of(&old)),
        (MISMATCH_KL, now.iter().zip(&old).map(mismatch).sum()),
    ];
    TokenLoss { sum: policy_gradient(logprobs, &old, &advantages), measures }
}

/// `- sum_t min(exp(logp_t - old_t), 3) A_t`
///
/// # Shapes
/// - all `[N]`, result: `[1]`
pub fn policy_gradient(logprobs: Tensor<1>, old: &[f32], advantages: &[f32]) -> Tensor<1> {
    let constant = |values: &[f32]| {
        Tensor::<1>::from_data(TensorData::new(values.to_vec(), [values.len()]), &logprobs.device())
    };
    let (old, advantages) = (constant(old), constant(advantages));
    let ratio = (logprobs - old).exp().clamp_max(RATIO_CAP);
    (ratio * advantages).sum().neg()
}
