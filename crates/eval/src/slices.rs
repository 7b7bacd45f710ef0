//! An evaluation by parts: how a policy does on each task, on each difficulty. It refuses to know what a label means.

use crate::metrics::{bootstrap_ci, consensus, mean, scored, solve_rate};
use ruminate_data::{Group, Seed};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an evaluation found on the problems of one label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Number of problems.
    pub n: usize,
    /// The mean over problems of the mean over their samples.
    #[serde(rename = "pass@1")]
    pub pass_at_1: f64,
    /// Its 95 % confidence interval, by bootstrap over these problems.
    #[serde(rename = "pass@1_ci")]
    pub pass_at_1_ci: [f64; 2],
    /// Share of problems whose majority answer is correct.
    pub cons: f64,
    /// Mean length of a completion in tokens.
    pub completion_length_mean: f64,
}

/// The slices of groups by their labels, one label a group; groups without a label are in none, and neither are labels
/// of which nothing was scored.
///
/// # Panics
/// Unless there is one label a group.
pub fn slices(labels: &[Option<String>], groups: &[Group], seed: Seed) -> BTreeMap<String, Slice> {
    assert_eq!(labels.len(), groups.len(), "one label a group");
    let mut by_label: BTreeMap<&str, Vec<&Group>> = BTreeMap::new();
    for (label, group) in labels.iter().zip(groups) {
        if let Some(label) = label {
            by_label.entry(label).or_default().push(group);
        }
    }
    let slice = |(label, groups): (&str, Vec<&Group>)| {
        let rates: Vec<f64> = groups.iter().filter_map(|group| solve_rate(group)).collect();
        let pass_at_1 = mean(rates.iter().copied())?;
        let lengths = groups.iter().flat_map(|group| scored(group)).map(|(c, _)| c.ids.len() as f64);
        let slice = Slice {
            n: groups.len(),
            pass_at_1,
            pass_at_1_ci: bootstrap_ci(&rates, seed.child(label)),
            cons: mean(
                groups.iter().filter_map(|group| consensus(group)).map(|right| f64::from(u8::from(right))),
            )?,
            completion_length_mean: mean(lengths)?,
        };
        Some((label.to_owned(), slice))
    };
    by_label.into_iter().filter_map(slice).collect()
}
