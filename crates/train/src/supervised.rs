//! The supervised trainer: pretraining, supervised fine-tuning and the forms of distillation differ in their samples, loss
//! masks and the loss of a token. It sees token ids; where samples come from is the caller's closure.

// B rows, T places a row, N places with loss

mod config;
mod validation;

use crate::config::RouterTraining;
use crate::expert_load::ExpertLoad;
use crate::gradients::sum_of;
use crate::lesson::{Batch, Batches, Check, Loss, TokenLoss, next_token};
use crate::logprobs::at_places;
use crate::memory::{self, MemoryPlan, Shape, Trained};
use crate::metrics::Metrics;
use crate::microbatches::accumulate;
use crate::observer::Observer;
use crate::optim::StepOutcome;
use crate::packing::{Packed, Sequence, microbatches, pack};
use crate::schedule::Schedule;
use crate::{Alone, Error, Objective, Ranks, State, TrainLoop};
use burn::tensor::Tensor;
use ruminate_data::{Sample, SourceError};
use ruminate_model::{self as model, Decoder, LayerRouting, Routes, balance_loss};
use std::borrow::Borrow;
use std::ops::Range;
use std::time::Instant;

pub use config::Config;
pub use validation::{ValidationLoss, validation_loss};

/// The memory of a run on sequences of about `length` tokens each.
pub fn memory_plan(
    model: &ruminate_model::Config,
    trained: Trained,
    length: usize,
    config: &Config,
) -> MemoryPlan {
    let sequences = config.batch_size.div_ceil(config.gradient_accumulation_steps);
    let tokens = sequences * length.min(config.row_length);
    let shape = Shape { tokens, loss_tokens: tokens, microbatches: config.gradient_accumulation_steps };
    memory::memory_plan(model, trained, shape, &config.train)
}

/// Trains `state` on the next tokens of samples to `max_steps`, or until the observer is interrupted: then the returned
/// step is smaller.
///
/// `source` gives the sample of an index, always the same one; step s takes the `batch_size` after the cursor.
///
/// # Errors
/// The configuration, a sample too long, a step without loss, numbers that stay non-finite, or a checkpoint that
/// the observer could not save.
pub fn train(
    state: State,
    source: &mut dyn FnMut(u64) -> Result<Sample, SourceError>,
    config: &Config,
    observer: &mut dyn Observer,
) -> Result<State, Error> {
    let mut batches = |_: &State, indices: Range<u64>, _: &mut dyn Observer| {
        let sample = |index| source(index).map_err(|source| Error::Sample { index, source });
        Ok(Batch::from(indices.map(sample).collect::<Result<Vec<Sample>, Error>>()?))
    };
    train_with_loss::<_, Error>(
        state,
        &mut batches,
        &next_token,
        &mut |_, _| Ok(()),
        config,
        &Alone,
        observer,
    )
}

/// The same by any loss, on batches that may depend on the policy, as long as `check` lets it, by one process or several.
///
/// # Errors
/// As [`train`], and those of `batches` and `check`.
pub fn train_with_loss<I: Borrow<Sample> + Sync, E: From<Error>>(
    state: State,
    batches: &mut Batches<I, E>,
    loss: &Loss<I>,
    check: &mut Check<E>,
    config: &Config,
    ranks: &dyn Ranks,
    observer: &mut dyn Observer,
) -> Result<State, E> {
    config.validate()?;
    let schedule = Schedule::new(&config.train, config.max_steps);
    let Config { max_steps, eval_steps, .. } = *config;
    let steps = TrainLoop { max_steps, eval_steps, save_steps: config.train.save_steps };
    steps.run(state, observer, &mut |state, observer| {
        let started = Instant::now();
        let batch = batches(&state, taken(&state, config), observer)?;
        let (state, mut metrics) = step(state, batch, loss, config, schedule, ranks, observer)?;
        metrics.set("step_time_s", started.elapsed().as_secs_f64());
        observer.step(state.step, &metrics);
        observer.updated(state.step, &state.policy);
        check(state.step, &metrics)?;
        Ok(state)
    })
}

/// The samples of the source that a step takes.
fn taken(state: &State, config: &Config) -> Range<u64> {
    state.cursor..state.cursor + config.batch_size as u64
}

fn step<I: Borrow<Sample> + Sync>(
    mut state: State,
    batch: Batch<I>,
    loss: &Loss<I>,
    config: &Config,
    schedule: Schedule,
    ranks: &dyn Ranks,
    observer: &mut dyn Observer,
) -> Result<(State, Metrics), Error> {
    let (number, indices) = (state.step + 1, taken(&state, config));
    let Batch { items, metrics: measured } = batch;
    let microbatches = split(&items, config)?;
    let totals = Totals::of(&microbatches);
    if totals.loss_tokens == 0 {
        return Err(Error::NothingToLearn { step: number, samples: indices });
    }

    let (gradients, parts) = accumulate(
        &state.policy,
        &microbatches,
        config.train.router,
        config.train.workers(),
        |policy, microbatch| microbatch_loss(policy, microbatch, loss, &totals, config),
    );
    let gradients = ranks.sum(gradients)?;
    let Measured { main, measures, second_token, load } = Measured::of(parts);
    let learning_rate = schedule.learning_rate(state.step);
    let params = config.train.step_params(learning_rate);
    let (policy, report) = state.optimizer.step(state.policy, gradients, params);
    state.policy = policy;
    match report.outcome {
        StepOutcome::Applied if config.train.router == RouterTraining::Update => {
            let (rate, bound) = (config.train.router_bias_update_rate, config.train.router_bias_bound);
            state.policy = state.policy.with_balanced_routers(&load.layers, rate as f32, bound as f32);
        }
        StepOutcome::Applied => {}
        StepOutcome::Skipped(_) => {
            let (loss, norm) = (report.loss, report.grad_norm);
            observer.warn(&format!(
                "step {number} skipped: loss {loss}, gradient norm {norm}; samples {indices:?} of the source"
            ));
            report.check(number, &config.train)?;
        }
    }
    state.step = number;
    state.cursor = indices.end;
    state.num_tokens += totals.tokens as u64;

    let mut metrics = Metrics::default();
    metrics.set("loss", main);
    for (name, mean) in measures {
        metrics.set(name, mean);
    }
    if let Some(second) = second_token {
        metrics.set("mtp_loss", second);
    }
    for (name, value) in measured.iter() {
        metrics.set(name, value);
    }
    metrics.set("grad_norm", report.grad_norm);
    metrics.set("learning_rate", learning_rate);
    metrics.set("num_tokens", state.num_tokens as f64);
    if let Some(ratio) = load.max_over_mean() {
        metrics.set("moe/load_max", ratio);
        observer.expert_load(number, &load);
    }
    Ok((state, metrics))
}

/// Rows, and the items that are their sequences, in that order.
struct Microbatch<'a, I> {
    packed: Packed,
    items: Vec<&'a I>,
}

/// Sequences of similar length share a microbatch, and within it rows.
fn split<'a, I: Borrow<Sample>>(items: &'a [I], config: &Config) -> Result<Vec<Microbatch<'a, I>>, Error> {
    let lengths: Vec<usize> = items.iter().map(|item| item.borrow().ids.len()).collect();
    let size = items.len().div_ceil(config.gradient_accumulation_steps);
    microbatches(&lengths, size)
        .iter()
        .map(|members| {
            let items: Vec<&I> = members.iter().map(|&index| &items[index]).collect();
            let sequences: Vec<Sequence> = items.iter().map(|&item| Sequence::from(item.borrow())).collect();
            Ok(Microbatch { packed: pack(&sequences, config.row_length)?, items })
        })
        .collect()
}

/// What means are taken over: all microbatches of the step, so that splitting it changes nothing.
struct Totals {
    tokens: usize,
    loss_tokens: usize,
    second_tokens: usize,
    sequences: usize,
}

impl Totals {
    fn of<I>(microbatches: &[Microbatch<I>]) -> Self {
        let sum = |count: fn(&Packed) -> usize| -> usize {
            microbatches.iter().map(|microbatch| count(&microbatch.packed)).sum()
        };
        Self {
            tokens: sum(Packed::tokens),
            loss_tokens: sum(Packed::loss_tokens),
            second_tokens: sum(|packed| packed.second_targets().0.len()),
            sequences: sum(Packed::sequences),
        }
    }
}

/// A microbatch's share of what a step measures. What is on the device is read once for all of them.
struct Part {
    /// `[1]`, of the lesson's loss.
    main: Tensor<1>,
    measures: Vec<(&'static str, f64)>,
    /// `[1]`
    second_token: Option<Tensor<1>>,
    load: ExpertLoad,
}

/// What a step measures.
#[derive(Default)]
struct Measured {
    /// The lesson's loss.
    main: f64,
    measures: Vec<(&'static str, f64)>,
    second_token: Option<f64>,
    load: ExpertLoad,
}

impl Measured {
    fn of(parts: Vec<Part>) -> Self {
        let main: Vec<Tensor<1>> = parts.iter().map(|part| part.main.clone()).collect();
        let second: Vec<Tensor<1>> = parts.iter().filter_map(|part| part.second_token.clone()).collect();
        let mut sum = Self {
            main: sum_of(&main),
            second_token: (!second.is_empty()).then(|| sum_of(&second)),
            ..Self::default()
        };
        for part in parts {
            for (name, value) in part.measures {
                match sum.measures.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, total)) => *total += value,
                    None => sum.measures.push((name, value)),
                }
            }
            sum.load.merge(&part.load);
        }
        sum
    }
}

/// A microbatch's share of the step's loss: the mean over its tokens, plus the weighted auxiliary losses. None where
/// it has nothing to learn.
fn microbatch_loss<I>(
    policy: &Decoder,
    Microbatch { packed, items }: &Microbatch<I>,
    loss: &Loss<I>,
    totals: &Totals,
    config: &Config,
) -> Option<(Objective, Part)> {
    if packed.loss_tokens() == 0 {
        return None;
    }
    let (output, checkpoints) = config.train.forward(policy, &packed.batch, Routes::Choose);
    let mut routing = output.routing;
    let count = totals.loss_tokens as f64;
    let TokenLoss { sum, measures } = loss(policy, output.hidden.clone(), packed, items);
    let mut loss = sum.div_scalar(count);
    let measures = measures.into_iter().map(|(name, sum)| (name, sum / count)).collect();
    let mut part =
        Part { main: loss.clone().inner(), measures, second_token: None, load: ExpertLoad::default() };

    let (places, targets) = packed.second_targets();
    if config.mtp_loss_weight > 0.0
        && !places.is_empty()
        && let Some(second) = policy.predict_second(&packed.batch, output.hidden)
    {
        let logprobs = at_places(policy, second.hidden, &places, &targets, 1.0).logprobs;
        let mean = logprobs.sum().div_scalar(-(totals.second_tokens as f64));
        part.second_token = Some(mean.clone().inner());
        loss = loss + mean.mul_scalar(config.mtp_loss_weight);
        routing.extend(second.routing);
    }
    // The multi-token prediction module's layer, where it ran, comes last: its router is balanced like the others.
    part.load.add(&routing, &packed.batch);
    if let Some(balance) = balance(&routing, &packed.batch, config) {
        let share = packed.sequences() as f64 / totals.sequences as f64;
        loss = loss + balance.mul_scalar(share);
    }
    Some((Objective { loss, checkpoints }, part))
}

/// The weighted sequence-wise balance loss of all MoE layers.
fn balance(routing: &[LayerRouting], batch: &model::Batch, config: &Config) -> Option<Tensor<1>> {
    let alpha = config.train.router_balance_alpha;
    if alpha == 0.0 || config.train.router == RouterTraining::Freeze {
        return None;
    }
    let sum = routing.iter().map(|layer| balance_loss(layer, batch)).reduce(|sum, layer| sum + layer)?;
    Some(sum.mul_scalar(alpha))
}
