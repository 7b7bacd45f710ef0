//! The learning rate of a step: linear warm-up, then constant, linear or cosine. A function of the step alone, so
//! that resuming needs no state. The same numbers as transformers' schedules.

use crate::config::{Config, Scheduler};
use std::f64::consts::PI;

/// The learning rate of each step of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    peak: f64,
    floor: f64,
    warmup_steps: usize,
    max_steps: usize,
    shape: Scheduler,
}

impl Schedule {
    /// The schedule of a run of `max_steps` steps.
    pub fn new(config: &Config, max_steps: usize) -> Self {
        Self {
            peak: config.learning_rate,
            floor: config.lr_scheduler_min_ratio,
            warmup_steps: config.warmup_steps,
            max_steps,
            shape: config.lr_scheduler_type,
        }
    }

    /// The learning rate after `done` optimizer steps, that is for the step `done + 1`.
    pub fn learning_rate(&self, done: usize) -> f64 {
        self.peak * self.factor(done)
    }

    fn factor(&self, done: usize) -> f64 {
        if done < self.warmup_steps {
            return done as f64 / self.warmup_steps as f64;
        }
        let span = self.max_steps.saturating_sub(self.warmup_steps).max(1);
        let progress = ((done - self.warmup_steps) as f64 / span as f64).min(1.0);
        let fall = match self.shape {
            Scheduler::Constant => return 1.0,
            Scheduler::Linear => 1.0 - progress,
            Scheduler::Cosine => 0.5 * (1.0 + (PI * progress).cos()),
        };
        self.floor + (1.0 - self.floor) * fall
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;
    use crate::config::{Config, Scheduler};

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        num_warmup_steps: usize,
        num_training_steps: usize,
        #[serde(default)]
        min_lr_rate: f64,
        factors: Vec<f64>,
    }

    #[test]
    fn factors_equal_those_of_transformers() {
        for case in ruminate_testkit::json::<Vec<Case>>("train/schedules.json") {
            let shape = if case.name == "linear" { Scheduler::Linear } else { Scheduler::Cosine };
            let config = Config {
                learning_rate: 2.0,
                lr_scheduler_type: shape,
                warmup_steps: case.num_warmup_steps,
                lr_scheduler_min_ratio: case.min_lr_rate,
                ..Config::default()
            };
            let schedule = Schedule::new(&config, case.num_training_steps);
            for (done, factor) in case.factors.iter().enumerate() {
                let rate = schedule.learning_rate(done);
                assert!((rate - 2.0 * factor).abs() < 1e-10, "{} after {done}: {rate}", case.name);
            }
        }
    }

    #[test]
    fn constant_stays_at_the_peak_after_warmup() {
        let config = Config { lr_scheduler_type: Scheduler::Constant, warmup_steps: 2, ..Config::default() };
        let schedule = Schedule::new(&config, 10);
        let rates: Vec<f64> =
            (0..4).map(|done| schedule.learning_rate(done) / config.learning_rate).collect();
        assert_eq!(rates, [0.0, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn steps_beyond_the_last_stay_at_the_floor() {
        let config = Config { lr_scheduler_min_ratio: 0.25, learning_rate: 1.0, ..Config::default() };
        assert_eq!(Schedule::new(&config, 10).learning_rate(30), 0.25);
    }
}
