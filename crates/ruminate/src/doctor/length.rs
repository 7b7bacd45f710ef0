//! How long a run of `train-rl` is, and what of it needs a length: epochs, pools of difficulty, validations on the way.

use super::findings::Finding;
use crate::recipe::Recipe;

/// `rows` are the training rows of a file, where it was read to its end.
pub(super) fn check(recipe: &Recipe, rows: Option<usize>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let of_file = recipe.data.train.is_some();
    if let (Some(epochs), false) = (recipe.num_train_epochs, of_file) {
        let found = format!("`num_train_epochs` = {epochs} of a family, whose problems have no end");
        findings.push(Finding::severe("epochs", found, "set `max_steps`, or `data.train` to a file"));
    }
    if recipe.grpo.pools.is_some() && !of_file && recipe.data.tasks.is_empty() {
        let found = "`grpo.pools` sorts problems that come back, and those of a family do not";
        let advice = "name the family in `data.tasks` once for each difficulty, set `data.train` to a file, or leave the table out";
        findings.push(Finding::severe("pools", found, advice));
    }
    // Without a file to its end the steps of epochs are not known yet.
    let Ok(steps) = recipe.steps(rows) else { return findings };
    findings.extend(validation(recipe, steps));
    findings
}

fn validation(recipe: &Recipe, steps: usize) -> Option<Finding> {
    let (every, patience) = (recipe.eval.validation_steps(), recipe.eval.early_stopping_patience());
    if every == 0 {
        return None;
    }
    let on_the_way = steps.saturating_sub(1) / every;
    if patience > 0 && patience > on_the_way {
        let found = format!(
            "a run of {steps} steps has {on_the_way} validations on the way (`eval.validation_steps` = {every}), and \
             `eval.early_stopping_patience` = {patience}: it never stops early"
        );
        let advice = "lower `eval.validation_steps` or the patience, or leave the patience out";
        return Some(Finding::warning("early_stopping", found, advice));
    }
    let n = recipe.eval.validation_n().min(recipe.eval.n);
    let found = format!(
        "{on_the_way} validations on the way, each on {n} problems: the standard error of pass@1 is up to {:.0} points",
        50.0 / (n as f64).sqrt()
    );
    Some(Finding::note("validation", found))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::doctor::Severity;
    use crate::recipe::Recipe;

    fn findings(toml: &str, rows: Option<usize>) -> Vec<(Severity, &'static str, String)> {
        let recipe: Recipe = toml::from_str(toml).expect("a recipe");
        check(&recipe, rows).into_iter().map(|found| (found.severity, found.name, found.found)).collect()
    }

    #[test]
    fn what_counts_the_problems_of_a_family_is_severe() {
        let all = findings("num_train_epochs = 2\ngrpo = { pools = {} }", None);
        let names: Vec<_> = all.iter().map(|(severity, name, _)| (*severity, *name)).collect();
        assert_eq!(names, [(Severity::Severe, "epochs"), (Severity::Severe, "pools")]);
        let levels = "grpo = { pools = {} }\n[[data.tasks]]\ntask = 'gcd'";
        assert!(findings(levels, None).iter().all(|(severity, ..)| *severity != Severity::Severe));
        let file =
            "num_train_epochs = 2\ndata = { train = 'a.jsonl' }\ngrpo = { pools = {}, prompts_per_step = 8 }";
        let all = findings(file, Some(100));
        assert_eq!((all.len(), all[0].0), (1, Severity::Note), "{all:?}");
        assert!(all[0].2.starts_with("2 validations on the way, each on 64 problems"), "{all:?}");
    }

    #[test]
    fn patience_that_outlasts_the_run_is_warned_of() {
        let of = |patience: usize, steps: usize| {
            let toml = format!("max_steps = {steps}\neval = {{ early_stopping_patience = {patience} }}");
            findings(&toml, None).pop().map(|(severity, name, _)| (severity, name))
        };
        assert_eq!(of(3, 30), Some((Severity::Warning, "early_stopping")));
        assert_eq!(of(3, 31), Some((Severity::Note, "validation")));
        assert!(findings("eval = { validation_steps = 0 }", None).is_empty());
    }
}
