//! Rotary frequencies and their scaling rules: plain, YaRN, Llama 3, LongRoPE.

use std::f64::consts::PI;

/// Position embedding: base and scaling.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// How the frequencies are stretched for long contexts.
    pub scaling: Scaling,
}

/// How rotary frequencies are stretched beyond the pretrained context.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// YaRN (Peng et al., arXiv 2309.00071).
    Yarn {
        /// Extension of the context.
        factor: f64,
        /// Context before the extension, in tokens.
        original_max_position_embeddings: f64,
        /// Rotations in the original context above which a frequency is kept.
        beta_fast: f64,
        /// Rotations below which it is interpolated by `factor`.
        beta_slow: f64,
        /// Numerator's coefficient of the factor on cosines and sines.
        mscale: f64,
        /// Its denominator's; also the coefficient of the factor on scores.
        mscale_all_dim: f64,
        /// The factor on cosines and sines itself, where the file states it.
        attention_factor: Option<f64>,
    },
    /// Llama 3.1's piecewise rule.
    Llama3 {
        /// Extension of the context.
        factor: f64,
        /// Wavelengths longer than original context / this are divided by `factor`.
        low_freq_factor: f64,
        /// Wavelengths shorter than original context / this are kept.
        high_freq_factor: f64,
        /// Context before the extension, in tokens.
        original_max_position_embeddings: f64,
    },
    /// Dynamic NTK: frequencies change for sequences beyond the model's positions only, which are not computed.
    Dynamic {
        /// Extension of the context.
        factor: f64,
    },
    /// A divisor per frequency.
    LongRope(Box<LongRope>),
}

/// LongRoPE (Ding et al., arXiv 2402.13753) as Phi-3 has it: a divisor per frequency for sequences up to the original
/// context, and another one for longer sequences.
///
/// Only the short ones are used, and the model has the positions of its original context. transformers takes the long
/// divisors for all tokens of a sequence as soon as it is longer, so that the keys of its first tokens change when a
/// later one is added: a cache would hold keys of other frequencies than the forward pass that trains computes.
#[derive(Clone, Debug, PartialEq)]
pub struct LongRope {
    /// Divisors up to the original context.
    pub short_factor: Vec<f64>,
    /// Those of longer sequences, kept for the file.
    pub long_factor: Vec<f64>,
    /// Context before the extension, in tokens.
    pub original_max_position_embeddings: usize,
    /// Context after the extension, in tokens, as the file states it.
    pub max_position_embeddings: usize,
    /// Extension of the context where the file states it; else the ratio of the two.
    pub factor: Option<f64>,
    /// The factor on cosines and sines itself, where the file states it.
    pub attention_factor: Option<f64>,
}

impl LongRope {
    /// Factor on cosines and sines, at every length: `sqrt(1 + ln factor / ln original)`.
    fn angle_factor(&self) -> f64 {
        let original = self.original_max_position_embeddings as f64;
        let factor = self.factor.unwrap_or(self.max_position_embeddings as f64 / original);
        match self.attention_factor {
            Some(stated) => stated,
            None if factor <= 1.0 => 1.0,
            None => (1.0 + factor.ln() / original.ln()).sqrt(),
        }
    }
}

impl Rope {
    /// `width / 2` frequencies in radians a token, in f32 like the checkpoints' own code.
    pub fn frequencies(&self, width: usize) -> Vec<f32> {
        let plain = |i: usize| self.theta.powf(-2.0 * i as f64 / width as f64);
        let frequency = |i: usize| match self.scaling {
            Scaling::None | Scaling::Dynamic { .. } => plain(i),
            Scaling::LongRope(ref long) => plain(i) / long.short_factor[i],
            Scaling::Yarn { factor, original_max_position_embeddings, beta_fast, beta_slow, .. } => {
                // The dimension whose frequency turns `rotations` times in the original context.
                let dimension = |rotations: f64| {
                    width as f64 * (original_max_position_embeddings / (rotations * 2.0 * PI)).ln()
                        / (2.0 * self.theta.ln())
                };
                let low = dimension(beta_fast).floor().max(0.0);
                let high = dimension(beta_slow).ceil().min(width as f64 - 1.0);
                let span = if (high - low).abs() < f64::EPSILON { 0.001 } else { high - low };
                let interpolated = ((i as f64 - low) / span).clamp(0.0, 1.0);
                plain(i) / factor * interpolated + plain(i) * (1.0 - interpolated)
            }
            Scaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings: original,
            } => {
                let wavelength = 2.0 * PI / plain(i);
                if wavelength > original / low_freq_factor {
                    plain(i) / factor
                } else if wavelength < original / high_freq_factor {
                    plain(i)
                } else {
                    let kept =
                        (original / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    (1.0 - kept) * plain(i) / factor + kept * plain(i)
                }
            }
        };
        (0..width / 2).map(|i| frequency(i) as f32).collect()
    }

    /// Factor on cosines and sines.
    pub fn angle_factor(&self) -> f64 {
        match self.scaling {
            Scaling::Yarn { attention_factor: Some(stated), .. } => stated,
            Scaling::Yarn { factor, mscale, mscale_all_dim, .. }
                if mscale != 0.0 && mscale_all_dim != 0.0 =>
            {
                yarn_mscale(factor, mscale) / yarn_mscale(factor, mscale_all_dim)
            }
            Scaling::Yarn { factor, .. } => yarn_mscale(factor, 1.0),
            Scaling::LongRope(ref long) => long.angle_factor(),
            Scaling::None | Scaling::Llama3 { .. } | Scaling::Dynamic { .. } => 1.0,
        }
    }

    /// Factor on attention scores (DeepSeek only).
    pub(super) fn score_factor(&self) -> f64 {
        match self.scaling {
            Scaling::Yarn { factor, mscale_all_dim, .. } if mscale_all_dim != 0.0 => {
                yarn_mscale(factor, mscale_all_dim).powi(2)
            }
            _ => 1.0,
        }
    }
}

fn yarn_mscale(factor: f64, coefficient: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * coefficient * factor.ln() + 1.0 }
}
