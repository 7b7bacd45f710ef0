//! Rotary embedding: what metadata and `rope_freqs.weight` say, in the words of `config.json`. It refuses to compute
//! angles.

use crate::error::{Error, shown};
use crate::metadata::Metadata;
use serde_json::{Value, json};
use std::f64::consts::PI;

/// How rotary frequencies are stretched for long contexts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scaling {
    None,
    Yarn {
        factor: f64,
        original: u64,
        beta_fast: f64,
        beta_slow: f64,
    },
    /// Llama 3.1's piecewise rule.
    Llama3 {
        factor: f64,
        low: f64,
        high: f64,
        original: f64,
    },
}

impl Scaling {
    /// The value of `rope_scaling`.
    pub(crate) fn to_json(self) -> Value {
        match self {
            Self::None => Value::Null,
            Self::Yarn { factor, original, beta_fast, beta_slow } => json!({
                "rope_type": "yarn",
                "factor": factor,
                "original_max_position_embeddings": original,
                "beta_fast": beta_fast,
                "beta_slow": beta_slow,
            }),
            Self::Llama3 { factor, low, high, original } => json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low,
                "high_freq_factor": high,
                "original_max_position_embeddings": original as u64,
            }),
        }
    }

    /// Reads `<architecture>.rope.scaling.*`; `divisors` are the elements of `rope_freqs.weight`, where it is there.
    pub(crate) fn read(
        metadata: &Metadata,
        architecture: &str,
        theta: f64,
        divisors: Option<&[f32]>,
    ) -> Result<Self, Error> {
        let key = |name: &str| format!("{architecture}.rope.scaling.{name}");
        // llama.cpp takes a file without the key for one of 2023, which had linear scaling only.
        let kind = metadata.text(&key("type"))?.unwrap_or("linear");
        let positive = |name: &str, default: Option<f64>| match metadata.number(&key(name))?.or(default) {
            Some(number) if number > 0.0 => Ok(number),
            _ => Err(metadata.wrong(&key(name), "a number above 0")),
        };
        // A negative number leaves the choice to the type.
        let (extrapolation, usual) = (key("yarn_ext_factor"), if kind == "yarn" { 1.0 } else { 0.0 });
        if metadata.number(&extrapolation)?.is_some_and(|factor| factor >= 0.0 && factor != usual) {
            return Err(metadata.wrong(&extrapolation, format!("{usual}, or absent")));
        }
        if kind == "linear"
            && metadata.number(&key("factor"))?.is_some_and(|factor| ![0.0, 1.0].contains(&factor))
        {
            return Err(metadata.wrong(&key("factor"), "1, or another type: linear scaling is not supported"));
        }
        match (kind, divisors) {
            ("none" | "linear", None) => Ok(Self::None),
            ("none" | "linear", Some(divisors)) => from_divisors(theta, divisors),
            ("yarn", None) => Ok(Self::Yarn {
                factor: positive("factor", None)?,
                original: match metadata.unsigned(&key("original_context_length"))? {
                    Some(original @ 1..=0x1000_0000) => original,
                    _ => return Err(metadata.wrong(&key("original_context_length"), "a number of tokens")),
                },
                beta_fast: positive("yarn_beta_fast", Some(32.0))?,
                beta_slow: positive("yarn_beta_slow", Some(1.0))?,
            }),
            (_, Some(_)) => Err(Error::Metadata {
                key: key("type"),
                expected: "none beside the tensor rope_freqs.weight".to_owned(),
                found: format!("{:?}", shown(kind)),
            }),
            _ => Err(metadata.wrong(&key("type"), "none or yarn")),
        }
    }
}

/// llama.cpp's converter evaluates Llama 3's rule and stores, for each frequency, what it is divided by. Backwards:
/// the largest divisor is `factor`; between the two wavelengths `original / high` and `original / low` a frequency `f`
/// is mixed with weight `s = (original f / 2 pi - low) / (high - low)`, a line in `f` whose slope and intercept two
/// frequencies give. The line decides `low`, `high` and `original` up to a common factor; all published models have
/// `low = 1`.
fn from_divisors(theta: f64, divisors: &[f32]) -> Result<Scaling, Error> {
    let factor = divisors.iter().copied().fold(1.0_f32, f32::max);
    if divisors.iter().all(|&divisor| divisor == 1.0) {
        return Ok(Scaling::None);
    }
    let factor = f64::from(factor);
    let turns: Vec<f64> = rotations(theta, divisors.len()).collect();
    let rotations = |i: usize| turns[i];
    // What Llama 3.1 and 3.2 have; too few frequencies between the two wavelengths leave nothing else to go by.
    let mut candidates = vec![(4.0, 8192.0)];
    let mixed: Vec<usize> =
        (0..divisors.len()).filter(|&i| divisors[i] > 1.0 && f64::from(divisors[i]) < factor).collect();
    if let [first, .., last] = *mixed.as_slice() {
        let kept = |i: usize| (1.0 / f64::from(divisors[i]) - 1.0 / factor) / (1.0 - 1.0 / factor);
        let slope = (kept(first) - kept(last)) / (rotations(first) - rotations(last));
        let intercept = kept(first) - slope * rotations(first);
        let high = ((1.0 - 1.0 / intercept) * 1000.0).round() / 1000.0;
        candidates.push((high, (slope * (high - 1.0)).round()));
    }
    let rule = |high: f64, original: f64, i: usize| divisor(rotations(i), [factor, 1.0, high, original]);
    // The first place where a candidate and the file part.
    let differs = |(high, original): (f64, f64)| {
        (0..divisors.len()).find(|&i| {
            let (found, expected) = (f64::from(divisors[i]), rule(high, original, i));
            let same = (found - expected).abs() <= 1e-3 * expected; // not of a NaN
            !same
        })
    };
    let usable = |&(high, original): &(f64, f64)| high > 1.0 && (1.0..=268_435_456.0).contains(&original);
    let mut candidates = candidates.into_iter().filter(usable);
    if let Some((high, original)) = candidates.clone().find(|&candidate| differs(candidate).is_none()) {
        return Ok(Scaling::Llama3 { factor, low: 1.0, high, original });
    }
    let best = candidates.next_back().unwrap_or((4.0, 8192.0));
    let index = differs(best).unwrap_or_default();
    Err(Error::RopeFactors { index, found: divisors[index], expected: rule(best.0, best.1, index) as f32 })
}

/// What Llama 3's rule divides a frequency by that makes so many rotations a token.
fn divisor(rotations: f64, [factor, low, high, original]: [f64; 4]) -> f64 {
    let kept = (original * rotations - low) / (high - low);
    1.0 / (kept.clamp(0.0, 1.0) * (1.0 - 1.0 / factor) + 1.0 / factor)
}

/// The rotations a token of each frequency of a head of this many pairs.
fn rotations(theta: f64, pairs: usize) -> impl Iterator<Item = f64> {
    (0..pairs).map(move |i| theta.powf(-(i as f64) / pairs as f64) / (2.0 * PI))
}

impl Scaling {
    /// The elements of `rope_freqs.weight` for a head of this width; none where there is nothing to divide.
    pub(crate) fn divisors(self, theta: f64, head_dim: u64) -> Vec<f32> {
        let Self::Llama3 { factor, low, high, original } = self else { return Vec::new() };
        rotations(theta, head_dim as usize / 2)
            .map(|rotations| divisor(rotations, [factor, low, high, original]) as f32)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Scaling, from_divisors};

    /// The rule as transformers' `_compute_llama3_parameters` writes it, by wavelength.
    fn divisors(theta: f64, width: usize, factor: f64, low: f64, high: f64, original: f64) -> Vec<f32> {
        let divisor = |i: usize| {
            let frequency = theta.powf(-2.0 * i as f64 / width as f64);
            let wavelength = 2.0 * std::f64::consts::PI / frequency;
            if wavelength < original / high {
                1.0
            } else if wavelength > original / low {
                factor
            } else {
                let smooth = (original / wavelength - low) / (high - low);
                1.0 / ((1.0 - smooth) / factor + smooth)
            }
        };
        (0..width / 2).map(|i| divisor(i) as f32).collect()
    }

    #[test]
    fn the_factors_of_llama_3_1_and_3_2_are_found_from_their_frequencies() {
        for (width, factor) in [(128, 8.0), (64, 32.0), (16, 8.0)] {
            let scaling = from_divisors(500_000.0, &divisors(500_000.0, width, factor, 1.0, 4.0, 8192.0));
            assert_eq!(
                scaling.expect("Llama 3's rule"),
                Scaling::Llama3 { factor, low: 1.0, high: 4.0, original: 8192.0 }
            );
        }
    }

    #[test]
    fn factors_of_another_model_are_solved_for() {
        let scaling = from_divisors(10_000.0, &divisors(10_000.0, 64, 4.0, 1.0, 8.0, 2048.0));
        assert_eq!(
            scaling.expect("the rule"),
            Scaling::Llama3 { factor: 4.0, low: 1.0, high: 8.0, original: 2048.0 }
        );
    }

    #[test]
    fn divisors_of_one_are_no_scaling() {
        assert_eq!(from_divisors(10_000.0, &[1.0; 8]).expect("nothing to scale"), Scaling::None);
    }

    #[test]
    fn frequencies_of_another_rule_are_refused() {
        let mut longrope = divisors(500_000.0, 64, 8.0, 1.0, 4.0, 8192.0);
        longrope[3] = 1.7;
        for wrong in [longrope, vec![f32::NAN; 4], vec![0.0; 4], vec![-1.0, 2.0], vec![f32::INFINITY; 3]] {
            assert!(from_divisors(500_000.0, &wrong).is_err(), "{wrong:?}");
        }
    }
}
