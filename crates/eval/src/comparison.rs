//! Two policies on the same problems: how far apart they are, and whether chance explains it. It refuses to know which
//! one is meant to win.

use crate::metrics::{bootstrap_ci, mean};
use ruminate_data::Seed;
use serde::{Deserialize, Serialize};

/// Sign flips of the permutation test: p-values are resolved to 1 / 10,001.
const PERMUTATIONS: u64 = 10_000;

/// pass@1 of two policies on the same problems.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Problems that both were asked.
    pub n: usize,
    /// pass@1 of the first.
    pub a: f64,
    /// pass@1 of the second.
    pub b: f64,
    /// The second's less the first's.
    pub difference: f64,
    /// The 95 % confidence interval of the difference, by bootstrap over problems.
    pub difference_ci: [f64; 2],
    /// Two-sided, of the paired permutation test: the chance of so large a difference if on every problem it were
    /// equally likely to be the other policy's.
    pub p: f64,
}

/// Compares solve rates, one a problem and policy, in the same order of problems; `None` of no problems.
///
/// Differences are taken problem by problem, so that how hard a problem is drops out (Dror et al. 2018, sections 3.2
/// and 3.3). The p-value counts the observed assignment as one of the permutations, so it is never 0 (Phipson and Smyth
/// 2010).
///
/// # Panics
/// Unless both have as many rates.
pub fn compare(a: &[f64], b: &[f64], seed: Seed) -> Option<Comparison> {
    assert_eq!(a.len(), b.len(), "one rate a problem of both");
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
    let difference = mean(differences.iter().copied())?;
    Some(Comparison {
        n: a.len(),
        a: mean(a.iter().copied())?,
        b: mean(b.iter().copied())?,
        difference,
        difference_ci: bootstrap_ci(&differences, seed.child("bootstrap")),
        p: p_value(&differences, seed.child("permutations")),
    })
}

fn p_value(differences: &[f64], seed: Seed) -> f64 {
    let observed = differences.iter().sum::<f64>().abs();
    let as_large = (0..PERMUTATIONS).filter(|&permutation| {
        let flips = seed.index(permutation);
        let flipped: f64 = differences
            .iter()
            .zip(0..)
            .map(
                |(difference, problem)| {
                    if flips.index(problem).value() >> 63 == 1 { -difference } else { *difference }
                },
            )
            .sum();
        flipped.abs() >= observed - 1e-9 // sums in another order differ in the last bits
    });
    (1 + as_large.count()) as f64 / (1 + PERMUTATIONS) as f64
}
