//! A server that answers from a script, on a port of this machine: both dialects, a deterministic toy in place of a model, and
//! every way in which servers fail. For tests; nothing in it is fast.

mod http;
mod routes;

use crate::Kind;
use http::Listener;
use ruminate_data::Seed;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What computes in the double.
pub trait Brain: Send + Sync {
    /// The logits behind a context under the weights of a folder; None where it cannot read them.
    fn logits(&self, folder: &Path, context: &[u32]) -> Option<Vec<f32>>;
}

/// A model of a few tokens: its logits are hashes of the folder's file `weights` and of the last two tokens.
#[derive(Clone, Copy, Debug)]
pub struct Toy {
    /// Token ids.
    pub vocab_size: usize,
}

impl Brain for Toy {
    fn logits(&self, folder: &Path, context: &[u32]) -> Option<Vec<f32>> {
        let weights = std::fs::read_to_string(folder.join("weights")).ok()?;
        let mut seed = Seed::new(0).child(&weights);
        for token in context.iter().rev().take(2) {
            seed = seed.index(u64::from(*token));
        }
        let logit = |id: usize| 4.0 * unit(seed.index(id as u64).value()) as f32;
        Some((0..self.vocab_size).map(logit).collect())
    }
}

impl Toy {
    /// Writes weights that it can read.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(folder: &Path, weights: &str) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("weights"), weights)
    }
}

/// A number in [0, 1) of a hash.
fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// Log-probabilities of all of `ids` but the first.
pub fn logprobs(brain: &dyn Brain, folder: &Path, ids: &[u32], temperature: f64) -> Option<Vec<f32>> {
    (1..ids.len())
        .map(|place| {
            Some(log_softmax(&brain.logits(folder, &ids[..place])?, temperature)[ids[place] as usize])
        })
        .collect()
}

fn log_softmax(logits: &[f32], temperature: f64) -> Vec<f32> {
    let scaled: Vec<f64> = logits.iter().map(|logit| f64::from(*logit) / temperature).collect();
    let max = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum = scaled.iter().map(|logit| (logit - max).exp()).sum::<f64>().ln() + max;
    scaled.iter().map(|logit| (logit - sum) as f32).collect()
}

/// Something that goes wrong with one answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The connection closes without an answer.
    Hangup,
    /// Half of the answer, then the connection closes.
    Truncated,
    /// No answer for so long, then a closed connection.
    Hang(Duration),
    /// The answer comes after so long; a pause meanwhile, or an abort, cuts it to half of its tokens.
    Slow(Duration),
    /// An answer with this status.
    Status(u16),
    /// These bytes in place of the answer.
    Body(Vec<u8>),
    /// Another label for the weights.
    Label(String),
    /// Every token whose place is a multiple of this has -9999 for a log-probability.
    Absent(usize),
    /// The same with null.
    Null(usize),
    /// The last log-probability is missing.
    FewLogprobs,
    /// The last token is missing, with its log-probability.
    FewTokens,
    /// The last token is none of the vocabulary.
    WrongId,
    /// Log-probabilities above 0.
    Positive,
    /// So many tokens, then an abort, which loses what they were drawn from.
    Abort(usize),
    /// No sampling mask, where one was asked for.
    NoMask,
}

/// What the double is, and what it was asked.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is one way to fail, and they go together in any way")]
pub struct Script {
    /// The name that it serves under.
    pub model: String,
    /// Longest sequence.
    pub max_len: usize,
    /// What it says of its vocabulary.
    pub vocab_size: usize,
    /// What it says that it computes in.
    pub dtype: String,
    /// What it says of its log-probabilities.
    pub logprobs_mode: String,
    /// Whether its log-probabilities are those before the temperature, whatever it says.
    pub raw_logprobs: bool,
    /// Whether it returns what top-k, top-p and min-p kept, and takes no request without a top-k (vLLM).
    pub returns_masks: bool,
    /// Whether it has the route for token ids (vLLM).
    pub has_token_route: bool,
    /// Whether it has a tokenizer at all.
    pub has_tokenizer: bool,
    /// Its tokenizer: a byte of a text is this, more than the byte.
    pub first_id: u32,
    /// Whether a reload changes the label and no weights.
    pub keeps_weights: bool,
    /// Whether a reload fails.
    pub fails_pushes: bool,
    /// What goes wrong with the next completions, one after the other.
    pub faults: VecDeque<Fault>,
    /// What goes wrong with the next answers to requests for scores.
    pub scoring_faults: VecDeque<Fault>,
    /// Requests for scores that are answered soundly before all further ones fail; None is all.
    pub sound_scores: Option<usize>,
    /// What goes wrong with every completion behind those.
    pub always: Option<Fault>,
    /// The folder that it was started with.
    pub first_weights: PathBuf,
    /// The folder that it computes with.
    pub weights: PathBuf,
    /// Their label.
    pub label: String,
    /// Adapters by name.
    pub adapters: BTreeMap<String, PathBuf>,
    /// Whether it is paused, and how often it was.
    pub paused: bool,
    /// Pauses so far.
    pub pauses: usize,
    /// Requests that it was told to stop working on.
    pub aborted: BTreeSet<String>,
    /// Paths that it was asked for, in order.
    pub asked: Vec<String>,
    /// Seeds and prompts of the completions that it was asked for.
    pub prompts: Vec<(u64, Vec<u32>)>,
    /// Completions that it is at work on.
    pub in_flight: usize,
    /// The most that it was ever at work on at once.
    pub most_in_flight: usize,
}

impl Script {
    /// How often a path was asked for.
    pub fn count(&self, path: &str) -> usize {
        self.asked.iter().filter(|asked| *asked == path).count()
    }
}

/// A running double. It ends when it is dropped.
pub struct Double {
    inner: Arc<Inner>,
    listener: Mutex<Option<Listener>>,
    port: u16,
}

struct Inner {
    kind: Kind,
    brain: Box<dyn Brain>,
    script: Mutex<Script>,
}

impl Inner {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Double {
    /// Starts one that serves the weights of a folder, on a free port.
    ///
    /// # Errors
    /// When no port is to be had.
    pub fn start(
        kind: Kind,
        brain: Box<dyn Brain>,
        vocab_size: usize,
        weights: &Path,
    ) -> std::io::Result<Self> {
        let script = Script {
            model: "policy".to_owned(),
            max_len: 1024,
            vocab_size,
            dtype: "float32".to_owned(),
            logprobs_mode: "processed_logprobs".to_owned(),
            raw_logprobs: false,
            returns_masks: false,
            has_token_route: true,
            has_tokenizer: true,
            first_id: 0,
            keeps_weights: false,
            fails_pushes: false,
            faults: VecDeque::new(),
            scoring_faults: VecDeque::new(),
            sound_scores: None,
            always: None,
            first_weights: weights.to_owned(),
            weights: weights.to_owned(),
            label: "default".to_owned(),
            adapters: BTreeMap::new(),
            paused: false,
            pauses: 0,
            aborted: BTreeSet::new(),
            asked: Vec::new(),
            prompts: Vec::new(),
            in_flight: 0,
            most_in_flight: 0,
        };
        let inner = Arc::new(Inner { kind, brain, script: Mutex::new(script) });
        let listener = Listener::start(0, Arc::clone(&inner))?;
        let port = listener.port;
        Ok(Self { inner, listener: Mutex::new(Some(listener)), port })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it is and was asked: to be read and changed, not to be held.
    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.inner.script()
    }

    /// Ends it: connections break, and nothing listens any more.
    pub fn die(&self) {
        drop(self.listener.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Starts it again on its port, with the weights of its first start under the label of a fresh server.
    ///
    /// # Errors
    /// When its port was taken meanwhile.
    pub fn start_again(&self) -> std::io::Result<()> {
        {
            let mut script = self.script();
            let first = script.first_weights.clone();
            (script.weights, script.label) = (first, "default".to_owned());
            script.adapters.clear();
            script.paused = false;
        }
        let listener = Listener::start(self.port, Arc::clone(&self.inner))?;
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
        Ok(())
    }
}
