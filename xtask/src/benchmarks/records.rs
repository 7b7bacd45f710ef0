//! What was measured, as JSON lines: a file a section under `target/benchmarks`, so that a page can be made again, and
//! a section measured again, without the others. It refuses to know what a number is good for.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// A line of a section's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub(super) enum Record {
    /// Where and of what the records after it are.
    Machine(Machine),
    Ceiling(Ceiling),
    /// One run of a command.
    Run(Run),
    /// One bench of criterion.
    Kernel(Kernel),
    /// Wall clock of a whole command.
    Wall {
        name: String,
        time_s: f64,
    },
}

/// The machine and the versions of what was measured on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) instruction_sets: Vec<String>,
    pub(super) memory_gib: Option<f64>,
    pub(super) rustc: String,
    pub(super) burn: String,
    pub(super) commit: String,
    pub(super) date: String,
    /// Which weights the large model has.
    pub(super) weights: String,
}

/// What the machine can do at most: `ruminate bench ceiling`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ceiling {
    pub(super) product_gflops: f64,
    pub(super) read_gb_s: f64,
}

/// One run of a work, ours or the peer's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    /// Which row.
    pub(super) work: String,
    /// Which column: `peer`, or a variant of ours.
    pub(super) side: String,
    pub(super) outcome: Outcome,
}

/// The line that a command ended with, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Measured(Line),
    /// Nothing of ours is wrong: a peer is not there, or was not asked for.
    NotMeasured(String),
    /// Our own command failed.
    Failed(String),
}

/// What `ruminate bench` and the peers print.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) tokens_per_s: f64,
    pub(super) step_s: f64,
    pub(super) peak_gib: Option<f64>,
    pub(super) dtype: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) parts: Vec<Part>,
    /// Of a peer: its packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) versions: Option<String>,
}

/// A part of the measured work: its time, and what it has to compute and move at the least.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) time_s: f64,
    pub(super) gflop: f64,
    pub(super) gb: f64,
}

/// A bench of criterion: median seconds, and what one call computes or moves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Kernel {
    /// The operation.
    pub(super) group: String,
    /// The form: `fused` or `composed`.
    pub(super) form: String,
    /// The shape.
    pub(super) shape: String,
    pub(super) time_s: f64,
    pub(super) gflop: Option<f64>,
    pub(super) gb: Option<f64>,
}

pub(super) fn write(path: &Path, records: &[Record]) -> Result<()> {
    let mut text = String::new();
    for record in records {
        writeln!(text, "{}", serde_json::to_string(record)?)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// A section's records; None where it has not been measured.
pub(super) fn read(path: &Path) -> Result<Option<Vec<Record>>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).map(Some).with_context(|| {
        format!("{}: not what this version writes; remove it and measure again", path.display())
    })
}

pub(super) fn parse(text: &str) -> Result<Vec<Record>> {
    let line = |(number, line)| serde_json::from_str(line).with_context(|| format!("line {}", number + 1));
    text.lines().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{Kernel, Outcome, Record, Run, parse, read, write};

    #[test]
    fn what_is_written_is_read_again() {
        let folder = std::env::temp_dir().join(format!("ruminate-records-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("models.jsonl");
        assert_eq!(read(&path).expect("absent"), None);
        let outcome = Outcome::NotMeasured("no module".to_owned());
        let records = vec![
            Record::Run(Run { work: "a".to_owned(), side: "peer".to_owned(), outcome }),
            Record::Wall { name: "default".to_owned(), time_s: 90.5 },
            Record::Kernel(Kernel {
                group: "norm".to_owned(),
                form: "fused".to_owned(),
                shape: "a".to_owned(),
                time_s: 1.0,
                gflop: None,
                gb: Some(0.5),
            }),
        ];
        write(&path, &records).expect("written");
        assert_eq!(read(&path).expect("readable"), Some(records));
        std::fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_broken_line_is_named() {
        let text = "{\"record\": \"wall\", \"name\": \"a\", \"time_s\": 1.0}\n{";
        assert_eq!(parse(text).expect_err("broken").to_string(), "line 2");
    }
}
