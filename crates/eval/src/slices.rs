//! An evaluation by parts: how a policy does on each task, on each difficulty. It does not know what a label means.

use crate::metrics::{bootstrap_ci, consensus, mean, scored, solve_rate};
use ruminate_data::{Group, Seed};
use ruminate_run::rows::Slice;
use std::collections::BTreeMap;

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
