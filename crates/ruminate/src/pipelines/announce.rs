//! What a command says before it starts: how much is sampled and learned, at which rate, how often each row is seen.

use crate::observer::small;
use crate::policy;
use crate::recipe::{Model, Recipe};
use ruminate_env::Problems;
use ruminate_model::{Config, Parameters};
use ruminate_train::supervised;
use std::path::Path;

/// Of `train-rl`, but for its memory and time.
pub(crate) fn train_rl(recipe: &Recipe, model: &Model, config: &Config, out: &Path, problems: &Problems) {
    let Parameters { all, active } = config.parameters();
    notice!(
        "train-rl: {} parameters ({} active a token), {}, seed {}",
        policy::millions(all),
        policy::millions(active),
        task(recipe),
        recipe.seed
    );
    rows(problems);
    let mut stages = Vec::new();
    if matches!(model, Model::Inline(_)) {
        let pretrain = &recipe.pretrain;
        stages.push(format!(
            "pretrain a base policy: {} steps of {} traces (skipped where {} has it)",
            pretrain.max_steps,
            pretrain.batch_size,
            out.join("base").display()
        ));
    }
    let grpo = &recipe.grpo;
    stages.push(format!(
        "GRPO: {} steps of {} problems x {} completions of at most {} tokens{}; {}",
        recipe.max_steps,
        grpo.prompts_per_step,
        grpo.num_generations,
        recipe.rollout.max_new_tokens,
        problems.count().map_or_else(String::new, |count| {
            let seen = (recipe.max_steps * grpo.prompts_per_step) as f64 / count as f64;
            let why = recipe
                .num_train_epochs
                .map_or_else(String::new, |epochs| format!(" (`num_train_epochs` = {epochs})"));
            format!(", {seen:.1} epochs of {count} problems{why}")
        }),
        learning(recipe, recipe.train.learning_rate)
    ));
    stages.push(format!(
        "measure before and after on {} held-out problems, {} each",
        problems.validation.len(),
        samples(recipe.eval.num_samples)
    ));
    let small = small::Settings::new(&recipe.eval, problems.validation.len());
    stages.extend(
        small.map(|small| small.announcement(&recipe.eval, grpo.prompts_per_step * grpo.num_generations)),
    );
    for (number, stage) in (1..).zip(stages) {
        notice!("  {number}. {stage}");
    }
}

/// Of a supervised run: `name` on so many samples; none where they have no end.
pub(crate) fn supervised(name: &str, recipe: &Recipe, settings: &supervised::Config, samples: Option<usize>) {
    let supervised::Config { max_steps, batch_size, .. } = settings;
    let seen = samples.filter(|samples| *samples > 0).map_or_else(String::new, |samples| {
        let epochs = (max_steps * batch_size) as f64 / samples as f64;
        format!(", {epochs:.1} epochs of {samples} samples")
    });
    notice!(
        "{name}: {max_steps} steps of {batch_size} sequences{seen}; {}",
        learning(recipe, settings.train.learning_rate)
    );
}

/// Of `eval`.
pub(crate) fn eval(recipe: &Recipe, model: &Path, problems: &Problems) {
    rows(problems);
    let (n, eval) = (problems.validation.len(), &recipe.eval);
    notice!(
        "eval: {} on {}, {n} problems x {} at temperature {} and one greedy, of at most {} tokens",
        model.display(),
        task(recipe),
        samples(eval.num_samples),
        eval.temperature,
        recipe.rollout.max_new_tokens
    );
}

/// Of `distill`: what the teacher is asked.
pub(crate) fn distill(recipe: &Recipe, teacher: &str, problems: &Problems) {
    rows(problems);
    let distill = &recipe.distill;
    notice!(
        "distill: {teacher} is asked {} problems ({}), {} each of at most {} tokens; {}",
        distill.prompts,
        task(recipe),
        samples(distill.learning.num_samples),
        recipe.rollout.max_new_tokens,
        match distill.student {
            Some(_) => "then a student learns by [sft]",
            None => "the traces are the result, since there is no `distill.student`",
        }
    );
}

fn samples(count: usize) -> String {
    if count == 1 { "1 sample".to_owned() } else { format!("{count} samples") }
}

/// What became of a file's rows.
fn rows(problems: &Problems) {
    for line in &problems.notes {
        notice!("  {line}");
    }
}

fn task(recipe: &Recipe) -> String {
    let data = &recipe.data;
    match (&data.train, &data.eval, &data.task) {
        (Some(path), _, _) | (None, Some(path), None) => path.display().to_string(),
        (None, _, Some(task)) => task.clone(),
        (None, None, None) => {
            data.tasks.iter().map(|share| share.task.as_str()).collect::<Vec<_>>().join(", ")
        }
    }
}

/// The rate, and what it moves.
fn learning(recipe: &Recipe, rate: f64) -> String {
    match &recipe.lora {
        Some(lora) => format!("learning rate {rate:e}, adapters of rank {}", lora.r),
        None => format!("learning rate {rate:e}, all weights"),
    }
}
