//! Whether a run is a longer one of the same kind: then it goes on where the shorter one ended, also in a folder that is
//! complete. It does not know how a folder is entered.

use super::at;
use super::resume::{Compared, compare};
use ruminate_train::checkpoint::{self, Difference, Saved};
use ruminate_train::{self as train, Schedule, Scheduler};
use serde_json::Value;
use std::path::Path;

/// Keys that say how long `train-rl` runs. An identity has the steps that epochs come to in `max_steps`.
const LENGTH: [&str; 2] = ["max_steps", "num_train_epochs"];

/// Keys by which a run that stopped early may go on.
const EARLY_END: [&str; 3] =
    ["eval.early_stopping_patience", "eval.early_stopping_threshold", "eval.metric_for_best_model"];

/// Whether the run of `identity` is one that goes on where a complete run has ended with that checkpoint: it has more steps,
/// or it stops early by other rules.
pub(crate) fn extends(checkpoint: &Path, identity: &Value) -> bool {
    let Ok(saved) = checkpoint::saved(checkpoint) else { return false };
    let is_early_end = |difference: &Difference| EARLY_END.contains(&difference.key.as_str());
    let early = |compared: Compared| compared.differences.iter().any(is_early_end);
    is_longer(&saved.identity, identity) || compare(&saved.identity, identity).is_ok_and(early)
}

/// The differences that say more than that the run has become longer; that it has is printed.
pub(super) fn without_length(saved: &Saved, now: &Value, differences: Vec<Difference>) -> Vec<Difference> {
    if !is_longer(&saved.identity, now) {
        return differences;
    }
    let is_length = |difference: &Difference| LENGTH.contains(&difference.key.as_str());
    let (length, others): (Vec<_>, Vec<_>) = differences.into_iter().partition(is_length);
    for difference in length {
        notice!("warning: changed since the checkpoint: {difference}: the run is extended");
    }
    if let Some(rate) = schedule(&saved.identity, now, saved.step) {
        notice!("warning: {rate}");
    }
    others
}

/// Whether the run of `now` is that of `saved` with more steps.
fn is_longer(saved: &Value, now: &Value) -> bool {
    let steps = |of: &Value| of.get("max_steps").and_then(Value::as_u64);
    now["stage"] == "train-rl" && steps(saved).zip(steps(now)).is_some_and(|(saved, now)| now > saved)
}

/// What becomes of the learning rate when a run is extended after `step` steps: its schedule is a function of the step and of
/// the run's length, so it goes on as in a run that has had the new length from its beginning.
fn schedule(saved: &Value, now: &Value, step: usize) -> Option<String> {
    let rates = |of: &Value| {
        let config: train::Config = serde_json::from_value(of.get("train")?.clone()).ok()?;
        let updates = ["num_minibatches", "num_iterations"]
            .iter()
            .try_fold(1, |product, key| Some(product * at(of, &format!("grpo.{key}"))?.as_u64()? as usize))?;
        let steps = of.get("max_steps")?.as_u64()? as usize;
        let schedule = Schedule::new(&config, steps * updates);
        Some((config.lr_scheduler_type, schedule.learning_rate(step * updates)))
    };
    let ((_, before), (shape, after)) = (rates(saved)?, rates(now)?);
    if shape == Scheduler::Constant {
        return None;
    }
    Some(format!(
        "the learning rate goes on as in a run of the new length: {after:.2e} at the next update, {before:.2e} in the shorter run"
    ))
}

#[cfg(test)]
mod tests {
    use super::{is_longer, schedule};
    use serde_json::{Value, json};

    fn run(steps: u64, shape: &str) -> Value {
        json!({
            "stage": "train-rl", "max_steps": steps, "grpo": { "num_minibatches": 2, "num_iterations": 1 },
            "train": { "learning_rate": 1e-3, "lr_scheduler_type": shape },
        })
    }

    #[test]
    fn more_steps_are_longer_and_the_rate_is_that_of_the_longer_run() {
        assert!(is_longer(&run(4, "linear"), &run(8, "linear")));
        assert!(
            !is_longer(&run(4, "linear"), &run(4, "linear"))
                && !is_longer(&run(8, "linear"), &run(4, "linear"))
        );
        let mut sft = run(8, "linear");
        sft["stage"] = json!("sft");
        assert!(!is_longer(&run(4, "linear"), &sft));
        let told = schedule(&run(4, "linear"), &run(8, "linear"), 4).expect("it changes");
        assert!(told.contains("5.00e-4 at the next update, 0.00e0 in the shorter run"), "{told}");
        assert_eq!(schedule(&run(4, "constant"), &run(8, "constant"), 4), None);
    }
}
