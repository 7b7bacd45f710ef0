//! How much memory a run of GRPO will take: that of its updates, or of its sampling.

use crate::Setup;
use ruminate_model::Config as Model;
use ruminate_train::{MemoryPlan, Shape, memory_plan as training_plan};

/// The plan of a run whose prompts have `prompt_tokens` tokens, if every completion took all the tokens that it may.
pub fn memory_plan(model: &Model, prompt_tokens: usize, setup: &Setup) -> MemoryPlan {
    let config = setup.config;
    let length = setup.sampling.max_new_tokens;
    let groups = config.prompts_per_step.div_ceil(config.num_minibatches);
    let completions = groups * config.num_generations;
    let (loss_tokens, tokens) = (completions * length, groups * prompt_tokens + completions * length);
    let microbatches =
        tokens.div_ceil(config.micro_batch_tokens).max(completions.div_ceil(config.micro_batch_size));
    let share = |count: usize| count.div_ceil(microbatches.max(1));
    let shape = Shape { tokens: share(tokens), loss_tokens: share(loss_tokens), microbatches };
    let slots = config.max_num_seqs.min(config.prompts_per_step * config.num_generations);
    let cached = slots * (prompt_tokens + length) * model.num_hidden_layers * model.cached_by_block();
    let mut plan = training_plan(model, shape, setup.train);
    if config.beta > 0.0 {
        // The reference policy.
        plan.weights *= 2;
    }
    // A cache grows by copying.
    MemoryPlan { caches: 2 * 4 * cached as u64, ..plan }
}
