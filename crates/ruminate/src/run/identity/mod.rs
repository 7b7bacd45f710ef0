//! What makes a run the one that it is: the keys that its command reads, and what the files that they name hold. It refuses
//! to know how a run is entered and what is trained.
//!
//! ```text
//! {"seed": 0, "data": {..}, "sft": {..}, "stage": "sft",
//!  "inputs": {"data.train": "SHA-256", "model": "SHA-256"}}      in place of their paths
//! ```
//!
//! A path is no part of it: a file that was moved is the same input, one with other content under the same path is not.

mod contents;
mod extension;
mod resume;

use crate::error::Refusal;
use crate::recipe::keys::only_read;
use crate::recipe::{Model, Recipe};
use anyhow::Result;
use ruminate_run::sha256_hex;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

pub(crate) use contents::of_folder;
pub(crate) use extension::extends;
pub(crate) use resume::{check, check_steps, difference};

/// Keys whose value is a data file, or a list of such.
const FILES: [&str; 5] = ["data.train", "data.eval", "data.corpus", "data.shots", "distill.decontaminate"];

/// Keys whose value is a model folder, or a table.
const MODELS: [&str; 3] = ["model", "distill.student", "distill.teacher"];

/// The table of an identity, and of `config.json`, with the hashes.
pub(crate) const INPUTS: &str = "inputs";

/// The table of `config.json`'s [`INPUTS`] that says what models were downloaded as. It is no part of an identity, which has
/// what they hold.
pub(crate) const ORIGINS: &str = "hub";

/// What a run of `command` must not change between two of its steps. `covered` are keys that something else stands for,
/// such as a model that they made.
///
/// # Errors
/// With exit code 3 where an input cannot be read.
pub(crate) fn of(command: &str, recipe: &Recipe, covered: &[&str]) -> Result<Value> {
    let mut identity = only_read(command, &serde_json::to_value(recipe)?);
    // What a run says of itself makes it no other run, nor do the servers that it finds.
    for key in covered.iter().chain(&["alarms", "fleet", "log"]) {
        take(&mut identity, key);
    }
    identity["stage"] = json!(command);
    let mut identity = without_threads(identity);
    read_inputs(&mut identity)?;
    Ok(identity)
}

/// Puts the hash of what lies there in the place of each path.
///
/// # Errors
/// As [`of`].
pub(crate) fn read_inputs(identity: &mut Value) -> Result<()> {
    for key in FILES {
        let paths: Vec<PathBuf> = match at(identity, key) {
            Some(Value::String(path)) => vec![path.into()],
            Some(Value::Array(paths)) => paths.iter().filter_map(Value::as_str).map(PathBuf::from).collect(),
            _ => Vec::new(),
        };
        let hashes = paths.iter().map(|path| contents::of_file(path)).collect::<Result<Option<Vec<_>>>>();
        match hashes.map_err(|error| error.context(format!("`{key}`")))? {
            Some(hashes) if hashes.len() == 1 => stand_for(identity, key, &hashes[0]),
            Some(hashes) if !hashes.is_empty() => {
                stand_for(identity, key, &sha256_hex(hashes.join("\n").as_bytes()));
            }
            // A pipe can be read once, which is for training: its path has to do.
            _ => {}
        }
    }
    for key in MODELS {
        let Some(Value::String(folder)) = at(identity, key) else { continue };
        let folder = PathBuf::from(folder);
        if folder.is_dir() {
            add_model(identity, key, &folder)?;
        } // else a server, or what loading refuses
    }
    Ok(())
}

/// Adds a model folder, by what it holds, under the key that stands for it.
///
/// # Errors
/// As [`of`].
pub(crate) fn add_model(identity: &mut Value, key: &str, folder: &Path) -> Result<()> {
    let hash = of_folder(folder).map_err(|error| error.context(format!("`{key}`")))?;
    stand_for(identity, key, &hash);
    Ok(())
}

/// An identity without the numbers of threads: no result depends on them.
pub(crate) fn without_threads(mut identity: Value) -> Value {
    if let Some(keys) = identity.as_object_mut() {
        keys.shift_remove("threads");
        for table in keys.values_mut().filter_map(Value::as_object_mut) {
            table.shift_remove("workers");
        }
    }
    identity
}

/// Adds what a share of a file is held out by, which changes what is trained on.
pub(crate) fn add_validation(identity: &mut Value, share: f64) {
    identity[resume::VALIDATION_SHARE] = json!(share);
}

/// Adds how the student's base is pretrained.
///
/// # Errors
/// None for recipes that were read.
pub(crate) fn add_student_base(identity: &mut Value, recipe: &Recipe) -> Result<()> {
    let mut settings = recipe.pretrain.clone();
    settings.train.workers = 1; // no result depends on them
    identity[resume::STUDENT_BASE] = serde_json::to_value(&settings)?;
    Ok(())
}

/// Keys that a run reads only to pretrain a base: with a model folder there is none.
pub(crate) fn of_a_base(recipe: &Recipe) -> &'static [&'static str] {
    match recipe.model {
        Some(Model::Folder(_)) => &["pretrain", "data.mix", "data.corpus"],
        _ => &[],
    }
}

/// The hashes of an identity, for `config.json`.
pub(crate) fn inputs(identity: &Value) -> Option<&Value> {
    identity.get(INPUTS)
}

fn stand_for(identity: &mut Value, key: &str, hash: &str) {
    take(identity, key);
    if !identity[INPUTS].is_object() {
        identity[INPUTS] = Value::Object(Map::new());
    }
    identity[INPUTS][key] = json!(hash);
}

/// The value at a path of keys.
fn at<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    key.split('.').try_fold(value, |value, name| value.get(name))
}

/// Removes the value at a path of keys.
fn take(value: &mut Value, key: &str) -> Option<Value> {
    let (table, name) = match key.rsplit_once('.') {
        None => (value, key),
        Some((path, name)) => (path.split('.').try_fold(value, |value, name| value.get_mut(name))?, name),
    };
    table.as_object_mut()?.shift_remove(name)
}

/// An input that cannot be read.
fn unreadable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    Refusal::input(format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn recipe(toml: &str) -> Recipe {
        toml::from_str(toml).expect("a recipe")
    }

    #[test]
    fn a_moved_file_is_the_same_input_and_other_content_is_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let of = |name: &str| {
            let recipe = recipe(&format!("data.train = {:?}", path(name).display().to_string()));
            of("sft", &recipe, &[]).expect("readable")
        };
        fs::write(path("a"), "{}\n").expect("written");
        fs::copy(path("a"), path("b")).expect("copied");
        let before = of("a");
        assert!(before["inputs"]["data.train"].as_str().is_some_and(|hash| hash.len() == 64), "{before}");
        assert!(before["data"].get("train").is_none());
        assert_eq!(before, of("b"));
        fs::write(path("a"), "{ }\n").expect("written");
        assert_ne!(before, of("a"));
        let absent = recipe("data.train = '/no/such/file'");
        let error = format!("{:#}", super::of("sft", &absent, &[]).expect_err("absent"));
        assert!(error.contains("`data.train`") && error.contains("/no/such/file"), "{error}");
    }

    #[test]
    fn an_identity_has_what_its_command_reads_and_no_more() {
        let train = |toml: &str| of("train-rl", &recipe(toml), &[]).expect("no inputs");
        assert_eq!(train(""), train("threads = 3\n[train]\nworkers = 2\n[sft]\nmax_steps = 3"));
        assert_ne!(train(""), train("[train]\nlearning_rate = 1.0"));
        assert!(train("").get("inputs").is_none());
        let covered = of("distill", &recipe(""), &["train", "data.mix"]).expect("no inputs");
        assert!(covered.get("train").is_none() && covered["data"].get("mix").is_none());
        let server = recipe("distill.teacher = 'http://host/v1'");
        let server = of("distill", &server, &[]).expect("no inputs");
        assert_eq!(server["distill"]["teacher"], "http://host/v1");
    }
}
