//! Learning rates against what is known to work for a model of that size, warm-up against the run's length, and the rank
//! of adapters against the model's width.

use super::Work;
use super::findings::Finding;
use super::inputs::{Inputs, Known};
use crate::settings::rates::{Kind, sensible};
use ruminate_train::OptimizerName;

/// A stated rate so many times above the range is taken for a typing error.
const SLIP: f64 = 30.0;

pub(super) fn check(inputs: &Inputs) -> Vec<Finding> {
    let recipe = inputs.recipe;
    let mut findings = Vec::new();
    let (table, train, steps) = match inputs.work {
        Work::TrainRl => {
            let steps = recipe.steps(inputs.training_rows()).unwrap_or(recipe.max_steps);
            ("train", &recipe.train, steps.saturating_mul(recipe.grpo.updates_per_step()))
        }
        Work::Sft | Work::Distill => {
            let sft = inputs.training_rows().filter(|_| inputs.work == Work::Sft);
            let steps = sft.map_or(recipe.sft.max_steps, |rows| recipe.sft.for_samples(rows).max_steps);
            ("sft", &recipe.sft.train, steps)
        }
        Work::Pretrain => ("pretrain", &recipe.pretrain.train, recipe.pretrain.max_steps),
        Work::Eval => return findings,
    };
    findings.extend(optimizer(inputs, table, train.optimizer));
    if let Some(known) = inputs.learner() {
        findings.push(rate(inputs, known, table, train.learning_rate));
        findings.extend(rank(inputs, known));
    }
    let warmup = train.warmup_steps;
    if warmup > 0 && warmup >= steps {
        let found = format!(
            "`{table}.warmup_steps` = {warmup} and the run has {steps} updates: the rate never reaches its peak"
        );
        findings.push(Finding::warning(
            "warmup_steps",
            found,
            format!("set `{table}.warmup_steps` below {steps}, or give the run more steps"),
        ));
    }
    findings
}

fn rate(inputs: &Inputs, known: &Known, table: &str, rate: f64) -> Finding {
    let kind = if inputs.work == Work::TrainRl { Kind::Reinforcement } else { Kind::Supervised };
    let adapters = inputs.recipe.lora.is_some() && inputs.work != Work::Pretrain;
    let parameters = known.config.parameters().all;
    let range = sensible(kind, parameters, adapters);
    let what = if adapters { "adapters on" } else { "all weights of" };
    let found = format!(
        "`{table}.learning_rate` is {rate:e} for {what} {} parameters; known to work: {:.0e} to {:.0e}",
        crate::policy::millions(parameters),
        range.low,
        range.high
    );
    let advice = format!("set `{table}.learning_rate = {:e}`", range.default);
    let name = "learning_rate";
    if rate > range.high {
        let stated = inputs.session.args.set.iter().any(|set| set.starts_with(&format!("{table}.{name}")));
        // Before a run a rate that the user states is a warning, unless it can only be a typing error.
        if stated && !inputs.depth.whole() && rate <= SLIP * range.high {
            return Finding::warning(name, found, advice);
        }
        return Finding::severe(name, found, advice);
    }
    if rate < range.low {
        return Finding::warning(name, format!("{found}: a run of this rate changes almost nothing"), advice);
    }
    Finding::note(name, found)
}

/// A run of adapters under another optimizer than the one that steps them.
fn optimizer(inputs: &Inputs, table: &str, optimizer: OptimizerName) -> Option<Finding> {
    let adapters = inputs.recipe.lora.is_some() && inputs.work != Work::Pretrain;
    (adapters && optimizer == OptimizerName::Muon).then(|| {
        let found = format!(
            "`{table}.optimizer` is \"muon\" and [lora] trains adapters, whose factors AdamW steps: Muon would step nothing"
        );
        let advice = format!("set `{table}.optimizer = \"adamw\"`, or remove [lora] to train all weights");
        Finding::severe("optimizer", found, advice)
    })
}

fn rank(inputs: &Inputs, known: &Known) -> Option<Finding> {
    let lora = inputs.recipe.lora.as_ref()?;
    let width = known.config.hidden_size;
    (lora.r > width).then(|| {
        let found = format!(
            "`lora.r` is {}, above the width of the model, {width}: adapters are larger than the weights",
            lora.r
        );
        let advice = format!(
            "set `lora.r` to at most {width} (usual are 8 to 64), or remove [lora] to train all weights"
        );
        Finding::severe("lora_rank", found, advice)
    })
}
