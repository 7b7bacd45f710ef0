//! DeepSeek-V3.2's off-policy sequence mask (arXiv 2512.02556, section 3.1; TRL's `off_policy_mask_threshold`): a completion with
//! a negative advantage that the policy has moved far away from teaches nothing.
//!
//! ```text
//! l_t = 1[A >= 0 or 1/|o| Σ_t (sampler_t - logp_t) <= threshold] · surrogate_t
//! ```

// N loss tokens

use crate::loss::Tokens;
use crate::loss::tokens::upload;
use burn::tensor::{Bool, Tensor};

/// Which tokens stay, `[N]`.
///
/// # Shapes
/// - `logprobs`: `[N]`, under the policy
pub(in crate::loss) fn on_policy(logprobs: Tensor<1>, tokens: &Tokens, threshold: f64) -> Tensor<1, Bool> {
    let device = logprobs.device();
    let sampler = if tokens.sampler.is_empty() { &tokens.old } else { &tokens.sampler };
    let known: Vec<f32> = sampler.iter().map(|of| f32::from(u8::from(of.is_finite()))).collect();
    let sampler: Vec<f32> = sampler.iter().map(|&of| if of.is_finite() { of } else { 0.0 }).collect();
    let moved = (upload(&sampler, &device) - logprobs.detach()) * upload(&known, &device);
    let far = tokens.sequence_means(moved).greater_elem(threshold);
    let negative = tokens.by_advantage(&device, |advantage| if advantage < 0.0 { 1.0 } else { 0.0 });
    far.bool_and(negative.greater_elem(0.5)).bool_not()
}
