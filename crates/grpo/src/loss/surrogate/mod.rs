//! Surrogates: the loss of each token, what `grpo.loss_type` chooses. A file per choice; a program's own implements
//! [`Surrogate`].

// N loss tokens

mod cispo;
mod clip;
mod covariance;
mod dppo;
mod dro;
mod geo_mean;
mod gspo;
mod importance;
mod reinforce;
mod sapo;
mod sequence_clip;
mod vespo;

use super::{Correction, Tokens};
use burn::tensor::Tensor;
use std::fmt::Debug;

pub use cispo::Cispo;
pub use clip::Clip;
pub use covariance::{ClipCov, KlCov};
pub use dppo::{Divergence, Dppo};
pub use dro::Dro;
pub use geo_mean::GeoMean;
pub use gspo::{Gspo, GspoToken};
pub use importance::ImportanceSampling;
pub use reinforce::Reinforce;
pub use sapo::Sapo;
pub use sequence_clip::SequenceClip;
pub use vespo::{Gamma, Vespo};

/// The loss of each token. KL term, correction weights and reduction are [`PolicyLoss`](crate::PolicyLoss)'s.
pub trait Surrogate: Debug + Send + Sync {
    /// Losses of the tokens, with a gradient by `logprobs`. [`Tokens`] has the ratio's parts and the advantages;
    /// `correction` says by [`Correction::limit`] whether the ratio has a cap.
    ///
    /// # Shapes
    /// - `logprobs`: `[N]`, under the policy; result: `[N]`
    fn losses(&self, logprobs: Tensor<1>, tokens: &Tokens, correction: Correction) -> TokenLosses;

    /// Whether a completion with advantage 0 has neither loss nor gradient: then it is not computed.
    fn is_zero_without_advantage(&self) -> bool {
        false
    }

    /// Whether a token's loss depends on the other tokens of its sequence. Then a token that a correction drops stays in what
    /// they share; else its ratio is not computed.
    fn spans_sequences(&self) -> bool {
        false
    }
}

/// What a [`Surrogate`] returns.
pub struct TokenLosses {
    /// `[N]`, to be differentiated.
    pub values: Tensor<1>,
    /// Which tokens the surrogate held back; none holds none.
    pub(super) held: Option<Held>,
}

/// Which tokens a surrogate held back: ratios `[N]`, and whether a ratio with its advantage is one of them. They are read
/// from the device together with what else a microbatch has to say.
pub(super) struct Held {
    pub(super) ratio: Tensor<1>,
    pub(super) is_held: Box<dyn Fn(f64, f32) -> bool>,
}

impl TokenLosses {
    /// The same, with the tokens that were held back counted for the metric `clip_ratio/region_mean`: those with a weight
    /// whose ratio and advantage `is_held` finds.
    ///
    /// # Shapes
    /// - `ratio`: `[N]`
    #[must_use]
    pub fn counting(self, ratio: Tensor<1>, is_held: impl Fn(f64, f32) -> bool + 'static) -> Self {
        Self { held: Some(Held { ratio: ratio.detach(), is_held: Box::new(is_held) }), ..self }
    }
}

impl From<Tensor<1>> for TokenLosses {
    /// Losses of a surrogate that holds no token back.
    fn from(values: Tensor<1>) -> Self {
        Self { values, held: None }
    }
}
