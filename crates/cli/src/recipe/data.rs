//! `[data]`: where problems, traces and texts come from. It does not read them.

use crate::exit::Refusal;
use anyhow::Result;
use ruminate_data::split::Shares;
use ruminate_data::traces::Mix;
use ruminate_data::{Error, jsonl, procedural};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

/// Where problems, traces and texts come from. Paths are relative to the current folder.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Data {
    /// A procedural family.
    pub(crate) task: Option<String>,
    /// Its parameters; what is absent has reasoning-gym's value.
    pub(crate) params: Value,
    /// What sorts of traces a base is pretrained on.
    pub(crate) mix: Mix,
    /// Shares of problems that training never sees. Of a file, only `held_out` is kept apart.
    pub(crate) split: Shares,
    /// Tasks (`train-rl`, `eval`) or conversations (`sft`) as JSONL; goes before `task`.
    pub(crate) train: Option<PathBuf>,
    /// Held-out tasks as JSONL; without it a share of `train` is held out by its prompts' hashes.
    pub(crate) eval: Option<PathBuf>,
    /// JSONL with `text`, to pretrain on instead of traces.
    pub(crate) corpus: Option<PathBuf>,
    /// What happens to a line that is not what it must be.
    pub(crate) bad_lines: BadLines,
    /// How a bare prompt is put to the policy.
    pub(crate) prompt: PromptStyle,
}

/// What happens to a bad line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BadLines {
    /// It ends the run before any training.
    #[default]
    Refuse,
    /// It is left out and counted.
    Skip,
}

impl From<BadLines> for jsonl::BadLines {
    fn from(bad_lines: BadLines) -> Self {
        match bad_lines {
            BadLines::Refuse => Self::Refuse,
            BadLines::Skip => Self::Skip,
        }
    }
}

/// How a prompt that is bare text is put to the policy; messages always go through the chat template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PromptStyle {
    /// `bare` with the embedded tokenizer, else `chat` where the model has a template, else `r1`.
    #[default]
    Auto,
    /// As it stands.
    Bare,
    /// In R1-Zero's template for base models.
    R1,
    /// As a user's turn in the model's chat template.
    Chat,
}

impl Data {
    pub(crate) fn validate(&self) -> Result<()> {
        self.split.validate()?;
        if self.split.held_out == 0.0 {
            return Err(Refusal::usage("`split.held_out` is 0; expected a share above 0, to measure on"));
        }
        self.mix.validate()?;
        self.family()?;
        Ok(())
    }

    /// The procedural family, where the recipe names one.
    pub(crate) fn family(&self) -> Result<Option<Arc<dyn procedural::Family>>, Error> {
        self.task.as_deref().map(|task| procedural::by_name(task, &self.params)).transpose()
    }

    /// The family that training problems are drawn from: none where they come from a file.
    pub(crate) fn training_family(&self) -> Result<Option<Arc<dyn procedural::Family>>, Error> {
        if self.train.is_some() { Ok(None) } else { self.family() }
    }
}
