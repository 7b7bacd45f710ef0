//! The numbers of a step, under TRL's names; docs/algorithms.md says what each means.

use crate::Config;
use crate::advantage::{Advantages, mean, std};
use crate::learn::UpdateStats;
use crate::loss::{LossStats, PolicyLoss};
use crate::mismatch::Mismatch;
use crate::rollouts::Rollout;
use ruminate_data::{Completion, FinishReason, Group, Outcome, Verdict};
use ruminate_train::{Metrics, State};

/// Seconds of a step's parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) rollout: f64,
    pub(crate) train: f64,
    pub(crate) step: f64,
}

pub(crate) fn collect(
    rollout: &Rollout,
    parts: &[(String, f64)],
    advantages: &Advantages,
    report: &UpdateStats,
    mismatch: &Mismatch,
    num_tokens: u64,
    times: Times,
) -> Metrics {
    let mut metrics = Metrics::default();
    let groups = &rollout.groups;
    rewards(&mut metrics, groups, parts, advantages.frac_reward_zero_std);
    completions(&mut metrics, groups);

    let updates = report.updates.max(1) as f64;
    metrics.set("kl", report.tally.kl / report.tally.tokens.max(1.0));
    metrics.set("clip_ratio/region_mean", report.tally.clipped / report.tally.tokens.max(1.0));
    metrics.set("loss", report.loss / updates);
    metrics.set("grad_norm", report.grad_norm / updates);
    metrics.set("learning_rate", report.learning_rate);
    metrics.set("num_tokens", num_tokens as f64);
    metrics.set("sampling/mismatch_kl", mismatch.kl());
    metrics.set("sampling/logprob_diff_max", mismatch.logprob_diff_max);
    metrics.set("sampling/routing_disagreement", mismatch.routing_disagreement());
    metrics.set("sampling/absent_logprobs", mismatch.absent as f64);
    if let Some(acceptance) = rollout.guesses.acceptance() {
        metrics.set("sampling/acceptance", acceptance);
    }
    if let Some(ratio) = mismatch.load.max_over_mean() {
        metrics.set("moe/load_max", ratio);
    }
    metrics.set("rollout_time_s", times.rollout);
    metrics.set("judge_wait_time_s", rollout.judge_wait);
    metrics.set("train_time_s", times.train);
    metrics.set("mismatch_time_s", report.times.mismatch);
    metrics.set("forward_time_s", report.times.forward);
    metrics.set("backward_time_s", report.times.backward);
    metrics.set("optimizer_time_s", report.times.optimizer);
    metrics.set("step_time_s", times.step);
    metrics
}

/// Shares of computed tokens that a correction or a mask changed, where the loss has one.
pub(crate) fn corrections(metrics: &mut Metrics, loss: &PolicyLoss, tally: &LossStats) {
    let tokens = tally.tokens.max(1.0);
    if loss.correction.needs_trainer_logprobs() {
        metrics.set("correction/dropped", tally.dropped / tokens);
        metrics.set("correction/truncated", tally.cut / tokens);
    }
    if loss.off_policy_mask_threshold.is_some() {
        metrics.set("correction/off_policy", tally.off_policy / tokens);
    }
}

/// The policy's entropy over the step's updates, and what it weighs at the next, where there is a bonus.
pub(crate) fn entropy_bonus(metrics: &mut Metrics, config: &Config, state: &State, tally: &LossStats) {
    if config.entropy_target.is_some() || config.entropy_coef.is_some_and(|coef| coef > 0.0) {
        metrics.set("policy_entropy", tally.entropy / tally.tokens.max(1.0));
        let coef = state.entropy_control.map(|control| control.coef);
        metrics.set("entropy_coef", coef.or(config.entropy_coef).unwrap_or_default());
    }
}

/// Means over scored completions; unscored ones are counted and take part in nothing. What nothing was scored for is NaN,
/// which a row has as null. `parts` are the names of the reward's components: what else a verdict has is a measure.
fn rewards(metrics: &mut Metrics, groups: &[Group], parts: &[(String, f64)], equal: f64) {
    let verdicts: Vec<_> = groups.iter().flat_map(|group| &group.verdicts).collect();
    let scored: Vec<_> = verdicts.iter().filter(|verdict| verdict.is_scored()).collect();
    metrics.set("reward", measured(&scored.iter().map(|verdict| verdict.score).collect::<Vec<_>>()));
    let deviations: Vec<f64> = groups
        .iter()
        .map(|group| group.verdicts.iter().filter(|v| v.is_scored()).map(|v| v.score).collect::<Vec<f64>>())
        .filter(|scores| !scores.is_empty())
        .map(|scores| std(&scores))
        .collect();
    metrics.set("reward_std", measured(&deviations));
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in scored.iter().flat_map(|verdict| &verdict.rewards) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    for name in names {
        let values: Vec<f64> = scored.iter().filter_map(|verdict| verdict.reward(name)).collect();
        if parts.is_empty() || parts.iter().any(|(part, _)| part == name) {
            metrics.set(format!("rewards/{name}/mean"), mean(&values));
            metrics.set(format!("rewards/{name}/std"), std(&values));
        } else {
            metrics.set(format!("measures/{name}/mean"), mean(&values));
        }
    }
    let correct = |verdict: &&&Verdict| f64::from(u8::from(verdict.outcome == Outcome::Correct));
    metrics.set("correct", measured(&scored.iter().map(correct).collect::<Vec<_>>()));
    metrics.set("unscored", (verdicts.len() - scored.len()) as f64);
    metrics.set("frac_reward_zero_std", if scored.is_empty() { f64::NAN } else { equal });
}

/// The mean of what was measured; NaN where nothing was.
fn measured(values: &[f64]) -> f64 {
    if values.is_empty() { f64::NAN } else { mean(values) }
}

fn completions(metrics: &mut Metrics, groups: &[Group]) {
    let all: Vec<&Completion> = groups.iter().flat_map(|group| &group.completions).collect();
    let lengths: Vec<f64> = all.iter().map(|completion| completion.num_trained() as f64).collect();
    let truncated = all.iter().filter(|completion| completion.finish_reason == FinishReason::Length).count();
    metrics.set("completions/mean_length", mean(&lengths));
    metrics.set("completions/clipped_ratio", truncated as f64 / all.len().max(1) as f64);
    // The mean surprise of what was sampled: an unbiased estimate of the sampling distribution's entropy that
    // costs no forward pass.
    let surprises: Vec<f64> = all
        .iter()
        .flat_map(|completion| completion.of_trained(&completion.drawn_logprobs()))
        .filter(|logprob| logprob.is_finite())
        .map(|logprob| -f64::from(logprob))
        .collect();
    metrics.set("entropy", measured(&surprises));
    let kept: Vec<f64> = all
        .iter()
        .filter(|completion| !completion.kept_mass.is_empty())
        .flat_map(|completion| completion.of_trained(&completion.kept_mass))
        .map(f64::from)
        .collect();
    if !kept.is_empty() {
        metrics.set("sampling/kept_mass", mean(&kept));
    }
}
