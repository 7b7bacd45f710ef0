//! `num_train_epochs` beside `max_steps`: exactly one of them says how long `train-rl` runs.

use super::Recipe;
use super::layers::{Layers, at, remove};
use crate::error::Refusal;
use anyhow::Result;

const EPOCHS: &str = "num_train_epochs";
const STEPS: &str = "max_steps";

/// More than any run takes: numbers of updates stay far from the largest integer.
const MOST_STEPS: f64 = 1e9;

/// Leaves one of the two keys: the one that the user states goes before what the embedded default or a run's `config.json`
/// says.
///
/// # Errors
/// With exit code 2 where the user states both.
pub(super) fn one_of_both(layers: &mut Layers) -> Result<()> {
    if at(&layers.merged, EPOCHS).is_none() {
        return Ok(());
    }
    let counts = |key| if layers.resolved { layers.sets(key) } else { at(&layers.stated, key).is_some() };
    let dropped = match (counts(STEPS), counts(EPOCHS)) {
        (true, true) => {
            return Err(Refusal::usage(
                "`max_steps` and `num_train_epochs` both say how long train-rl runs; expected one of them: `--set max_steps=` \
                 or `--set num_train_epochs=` removes the other",
            ));
        }
        (true, false) => EPOCHS,
        _ => STEPS,
    };
    for table in [&mut layers.merged, &mut layers.stated] {
        remove(table, dropped);
    }
    Ok(())
}

impl Recipe {
    /// The steps of `train-rl` on so many training problems: `max_steps`, or as many as `num_train_epochs` passes take,
    /// rounded up.
    ///
    /// # Errors
    /// With exit code 2 where epochs are counted of a family, whose problems have no end, and where they take more steps than
    /// any run has.
    pub(crate) fn steps(&self, problems: Option<usize>) -> Result<usize> {
        let Some(epochs) = self.num_train_epochs else { return Ok(self.max_steps) };
        let Some(problems) = problems else {
            return Err(Refusal::usage(
                "`num_train_epochs` counts the problems of a file (`data.train`), and those of a family have no end; set \
                 `max_steps`",
            ));
        };
        let steps = (epochs * problems as f64 / self.grpo.prompts_per_step as f64).ceil();
        if steps > MOST_STEPS {
            return Err(Refusal::usage(format!(
                "`num_train_epochs` is {epochs}, which takes {steps:e} steps of {problems} problems; expected at most \
                 {MOST_STEPS:e}"
            )));
        }
        Ok((steps as usize).max(1))
    }

    /// Checks the range of `num_train_epochs`.
    pub(super) fn check_epochs(&self) -> Result<()> {
        match self.num_train_epochs {
            Some(epochs) if !(epochs > 0.0 && epochs.is_finite()) => Err(Refusal::usage(format!(
                "`num_train_epochs` is {epochs}; expected a finite number above 0, or `max_steps` in its place"
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::recipe::load::load;
    use std::fs;

    fn of(sets: &[&str]) -> Result<(usize, Option<f64>), String> {
        let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
        let loaded = load(None, &sets).map_err(|error| format!("{error:#}"))?;
        Ok((loaded.recipe.max_steps, loaded.recipe.num_train_epochs))
    }

    #[test]
    fn one_of_both_decides_and_steps_are_rounded_up() {
        assert_eq!(of(&[]), Ok((160, None)));
        let sets = ["num_train_epochs=2".to_owned(), "grpo.prompts_per_step=8".to_owned()];
        let recipe = load(None, &sets).expect("valid").recipe;
        assert_eq!(recipe.steps(Some(100)).expect("steps"), 25);
        assert_eq!(recipe.steps(Some(101)).expect("steps"), 26);
        assert_eq!(recipe.steps(Some(1)).expect("steps"), 1);
        let many = load(None, &["num_train_epochs=1e300".to_owned()]).expect("finite").recipe;
        let refused = many.steps(Some(100)).expect_err("no run takes so many").to_string();
        assert!(refused.contains("expected at most 1e9"), "{refused}");
        let refused = recipe.steps(None).expect_err("no end").to_string();
        assert!(refused.contains("family have no end"), "{refused}");
        assert!(
            of(&["num_train_epochs=2", "max_steps=5"]).expect_err("both").contains("expected one of them")
        );
        assert_eq!(of(&["num_train_epochs=2", "max_steps=5", "num_train_epochs="]), Ok((5, None)));
        for epochs in ["0", "-1", "inf", "nan"] {
            let refused = of(&[&format!("num_train_epochs={epochs}")]).expect_err("out of range");
            assert!(refused.contains("`num_train_epochs`"), "{refused}");
        }
    }

    #[test]
    fn a_run_folders_config_states_both_and_what_is_set_goes_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.json");
        fs::write(&path, "{\"max_steps\": 25, \"num_train_epochs\": 2.0}").expect("written");
        let of = |sets: &[&str]| {
            let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
            let recipe = load(Some(&path), &sets).expect("valid").recipe;
            (recipe.max_steps, recipe.num_train_epochs)
        };
        assert_eq!(of(&[]).1, Some(2.0));
        assert_eq!(of(&["max_steps=40"]), (40, None));
        assert_eq!(of(&["num_train_epochs=3"]).1, Some(3.0));
    }
}
