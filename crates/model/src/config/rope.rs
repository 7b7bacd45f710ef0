//! Rotary frequencies and their scaling rules: plain, YaRN, Llama 3.

use std::f64::consts::PI;

/// Position embedding: base and scaling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// How the frequencies are stretched for long contexts.
    pub scaling: Scaling,
}

/// How rotary frequencies are stretched beyond the pretrained context.
#[derive(Clone, Copy, Debug, PartialEq)]
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
}

impl Rope {
    /// `width / 2` frequencies in radians a token, in f32 like the checkpoints' own code.
    pub fn frequencies(&self, width: usize) -> Vec<f32> {
        let plain = |i: usize| self.theta.powf(-2.0 * i as f64 / width as f64);
        let frequency = |i: usize| match self.scaling {
            Scaling::None => plain(i),
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
            Scaling::None | Scaling::Llama3 { .. } => 1.0,
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
