//! Findings of the doctor: what was found, how bad it is, and which key to change. It does not know how they are found.

use crate::error::ErrorKind;
use serde::Serialize;
use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A fact about the run.
    Note,
    /// The run goes on and may disappoint.
    Warning,
    /// The run cannot learn, or cannot end: it is refused.
    Severe,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Severe => "severe",
        })
    }
}

/// One thing that the doctor found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at: the same name for the same check in every run.
    pub name: &'static str,
    /// What was found, with its numbers.
    pub found: String,
    /// The key to change and what to set it to; empty for notes.
    pub advice: String,
    /// The kind of error of a run that is refused for it.
    #[serde(skip)]
    kind: ErrorKind,
}

impl Finding {
    /// A fact.
    pub(crate) fn note(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(Severity::Note, name, found, "")
    }

    /// Something to know before a long run.
    pub(crate) fn warning(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Severity::Warning, name, found, advice)
    }

    /// A reason to refuse the run.
    pub(crate) fn severe(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Severity::Severe, name, found, advice)
    }

    fn new(
        severity: Severity,
        name: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { severity, name, found: found.into(), advice: advice.into(), kind: ErrorKind::Usage }
    }

    /// The same for a run that it refuses by another kind of error than that of a bad recipe.
    pub(crate) fn with_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// The same of what another severe finding explains.
    pub(crate) fn at_most_a_warning(self) -> Self {
        Self { severity: self.severity.min(Severity::Warning), ..self }
    }

    /// The kind of error of a run that is refused for it.
    pub(crate) fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether it refuses the run.
    pub fn is_severe(&self) -> bool {
        self.severity == Severity::Severe
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.found)?;
        if !self.advice.is_empty() {
            write!(f, "; {}", self.advice)?;
        }
        Ok(())
    }
}

/// A number of bytes for people.
pub(super) fn gib(bytes: u64) -> String {
    let gib = bytes as f64 / f64::from(1 << 30);
    if gib < 0.1 { format!("{:.0} MiB", gib * 1024.0) } else { format!("{gib:.1} GiB") }
}

/// A share for people: of something it never reads 0, of less than all never 100.
pub(super) fn percent(part: usize, whole: usize) -> String {
    let percent = 100.0 * part as f64 / whole.max(1) as f64;
    match part {
        0 => "0 %".to_owned(),
        _ if part < whole => format!("{:.0} %", percent.clamp(1.0, 99.0)),
        _ => "100 %".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Finding, gib, percent};

    #[test]
    fn a_finding_reads_as_name_fact_and_key() {
        let finding = Finding::severe("top_p", "`rollout.top_p` is 0.9", "set `rollout.top_p = 1`");
        assert_eq!(finding.to_string(), "top_p: `rollout.top_p` is 0.9; set `rollout.top_p = 1`");
        let json = serde_json::to_value(&finding).expect("JSON");
        assert_eq!(json["severity"], "severe");
        assert!(json.get("kind").is_none(), "the kind of error is no part of a finding: {json}");
    }

    #[test]
    fn shares_and_sizes_are_not_rounded_away() {
        assert_eq!([percent(1, 1000), percent(999, 1000), percent(0, 0)], ["1 %", "99 %", "0 %"]);
        assert_eq!([gib(30 << 20), gib(3 << 40)], ["30 MiB", "3072.0 GiB"]);
    }
}
