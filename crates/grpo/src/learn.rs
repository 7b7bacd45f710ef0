//! The second half of a step: scored groups become optimizer updates.

use crate::loss::{Loss, Reduction, Tally, Tokens, loss, weight};
use crate::{Error, LossType, RouterReplay, Setup};
use ruminate_data::{Completion, FinishReason, Sample};
use ruminate_model::{Decoder, Routes};
use ruminate_train::logprobs::token_logprobs;
use ruminate_train::packing::{Packed, Sequence, microbatches, one_a_row};
use ruminate_train::{ExpertLoad, State, StepOutcome, accumulate};

/// A completion with everything that learning from it takes.
#[derive(Clone, Debug)]
pub(crate) struct Example<'a> {
    pub(crate) completion: &'a Completion,
    pub(crate) advantage: f64,
    /// Log-probabilities under the reference policy; empty without one.
    pub(crate) reference: Vec<f32>,
    /// Whether the sample may train: scored, and not masked for its truncation.
    pub(crate) trains: bool,
}

/// What the updates of a step did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) loss: f64,
    pub(crate) grad_norm: f64,
    pub(crate) learning_rate: f64,
    pub(crate) updates: usize,
    /// Updates that did not happen, because their loss or gradient was not finite.
    pub(crate) skipped: usize,
    pub(crate) tally: Tally,
    pub(crate) load: ExpertLoad,
}

/// Whether a truncated completion is left out.
pub(crate) fn is_masked(completion: &Completion, setup: &Setup) -> bool {
    setup.config.mask_truncated_completions && completion.finish_reason == FinishReason::Length
}

/// One optimizer update on a minibatch: its gradients, microbatch by microbatch, and the step.
pub(crate) fn update(
    mut state: State,
    minibatch: &[&Example],
    learning_rate: f64,
    setup: &Setup,
    report: &mut Report,
) -> Result<State, Error> {
    let config = setup.config;
    let training: Vec<&Example> = minibatch.iter().copied().filter(|example| example.trains).collect();
    let tokens = training.iter().map(|example| example.completion.ids.len()).sum();
    // Where nothing can move the policy, nothing is computed; the reduction still counts it. (bnpo's counts what
    // lies in the microbatch, so there all of it has to.)
    let needed = |example: &&Example| {
        example.advantage != 0.0 || config.beta > 0.0 || config.loss_type == LossType::Bnpo
    };
    let moving: Vec<&Example> = training.iter().copied().filter(needed).collect();
    report.learning_rate = learning_rate;
    if moving.is_empty() {
        return Ok(state);
    }
    let lengths: Vec<usize> = moving
        .iter()
        .map(|example| example.completion.prompt_ids.len() + example.completion.ids.len())
        .collect();
    let parts: Vec<Vec<&Example>> = microbatches(&lengths, config.micro_batch_size)
        .iter()
        .map(|members| members.iter().map(|&index| moving[index]).collect())
        .collect();
    let (gradients, losses) =
        accumulate(&state.policy, &parts, setup.train.router, setup.train.workers(), |policy, members| {
            let reduction = Reduction {
                sequences: minibatch.len(),
                tokens,
                local_tokens: members.iter().map(|example| example.completion.ids.len()).sum(),
                microbatches: parts.len(),
                max_completion_length: setup.sampling.max_new_tokens,
            };
            let (loss, load) = microbatch_loss(policy, members, &reduction, setup);
            Some((loss.value, (loss.tally, load)))
        });
    for (tally, load) in losses {
        report.tally.add(tally);
        report.load.merge(&load);
    }
    let (policy, outcome) = state.optimizer.step(state.policy, gradients, learning_rate);
    state.policy = policy;
    report.loss += outcome.loss;
    report.grad_norm += outcome.grad_norm;
    report.updates += 1;
    report.skipped += usize::from(outcome.outcome != StepOutcome::Applied);
    outcome.check(state.step + 1, setup.train)?;
    Ok(state)
}

fn microbatch_loss(
    policy: &Decoder,
    examples: &[&Example],
    reduction: &Reduction,
    setup: &Setup,
) -> (Loss, ExpertLoad) {
    let samples: Vec<Sample> = examples
        .iter()
        .map(|example| Sample::completion_only(&example.completion.prompt_ids, &example.completion.ids))
        .collect();
    let sequences: Vec<Sequence> = samples.iter().map(Sequence::from).collect();
    let packed = one_a_row(&sequences);
    let replayed = replay(examples, &packed, policy, setup.config.router_replay);
    let routes = replayed.as_deref().map_or(Routes::Choose, Routes::Replay);
    let output = policy.forward(&packed.batch, routes);
    let mut load = ExpertLoad::default();
    load.add(&output.routing, &packed.batch);
    let logprobs = token_logprobs(policy, output.hidden, &packed, setup.sampling.temperature).logprobs;
    (loss(logprobs, &tokens(examples, &packed, reduction, setup), &setup.loss_config()), load)
}

fn tokens(examples: &[&Example], packed: &Packed, reduction: &Reduction, setup: &Setup) -> Tokens {
    let over = |values: &dyn Fn(&Example) -> Vec<f32>| {
        packed.over_loss_places(&examples.iter().map(|example| values(example)).collect::<Vec<_>>())
    };
    let length = |example: &Example| example.completion.ids.len();
    let config = setup.config;
    Tokens {
        old: over(&|example| example.completion.logprobs.clone()),
        reference: if config.beta > 0.0 { over(&|example| example.reference.clone()) } else { Vec::new() },
        advantages: over(&|example| vec![example.advantage as f32; length(example)]),
        // A token whose sampler log-probability is missing has no ratio and is left out.
        weights: over(&|example| {
            let weight = weight(config.loss_type, length(example), reduction) as f32;
            example.completion.logprobs.iter().map(|old| if old.is_finite() { weight } else { 0.0 }).collect()
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

/// The sampler's experts laid out over the packed rows, a vector a MoE layer; None where the router decides.
fn replay(
    examples: &[&Example],
    packed: &Packed,
    policy: &Decoder,
    mode: RouterReplay,
) -> Option<Vec<Vec<u16>>> {
    let moe = policy.config().moe?;
    if mode == RouterReplay::Off {
        return None;
    }
    let (chosen, layers) = (moe.num_experts_per_tok, policy.config().moe_layers());
    let [_, length] = packed.batch.shape;
    // Places that the sampler never fed (padding, last tokens) take the first experts; no loss depends on them.
    let first: Vec<u16> = (0..chosen as u16).collect();
    let mut replayed = vec![first.repeat(packed.batch.places()); layers];
    for (row, example) in examples.iter().enumerate() {
        let routing = example.completion.routing.as_ref()?;
        for (pair, experts) in routing.experts.chunks_exact(chosen).enumerate() {
            let place = row * length + pair / layers;
            replayed[pair % layers][place * chosen..(place + 1) * chosen].copy_from_slice(experts);
        }
    }
    Some(replayed)
}
