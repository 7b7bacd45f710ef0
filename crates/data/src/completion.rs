//! Completions as token ids; the crate `ruminate-text` makes text of them.

use crate::Verdict;
use serde::{Deserialize, Serialize};

/// Why generation of a completion ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// The policy emitted one of its ending tokens (which is then the last of `ids`).
    Stop,
    /// The length limit was reached first: the completion is truncated, which is not the same as wrong.
    Length,
}

/// Which experts the sampler's router chose, for replay in training and for `sampling/routing_disagreement`.
///
/// Row-major `[positions, moe_layers, experts_per_token]` over the prompt and the completion without its last
/// token (which is never fed back).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// Expert ids, `positions * moe_layers * experts_per_token` of them.
    pub experts: Vec<u16>,
    /// Number of MoE layers.
    pub moe_layers: usize,
    /// Chosen experts per token (`num_experts_per_tok`).
    pub experts_per_token: usize,
}

impl Routing {
    /// Adds this completion's choices to `load[layer][expert]`.
    ///
    /// # Panics
    /// When `load` has fewer layers or experts than were chosen from.
    pub fn count_into(&self, load: &mut [Vec<u64>]) {
        for (i, &expert) in self.experts.iter().enumerate() {
            load[i / self.experts_per_token % self.moe_layers][usize::from(expert)] += 1;
        }
    }
}

/// One completion of one prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The prompt's token ids, as the policy saw them.
    pub prompt_ids: Vec<u32>,
    /// The sampled token ids, the ending token included when there is one.
    pub ids: Vec<u32>,
    /// `ln p(token)` under the sampling distribution before top-k and top-p: log-softmax(logits / T),
    /// with T = 1 where sampling is greedy. One for each of `ids`.
    pub logprobs: Vec<f32>,
    /// Why generation ended.
    pub finish_reason: FinishReason,
    /// The sampler's expert choices, when the engine was asked to record them.
    pub routing: Option<Routing>,
}

/// The completions of one task with their verdicts: the unit over which GRPO normalises rewards.
#[derive(Clone, Debug)]
pub struct Group {
    /// Index of the task in its set.
    pub task: usize,
    /// One or more completions of the task's prompt.
    pub completions: Vec<Completion>,
    /// One verdict per completion, in the same order.
    pub verdicts: Vec<Verdict>,
}

#[cfg(test)]
mod tests {
    use super::Routing;

    #[test]
    fn choices_are_counted_by_layer_and_expert() {
        // Two positions, two layers, two experts a token.
        let routing = Routing { experts: vec![0, 1, 2, 0, 0, 2, 2, 1], moe_layers: 2, experts_per_token: 2 };
        let mut load = vec![vec![0; 3]; 2];
        routing.count_into(&mut load);
        assert_eq!(load, [[2, 1, 1], [1, 1, 2]]);
    }
}
