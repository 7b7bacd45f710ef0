//! What every engine is: it takes weights, and generates completions of requests with them. Trainers and evaluations know
//! this trait alone; [`LocalEngine`](crate::LocalEngine) is the one in this process.

use crate::{Error, SpeculationStats};
use ruminate_data::{Completion, Request, Sink};
use ruminate_model::{ComputeDtype, Decoder};
use std::time::Duration;

/// Generates completions.
pub trait Engine {
    /// Takes the weights that are sampled from until the next call. `version` names them: a trainer's step.
    ///
    /// # Errors
    /// When they cannot be made ready.
    fn load_weights(&mut self, policy: &Decoder, version: u64) -> Result<(), Error>;

    /// Frees what it can of the weights, which are loaded again before the next request. By default nothing.
    fn unload_weights(&mut self) {}

    /// Generates a completion for each request, and for those that join, and hands each over as soon as it is finished.
    /// What a request samples depends on its prompt, its parameters and its seed, not on the requests beside it.
    ///
    /// A prompt longer than the model's positions is the caller's to refuse. What is returned counts the guesses, where
    /// tokens are guessed ahead.
    ///
    /// # Errors
    /// When a completion cannot be generated: what is wrong is the engine's to say. Completions that were handed over before
    /// stand.
    fn generate(&mut self, requests: Vec<Request>, sink: &mut dyn Sink) -> Result<SpeculationStats, Error>;

    /// Whether completions carry the tokens that top-k, top-p and min-p kept ([`Completion::kept`](ruminate_data::Completion)),
    /// without which a trainer cannot learn from a distribution that was cut. By default not.
    ///
    /// Log-probabilities may be those of what was kept alone, as servers give them: `Completion::kept_mass` is empty then.
    fn records_kept(&self) -> bool {
        false
    }

    /// How near its log-probabilities are to those of the weights that it was given.
    fn logprobs(&self) -> Logprobs;

    /// The same engine as one that generates beside its caller, where it can; it has to have weights by then. From there on
    /// [`load_weights`](Self::load_weights) cuts short what is running, which goes on behind the tokens that it has with the
    /// new weights. By default there is none.
    ///
    /// # Errors
    /// When it cannot be started.
    fn background(&mut self) -> Result<Option<&mut dyn Background>, Error> {
        Ok(None)
    }
}

/// An engine that generates while its caller does something else.
pub trait Background: Send {
    /// Adds requests under numbers of the caller's. Those of one prompt follow each other.
    ///
    /// # Errors
    /// As those of [`Engine::generate`].
    fn submit(&mut self, requests: Vec<(u64, Request)>) -> Result<(), Error>;

    /// A completion that is finished, with its request's number. Waits for one, but not for longer than `wait`.
    ///
    /// # Errors
    /// As those of [`Engine::generate`].
    fn finished(&mut self, wait: Duration) -> Result<Option<(u64, Completion)>, Error>;
}

/// How near a sampler's log-probabilities are to those of the trainer's own forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logprobs {
    /// The same numbers in another order of sums: a difference beyond rounding is a fault.
    Exact,
    /// Of weights or a computation that round otherwise: differences are expected, and have to be corrected for.
    Approximate,
}

impl Logprobs {
    /// How near they are to those of a trainer that multiplies in a dtype: where it rounds, no sampler says the same numbers.
    #[must_use]
    pub fn beside(self, trainer: ComputeDtype) -> Self {
        match trainer {
            ComputeDtype::F32 => self,
            ComputeDtype::Bf16 => Self::Approximate,
        }
    }

    /// The mismatch KL, in nats per token, that is a fault unless a recipe says otherwise. Rounding costs up to 1.2e-2 in
    /// bfloat16 and 3.7e-2 in int8 (docs/experiments.md, docs/benchmarks.md); wrong weights cost more than either.
    #[must_use]
    pub fn mismatch_limit(self) -> f64 {
        match self {
            Self::Exact => 1e-3,
            Self::Approximate => 0.2,
        }
    }
}
