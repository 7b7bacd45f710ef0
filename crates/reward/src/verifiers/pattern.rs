//! Answers of a form: a regular expression, matched in linear time.

use crate::parse::tags;
use crate::verifier::{Response, Verifier, verdict};
use regex::{Regex, RegexBuilder};
use ruminate_data::{Outcome, Task, Verdict};
use serde::{Deserialize, Serialize};

/// Bytes that a compiled pattern may take; its nesting is bounded, too. Matching takes time linear in text and pattern.
const SIZE_LIMIT: usize = 256 << 10;

/// Groups within groups.
const NEST_LIMIT: u32 = 50;

/// What a pattern has to match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// The content of the one `<answer>`, without the white space around it.
    #[default]
    Answer,
    /// The whole response, tags included.
    Response,
}

/// How much of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extent {
    /// All of it, as if between `\A(?:` and `)\z`.
    #[default]
    Whole,
    /// Any part: a policy that writes everything matches, so let the pattern say what must not be there.
    Part,
}

/// Correct when a regular expression matches; score 1 or 0. Without one of its own it takes the task's answer for a
/// pattern; a task's pattern that does not compile, or is too large, leaves the sample unscored.
#[derive(Clone, Debug, Default)]
pub struct Pattern {
    pattern: Option<Regex>,
    subject: Subject,
    extent: Extent,
}

impl Pattern {
    /// `pattern` for all tasks, or each task's answer.
    ///
    /// # Errors
    /// Why the pattern does not compile.
    pub fn new(pattern: Option<&str>, subject: Subject, extent: Extent) -> Result<Self, String> {
        let pattern = pattern.map(|pattern| compile(pattern, extent)).transpose()?;
        Ok(Self { pattern, subject, extent })
    }
}

fn compile(pattern: &str, extent: Extent) -> Result<Regex, String> {
    // Compiled by itself first: `a)(b` must not close our group.
    let build = |pattern: &str| {
        let mut builder = RegexBuilder::new(pattern);
        builder.size_limit(SIZE_LIMIT).nest_limit(NEST_LIMIT).build().map_err(|error| error.to_string())
    };
    let part = build(pattern)?;
    match extent {
        Extent::Part => Ok(part),
        Extent::Whole => build(&format!("\\A(?:{pattern})\\z")),
    }
}

impl Verifier for Pattern {
    fn name(&self) -> &'static str {
        "regex"
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        let own;
        let pattern = match &self.pattern {
            Some(pattern) => pattern,
            None if task.answer.is_empty() => {
                return Verdict::unscored("the task's answer, its pattern, is empty");
            }
            None => match compile(&task.answer, self.extent) {
                Ok(pattern) => {
                    own = pattern;
                    &own
                }
                Err(error) => return Verdict::unscored(format!("the task's answer is no pattern: {error}")),
            },
        };
        let text = match self.subject {
            Subject::Response => response.text,
            Subject::Answer => match tags::answer(response.text, response.opening()) {
                Ok(content) => content.trim(),
                Err(malformed) => return verdict(Outcome::Wrong, 0.0, None, malformed.to_string()),
            },
        };
        match pattern.find(text) {
            Some(found) => verdict(Outcome::Correct, 1.0, Some(found.as_str()), "matches"),
            None => verdict(Outcome::Wrong, 0.0, Some(text), format!("does not match {pattern}")),
        }
    }
}
