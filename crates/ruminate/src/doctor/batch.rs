//! A recipe's numbers against each other: how groups divide, the sampler's distribution, epochs.

use super::Work;
use super::findings::Finding;
use crate::recipe::Recipe;
use ruminate_train::supervised;
use std::fmt::Write as _;

/// Epochs of a file above which a policy is likely to know its rows by heart.
const MANY_EPOCHS: f64 = 20.0;

/// Checks of `[grpo]` and `[rollout]` for reinforcement, of `[eval]` for evaluations.
pub(super) fn sampling(work: Work, recipe: &Recipe) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (rollout, eval) = (&recipe.rollout, &recipe.eval);
    let samples = match work {
        Work::TrainRl => recipe.grpo.num_generations,
        Work::Distill => recipe.distill.learning.num_samples,
        Work::Sft | Work::Pretrain | Work::Eval => 1,
    };
    if rollout.temperature == 0.0 && work == Work::TrainRl {
        let found = format!(
            "`rollout.temperature` is 0: the {samples} completions of a group are equal and teach nothing"
        );
        findings.push(Finding::severe("temperature", found, "set `rollout.temperature = 1`"));
    } else if rollout.temperature == 0.0 && samples > 1 {
        let found = format!("`rollout.temperature` is 0: the {samples} samples of a prompt are equal");
        findings.push(Finding::warning(
            "temperature",
            found,
            "set `rollout.temperature` above 0, or `distill.num_samples = 1`",
        ));
    }
    if work != Work::Pretrain && work != Work::Sft && eval.temperature == 0.0 && eval.num_samples > 1 {
        let found =
            format!("`eval.temperature` is 0: the {} samples of a problem are equal", eval.num_samples);
        findings.push(Finding::warning(
            "eval_temperature",
            found,
            "set `eval.num_samples = 1`, or `eval.temperature` above 0",
        ));
    }
    findings
}

/// How the groups of a step of reinforcement divide, and how often the rows of a file are seen.
pub(super) fn groups(recipe: &Recipe, rows: Option<usize>) -> Vec<Finding> {
    let grpo = &recipe.grpo;
    let (prompts, generations, minibatches) =
        (grpo.prompts_per_step, grpo.num_generations, grpo.num_minibatches);
    let mut findings = Vec::new();
    let steps = recipe.steps(rows).unwrap_or(recipe.max_steps);
    let key = if recipe.num_train_epochs.is_some() { "num_train_epochs" } else { "max_steps" };
    let a_step = prompts * generations;
    let mut found = format!(
        "{prompts} prompts x {generations} completions are {a_step} completions a step, learned in {} updates; {} steps \
         ask {} prompts",
        grpo.updates_per_step(),
        steps,
        steps * prompts
    );
    if let Some(rows) = rows.filter(|rows| *rows > 0) {
        let epochs = (steps * prompts) as f64 / rows as f64;
        let _ = write!(found, ", {} of {rows} rows", told(epochs));
        findings.extend(repeated("grpo.prompts_per_step", key, prompts, rows, epochs));
    }
    findings.insert(0, Finding::note("batch", found));
    if !prompts.is_multiple_of(minibatches) {
        let found = format!(
            "{prompts} groups of `grpo.prompts_per_step` do not divide into {minibatches} minibatches"
        );
        let fits: Vec<String> = (1..=minibatches.min(prompts))
            .filter(|n| prompts.is_multiple_of(*n))
            .map(|n| n.to_string())
            .collect();
        let advice = format!(
            "set `grpo.num_minibatches` to {}, or `grpo.prompts_per_step` to a multiple of {minibatches}",
            fits.join(" or ")
        );
        findings.push(Finding::severe("groups", found, advice));
    }
    let (micro, completions) = (grpo.micro_batch_size, a_step.div_ceil(minibatches.max(1)));
    let fits = micro >= completions || micro.is_multiple_of(generations) || generations.is_multiple_of(micro);
    if !fits {
        let found = format!(
            "`grpo.micro_batch_size` = {micro} cuts through groups of {generations}: a group's prompt is computed more than once"
        );
        let advice = format!("set it to a multiple of {generations}, or to a divisor");
        findings.push(Finding::warning("microbatches", found, advice));
    }
    findings
}

/// The same of a supervised stage; `table` is its name in the recipe.
pub(super) fn supervised(table: &str, config: &supervised::Config, rows: Option<usize>) -> Vec<Finding> {
    let (batch, parts) = (config.batch_size, config.gradient_accumulation_steps);
    let mut findings = Vec::new();
    let mut found = format!("{batch} sequences a step in {parts} passes");
    match rows.filter(|rows| *rows > 0) {
        None => {
            let _ = write!(found, ", {} steps", config.max_steps);
        }
        Some(rows) => {
            let steps = config.for_samples(rows).max_steps;
            let epochs = (steps * batch) as f64 / rows as f64;
            let _ = write!(found, ", {steps} steps, {} of {rows} rows", told(epochs));
            let key = if config.num_train_epochs > 0.0 { "num_train_epochs" } else { "max_steps" };
            let (batch_key, key) = (format!("{table}.batch_size"), format!("{table}.{key}"));
            findings.extend(repeated(&batch_key, &key, batch, rows, epochs));
        }
    }
    findings.insert(0, Finding::note("batch", found));
    if !batch.is_multiple_of(parts) {
        let found = format!(
            "`{table}.batch_size` = {batch} does not divide into {parts} gradient accumulation steps"
        );
        let advice =
            format!("set `{table}.batch_size` to a multiple of {parts}, so that passes are of one size");
        // Losses are weighted by their tokens, so that the result is the same.
        findings.push(Finding::warning("groups", found, advice));
    }
    findings
}

fn told(epochs: f64) -> String {
    if epochs < 0.1 { "less than 0.1 epochs".to_owned() } else { format!("{epochs:.1} epochs") }
}

fn repeated(batch_key: &str, steps_key: &str, batch: usize, rows: usize, epochs: f64) -> Option<Finding> {
    if batch > rows {
        let found = format!("a step takes {batch} rows and there are {rows}: rows repeat within a step");
        return Some(Finding::warning(
            "epochs",
            found,
            format!("give more rows, or set `{batch_key}` to at most {rows}"),
        ));
    }
    let found = format!("each of the {rows} rows is seen {epochs:.0} times");
    (epochs > MANY_EPOCHS).then(|| {
        Finding::warning(
            "epochs",
            found,
            format!("give more rows, or lower `{steps_key}`: a policy learns few rows by heart"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{groups, sampling, supervised};
    use crate::doctor::Work;
    use crate::doctor::findings::{Finding, Severity};
    use crate::recipe::Recipe;

    fn recipe(toml: &str) -> Recipe {
        toml::from_str(toml).expect("well-formed")
    }

    fn severities(findings: &[Finding], name: &str) -> Vec<Severity> {
        findings.iter().filter(|finding| finding.name == name).map(|finding| finding.severity).collect()
    }

    #[test]
    fn greedy_sampling_is_severe_in_reinforcement_only_and_a_cut_distribution_is_learned() {
        let greedy = recipe("rollout = { temperature = 0.0 }");
        let findings = sampling(Work::TrainRl, &greedy);
        assert_eq!(severities(&findings, "temperature"), [Severity::Severe], "{findings:?}");
        assert!(sampling(Work::Eval, &greedy).is_empty());
        let cut = recipe("rollout = { top_p = 0.9, top_k = 20, min_p = 0.1 }");
        assert!(sampling(Work::TrainRl, &cut).is_empty(), "the sampler records what it kept");
        assert!(sampling(Work::TrainRl, &Recipe::default()).is_empty());
    }

    #[test]
    fn groups_that_do_not_divide_name_the_numbers_that_do() {
        let found = |toml: &str| groups(&recipe(toml), None);
        let uneven = found("grpo = { prompts_per_step = 10, num_minibatches = 4 }");
        let finding = uneven.iter().find(|finding| finding.is_severe()).expect("severe");
        assert!(finding.advice.contains("`grpo.num_minibatches` to 1 or 2"), "{finding}");
        for fits in
            ["grpo = { prompts_per_step = 10, num_minibatches = 5 }", "grpo = { micro_batch_size = 4 }"]
        {
            assert!(found(fits).iter().all(|finding| finding.severity == Severity::Note), "{fits}");
        }
        let cut = found("grpo = { micro_batch_size = 6 }");
        assert_eq!(severities(&cut, "microbatches"), [Severity::Warning]);
    }

    #[test]
    fn epochs_are_told_and_many_are_a_warning() {
        let many = groups(&recipe("max_steps = 160\ngrpo = { prompts_per_step = 32 }"), Some(180));
        assert!(many[0].found.contains("28.4 epochs of 180 rows"), "{}", many[0]);
        assert_eq!(severities(&many, "epochs"), [Severity::Warning]);
        let few = groups(&recipe("max_steps = 10\ngrpo = { prompts_per_step = 8 }"), Some(4));
        assert!(few.iter().any(|finding| finding.found.contains("rows repeat within a step")), "{few:?}");
        let config = recipe("sft = { batch_size = 10, num_train_epochs = 3 }").sft;
        let findings = supervised("sft", &config, Some(100));
        assert!(findings[0].found.contains("30 steps, 3.0 epochs of 100 rows"), "{}", findings[0]);
    }
}
