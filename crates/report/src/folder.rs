//! Run folders as far as they go: what lies in one, and which lie in another. Nothing is computed here.

use crate::Error;
use crate::lines::{Table, rows, typed};
use ruminate_run::rows::{
    Alarm, Completion, ExpertLoad, Figures, Sample, Tokens, Validation, alarms, set_name,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::cell::Cell;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Files of completions that a report reads of a run, spread over its steps.
const COMPLETION_FILES: usize = 6;

/// Completions of a step that are kept where none was looked at token by token.
const COMPLETIONS: usize = 8;

/// How far below a folder run folders are looked for: a pipeline's stage has its base below it.
const DEPTH: usize = 2;

/// The runs of a folder.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The folder's own name.
    pub name: String,
    /// Its run, where it is a run folder, then those below it: a pipeline's in the order of its graph, others by name
    /// in the order of their numbers.
    pub runs: Vec<Run>,
}

/// What lies in a run folder.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Path below the report's folder; empty for the folder itself.
    pub name: String,
    /// `config.json`; empty where it is not there.
    pub config: Map<String, Value>,
    /// `metrics.jsonl`
    pub metrics: Table,
    /// `eval.jsonl`, in its order.
    pub evaluations: Vec<Figures>,
    /// `validation.jsonl`, in its order.
    pub validations: Vec<Validation>,
    /// What both logs say of alarms, by step.
    pub alarms: Vec<Alarm>,
    /// `moe.jsonl`
    pub load: Vec<ExpertLoad>,
    /// `samples/`: of the first evaluation and of the last.
    pub samples: Vec<Sample>,
    /// `completions/`: some, of some steps.
    pub completions: Vec<Completion>,
    /// `tokens/`: of the same steps.
    pub tokens: Vec<Tokens>,
    /// Whether `complete.json` is there.
    pub complete: bool,
}

/// Reads a run folder, or a folder of run folders.
///
/// # Errors
/// [`Error::NoRun`] where there is none, and whatever is wrong with a file that is there.
pub fn read(path: &Path) -> Result<Report, Error> {
    let mut runs = Vec::new();
    collect(path, "", DEPTH, &mut runs)?;
    let order = graph_order(&path.join("graph.json"))?;
    let place = |name: &str| {
        let stage = name.split('/').next().unwrap_or_default();
        order.iter().position(|known| known == stage).unwrap_or(order.len())
    };
    runs.sort_by_key(|run| (!run.name.is_empty()).then(|| place(&run.name))); // stable: equals stay by name
    if runs.is_empty() {
        return Err(Error::NoRun { path: path.to_owned() });
    }
    let named = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = named.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Report { name, runs })
}

/// What `ruminate r1` writes into a pipeline's folder, as far as a report reads it.
#[derive(Default, Deserialize)]
struct Graph {
    /// The stages by their folders.
    #[serde(default)]
    order: Vec<String>,
}

/// The stages of a pipeline in the order of its graph; none where the folder is no pipeline's.
fn graph_order(path: &Path) -> Result<Vec<String>, Error> {
    let graph = config(path)?;
    let graph: Result<Graph, _> = serde_json::from_value(Value::Object(graph));
    let wrong =
        |error: serde_json::Error| Error::Json { path: path.to_owned(), line: 1, found: error.to_string() };
    Ok(graph.map_err(wrong)?.order)
}

fn collect(path: &Path, name: &str, depth: usize, runs: &mut Vec<Run>) -> Result<(), Error> {
    let is_run = path.join("metrics.jsonl").is_file() || path.join("eval.jsonl").is_file();
    if is_run {
        runs.push(Run::read(path, name)?);
    }
    if depth == 0 {
        return Ok(());
    }
    let mut below: Vec<String> = Vec::new();
    for entry in fs::read_dir(path).map_err(Error::read(path))? {
        let entry = entry.map_err(Error::read(path))?;
        // Not by way of links: they could lead round in circles.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            below.extend(entry.file_name().into_string().ok());
        }
    }
    below.sort_by_key(|name| natural(name));
    for inner in below {
        let full = if name.is_empty() { inner.clone() } else { format!("{name}/{inner}") };
        collect(&path.join(&inner), &full, depth - 1, runs)?;
    }
    Ok(())
}

/// A key by which `stage-2` comes before `stage-10`.
fn natural(name: &str) -> Vec<(u64, String)> {
    let mut parts = vec![(0, String::new())];
    let mut digits = String::new();
    for c in name.chars().chain(std::iter::once('\0')) {
        if c.is_ascii_digit() {
            digits.push(c);
        } else {
            if !digits.is_empty() {
                parts.push((digits.parse().unwrap_or(u64::MAX), String::new()));
                digits.clear();
            }
            if let Some((_, text)) = parts.last_mut() {
                text.push(c);
            }
        }
    }
    parts
}

impl Run {
    fn read(path: &Path, name: &str) -> Result<Self, Error> {
        let mut load: Vec<ExpertLoad> = rows(&path.join("moe.jsonl"), typed)?;
        load.sort_by_key(|row| row.step);
        let mut samples = Vec::new();
        for file in ends(files(&path.join("samples"))?) {
            samples.extend(rows(&file, |row| {
                typed::<Sample>(row).map(|sample| Sample { set: set_name(&sample.set), ..sample })
            })?);
        }
        let (mut completions, mut tokens) = (Vec::new(), Vec::new());
        for file in spread(files(&path.join("completions"))?, COMPLETION_FILES) {
            let name = file.file_name().unwrap_or_default();
            let looked_at = rows(&path.join("tokens").join(name), typed::<Tokens>)?;
            completions.extend(shown(&file, &looked_at)?);
            tokens.extend(looked_at);
        }
        Ok(Self {
            name: name.to_owned(),
            config: config(&path.join("config.json"))?,
            metrics: Table::read(&path.join("metrics.jsonl"))?,
            evaluations: rows(&path.join("eval.jsonl"), |row| Figures::of(&row))?,
            validations: rows(&path.join("validation.jsonl"), typed)?,
            alarms: raised(path)?,
            load,
            samples,
            completions,
            tokens,
            complete: path.join("complete.json").is_file(),
        })
    }
}

/// The alarms of a run, by step.
fn raised(run: &Path) -> Result<Vec<Alarm>, Error> {
    let mut raised = Vec::new();
    for log in ["metrics.jsonl", "eval.jsonl"] {
        raised.extend(rows(&run.join(log), |row| alarms(&row))?.into_iter().flatten());
    }
    raised.sort_by_key(|alarm| alarm.step);
    Ok(raised)
}

/// The completions of a step that are shown: those that were looked at token by token, else the first. The others are
/// not kept, for a step of a large model may have millions of tokens.
fn shown(file: &Path, looked_at: &[Tokens]) -> Result<Vec<Completion>, Error> {
    let known: HashSet<(u64, u64)> = looked_at.iter().map(|row| (row.index, row.sample)).collect();
    let first = Cell::new(if known.is_empty() { COMPLETIONS } else { 0 });
    let read = rows(file, |row| {
        let completion: Completion = typed(row)?;
        let is_first = first.get() > 0;
        first.set(first.get().saturating_sub(1));
        Ok((is_first || known.contains(&(completion.index, completion.sample))).then_some(completion))
    })?;
    Ok(read.into_iter().flatten().collect())
}

fn config(path: &Path) -> Result<Map<String, Value>, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Map::new()),
        Err(error) => return Err(Error::read(path)(error)),
    };
    let wrong = |line, found: String| Error::Json { path: path.to_owned(), line, found };
    match serde_json::from_str(&text) {
        Ok(Value::Object(config)) => Ok(config),
        Ok(_) => Err(wrong(1, "another kind of value".to_owned())),
        Err(error) => Err(wrong(error.line(), error.to_string())),
    }
}

/// The `step-*.jsonl` of a folder by step; none where it is not there.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::read(folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::read(folder))?.path();
        let step = path.file_name().and_then(|name| {
            name.to_str()?.strip_prefix("step-")?.strip_suffix(".jsonl")?.parse::<u64>().ok()
        });
        found.extend(step.map(|step| (step, path)));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The first and the last.
fn ends(files: Vec<PathBuf>) -> Vec<PathBuf> {
    spread(files, 2)
}

/// At most `count` of them, at equal distances, the first and the last included.
fn spread(files: Vec<PathBuf>, count: usize) -> Vec<PathBuf> {
    let len = files.len();
    if len <= count {
        return files;
    }
    (0..count).map(|at| files[at * (len - 1) / (count - 1)].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::{natural, spread};

    #[test]
    fn stages_come_in_the_order_of_their_numbers() {
        let mut names = ["stage-10", "stage-2", "base", "1-zero", "10-r1", "2-dev1"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["1-zero", "2-dev1", "10-r1", "base", "stage-2", "stage-10"]);
    }

    #[test]
    fn a_choice_of_files_keeps_both_ends() {
        let files = |n: usize| (0..n).map(|i| i.to_string().into()).collect::<Vec<std::path::PathBuf>>();
        assert_eq!(spread(files(3), 6), files(3));
        let chosen = spread(files(17), 6);
        assert_eq!((chosen.len(), &chosen[0], &chosen[5]), (6, &files(17)[0], &files(17)[16]));
    }
}
