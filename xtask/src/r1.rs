//! `cargo xtask r1`: a recipe folder's whole pipeline, stage by stage, each one a `ruminate` command with its own run
//! folder. What is complete is skipped, what was interrupted goes on, what a changed recipe concerns is made anew. It
//! knows the graph only.

mod check;
mod graph;
mod lock;
mod run;
mod state;
mod table;
#[cfg(test)]
mod tests;

use crate::{binary, root};
use anyhow::{Context, Result, bail};
use graph::Graph;
pub(crate) use lock::holder;
use run::{Ended, Pipeline};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use table::Table;

const USAGE: &str = "\
usage: cargo xtask r1 [RECIPES] [--seed S]... [--out DIR] [--check] [--device DEVICE] [--set KEY=VALUE]...

  RECIPES   a folder with a graph.toml [default: recipes/r1-tiny]
  --seed S  the seed of every stage; given more than once, one pipeline after the other [default: 0]
  --out DIR where the pipelines lie, as DIR/seedS [default: runs/NAME of RECIPES]
  --check   run nothing; print the stage table and whether the promised shapes hold on the mean of the seeds,
            which the exit code says, too
  --set     an override for every stage that reads its key; --device goes to every stage";

/// What was typed.
#[derive(Debug, PartialEq)]
struct Args {
    recipes: PathBuf,
    seeds: Vec<u64>,
    out: Option<PathBuf>,
    check: bool,
    sets: Vec<String>,
    device: Option<String>,
}

/// Runs the pipelines, or checks what came of them.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode> {
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        tell(&format!("{USAGE}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let typed = Args::parse(args)?;
    let graph = Graph::read(&typed.recipes)?;
    let outs: Vec<PathBuf> = typed.seeds.iter().map(|seed| typed.out(*seed)).collect();
    if typed.check {
        return told(&graph, &outs);
    }
    // A stage saves and ends at Ctrl-C, which reaches it as well; we wait for it and pass its code on.
    ctrlc::set_handler(|| {}).context("cannot wait for Ctrl-C")?;
    let binary = binary::build(binary::features(args))?;
    for (seed, out) in typed.seeds.iter().zip(&outs) {
        let arguments = typed.device.iter().flat_map(|device| ["--device".to_owned(), device.clone()]);
        let pipeline = Pipeline {
            graph: &graph,
            recipes: &typed.recipes,
            out: out.clone(),
            binary: &binary,
            overrides: std::iter::once(format!("seed={seed}")).chain(typed.sets.iter().cloned()).collect(),
            arguments: arguments.collect(),
        };
        eprintln!("seed {seed}: {}", out.display());
        if let Ended::Stopped(code) = pipeline.run()? {
            return Ok(ExitCode::from(code));
        }
    }
    tell(&Table::read(&graph, &outs)?.text())?;
    Ok(ExitCode::SUCCESS)
}

/// The table and the shapes.
fn told(graph: &Graph, outs: &[PathBuf]) -> Result<ExitCode> {
    let table = Table::read(graph, outs)?;
    let (shapes, all_hold) = check::check(graph, &table, outs)?;
    tell(&format!("{}\n{shapes}", table.text()))?;
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}

impl Args {
    fn parse(args: &[OsString]) -> Result<Self> {
        let mut parsed = Self {
            recipes: root().join("recipes/r1-tiny"),
            seeds: Vec::new(),
            out: None,
            check: false,
            sets: Vec::new(),
            device: None,
        };
        let (mut args, mut folder) = (args.iter().map(|arg| arg.to_string_lossy().into_owned()), None);
        while let Some(arg) = args.next() {
            let (name, joined) = match arg.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ => (arg.clone(), None),
            };
            let mut value = || {
                joined
                    .clone()
                    .or_else(|| args.next())
                    .with_context(|| format!("{name} needs a value\n\n{USAGE}"))
            };
            match name.as_str() {
                "--check" => parsed.check = true,
                "--seed" => {
                    let seed = value()?;
                    parsed.seeds.push(
                        seed.parse().with_context(|| format!("--seed {seed}: expected a whole number"))?,
                    );
                }
                "--out" => parsed.out = Some(PathBuf::from(value()?)),
                "--set" => parsed.sets.push(value()?),
                "--device" => parsed.device = Some(value()?),
                _ if !name.starts_with('-') && folder.is_none() => folder = Some(PathBuf::from(arg)),
                _ => bail!("unknown argument {arg:?}\n\n{USAGE}"),
            }
        }
        if parsed.seeds.is_empty() {
            parsed.seeds.push(0);
        }
        parsed.recipes = folder.unwrap_or(parsed.recipes);
        Ok(parsed)
    }

    /// The folder of a seed's pipeline.
    fn out(&self, seed: u64) -> PathBuf {
        let named = || Path::new("runs").join(self.recipes.file_name().unwrap_or("r1".as_ref()));
        self.out.clone().unwrap_or_else(named).join(format!("seed{seed}"))
    }
}
