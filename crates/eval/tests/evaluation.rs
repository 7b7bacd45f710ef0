//! From groups to the row of `eval.jsonl` and the table.

mod toy;

use proptest::prelude::*;
use ruminate_data::{FinishReason, Group, Seed};
use ruminate_eval::{AtK, Error, Evaluation, by_part, cut_off, evaluate, table};
use toy::{completion, votes};

fn report(sampled: &[Group], greedy: Option<&[Group]>) -> Evaluation {
    evaluate(40, "validation", sampled, greedy, Seed::new(0)).expect("a valid evaluation")
}

/// Gives every verdict of a group the same components.
fn with(mut group: Group, rewards: &[(&str, f64)]) -> Group {
    for verdict in &mut group.verdicts {
        verdict.rewards = rewards.iter().map(|&(name, score)| (name.to_owned(), score)).collect();
    }
    group
}

#[test]
fn a_report_by_hand() {
    let sampled = [
        with(votes("cccw"), &[("format", 1.0), ("all_steps", 0.0)]), // solved 3/4, majority right
        with(votes("wwcv"), &[("format", 0.5), ("all_steps", 1.0)]), // 1/4, majority wrong
    ];
    let greedy = [votes("c"), votes("w")];
    let report = report(&sampled, Some(&greedy));
    assert_eq!((report.step, report.set.as_str(), report.n), (40, "validation", 2));
    assert_eq!(report.pass_at_1, Some(0.5));
    assert_eq!(report.pass_at_1_ci, Some([0.25, 0.75])); // a quarter of the resamples has one problem twice
    assert_eq!(report.pass_at_1_greedy, Some(0.5));
    assert_eq!(report.at_k, Some(AtK { k: 4, pass: Some(1.0), cons: Some(0.5) }));
    assert_eq!((report.completion_length_mean, report.truncated), (10.0, 0.0));
    assert_eq!(report.measures, [("all_steps".into(), 0.5), ("format".into(), 0.75)].into());
    assert_eq!(report.unscored, 0);
}

#[test]
fn unscored_completions_are_counted_and_change_no_mean() {
    let mut unscored = votes("cwuu");
    unscored.completions[3] = completion(1_000, FinishReason::Length);
    let with_unscored = report(&[unscored, votes("uuuu")], Some(&[votes("c"), votes("u")]));
    let without = report(&[votes("cw")], Some(&[votes("c")]));
    assert_eq!(with_unscored.unscored, 7);
    assert_eq!(with_unscored.pass_at_1, without.pass_at_1);
    assert_eq!(with_unscored.pass_at_1_ci, without.pass_at_1_ci);
    assert_eq!(with_unscored.pass_at_1_greedy, without.pass_at_1_greedy);
    assert_eq!(with_unscored.completion_length_mean, without.completion_length_mean);
    assert_eq!(with_unscored.truncated, without.truncated);
    let at_4 = with_unscored.at_k.expect("k is 4");
    assert_eq!(
        (at_4.pass, at_4.cons),
        (None, Some(1.0)),
        "no problem has 4 scored; c and w tie, c came first"
    );
}

#[test]
fn truncation_and_length_are_means_over_completions() {
    let mut group = votes("cwww");
    group.completions[0] = completion(30, FinishReason::Length);
    let report = report(&[group], None);
    assert_eq!((report.completion_length_mean, report.truncated), (15.0, 0.25));
}

/// A group of which so many completions reached the limit of 48 tokens.
fn truncated(picture: &str, count: usize) -> Group {
    let mut group = votes(picture);
    group.completions.iter_mut().take(count).for_each(|c| *c = completion(48, FinishReason::Length));
    group
}

#[test]
fn where_every_completion_was_cut_off_there_is_no_figure() {
    // Also where a verifier finds an answer in what there is: the limit decided which.
    let report =
        report(&[truncated("cwww", 4), truncated("wwww", 4)], Some(&[truncated("w", 1), votes("w")]));
    assert_eq!((report.pass_at_1, report.pass_at_1_ci), (None, None));
    assert_eq!(report.at_k, Some(AtK { k: 4, pass: None, cons: None }));
    assert_eq!((report.truncated, report.pass_at_1_greedy), (1.0, Some(0.0)));
    let row = serde_json::to_value(&report).expect("plain data");
    assert!(row["pass@1"].is_null() && row["pass@1_ci"].is_null() && row["cons@4"].is_null(), "{row}");
    assert_eq!(serde_json::from_value::<Evaluation>(row).expect("its own row"), report);
    let text = table(&[("model", &report)]);
    assert!(text.contains("pass@1, sampled       not measured"), "{text}");
    let [line] = &cut_off(&[("model", &report)])[..] else { panic!("one line") };
    assert!(
        line.starts_with(
            "validation (model): nothing was measured: every completion was cut off at 48 tokens"
        ) && line.ends_with("raise `rollout.max_new_tokens`"),
        "{line}"
    );
    let labels = [Some("a".to_owned()), Some("b".to_owned())];
    let groups = [truncated("cwww", 4), truncated("wwww", 4)];
    assert!(by_part(report, &groups, &labels, &labels, Seed::new(0)).tasks.is_empty());
}

#[test]
fn a_figure_is_doubtful_from_a_tenth_of_completions_that_were_cut_off() {
    let of = |count| report(&[truncated("cwwwwwwwww", count), votes("cwwwwwwwww")], None);
    assert!(cut_off(&[("before", &of(2))]).is_empty(), "a tenth");
    let lines = cut_off(&[("before", &of(2)), ("after", &of(3))]);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("validation: 15.0 % (after) of the completions"), "{}", lines[0]);
}

#[test]
fn the_row_has_the_keys_of_the_contract_in_their_order() {
    let sixteen = with(votes("ccccccccwwwwwwww"), &[("format", 1.0), ("all_steps", 1.0)]);
    let row = serde_json::to_value(report(&[sixteen], Some(&[votes("c")]))).expect("plain data");
    let keys: Vec<&String> = row.as_object().expect("an object").keys().collect();
    assert_eq!(
        keys,
        [
            "step",
            "set",
            "n",
            "pass@1",
            "pass@1_ci",
            "pass@1_greedy",
            "pass@16",
            "cons@16",
            "completion_length_mean",
            "truncated",
            "measures",
            "unscored"
        ]
    );
}

#[test]
fn what_an_evaluation_does_not_know_is_absent() {
    let row = serde_json::to_value(report(&[votes("c"), votes("w")], None)).expect("plain data");
    for key in ["pass@1_greedy", "measures", "cons@1"] {
        assert!(row.get(key).is_none(), "{key}");
    }
    assert_eq!(row["pass@1"], 0.5);
}

#[test]
fn an_evaluation_that_says_nothing_is_an_error() {
    let new = |sampled: &[Group]| evaluate(0, "validation", sampled, None, Seed::new(0));
    assert_eq!(new(&[]), Err(Error::Empty { set: "validation".into() }));
    assert_eq!(new(&[votes("")]), Err(Error::Empty { set: "validation".into() }));
    let uneven =
        Error::Uneven { set: "validation".into(), task: 0, completions: 1, verdicts: 1, expected: 2 };
    assert_eq!(new(&[votes("cw"), votes("c")]), Err(uneven));
    let nothing = Error::NothingScored { set: "validation".into(), completions: 2, why: "toy".into() };
    assert_eq!(new(&[votes("u"), votes("u")]), Err(nothing));
}

#[test]
fn the_table_aligns_columns_and_leaves_out_what_no_column_has() {
    let before = report(&[votes("cwww"), votes("cvww")], Some(&[votes("w"), votes("w")]));
    let after = report(&[votes("cccc"), votes("cccc")], None);
    let expected = "
                           before          after
pass@1, greedy              0.0 %              -
pass@1, sampled            25.0 %        100.0 %
  95 % interval       25.0-25.0 %  100.0-100.0 %
cut off at the limit        0.0 %          0.0 %
pass@4                    100.0 %        100.0 %
cons@4                      0.0 %        100.0 %
mean length (tokens)         10.0           10.0
problems                        2              2
";
    assert_eq!(format!("\n{}", table(&[("before", &before), ("after", &after)])), expected);
}

#[test]
fn a_measure_that_no_list_names_is_a_row_of_the_table() {
    let measured = report(&[with(votes("cw"), &[("my_measure", 0.25), ("format", 1.0)])], None);
    let text = table(&[("model", &measured)]);
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let expected = [["well-formed", "100.0", "%"].as_slice(), &["my_measure", "0.250"]];
    assert!(rows.windows(2).any(|rows| rows == expected), "{text}");
}

#[test]
fn reports_of_different_k_share_a_table() {
    let (two, four) = (report(&[votes("cw")], None), report(&[votes("cwww")], None));
    let text = table(&[("two", &two), ("four", &four)]);
    for label in ["pass@2", "cons@2", "pass@4", "cons@4"] {
        assert!(text.lines().any(|line| line.starts_with(label) && line.contains('-')), "{label} in\n{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_row_reads_back_as_the_report(
        pictures in prop::collection::vec("[cwvnu]{3}", 1..6),
        greedy: bool,
        formed: bool,
    ) {
        prop_assume!(pictures.iter().any(|p| p.contains(['c', 'w', 'v', 'n'])));
        let rewards: &[(&str, f64)] = if formed { &[("format", 0.5)] } else { &[] };
        let sampled: Vec<Group> = pictures.iter().map(|p| with(votes(p), rewards)).collect();
        let written = report(&sampled, greedy.then_some(&sampled));
        let row = serde_json::to_value(&written).expect("plain data");
        prop_assert_eq!(serde_json::from_value::<Evaluation>(row).expect("its own row"), written);
    }

    #[test]
    fn the_order_of_completions_changes_neither_pass_at_1_nor_pass_at_k(picture in "[cwvn]{4,16}", turn in 0_usize..16) {
        let turned = format!("{}{}", &picture[turn % picture.len()..], &picture[..turn % picture.len()]);
        let (one, other) = (report(&[votes(&picture)], None), report(&[votes(&turned)], None));
        prop_assert_eq!(one.pass_at_1, other.pass_at_1);
        prop_assert_eq!(one.at_k.map(|at| at.pass), other.at_k.map(|at| at.pass));
    }
}
