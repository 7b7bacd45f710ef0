//! How long a run still takes, said once its first step has shown how long a step is.

use super::Observer;
use crate::forecast::{StepTime, Workload, about};
use ruminate_train::Metrics;

/// What takes less is not worth a line.
const WORTH_A_LINE: f64 = 60.0;

impl Observer<'_> {
    /// After the first step of a process: what is left of the run, evaluations included.
    pub(super) fn tell_remaining(&self, step: usize, metrics: &Metrics) {
        if step != self.done + 1 {
            return;
        }
        let Some(seconds) = self.remaining(step, metrics).filter(|seconds| *seconds >= WORTH_A_LINE) else {
            return;
        };
        self.progress.say(&format!("by its first step the run takes about {} from here on", about(seconds)));
    }

    fn remaining(&self, step: usize, metrics: &Metrics) -> Option<f64> {
        if let (Some(evaluator), Some(time)) = (self.settings.evaluator, StepTime::of(metrics)) {
            return Some(Workload::after(self.settings.recipe, evaluator.sizes(), step).seconds(time));
        }
        Some(self.total.saturating_sub(step) as f64 * metrics.measured("step_time_s")?)
    }
}
