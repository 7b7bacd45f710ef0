//! `cargo xtask benchmarks`: measures the machine, the program and, with `--peer`, what a user would run instead, and
//! writes what it found into docs/benchmarks.md. It refuses to know how anything is computed: it starts commands that
//! end with a JSON line, and criterion.

mod command;
mod growth;
mod kernels;
mod machine;
mod numbers;
mod options;
mod page;
mod records;
mod tables;
mod works;

use crate::{binary, root};
use anyhow::{Context, Result, ensure};
use options::{Extent, Options, Section};
use records::{Ceiling, Outcome, Record, Run};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// Measures the sections that were asked for, and writes the page after each: what is interrupted leaves the rest whole.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode> {
    let options = Options::parse(args)?;
    let bench = Bench::new(&options)?;
    let mut failures = 0;
    for &section in &options.sections {
        let start = Instant::now();
        let records = bench.measure(section, &options)?;
        failures += records.iter().filter(|record| is_failure(record)).count();
        records::write(&bench.path(section), &records)?;
        bench.write_page(&options)?;
        eprintln!("==> {}: {:.0} s", section.name(), start.elapsed().as_secs_f64());
    }
    ensure!(failures == 0, "{failures} of our own runs failed; their messages are above, their rows say so");
    Ok(ExitCode::SUCCESS)
}

fn is_failure(record: &Record) -> bool {
    matches!(record, Record::Run(Run { outcome: Outcome::Failed(_), .. }))
}

/// Where everything lies.
struct Bench {
    binary: PathBuf,
    /// Records, criterion's files, changed configurations.
    folder: PathBuf,
    /// SmolLM2.
    model: PathBuf,
    page: PathBuf,
}

impl Bench {
    fn new(options: &Options) -> Result<Self> {
        let model = match &options.model {
            Some(folder) => std::path::absolute(folder)?,
            None => root().join("bench/smollm2-135m"),
        };
        let config = model.join("config.json");
        ensure!(config.exists(), "--model: expected a model folder, found no {}", config.display());
        let binary = binary::build(None)?;
        let target = binary.ancestors().nth(2).context("the binary lies in target/release")?;
        let mut folder = target.join("benchmarks");
        let mut page = root().join("docs/benchmarks.md");
        if options.extent == Extent::Quick {
            folder.push("quick");
            page = target.join("benchmarks/quick.md");
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self { binary, folder, model, page })
    }

    fn path(&self, section: Section) -> PathBuf {
        self.folder.join(section.name()).with_extension("jsonl")
    }

    /// The machine, its ceilings of this very moment, and the section.
    fn measure(&self, section: Section, options: &Options) -> Result<Vec<Record>> {
        let trained = self.model.join("model.safetensors").exists();
        let weights = if trained { "trained weights" } else { "random weights" };
        let mut records = vec![Record::Machine(machine::describe(weights.to_owned()))];
        let ceiling: Ceiling = command::ours(&self.binary, &["bench".into(), "ceiling".into()], None)?;
        records.push(Record::Ceiling(ceiling));
        records.extend(match section {
            Section::Models => {
                let works = works::works(&self.model, options.extent);
                works::measure(&works, &self.binary, options.peer.as_deref(), options.extent)
            }
            Section::Kernels => kernels::measure(&self.folder.join("criterion"), options.extent)?,
            Section::Growth => {
                let axes = growth::axes(&self.model, options.extent);
                growth::measure(&axes, &self.binary, &self.folder.join("models"))?
            }
            Section::Default => vec![self.embedded_default(options.extent)?],
        });
        Ok(records)
    }

    /// Wall clock of pretraining, GRPO and evaluation together.
    fn embedded_default(&self, extent: Extent) -> Result<Record> {
        eprintln!("==> the embedded default");
        let out = self.folder.join("default");
        if out.exists() {
            remove(&out)?;
        }
        let mut command = Command::new(&self.binary);
        command.arg("train-rl").arg("--out").arg(&out).current_dir(root());
        if extent == Extent::Quick {
            command.args(["--set", "max_steps=2", "--set", "pretrain.max_steps=20", "--set", "eval.n=32"]);
        }
        let start = Instant::now();
        let status =
            command.stdin(Stdio::null()).stdout(Stdio::null()).status().context("cannot start it")?;
        let time_s = start.elapsed().as_secs_f64();
        ensure!(status.success(), "{command:?} ended with {status}");
        remove(&out)?;
        Ok(Record::Wall { name: tables::DEFAULT.to_owned(), time_s })
    }

    /// The page of all sections that have been measured, now or before.
    fn write_page(&self, options: &Options) -> Result<()> {
        let mut measured = Vec::new();
        for section in Section::ALL {
            if let Some(records) = records::read(&self.path(section))? {
                measured.push((section, records));
            }
        }
        let works = works::works(&self.model, options.extent);
        let axes = growth::axes(&self.model, options.extent);
        let generated = page::generated(&measured, &works, &axes)?;
        page::write(&self.page, &generated, options.extent)
    }
}

fn remove(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}
