//! `math`: whether a response's final answer equals the expected one as mathematics. The mathematics is
//! `ruminate-math-verify`'s; here are the tags around an answer, and what a verdict means as a reward.

use crate::parse::tags::{self, Malformed, Opening};
use crate::verifier::{Response, Verifier, verdict};
use ruminate_data::{Outcome, Task, Verdict};
use ruminate_math_verify::{self as math_verify, Options, Source, Target};
use serde::Deserialize;

/// Judges the final answer of a completion, correct (1) or wrong (0); what is undecided is unscored.
///
/// The answer is looked for behind the last `</think>`; in the `<answer>` block if there is one (then exactly one, by
/// [`tags::answer`]); there as [`ruminate_math_verify`] describes. A thought that is never closed holds no answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Math {
    /// What to look for, and what counts as equal.
    pub options: Options,
}

impl Verifier for Math {
    fn name(&self) -> &'static str {
        "math"
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        let gold = match self.options.parse(marked(&task.answer), Source::Gold) {
            Ok(gold) => gold,
            Err(why) => return Verdict::unscored(format!("the gold answer: {why}")),
        };
        let (text, source) = match final_part(response.text, response.opening()) {
            Ok(part) => part,
            Err(why) => return verdict(Outcome::Wrong, 0.0, None, why),
        };
        let judged = self.options.judge(&gold, text, source);
        let (outcome, score) = match judged.outcome {
            math_verify::Outcome::Correct => (Outcome::Correct, 1.0),
            math_verify::Outcome::Wrong => (Outcome::Wrong, 0.0),
            math_verify::Outcome::Undecided => (Outcome::Unscored, 0.0),
        };
        verdict(outcome, score, judged.extracted.as_deref(), judged.reason.to_string())
    }
}

/// The answer of a gold text: behind GSM8K's mark `####`, where it is given with its solution.
fn marked(gold: &str) -> &str {
    gold.rsplit_once("\n####").map_or(gold, |(_, answer)| answer)
}

/// The part of a response that holds its answer.
fn final_part(text: &str, opening: Opening) -> Result<(&str, Source), String> {
    match tags::answer(text, opening) {
        Ok(answer) => return Ok((answer, Source::Answer)),
        Err(Malformed::NoAnswer) if !text.contains("</answer>") => {}
        Err(malformed) => return Err(malformed.to_string()),
    }
    match text.rfind("</think>") {
        Some(at) if text[at..].contains("<think>") => Err("the last thought is not closed".to_owned()),
        Some(at) => Ok((&text[at + "</think>".len()..], Source::Completion)),
        None if opening == Opening::InThought || text.contains("<think>") => {
            Err("the thought is not closed".to_owned())
        }
        None => Ok((text, Source::Completion)),
    }
}

/// A notation as the option `targets` names it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Notation {
    Latex,
    Expr,
    String,
}

impl From<Notation> for Target {
    fn from(notation: Notation) -> Self {
        match notation {
            Notation::Latex => Self::Latex,
            Notation::Expr => Self::Expr,
            Notation::String => Self::String,
        }
    }
}
