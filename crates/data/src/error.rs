//! What can go wrong on the way to a task.

use crate::split::Split;
use std::path::PathBuf;

/// Errors of this crate, a variant for each cause that a caller can act on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// A line of a JSONL file is not what it must be.
    #[error("{}:{line}: expected {expected}, found {found}", path.display())]
    Jsonl {
        /// The file.
        path: PathBuf,
        /// 1-based number of the line.
        line: usize,
        /// What the line must hold.
        expected: String,
        /// What it holds.
        found: String,
    },

    /// A file is none of rows.
    #[error(
        "{}: expected JSON lines, a JSON array or parquet, as they are or compressed by gzip or zstd; found {found}: {advice}",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What to do.
        advice: &'static str,
    },

    /// A file has more rows than are read.
    #[error("{}: expected at most {} rows, found more", path.display(), crate::jsonl::MAX_ROWS)]
    TooManyRows {
        /// The file.
        path: PathBuf,
    },

    /// A file has no usable row.
    #[error("{}: expected at least one row, found none ({skipped} bad lines were skipped)", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// Lines that were left out because they were bad.
        skipped: usize,
    },

    /// No procedural family has that name.
    #[error("unknown procedural task `{name}`{}; there are {}", did_you_mean(nearest.as_ref()), known.join(", "))]
    UnknownFamily {
        /// The name that was asked for.
        name: String,
        /// The known name that it resembles.
        nearest: Option<&'static str>,
        /// Every known name.
        known: &'static [&'static str],
    },

    /// Parameters are malformed, contradictory or out of range.
    #[error("parameters of `{of}`: {problem}")]
    Params {
        /// The family, or the configuration table, that they belong to.
        of: &'static str,
        /// What was expected and what was found.
        problem: String,
    },

    /// The parameters are well-formed, but no problem satisfies them.
    #[error("`{family}` found no problem in {attempts} draws: widen its parameters")]
    NoProblem {
        /// The family.
        family: &'static str,
        /// Draws that were made.
        attempts: usize,
    },

    /// A family has no problem in a split, or one so rare that drawing does not find it.
    #[error(
        "`{family}` has no {split} problem in {attempts} draws: widen its parameters or the split's share"
    )]
    EmptySplit {
        /// The family.
        family: &'static str,
        /// The split.
        split: Split,
        /// Draws that were made.
        attempts: usize,
    },

    /// A family has fewer distinct problems in a split than were asked for.
    #[error(
        "`{family}` gave {found} distinct {split} problems, expected {wanted}: widen its parameters or ask for fewer"
    )]
    TooFewProblems {
        /// The family.
        family: &'static str,
        /// The split.
        split: Split,
        /// Distinct problems found.
        found: usize,
        /// Distinct problems asked for.
        wanted: usize,
    },

    /// A family cannot write traces.
    #[error(
        "`{family}` writes no traces for these parameters: use `chain_sum` with `total_max`, or `countdown`, `gcd` or `spell_backward` with `wording = \"bare\"`"
    )]
    NoTraces {
        /// The family.
        family: &'static str,
    },
}

fn did_you_mean(nearest: Option<&&'static str>) -> String {
    nearest.map(|name| format!(", did you mean `{name}`?")).unwrap_or_default()
}
