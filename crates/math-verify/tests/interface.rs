//! The public interface: what each entry point returns, and for which text.

use ruminate_math_verify::{
    Answer, Comma, Error, Options, Outcome, Reason, Require, SetRelation, Source, Target, Tolerance,
    Variables, Verdict, equal, parse, verify,
};

#[test]
fn a_text_without_an_answer_is_an_error_of_the_gold_and_a_wrong_completion() {
    for placeholder in ["", "proof", "N/A"] {
        assert_eq!(verify(placeholder, "42"), Err(Error::NoAnswer));
    }
    let verdict = verify("42", "no idea").expect("a verdict");
    assert_eq!(verdict.outcome, Outcome::Wrong);
    assert_eq!((verdict.extracted, verdict.reason), (None, Reason::Answer(Error::NoAnswer)));
}

#[test]
fn a_box_that_is_never_closed_was_cut_off_in_a_completion_and_is_forgiven_in_a_gold_text() {
    let text = "\\boxed{1} no, \\boxed{2";
    assert_eq!(parse(text, Source::Completion).map(|a| a.text().to_owned()), Err(Error::UnclosedBox));
    assert_eq!(
        parse("The result is 7: \\boxed{7", Source::Gold).map(|a| a.text().to_owned()),
        Ok("7".into())
    );
}

#[test]
fn an_answer_alone_needs_no_delimiters_whatever_its_length() {
    let long = vec!["x"; 200].join(" + ");
    assert!(parse(&long, Source::Answer).is_ok_and(|answer| answer.error().is_none()));
    assert_eq!(parse(&long, Source::Completion).err(), Some(Error::NoAnswer));
    assert_eq!(equal("200x", &long), Ok(true));
}

#[test]
fn an_answer_without_a_meaning_keeps_its_text_and_equals_it() {
    let gold = parse("\\boxed{\\foo{1}}", Source::Gold).expect("an answer");
    assert_eq!(gold.text(), "\\foo{1}");
    assert_eq!(gold.to_string(), gold.text());
    assert_eq!(gold.error(), Some(&Error::UnknownNotation("\\foo".into())));
    let judge = |text: &str| Options::default().judge(&gold, text, Source::Completion);
    assert_eq!(judge("\\boxed{\\foo{1}}").reason, Reason::SameText);
    let undecided = judge("\\boxed{2}");
    assert_eq!(undecided.outcome, Outcome::Undecided);
    assert_eq!(
        undecided.reason.to_string(),
        "the gold answer \"\\\\foo{1}\": \\foo is not a notation that we know"
    );
}

#[test]
fn equal_decides_or_returns_why_not() {
    assert_eq!(equal("1/2", "0.5"), Ok(true));
    assert_eq!(equal("1/2", "0.6"), Ok(false));
    assert_eq!(equal("", "1"), Err(Error::NoAnswer));
    assert_eq!(equal("1", ""), Err(Error::NoAnswer));
    assert!(matches!(equal("\\frac{1}{2}", "\\boxed{\\frac{1}}"), Err(Error::Malformed(_))));
    assert!(matches!(equal("\\boxed{\\foo}", "1"), Err(Error::UnknownNotation(_))));
    assert!(matches!(equal("\\sqrt{x^2}", "x"), Err(Error::Undecided(_))));
    let deep = format!("{}1{}", "(".repeat(60), ")".repeat(60));
    assert_eq!(equal("1", &format!("\\boxed{{{deep}}}")), Err(Error::TooLarge));
}

#[test]
fn an_inequality_and_an_interval_say_the_same_unless_it_is_forbidden() {
    assert_eq!(equal("-2 \\le x \\le 7", "[-2, 7]"), Ok(true));
    assert_eq!(equal("[-2, 7]", "-2 \\le x \\le 7"), Ok(true));
    let refused = Options { set_relation: SetRelation::Refused, ..Options::default() };
    assert_eq!(refused.equal("[-2, 7]", "-2 \\le x \\le 7"), Ok(false));
}

#[test]
fn a_tolerance_a_box_and_a_decimal_comma_are_options() {
    let judge = |options: &Options, gold: &str, text: &str| {
        options.verify(gold, text).expect("a gold answer").outcome
    };
    let near = |tolerance| Options { tolerance: Some(tolerance), ..Options::default() };
    let absolute = near(Tolerance { absolute: 0.1, ..Tolerance::default() });
    let digits = near(Tolerance { digits: Some(3), ..Tolerance::default() });
    for (options, text, expected) in [
        (&absolute, "\\boxed{3.2}", Outcome::Correct),
        (&absolute, "\\boxed{3.3}", Outcome::Wrong),
        (&digits, "\\boxed{\\pi}", Outcome::Correct),
        (&digits, "\\boxed{3.15}", Outcome::Wrong),
    ] {
        assert_eq!(judge(options, "3.14", text), expected, "{text}");
    }
    assert_eq!(judge(&absolute, "(3.14, 2)", "\\boxed{(3.1, 2)}"), Outcome::Correct);
    let boxed = Options { require: Require::Boxed, ..Options::default() };
    assert_eq!(judge(&boxed, "42", "The answer is 42."), Outcome::Wrong);
    assert_eq!(judge(&boxed, "42", "\\boxed{42}"), Outcome::Correct);
    let decimal = Options { comma: Comma::Decimal, ..Options::default() };
    assert_eq!(judge(&decimal, "1,5", "\\boxed{1.5}"), Outcome::Correct);
    assert_eq!(judge(&Options::default(), "1,5", "\\boxed{1.5}"), Outcome::Wrong);
    assert_eq!(judge(&Options::default(), "1,5", "\\boxed{5, 1}"), Outcome::Correct);
}

#[test]
fn options_say_what_is_looked_for_and_what_counts_as_equal() {
    let letters = Options { targets: vec![Target::String], ..Options::default() };
    let outcome = |verdict: Result<Verdict, Error>| verdict.map(|verdict| verdict.outcome);
    assert_eq!(outcome(letters.verify("C", "The answer is (C).")), Ok(Outcome::Correct));
    assert_eq!(outcome(letters.verify("C", "\\boxed{3}")), Ok(Outcome::Wrong));
    assert_eq!(outcome(letters.verify("3", "3")), Err(Error::NoAnswer));
    assert_eq!(equal("x + 1", "y + 1"), Ok(false));
    let renamed = Options { variables: Variables::Renamed, ..Options::default() };
    assert_eq!(renamed.equal("x + 1", "y + 1"), Ok(true));
    assert_eq!(renamed.equal("x + y", "x + x"), Ok(false));
}

#[test]
fn answers_and_verdicts_cross_threads() {
    fn crosses<T: Send + Sync + 'static>() {}
    crosses::<(Answer, Verdict, Options, Error)>();
}

/// What hangs on a value, or follows it, nests to the left without brackets; a thread's stack must hold it.
#[test]
fn a_long_chain_of_operators_does_not_exhaust_the_stack() {
    for (start, piece) in [
        ("9", "!"),
        ("9", "%"),
        ("9", "/1"),
        ("9", "\u{f7}x"),
        ("9", "\u{b1}1"),
        ("9", "^\\circ"),
        ("9", "\\pmod 2"),
        ("\\{1\\}", "\\cap\\{1\\}"),
        ("\\{1\\}", "\\setminus\\{2\\}"),
        ("x", "+1"),
        ("x", "\\cdot 2"),
        ("x", "<1"),
        ("x", "="),
    ] {
        for length in [300, 1_000, 8_000] {
            let text = format!("\\boxed{{{start}{}}}", piece.repeat(length / piece.len()));
            for (gold, answer) in
                [("$x$", text.as_str()), (text.as_str(), "$9$"), (text.as_str(), text.trim())]
            {
                assert!(verify(gold, answer).is_ok(), "{piece} {length}");
            }
        }
    }
}
