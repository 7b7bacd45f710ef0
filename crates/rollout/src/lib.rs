//! Generation: from prompts as token ids to completions as token ids with the sampler's log-probabilities. It
//! knows a decoder and its cache; it does not know text, tasks or rewards.
//!
//! [`generate`] keeps a batch of slots busy: finished sequences leave, waiting ones enter (continuous
//! batching), a prompt that several requests share is computed once. A request's randomness is its own, so
//! what it samples does not depend on who shares its batch.

mod dtype;
mod engine;
mod sampler;
mod siblings;
mod slots;

pub use dtype::{Dtype, UnknownDtype};
pub use engine::{Flow, Options, RecordRouting, Request, generate, generate_streaming};
pub use sampler::{Choice, Sampling, SamplingError};
pub use siblings::{Stopped, generate_siblings};
