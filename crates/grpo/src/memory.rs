//! How much memory a run of GRPO will take: that of its updates, or of its sampling.

use crate::{Error, Setup};
use ruminate_model::Config as Model;
use ruminate_rollout::Budget;
use ruminate_train::{MemoryPlan, Shape, memory_plan as training_plan};
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

/// The plan of a run whose prompts have `prompt_tokens` tokens, if every completion took all the tokens that it may.
///
/// # Errors
/// The memory for caches does not hold one sequence.
pub fn memory_plan(model: &Model, prompt_tokens: usize, setup: &Setup) -> Result<Plan, Error> {
    let config = setup.config;
    let length = setup.sampling.max_new_tokens;
    let groups = config.prompts_per_step.div_ceil(config.num_minibatches);
    let completions = groups * config.num_generations;
    let (loss_tokens, tokens) = (completions * length, groups * prompt_tokens + completions * length);
    let microbatches =
        tokens.div_ceil(config.micro_batch_tokens).max(completions.div_ceil(config.micro_batch_size));
    let share = |count: usize| count.div_ceil(microbatches.max(1));
    let shape = Shape { tokens: share(tokens), loss_tokens: share(loss_tokens), microbatches };
    let wanted = config.max_num_seqs.min(config.prompts_per_step * config.num_generations);
    let Budget { slots, bytes, .. } = Budget::new(model, setup.sampling, wanted, prompt_tokens)?;
    let mut plan = training_plan(model, shape, setup.train);
    if config.beta > 0.0 {
        // The reference policy.
        plan.weights *= 2;
    }
    // Prompts enter a cache, and it shrinks, a layer at a time by copying.
    let caches = bytes + bytes / model.num_hidden_layers as u64;
    Ok(Plan { memory: MemoryPlan { caches, ..plan }, slots, wanted })
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
    use super::memory_plan;
    use crate::{Config, Error, Setup};
    use ruminate_data::Seed;
    use ruminate_model::load_config;
    use ruminate_rollout::Sampling;
    use ruminate_testkit as testkit;

    #[test]
    fn the_plan_tells_how_many_sequences_the_budget_holds() {
        // 2 layers of 32 numbers a token: 20 tokens take 5 KiB.
        let model = load_config(&testkit::fixture_path("model/llama_tied")).expect("a fixture");
        let plan = |kv_cache_memory_gib| {
            let setup = Setup {
                config: &Config::default(),
                train: &ruminate_train::Config::default(),
                sampling: &Sampling { max_new_tokens: 12, kv_cache_memory_gib, ..Sampling::default() },
                eos_token_ids: &[1],
                max_steps: 1,
                seed: Seed::new(0),
            };
            memory_plan(&model, 8, &setup)
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
