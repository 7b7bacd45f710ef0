//! Completions as token ids; the crate `ruminate-text` makes text of them.

use crate::Verdict;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Why generation of a completion ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// The policy emitted one of its ending tokens (which is then the last of `ids`).
    Stop,
    /// The length limit was reached first: the completion is truncated, which is not the same as wrong.
    Length,
    /// The model gave no distribution to draw the next token from: a logit was NaN, or none was finite.
    #[serde(rename = "not_finite")]
    NotFinite,
    /// The memory for caches does not hold the prompt with what may be generated: nothing was drawn. An engine refuses a
    /// request that joins with it, so that the others go on.
    #[serde(rename = "cache_memory")]
    CacheMemory,
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

/// One completion of one prompt. What follows a prompt need not all be the policy's: results of tools lie between its
/// tokens, and are no part of what it learns.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The prompt's token ids, as the policy saw them.
    pub prompt_ids: Vec<u32>,
    /// The sampled token ids, the ending token included when there is one.
    pub ids: Vec<u32>,
    /// `ln p(token)` under the sampling distribution before top-k, top-p and min-p: log-softmax(logits / T) of logits after
    /// penalties and forbidden words, with T = 1 where sampling is greedy. One for each of `ids`; 0 where the token was
    /// forced.
    pub logprobs: Vec<f32>,
    /// Why generation ended.
    pub finish_reason: FinishReason,
    /// The sampler's expert choices, when the engine was asked to record them.
    pub routing: Option<Routing>,
    /// Which of `ids` the policy drew, and is trained on; None where it drew all of them.
    pub trained: Option<Vec<bool>>,
    /// The probability that top-k, top-p and min-p kept at each token: what was drawn from is `p / kept`. Empty where nothing
    /// was cut, so that all of it is 1, and where an engine gives `logprobs` of what was kept alone (vLLM's
    /// `processed_logprobs`).
    pub kept_mass: Vec<f32>,
    /// The tokens that these kept at each token, among which it was drawn. Empty where nothing was cut, and where the engine
    /// does not record them.
    pub kept: KeptIds,
    /// Versions of the weights that drew the tokens, by span, in order. Empty where the engine does not say.
    pub versions: Vec<VersionSpan>,
}

/// Sets of token ids, one for each token of a completion: what a sampler kept of the vocabulary. A trainer that takes the
/// softmax over the same set learns the distribution that was drawn from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptIds {
    ids: Vec<u32>,
    ends: Vec<usize>,
}

impl KeptIds {
    /// Adds the set of the next token.
    pub fn push(&mut self, kept: &[u32]) {
        let start = self.ids.len();
        self.ids.extend_from_slice(kept);
        self.ids[start..].sort_unstable();
        self.ends.push(self.ids.len());
    }

    /// Adds the sets of the tokens that follow.
    pub fn extend(&mut self, following: &Self) {
        let begin = self.ids.len();
        self.ids.extend_from_slice(&following.ids);
        self.ends.extend(following.ends.iter().map(|end| begin + end));
    }

    /// Leaves the sets of the first tokens, so many.
    pub fn truncate(&mut self, tokens: usize) {
        self.ends.truncate(tokens);
        self.ids.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// The set at a token, ascending.
    ///
    /// # Panics
    /// When there is none.
    pub fn at(&self, token: usize) -> &[u32] {
        let start = token.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.ids[start..self.ends[token]]
    }

    /// How many tokens have a set.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// Tokens of a completion that weights of one version drew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionSpan {
    /// The version, as the engine was given it with the weights.
    pub version: u64,
    /// Places in the completion's ids.
    pub tokens: Range<usize>,
}

impl Completion {
    /// A completion all of whose tokens the policy drew, from the whole distribution.
    pub fn new(prompt_ids: Vec<u32>, ids: Vec<u32>, logprobs: Vec<f32>, finish_reason: FinishReason) -> Self {
        let (routing, trained) = (None, None);
        let (kept_mass, kept, versions) = (Vec::new(), KeptIds::default(), Vec::new());
        Self { prompt_ids, ids, logprobs, finish_reason, routing, trained, kept_mass, kept, versions }
    }

    /// `ln` of the probability with which each token was drawn: of what was left after top-k, top-p and min-p.
    pub fn drawn_logprobs(&self) -> Vec<f32> {
        if self.kept_mass.is_empty() {
            return self.logprobs.clone();
        }
        self.logprobs.iter().zip(&self.kept_mass).map(|(logprob, kept)| logprob - kept.ln()).collect()
    }

    /// Whether the policy drew the token at a place of `ids`.
    pub fn is_trained(&self, token: usize) -> bool {
        self.trained.as_ref().is_none_or(|trained| trained[token])
    }

    /// How many tokens the policy drew.
    pub fn num_trained(&self) -> usize {
        self.trained.as_ref().map_or(self.ids.len(), |trained| trained.iter().filter(|&&yes| yes).count())
    }

    /// Of values for each of `ids`, those for the tokens that the policy drew.
    pub fn of_trained<T: Copy>(&self, values: &[T]) -> Vec<T> {
        let drawn = values.iter().enumerate().filter(|(token, _)| self.is_trained(*token));
        drawn.map(|(_, value)| *value).collect()
    }
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
    use super::{Completion, FinishReason, KeptIds, Routing};

    #[test]
    fn what_was_drawn_from_is_what_was_kept() {
        let whole = Completion::new(vec![1], vec![5, 6], vec![-1.0, -2.0], FinishReason::Stop);
        assert_eq!(whole.drawn_logprobs(), whole.logprobs);
        let mut kept = KeptIds::default();
        assert!(kept.is_empty());
        kept.push(&[7, 5]);
        kept.push(&[6]);
        assert_eq!((kept.at(0), kept.at(1), kept.len()), (&[5, 7][..], &[6][..], 2));
        let mut twice = kept.clone();
        twice.extend(&kept);
        assert_eq!((twice.at(2), twice.at(3), twice.len()), (&[5, 7][..], &[6][..], 4));
        twice.truncate(2);
        assert_eq!(twice, kept);
        let cut = Completion { kept_mass: vec![0.5, (-2.0_f32).exp()], kept, ..whole };
        let drawn = cut.drawn_logprobs();
        assert!((drawn[0] - (-1.0 + 2.0_f32.ln())).abs() < 1e-6 && drawn[1].abs() < 1e-6, "{drawn:?}");
    }

    #[test]
    fn what_the_policy_did_not_draw_is_left_out() {
        let whole = Completion::new(vec![1], vec![5, 6, 7], vec![-1.0; 3], FinishReason::Stop);
        assert_eq!((whole.num_trained(), whole.of_trained(&[1, 2, 3])), (3, vec![1, 2, 3]));
        let tool = Completion { trained: Some(vec![true, false, true]), ..whole };
        assert_eq!((tool.num_trained(), tool.of_trained(&[1, 2, 3])), (2, vec![1, 3]));
        assert!(tool.is_trained(0) && !tool.is_trained(1));
    }

    #[test]
    fn choices_are_counted_by_layer_and_expert() {
        // Two positions, two layers, two experts a token.
        let routing = Routing { experts: vec![0, 1, 2, 0, 0, 2, 2, 1], moe_layers: 2, experts_per_token: 2 };
        let mut load = vec![vec![0; 3]; 2];
        routing.count_into(&mut load);
        assert_eq!(load, [[2, 1, 1], [1, 1, 2]]);
    }
}
