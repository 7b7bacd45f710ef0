//! How much memory a run of GRPO will take: that of its updates, or of its sampling.

use crate::{Error, TrainerArgs};
use ruminate_model::Config as Model;
use ruminate_rollout::{Budget, Dtype, EngineConfig};
use ruminate_train::packing::{Continuation, ROW_LENGTH, completion_microbatches, pack_completions};
use ruminate_train::{MemoryPlan, Shape, Trained, memory_plan as training_plan};
use std::fmt;

/// The plan of a run, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// By what holds it.
    pub memory: MemoryPlan,
    /// Sequences decoded at once.
    pub slots: usize,
    /// Sequences that would be, were there memory for their caches.
    pub wanted: usize,
}

/// What a run asks of its policy besides what its [`TrainerArgs`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// What learns.
    pub trained: Trained,
    /// Tokens of a prompt.
    pub prompt_tokens: usize,
    /// Completions that an evaluation has sampled together.
    pub evaluated: usize,
}

/// The plan of a run that samples with a [`LocalEngine`](ruminate_rollout::LocalEngine) of this configuration. It is an upper bound for completions of equal length: of all lengths that they may have, it takes the
/// one that needs most.
///
/// # Errors
/// The memory for caches does not hold one sequence.
pub fn memory_plan(
    model: &Model,
    demand: Demand,
    engine: &EngineConfig,
    setup: &TrainerArgs,
) -> Result<Plan, Error> {
    let Demand { trained, prompt_tokens, evaluated } = demand;
    let config = setup.config;
    let plans = shapes(prompt_tokens, setup).map(|shape| training_plan(model, trained, shape, setup.train));
    let mut memory = plans.max_by_key(MemoryPlan::peak).unwrap_or_default();
    if config.beta > 0.0 && trained == Trained::Weights {
        // The reference policy.
        memory.weights *= 2;
    }
    let wanted = engine.max_num_seqs.min(config.prompts_per_step * config.num_generations);
    let columns = prompt_tokens + setup.sampling.max_new_tokens;
    let Budget { slots, bytes, .. } = Budget::new(model, engine, wanted, columns)?;
    let of_evaluation = Budget::new(model, engine, evaluated, columns)?;
    let most = bytes.max(of_evaluation.bytes);
    // Prompts enter a cache, and it shrinks, a layer at a time by copying; at other times tokens are drawn.
    let a_layer = most / model.num_hidden_layers as u64;
    memory.caches = most + a_layer.max(logits(model, slots.max(of_evaluation.slots)));
    memory.prepared = prepared(model, engine.dtype);
    Ok(Plan { memory, slots, wanted })
}

/// Microbatches of an update as completions grow: the longest of which one microbatch is made, or as few as there can be, of
/// which one more is made, ..., and those that have all the tokens that they may.
fn shapes(prompt_tokens: usize, setup: &TrainerArgs) -> impl Iterator<Item = Shape> {
    /// Counts of microbatches that are looked at: with one more than one there are sums of gradients, and then nothing new.
    const LOOKED_AT: usize = 2;

    let (config, limit) = (setup.config, setup.sampling.max_new_tokens);
    let groups = config.prompts_per_step.div_ceil(config.num_minibatches);
    let completions = groups * config.num_generations;
    let (most_tokens, most_sequences) = (config.micro_batch_tokens.max(1), config.micro_batch_size.max(1));
    let fewest = completions.div_ceil(most_sequences).max(1);
    let prompts: Vec<Vec<u32>> = (0..groups as u32).map(|group| vec![group; prompt_tokens.max(1)]).collect();
    let longest = move |count: usize| {
        let room = (count * most_tokens).saturating_sub(groups * prompt_tokens);
        (room / completions.max(1)).clamp(1, limit.max(1))
    };
    let lengths = (fewest..fewest + LOOKED_AT).map(longest).chain([limit.max(1)]);
    lengths.filter_map(move |length| {
        let completion = vec![0; length];
        let siblings = |prompt| {
            vec![Continuation { prompt, completion: &completion, trained: None }; config.num_generations]
        };
        let all: Vec<Continuation> = prompts.iter().flat_map(|prompt| siblings(prompt.as_slice())).collect();
        let parts = completion_microbatches(&all, most_tokens, most_sequences);
        let largest = parts.iter().max_by_key(|part| part.len())?.clone();
        let packed = pack_completions(&all[largest], ROW_LENGTH);
        Some(Shape {
            tokens: packed.batch.places(),
            loss_tokens: packed.loss_tokens(),
            microbatches: parts.len(),
        })
    })
}

/// Bytes of a decoder's linear maps as they are packed for sampling; of a tied embedding, too.
fn prepared(model: &Model, dtype: Dtype) -> u64 {
    let looked_up = if model.tie_word_embeddings { 0 } else { model.vocab_size * model.hidden_size };
    let numbers = (model.parameters().all - looked_up) as u64;
    match dtype {
        Dtype::Float32 => 4 * numbers,
        Dtype::Bfloat16 => 2 * numbers,
        Dtype::Int8 => numbers + 4 * numbers / 64, // a scale a block
    }
}

/// Bytes of the next token's logits of so many sequences.
fn logits(model: &Model, sequences: usize) -> u64 {
    (size_of::<f32>() * sequences * model.vocab_size) as u64
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory, slots, wanted } = self;
        write!(f, "{memory}; {slots} sequences at once")?;
        if slots < wanted {
            write!(f, " of {wanted}, since `rollout.kv_cache_memory_gib` holds no more")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Demand, memory_plan};
    use crate::{Config, Error, TrainerArgs};
    use ruminate_data::{SamplingParams, Seed, Stop};
    use ruminate_model::load_config;
    use ruminate_rollout::EngineConfig;
    use ruminate_testkit as testkit;
    use ruminate_train::Trained;

    #[test]
    fn the_plan_tells_how_many_sequences_the_budget_holds() {
        // 2 layers of 32 numbers a token: 20 tokens take 5 KiB.
        let model = load_config(&testkit::fixture_path("model/llama_tied")).expect("a fixture");
        let plan = |kv_cache_memory_gib| {
            let setup = TrainerArgs {
                config: &Config::default(),
                train: &ruminate_train::Config::default(),
                sampling: SamplingParams { max_new_tokens: 12, ..SamplingParams::default() },
                stop: &Stop::at(&[1]),
                alarms: &ruminate_train::alarms::Config::default(),
                max_steps: 1,
                seed: Seed::new(0),
            };
            let engine = EngineConfig { kv_cache_memory_gib, ..EngineConfig::default() };
            let demand = Demand { trained: Trained::Weights, prompt_tokens: 8, evaluated: 3 };
            memory_plan(&model, demand, &engine, &setup)
        };
        let whole = plan(None).expect("no limit");
        assert_eq!((whole.slots, whole.wanted), (64, 64));
        assert!(whole.to_string().ends_with("64 sequences at once"), "{whole}");
        let tight = plan(Some(6.5 * 5120.0 / f64::from(1 << 30))).expect("six fit");
        assert_eq!((tight.slots, tight.memory.caches), (6, 6 * 5120 * 3 / 2));
        assert!(tight.to_string().contains("6 sequences at once of 64"), "{tight}");
        assert!(matches!(plan(Some(1e-9)), Err(Error::Rollout(_))));
    }
}
