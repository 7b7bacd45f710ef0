//! The text side of a recipe's run: how its model puts prompts, its problems, and its grader. What these warn of is printed
//! here; how they work is the business of the crates `text` and `env`.

use super::Recipe;
use crate::progress::Progress;
use anyhow::{Context, Result};
use ruminate_data::{SamplingParams, Seed, Stop};
use ruminate_env::{Grader, ProblemSettings, Problems, TextMetrics};
use ruminate_model::Config;
use ruminate_rollout as rollout;
use ruminate_text::{Controls, Preamble, PromptStyle, Renderer, unused_sampling};
use std::collections::HashSet;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

impl Recipe {
    /// What stands before its prompts.
    ///
    /// # Errors
    /// Those of a file of examples.
    pub(crate) fn preamble(&self) -> Result<Preamble> {
        Ok(ruminate_env::shots(&self.data, self.reward.reads_tags(&self.data))?)
    }

    /// Its problems. `positions` is the longest sequence that every model of the run can take.
    ///
    /// # Errors
    /// A bad line or a character without a token, a family that has too few problems.
    pub(crate) fn problems(&self, renderer: &Renderer, positions: usize, seed: Seed) -> Result<Problems> {
        let settings = self.problem_settings(positions);
        let _reading = self.data.train.as_deref().map(Progress::reading);
        Ok(Problems::new(&self.data, &self.reward, settings, renderer, seed, &mut notify)?)
    }

    /// Its problems to be measured on alone, from `data.eval` where it is named.
    ///
    /// # Errors
    /// As [`problems`](Self::problems).
    pub(crate) fn problems_for_evaluation(
        &self,
        renderer: &Renderer,
        positions: usize,
        seed: Seed,
    ) -> Result<Problems> {
        let settings = self.problem_settings(positions);
        let _reading = self.data.eval.as_deref().or(self.data.train.as_deref()).map(Progress::reading);
        Ok(Problems::for_evaluation(&self.data, &self.reward, settings, renderer, seed, &mut notify)?)
    }

    fn problem_settings(&self, positions: usize) -> ProblemSettings {
        ProblemSettings {
            positions,
            max_new_tokens: self.rollout.max_new_tokens,
            eval_n: self.eval.n,
            asked: self.max_steps.saturating_mul(self.grpo.prompts_per_step).max(self.distill.prompts),
            pools: self.grpo.pools.is_some(),
        }
    }

    /// What its texts ask of completions.
    pub(crate) fn controls(&self) -> Controls {
        let rollout::Config { stop, bad_words, thought_prefix, thinking_budget, thought_end, .. } =
            self.rollout.clone();
        Controls { stop, bad_words, thought_prefix, thinking_budget, thought_end }
    }

    /// What ends completions of a renderer's policy, and steers them on the way.
    ///
    /// # Errors
    /// Controls that cannot be.
    pub(crate) fn stop(&self, renderer: &Renderer) -> Result<Stop> {
        stop_of(&self.controls(), renderer, self.rollout.max_new_tokens).context("[rollout]")
    }

    /// What judges its completions.
    ///
    /// # Errors
    /// A reward that cannot be.
    pub(crate) fn grader<'a>(&self, renderer: &'a Renderer) -> Result<Grader<'a>> {
        let metrics = TextMetrics::new(&self.eval.self_check, &self.eval.languages);
        let grader = Grader::new(&self.reward, &self.data, self.threads, metrics, renderer)?;
        grader.warnings().iter().for_each(|warning| notice!("warning: {warning}"));
        Ok(grader)
    }
}

/// What controls ask of the completions of a renderer's policy.
///
/// # Errors
/// Controls that cannot be.
pub(crate) fn stop_of(controls: &Controls, renderer: &Renderer, max_new_tokens: usize) -> Result<Stop> {
    Ok(controls.stop(&renderer.tokenizer, &renderer.end_ids, max_new_tokens)?)
}

fn notify(line: String) {
    notice!("{line}");
}

/// A model folder's renderer.
///
/// # Errors
/// A tokenizer file that is missing or malformed, an ending token without an embedding.
pub(crate) fn load_renderer(folder: &Path, config: &Config, style: PromptStyle) -> Result<Renderer> {
    let renderer = Renderer::load(folder, config.vocab_size, &config.eos_token_ids, style)?;
    renderer.warnings().iter().for_each(|warning| warn_once(warning));
    Ok(renderer)
}

/// Says so where nothing ends a completion: what is taught then teaches no end.
pub(crate) fn warn_without_end(renderer: &Renderer) {
    if let Some(warning) = renderer.end_warning() {
        warn_once(&warning);
    }
}

/// Notes which sampling values of a model folder's `generation_config.json` are not used, where there are any.
pub(crate) fn note_unused_sampling(folder: &Path, sampling: &SamplingParams) {
    if let Some(note) = unused_sampling(folder, sampling) {
        notice!("note: {note}");
    }
}

/// Warns once of a model that is loaded several times in a run.
fn warn_once(warning: &str) {
    static TOLD: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.insert(warning.to_owned()) {
        notice!("warning: {warning}");
    }
}
