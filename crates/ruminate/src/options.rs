//! Options of a run: what the command line of the binary says, too.

use crate::device::Device;
use crate::error::Refusal;
use anyhow::Result;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What every pipeline takes: a recipe, what is changed in it, and the run folder.
///
/// ```
/// use ruminate::RunOptions;
///
/// let options = RunOptions { out: Some("runs/first".into()), ..RunOptions::default() }
///     .set("max_steps=20")
///     .set("grpo.num_generations=8");
/// assert_eq!(options.set.len(), 2);
/// ```
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct RunOptions {
    /// A recipe in TOML, or the `config.json` of a run folder; without it the embedded default of the pipeline runs.
    pub recipe: Option<PathBuf>,
    /// The model folder: the key `model`, of `distill` the teacher, `distill.teacher`.
    pub model: Option<PathBuf>,
    /// The data as JSONL: the key `data.train`, of `eval` `data.eval`.
    pub data: Option<PathBuf>,
    /// Where to compute.
    pub device: Device,
    /// The run folder: a new one, or one that the same pipeline made. Without it `runs/COMMAND-seedS`, of `eval`
    /// `runs/eval-MODEL-DATA-seedS`.
    pub out: Option<PathBuf>,
    /// Where to go on from.
    pub resume: Option<Resume>,
    /// Whether to resume even though the recipe has changed since the checkpoint.
    pub allow_changed: bool,
    /// Whether to run in spite of severe findings of the doctor, which are then warnings.
    pub force: bool,
    /// Whether to run the programs and contact the servers that the recipe of a run folder names: a recipe is code, and
    /// one that came with a run folder is refused without this.
    pub trust: bool,
    /// Keys to override, as `KEY.PATH=VALUE`: VALUE is TOML, or else a text; without a VALUE the key is removed.
    pub set: Vec<String>,
    /// The same, but ignored where the pipeline does not read the key.
    pub set_if_read: Vec<String>,
}

/// Where to go on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// The newest checkpoint of the run folder.
    Auto,
    /// A checkpoint, or the newest one of a run folder.
    Checkpoint(PathBuf),
}

impl FromStr for Resume {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "auto" { Self::Auto } else { Self::Checkpoint(text.into()) })
    }
}

/// Keys that `model` stands for, by command; it sets the first.
fn model_keys(command: &str) -> &'static [&'static str] {
    if command == "distill" { &["distill.teacher", "model"] } else { &["model"] }
}

/// The key that `data` stands for.
fn data_key(command: &str) -> &'static str {
    if command == "eval" { "data.eval" } else { "data.train" }
}

impl RunOptions {
    /// Overrides a key of the recipe, as in `max_steps=20`.
    #[must_use]
    pub fn set(mut self, key_value: impl Into<String>) -> Self {
        self.set.push(key_value.into());
        self
    }

    /// The options with `model` and `data` among the keys that are set.
    ///
    /// # Errors
    /// [`Usage`](crate::ErrorKind::Usage), where an option and a key name different things, and for a path that is not
    /// UTF-8.
    pub(crate) fn resolved(mut self, command: &str) -> Result<Self> {
        let mut flags = Vec::new();
        if let Some(model) = self.model.take() {
            flags.push(flag(&self.set, "--model", &model, model_keys(command))?);
        }
        if let Some(data) = self.data.take() {
            flags.push(flag(&self.set, "--data", &data, &[data_key(command)])?);
        }
        // A key that says the same comes later and changes nothing.
        self.set.splice(0..0, flags);
        Ok(self)
    }
}

/// The option as `KEY=VALUE`.
fn flag(sets: &[String], name: &str, path: &Path, keys: &[&str]) -> Result<String> {
    let shown = path.display();
    let text = path.to_str().filter(|text| !text.is_empty()).ok_or_else(|| {
        Refusal::usage(format!("{name} {shown}: expected a path in UTF-8, since a recipe names it"))
    })?;
    let value = toml::Value::String(text.to_owned()).to_string();
    for set in sets {
        let Some((key, stated)) = set.split_once('=') else { continue };
        let key = key.trim();
        let same = stated.trim() == text || stated.trim() == value;
        let within = keys
            .iter()
            .any(|own| key == *own || key.strip_prefix(own).is_some_and(|rest| rest.starts_with('.')));
        if within && !same {
            return Err(Refusal::usage(format!(
                "{name} {shown} and --set {set} contradict each other: {name} stands for `{}`; expected one of them",
                keys[0]
            )));
        }
    }
    Ok(format!("{}={value}", keys[0]))
}

#[cfg(test)]
mod tests {
    use super::RunOptions;

    fn options(model: Option<&str>, data: Option<&str>, set: &[&str]) -> RunOptions {
        RunOptions {
            model: model.map(Into::into),
            data: data.map(Into::into),
            set: set.iter().map(ToString::to_string).collect(),
            ..RunOptions::default()
        }
    }

    #[test]
    fn model_and_data_stand_for_keys() {
        for (command, given, sets) in [
            (
                "train-rl",
                options(Some("M"), Some("d.jsonl"), &[]),
                &["model=\"M\"", "data.train=\"d.jsonl\""][..],
            ),
            ("eval", options(Some("M"), Some("d.jsonl"), &[]), &["model=\"M\"", "data.eval=\"d.jsonl\""]),
            ("distill", options(Some("M"), None, &[]), &["distill.teacher=\"M\""]),
            ("train-rl", options(Some("M"), None, &["model=M"]), &["model=\"M\"", "model=M"]),
            ("train-rl", options(Some("true"), None, &[]), &["model=\"true\""]),
        ] {
            assert_eq!(given.resolved(command).expect("no contradiction").set, sets, "{command}");
        }
    }

    #[test]
    fn an_option_and_a_key_that_contradict_each_other_are_refused() {
        for (command, given) in [
            ("train-rl", options(Some("A"), None, &["model=B"])),
            ("train-rl", options(Some("A"), None, &["model.hidden_size=8"])),
            ("train-rl", options(None, Some("a.jsonl"), &["data.train=b.jsonl"])),
            ("eval", options(None, Some("a.jsonl"), &["data.eval=b.jsonl"])),
            ("distill", options(Some("A"), None, &["distill.teacher=B"])),
            ("distill", options(Some("A"), None, &["model=B"])),
        ] {
            let message = given.clone().resolved(command).expect_err("a contradiction").to_string();
            assert!(message.contains("contradict each other"), "{given:?}: {message}");
        }
        options(None, Some("a.jsonl"), &["data.train=b.jsonl"]).resolved("eval").expect("two keys");
    }
}
