//! Numeric operations of the decoder, each behind one function: attention, experts, norm, rotary embedding,
//! token log-probabilities. Callers never know which form runs.
//!
//! Today every operation is its *reference composition* of Burn operations: it runs on every backend, has
//! autodiff's backward, and is the oracle for faster forms. This crate is the only library that may name a
//! backend.

// B batch, T tokens, N = B * T rows, D hidden, H heads, G query heads per key-value head, E experts,
// K chosen experts a token, C expert capacity, F expert width, V vocabulary

mod attention;
mod experts;
mod logprobs;
#[cfg(test)]
mod noise;
mod norm;
mod rope;

pub use attention::{MASKED, attention, causal_bias};
pub use experts::{ExpertWeights, Permutation, experts};
pub use logprobs::{TokenStatistics, token_logprobs};
pub use norm::rms_norm;
pub use rope::{Angles, rotate_halves, rotate_interleaved};
