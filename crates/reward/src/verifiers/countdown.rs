//! The numbers game: an expression that reaches the target with the given numbers.

use crate::parse::expression::{self, NoValue, Token};
use crate::parse::rational::Rational;
use crate::parse::tags;
use crate::verifier::{Response, Verifier, verdict};
use ruminate_data::{Outcome, Task, Verdict};
use serde_json::Value;

/// The score of an answer that is there but wrong.
const ATTEMPT: f64 = 0.1;

/// Graded as TinyZero grades it: 0 without an answer, 0.1 for an answer that does not reach the target or does
/// not use **each number exactly once**, 1 for one that does (then it is correct).
///
/// Reads the columns `numbers` (or TinyZero's `nums`) and `target` (else the task's answer, when that is an
/// integer). Unlike the reference, which calls Python's `eval` and lets `//` and `1.5*4` pass, the expression is
/// parsed: integers, `+ - * /`, signs and parentheses, with exact fractions. What exceeds the evaluator's bounds is
/// unscored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Countdown;

impl Verifier for Countdown {
    fn name(&self) -> &'static str {
        "countdown"
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        let Some(numbers) = numbers(task) else {
            return Verdict::unscored(
                "the task has no column `numbers` that is a list of non-negative integers",
            );
        };
        let Some(target) = target(task) else {
            return Verdict::unscored(
                "the task has no integer `target`, and its answer is no integer either",
            );
        };
        let text = match tags::answer(response.text, response.opening()) {
            Ok(content) => content.trim(),
            Err(malformed) => return verdict(Outcome::Wrong, 0.0, None, malformed.to_string()),
        };
        match judge(text, numbers, target) {
            Ok(Judgement::Reached) => verdict(Outcome::Correct, 1.0, Some(text), "reaches the target"),
            Ok(Judgement::Missed) => {
                verdict(Outcome::Wrong, ATTEMPT, Some(text), format!("does not make {target}"))
            }
            Ok(Judgement::OtherNumbers) => {
                verdict(Outcome::Wrong, ATTEMPT, Some(text), "does not use each given number exactly once")
            }
            Err(NoValue::TooLarge) => Verdict::unscored(NoValue::TooLarge.to_string()),
            Err(no_value) => verdict(Outcome::Wrong, ATTEMPT, Some(text), no_value.to_string()),
        }
    }
}

enum Judgement {
    Reached,
    Missed,
    OtherNumbers,
}

fn judge(text: &str, mut numbers: Vec<i128>, target: i128) -> Result<Judgement, NoValue> {
    let tokens = expression::tokens(text)?;
    // Numbers first: it bounds what is left to evaluate, and a huge literal is then simply not a given one.
    let used = tokens.iter().filter_map(|token| match token {
        Token::Number(number) => Some(*number),
        Token::Symbol(_) => None,
    });
    let Some(mut used) = used.collect::<Option<Vec<i128>>>() else {
        return Ok(Judgement::OtherNumbers);
    };
    used.sort_unstable();
    numbers.sort_unstable();
    if used != numbers {
        return Ok(Judgement::OtherNumbers);
    }
    let value = expression::evaluate(&tokens)?;
    Ok(if value == Rational::integer(target) { Judgement::Reached } else { Judgement::Missed })
}

fn numbers(task: &Task) -> Option<Vec<i128>> {
    let list = ["numbers", "nums"].iter().find_map(|key| task.columns.get(*key))?.as_array()?;
    // Literals have no sign, so that a negative number could never be used.
    list.iter().map(|value| integer(value).filter(|number| *number >= 0)).collect()
}

fn target(task: &Task) -> Option<i128> {
    match task.columns.get("target") {
        Some(value) => integer(value),
        None => task.answer.trim().parse().ok(),
    }
}

/// A JSON integer, or one in a string.
fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => number.as_i128(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
