//! Numeric operations of the decoder, each behind one function: attention, experts and their router, norm, rotary
//! embedding, log-probabilities of tokens and of candidates. Callers never know which form runs.
//!
//! Every operation has a *reference composition* of Burn operations: it runs on every backend, has autodiff's
//! backward, and is the oracle of the others. Where it pays there is a Flex form beside it: fused loops on the CPU
//! with a backward by hand. `dispatch` chooses. This crate is the only library that may name a backend, and the
//! only one with `unsafe`, each block with its reason.

// B batch, T tokens, N = B * T rows, D hidden, H heads, G query heads per key-value head, E experts,
// K chosen experts a token, C expert capacity, F expert width, V vocabulary

mod adamw;
mod attention;
mod candidates;
mod cpu;
mod dispatch;
mod experts;
mod graph;
mod linear;
mod logits;
mod logprobs;
#[cfg(test)]
mod noise;
mod norm;
mod prepared;
mod rope;
mod router;
#[cfg(test)]
mod same;
mod softmax_row;
mod swiglu;

pub use adamw::{AdamWState, AdamWStep, adamw, sum_of_squares};
pub use attention::{
    KeyValueRing, Latest, Segments, attention, decode_attention, decode_latent_attention, latent_attention,
};
pub use candidates::{TopLogprobs, candidate_logprobs, top_logprobs};
pub use cpu::{Precision, keep_freed_memory};
pub use dispatch::compose_only;
pub use experts::{ExpertWeights, Permutation, experts};
pub use linear::linear;
pub use logits::LOGITS_AT_ONCE;
pub use logprobs::{TokenStatistics, token_logprobs};
pub use norm::rms_norm;
pub use prepared::{PreparedExperts, PreparedWeight};
pub use rope::{Angles, rotate_halves, rotate_interleaved};
pub use router::{Choice, Normalisation, Scoring, route_weights, router_scores};
pub use softmax_row::SoftmaxRow;
pub use swiglu::swiglu;
