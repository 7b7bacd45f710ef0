//! Answers that are a number in free text: the last one written, or GSM8K's `#### n`. Numbers compare as exact
//! decimals; anything that needs algebra is `math`'s.

use crate::parse::decimal::Decimal;
use crate::parse::number::{NoNumber, Stated, last_number, marked_number};
use crate::parse::tags;
use crate::verifier::{Response, Verifier, verdict};
use ruminate_data::{Outcome, Task, Verdict};
use ruminate_math_verify::normal_form;

/// Correct when the last number that the response writes equals the answer; score 1 or 0.
///
/// Looked at is the content of `<answer>` where there is one, else what follows the thought. The number must stand
/// for itself: where the last digits belong to a power, an inequality, a name (`x2`), a scale (`5
/// million`), an alternative (`3 or 5`) or a denial, the response does not state that number and is wrong. A unit behind
/// it, glued or with digits (`42 cm²`), and a footnote are no part of it; a fraction is the number that it is. A response that merely
/// ends on the right number is correct; where the form is for the policy to keep, `gsm8k` or `exact` is stricter.
#[derive(Clone, Copy, Debug, Default)]
pub struct LastNumber;

impl Verifier for LastNumber {
    fn name(&self) -> &'static str {
        "last_number"
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        let Some(gold) = Decimal::parse(&task.answer) else {
            return Verdict::unscored(format!("the task's answer {:?} is no number", task.answer));
        };
        match tags::final_text(response.text, response.opening()) {
            Err(malformed) => verdict(Outcome::Wrong, 0.0, None, malformed.to_string()),
            Ok(text) => compare(&gold, &task.answer, last_number(&normal_form(text))),
        }
    }

    fn check_gold(&self, task: &Task) -> Result<(), String> {
        match Decimal::parse(&task.answer) {
            Some(_) => Ok(()),
            None => Err(format!("the task's answer {:?} is no number", task.answer)),
        }
    }
}

/// Correct when the last line is `#### n` with the answer's number, and no other line is; score 1 or 0.
///
/// The form of GSM8K (Cobbe et al. 2021, arXiv 2110.14168), whose answers may be given whole: the number behind
/// their `####` counts. Looked at is what `last_number` looks at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gsm8k;

impl Verifier for Gsm8k {
    fn name(&self) -> &'static str {
        "gsm8k"
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        let gold = task.answer.rsplit("####").next().unwrap_or_default().trim();
        let Some(number) = Decimal::parse(gold) else {
            return Verdict::unscored(format!("the task's answer {gold:?} is no number"));
        };
        match tags::final_text(response.text, response.opening()) {
            Err(malformed) => verdict(Outcome::Wrong, 0.0, None, malformed.to_string()),
            Ok(text) => compare(&number, gold, marked_number(text)),
        }
    }

    fn check_gold(&self, task: &Task) -> Result<(), String> {
        let gold = task.answer.rsplit("####").next().unwrap_or_default().trim();
        match Decimal::parse(gold) {
            Some(_) => Ok(()),
            None => Err(format!("the task's answer {gold:?} is no number")),
        }
    }
}

fn compare(gold: &Decimal, written: &str, found: Result<(Stated, &str), NoNumber<'_>>) -> Verdict {
    match found {
        Ok((number, text)) if number.is(gold) => {
            verdict(Outcome::Correct, 1.0, Some(text), "equal to the answer")
        }
        Ok((_, text)) => verdict(Outcome::Wrong, 0.0, Some(text), format!("expected {}", written.trim())),
        Err(NoNumber { why, text }) => verdict(Outcome::Wrong, 0.0, text, why),
    }
}
