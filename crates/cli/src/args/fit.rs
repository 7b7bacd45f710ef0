//! `--model` and `--data`, which stand for keys of a recipe, and what `init` takes.

use super::{DeviceArgs, RunArgs};
use crate::exit::Refusal;
use anyhow::Result;
use clap::Args as ClapArgs;
use std::path::{Path, PathBuf};

/// What a command takes that fits its settings to a model and its data.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct FitArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// The model folder: the key `model`, under distill the teacher, `distill.teacher`
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// The data as JSONL: the key `data.train`, under eval `data.eval`
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
}

/// What `init` takes.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct InitArgs {
    /// The model folder; without it the recipe extends the embedded default
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// The data as JSONL: problems with answers (for train-rl, eval, distill) or conversations (for sft)
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// The recipe to write; it must not exist
    #[arg(long, value_name = "FILE", default_value = "recipe.toml")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
}

/// Keys that `--model` stands for, by command; it sets the first.
fn model_keys(command: &str) -> &'static [&'static str] {
    if command == "distill" { &["distill.teacher", "model"] } else { &["model"] }
}

/// The key that `--data` stands for.
fn data_key(command: &str) -> &'static str {
    if command == "eval" { "data.eval" } else { "data.train" }
}

impl FitArgs {
    /// The arguments with the two flags as `--set` says them.
    ///
    /// # Errors
    /// With exit code 2, where a flag and `--set` name different things, and for a path that is no UTF-8.
    pub(crate) fn into_run(self, command: &str) -> Result<RunArgs> {
        let Self { mut run, model, data } = self;
        let mut flags = Vec::new();
        if let Some(model) = &model {
            flags.push(flag(&run.set, "--model", model, model_keys(command))?);
        }
        if let Some(data) = &data {
            flags.push(flag(&run.set, "--data", data, &[data_key(command)])?);
        }
        // A --set that says the same comes later and changes nothing.
        run.set.splice(0..0, flags);
        Ok(run)
    }
}

/// The flag as `KEY=VALUE`.
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
    use super::FitArgs;
    use crate::args::{Args, Command};
    use clap::Parser;

    fn fit(args: &[&str]) -> FitArgs {
        match Args::try_parse_from([&["ruminate"], args].concat()).expect("arguments").command {
            Command::TrainRl(fit) | Command::Distill(fit) => fit,
            Command::Eval(eval) => eval.fit,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_flags_stand_for_keys() {
        for (args, sets) in [
            (
                &["train-rl", "--model", "M", "--data", "d.jsonl"][..],
                &["model=\"M\"", "data.train=\"d.jsonl\""][..],
            ),
            (&["eval", "--model", "M", "--data", "d.jsonl"], &["model=\"M\"", "data.eval=\"d.jsonl\""]),
            (&["distill", "--model", "M"], &["distill.teacher=\"M\""]),
            (&["train-rl", "--model", "M", "--set", "model=M"], &["model=\"M\"", "model=M"]),
            (&["train-rl", "--model", "true"], &["model=\"true\""]),
        ] {
            let run = fit(args).into_run(args[0]).expect("no contradiction");
            assert_eq!(run.set, sets, "{args:?}");
        }
    }

    #[test]
    fn a_flag_and_a_key_that_contradict_each_other_are_refused() {
        for args in [
            &["train-rl", "--model", "A", "--set", "model=B"][..],
            &["train-rl", "--model", "A", "--set", "model.hidden_size=8"],
            &["train-rl", "--data", "a.jsonl", "--set", "data.train=b.jsonl"],
            &["eval", "--data", "a.jsonl", "--set", "data.eval=b.jsonl"],
            &["distill", "--model", "A", "--set", "distill.teacher=B"],
            &["distill", "--model", "A", "--set", "model=B"],
        ] {
            let message = fit(args).into_run(args[0]).expect_err("a contradiction").to_string();
            assert!(message.contains("contradict each other"), "{args:?}: {message}");
        }
        fit(&["eval", "--data", "a.jsonl", "--set", "data.train=b.jsonl"])
            .into_run("eval")
            .expect("two keys");
    }
}
