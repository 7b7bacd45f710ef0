//! Paired comparison and evaluation by parts: by hand, and what must not change them.

mod toy;

use proptest::prelude::*;
use ruminate_data::{Group, Seed};
use ruminate_eval::{Evaluation, by_part, compare, evaluate, slice_table, slices};
use toy::votes;

#[test]
fn a_comparison_by_hand() {
    // Of 2^4 assignments of signs to four equal differences, 2 are as large as the observed one: p = 1/8.
    let [a, b] = [[0.0; 4], [0.5; 4]];
    let comparison = compare(&a, &b, Seed::new(0)).expect("four problems");
    assert_eq!((comparison.n, comparison.a, comparison.b, comparison.difference), (4, 0.0, 0.5, 0.5));
    assert_eq!(comparison.difference_ci, [0.5, 0.5]);
    assert!((comparison.p - 0.125).abs() < 0.015, "{}", comparison.p);
    assert_eq!(compare(&[], &[], Seed::new(0)), None);
}

#[test]
fn a_policy_does_not_differ_from_itself() {
    let rates: Vec<f64> = (0..40).map(|i| f64::from(i % 5) / 4.0).collect();
    let comparison = compare(&rates, &rates, Seed::new(0)).expect("problems");
    assert_eq!((comparison.difference, comparison.p), (0.0, 1.0));
}

#[test]
fn pairing_finds_a_small_difference_among_very_different_problems() {
    let a: Vec<f64> = (0..100).map(|i| f64::from(i % 10) / 10.0).collect();
    let b: Vec<f64> = a.iter().map(|rate| rate + 0.05).collect();
    let comparison = compare(&a, &b, Seed::new(0)).expect("problems");
    assert!(comparison.p < 0.001 && comparison.difference_ci[0] > 0.04, "{comparison:?}");
}

#[test]
fn chance_alone_is_called_significant_about_five_times_in_a_hundred() {
    // 200 pairs of equal policies on 30 problems; 10 expected below .05, the bound is 4 sigma away.
    let rate = |seed: Seed, i: u64| (seed.index(i).value() >> 61) as f64 / 7.0;
    let false_alarms = (0..200_u64).filter(|&pair| {
        let rates = |name: &str| (0..30).map(|i| rate(Seed::new(pair).child(name), i)).collect::<Vec<_>>();
        compare(&rates("a"), &rates("b"), Seed::new(pair)).expect("problems").p < 0.05
    });
    assert!(false_alarms.count() <= 22);
}

#[test]
fn parts_are_told_apart_by_their_labels_and_a_single_part_is_not_told() {
    let groups = [votes("cccc"), votes("cwww"), votes("wwww"), votes("cccc")];
    let labels = |labels: [&str; 4]| labels.map(|label| (!label.is_empty()).then(|| label.to_owned()));
    let parts = slices(&labels(["gcd", "sums", "sums", ""]), &groups, Seed::new(0));
    assert_eq!((parts["gcd"].n, parts["gcd"].pass_at_1, parts["gcd"].cons), (1, 1.0, 1.0));
    assert_eq!((parts["sums"].n, parts["sums"].pass_at_1, parts["sums"].cons), (2, 0.125, 0.0));
    assert_eq!(parts.len(), 2);

    let report = evaluate(0, "validation", &groups, None, Seed::new(0)).expect("valid");
    let report = by_part(
        report,
        &groups,
        &labels(["gcd", "sums", "sums", "gcd"]),
        &labels(["3", "3", "3", "3"]),
        Seed::new(0),
    );
    assert!(report.difficulties.is_empty());
    let text = serde_json::to_string(&report).expect("serialises");
    assert_eq!(serde_json::from_str::<Evaluation>(&text).expect("our own"), report);
    let table = slice_table("by task", &[("before", &report.tasks), ("after", &report.tasks)]);
    assert_eq!(
        table,
        "by task   before    after  problems\n  gcd    100.0 %  100.0 %         2\n  sums    12.5 %   12.5 %         2\n"
    );
    assert_eq!(slice_table("by task", &[("before", &report.difficulties)]), "");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn exchanging_the_policies_turns_the_sign_only(
        rates in prop::collection::vec((0.0..1.0_f64, 0.0..1.0_f64), 1..30),
        seed in any::<u64>(),
    ) {
        let (a, b): (Vec<f64>, Vec<f64>) = rates.into_iter().unzip();
        let one = compare(&a, &b, Seed::new(seed)).expect("problems");
        let other = compare(&b, &a, Seed::new(seed)).expect("problems");
        prop_assert!((one.difference + other.difference).abs() < 1e-12);
        prop_assert_eq!(one.p, other.p);
        prop_assert!(0.0 < one.p && one.p <= 1.0);
    }

    #[test]
    fn every_labelled_problem_is_in_one_part(labels in prop::collection::vec(0..4_usize, 1..20)) {
        let groups: Vec<Group> = labels.iter().map(|_| votes("cw")).collect();
        let named: Vec<Option<String>> = labels.iter().map(|label| Some(label.to_string())).collect();
        let parts = slices(&named, &groups, Seed::new(0));
        prop_assert_eq!(parts.values().map(|part| part.n).sum::<usize>(), labels.len());
    }
}
