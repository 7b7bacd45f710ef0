//! `[data]`: where problems, traces and texts come from. It does not read them.

use crate::error::Refusal;
use anyhow::Result;
use ruminate_data::procedural::{Member, Mixture};
use ruminate_data::split::Shares;
use ruminate_data::traces::TraceMix;
use ruminate_data::{Error, jsonl, procedural};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

/// Where problems, traces and texts come from. Paths are relative to the current folder, or else to the recipe's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Data {
    /// Procedural family that problems are drawn from, such as `chain_sum`; docs/data.md lists them. `tasks`
    /// and `train` take precedence, but a base is pretrained on traces of the family beside `train`, too.
    pub(crate) task: Option<String>,
    /// Parameters of the family; those left out have reasoning-gym's defaults, which docs/data.md lists.
    pub(crate) params: Value,
    /// Several families at once, in shares. Takes precedence over `task`.
    pub(crate) tasks: Vec<TaskShare>,
    /// How often each kind of attempt occurs in the traces that a base is pretrained on.
    pub(crate) mix: TraceMix,
    /// Shares of problems that training never sees. Of a file, only `validation` is kept apart.
    pub(crate) split: Shares,
    /// JSONL file of tasks (`train-rl`, `distill`, `eval`) or of conversations (`sft`). Takes precedence over
    /// `task`.
    pub(crate) train: Option<PathBuf>,
    /// JSONL file to evaluate on, in the format of `train` (under `pretrain`, of `corpus`). Training leaves
    /// out problems whose prompts are in it. Without it a share of `train` is held out by the hash of the
    /// prompt.
    pub(crate) eval: Option<PathBuf>,
    /// JSONL file with a column `text`, which `pretrain` trains on instead of traces.
    pub(crate) corpus: Option<PathBuf>,
    /// What happens to a malformed line of a file.
    pub(crate) bad_lines: BadLines,
    /// How a prompt of bare text is put to the policy; messages always go through the chat template.
    pub(crate) prompt: PromptStyle,
    /// Variables of the chat template, such as `enable_thinking`, for all rows. A row's own
    /// `chat_template_kwargs` take precedence.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")] // as below
    pub(crate) template: serde_json::Map<String, Value>,
    /// System message before every prompt that has none of its own; before a prompt of bare text it is text,
    /// too. `""` is no message.
    #[serde(skip_serializing_if = "Option::is_none")] // a run without it is the same run as ever
    pub(crate) system: Option<String>,
    /// Solved examples before every prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shots: Option<Shots>,
}

/// Where solved examples come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Shots {
    /// So many first rows of `data.train`, which is then trained on without them.
    Rows(usize),
    /// All rows of a JSONL file: tasks, `prompt` and `completion`, or `messages`.
    File(PathBuf),
}

/// A family of a mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskShare {
    /// The procedural family.
    pub(crate) task: String,
    /// Its parameters, as in `data.params`.
    #[serde(default)]
    pub(crate) params: Value,
    /// How often the family is drawn, above 0; only ratios matter.
    #[serde(default = "one")]
    pub(crate) weight: f64,
    /// Its name in tables, where one family occurs twice. Without it the family's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

fn one() -> f64 {
    1.0
}

/// What happens to a bad line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BadLines {
    /// Ends the run before any training (exit 3).
    #[default]
    Refuse,
    /// Leaves the line out and counts it.
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
    /// `bare` with the embedded tokenizer, else `chat` where the model has a chat template, else `r1`.
    #[default]
    Auto,
    /// The text as it stands.
    Bare,
    /// R1-Zero's template for base models.
    R1,
    /// A user's turn in the model's chat template.
    Chat,
}

impl Data {
    /// What an evaluation measures on: a file of problems to be measured on goes before a family to draw them from.
    pub(crate) fn prefer_eval_file(&mut self) {
        if self.eval.is_some() && self.train.is_none() {
            self.task = None;
            self.tasks = Vec::new();
        }
    }

    pub(crate) fn validate(&self) -> Result<()> {
        self.split.validate()?;
        if self.split.validation == 0.0 {
            return Err(Refusal::usage("`split.validation` is 0; expected a share above 0, to measure on"));
        }
        self.mix.validate()?;
        self.family()?;
        Ok(())
    }

    /// The procedural family, where the recipe names one, or the mixture of several.
    pub(crate) fn family(&self) -> Result<Option<Arc<dyn procedural::Family>>, Error> {
        if !self.tasks.is_empty() {
            let member = |share: &TaskShare| {
                let family = procedural::by_name(&share.task, &share.params)?;
                let name = share.name.clone().unwrap_or_else(|| share.task.clone());
                Ok(Member { name, family, weight: share.weight })
            };
            let members = self.tasks.iter().map(member).collect::<Result<_, Error>>()?;
            return Ok(Some(Arc::new(Mixture::new(members)?)));
        }
        self.task.as_deref().map(|task| procedural::by_name(task, &self.params)).transpose()
    }

    /// The family that training problems are drawn from: none where they come from a file.
    pub(crate) fn training_family(&self) -> Result<Option<Arc<dyn procedural::Family>>, Error> {
        if self.train.is_some() { Ok(None) } else { self.family() }
    }

    /// The verifier that a file's first task names in its column `kind`, as those of a known layout do.
    pub(crate) fn kind_of_file(&self) -> Option<String> {
        let path = self.train.as_ref().or(self.eval.as_ref())?;
        let lines = BufReader::new(File::open(path).ok()?.take(jsonl::MAX_LINE_BYTES as u64)).lines();
        // What is wrong with the file is reported where it is read.
        let first = lines.map_while(Result::ok).find(|line| !line.trim().is_empty())?;
        let task = jsonl::parse_task(first.trim_start_matches('\u{feff}')).ok()?;
        let kind = task.columns.get("kind")?.as_str()?.to_owned();
        ruminate_reward::KINDS.contains(&kind.as_str()).then_some(kind)
    }
}
