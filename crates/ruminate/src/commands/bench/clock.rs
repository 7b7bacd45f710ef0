//! Observers that hear what the steps of a trainer cost.

use super::work::{Costs, Work};
use super::{Measured, Part};
use ruminate_data::Group;
use ruminate_rollout::Dtype;
use ruminate_train::{self as train, Metrics};
use std::collections::BTreeMap;

/// Seconds of every step.
#[derive(Default)]
pub(super) struct Clock {
    pub(super) steps: Vec<f64>,
}

impl train::Observer for Clock {
    fn step(&mut self, _: usize, metrics: &Metrics) {
        self.steps.extend(metrics.get("step_time_s"));
    }
}

/// Completions that the trainer recomputes to compare itself with the sampler, where a step has no pass that does.
const PROBED: usize = 8;

/// Steps of GRPO: seconds and sampled tokens, and the same of each stage.
pub(super) struct GrpoClock {
    costs: Costs,
    sampling: Costs,
    steps: Vec<f64>,
    tokens: Vec<f64>,
    /// A step's stages, the work of all steps, the time of those that are over.
    stages: Vec<Vec<Part>>,
}

impl GrpoClock {
    pub(super) fn new(costs: Costs, sampling: Dtype) -> Self {
        Self {
            costs,
            sampling: costs.sampling(sampling),
            steps: Vec::new(),
            tokens: Vec::new(),
            stages: Vec::new(),
        }
    }

    /// Medians of a step and means of its stages, the first step left out.
    pub(super) fn measured(mut self, reads: BTreeMap<String, f64>) -> Measured {
        let counted = &self.stages[1..];
        let mean = |stage: usize, value: &dyn Fn(&Part) -> f64| {
            counted.iter().map(|stages| value(&stages[stage])).sum::<f64>() / counted.len() as f64
        };
        let parts = self.stages[0].iter().enumerate().map(|(stage, part)| Part {
            name: part.name,
            time_s: mean(stage, &|part| part.time_s),
            gflop: mean(stage, &|part| part.gflop),
            gb: mean(stage, &|part| part.gb),
        });
        let parts = parts.collect();
        let (tokens, step_s) = (median(&mut self.tokens[1..]), median(&mut self.steps[1..]));
        Measured { tokens, step_s, parts, reads }
    }
}

impl train::Observer for GrpoClock {
    fn step(&mut self, _: usize, metrics: &Metrics) {
        let seconds = |name: &str| metrics.get(name).unwrap_or(0.0);
        self.steps.push(seconds("step_time_s"));
        let Some(stages) = self.stages.last_mut() else { return };
        if seconds("mismatch_time_s") == 0.0 {
            // The first pass forward of learning was the comparison.
            stages.retain(|part| part.name != "mismatch");
            stages.insert(1, Part::new("mismatch", 0.0, Work::default()));
        }
        for part in stages.iter_mut() {
            part.time_s = match part.name {
                "sampling" => seconds("rollout_time_s"),
                "mismatch" => seconds("mismatch_time_s"),
                "forward" => seconds("forward_time_s"),
                "backward" => seconds("backward_time_s"),
                _ => seconds("optimizer_time_s"),
            };
        }
        let rest = seconds("step_time_s") - stages.iter().map(|part| part.time_s).sum::<f64>();
        stages.push(Part::new("other", rest, Work::default()));
    }

    fn groups(&mut self, _: usize, groups: &[Group], advantages: &[Vec<f64>]) {
        let lengths = |group: &Group| -> Vec<(usize, usize)> {
            group.completions.iter().map(|c| (c.prompt_ids.len(), c.ids.len())).collect()
        };
        let all: Vec<(usize, usize)> = groups.iter().flat_map(lengths).collect();
        let whole = |&(prompt, new): &(usize, usize)| (prompt + new, new);
        // A group computes its prompt once.
        let prompts: Vec<(usize, usize)> = groups
            .iter()
            .filter_map(|group| lengths(group).first().map(|&(prompt, _)| (prompt, 1)))
            .collect();
        let probed: Vec<(usize, usize)> =
            all.iter().step_by(all.len().div_ceil(PROBED).max(1)).map(whole).collect();
        // Where no reward differs from its siblings' nothing is to be learnt.
        let trained: Vec<(usize, Vec<usize>)> = groups
            .iter()
            .zip(advantages)
            .filter_map(|(group, advantages)| {
                let moving =
                    lengths(group).into_iter().zip(advantages).filter(|(_, advantage)| **advantage != 0.0);
                let moving: Vec<(usize, usize)> = moving.map(|(lengths, _)| lengths).collect();
                moving.first().map(|&(prompt, _)| (prompt, moving.iter().map(|&(_, new)| new).collect()))
            })
            .collect();
        let (forward, update) = match trained.as_slice() {
            [] => (Work::default(), Work::default()),
            trained => (self.costs.forward_groups(trained), self.costs.optimizer()),
        };
        self.tokens.push(all.iter().map(|&(_, new)| new as f64).sum());
        self.stages.push(vec![
            Part::new("sampling", 0.0, self.sampling.forward(&prompts) + self.sampling.decode(&all)),
            Part::new("mismatch", 0.0, self.costs.forward(&probed)),
            Part::new("forward", 0.0, forward),
            Part::new("backward", 0.0, forward * 2.0),
            Part::new("optimizer", 0.0, update),
        ]);
    }
}

/// The middle one, or the mean of both.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
