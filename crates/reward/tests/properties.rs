//! What holds for every text: verifiers are total, honest answers count, and two answers never do.

use proptest::prelude::*;
use ruminate_data::{Outcome, Prompt, Task, Verdict};
use ruminate_reward::{LanguageId, Response, Tokens, by_name, verify_line};
use serde_json::{Map, json};
use std::time::{Duration, Instant};

/// The kinds that look for an answer.
const OF_ANSWERS: [&str; 6] = ["choice", "countdown", "exact", "gsm8k", "last_number", "regex"];

/// Those that look at how it is written, with their highest score.
const OF_FORM: [(&str, f64); 5] =
    [("format", 1.0), ("language", 1.0), ("overlong", 0.0), ("repetition", 0.0), ("tag_count", 1.0)];

/// The ids of a text, one per character: enough to compare them.
fn ids(text: &str) -> Vec<u32> {
    text.chars().map(u32::from).collect()
}

fn judge(kind: &str, answer: &str, numbers: &[u32], text: &str) -> Verdict {
    let mut columns = Map::new();
    columns.insert("numbers".into(), json!(numbers));
    let task = Task { prompt: Prompt::Text(String::new()), answer: answer.into(), columns };
    let ids = ids(text);
    let response = Response { tokens: Tokens::Ids(&ids), ..Response::finished(text) };
    by_name(kind).expect("a known kind").verify(&task, &response)
}

/// A right answer to each kind.
fn gold(kind: &str) -> &'static str {
    if kind == "choice" { "C" } else { "24" }
}

/// The kinds with their highest score.
fn kinds() -> impl Iterator<Item = (&'static str, f64)> {
    OF_ANSWERS.into_iter().map(|kind| (kind, 1.0)).chain(OF_FORM)
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
            "####",
            "answer is",
            "Answer:",
            "\\boxed{",
            "}",
            "C",
            "$",
            "%",
            "the",
            "\u{7136}",
            "=",
            "or",
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
        for (kind, best) in kinds() {
            let verdict = judge(kind, &answer, &[3, 8, 24], &text);
            prop_assert!((-1.0..=best).contains(&verdict.score), "{} {}", kind, verdict.score);
            if verdict.is_scored() {
                prop_assert_eq!(verdict.outcome == Outcome::Correct, verdict.score == best, "{}", kind);
            } else {
                prop_assert_eq!(verdict.score, 0.0);
            }
        }
    }

    #[test]
    fn group_rewards_are_total_through_a_line(text in hostile(), tokens in 0_usize..3000, group in proptest::collection::vec(0_usize..3000, 0..5)) {
        for kind in ["cosine", "length"] {
            let line = json!({"kind": kind, "answer_kind": "last_number", "gold": "24", "completion": text, "tokens": tokens, "group_tokens": group, "max_len": 1000});
            let verified = verify_line(0, &line.to_string()).expect("a well-formed line");
            prop_assert!((-1.0..=1.0).contains(&verified.score), "{}", verified.score);
        }
    }

    #[test]
    fn a_share_of_a_language_is_a_share(text in hostile(), thought in "\\PC{0,60}") {
        for code in LanguageId::codes() {
            let line = json!({"kind": "language", "language": code, "completion": format!("<think>{thought}{text}")});
            let verified = verify_line(0, &line.to_string()).expect("a well-formed line");
            prop_assert!((0.0..=1.0).contains(&verified.score));
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
        // A closed thought around the first would make a quotation of it.
        let (before, middle) = (before.replace("think>", ""), middle.replace("think>", ""));
        for kind in OF_ANSWERS.into_iter().chain(["format", "tag_count"]) {
            let gold = gold(kind);
            let text = format!("{before}<answer>{gold}</answer>{middle}<answer>{gold}</answer>{after}");
            prop_assert_eq!(judge(kind, gold, &[24], &text).outcome, Outcome::Wrong, "{}", kind);
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

/// A megabyte of what each kind looks for. Quadratic work would take minutes; the limit is far above what the slowest
/// needs, since tests share their machine.
#[test]
fn a_megabyte_is_judged_at_once() {
    let pieces = [
        "answer: C ",
        "answer:",
        "the answer is C or ",
        "#### 24\n",
        "24 ",
        "1,",
        "=24",
        "<think>",
        "</think>",
        "<answer>24",
        "</answer>",
        "the ",
        "x",
        "\\boxed{",
        "(",
        "\u{7136}",
        "24/",
        "**",
        "\n",
        "C. ",
    ];
    for (kind, _) in kinds() {
        for piece in pieces {
            let text = piece.repeat(1_000_000 / piece.len());
            for text in [format!("<answer>{text}</answer>"), format!("<think>{text}"), text] {
                let started = Instant::now();
                judge(kind, gold(kind), &[24], &text);
                let took = started.elapsed();
                assert!(took < Duration::from_secs(2), "{kind} took {took:?} for {piece:?}");
            }
        }
    }
}
