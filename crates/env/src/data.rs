//! `[data]`: where problems, traces and texts come from. Reads no file.

use crate::{Error, Reward};
use ruminate_data::Error as DataError;
use ruminate_data::jsonl::{self, AnswerColumn, Columns, TaskFormat};
use ruminate_data::procedural::{self, Family, Member, Mixture};
use ruminate_data::split::Shares;
use ruminate_data::traces::TraceMix;
use ruminate_text::PromptStyle;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::Arc;

/// Where problems, traces and texts come from: the table `[data]` of a recipe, whose keys are these names.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// Procedural family that problems are drawn from, such as `chain_sum`; docs/data.md lists them. `tasks`
    /// and `train` take precedence, but a base is pretrained on traces of the family beside `train`, too.
    pub task: Option<String>,
    /// Parameters of the family; those left out have reasoning-gym's defaults, which docs/data.md lists.
    pub params: Value,
    /// Several families at once, in shares. Takes precedence over `task`.
    pub tasks: Vec<TaskShare>,
    /// How often each kind of attempt occurs in the traces that a base is pretrained on.
    pub mix: TraceMix,
    /// Shares of problems that training never sees. Of a file, only `validation` is kept apart.
    pub split: Shares,
    /// File of tasks (`train-rl`, `distill`, `eval`) or of conversations (`sft`): JSON lines, a JSON array or
    /// parquet, as they are or compressed by gzip or zstd. Takes precedence over `task`.
    pub train: Option<PathBuf>,
    /// File to evaluate on, in the format of `train` (under `pretrain`, of `corpus`). Training leaves
    /// out problems whose prompts are in it. Without it a share of `train` is held out by the hash of the
    /// prompt.
    pub eval: Option<PathBuf>,
    /// File with a column `text`, which `pretrain` trains on instead of traces.
    pub corpus: Option<PathBuf>,
    /// Where columns stand in a file's rows, by their names, as `{ answer = "reward_model.ground_truth" }`:
    /// `prompt`, `answer`, `choices`, `answer_index`, or any other that a verifier reads. Well-known layouts
    /// need none; docs/data.md has them.
    #[serde(skip_serializing_if = "Columns::is_empty")] // a run without it is the same run as ever
    pub columns: Columns,
    /// What happens to a malformed line of a file.
    pub bad_lines: BadLines,
    /// How a prompt of bare text is put to the policy; messages always go through the chat template.
    pub prompt: PromptStyle,
    /// Variables of the chat template, such as `enable_thinking`, for all rows. A row's own
    /// `chat_template_kwargs` take precedence.
    #[serde(skip_serializing_if = "Map::is_empty")] // as below
    pub template: Map<String, Value>,
    /// System message before every prompt that has none of its own; before a prompt of bare text it is text,
    /// too. `""` is no message.
    #[serde(skip_serializing_if = "Option::is_none")] // a run without it is the same run as ever
    pub system: Option<String>,
    /// Solved examples before every prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shots: Option<Shots>,
}

/// Where solved examples come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Shots {
    /// So many first rows of `data.train`, which is then trained on without them.
    Rows(usize),
    /// All rows of a JSONL file: tasks, `prompt` and `completion`, or `messages`.
    File(PathBuf),
}

/// A family of a mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskShare {
    /// The procedural family.
    pub task: String,
    /// Its parameters, as in `data.params`.
    #[serde(default)]
    pub params: Value,
    /// How often the family is drawn, above 0; only ratios matter. Under `grpo.pools` training goes by pass rates instead.
    #[serde(default = "one")]
    pub weight: f64,
    /// Its name in tables, where one family occurs twice. Without it the family's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

fn one() -> f64 {
    1.0
}

/// What happens to a bad line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadLines {
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

impl Data {
    /// Drops the family where there is a file of problems to evaluate on and none to train on: an
    /// evaluation then uses the file.
    pub fn prefer_eval_file(&mut self) {
        if self.eval.is_some() && self.train.is_none() {
            self.task = None;
            self.tasks = Vec::new();
        }
    }

    /// Checks what can be checked without reading a file.
    ///
    /// # Errors
    /// [`Error::NothingHeldOut`], and [`Error::Data`] for shares, a mix of traces or a family that cannot be.
    pub fn validate(&self) -> Result<(), Error> {
        self.split.validate()?;
        if self.split.validation == 0.0 {
            return Err(Error::NothingHeldOut);
        }
        self.mix.validate()?;
        self.family()?;
        Ok(())
    }

    /// The procedural family, where there is one, or the mixture of several.
    ///
    /// # Errors
    /// For a family that does not exist, and parameters or weights that it cannot have.
    pub fn family(&self) -> Result<Option<Arc<dyn Family>>, DataError> {
        if let Some(mixture) = self.mixture()? {
            return Ok(Some(Arc::new(mixture)));
        }
        self.task.as_deref().map(|task| procedural::by_name(task, &self.params)).transpose()
    }

    /// The mixture of several families, where there is one.
    ///
    /// # Errors
    /// As [`family`](Self::family).
    pub fn mixture(&self) -> Result<Option<Mixture>, DataError> {
        let member = |share: &TaskShare| {
            let family = procedural::by_name(&share.task, &share.params)?;
            let name = share.name.clone().unwrap_or_else(|| share.task.clone());
            Ok(Member { name, family, weight: share.weight })
        };
        let members: Vec<Member> = self.tasks.iter().map(member).collect::<Result<_, DataError>>()?;
        if members.is_empty() { Ok(None) } else { Mixture::new(members).map(Some) }
    }

    /// The family that training problems are drawn from: none where they come from a file.
    ///
    /// # Errors
    /// Those of [`family`](Self::family).
    pub fn training_family(&self) -> Result<Option<Arc<dyn Family>>, DataError> {
        if self.train.is_some() { Ok(None) } else { self.family() }
    }

    /// How a file's rows become tasks.
    pub fn task_format(&self, reward: &Reward) -> TaskFormat {
        let answer = if reward.reads_answers() { AnswerColumn::Required } else { AnswerColumn::Optional };
        TaskFormat { columns: self.columns.clone(), answer }
    }
}

#[cfg(test)]
mod tests {
    use super::{BadLines, Data, Shots};
    use crate::Reward;
    use ruminate_text::PromptStyle;
    use std::fs;

    fn data(toml: &str) -> Data {
        toml::from_str(toml).expect("well-formed")
    }

    #[test]
    fn the_table_has_the_keys_of_a_recipe_and_comes_back_as_it_was() {
        let text = "task = 'gcd'\nprompt = 'r1'\nbad_lines = 'skip'\nshots = 2\nsystem = 'Hi.'\n\
                    [split]\nvalidation = 0.2";
        let given = data(text);
        assert_eq!((given.prompt, given.bad_lines), (PromptStyle::R1, BadLines::Skip));
        assert_eq!((given.shots.clone(), given.split.validation), (Some(Shots::Rows(2)), 0.2));
        assert_eq!(data("shots = 'a.jsonl'").shots, Some(Shots::File("a.jsonl".into())));
        let json = serde_json::to_value(&given).expect("JSON");
        let again: Data = serde_json::from_value(json.clone()).expect("a table");
        assert_eq!(serde_json::to_value(&again).expect("JSON"), json);
        assert!(toml::from_str::<Data>("tsak = 'gcd'").is_err(), "an unknown key");
        let json = serde_json::to_value(Data::default()).expect("JSON");
        assert!(
            ["columns", "template", "system", "shots"].iter().all(|key| json.get(key).is_none()),
            "{json}"
        );
    }

    #[test]
    fn a_table_that_cannot_be_is_an_error_of_options() {
        assert!(data("task = 'gcd'").validate().is_ok());
        for (toml, says) in [
            ("split = { validation = 0, test = 0.1 }", "`split.validation` is 0"),
            ("split = { validation = 0.9, test = 0.1 }", "less than 1"),
            ("task = 'contdown'", "did you mean `countdown`"),
            ("tasks = [{ task = 'gcd', weight = -1 }]", "weight"),
        ] {
            let error = data(toml).validate().expect_err(toml);
            assert!(error.to_string().contains(says) && error.is_usage(), "{error}");
        }
    }

    #[test]
    fn an_evaluation_prefers_the_file_and_training_reads_no_family_beside_one() {
        let mut given = data("task = 'gcd'\neval = 'a.jsonl'");
        given.prefer_eval_file();
        assert!(given.family().expect("none").is_none());
        let mut given = data("task = 'gcd'\neval = 'a.jsonl'\ntrain = 'b.jsonl'");
        given.prefer_eval_file();
        assert!(given.family().expect("known").is_some());
        assert!(given.training_family().expect("none").is_none());
    }

    #[test]
    fn a_file_is_judged_as_its_rows_say() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.jsonl");
        let judged = |text: &str| {
            fs::write(&path, text).expect("written");
            let data = Data { train: Some(path.clone()), ..Data::default() };
            Reward::default().judged_by(&data).map(|(kind, _)| kind).map_err(|error| error.to_string())
        };
        let row = |answer: &str, more: &str| {
            format!("\u{feff}{{\"prompt\": \"a\", \"answer\": \"{answer}\"{more}}}\n")
        };
        for (rows, kind) in [
            (row("b", ", \"kind\": \"last_number\""), "last_number"),
            (row("b", ", \"kind\": \"poem\""), "exact"),
            (row("Paris", ""), "exact"),
            (row("42", "") + &row("$\\\\frac{1}{2}$", ""), "math"),
            (row("x", ", \"choices\": [\"x\", \"y\"]"), "choice"),
            ("[{\"nums\": [1, 2], \"target\": 3}]".to_owned(), "countdown"),
            ("{".to_owned(), "exact"),
        ] {
            assert_eq!(judged(&rows).as_deref(), Ok(kind), "{rows}");
        }
        let refused =
            judged("{\"prompt\": \"add\", \"test_list\": [\"assert f(1) == 2\"]}").expect_err("programs");
        assert!(refused.contains("`test_list`") && refused.contains("kind = \"code\""), "{refused}");
    }
}
