//! The recipe of distillation: how the student learns, and which traces from. Sampling is [`rollout::Config`](ruminate_rollout::Config)'s, the student's
//! training [`supervised::Config`](ruminate_train::supervised::Config)'s.

use crate::Error;
use serde::{Deserialize, Serialize};

/// What the student learns from its teacher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// To write the teacher's traces: DeepSeek-R1's way.
    #[default]
    Traces,
    /// The teacher's distribution at every token of its traces.
    Logits,
    /// The teacher's log-probability of every token of the student's own completions.
    OnPolicy,
}

/// How the student learns, how many traces are sampled, and which are learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What the student learns from its teacher. All but `traces` need one tokenizer for both.
    pub method: Method,
    /// For `logits`, from 0 to 1: 0 is the forward KL, 1 the reverse one, between them the generalised
    /// Jensen-Shannon divergence (TRL's `GKDConfig.beta`).
    pub beta: f64,
    /// For `logits`: divides the logits of teacher and student; above 0.
    pub temperature: f64,
    /// For `logits`: how many of the teacher's most probable tokens are kept per token of a trace, the others
    /// as one; 0 keeps all. One token takes 8 `top_k` + 4 bytes on disk.
    pub top_k: usize,
    /// For `on_policy`: KL between sampler and trainer, in nats per token, that ends the run (exit 8) when
    /// exceeded three steps in a row; `inf` never does. Without it 1e-3; 0.2 where the sampler or the trainer rounds
    /// (`rollout.dtype`, `train.dtype`).
    pub max_mismatch_kl: Option<f64>,
    /// Completions per problem, from 1.
    pub num_samples: usize,
    /// Reward components that must be exactly 1 for a trace to be kept, by name; one that a verdict lacks
    /// counts as missed. `[]` requires none.
    pub required_rewards: Vec<String>,
    /// Traces kept per prompt, the first ones; 0 keeps all, and easy problems then have more of them than
    /// hard ones.
    pub max_traces_per_prompt: usize,
    /// Fewest tokens of a kept completion, the ending one included.
    pub min_length: usize,
    /// Most tokens of a kept completion; 0 is no limit but that of sampling.
    pub max_length: usize,
    /// Tokens per n-gram in the measure of repetition, from 1.
    pub repetition_ngram: usize,
    /// Largest share of a kept completion's n-grams that may have occurred in it before, from 0 to 1; 1 keeps
    /// everything.
    pub max_repetition: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            method: Method::Traces,
            beta: 0.0,
            temperature: 1.0,
            top_k: 64,
            max_mismatch_kl: None,
            num_samples: 4,
            required_rewards: vec!["format".to_owned()],
            max_traces_per_prompt: 0,
            min_length: 0,
            max_length: 0,
            repetition_ngram: 8,
            max_repetition: 1.0,
        }
    }
}

impl Config {
    /// Checks every value, before any tensor is made.
    ///
    /// # Errors
    /// [`Error::Range`] names the first key whose value cannot be.
    pub fn validate(&self) -> Result<(), Error> {
        if !(0.0..=1.0).contains(&self.beta) {
            let expected = "a number from 0 (forward KL) to 1 (reverse KL)";
            return Err(Error::Range { key: "beta", found: self.beta.to_string(), expected });
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            let expected = "a finite number above 0";
            return Err(Error::Range { key: "temperature", found: self.temperature.to_string(), expected });
        }
        // NaN limits nothing, and would do so in silence.
        if let Some(limit) = self.max_mismatch_kl.filter(|limit| limit.is_nan() || *limit <= 0.0) {
            let (found, expected) = (limit.to_string(), "a number above 0, or inf");
            return Err(Error::Range { key: "max_mismatch_kl", found, expected });
        }
        if self.num_samples == 0 {
            let expected = "a whole number from 1";
            return Err(Error::Range { key: "num_samples", found: "0".to_owned(), expected });
        }
        if self.max_length > 0 && self.max_length < self.min_length {
            let expected = "0 for no limit, or at least min_length";
            return Err(Error::Range { key: "max_length", found: self.max_length.to_string(), expected });
        }
        if self.repetition_ngram == 0 {
            let expected = "a whole number from 1";
            return Err(Error::Range { key: "repetition_ngram", found: "0".to_owned(), expected });
        }
        if !(0.0..=1.0).contains(&self.max_repetition) {
            let found = self.max_repetition.to_string();
            return Err(Error::Range { key: "max_repetition", found, expected: "a share, from 0 to 1" });
        }
        if self.required_rewards.iter().any(String::is_empty) {
            let expected = "names of the reward's components";
            return Err(Error::Range {
                key: "required_rewards",
                found: "an empty name".to_owned(),
                expected,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn a_recipe_states_departures_only_and_no_unknown_key() {
        let config: Config = serde_json::from_str(r#"{"num_samples": 2}"#).expect("a recipe");
        assert_eq!(config, Config { num_samples: 2, ..Config::default() });
        assert!(serde_json::from_str::<Config>(r#"{"num_smaples": 2}"#).is_err());
    }

    #[test]
    fn nonsense_is_refused_by_its_key() {
        assert!(Config::default().validate().is_ok());
        let broken = [
            ("beta", Config { beta: 1.5, ..Config::default() }),
            ("temperature", Config { temperature: 0.0, ..Config::default() }),
            ("max_mismatch_kl", Config { max_mismatch_kl: Some(f64::NAN), ..Config::default() }),
            ("num_samples", Config { num_samples: 0, ..Config::default() }),
            ("max_length", Config { min_length: 5, max_length: 4, ..Config::default() }),
            ("repetition_ngram", Config { repetition_ngram: 0, ..Config::default() }),
            ("max_repetition", Config { max_repetition: f64::NAN, ..Config::default() }),
            ("required_rewards", Config { required_rewards: vec![String::new()], ..Config::default() }),
        ];
        for (key, config) in broken {
            let message = config.validate().expect_err(key).to_string();
            assert!(message.contains(key), "{message}");
        }
    }
}
