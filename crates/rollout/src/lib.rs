//! Generation: from prompts as token ids to completions as token ids with the sampler's log-probabilities. It
//! knows a decoder and its cache; it does not know text, tasks or rewards.
//!
//! [`generate`] keeps a batch of slots busy: finished sequences leave, waiting ones enter (continuous
//! batching), a prompt that several requests share is computed once. A request's randomness is its own, so
//! what it samples does not depend on who shares its batch. [`Sampling`] says what it samples from, how much memory
//! and how long a prompt it takes at once, and whether the model guesses a token ahead.

mod budget;
mod dtype;
mod engine;
mod error;
mod prefill;
mod rejection;
mod sampler;
mod sampling;
mod siblings;
mod slots;
mod speculation;
mod writing;

pub use budget::Budget;
pub use dtype::{Dtype, UnknownDtype};
pub use engine::{Flow, Options, RecordRouting, Request, generate, generate_streaming};
pub use error::Error;
pub use sampler::Choice;
pub use sampling::{Sampling, SamplingError, Speculative, UnknownSpeculative};
pub use siblings::{generate_groups, generate_siblings};
pub use speculation::Tally;
