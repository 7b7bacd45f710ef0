//! The answer as text, for tasks whose answer has one form.

use crate::parse::tags;
use crate::verifier::{Response, Verifier, verdict};
use ruminate_data::{Outcome, Task, Verdict};

/// Correct when the content of the one `<answer>` block is the task's answer; score 1 or 0.
///
/// White space around it does not count. Beyond that, two integers are compared as integers (`3` is `03`, `+3` is
/// `3`), and lists by comma item by item with white space around each ignored (`1,2` is `1, 2`). Anything else is
/// compared character by character: `1.0` is not `1`, and `A` is not `a`. Use `math` where forms vary.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exact;

impl Verifier for Exact {
    fn name(&self) -> &'static str {
        "exact"
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        let gold = task.answer.trim();
        if gold.is_empty() {
            // An empty answer would make an empty gold correct.
            return Verdict::unscored("the task's answer is empty");
        }
        match tags::answer(response.text, response.opening()) {
            Err(malformed) => verdict(Outcome::Wrong, 0.0, None, malformed.to_string()),
            Ok(content) if equal(content.trim(), gold) => {
                verdict(Outcome::Correct, 1.0, Some(content.trim()), "equal to the answer")
            }
            Ok(content) => verdict(Outcome::Wrong, 0.0, Some(content.trim()), format!("expected {gold}")),
        }
    }

    fn check_gold(&self, task: &Task) -> Result<(), String> {
        if task.answer.trim().is_empty() { Err("the task's answer is empty".to_owned()) } else { Ok(()) }
    }
}

fn equal(given: &str, gold: &str) -> bool {
    match (integer(given), integer(gold)) {
        (Some(given), Some(gold)) => given == gold,
        // Items stay text: `1,0` must not be `1,000`.
        _ => given.split(',').map(str::trim).eq(gold.split(',').map(str::trim)),
    }
}

/// Whether it is negative, and its digits without leading zeros; of any length, so that nothing overflows.
fn integer(text: &str) -> Option<(bool, &str)> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let is_integer = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let digits = digits.trim_start_matches('0');
    is_integer.then_some((negative && !digits.is_empty(), digits))
}

#[cfg(test)]
mod tests {
    use super::equal;

    #[test]
    fn integers_compare_as_integers_and_the_rest_as_text() {
        let long = "9".repeat(100);
        for (a, b) in
            [("03", "3"), ("+3", "3"), ("-0", "0"), ("000", "0"), ("1,2 , 3", "1, 2,3"), (&long, &long)]
        {
            assert!(equal(a, b) && equal(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("3", "-3"),
            ("3.0", "3"),
            ("1,0", "1,000"),
            ("1,2", "1,2,3"),
            ("1 2", "12"),
            ("", "0"),
            ("-", "0"),
            ("+-3", "-3"),
            ("\u{0663}", "3"),
            ("Nus", "nus"),
            ("1e1", "10"),
        ] {
            assert!(!equal(a, b) && !equal(b, a), "{a} {b}");
        }
    }
}
