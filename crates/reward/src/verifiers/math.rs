//! `math`: whether a response's final answer equals the expected one as mathematics. The mathematics is
//! `ruminate-math-verify`'s; here are the tags around an answer, and what a verdict means as a reward.

use crate::parse::tags::{self, Malformed, Opening};
use crate::verifier::{Response, Verifier, verdict};
use ruminate_data::{Outcome, Task, Verdict};
use ruminate_math_verify::{self as math_verify, Answer, Options, Source, Target, Tolerance};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;

/// Judges the final answer of a completion, correct (1) or wrong (0); what is undecided is unscored.
///
/// The answer is looked for behind the last `</think>`; in the `<answer>` block if there is one (then exactly one, by
/// [`tags::answer`]); there as [`ruminate_math_verify`] describes. A thought that is never closed holds no answer.
///
/// The task's answer is a text, GSM8K's solution with its `####`, or a JSON list of texts, `["1/2", "0.5"]`, of which
/// [`golds`](Self::golds) says whether one or all are expected.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Math {
    /// What to look for, and what counts as equal.
    pub options: Options,
    /// What a list of answers means.
    pub golds: Golds,
    /// The column that holds the absolute tolerance of a task, a number or a text of one.
    pub tolerance_column: Option<String>,
}

/// What a task with a list of answers expects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Golds {
    /// One of them: they are the same answer in several forms, or alternatives.
    #[default]
    Any,
    /// All of them, in any order, and nothing else.
    All,
}

impl Verifier for Math {
    fn name(&self) -> &'static str {
        "math"
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        let options = match self.options(task) {
            Ok(options) => options,
            Err(why) => return Verdict::unscored(why),
        };
        let golds = match self.read(&options, task) {
            Ok(golds) => golds,
            Err(why) => return Verdict::unscored(why),
        };
        let (text, source) = match final_part(response.text, response.opening()) {
            Ok(part) => part,
            Err(why) => return verdict(Outcome::Wrong, 0.0, None, why),
        };
        // The best of the alternatives: correct, then undecided, then wrong.
        let mut best: Option<math_verify::Verdict> = None;
        for gold in &golds {
            let judged = options.judge(gold, text, source);
            let rank = |verdict: &math_verify::Verdict| match verdict.outcome {
                math_verify::Outcome::Correct => 2,
                math_verify::Outcome::Undecided => 1,
                math_verify::Outcome::Wrong => 0,
            };
            if best.as_ref().is_none_or(|best| rank(best) < rank(&judged)) {
                best = Some(judged);
            }
        }
        let Some(judged) = best else { return Verdict::unscored("the list of gold answers is empty") };
        let (outcome, score) = match judged.outcome {
            math_verify::Outcome::Correct => (Outcome::Correct, 1.0),
            math_verify::Outcome::Wrong => (Outcome::Wrong, 0.0),
            math_verify::Outcome::Undecided => (Outcome::Unscored, 0.0),
        };
        verdict(outcome, score, judged.extracted.as_deref(), judged.reason.to_string())
    }

    fn check_gold(&self, task: &Task) -> Result<(), String> {
        let golds = self.read(self.options(task)?.as_ref(), task)?;
        match golds.iter().find_map(|gold| gold.error()) {
            Some(why) => Err(format!("the gold answer: {why}")),
            None => Ok(()),
        }
    }
}

impl Math {
    /// The options, with the task's own tolerance where it has one.
    fn options(&self, task: &Task) -> Result<Cow<'_, Options>, String> {
        let Some(column) = &self.tolerance_column else { return Ok(Cow::Borrowed(&self.options)) };
        let absolute = match task.columns.get(column) {
            None | Some(Value::Null) => return Ok(Cow::Borrowed(&self.options)),
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::String(text)) if text.trim().is_empty() => return Ok(Cow::Borrowed(&self.options)),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        let absolute = absolute.filter(|bound: &f64| bound.is_finite() && *bound >= 0.0);
        let Some(absolute) = absolute else {
            return Err(format!("the task's column `{column}` is no tolerance: expected a number from 0"));
        };
        let own = self.options.tolerance.unwrap_or_default();
        let tolerance = Some(Tolerance { absolute: absolute.max(own.absolute), ..own });
        Ok(Cow::Owned(Options { tolerance, ..self.options.clone() }))
    }

    /// The answers of which each would be right.
    fn read(&self, options: &Options, task: &Task) -> Result<Vec<Answer>, String> {
        let failed = |why| format!("the gold answer: {why}");
        let Some(list) = gold_list(&task.answer) else {
            return Ok(vec![options.parse(&marked(&task.answer), Source::Gold).map_err(failed)?]);
        };
        if list.is_empty() {
            return Err("the list of gold answers is empty".to_owned());
        }
        let texts: Vec<Cow<'_, str>> = list.iter().map(|text| marked(text)).collect();
        match self.golds {
            Golds::Any => {
                texts.iter().map(|text| options.parse(text, Source::Gold).map_err(failed)).collect()
            }
            Golds::All => {
                let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
                Ok(vec![options.parse_all(&texts).map_err(failed)?])
            }
        }
    }
}

/// The texts of a list of answers in JSON; an interval in square brackets is none.
fn gold_list(answer: &str) -> Option<Vec<String>> {
    let inner = answer.trim().strip_prefix('[')?.trim_start();
    if !inner.starts_with('"') && !inner.starts_with(']') {
        return None;
    }
    serde_json::from_str(answer).ok()
}

/// The answer of a gold text: behind GSM8K's mark `####`, where it is given with its solution, and a number there without
/// its separators of thousands.
fn marked(gold: &str) -> Cow<'_, str> {
    let Some((_, answer)) = gold.rsplit_once("\n####") else { return Cow::Borrowed(gold) };
    let answer = answer.trim();
    let is_number = answer.bytes().all(|b| b.is_ascii_digit() || matches!(b, b',' | b'.' | b'-'));
    if is_number && answer.contains(',') {
        Cow::Owned(answer.replace(',', ""))
    } else {
        Cow::Borrowed(answer)
    }
}

/// The part of a response that holds its answer.
fn final_part(text: &str, opening: Opening) -> Result<(&str, Source), String> {
    match tags::answer(text, opening) {
        Ok(answer) => Ok((answer, Source::Answer)),
        Err(Malformed::NoAnswer) if !text.contains("</answer>") => match tags::final_text(text, opening) {
            Ok(text) => Ok((text, Source::Completion)),
            Err(malformed) => Err(malformed.to_string()),
        },
        Err(malformed) => Err(malformed.to_string()),
    }
}

/// Where the answer must stand, as the option `require` names it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Required {
    Anything,
    Boxed,
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
