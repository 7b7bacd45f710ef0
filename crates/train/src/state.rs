//! Where a training run is: everything that its next step depends on, saved whole and loaded whole.

use crate::config::Config;
use crate::optim::DecoderOptimizer;
use ruminate_data::{Group, Pools};
use ruminate_model::Decoder;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A run between two steps.
#[derive(Debug)]
pub struct State {
    /// The trained decoder, on the autodiff device.
    pub policy: Decoder,
    /// The optimizer with its state; a rule of one's own goes in here.
    pub optimizer: DecoderOptimizer,
    /// Optimizer steps done, skipped ones included.
    pub step: usize,
    /// Samples (or tasks) taken from the source: its next index. Randomness is derived from step and index, so
    /// this and the seed are all there is to resume data and sampling.
    pub cursor: u64,
    /// Tokens trained on so far, padding left out.
    pub num_tokens: u64,
    /// Other models that belong to the run, by name (`reference`), on the device without autodiff.
    pub models: BTreeMap<String, Decoder>,
    /// Steps in a row of which most completions had no verdict. While there are any, no checkpoint is written: the newest
    /// one stays that from before them.
    pub unscored_steps: usize,
    /// Steps in a row in which every group had equal rewards and no completion was right.
    pub all_wrong_steps: usize,
    /// What an entropy bonus with a target goes on from; none without one, and before its first update.
    pub entropy_control: Option<EntropyControl>,
    /// What is known of the problems that are asked by their difficulty; none where they come in their order.
    pub pools: Option<Pools>,
    /// Groups that were sampled for later steps, in the order of their tasks. One from a checkpoint has no verdicts.
    pub ahead: Vec<Group>,
}

/// The weight of an entropy bonus that follows a target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntropyControl {
    /// The weight.
    pub coef: f64,
    /// Mean entropy of the policy at the last update, in nats per token.
    pub entropy: f64,
}

impl State {
    /// A run before its first step. The policy computes in the dtype of the run from now on.
    pub fn fresh(policy: Decoder, config: &Config) -> Self {
        Self {
            policy: config.computing(policy),
            optimizer: DecoderOptimizer::new(config.new_optimizer()),
            step: 0,
            cursor: 0,
            num_tokens: 0,
            models: BTreeMap::new(),
            unscored_steps: 0,
            all_wrong_steps: 0,
            entropy_control: None,
            pools: None,
            ahead: Vec::new(),
        }
    }
}
