//! What holds for every text: verifiers are total, honest answers count, and two answers never do.

use proptest::prelude::*;
use ruminate_data::{Outcome, Prompt, Task, Verdict};
use ruminate_reward::{KINDS, Response, by_name};
use serde_json::{Map, json};

fn judge(kind: &str, answer: &str, numbers: &[u32], text: &str) -> Verdict {
    let mut columns = Map::new();
    columns.insert("numbers".into(), json!(numbers));
    let task = Task { prompt: Prompt::Text(String::new()), answer: answer.into(), columns };
    by_name(kind).expect("a known kind").verify(&task, &Response::finished(text))
}

/// Text rich in what verifiers look for.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "<think>",
            "</think>",
            "<answer>",
            "</answer>",
            "<answer",
            "<",
            ">",
            "24",
            "3",
            "8",
            "(",
            ")",
            "+",
            "-",
            "*",
            "/",
            "//",
            "**",
            ".",
            ",",
            " ",
            "\n",
            "\u{0}",
            "\u{200b}",
            "é",
            "99999999999999999999999999999999999999",
        ])
        .prop_map(str::to_owned),
        ".{0,4}",
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// An expression over literals, with its literals and its value where that is an integer at every step.
fn expression() -> impl Strategy<Value = (String, Vec<u32>, i64)> {
    let leaf = (0_u32..100).prop_map(|n| (n.to_string(), vec![n], i64::from(n)));
    leaf.prop_recursive(4, 16, 2, |inner| {
        (inner.clone(), prop::sample::select(vec!['+', '-', '*']), inner).prop_map(|(left, op, right)| {
            let value = match op {
                '+' => left.2 + right.2,
                '-' => left.2 - right.2,
                _ => left.2.wrapping_mul(right.2),
            };
            (format!("({}{op} {})", left.0, right.0), [left.1, right.1].concat(), value)
        })
    })
    // Sixteen literals below 100 can exceed an i64; such a value would be wrapped, so leave it out.
    .prop_filter("the value fits", |(_, numbers, _)| numbers.len() <= 9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_text_panics_and_every_verdict_is_consistent(text in hostile(), answer in hostile()) {
        for kind in KINDS {
            let verdict = judge(kind, &answer, &[3, 8, 24], &text);
            prop_assert!(verdict.score.is_finite());
            prop_assert_eq!(verdict.outcome == Outcome::Correct, verdict.score == 1.0);
            prop_assert!(verdict.is_scored() || verdict.score == 0.0);
        }
    }

    #[test]
    fn an_honest_answer_is_correct_and_well_formed(
        thought in "[a-z0-9+=<>/ \n]{0,40}",
        answer in "[a-z0-9.+-]{1,12}(, ?[a-z0-9]{1,3}){0,3}",
        space in "[ \n]{0,3}",
    ) {
        prop_assume!(!thought.contains("think>") && !thought.contains("answer>"));
        let text = format!("{space}<think>{thought}</think>{space}<answer>{space}{answer}{space}</answer>{space}");
        prop_assert_eq!(judge("exact", &answer, &[], &text).outcome, Outcome::Correct);
        prop_assert_eq!(judge("format", &answer, &[], &text).outcome, Outcome::Correct);
        let twice = format!("{text}<answer>{answer}</answer>");
        prop_assert_eq!(judge("exact", &answer, &[], &twice).outcome, Outcome::Wrong);
        prop_assert_eq!(judge("format", &answer, &[], &twice).outcome, Outcome::Wrong);
    }

    #[test]
    fn two_answers_are_never_correct(before in hostile(), middle in hostile(), after in hostile()) {
        let text = format!("{before}<answer>24</answer>{middle}<answer>24</answer>{after}");
        for kind in KINDS {
            prop_assert_eq!(judge(kind, "24", &[24], &text).outcome, Outcome::Wrong, "{}", kind);
        }
    }

    #[test]
    fn an_expression_over_the_given_numbers_is_judged_by_its_value(
        (text, numbers, value) in expression(),
        off in 1_i64..1000,
    ) {
        let answer = format!("<answer>{text}</answer>");
        prop_assert_eq!(judge("countdown", &value.to_string(), &numbers, &answer).score, 1.0);
        prop_assert_eq!(judge("countdown", &(value + off).to_string(), &numbers, &answer).score, 0.1);
        let more = [numbers.as_slice(), &[7]].concat();
        prop_assert_eq!(judge("countdown", &value.to_string(), &more, &answer).score, 0.1);
        prop_assert_eq!(judge("countdown", &value.to_string(), &numbers[1..], &answer).score, 0.1);
    }

    #[test]
    fn exact_is_blind_to_the_order_of_the_two_sides(a in "[+-]?[0-9]{0,4}(,[0-9 ]{0,3}){0,2}", b in "[+-]?[0-9]{0,4}(,[0-9 ]{0,3}){0,2}") {
        prop_assume!(!a.trim().is_empty() && !b.trim().is_empty());
        let outcome = |gold: &str, given: &str| judge("exact", gold, &[], &format!("<answer>{given}</answer>")).outcome;
        prop_assert_eq!(outcome(&a, &b), outcome(&b, &a));
        prop_assert_eq!(outcome(&a, &a), Outcome::Correct);
    }
}
