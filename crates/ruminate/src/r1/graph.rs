//! The stage graph of a recipe folder, `graph.toml`: what each stage runs, from what, and which figures are expected of it.
//! It does not know what a recipe holds.

use anyhow::{Context, Result, ensure};
use ruminate_run::rows::set_name;
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

/// What every stage leaves when it is done.
pub(crate) const COMPLETE: &str = "complete.json";

/// A pipeline, its stages in an order in which they can run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Graph {
    /// The stages, each after those that it takes something from.
    #[serde(rename = "stage")]
    pub(crate) stages: Vec<Stage>,
    /// How models are measured.
    pub(crate) evaluate: Evaluate,
    /// What is expected of it.
    #[serde(default, rename = "expect")]
    pub(crate) expectations: Vec<Expectation>,
    /// What is reported either way.
    #[serde(default, rename = "report")]
    pub(crate) reported: Vec<Reported>,
}

/// One `ruminate` command with its run folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stage {
    /// The run folder's name.
    pub(crate) name: String,
    /// `pretrain`, `sft`, `train-rl`, `distill` or `eval`.
    pub(crate) command: String,
    /// The recipe, a file of the same folder.
    pub(crate) recipe: String,
    /// Keys of the recipe that name what another stage left, as STAGE/PATH.
    #[serde(default)]
    pub(crate) inputs: BTreeMap<String, String>,
    /// How long it takes on two idle cores, for the forecast.
    pub(crate) minutes: f64,
}

/// The models that are measured by one recipe on the same problems.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Evaluate {
    pub(crate) recipe: String,
    /// The set whose rows make the table.
    pub(crate) set: String,
    pub(crate) minutes: f64,
    /// Stages whose model folder is measured, in the order of the table.
    pub(crate) models: Vec<String>,
}

/// A claim about the table that holds or does not.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "snake_case")]
pub(crate) enum Expectation {
    /// One model's figure exceeds another's: by more than 0, or by at least a margin.
    Exceeds {
        claim: String,
        metric: String,
        model: String,
        over: String,
        #[serde(default)]
        at_least: Option<f64>,
    },
    /// The majority answer beats one sample wherever one sample is below a limit.
    Consensus { claim: String, below: f64 },
    /// Stages together took at least as much compute as others together.
    Compute { claim: String, stages: Vec<String>, at_least_that_of: Vec<String> },
}

/// A figure whose change from one model to another is reported.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reported {
    pub(crate) claim: String,
    pub(crate) metric: String,
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Graph {
    /// The graph of a recipe folder, checked whole.
    ///
    /// # Errors
    /// No such file, an unknown key, a stage that takes something from a later one, a name that no stage has.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("graph.toml");
        let text = fs::read_to_string(&path).with_context(|| {
            format!("expected a recipe folder with a stage graph; cannot read {}", path.display())
        })?;
        let graph: Self = toml::from_str(&text).with_context(|| path.display().to_string())?;
        graph.check().with_context(|| path.display().to_string())?;
        Ok(graph)
    }

    fn check(&self) -> Result<()> {
        let (set, today) = (&self.evaluate.set, set_name(&self.evaluate.set));
        ensure!(*set == today, "`evaluate.set` is `{set}`, which is `{today}` since version 0.2");
        let mut known = HashSet::new();
        for stage in &self.stages {
            let name = &stage.name;
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
            ensure!(
                !name.is_empty() && name.chars().all(plain),
                "stage {name:?}: expected a name of letters, digits and -"
            );
            for (key, input) in &stage.inputs {
                let from = dependency(input);
                ensure!(
                    known.contains(from),
                    "stage `{name}` takes `{key}` from `{from}`, which is none of the stages before it"
                );
            }
            ensure!(known.insert(name.as_str()), "two stages are named `{name}`");
        }
        let models: HashSet<&str> = self.evaluate.models.iter().map(String::as_str).collect();
        for model in &models {
            ensure!(known.contains(model), "`evaluate.models` names `{model}`, which is no stage");
        }
        let all = |names: &[&String], of: &HashSet<&str>, what: &str| -> Result<()> {
            names.iter().try_for_each(|name| {
                ensure!(of.contains(name.as_str()), "an expectation names `{name}`, which is no {what}");
                Ok(())
            })
        };
        for expectation in &self.expectations {
            match expectation {
                Expectation::Exceeds { model, over, .. } => {
                    all(&[model, over], &models, "model of `evaluate.models`")?;
                }
                Expectation::Consensus { .. } => {}
                Expectation::Compute { stages, at_least_that_of, .. } => {
                    let named: Vec<&String> = stages.iter().chain(at_least_that_of).collect();
                    all(&named, &known, "stage")?;
                }
            }
        }
        let reported = self.reported.iter();
        reported
            .map(|o| [&o.from, &o.to])
            .try_for_each(|names| all(&names, &models, "model of `evaluate.models`"))
    }

    /// Everything that is run, the evaluations of models last.
    pub(crate) fn all_stages(&self) -> Vec<Stage> {
        let evaluations = self.evaluate.models.iter().map(|model| Stage {
            name: evaluation_of(model),
            command: "eval".to_owned(),
            recipe: self.evaluate.recipe.clone(),
            inputs: BTreeMap::from([("model".to_owned(), format!("{model}/final"))]),
            minutes: self.evaluate.minutes,
        });
        self.stages.iter().cloned().chain(evaluations).collect()
    }
}

impl Stage {
    /// The stages that it takes something from.
    pub(crate) fn dependencies(&self) -> impl Iterator<Item = &str> {
        self.inputs.values().map(|input| dependency(input))
    }
}

/// The run folder of a model's evaluation.
pub(crate) fn evaluation_of(model: &str) -> String {
    format!("eval-{model}")
}

/// The stage that an input comes from.
fn dependency(input: &str) -> &str {
    input.split('/').next().unwrap_or(input)
}

#[cfg(test)]
mod tests {
    use super::super::tests::GRAPH;
    use super::Graph;
    use std::path::Path;

    fn refused(from: &str, to: &str) -> String {
        let text = GRAPH.replace(from, to);
        assert_ne!(text, GRAPH);
        let graph = toml::from_str::<Graph>(&text).map_err(anyhow::Error::from);
        format!("{:#}", graph.and_then(|graph| graph.check()).expect_err("refused"))
    }

    #[test]
    fn evaluations_follow_the_stages() {
        let graph: Graph = toml::from_str(GRAPH).expect("well-formed");
        graph.check().expect("valid");
        let stages = graph.all_stages();
        let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
        assert_eq!(names, ["base", "zero", "other", "eval-base", "eval-zero"]);
        assert_eq!(stages[4].dependencies().collect::<Vec<_>>(), ["zero"]);
    }

    #[test]
    fn what_cannot_run_is_refused_by_name() {
        for (from, to, says) in [
            ("base/final", "dev/final", "`dev`"),
            ("name = \"zero\"", "name = \"base\"", "two stages"),
            ("name = \"zero\"", "name = \"../zero\"", "letters, digits"),
            ("models = [\"base\"", "models = [\"bass\"", "`bass`"),
            ("minutes = 2", "minuts = 2", "minuts"),
            ("over = \"base\"", "over = \"one\"", "`one`"),
            ("set = \"test\"", "set = \"fresh\"", "`test` since version 0.2"),
        ] {
            let message = refused(from, to);
            assert!(message.contains(says), "{from} -> {to}: {message}");
        }
    }

    #[test]
    fn every_graph_of_the_repository_is_valid_and_names_recipes_that_exist() {
        for name in ["r1-tiny", "ci-r1"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes").join(name);
            let graph = Graph::read(&folder).expect("valid");
            for stage in graph.all_stages() {
                assert!(folder.join(&stage.recipe).is_file(), "{}", stage.recipe);
            }
        }
    }
}
