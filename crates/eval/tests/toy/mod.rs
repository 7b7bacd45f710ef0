//! Judged completions made of nothing but their verdicts.

use ruminate_data::{Completion, FinishReason, Group, Outcome, Verdict};

/// A completion of `length` tokens.
pub(crate) fn completion(length: usize, finish_reason: FinishReason) -> Completion {
    Completion::new(vec![1], vec![2; length], vec![-0.5; length], finish_reason)
}

/// A verdict with an answer and no components.
pub(crate) fn verdict(outcome: Outcome, extracted: Option<&str>) -> Verdict {
    let score = f64::from(u8::from(outcome == Outcome::Correct));
    Verdict { extracted: extracted.map(str::to_owned), ..Verdict::new(outcome, score).with_why("toy") }
}

/// A group of completions of ten tokens with these verdicts.
pub(crate) fn group(task: usize, verdicts: Vec<Verdict>) -> Group {
    let completions = verdicts.iter().map(|_| completion(10, FinishReason::Stop)).collect();
    Group { task, completions, verdicts }
}

/// A group from a picture: `c` correct with answer "c", `w` wrong with answer "w", `v` wrong with "v", `n` wrong
/// without an answer, `u` unscored.
pub(crate) fn votes(picture: &str) -> Group {
    let verdicts = picture.chars().map(|vote| match vote {
        'c' => verdict(Outcome::Correct, Some("c")),
        'w' => verdict(Outcome::Wrong, Some("w")),
        'v' => verdict(Outcome::Wrong, Some("v")),
        'n' => verdict(Outcome::Wrong, None),
        'u' => verdict(Outcome::Unscored, Some("u")),
        other => panic!("no such vote: {other}"),
    });
    group(0, verdicts.collect())
}
