//! Countdown for tiny policies: the signs between numbers that stand in the solution's order, found by trying one
//! combination after the other.

use crate::procedural::{Mistake, Work};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// More would make a thought of more than 32 tries.
pub(super) const MOST_NUMBERS: usize = 6;

/// `7?5?3=09`
pub(super) fn prompt(numbers: &[i64], target: i64) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!("{}={target:02}", numbers.join("?"))
}

/// Tries the signs in the order of binary counting, all `+` first, until the target is hit: `7+5+3=15`, `7+5-3=09`. A
/// mistake takes a miss for the hit, or the hit for a miss, after which the last try is the answer. `None` of a puzzle
/// that has no solution or is too long.
pub(super) fn search(numbers: &[i64], target: i64, mistake: Mistake, rng: &mut ChaCha8Rng) -> Option<Work> {
    if !(2..=MOST_NUMBERS).contains(&numbers.len()) {
        return None;
    }
    let mut steps = Vec::new();
    let mut last = None;
    let mut reachable = false;
    for signs in 0..1_u32 << (numbers.len() - 1) {
        let (expression, value) = signed(numbers, signs);
        reachable |= value == target;
        let written = match mistake {
            Mistake::At(at) if at == steps.len() && value == target => target + rng.random_range(1..=2),
            Mistake::At(at) if at == steps.len() => target,
            _ => value,
        };
        steps.push(format!("{expression}={written:02}"));
        last = Some(expression);
        if written == target {
            break;
        }
    }
    let gone_wrong = mistake != Mistake::Never;
    Some(Work { steps, answer: last.filter(|_| reachable || gone_wrong)? })
}

/// Any signs.
pub(super) fn any(numbers: &[i64], rng: &mut ChaCha8Rng) -> String {
    let signs = rng.random_range(0..1_u32 << numbers.len().clamp(1, MOST_NUMBERS).saturating_sub(1));
    signed(numbers, signs).0
}

/// The expression whose sign before number i + 1 is `-` where bit i is set, the first number's sign being the highest
/// bit; and its value.
fn signed(numbers: &[i64], signs: u32) -> (String, i64) {
    let (mut expression, mut value) = (String::new(), 0_i64);
    for (i, &number) in numbers.iter().enumerate() {
        let minus = i > 0 && signs >> (numbers.len() - 1 - i) & 1 == 1;
        let sign = if i == 0 { "" } else { ["+", "-"][usize::from(minus)] };
        expression = expression + sign + &number.to_string();
        value = if minus { value.saturating_sub(number) } else { value.saturating_add(number) };
    }
    (expression, value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::{prompt, search};
    use crate::Seed;
    use crate::procedural::Mistake;

    #[test]
    fn signs_are_tried_in_turn_up_to_the_hit() {
        assert_eq!(prompt(&[7, 5, 3], 5), "7?5?3=05");
        let work = search(&[7, 5, 3], 5, Mistake::Never, &mut Seed::new(0).rng()).unwrap();
        assert_eq!(work.steps, ["7+5+3=15", "7+5-3=09", "7-5+3=05"]);
        assert_eq!(work.answer, "7-5+3");
        assert_eq!(search(&[7, 5, 3], 6, Mistake::Never, &mut Seed::new(0).rng()), None);
    }

    #[test]
    fn a_mistake_takes_a_miss_for_the_hit_or_passes_it() {
        let slipped = |at| search(&[7, 5, 3], 5, Mistake::At(at), &mut Seed::new(0).rng()).unwrap();
        assert_eq!((slipped(0).steps, slipped(0).answer), (vec!["7+5+3=05".to_owned()], "7+5+3".to_owned()));
        let passed = slipped(2);
        assert_eq!((passed.steps.len(), passed.answer.as_str()), (4, "7-5-3"));
        assert_ne!(passed.steps[2], "7-5+3=05");
    }
}
