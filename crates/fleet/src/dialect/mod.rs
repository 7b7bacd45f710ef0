//! What the two kinds of servers are asked, each in its own words. It keeps no state: what a server is at the moment is
//! `server`'s to know.

mod sglang;
mod vllm;

use crate::http::{Client, Failure};
use crate::reply::{Answer, ExpertShape};
use crate::{Kind, Target};
use ruminate_data::SamplingParams;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// What a server says of itself; None where it does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    /// The name under which it serves the model.
    pub(crate) model: String,
    /// Longest sequence in tokens.
    pub(crate) max_len: Option<usize>,
    /// Ids are below this.
    pub(crate) vocab_size: Option<usize>,
    /// The type of weights and states.
    pub(crate) dtype: Option<String>,
    /// Whether log-probabilities are those of the distribution that is sampled from, where the server names its mode.
    pub(crate) logprobs_mode: Option<String>,
    /// The label of its weights.
    pub(crate) version: Option<String>,
    /// Whether it takes and gives token ids on the route that has weight versions.
    pub(crate) has_token_route: bool,
    /// Whether its answers have what top-k, top-p and min-p kept; then it takes no request without a top-k (vLLM). None where
    /// a request decides that.
    pub(crate) returns_masks: Option<bool>,
}

/// One completion to ask for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// The request's name, unique in the run.
    pub(crate) id: String,
    pub(crate) prompt: Vec<u32>,
    pub(crate) max_tokens: usize,
    /// Temperature, top-p, top-k and min-p.
    pub(crate) sampling: SamplingParams,
    pub(crate) seed: u64,
    pub(crate) stop_ids: Vec<u32>,
    pub(crate) vocab_size: usize,
    pub(crate) experts: Option<ExpertShape>,
}

/// The words of one kind of server.
pub(crate) trait Dialect: Sync {
    /// What the server says of itself.
    fn hello(&self, client: &Client, deadline: Duration) -> Result<Facts, Failure>;

    /// What a server says of itself that has a model of that name, and need take no weights.
    fn hello_of_teacher(
        &self,
        client: &Client,
        name: Option<&str>,
        deadline: Duration,
    ) -> Result<Facts, Failure>;

    /// A text's token ids without special ones; None where the server has no tokenizer.
    fn tokenize(
        &self,
        client: &Client,
        facts: &Facts,
        text: &str,
        deadline: Duration,
    ) -> Result<Option<Vec<u32>>, Failure>;

    /// Puts the target's weights into the server, under their label. After a failure its weights are not known.
    fn push(&self, client: &Client, target: &Target, deadline: Duration) -> Result<(), Failure>;

    /// One completion.
    fn generate(
        &self,
        client: &Client,
        facts: &Facts,
        target: &Target,
        ask: &Ask,
        deadline: Duration,
    ) -> Result<Answer, Failure>;

    /// Log-probabilities at temperature 1 of all of `ids` but the first.
    fn score(
        &self,
        client: &Client,
        facts: &Facts,
        target: &Target,
        ids: &[u32],
        deadline: Duration,
    ) -> Result<Vec<f32>, Failure>;

    /// The label of the weights, where the server has one.
    fn version(&self, client: &Client, deadline: Duration) -> Result<Option<String>, Failure>;

    /// Asks it to stop working on requests; that it does so is not sure.
    fn abort(&self, client: &Client, ids: &[String], deadline: Duration);
}

impl Kind {
    pub(crate) fn dialect(self) -> &'static dyn Dialect {
        match self {
            Self::Vllm => &vllm::Vllm,
            Self::Sglang => &sglang::Sglang,
        }
    }
}

/// Reads an answer of the schema.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::Broken(format!("no answer of the schema: {error}")))
}
