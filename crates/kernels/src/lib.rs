//! Numeric operations of the decoder, each behind one function: attention, experts and their router, norm, rotary
//! embedding, log-probabilities of tokens and of candidates. Callers never know which form runs.
//!
//! Every operation has a *reference composition* of Burn operations: it runs on every backend, has autodiff's
//! backward, and is the oracle of the others. Where it pays there is a fused form of a backend beside it, with a
//! backward by hand: today loops on the CPU (Burn's Flex). Operations name no backend: each backend has a folder in
//! `backend`, which chooses between the forms, and alone may have `unsafe` code, each block with its reason.
//!
//! # Example
//!
//! Log-probabilities of given tokens, compared with their definition:
//!
//! ```
//! use burn::tensor::{Device, Int, Tensor, activation::log_softmax};
//! use ruminate_kernels::{rms_norm, token_logprobs};
//!
//! // States of two tokens, four wide, and an output head over a vocabulary of three.
//! let device = Device::flex();
//! let states = Tensor::<2>::from_floats([[1.0, 2.0, 0.5, -1.0], [3.0, -1.0, 0.0, 2.0]], &device);
//! let head = Tensor::<2>::from_floats(
//!     [[0.5, 0.1, -0.3, 0.2], [0.0, 0.5, 0.9, -0.4], [1.0, -0.2, 0.3, 0.7]],
//!     &device,
//! );
//! let gamma = Tensor::<1>::from_floats([1.0; 4], &device);
//! let hidden = rms_norm(states, gamma, 1e-6);
//!
//! // ln p of id 2 after the first token, and of id 0 after the second.
//! let fused = token_logprobs(hidden.clone(), head.clone(), &[2, 0], 1.0).logprobs;
//!
//! // The definition, which holds all logits in memory.
//! let all = log_softmax(hidden.matmul(head.transpose()), 1); // [2, 3]
//! let targets = Tensor::<2, Int>::from_ints([[2], [0]], &device);
//! let composed: Tensor<1> = all.gather(1, targets).squeeze_dim(1);
//! assert!((fused - composed).abs().max().into_scalar::<f32>() < 1e-4);
//! ```

// B batch, T tokens, N = B * T rows, D hidden, H heads, G query heads per key-value head, E experts,
// K chosen experts per token, C expert capacity, F expert width, V vocabulary

mod adamw;
mod adamw_int8;
mod attention;
mod backend;
mod candidates;
mod compute_dtype;
mod embedding;
mod experts;
#[cfg(test)]
mod grad_check;
mod linear;
mod logits;
mod logprobs;
mod norm;
mod prepared;
pub mod read;
mod rope;
mod router;
mod softmax_row;
mod swiglu;
#[cfg(test)]
mod test_inputs;

pub use adamw::{AdamWState, AdamWStep, adamw, sum_of_squares};
pub use adamw_int8::{AdamWInt8State, Int8Moment, adamw_int8};
pub use attention::{
    KeyValueRing, Segments, VisibleColumns, attention, decode_attention, decode_latent_attention,
    latent_attention,
};
pub use backend::cpu::keep_freed_memory;
pub use backend::disable_fused;
pub use candidates::{TopLogprobs, candidate_logprobs, top_logprobs};
pub use compute_dtype::ComputeDtype;
pub use embedding::embedding;
pub use experts::{ExpertWeights, Permutation, experts};
pub use linear::linear;
pub use logits::LOGITS_AT_ONCE;
pub use logprobs::{LogitEdit, Shaping, TokenStatistics, shaped_logprobs, token_logprobs};
pub use norm::rms_norm;
pub use prepared::{Precision, PreparedExperts, PreparedWeight};
pub use rope::{Angles, rotate_halves, rotate_interleaved};
pub use router::{Normalisation, RouterChoice, Scoring, route_weights, router_scores};
pub use softmax_row::SoftmaxRow;
pub use swiglu::{swiglu, swiglu_operand};

/// The examples of the README are tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
