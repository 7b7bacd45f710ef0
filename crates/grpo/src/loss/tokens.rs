//! What a loss knows of its tokens besides the policy's log-probabilities.

// N loss tokens, S sequences

use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor};

/// The loss tokens of packed sequences. Vectors have N entries but where they say that they may be empty.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// Log-probabilities under the policy of the ratio, in nats: the sampler, or with a
    /// [`Correction`](super::Correction) that has weights the trainer's policy before the step.
    pub old: Vec<f32>,
    /// Log-probabilities under the sampler, in nats; empty unless the [`Correction`](super::Correction) has weights.
    pub sampler: Vec<f32>,
    /// Log-probabilities under the reference policy; empty without one.
    pub reference: Vec<f32>,
    /// Entropies of the policy's next-token distributions, in nats; empty unless
    /// [`top_entropy_quantile`](super::PolicyLoss::top_entropy_quantile) is below 1.
    pub entropy: Vec<f32>,
    /// The advantage of the token's completion.
    pub advantages: Vec<f32>,
    /// The token's share in the sum, from [`Reduction::weight`](super::Reduction::weight); 0 leaves it out.
    pub weights: Vec<f32>,
    /// Which sequence the token belongs to, from 0.
    pub sequence: Vec<u32>,
}

impl Tokens {
    /// `logp - old`, and 0 where `old` is not finite or the token is left out, so that no infinity meets a zero.
    ///
    /// # Shapes
    /// - `logprobs`: `[N]`, under the policy; result: `[N]`
    pub fn log_ratios(&self, logprobs: Tensor<1>) -> Tensor<1> {
        let device = logprobs.device();
        let counts = |(old, weight): (&f32, &f32)| f32::from(u8::from(old.is_finite() && *weight != 0.0));
        let present: Vec<f32> = self.old.iter().zip(&self.weights).map(counts).collect();
        // Masked before exp: 0 x inf would be NaN in the backward pass.
        (logprobs - self.old_on(&device)) * upload(&present, &device)
    }

    /// `old` as a tensor, `[N]`, with 0 where it is not finite.
    pub fn old_on(&self, device: &Device) -> Tensor<1> {
        let old: Vec<f32> = self.old.iter().map(|&old| if old.is_finite() { old } else { 0.0 }).collect();
        upload(&old, device)
    }

    /// The advantages as a tensor, `[N]`.
    pub fn advantages_on(&self, device: &Device) -> Tensor<1> {
        upload(&self.advantages, device)
    }

    /// One number per token that depends on its advantage alone, `[N]`.
    pub fn by_advantage(&self, device: &Device, of: impl Fn(f32) -> f32) -> Tensor<1> {
        let values: Vec<f32> = self.advantages.iter().map(|&advantage| of(advantage)).collect();
        upload(&values, device)
    }

    /// The sum over each sequence's tokens that count, given to all of them.
    ///
    /// # Shapes
    /// - `values`: `[N]`; result: `[N]`
    pub fn sequence_sums(&self, values: Tensor<1>) -> Tensor<1> {
        self.shared(values, |_| 1.0)
    }

    /// The mean over each sequence's tokens that count, given to all of them.
    ///
    /// # Shapes
    /// - `values`: `[N]`; result: `[N]`
    pub fn sequence_means(&self, values: Tensor<1>) -> Tensor<1> {
        self.shared(values, |length| 1.0 / length.max(1.0))
    }

    fn shared(&self, values: Tensor<1>, share: impl Fn(f32) -> f32) -> Tensor<1> {
        let device = values.device();
        let mut lengths = vec![0.0_f32; self.sequences()];
        let counted: Vec<f32> = self.counted().map(|counts| f32::from(u8::from(counts))).collect();
        for (&sequence, &counted) in self.sequence.iter().zip(&counted) {
            lengths[sequence as usize] += counted;
        }
        let share: Vec<f32> = lengths.into_iter().map(share).collect();
        let ids: Vec<i32> = self.sequence.iter().map(|&sequence| sequence as i32).collect();
        let ids = Tensor::<1, Int>::from_ints(ids.as_slice(), &device);
        let values = values * upload(&counted, &device);
        let sums = Tensor::<1>::zeros([share.len()], &device).select_assign(
            0,
            ids.clone(),
            values,
            IndexingUpdateOp::Add,
        ); // [S]
        (sums * upload(&share, &device)).select(0, ids)
    }

    /// The sum over each sequence of a number per token that counts, by sequence.
    pub(super) fn host_sums(&self, of: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut sums = vec![0.0; self.sequences()];
        for (token, counts) in self.counted().enumerate() {
            if counts {
                sums[self.sequence[token] as usize] += of(token);
            }
        }
        sums
    }

    /// Whether each token has a weight.
    pub(super) fn counted(&self) -> impl Iterator<Item = bool> {
        self.weights.iter().map(|&weight| weight != 0.0)
    }

    fn sequences(&self) -> usize {
        self.sequence.iter().max().map_or(0, |&last| last as usize + 1)
    }

    /// How many tokens with a weight have a ratio and an advantage that `is_held` finds.
    pub(super) fn count(&self, ratios: &[f32], is_held: &dyn Fn(f64, f32) -> bool) -> f64 {
        let tokens = ratios.iter().zip(&self.advantages).zip(self.counted());
        let held =
            tokens.filter(|&((&ratio, &advantage), counts)| counts && is_held(f64::from(ratio), advantage));
        held.count() as f64
    }
}

pub(super) fn upload(values: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_floats(values, device)
}
