//! What holds for `math` on every text with tags in it; `ruminate-math-verify` has the properties of the mathematics.

use proptest::prelude::*;
use ruminate_data::{Outcome, Prompt, Task, Verdict};
use ruminate_reward::{Math, Response, Verifier};
use serde_json::Map;

fn judge(gold: &str, completion: &str) -> Verdict {
    let task = Task { prompt: Prompt::Text(String::new()), answer: gold.into(), columns: Map::new() };
    Math::default().verify(&task, &Response::finished(completion))
}

/// Text rich in tags, and in what the extraction looks for between them.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "<think>",
            "</think>",
            "<answer>",
            "</answer>",
            "<",
            "\n#### ",
            "\\boxed{",
            "}",
            "{",
            "$",
            "\\frac",
            "(",
            ")",
            "answer:",
            "The final answer is ",
            " ",
            "\n",
            "=",
            ",",
            "x",
            "7",
            "4.5",
            "\\pi",
            "\u{e9}",
        ])
        .prop_map(str::to_owned),
        ".{0,3}",
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_text_panics_and_every_verdict_is_consistent(gold in hostile(), completion in hostile()) {
        let verdict = judge(&gold, &completion);
        prop_assert_eq!(verdict.outcome == Outcome::Correct, verdict.score == 1.0);
        prop_assert!(verdict.is_scored() || verdict.score == 0.0);
        prop_assert!(!verdict.why.is_empty());
        prop_assert!(verdict.outcome != Outcome::Correct || verdict.extracted.is_some());
    }

    #[test]
    fn a_thought_is_no_answer(answer in "[^{}\\\\$<>%]{0,20}") {
        let boxed = format!("\\boxed{{{answer}}}");
        let verdict = judge(&boxed, &format!("<think>\\boxed{{7}}</think>Thus ${boxed}$."));
        prop_assert!(answer.trim().is_empty() || verdict.outcome == Outcome::Correct, "{}: {}", answer, verdict.why);
        let thought = judge(&boxed, &format!("<think>Thus ${boxed}$."));
        prop_assert!(thought.outcome != Outcome::Correct, "{}: {}", answer, thought.why);
    }

    #[test]
    fn the_answer_block_and_the_mark_of_gsm8k_are_read(n in -10_000_000_i64..10_000_000, off in 1_i64..50) {
        let text = format!("<think>{}</think><answer>{n}</answer>", n + off);
        for gold in [n.to_string(), format!("{} + 1\n#### {n}", n - 1)] {
            prop_assert_eq!(judge(&gold, &text).outcome, Outcome::Correct, "{}", gold);
        }
        for gold in [(n + off).to_string(), format!("{n}\n#### {}", n + off)] {
            prop_assert_eq!(judge(&gold, &text).outcome, Outcome::Wrong, "{}", gold);
        }
    }
}
