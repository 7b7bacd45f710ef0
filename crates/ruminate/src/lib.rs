//! Reasoning training end to end: pretraining, SFT, GRPO with verifiable rewards, distillation and evaluation, as
//! DeepSeek-R1 describes them, on recipes that are checked whole before the first tensor is made. The binary `ruminate` is
//! this library with a command line.
//!
//! A pipeline takes [`RunOptions`] and leaves a run folder with a model, logs and a report:
//!
//! ```no_run
//! use ruminate::{RunOptions, thoughts::Look, train_rl};
//!
//! # fn main() -> Result<(), ruminate::Error> {
//! let options = RunOptions { out: Some("runs/sums".into()), ..RunOptions::default() };
//! let finished = train_rl(options.set("max_steps=20"))?;
//! println!("{}", finished.text(Look::Monochrome));
//! # Ok(())
//! # }
//! ```
//!
//! Nothing is printed unless the program sets a [`frontend`]. Errors sort into [`ErrorKind`]s.

/// Prints a message for people by way of the program's [`frontend`], as a line.
macro_rules! notice {
    ($($arg:tt)*) => { $crate::frontend::say(format_args!("{}\n", format_args!($($arg)*))) };
}

mod allocator;
pub mod chat;
mod commands;
mod device;
mod doctor;
mod error;
mod evaluator;
mod fleet;
mod forecast;
pub mod frontend;
mod hub;
pub mod interrupt;
mod machine;
mod observer;
mod options;
mod pipelines;
mod policy;
pub mod printable;
mod progress;
mod r1;
mod recipe;
mod run;
mod settings;
pub mod thoughts;

pub use allocator::ReportingAllocator;
pub use commands::bench::{BenchOptions, BenchWork, GenerateBench, GrpoBench, TrainBench};
pub use commands::doctor::Examination;
pub use commands::generate::GenerateOptions;
pub use commands::lines::{Lines, Output};
pub use commands::score::ScoreOptions;
pub use commands::verify::Programs;
pub use device::Device;
pub use doctor::{Finding, Severity, Work};
pub use error::{Error, ErrorKind};
pub use evaluator::summary::{Finished, Summary};
pub use options::{Resume, RunOptions};
pub use pipelines::eval::Compared;
pub use r1::{R1Check, R1Ended, R1Options};
pub use run::checkpoint::Checkpoint;
// What stands in options and in rewards.
pub use ruminate_data::SamplingParams;
pub use ruminate_data::{Task, Verdict};
pub use ruminate_reward::Response;
pub use ruminate_rollout::{Dtype, EngineConfig, Speculative};
pub use ruminate_text::Controls;
pub use ruminate_train::Dtype as TrainDtype;

use ruminate_reward::Verifier;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Prepares the process, before any of its threads: memory that tensors free stays with it for the next step, and panics
/// that become errors print nothing. A process that the sandbox has started as its helper never returns from here.
pub fn init() -> Option<std::process::ExitCode> {
    // First, while there is one thread: a sandbox's helper is this program, started again.
    if let Some(code) = ruminate_sandbox::helper_main() {
        return Some(code);
    }
    ruminate_model::keep_freed_memory();
    ruminate_data::container::silence_caught_panics();
    ruminate_text::silence_caught_panics();
    None
}

/// Adds a verifier of one's own, which a recipe then names: `reward.verifier=NAME`. `judge` gets the problem and what the
/// policy wrote.
///
/// # Errors
/// A name that another verifier has.
pub fn register_verifier(
    name: impl Into<String>,
    judge: impl Fn(&Task, &Response<'_>) -> Verdict + Send + Sync + 'static,
) -> Result<(), Error> {
    struct Judge<F> {
        name: String,
        judge: F,
    }

    impl<F: Fn(&Task, &Response<'_>) -> Verdict + Send + Sync> Verifier for Judge<F> {
        fn name(&self) -> &str {
            &self.name
        }

        fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
            (self.judge)(task, response)
        }
    }

    let verifier = Arc::new(Judge { name: name.into(), judge });
    Ok(ruminate_reward::register(verifier).map_err(anyhow::Error::from)?)
}

/// Next-token training from scratch, on a corpus or on procedural traces.
///
/// # Errors
/// Those of the recipe, of data, training and saving.
pub fn pretrain(options: RunOptions) -> Result<Finished, Error> {
    Ok(pipelines::pretrain::run(options)?)
}

/// Supervised fine-tuning on `messages` or on `prompt` and `completion`.
///
/// # Errors
/// As [`pretrain`].
pub fn sft(options: RunOptions) -> Result<Finished, Error> {
    Ok(pipelines::sft::run(options)?)
}

/// The model folder of a run's checkpoint: the one with the best validation measure, or the last.
///
/// # Errors
/// A folder that is no run, or has no such checkpoint.
pub fn checkpoint(run: &Path, which: Checkpoint) -> Result<PathBuf, Error> {
    Ok(run::checkpoint::folder(run, which)?)
}

/// GRPO from a checkable reward: without a recipe, a tiny model learns to think in minutes.
///
/// # Errors
/// As [`pretrain`].
pub fn train_rl(options: RunOptions) -> Result<Finished, Error> {
    Ok(pipelines::train_rl::run(options)?)
}

/// Samples a teacher's correct traces and trains a student on them.
///
/// # Errors
/// As [`pretrain`].
pub fn distill(options: RunOptions) -> Result<Finished, Error> {
    Ok(pipelines::distill::run(options)?)
}

/// pass@1, pass@k and cons@k with confidence intervals.
///
/// # Errors
/// As [`pretrain`].
pub fn eval(options: RunOptions) -> Result<Finished, Error> {
    Ok(pipelines::eval::run(options)?)
}

/// Judges the samples of an evaluation again, by its own recipe or by that of `options`; nothing is sampled.
///
/// # Errors
/// A folder without samples, and those of the recipe.
pub fn rescore(options: RunOptions, run: &Path) -> Result<Summary, Error> {
    Ok(pipelines::eval::rescore(options, run)?)
}

/// Compares two evaluations of the same problems, set by set, with a significance test; nothing is sampled.
///
/// # Errors
/// Evaluations that have no problem in common.
pub fn compare(a: &Path, b: &Path) -> Result<Vec<Compared>, Error> {
    Ok(pipelines::eval::comparison(a, b)?)
}

/// Looks at a recipe before a run: what will not learn or not fit, and which key to change. `work` is the pipeline that it
/// is for, by default the one that wrote it, or GRPO.
///
/// # Errors
/// A recipe that would run programs and was not trusted to.
pub fn doctor(options: RunOptions, work: Option<Work>) -> Result<Examination, Error> {
    Ok(commands::doctor::run(options, work, commands::doctor::Method::Static)?)
}

/// The same, and the first step of the run of GRPO, of which nothing is kept: what its completions show. It is not taken where
/// a run would be refused, unless `options` force it.
///
/// # Errors
/// As [`doctor`]; another pipeline than GRPO, and an interruption.
pub fn doctor_with_sample(options: RunOptions, work: Option<Work>) -> Result<Examination, Error> {
    Ok(commands::doctor::run(options, work, commands::doctor::Method::Sampling)?)
}

/// Writes to `out` a recipe that fits the model and the data of `options`, with the reason of each value. Returns the
/// command that it is for.
///
/// # Errors
/// A file that is there already, and those of reading the model and the data.
pub fn init_recipe(options: RunOptions, out: &Path) -> Result<&'static str, Error> {
    Ok(commands::init::run(options, out)?)
}

/// DeepSeek-R1's pipeline (arXiv 2501.12948, figure 2), or the graph of another recipe folder: each stage in a process of
/// `program`, a `ruminate` binary. What is complete is skipped, what was interrupted goes on.
///
/// # Errors
/// A graph that cannot run, and a disk that cannot be written.
pub fn r1(options: &R1Options, program: &Path) -> Result<R1Ended, Error> {
    Ok(r1::run(options, program)?)
}

/// The table of finished pipelines, and whether what their graph expects holds.
///
/// # Errors
/// A stage that is not complete.
pub fn check_r1(options: &R1Options) -> Result<R1Check, Error> {
    Ok(r1::check(options)?)
}

/// Completions for prompts: JSON lines in, JSON lines out.
///
/// # Errors
/// A bad line, and those of loading, sampling and writing.
pub fn generate(options: &GenerateOptions, lines: &Lines) -> Result<(), Error> {
    Ok(commands::generate::run(options, lines)?)
}

/// Log-probabilities of given completions, natural logarithm, temperature 1: JSON lines in, JSON lines out.
///
/// # Errors
/// As [`generate`].
pub fn score(options: &ScoreOptions, lines: &Lines) -> Result<(), Error> {
    Ok(commands::score::run(options, lines)?)
}

/// Runs a verifier over completions: JSON lines in, JSON lines out. Lines of the kind `code` are judged where `programs`
/// allows it.
///
/// # Errors
/// A bad line, and those of writing.
pub fn verify(lines: &Lines, programs: Programs) -> Result<(), Error> {
    Ok(commands::verify::run(lines, programs)?)
}

/// Writes one static HTML page from a run folder, or from a folder of run folders, to `out`, or to `report.html` in it.
/// Returns its path.
///
/// # Errors
/// A folder that is no run, and a file that may not be written.
pub fn report(run: &Path, out: Option<&Path>) -> Result<PathBuf, Error> {
    Ok(commands::report::run(run, out)?)
}

/// Writes the numbers of a run's steps as CSV to `out`, or to `metrics.csv` in its folder. Returns its path.
///
/// # Errors
/// A folder that is no run, and a file that may not be written.
pub fn report_csv(run: &Path, out: Option<&Path>) -> Result<PathBuf, Error> {
    Ok(commands::report::csv(run, out)?)
}

/// Makes the model folder `out` from a GGUF file. `pre` names how the training split text into
/// words, for a file that does not say it; `dtype` is `float32` or `bfloat16`, where the file's own types should not decide.
///
/// # Errors
/// A file that is no model we read, an `out` that is there already, and those of writing.
pub fn import(file: &Path, out: &Path, pre: Option<&str>, dtype: Option<&str>) -> Result<(), Error> {
    Ok(commands::import::run(file, out, pre, dtype)?)
}

/// Writes the GGUF file `out` of a model folder, or of an adapter folder's merged model, for llama.cpp; `kind` is `f16`,
/// `bf16` or `q8_0`.
///
/// # Errors
/// A model or tokenizer that llama.cpp cannot run, an `out` that is there already, and those of loading and writing.
pub fn export(folder: &Path, out: &Path, kind: &str) -> Result<(), Error> {
    Ok(commands::export::run(folder, out, kind)?)
}

/// Merges the LoRA adapters of a folder into their base, or into `base`, and writes the model folder `out`. Returns the
/// base.
///
/// # Errors
/// A folder that holds no adapters, an `out` that is there already, and those of loading and saving.
pub fn merge(adapter: &Path, base: Option<&Path>, out: &Path) -> Result<PathBuf, Error> {
    Ok(commands::merge::run(adapter, base, out)?)
}

/// Speed at a fixed shape, as one JSON object.
///
/// # Errors
/// Counts that are zero, and those of loading and computing.
pub fn bench(options: &BenchOptions) -> Result<serde_json::Value, Error> {
    Ok(commands::bench::run(options)?)
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
