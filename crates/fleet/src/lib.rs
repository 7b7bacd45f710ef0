//! Sampling on servers of vLLM and SGLang, which are believed only when their numbers are proven. It knows token ids, HTTP
//! and folders; it knows no tensors, and what a policy is it is told by a folder and a canary.
//!
//! - [`Fleet::publish`] puts a version of the weights into every server, and compares each with the trainer's own numbers on
//!   a fixed sequence (the [`Canary`]).
//! - [`Fleet::generate`] has requests answered by the servers that passed. An answer counts when its parts fit each other,
//!   and when the current weights sampled all of its tokens.
//! - [`Background`] is a fleet that generates beside its caller, and takes new weights in the middle.
//! - [`Teacher`] is a server that scores given tokens, and samples nothing.
//! - [`reply`] reads what servers send. No bytes make it panic.
//!
//! A server is Down, Stale, Updating or Ready; only a hello, a push and a canary make it Ready, and only Ready servers get
//! work. Threads block: there is one per request in flight, and one per server that is being made Ready.
//!
//! # Example
//!
//! Reading what a server sends, against what was asked for:
//!
//! ```
//! use ruminate_fleet::reply::{Asked, Finish, vllm_generate};
//!
//! let asked = Asked { prompt: &[5, 6], max_tokens: 8, stop_ids: &[1], vocab_size: 32, experts: None, kept: false };
//! let body = br#"{"choices": [{"token_ids": [7, 1], "finish_reason": "stop",
//!     "logprobs": {"content": [{"token_id": 7, "logprob": -0.5}, {"token_id": 1, "logprob": -9999.0}]},
//!     "weight_versions": [{"version": "run:3", "start": 0, "end": 2}]}]}"#;
//! let answer = vllm_generate(body, &asked)?;
//! assert_eq!((answer.ids.as_slice(), answer.finish), (&[7, 1][..], Finish::Stop));
//! assert!(answer.logprobs[1].is_nan(), "-9999 stands for none");
//!
//! // The same tokens from a server that lost one on the way.
//! let short = std::str::from_utf8(body).unwrap().replace("[7, 1]", "[7]");
//! assert!(vllm_generate(short.as_bytes(), &asked).is_err());
//! # Ok::<(), String>(())
//! ```

mod assigned;
mod background;
mod canary;
mod config;
mod dialect;
#[cfg(any(test, feature = "double"))]
pub mod double;
mod error;
mod fleet;
mod generate;
mod http;
mod parts;
pub mod reply;
mod request;
mod server;
mod teacher;
#[cfg(test)]
mod tests;

pub use background::Background;
pub use canary::Canary;
pub use config::{Config, ConfigError};
pub use error::Error;
pub use fleet::Fleet;
pub use generate::Tally;
pub use http::Secret;
pub use teacher::{Teacher, TeacherSetup};

use dialect::Facts;
use reply::ExpertShape;
use ruminate_data::SamplingParams;
use std::path::PathBuf;
use std::sync::Arc;

/// Which words servers understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// vLLM, 0.30 and later.
    Vllm,
    /// SGLang 0.5. Written to its schema, never run against a server.
    Sglang,
}

/// What a fleet is told of the run that it samples for.
#[derive(Clone)]
pub struct Setup {
    /// The recipe's table.
    pub config: Config,
    /// The kind of all its servers.
    pub kind: Kind,
    /// The run's name: labels of weights are `run:version`, so that another run's server is recognised.
    pub run: String,
    /// Ids of the policy are below this.
    pub vocab_size: usize,
    /// Most tokens of a prompt with its completion.
    pub max_tokens: usize,
    /// What servers have to compute in: `float32` or `bfloat16`.
    pub dtype: &'static str,
    /// Limit of the canary: mean k3 per token, in nats.
    pub max_canary_kl: f64,
    /// Texts with their ids, without special tokens, as the policy's tokenizer has them.
    pub tokenizer: Vec<(String, Vec<u32>)>,
    /// How requests cut the distribution, where they do: servers have to return what top-k, top-p and min-p kept.
    pub cuts: Option<SamplingParams>,
    /// Where the policy's routers are, if their choices are wanted.
    pub experts: Option<ExpertShape>,
    /// The servers' key.
    pub key: Option<Secret>,
    /// The key for pushes.
    pub admin_key: Option<Secret>,
    /// Checks an address before it is asked; the error says in words what is wrong.
    pub check_address: fn(&str) -> Result<(), String>,
    /// Whether waits should end.
    pub interrupted: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("config", &self.config).field("run", &self.run).finish_non_exhaustive()
    }
}

/// A version of the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Push {
    /// Its number: a trainer's step.
    pub version: u64,
    /// Where they lie.
    pub weights: Weights,
    /// What proves them.
    pub canary: Canary,
}

/// Weights on a disk that the servers see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Weights {
    /// A model folder.
    Folder(PathBuf),
    /// Adapters on the weights that the servers were started with.
    Adapter {
        /// Their name, which no other version has.
        name: String,
        /// Their folder.
        folder: PathBuf,
        /// Names of versions that servers may forget.
        retired: Vec<String>,
    },
}

/// Weights that are to be on every server.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) push: Push,
    pub(crate) label: String,
}

impl Target {
    /// The name of the adapters, which are the weights then.
    pub(crate) fn adapter(&self) -> Option<&str> {
        match &self.push.weights {
            Weights::Folder(_) => None,
            Weights::Adapter { name, .. } => Some(name),
        }
    }

    /// What a request names as its model.
    pub(crate) fn model<'a>(&'a self, facts: &'a Facts) -> &'a str {
        self.adapter().unwrap_or(&facts.model)
    }
}

/// Something that happened to a server: for logs, and for people.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It has weights, and its numbers are the trainer's.
    Ready {
        /// Its address.
        server: String,
        /// The version.
        version: u64,
        /// Mean k3 per token of the canary, in nats.
        canary_kl: f64,
        /// Largest difference of a log-probability on it.
        canary_max: f64,
        /// Seconds for push and canary.
        seconds: f64,
    },
    /// It has other weights than the current, and gets them.
    Stale {
        /// Its address.
        server: String,
        /// The label that was found.
        found: String,
    },
    /// It is of no use for now.
    Down {
        /// Its address.
        server: String,
        /// Why.
        why: String,
        /// Seconds until it is tried again.
        retry_s: f64,
    },
    /// A request was given up: its group has no verdict.
    Lost {
        /// Its number.
        request: usize,
        /// Why.
        why: String,
    },
}

/// The examples of the README are tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
