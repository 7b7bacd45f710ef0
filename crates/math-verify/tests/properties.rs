//! What holds on every text, and on every expression that a generator writes in two ways.

use proptest::prelude::*;
use ruminate_math_verify::{Options, Outcome, Reason, Source, Target, Verdict, verify};

/// The verdict on a gold text that has an answer.
fn judge(gold: &str, completion: &str) -> Verdict {
    verify(gold, completion).expect("the gold text has an answer")
}

/// Every notation at once.
fn all_targets() -> Options {
    Options { targets: vec![Target::Latex, Target::Expr, Target::String], ..Options::default() }
}

/// Text rich in what the extraction and the grammar look for.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "\\boxed{",
            "\\fbox",
            "}",
            "{",
            "$",
            "$$",
            "\\[",
            "\\]",
            "\\(",
            "\\)",
            "\\frac",
            "\\sqrt",
            "\\sqrt[",
            "]",
            "[",
            "(",
            ")",
            "\\left",
            "\\right",
            "\\begin{pmatrix}",
            "\\end{pmatrix}",
            "&",
            "\\\\",
            "\\text{",
            "and",
            "or",
            ",",
            ";",
            "=",
            "<",
            ">=",
            "\\le",
            "\\in",
            "\\cup",
            "\\setminus",
            "\\pm",
            "\\infty",
            "\\pi",
            "e^",
            "^",
            "_",
            "!",
            "%",
            "\\%",
            "|",
            "\\|",
            "1",
            "23",
            "4.5",
            "1,000",
            "x",
            "f(x)",
            "i",
            "\\sin",
            "\\log_",
            "^\\circ",
            "\\sum_{k=1}^n",
            "answer",
            "answer:",
            "The final answer is ",
            ". I hope",
            " is ",
            "\n",
            " ",
            "\u{221a}",
            "\u{b2}",
            "\u{e9}",
            "-",
            "+",
            "*",
            "/",
            "**",
            "\\",
            "\\quad",
            "cm",
            " m",
            "<think>",
            "</think>",
            "<answer>",
            "</answer>",
            "E5",
            "99999999999999999999",
        ])
        .prop_map(str::to_owned),
        ".{0,3}",
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// An expression written in two ways.
fn expression() -> impl Strategy<Value = (String, String)> {
    let leaf = prop_oneof![
        (1_u32..40).prop_map(|n| (n.to_string(), format!("\\frac{{{}}}{{2}}", 2 * n))),
        prop::sample::select(vec!["x", "y", "\\pi"])
            .prop_map(|s| (s.to_owned(), format!("\\left({s}\\right)"))),
        (2_u32..12).prop_map(|n| (format!("\\sqrt{{{n}}}"), format!("{n}^{{1/2}}"))),
        (1_u32..9).prop_map(|n| (format!("\\sin({n}x)"), format!("\\cos(\\frac{{\\pi}}{{2}}-{n}x)"))),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| (format!("({}+{})", a.0, b.0), format!("({}+{})", b.1, a.1))),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| (format!("({}-{})", a.0, b.0), format!("(-{}+{})", b.1, a.1))),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| (format!("{} \\cdot {}", a.0, b.0), format!("({})({})", b.1, a.1))),
            (inner.clone(), 2_u32..4).prop_map(|(a, n)| (
                format!("({})^{{{n}}}", a.0),
                vec![format!("({})", a.1); n as usize].join(" \\times ")
            )),
            (inner, 1_u32..9)
                .prop_map(|(a, n)| (format!("\\frac{{{}}}{{{n}}}", a.0), format!("({})/{n}", a.1))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_text_panics_and_every_verdict_is_consistent(gold in hostile(), completion in hostile()) {
        for options in [Options::default(), all_targets()] {
            let Ok(verdict) = options.verify(&gold, &completion) else { continue };
            prop_assert!(!verdict.reason.to_string().is_empty());
            prop_assert!(verdict.outcome == Outcome::Wrong || verdict.extracted.is_some());
            let correct = matches!(verdict.reason, Reason::SameText | Reason::Equal { .. });
            prop_assert_eq!(verdict.is_correct(), correct);
            prop_assert_eq!(&options.verify(&gold, &completion), &Ok(verdict), "the same texts, another verdict");
        }
    }

    #[test]
    fn a_parsed_gold_gets_the_verdicts_of_its_text(gold in hostile(), completion in hostile()) {
        let options = Options::default();
        let verdict = options.verify(&gold, &completion);
        let parsed = options.parse(&gold, Source::Gold);
        let judged = parsed.clone().map(|gold| options.judge(&gold, &completion, Source::Completion));
        prop_assert_eq!(&judged, &verdict);
        if let (Ok(gold), Ok(answer)) = (parsed, options.parse(&completion, Source::Completion)) {
            prop_assert_eq!(&Ok(options.compare(&gold, &answer)), &verdict);
        }
    }

    #[test]
    fn a_box_equals_itself_even_where_it_is_no_formula(answer in "[^{}\\\\$<>%]{0,20}") {
        let gold = format!("\\boxed{{{answer}}}");
        let verdict = judge(&gold, &format!("At first \\boxed{{7}} seemed right. Thus $\\boxed{{{answer}}}$."));
        let why = verdict.reason.to_string();
        prop_assert!(answer.trim().is_empty() || verdict.is_correct(), "{}: {}", answer, why);
    }

    #[test]
    fn one_expression_in_two_notations_is_equal(both in expression()) {
        let (a, b) = both;
        let verdict = judge(&format!("${a}$"), &format!("\\boxed{{{b}}}"));
        // Undecided may happen (too large, or a value near zero); a difference may not.
        prop_assert!(verdict.outcome != Outcome::Wrong, "{} {}: {}", a, b, verdict.reason);
        let back = judge(&format!("${b}$"), &format!("\\boxed{{{a}}}"));
        prop_assert_eq!(verdict.outcome, back.outcome, "{} {}: {}", a, b, back.reason);
    }

    #[test]
    fn an_expression_and_one_more_differ(both in expression(), off in 1_u32..1000) {
        let (a, b) = both;
        let verdict = judge(&format!("${a}$"), &format!("\\boxed{{{b}+\\frac{{{off}}}{{1000}}}}"));
        prop_assert!(verdict.outcome != Outcome::Correct, "{} {} {}: {}", a, b, off, verdict.reason);
    }

    #[test]
    fn integers_are_compared_as_integers_in_every_notation(n in -10_000_000_i64..10_000_000, off in 1_i64..50) {
        let grouped = |n: i64| {
            let digits = n.abs().to_string();
            let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|g| std::str::from_utf8(g).ok()).collect();
            format!("{}{}", if n < 0 { "-" } else { "" }, groups.join(","))
        };
        let gold = n.to_string();
        for text in [
            n.to_string(),
            grouped(n),
            format!("\\boxed{{{}}}", grouped(n).replace(',', "{,}")),
            format!("${n}.0$"),
            format!("The answer is {n}."),
            format!("$x = {n}$"),
            format!("\\boxed{{{n}}}"),
            format!("${n} \\text{{ cm}}$"),
        ] {
            prop_assert_eq!(judge(&gold, &text).outcome, Outcome::Correct, "{}", text);
            prop_assert_eq!(judge(&(n + off).to_string(), &text).outcome, Outcome::Wrong, "{}", text);
        }
    }
}
