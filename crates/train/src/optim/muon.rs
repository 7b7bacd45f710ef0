//! Muon with the numbers of `torch.optim.Muon`: momentum whose singular values are all moved near 1
//! by a Newton-Schulz iteration, so that a step goes as far along rare directions as along common
//! ones (Jordan et al. 2024, <https://kellerjordan.github.io/posts/muon>; Liu et al. 2025, arXiv
//! 2502.16982).
//!
//! It takes the matrices of the blocks, routers included, as arXiv 2502.16982 does: the spectrum of
//! routers gains most there. Each expert is a matrix of its own, and so are its gate and up
//! projection, though they lie in one tensor. Embeddings and the output head are AdamW's: a row
//! belongs to a token, and most rows have no gradient in a step. Vectors have no spectrum. The
//! factors of an adapter are AdamW's, too: what they change is their product, and two orthogonal
//! factors make no orthogonal step of it.

// B matrices of a parameter, of M rows and N columns each; n = B M N elements. S the smaller and L
// the larger of M and N

use super::{AdamW, Buffer, Optimizer, ParameterKind, ParameterState, ParameterUpdate, StepParams};
use crate::Error;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Coefficients of `a x + b x^3 + c x^5`, steep at 0 rather than exact at 1 (Jordan et al. 2024).
const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];

/// A matrix of a smaller norm is not scaled up to 1.
const EPSILON: f64 = 1e-7;

/// Ratio of AdamW's usual root mean square of an update to that of an orthogonal matrix (arXiv
/// 2502.16982, section 2.2).
const ADAMW_RMS: f64 = 0.2;

/// Iterations above which something else was meant; `torch.optim.Muon` has the same limit.
const MAX_STEPS: usize = 99;

/// Settings of Muon, by their names in `torch.optim.Muon`. Rate and weight decay are those of the
/// table above; betas and epsilon there are of the parameters that AdamW takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Muon {
    /// Decay of the running mean of gradients, from 0 to below 1.
    pub momentum: f64,
    /// Whether the gradient is mixed into its running mean once more (Nesterov).
    pub nesterov: bool,
    /// Newton-Schulz iterations, from 1 to 99.
    pub ns_steps: usize,
    /// How the rate of a matrix depends on its M rows and N columns.
    pub adjust_lr_fn: LrAdjustment,
    /// Factor on the learning rate of the matrices, above 0. `original` wants about 60: 0.02 where
    /// AdamW has 3e-4.
    pub lr_multiplier: f64,
}

/// How the rate of a matrix of M rows and N columns depends on its shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrAdjustment {
    /// Times `sqrt(max(1, M / N))`, as Keller Jordan has it and torch by default.
    Original,
    /// Times `0.2 sqrt(max(M, N))`: steps as large as AdamW's, so that one rate fits all parameters
    /// and rates of AdamW stay good (arXiv 2502.16982, eq. 4).
    #[default]
    MatchRmsAdamw,
    /// Times `sqrt(M / N)` (Bernstein 2025, <https://jeremybernste.in/writing/deriving-muon>).
    SpectralUnclamped,
}

impl LrAdjustment {
    fn factor(self, rows: usize, columns: usize) -> f64 {
        let (rows, columns) = (rows as f64, columns as f64);
        match self {
            Self::Original => (rows / columns).max(1.0).sqrt(),
            Self::MatchRmsAdamw => ADAMW_RMS * rows.max(columns).sqrt(),
            Self::SpectralUnclamped => (rows / columns).sqrt(),
        }
    }
}

impl Default for Muon {
    fn default() -> Self {
        Self {
            momentum: 0.95,
            nesterov: true,
            ns_steps: 5,
            adjust_lr_fn: LrAdjustment::MatchRmsAdamw,
            lr_multiplier: 1.0,
        }
    }
}

impl Optimizer for Muon {
    fn name(&self) -> &'static str {
        "muon"
    }

    // Named as in the state of `torch.optim.Muon`.
    fn buffers(&self, kind: ParameterKind) -> &'static [&'static str] {
        match kind {
            ParameterKind::Matrix => &["momentum_buffer"],
            kind => AdamW.buffers(kind),
        }
    }

    fn update(&self, update: ParameterUpdate<'_>) -> (Tensor<1>, ParameterState) {
        if update.parameter.kind() != ParameterKind::Matrix {
            return AdamW.update(update);
        }
        let ParameterUpdate { parameter, value, gradient, clip, state, params } = update;
        let ParameterState { buffers, updates } = state;
        let [momentum]: [Buffer; 1] = buffers.try_into().expect("Muon has one buffer");
        let momentum = momentum.into_float32();
        let StepParams { learning_rate, weight_decay, .. } = params;
        let (old, new) = (self.momentum, 1.0 - self.momentum);

        let gradient = if clip < 1.0 { gradient.mul_scalar(clip) } else { gradient };
        let momentum = momentum.mul_scalar(old) + gradient.clone().mul_scalar(new);
        let direction = if self.nesterov {
            gradient.mul_scalar(new) + momentum.clone().mul_scalar(old)
        } else {
            momentum.clone()
        };
        let [count, rows, columns] = parameter.matrices();
        let length = direction.dims();
        let direction = orthogonalised(direction.reshape([count, rows, columns]), self.ns_steps);

        let rate = learning_rate * self.lr_multiplier;
        let step = rate * self.adjust_lr_fn.factor(rows, columns);
        let value = value.mul_scalar(1.0 - rate * weight_decay);
        let value = value - direction.reshape(length).mul_scalar(step);
        (value, ParameterState { buffers: vec![momentum.into()], updates })
    }

    // The iterate before and after a step, the product that is added to it, and two Gram matrices: each is S / L of it, and
    // both count as one more.
    fn scratch(&self) -> usize {
        4
    }

    fn validate(&self) -> Result<(), Error> {
        let Self { momentum, ns_steps, lr_multiplier, .. } = *self;
        let range = |key, found: String, expected| Err(Error::Range { key, found, expected });
        if !(0.0..1.0).contains(&momentum) {
            return range("muon.momentum", momentum.to_string(), "a number from 0 to below 1");
        }
        if !(1..=MAX_STEPS).contains(&ns_steps) {
            return range("muon.ns_steps", ns_steps.to_string(), "a whole number from 1 to 99");
        }
        if !(lr_multiplier > 0.0 && lr_multiplier.is_finite()) {
            return range("muon.lr_multiplier", lr_multiplier.to_string(), "a finite number above 0");
        }
        Ok(())
    }
}

/// Each matrix `U S V^T` as about `U V^T`: after five iterations its singular values lie around 1,
/// most of them within 0.7 and 1.2. In the precision of the tensor, where torch rounds to bf16.
///
/// # Shapes
/// - `matrices`, result: `[B, M, N]`
fn orthogonalised(matrices: Tensor<3>, iterations: usize) -> Tensor<3> {
    let [_, rows, columns] = matrices.dims();
    let is_tall = rows > columns;
    // The Gram matrix is of the smaller side.
    let x = if is_tall { matrices.swap_dims(1, 2) } else { matrices }; // [B, S, L]
    let norm = x.clone().square().sum_dim(2).sum_dim(1).sqrt().clamp_min(EPSILON); // [B, 1, 1]
    let mut x = x / norm;
    let [a, b, c] = COEFFICIENTS;
    for _ in 0..iterations {
        let gram = x.clone().matmul(x.clone().swap_dims(1, 2)); // [B, S, S]
        let polynomial = gram.clone().matmul(gram.clone()).mul_scalar(c) + gram.mul_scalar(b);
        x = polynomial.matmul(x.clone()) + x.mul_scalar(a);
    }
    if is_tall { x.swap_dims(1, 2) } else { x }
}

#[cfg(test)]
mod tests;
