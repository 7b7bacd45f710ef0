//! The estimators against hand-computed cases, a brute-force oracle, and what must not change them.

mod toy;

use proptest::prelude::*;
use ruminate_data::{Outcome, Seed};
use ruminate_eval::metrics::{bootstrap_ci, component_means, consensus, pass_at_k, solve_rate};
use toy::{group, verdict, votes};

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-12
}

#[test]
fn pass_at_k_by_hand() {
    assert!(close(pass_at_k(4, 1, 1), 0.25));
    assert!(close(pass_at_k(4, 1, 2), 0.5)); // 1 - C(3,2)/C(4,2) = 1 - 3/6
    assert!(close(pass_at_k(5, 2, 3), 0.9)); // 1 - C(3,3)/C(5,3) = 1 - 1/10
    assert_eq!(pass_at_k(16, 0, 16), 0.0);
    assert_eq!(pass_at_k(16, 1, 16), 1.0);
}

#[test]
fn pass_at_k_does_not_overflow_where_binomials_would() {
    // C(10_000, 5_000) has 3,009 digits; half of the draw pool is wrong, so a large draw surely hits.
    assert!(close(pass_at_k(10_000, 5_000, 5_000), 1.0));
    assert!(close(pass_at_k(10_000, 1, 5_000), 0.5));
}

#[test]
fn pass_at_k_matches_counting_every_draw() {
    for n in 1..=8_usize {
        for correct in 0..=n {
            for k in 1..=n {
                // Bit i of a draw says that completion i is in it; the first `correct` are the correct ones.
                let draws = (0_u32..1 << n).filter(|draw| draw.count_ones() as usize == k);
                let hits = draws.clone().filter(|draw| draw & ((1 << correct) - 1) != 0).count();
                let share = hits as f64 / draws.count() as f64;
                assert!(close(pass_at_k(n, correct, k), share), "n {n} c {correct} k {k}");
            }
        }
    }
}

#[test]
fn solve_rate_leaves_unscored_out() {
    assert_eq!(solve_rate(&votes("cwuu")), Some(0.5));
    assert_eq!(solve_rate(&votes("uu")), None);
}

#[test]
fn consensus_is_the_majority_answer() {
    assert_eq!(consensus(&votes("cwcwc")), Some(true));
    assert_eq!(consensus(&votes("cwwvw")), Some(false));
    // The right answer needs more votes than each wrong one, not than all of them.
    assert_eq!(consensus(&votes("wcvcn")), Some(true));
}

#[test]
fn a_tied_consensus_goes_to_the_answer_that_came_first() {
    assert_eq!(consensus(&votes("cw")), Some(true));
    assert_eq!(consensus(&votes("wc")), Some(false));
    assert_eq!(consensus(&votes("wccw")), Some(false));
}

#[test]
fn no_answer_never_outvotes_an_answer() {
    assert_eq!(consensus(&votes("nnnnc")), Some(true));
    assert_eq!(consensus(&votes("nnn")), Some(false));
}

#[test]
fn unscored_completions_do_not_vote() {
    assert_eq!(consensus(&votes("uuuc")), Some(true));
    assert_eq!(consensus(&votes("uuu")), None);
}

#[test]
fn an_answer_refused_once_for_its_form_is_still_the_right_answer() {
    let refused = verdict(Outcome::Wrong, Some("3"));
    let accepted = verdict(Outcome::Correct, Some("3"));
    assert_eq!(consensus(&group(0, vec![refused.clone(), accepted.clone()])), Some(true));
    assert_eq!(consensus(&group(0, vec![accepted, refused])), Some(true));
}

#[test]
fn a_component_is_averaged_over_the_scored_that_have_it() {
    let mut with = votes("cwu");
    for (verdict, score) in with.verdicts.iter_mut().zip([1.0, 0.5, 99.0]) {
        verdict.rewards.push(("format".to_owned(), score));
    }
    assert_eq!(component_means(&[with, votes("c")])["format"], 0.75);
    assert!(component_means(&[votes("c")]).is_empty());
}

#[test]
fn the_bootstrap_interval_of_a_fair_coin_has_the_width_of_theory() {
    // 400 problems, half solved: standard error sqrt(.25 / 400) = .025, so about .5 +- 1.96 * .025 = .451 to .549.
    let values: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
    let [low, high] = bootstrap_ci(&values, Seed::new(0));
    assert!((low - 0.451).abs() < 0.01 && (high - 0.549).abs() < 0.01, "[{low}, {high}]");
}

#[test]
fn the_bootstrap_interval_covers_the_truth_about_95_times_in_100() {
    // 200 experiments of 100 problems that are solved with chance .3; 190 expected, the bounds are 4 sigma away.
    let covered = (0..200_u64).filter(|&experiment| {
        let outcomes = Seed::new(7).child("outcomes").index(experiment);
        let solved = |i| f64::from(u8::from(outcomes.index(i).value() < (0.3 * 2f64.powi(64)) as u64));
        let values: Vec<f64> = (0..100).map(solved).collect();
        let [low, high] = bootstrap_ci(&values, Seed::new(experiment));
        (low..=high).contains(&0.3)
    });
    assert!((177..=200).contains(&covered.count()));
}

#[test]
fn the_bootstrap_depends_on_its_seed_alone() {
    let values: Vec<f64> = (0..50).map(|i| f64::from(i % 7) / 7.0).collect();
    assert_eq!(bootstrap_ci(&values, Seed::new(3)), bootstrap_ci(&values, Seed::new(3)));
    assert_ne!(bootstrap_ci(&values, Seed::new(3)), bootstrap_ci(&values, Seed::new(4)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn pass_at_k_is_a_probability_that_grows_with_k_and_with_correct(n in 2_usize..200, c in 0_usize..200, k in 1_usize..200) {
        let (c, k) = (c % n, 1 + k % (n - 1)); // c < n, k < n
        let p = pass_at_k(n, c, k);
        prop_assert!((0.0..=1.0).contains(&p));
        prop_assert!(pass_at_k(n, c, k + 1) >= p - 1e-12);
        prop_assert!(pass_at_k(n, c + 1, k) >= p - 1e-12);
    }

    #[test]
    fn pass_at_1_is_the_mean(n in 1_usize..500, c in 0_usize..500) {
        let c = c % (n + 1);
        prop_assert!(close(pass_at_k(n, c, 1), c as f64 / n as f64));
    }

    #[test]
    fn consensus_of_identical_votes_is_the_solve_rate(k in 1_usize..20, correct: bool) {
        let group = votes(&(if correct { "c" } else { "w" }).repeat(k));
        prop_assert_eq!(consensus(&group).map(|right| f64::from(u8::from(right))), solve_rate(&group));
    }

    #[test]
    fn a_majority_is_the_consensus_in_any_order(votes_before in "[cwvnu]{0,12}", turn in 0_usize..30) {
        // More right votes than all others together: no order and no tie rule can matter.
        let picture = format!("{}{votes_before}", "c".repeat(votes_before.len() + 1));
        let turn = turn % picture.len();
        let turned = format!("{}{}", &picture[turn..], &picture[..turn]);
        prop_assert_eq!(consensus(&votes(&turned)), Some(true));
    }

    #[test]
    fn the_interval_contains_the_mean(values in prop::collection::vec(0.0_f64..=1.0, 1..40), seed: u64) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let [low, high] = bootstrap_ci(&values, Seed::new(seed));
        // Equal up to the order of additions when all values are the same.
        prop_assert!(low <= mean + 1e-12 && mean <= high + 1e-12, "{mean} outside [{low}, {high}]");
    }
}
