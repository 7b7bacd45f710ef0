//! How cost grows: one quantity of a shape changes, all others stay. Ours only; what is grown against is the formula.

use super::command;
use super::options::Extent;
use super::records::{Record, Run};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// A table: a command, and the quantity that grows in it.
#[derive(Debug)]
pub(super) struct Axis {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// The part of the line that is shown.
    pub(super) part: &'static str,
    /// Steps of that part in one line, to show the time of one.
    pub(super) steps: usize,
    points: Vec<Point>,
}

#[derive(Debug)]
struct Point {
    value: String,
    model: Model,
    args: Vec<String>,
    threads: Option<usize>,
}

/// Which folder is measured.
#[derive(Clone, Debug)]
enum Model {
    Folder(PathBuf),
    /// The configuration of a folder with one key changed.
    Changed {
        base: &'static str,
        key: &'static str,
        value: usize,
    },
}

/// New tokens of a generation, of which all but the first are decoded one by one.
const NEW_TOKENS: usize = 17;

/// The same after long prompts: their prefill is timed apart and taken off, and may vary by more than a few tokens take.
const NEW_TOKENS_AFTER_LONG: usize = 65;

pub(super) fn axes(model: &Path, extent: Extent) -> Vec<Axis> {
    let smollm2 = || Model::Folder(model.to_owned());
    let take = if extent == Extent::Full { usize::MAX } else { 2 };
    let generate = |batch: usize, prompt: usize| {
        format!("generate --repeats 1 --batch {batch} --prompt-tokens {prompt} --new-tokens {NEW_TOKENS}")
    };
    let generate_long = |prompt: usize| {
        format!(
            "generate --repeats 2 --batch 4 --prompt-tokens {prompt} --new-tokens {NEW_TOKENS_AFTER_LONG}"
        )
    };
    let train = || "train --batch 16 --tokens 128 --steps 4".to_owned();
    let point = |value: usize, model: Model, command: String| Point {
        value: value.to_string(),
        model,
        args: command.split(' ').map(str::to_owned).collect(),
        threads: None,
    };
    let changed = |base, key, values: &[usize], command: &dyn Fn() -> String| -> Vec<Point> {
        let point = |&value: &usize| point(value, Model::Changed { base, key, value }, command());
        values.iter().take(take).map(point).collect()
    };
    let axis = |id, title, part, points: Vec<Point>| {
        let steps = if part == "decode" { NEW_TOKENS - 1 } else { 1 };
        Axis { id, title, part, steps, points }
    };
    let (moe, llama) = ("bench/moe-27m", "bench/llama-7m");
    let decode = || generate(32, 32);
    vec![
        axis(
            "batch",
            "Sequences decoded together: a token for each, SmolLM2-135M after 32 tokens",
            "decode",
            [1, 8, 32, 64].iter().take(take).map(|&n| point(n, smollm2(), generate(n, 32))).collect(),
        ),
        Axis {
            id: "length",
            title: "Cached tokens: a token for each of 4 sequences, SmolLM2-135M",
            part: "decode",
            steps: NEW_TOKENS_AFTER_LONG - 1,
            points: [128, 512, 2048]
                .iter()
                .take(take)
                .map(|&n| point(n, smollm2(), generate_long(n)))
                .collect(),
        },
        axis(
            "experts-train",
            "Experts, 4 active: training step, `bench/moe-27m`, 16 x 128",
            "step",
            changed(moe, "n_routed_experts", &[8, 32, 64], &train),
        ),
        axis(
            "experts-decode",
            "Experts, 4 active: a token for each of 32 sequences, `bench/moe-27m`",
            "decode",
            changed(moe, "n_routed_experts", &[8, 32, 64], &decode),
        ),
        axis(
            "vocabulary-train",
            "Vocabulary: training step, `bench/llama-7m`, 16 x 128",
            "step",
            changed(llama, "vocab_size", &[4096, 16_384, 49_152], &train),
        ),
        axis(
            "vocabulary-decode",
            "Vocabulary: a token for each of 32 sequences, `bench/llama-7m`",
            "decode",
            changed(llama, "vocab_size", &[4096, 16_384, 49_152], &decode),
        ),
        axis(
            "threads-train",
            "Threads: training step, `bench/llama-7m`, 16 x 128",
            "step",
            threads(llama, &train),
        ),
        axis(
            "threads-decode",
            "Threads: a token for each of 32 sequences, SmolLM2-135M",
            "decode",
            threads_of(&smollm2(), &decode),
        ),
    ]
}

fn threads(folder: &'static str, command: &dyn Fn() -> String) -> Vec<Point> {
    threads_of(&Model::Folder(folder.into()), command)
}

/// One thread, two, and so on by doubling up to the cores.
fn threads_of(model: &Model, command: &dyn Fn() -> String) -> Vec<Point> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let counts = std::iter::successors(Some(1), |count| Some(count * 2)).take_while(|count| *count <= cores);
    let point = |count: usize| Point {
        value: count.to_string(),
        model: model.clone(),
        args: command().split(' ').map(str::to_owned).collect(),
        threads: Some(count),
    };
    counts.map(point).collect()
}

/// Runs all points; `folder` gets the changed configurations.
pub(super) fn measure(axes: &[Axis], binary: &Path, folder: &Path) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for axis in axes {
        eprintln!("==> {}", axis.title);
        for point in &axis.points {
            let model = point.model.folder(folder)?;
            let mut args: Vec<OsString> = vec!["bench".into()];
            args.extend(point.args.iter().map(OsString::from));
            args.extend(["--model".into(), model.into_os_string()]);
            records.push(Record::Run(Run {
                work: axis.id.to_owned(),
                side: point.value.clone(),
                outcome: command::row(binary, &args, point.threads),
            }));
        }
    }
    Ok(records)
}

impl Model {
    /// Where it lies; a changed one is written there first.
    fn folder(&self, models: &Path) -> Result<PathBuf> {
        let (base, key, value) = match self {
            Self::Folder(folder) => return Ok(folder.clone()),
            Self::Changed { base, key, value } => (base, key, value),
        };
        let path = crate::root().join(base).join("config.json");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut config: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        config[*key] = json!(value);
        let name = base.rsplit('/').next().unwrap_or(base);
        let folder = models.join(format!("{name}-{key}-{value}"));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join("config.json");
        fs::write(&path, config.to_string()).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::{Model, axes};
    use crate::benchmarks::options::Extent;
    use serde_json::Value;
    use std::path::Path;

    #[test]
    fn a_changed_configuration_differs_in_its_key_alone() {
        let models = std::env::temp_dir().join(format!("ruminate-growth-{}", std::process::id()));
        let changed = Model::Changed { base: "bench/moe-27m", key: "n_routed_experts", value: 8 };
        let folder = changed.folder(&models).expect("written");
        let read = |path: &Path| -> Value {
            serde_json::from_str(&std::fs::read_to_string(path).expect("there")).expect("JSON")
        };
        let mut before = read(&crate::root().join("bench/moe-27m/config.json"));
        let after = read(&folder.join("config.json"));
        assert_ne!(before, after);
        before["n_routed_experts"] = 8.into();
        assert_eq!(before, after);
        std::fs::remove_dir_all(models).expect("removed");
    }

    #[test]
    fn every_table_has_points_to_compare() {
        for axis in axes(Path::new("m"), Extent::Full).iter().filter(|axis| !axis.id.starts_with("threads")) {
            assert!(axis.points.len() >= 3, "{}", axis.id);
        }
    }
}
