//! What a loss knows of its tokens besides the policy's log-probabilities.

// N loss tokens

use burn::tensor::{Device, Tensor};

/// The loss tokens of packed sequences. Vectors have N entries but where they say that they may be empty.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// Log-probabilities under the policy of the ratio, in nats: the sampler, or with
    /// [`Correction::Truncate`](super::Correction) the trainer's policy before the step.
    pub old: Vec<f32>,
    /// Log-probabilities under the sampler, in nats; empty unless [`Correction::Truncate`](super::Correction) asks
    /// for them.
    pub sampler: Vec<f32>,
    /// Log-probabilities under the reference policy; empty without one.
    pub reference: Vec<f32>,
    /// The advantage of the token's completion.
    pub advantages: Vec<f32>,
    /// The token's share in the sum, from [`Reduction::weight`](super::Reduction::weight); 0 leaves it out.
    pub weights: Vec<f32>,
    /// Which sequence the token belongs to, from 0.
    pub sequence: Vec<u32>,
}

impl Tokens {
    /// `logp - old`, and 0 where `old` is not finite, so that no infinity meets a zero.
    ///
    /// # Shapes
    /// - `logprobs`: `[N]`, under the policy; result: `[N]`
    pub fn log_ratios(&self, logprobs: Tensor<1>) -> Tensor<1> {
        let device = logprobs.device();
        let present: Vec<f32> = self.old.iter().map(|old| f32::from(u8::from(old.is_finite()))).collect();
        let old: Vec<f32> = self.old.iter().map(|&old| if old.is_finite() { old } else { 0.0 }).collect();
        // Masked before exp: 0 x inf would be NaN in the backward pass.
        (logprobs - upload(&old, &device)) * upload(&present, &device)
    }

    /// The advantages as a tensor, `[N]`.
    pub fn advantages_on(&self, device: &Device) -> Tensor<1> {
        upload(&self.advantages, device)
    }

    /// How many tokens with a weight have a ratio and an advantage that `is_held` finds.
    pub(super) fn count(&self, ratios: &[f32], is_held: &dyn Fn(f64, f32) -> bool) -> f64 {
        let held =
            ratios.iter().zip(&self.advantages).zip(&self.weights).filter(
                |&((&ratio, &advantage), &weight)| weight > 0.0 && is_held(f64::from(ratio), advantage),
            );
        held.count() as f64
    }
}

pub(super) fn upload(values: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_floats(values, device)
}
