//! A recipe folder's whole pipeline, stage by stage: each stage is a `ruminate` command in a process of its own with its own
//! run folder. What is complete is skipped, what was interrupted goes on, what a changed recipe concerns is rebuilt.

mod check;
mod graph;
mod recipes;
mod stages;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod wait;

use crate::device::Device;
use crate::error::Refusal;
use crate::frontend;
use anyhow::Result;
use graph::Graph;
use stages::{Ended, Pipeline};
use std::path::{Path, PathBuf};
use table::Table;

/// Which pipeline to run, on which seeds.
#[derive(Clone, Debug, Default)]
pub struct R1Options {
    /// A folder with a `graph.toml`; without it DeepSeek-R1's pipeline on tiny models, which is embedded.
    pub recipes: Option<PathBuf>,
    /// The seed of every stage: one pipeline after the other. None stands for seed 0.
    pub seeds: Vec<u64>,
    /// Where the pipelines lie, as `seedS` in it; by default `runs/NAME` of the recipe folder.
    pub out: Option<PathBuf>,
    /// Overrides of every stage that reads their keys, as `KEY.PATH=VALUE`.
    pub set: Vec<String>,
    /// Where every stage computes.
    pub device: Option<Device>,
}

/// How a pipeline ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum R1Ended {
    /// Every stage is complete; the table of its models, in Markdown.
    Complete(String),
    /// A stage ended with this exit code.
    Stopped(u8),
}

/// Whether what a graph expects holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct R1Check {
    /// The table of models, each expectation with its numbers, and what is reported besides.
    pub text: String,
    /// Whether every expectation holds on the mean of the seeds.
    pub all_hold: bool,
}

/// Runs the pipelines, each stage by `program`, which is a `ruminate` binary.
pub(crate) fn run(options: &R1Options, program: &Path) -> Result<R1Ended> {
    let recipes = options.recipes()?;
    let graph = Graph::read(&recipes)?;
    let outs = options.outs();
    // A stage saves and ends at Ctrl-C, which reaches it as well; its exit code becomes this program's.
    frontend::catch_interrupts("the stage at work saves and ends");
    for (seed, out) in options.seeds().iter().zip(&outs) {
        let arguments = options.device.iter().flat_map(|device| ["--device".to_owned(), device.to_string()]);
        let pipeline = Pipeline {
            graph: &graph,
            recipes: &recipes,
            out: out.clone(),
            program,
            overrides: std::iter::once(format!("seed={seed}")).chain(options.set.iter().cloned()).collect(),
            arguments: arguments.collect(),
        };
        notice!("seed {seed}: {}", out.display());
        if let Ended::Stopped(code) = pipeline.run()? {
            return Ok(R1Ended::Stopped(code));
        }
    }
    Ok(R1Ended::Complete(Table::read(&graph, &outs)?.text()))
}

/// Runs nothing: the table of finished pipelines, and whether what the graph expects holds.
pub(crate) fn check(options: &R1Options) -> Result<R1Check> {
    let graph = Graph::read(&options.recipes()?)?;
    let outs = options.outs();
    let table = Table::read(&graph, &outs)?;
    let (claims, all_hold) = check::check(&graph, &table, &outs)?;
    Ok(R1Check { text: format!("{}\n{claims}", table.text()), all_hold })
}

impl R1Options {
    fn seeds(&self) -> &[u64] {
        if self.seeds.is_empty() { &[0] } else { &self.seeds }
    }

    /// Where all pipelines lie.
    fn out(&self) -> PathBuf {
        let name = self.recipes.as_deref().and_then(Path::file_name).unwrap_or(recipes::NAME.as_ref());
        self.out.clone().unwrap_or_else(|| Path::new("runs").join(name))
    }

    /// The folder of each seed's pipeline.
    fn outs(&self) -> Vec<PathBuf> {
        let out = self.out();
        self.seeds().iter().map(|seed| out.join(format!("seed{seed}"))).collect()
    }

    /// The recipe folder. The embedded one is written beside the pipelines.
    fn recipes(&self) -> Result<PathBuf> {
        match &self.recipes {
            Some(recipes) if recipes.is_dir() => Ok(recipes.clone()),
            Some(recipes) => Err(Refusal::input(format!(
                "{}: expected a folder with a stage graph (graph.toml), found none",
                recipes.display()
            ))),
            None => recipes::write(&self.out().join("recipes")),
        }
    }
}
