//! A run's logs when it is resumed: rewound to the checkpoint, and compared with it. Rows that are missing are gone for
//! good, which is worth a warning and never a run. It does not know what rows mean.

use anyhow::Result;
use ruminate_run::{Found, RunFolder, Truncation, truncate_after};
use ruminate_train::is_due;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// What a run writes into its logs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logged {
    /// Steps between two evaluations, of a run that evaluates; 0 is none on the way.
    pub(crate) eval_steps: Option<usize>,
    /// Whether the model has experts, whose load is written.
    pub(crate) experts: bool,
}

/// Rewinds the logs of a run folder to a checkpoint's step, and warns of rows that should be there and are not.
///
/// # Errors
/// With exit code 7 for a log that is no regular file, or cannot be written.
pub(crate) fn rewind(folder: &RunFolder, step: usize, logged: Logged) -> Result<()> {
    let every = |wanted: bool| (1..=step).filter(|_| wanted).collect::<BTreeSet<usize>>();
    // The evaluation of the checkpoint's own step may have come after it.
    let evaluated = logged
        .eval_steps
        .map(|every| (0..step).filter(|&step| step == 0 || is_due(step, every)).collect::<BTreeSet<usize>>());
    for (path, expected) in [
        (folder.metrics_path(), every(true)),
        (folder.eval_path(), evaluated.unwrap_or_default()),
        (folder.expert_load_path(), every(logged.experts)),
        // A run may have been begun without small validations.
        (folder.validation_path(), BTreeSet::new()),
    ] {
        let mut steps = BTreeSet::new();
        // A run that begins again has an evaluation of step 0 to come.
        let truncation = truncate_after(&path, |row: &Value| {
            let kept = step_of(row).filter(|&of| step > 0 && of <= step);
            steps.extend(kept);
            kept.is_some()
        })?;
        // A new folder that goes on from another run's checkpoint has no rows of the steps before.
        if step > 0 && *folder.found() != Found::Free {
            warn(&path, &expected, &steps, truncation);
        }
    }
    // A row names the weights that servers had, and those of a checkpoint sample the step behind it.
    truncate_after(&folder.fleet_path(), |row| step_of(row).is_some_and(|of| of < step))?;
    Ok(())
}

fn step_of(row: &Value) -> Option<usize> {
    row["step"].as_u64().and_then(|of| usize::try_from(of).ok())
}

fn warn(path: &Path, expected: &BTreeSet<usize>, found: &BTreeSet<usize>, truncation: Truncation) {
    let missing: Vec<usize> = expected.difference(found).copied().collect();
    let mut problems = Vec::new();
    if !missing.is_empty() {
        let noun = if missing.len() == 1 { "the row of step" } else { "the rows of steps" };
        problems.push(format!(
            "{noun} {} missing",
            ranges(&missing) + if missing.len() == 1 { " is" } else { " are" }
        ));
    }
    match truncation.unreadable {
        0 => {}
        1 => problems.push("1 line was not JSON and is removed".to_owned()),
        lines => problems.push(format!("{lines} lines were not JSON and are removed")),
    }
    if !problems.is_empty() {
        notice!(
            "warning: {}: {}; the run goes on from its checkpoint, and this log stays incomplete",
            path.display(),
            problems.join(", ")
        );
    }
}

/// `1-3, 7`.
fn ranges(steps: &[usize]) -> String {
    let runs = steps.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [only] => only.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    });
    runs.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn steps_are_told_as_ranges() {
        assert_eq!(ranges(&[1, 2, 3, 7, 9, 10]), "1-3, 7, 9-10");
        assert_eq!(ranges(&[4]), "4");
    }
}
