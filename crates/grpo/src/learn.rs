//! The second half of a step: scored groups become optimizer updates.

use crate::loss::{Counts, Loss, LossStats, Tokens};
use crate::mismatch::{Mismatch, PROBED, probe};
use crate::{Error, PolicyLoss, TrainerArgs};
use burn::module::Module;
use ruminate_data::{Completion, FinishReason, Group};
use ruminate_model::read::{Place, floats, scalar};
use ruminate_model::{Decoder, LayerRouting, Routes};
use ruminate_train::logprobs::token_entropies;
use ruminate_train::packing::{Continuation, Packed, ROW_LENGTH, completion_microbatches, pack_completions};
use ruminate_train::{ExpertLoad, Objective, Ranks, State, StepOutcome, accumulate, drawn_logprobs};
use std::time::Instant;

/// A completion with everything that learning from it takes.
#[derive(Clone, Debug)]
pub(crate) struct Example<'a> {
    pub(crate) completion: &'a Completion,
    pub(crate) advantage: f64,
    /// Log-probabilities of the trained tokens under the policy before the step; empty unless the loss's correction asks for them.
    pub(crate) old: Vec<f32>,
    /// Log-probabilities under the reference policy; empty without one.
    pub(crate) reference: Vec<f32>,
    /// Whether the sample may train: scored, and not masked for its truncation.
    pub(crate) trains: bool,
}

/// By what a step learns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) loss: &'a PolicyLoss,
    /// Whether the sampler's experts are replayed.
    pub(crate) replays: bool,
}

/// What the updates of a step did.
#[derive(Clone, Debug, Default)]
pub(crate) struct UpdateStats {
    pub(crate) loss: f64,
    pub(crate) grad_norm: f64,
    pub(crate) learning_rate: f64,
    pub(crate) updates: usize,
    /// Updates that did not happen, because their loss or gradient was not finite.
    pub(crate) skipped: usize,
    pub(crate) tally: LossStats,
    pub(crate) load: ExpertLoad,
    /// Measured before the step's first update.
    pub(crate) mismatch: Option<Mismatch>,
    pub(crate) times: LearnTimes,
}

impl UpdateStats {
    /// Sampler and trainer compared in a pass of its own, on a sample of the step.
    pub(crate) fn probe(&mut self, policy: &Decoder, groups: &[Group], setup: &TrainerArgs) -> Mismatch {
        let started = Instant::now();
        let mismatch = probe(&policy.valid(), groups, PROBED, &setup.sampling, setup.stop);
        self.times.mismatch += started.elapsed().as_secs_f64();
        mismatch
    }
}

/// Seconds of what is not sampling, as the clock on the wall counts them. Where a device computes later than it is asked
/// to, they say when the work was handed over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LearnTimes {
    /// Comparing sampler and trainer, where that takes a pass of its own.
    pub(crate) mismatch: f64,
    /// From tokens to the loss.
    pub(crate) forward: f64,
    /// From the loss to the summed gradients.
    pub(crate) backward: f64,
    /// Norm, clipping, the optimizer's rule.
    pub(crate) optimizer: f64,
}

/// Whether a truncated completion is left out.
pub(crate) fn is_masked(completion: &Completion, setup: &TrainerArgs) -> bool {
    setup.config.mask_truncated_completions && completion.finish_reason == FinishReason::Length
}

/// One optimizer update on a minibatch: its gradients, microbatch by microbatch, and the step, at the rate that `report`
/// has.
///
/// Before the first update of a step the policy is the one that sampled `groups`. If enough of the minibatch is computed
/// as the sampler did, that forward pass is what sampler and trainer are compared by; else a sample of the step is
/// computed apart.
pub(crate) fn update(
    mut state: State,
    groups: &[Group],
    minibatch: &[&Example],
    setup: &TrainerArgs,
    rules: Rules,
    ranks: &dyn Ranks,
    report: &mut UpdateStats,
) -> Result<State, Error> {
    let (config, loss) = (setup.config, rules.loss);
    let training: Vec<&Example> = minibatch.iter().copied().filter(|example| example.trains).collect();
    let tokens = training.iter().map(|example| example.completion.num_trained()).sum();
    // Where nothing can move the policy, nothing is computed; the reduction still counts it. (One that counts what
    // lies in the microbatch needs all of it there.)
    let beta = loss.beta_in_loss(config.beta);
    let entropy_weight = config.entropy_weight(state.entropy_control);
    let needed = |example: &&Example| {
        let moves = beta > 0.0 || entropy_weight.is_some() || !loss.skips_zero_advantages();
        example.advantage != 0.0 || moves
    };
    let moving: Vec<&Example> = training.iter().copied().filter(needed).collect();
    if moving.is_empty() {
        return Ok(state);
    }
    let completions: Vec<&Completion> = moving.iter().map(|example| example.completion).collect();
    let parts: Vec<&[&Example]> = completion_microbatches(
        &Continuation::of_all(&completions),
        config.micro_batch_tokens,
        config.micro_batch_size,
    )
    .into_iter()
    .map(|members| &moving[members])
    .collect();
    let replays = rules.replays && state.policy.config().moe.is_some();
    let compares = report.mismatch.is_none() && moving.len() >= PROBED && !replays;
    if report.mismatch.is_none() && !compares {
        report.mismatch = Some(report.probe(&state.policy, groups, setup));
    }
    let started = Instant::now();
    let workers = setup.train.workers();
    let (gradients, losses) =
        accumulate(&state.policy, &parts, setup.train.router, workers, |policy, members| {
            let started = Instant::now();
            let counts = Counts {
                sequences: minibatch.len(),
                tokens,
                microbatch_tokens: members.iter().map(|example| example.completion.num_trained()).sum(),
                microbatches: parts.len(),
                max_completion_length: setup.sampling.max_new_tokens,
            };
            let Computed { objective, tally, packed, logprobs, routing } =
                microbatch_loss(policy, members, &counts, setup, rules, entropy_weight);
            let mut load = ExpertLoad::default();
            load.add(&routing, &packed.batch);
            let completions: Vec<&Completion> = members.iter().map(|example| example.completion).collect();
            let mismatch = compares.then(|| Mismatch::of(&completions, &packed, &logprobs, &routing));
            Some((objective, (tally, load, mismatch, started.elapsed().as_secs_f64())))
        });
    let gradients = ranks.sum(gradients)?;
    let accumulated = started.elapsed().as_secs_f64();
    let mut forward = 0.0;
    let mut entropy = 0.0;
    for (tally, load, mismatch, seconds) in losses {
        report.tally.add(tally);
        entropy += tally.entropy;
        report.load.merge(&load);
        if let Some(mismatch) = mismatch {
            report.mismatch.get_or_insert_default().add(&mismatch);
        }
        forward += seconds / workers.get().min(parts.len()) as f64;
    }
    let params = setup.train.step_params(report.learning_rate);
    let (policy, outcome) = state.optimizer.step(state.policy, gradients, params);
    state.policy = policy;
    if entropy_weight.is_some() {
        let mean = entropy / tokens.max(1) as f64;
        state.entropy_control = config.next_entropy_control(state.entropy_control, mean);
    }
    report.times.forward += forward;
    report.times.backward += accumulated - forward;
    report.times.optimizer += started.elapsed().as_secs_f64() - accumulated;
    report.loss += outcome.loss;
    report.grad_norm += outcome.grad_norm;
    report.updates += 1;
    report.skipped += usize::from(outcome.outcome != StepOutcome::Applied);
    outcome.check(state.step + 1, setup.train)?;
    Ok(state)
}

/// What a microbatch's forward pass gives.
struct Computed {
    objective: Objective,
    tally: LossStats,
    packed: Packed,
    /// `[N]`, over the loss tokens.
    logprobs: Vec<f32>,
    routing: Vec<LayerRouting>,
}

fn microbatch_loss(
    policy: &Decoder,
    examples: &[&Example],
    counts: &Counts,
    setup: &TrainerArgs,
    rules: Rules,
    entropy_weight: Option<f64>,
) -> Computed {
    let completions: Vec<&Completion> = examples.iter().map(|example| example.completion).collect();
    let packed = pack_completions(&Continuation::of_all(&completions), ROW_LENGTH);
    let replayed = if rules.replays { replay(examples, &packed, policy) } else { None };
    let routes = replayed.as_deref().map_or(Routes::Choose, Routes::Replay);
    let (output, checkpoints) = setup.train.forward(policy, &packed.batch, routes);
    let (temperature, loss) = (setup.sampling.temperature, rules.loss);
    // Where the bonus has a weight its gradient is wanted, which the log-probabilities' kernel does not have.
    let tracked = entropy_weight
        .filter(|&weight| weight != 0.0)
        .map(|_| token_entropies(policy, output.hidden.clone(), &packed, temperature));
    let (sampling, stop) = (&setup.sampling, setup.stop);
    let said = drawn_logprobs(policy, output.hidden, &packed, &completions, sampling, stop);
    let mut tokens = tokens(examples, &packed, counts, setup, loss);
    if loss.top_entropy_quantile < 1.0 {
        tokens.entropy = floats(said.entropy.clone(), Place::Logprobs);
    }
    let Loss { mut value, logprobs, mut tally } = loss.loss(said.logprobs, &tokens, setup.config.beta);
    if let Some(weight) = entropy_weight {
        let sum = tracked.unwrap_or(said.entropy).sum();
        tally.entropy = scalar(sum.clone().detach(), Place::Logprobs);
        if weight != 0.0 {
            value = value - sum * (weight / counts.tokens.max(1) as f64);
        }
    }
    let objective = Objective { loss: value, checkpoints };
    Computed { objective, tally, packed, logprobs, routing: output.routing }
}

fn tokens(
    examples: &[&Example],
    packed: &Packed,
    counts: &Counts,
    setup: &TrainerArgs,
    loss: &PolicyLoss,
) -> Tokens {
    let over = |values: &dyn Fn(&Example) -> Vec<f32>| {
        packed.over_loss_places(&examples.iter().map(|example| values(example)).collect::<Vec<_>>())
    };
    let length = |example: &Example| example.completion.num_trained();
    let sampler = |example: &Example| example.completion.of_trained(&example.completion.drawn_logprobs());
    let corrects = loss.correction.needs_trainer_logprobs();
    Tokens {
        old: over(&|example| if corrects { example.old.clone() } else { sampler(example) }),
        sampler: if corrects { over(&sampler) } else { Vec::new() },
        entropy: Vec::new(),
        reference: if loss.beta_in_loss(setup.config.beta) > 0.0 {
            over(&|example| example.reference.clone())
        } else {
            Vec::new()
        },
        advantages: over(&|example| vec![example.advantage as f32; length(example)]),
        // A token whose sampler log-probability is missing has no ratio and is left out.
        weights: over(&|example| {
            let weight = loss.reduction.weight(length(example), counts) as f32;
            sampler(example).iter().map(|old| if old.is_finite() { weight } else { 0.0 }).collect()
        }),
        sequence: packed.over_loss_places(
            &examples
                .iter()
                .zip(0_u32..)
                .map(|(example, index)| vec![index; length(example)])
                .collect::<Vec<_>>(),
        ),
    }
}

/// The sampler's experts laid out over the packed rows, a vector a MoE layer; None where there are none.
fn replay(examples: &[&Example], packed: &Packed, policy: &Decoder) -> Option<Vec<Vec<u16>>> {
    let moe = policy.config().moe?;
    let (chosen, layers) = (moe.num_experts_per_tok, policy.config().moe_layers());
    // Places that the sampler never fed (padding, last tokens) take the first experts; no loss depends on them.
    let first: Vec<u16> = (0..chosen as u16).collect();
    let mut replayed = vec![first.repeat(packed.batch.places()); layers];
    for (index, example) in examples.iter().enumerate() {
        let routing = example.completion.routing.as_ref()?;
        for (place, experts) in packed.places_of(index).zip(routing.experts.chunks_exact(chosen * layers)) {
            for (replayed, experts) in replayed.iter_mut().zip(experts.chunks_exact(chosen)) {
                replayed[place * chosen..(place + 1) * chosen].copy_from_slice(experts);
            }
        }
    }
    Some(replayed)
}
