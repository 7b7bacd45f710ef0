//! How long a run of `train-rl` takes, by what its first step took: every step as long as that one, and every completion of
//! an evaluation as long as one of its own.

use crate::evaluator::Sizes;
use crate::recipe::Recipe;
use ruminate_train::Metrics;

/// What a run has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Workload {
    /// Steps of GRPO.
    steps: usize,
    /// Completions of a step.
    completions: usize,
    /// Completions of all evaluations and validations.
    evaluated: usize,
}

/// Seconds of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StepTime {
    /// Until the last verdict.
    pub(crate) sampling: f64,
    /// The rest.
    pub(crate) learning: f64,
}

impl StepTime {
    /// Of a step's metrics.
    pub(crate) fn of(metrics: &Metrics) -> Option<Self> {
        let sampling = metrics.measured("rollout_time_s")?;
        Some(Self { sampling, learning: metrics.measured("train_time_s")? })
    }

    /// Of the whole step.
    pub(crate) fn whole(self) -> f64 {
        self.sampling + self.learning
    }
}

impl Workload {
    /// Of a run of that recipe from its step `done` on, the evaluation of that step apart. `sizes` are those of its
    /// evaluations.
    pub(crate) fn after(recipe: &Recipe, sizes: Sizes, done: usize) -> Self {
        let Recipe { grpo, eval, .. } = recipe;
        let last = recipe.max_steps;
        // Steps from `done` on, the last one apart, at which something is due every so many.
        let due = |every: usize| {
            let until = |step: usize| step.checked_div(every).unwrap_or(0);
            until(last.saturating_sub(1)).saturating_sub(until(done))
        };
        let a_problem = eval.num_samples + 1;
        let on_the_way = due(grpo.eval_steps) * sizes.development * a_problem;
        let small = due(eval.validation_steps()) * eval.validation_n().min(sizes.validation);
        Self {
            steps: last.saturating_sub(done),
            completions: grpo.prompts_per_step * grpo.num_generations,
            evaluated: sizes.all * a_problem + on_the_way + small,
        }
    }

    /// The same with the evaluation before the first step.
    pub(crate) fn whole(recipe: &Recipe, sizes: Sizes) -> Self {
        let after = Self::after(recipe, sizes, 0);
        Self { evaluated: after.evaluated + sizes.all * (recipe.eval.num_samples + 1), ..after }
    }

    /// Seconds of it.
    pub(crate) fn seconds(self, step: StepTime) -> f64 {
        let a_completion = step.sampling / self.completions.max(1) as f64;
        self.steps as f64 * step.whole() + self.evaluated as f64 * a_completion
    }
}

/// A time for people, about.
pub(crate) fn about(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{:.0} s", s.ceil()),
        s if s < 90.0 * 60.0 => format!("{:.0} min", (s / 60.0).ceil()),
        s if s < 48.0 * 3600.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::{StepTime, Workload, about};
    use crate::evaluator::Sizes;
    use crate::recipe::Recipe;

    fn recipe(toml: &str) -> Recipe {
        toml::from_str(toml).expect("a recipe")
    }

    #[test]
    fn steps_and_completions_of_evaluations_are_counted() {
        let recipe = recipe(
            "max_steps = 20\n[grpo]\nprompts_per_step = 4\nnum_generations = 8\neval_steps = 5\n[eval]\nnum_samples = 3\n\
             validation_steps = 0",
        );
        let sizes = Sizes { all: 30, development: 20, validation: 10 };
        let whole = Workload::whole(&recipe, sizes);
        // Before and after on all sets, and at steps 5, 10 and 15 on those of development.
        assert_eq!(whole, Workload { steps: 20, completions: 32, evaluated: 2 * 30 * 4 + 3 * 20 * 4 });
        let rest = Workload::after(&recipe, sizes, 10);
        assert_eq!(rest, Workload { steps: 10, completions: 32, evaluated: 30 * 4 + 20 * 4 });
        let step = StepTime { sampling: 3.2, learning: 1.8 };
        assert!((whole.seconds(step) - (20.0 * 5.0 + 480.0 * 0.1)).abs() < 1e-9);
    }

    #[test]
    fn times_are_told_in_the_unit_that_fits() {
        for (seconds, told) in
            [(3.2, "4 s"), (100.0, "2 min"), (3600.0 * 3.0, "3.0 h"), (86_400.0 * 3.0, "3.0 days")]
        {
            assert_eq!(about(seconds), told);
        }
    }
}
