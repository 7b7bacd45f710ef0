//! The table `[eval]`.

use crate::error::Refusal;
use anyhow::Result;
use ruminate_data::{SamplingError, SamplingParams};
use ruminate_reward::LanguageId;
use ruminate_rollout::{Config as Rollout, Dtype, EngineConfig};
use serde::{Deserialize, Serialize};

/// What is measured before and after, on problems that training never sees.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "GivenEval")]
pub(crate) struct Eval {
    /// Problems per evaluation set, from 1; fewer where a file has no more. Under `pretrain`, traces.
    pub(crate) n: usize,
    /// Completions sampled per problem, from 1; greedy decoding comes on top.
    pub(crate) num_samples: usize,
    /// Temperature and top-p, where the next two keys do not state them.
    pub(crate) settings: Settings,
    /// Divides the logits; 0 is greedy. Without it `settings` decides.
    pub(crate) temperature: f64,
    /// Samples from the most probable tokens whose probabilities reach this sum, above 0 and at most 1.
    /// Without it `settings` decides.
    pub(crate) top_p: f64,
    /// Steps of `train-rl` between two small validations: the first `validation_n` problems of the set
    /// `validation`, one sample each, besides before the first step and after the last; 0 is none. Without it
    /// 10.
    #[serde(skip_serializing_if = "Option::is_none")] // a run without it is the same run as ever
    pub(crate) validation_steps: Option<usize>,
    /// Problems of a small validation, from 1; at most `n` are asked. Without it 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) validation_n: Option<usize>,
    /// The measure of a small validation by which a checkpoint is the best. Without it `"pass@1"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metric_for_best_model: Option<Metric>,
    /// Small validations in a row without a rise after which `train-rl` stops early, with exit code 0. Without
    /// it, and at 0, it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) early_stopping_patience: Option<usize>,
    /// How far the measure has to be above the best so far to count as a rise for `early_stopping_patience`,
    /// not negative. Without it 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) early_stopping_threshold: Option<f64>,
    /// Whether the main set is evaluated once more with an empty thought, which forces the policy to skip
    /// thinking.
    pub(crate) empty_thought: bool,
    /// Steps between two files of a step's completions, beside that of the first step; 0 writes none.
    pub(crate) completions_steps: usize,
    /// Phrases with which a thought checks itself, in lower or upper case. The share of completions whose
    /// thought has one is `self_check`; with `[]` it is not measured.
    pub(crate) self_check: Vec<String>,
    /// Languages that a thought may be in, by ISO 639-1 code. The share of completions whose thought is in
    /// more than one is `language_mixed`; with fewer than two languages it is not measured.
    pub(crate) languages: Vec<String>,
}

/// How completions are sampled for a figure to report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Settings {
    /// Temperature 1 and top-p 1: what training samples.
    #[default]
    Policy,
    /// DeepSeek-R1's: temperature 0.6 and top-p 0.95.
    R1,
}

impl Settings {
    fn temperature_and_top_p(self) -> (f64, f64) {
        match self {
            Self::Policy => (1.0, 1.0),
            Self::R1 => (0.6, 0.95),
        }
    }
}

/// A measure of a small validation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Metric {
    /// Share of the scored samples that are right.
    #[default]
    #[serde(rename = "pass@1")]
    PassAt1,
    /// Mean reward of the scored samples.
    #[serde(rename = "reward")]
    Reward,
}

impl Metric {
    /// Its name in a recipe, in rows and in `best.json`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PassAt1 => "pass@1",
            Self::Reward => "reward",
        }
    }
}

/// `[eval]` as a recipe gives it: what is left out depends on the settings.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GivenEval {
    n: usize,
    num_samples: usize,
    settings: Settings,
    temperature: Option<f64>,
    top_p: Option<f64>,
    completions_steps: usize,
    validation_steps: Option<usize>,
    validation_n: Option<usize>,
    metric_for_best_model: Option<Metric>,
    early_stopping_patience: Option<usize>,
    early_stopping_threshold: Option<f64>,
    empty_thought: bool,
    self_check: Vec<String>,
    languages: Vec<String>,
}

impl Default for GivenEval {
    fn default() -> Self {
        Self {
            n: 200,
            num_samples: 16,
            settings: Settings::default(),
            temperature: None,
            top_p: None,
            completions_steps: 10,
            validation_steps: None,
            validation_n: None,
            metric_for_best_model: None,
            early_stopping_patience: None,
            early_stopping_threshold: None,
            empty_thought: true,
            self_check: vec!["wait".to_owned()],
            languages: Vec::new(),
        }
    }
}

impl From<GivenEval> for Eval {
    fn from(given: GivenEval) -> Self {
        let (temperature, top_p) = given.settings.temperature_and_top_p();
        Self {
            n: given.n,
            num_samples: given.num_samples,
            settings: given.settings,
            temperature: given.temperature.unwrap_or(temperature),
            top_p: given.top_p.unwrap_or(top_p),
            completions_steps: given.completions_steps,
            validation_steps: given.validation_steps,
            validation_n: given.validation_n,
            metric_for_best_model: given.metric_for_best_model,
            early_stopping_patience: given.early_stopping_patience,
            early_stopping_threshold: given.early_stopping_threshold,
            empty_thought: given.empty_thought,
            self_check: given.self_check,
            languages: given.languages,
        }
    }
}

impl Default for Eval {
    fn default() -> Self {
        GivenEval::default().into()
    }
}

impl Eval {
    pub(crate) fn validate(&self) -> Result<()> {
        from_one("n", self.n)?;
        from_one("num_samples", self.num_samples)?;
        if let Some(n) = self.validation_n {
            from_one("validation_n", n)?;
        }
        let threshold = self.early_stopping_threshold();
        if !(threshold >= 0.0 && threshold.is_finite()) {
            let key = "early_stopping_threshold";
            return Err(
                SamplingError { key, found: threshold, expected: "a finite number, not negative" }.into()
            );
        }
        if self.validation_steps() == 0 && self.early_stopping_patience() > 0 {
            return Err(Refusal::usage(
                "`early_stopping_patience` counts small validations, and `validation_steps` is 0: there are none; set \
                 `validation_steps` above 0, or leave the patience out",
            ));
        }
        if let Some(code) = self.languages.iter().find(|code| LanguageId::new(code).is_none()) {
            let known = LanguageId::codes().join(", ");
            return Err(Refusal::usage(format!("`languages` has `{code}`; expected some of {known}")));
        }
        if self.self_check.iter().any(|phrase| phrase.trim().is_empty()) {
            return Err(Refusal::usage("`self_check` has an empty phrase, which every thought would hold"));
        }
        Ok(self.sampling(&Rollout::default()).validate()?)
    }

    /// Steps between two small validations; 0 is none.
    pub(crate) fn validation_steps(&self) -> usize {
        self.validation_steps.unwrap_or(10)
    }

    /// Problems of a small validation, where there are so many.
    pub(crate) fn validation_n(&self) -> usize {
        self.validation_n.unwrap_or(64)
    }

    /// The measure by which a checkpoint is the best.
    pub(crate) fn metric_for_best_model(&self) -> Metric {
        self.metric_for_best_model.unwrap_or_default()
    }

    /// Small validations without a rise after which a run stops; 0 never does.
    pub(crate) fn early_stopping_patience(&self) -> usize {
        self.early_stopping_patience.unwrap_or(0)
    }

    /// What a rise has to exceed.
    pub(crate) fn early_stopping_threshold(&self) -> f64 {
        self.early_stopping_threshold.unwrap_or(0.0)
    }

    /// Sampling of an evaluation: from its own distribution, without training's penalties, as long as training's completions.
    pub(crate) fn sampling(&self, rollout: &Rollout) -> SamplingParams {
        let Self { temperature, top_p, .. } = *self;
        let max_new_tokens = rollout.max_new_tokens;
        SamplingParams { temperature, top_p, max_new_tokens, ..SamplingParams::default() }
    }

    /// The engine of an evaluation: the policy's own numbers, and what training's engine may take.
    pub(crate) fn engine(rollout: &Rollout) -> EngineConfig {
        EngineConfig { dtype: Dtype::Float32, record_routing: true, ..rollout.engine() }
    }
}

pub(super) fn from_one(key: &'static str, count: usize) -> Result<()> {
    if count == 0 {
        return Err(SamplingError { key, found: 0.0, expected: "a whole number from 1" }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Eval;

    #[test]
    fn settings_are_defaults_that_a_recipe_can_depart_from() {
        let sampled = |toml: &str| {
            let eval: Eval = toml::from_str(toml).expect("valid");
            (eval.temperature, eval.top_p)
        };
        assert_eq!(sampled(""), (1.0, 1.0));
        assert_eq!(sampled("settings = 'r1'"), (0.6, 0.95));
        assert_eq!(sampled("settings = 'r1'\ntemperature = 0.7"), (0.7, 0.95));
        // What is written into a run folder reads as it was meant.
        let eval: Eval = toml::from_str("settings = 'r1'\ntop_p = 0.9").expect("valid");
        let again: Eval = serde_json::from_value(serde_json::to_value(&eval).expect("JSON")).expect("valid");
        assert_eq!((again.temperature, again.top_p), (0.6, 0.9));
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_key() {
        for (toml, says) in [
            ("languages = ['xx']", "`xx`"),
            ("self_check = ['']", "self_check"),
            ("validation_n = 0", "validation_n"),
            ("early_stopping_threshold = -0.1", "early_stopping_threshold"),
            ("validation_steps = 0\nearly_stopping_patience = 3", "`validation_steps` is 0"),
        ] {
            let eval: Eval = toml::from_str(toml).expect("well-formed");
            let message = format!("{:#}", eval.validate().expect_err(toml));
            assert!(message.contains(says), "{message}");
        }
    }
}
