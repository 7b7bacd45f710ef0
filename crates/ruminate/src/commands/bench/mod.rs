//! `bench`: speed at a fixed shape, as one JSON line. It measures the same code that trains and samples; it refuses to
//! know what a good number is.

mod ceiling;
mod clock;
mod work;

use crate::device::Device;
use crate::error::Refusal;
use crate::hub;
use crate::policy;
use crate::recipe::text::load_renderer;
use anyhow::Result;
use burn::tensor::Device as BurnDevice;
use clock::{Clock, GrpoClock, median};
use rand::RngExt;
use ruminate_data::jsonl::{self, BadLines};
use ruminate_data::{Completion, Problem, Request, Sample, SamplingParams, Seed, Stop, Task, Verdict};
use ruminate_grpo as grpo;
use ruminate_model::read::{Place, Reads};
use ruminate_model::{self as model, Decoder};
use ruminate_rollout::{self as rollout, Engine, EngineConfig, LocalEngine};
use ruminate_text::PromptStyle;
use ruminate_train::{self as train, State, supervised};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;
use work::{Costs, Work};

#[derive(Serialize)]
struct Line {
    tokens_per_s: f64,
    step_s: f64,
    peak_gib: Option<f64>,
    device: String,
    dtype: String,
    /// That of learning, where `dtype` is that of sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    train_dtype: Option<String>,
    threads: usize,
    parts: Vec<Part>,
    /// How often a step waits for the device to read from it, by what is read.
    reads_per_step: BTreeMap<String, f64>,
}

/// A part of the measured work: its time, and what it has to compute and move at the least (see [`work`]).
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Part {
    name: &'static str,
    time_s: f64,
    gflop: f64,
    gb: f64,
}

impl Part {
    fn new(name: &'static str, time_s: f64, work: Work) -> Self {
        Self { name, time_s, gflop: work.flop / 1e9, gb: work.bytes / 1e9 }
    }
}

/// What a bench found: tokens and seconds of a step, and what the step was made of.
struct Measured {
    tokens: f64,
    step_s: f64,
    parts: Vec<Part>,
    reads: BTreeMap<String, f64>,
}

/// Reads from the device, per step of so many.
fn per_step(reads: Reads, steps: usize) -> BTreeMap<String, f64> {
    let counted = Place::ALL.into_iter().filter(|place| reads.of(*place) > 0);
    counted.map(|place| (place.to_string(), reads.of(place) as f64 / steps as f64)).collect()
}

/// What to measure, on which device.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Where to compute.
    pub device: Device,
    /// Whether to compute with compositions of Burn operations in place of the fused forms, which are checked and measured
    /// against them.
    pub composed: bool,
    /// The work.
    pub work: BenchWork,
}

/// The work to measure.
#[derive(Clone, Debug)]
pub enum BenchWork {
    /// Sampling.
    Generate(GenerateBench),
    /// Training steps.
    Train(TrainBench),
    /// GRPO steps.
    Grpo(GrpoBench),
    /// The machine's ceilings: a product of large matrices, and reading memory.
    Ceiling,
}

/// Sampling random prompts at temperature 1, without stopping.
#[derive(Clone, Debug)]
pub struct GenerateBench {
    /// A model folder; weights are random where it holds only a `config.json`.
    pub model: PathBuf,
    /// Sequences.
    pub batch: usize,
    /// Tokens of a prompt.
    pub prompt_tokens: usize,
    /// Tokens to generate.
    pub new_tokens: usize,
    /// Timed repetitions, after one that is not counted.
    pub repeats: usize,
    /// How the engine computes.
    pub engine: EngineConfig,
}

/// Full training steps with AdamW on random tokens.
#[derive(Clone, Debug)]
pub struct TrainBench {
    /// A model folder; weights are random where it holds only a `config.json`.
    pub model: PathBuf,
    /// Sequences per step.
    pub batch: usize,
    /// Tokens of a sequence.
    pub tokens: usize,
    /// Optimizer steps.
    pub steps: usize,
    /// What products multiply.
    pub dtype: train::Dtype,
}

/// GRPO steps on the tasks of a file.
#[derive(Clone, Debug)]
pub struct GrpoBench {
    /// A model folder with its tokenizer.
    pub model: PathBuf,
    /// Tasks as JSONL, with `prompt` and `answer`.
    pub tasks: PathBuf,
    /// Prompts per step.
    pub prompts: usize,
    /// Completions per prompt.
    pub generations: usize,
    /// Longest completion, in tokens.
    pub max_completion: usize,
    /// GRPO steps, of which the first does not count.
    pub steps: usize,
    /// How the engine computes.
    pub engine: EngineConfig,
    /// What products multiply where the policy learns.
    pub train_dtype: train::Dtype,
}

/// Measures, and returns one JSON object.
///
/// # Errors
/// Counts that are zero, and those of loading and computing.
pub(crate) fn run(options: &BenchOptions) -> Result<Value> {
    if options.composed {
        model::disable_fused();
    }
    let (dtype, measured) = match &options.work {
        BenchWork::Generate(bench) => (bench.engine.dtype.to_string(), generation(bench, options.device)?),
        BenchWork::Train(bench) => (bench.dtype.to_string(), training(bench, options.device)?),
        BenchWork::Grpo(bench) => (bench.engine.dtype.to_string(), reinforcement(bench, options.device)?),
        BenchWork::Ceiling => return Ok(serde_json::to_value(ceiling::measure(options.device)?)?),
    };
    Ok(serde_json::to_value(Line {
        tokens_per_s: measured.tokens / measured.step_s,
        step_s: measured.step_s,
        peak_gib: peak_gib(),
        device: options.device.to_string(),
        dtype,
        train_dtype: match &options.work {
            BenchWork::Grpo(bench) => Some(bench.train_dtype.to_string()),
            _ => None,
        },
        threads: rayon::current_num_threads(),
        parts: measured.parts,
        reads_per_step: measured.reads,
    })?)
}

/// Prefill and decoding, and prefill alone.
fn generation(args: &GenerateBench, device: Device) -> Result<Measured> {
    from_one(&[
        ("batch", args.batch),
        ("prompt-tokens", args.prompt_tokens),
        ("new-tokens", args.new_tokens),
        ("repeats", args.repeats),
    ])?;
    let policy = decoder(&args.model, &device.open()?)?;
    let seed = Seed::new(0).child("bench");
    let config = EngineConfig { max_num_seqs: args.batch, ..args.engine };
    let requests = |max_new_tokens| -> Vec<Request> {
        let request = |i| Request {
            prompt_ids: random_ids(args.prompt_tokens, policy.config().vocab_size, seed.index(i)),
            sampling: SamplingParams { max_new_tokens, ..SamplingParams::default() },
            stop: Stop::default(),
            seed: seed.child("sample").index(i),
        };
        (0..args.batch as u64).map(request).collect()
    };
    let seconds = |max_new_tokens| {
        let requests = requests(max_new_tokens);
        let start = Instant::now();
        // Tokens come to the host one by one: what is counted has been computed. Weights are prepared each time.
        let mut engine = LocalEngine::of(&policy, config)?;
        engine.generate(requests, &mut |_, _: Completion| ControlFlow::Continue(()))?;
        Ok::<f64, rollout::Error>(start.elapsed().as_secs_f64())
    };
    // Not counted in time.
    let begin = Reads::so_far();
    seconds(args.new_tokens)?;
    let all = Reads::so_far().since(&begin);
    seconds(1)?;
    let prefill = Reads::so_far().since(&begin).since(&all);
    let reads = per_step(all.since(&prefill), args.new_tokens.saturating_sub(1).max(1));
    let (mut prefill, mut all) = (Vec::new(), Vec::new());
    for _ in 0..args.repeats {
        prefill.push(seconds(1)?);
        all.push(seconds(args.new_tokens)?);
    }
    let (prefill, step_s) = (median(&mut prefill), median(&mut all));
    let costs = Costs::of(policy.config()).sampling(args.engine.dtype);
    let prompts = vec![(args.prompt_tokens, 1); args.batch];
    let sequences = vec![(args.prompt_tokens, args.new_tokens); args.batch];
    let parts = vec![
        Part::new("prefill", prefill, costs.forward(&prompts)),
        Part::new("decode", (step_s - prefill).max(0.0), costs.decode(&sequences)),
    ];
    Ok(Measured { tokens: (args.batch * args.new_tokens) as f64, step_s, parts, reads })
}

/// An optimizer step.
fn training(args: &TrainBench, device: Device) -> Result<Measured> {
    from_one(&[("batch", args.batch), ("steps", args.steps)])?;
    if args.tokens < 2 {
        return Err(Refusal::usage("--tokens: expected at least 2, the first one is given"));
    }
    let policy = decoder(&args.model, &device.open()?.autodiff())?;
    let costs = Costs::of(policy.config());
    let vocabulary = policy.config().vocab_size;
    let config = supervised::Config {
        max_steps: args.steps,
        batch_size: args.batch,
        row_length: args.tokens,
        train: train::Config { save_steps: 0, dtype: args.dtype, ..train::Config::default() },
        ..supervised::Config::default()
    };
    let seed = Seed::new(0).child("bench");
    let mut source = |index| {
        let ids = random_ids(args.tokens, vocabulary, seed.index(index));
        Ok(Sample::completion_only(&ids[..1], &ids[1..]))
    };
    let mut clock = Clock::default();
    let begin = Reads::so_far();
    supervised::train(State::fresh(policy, &config.train), &mut source, &config, &mut clock)?;
    let reads = per_step(Reads::so_far().since(&begin), args.steps);
    let step_s = median(&mut clock.steps);
    let forward = costs.forward(&vec![(args.tokens, args.tokens); args.batch]);
    // Forward once, backward twice as much.
    let parts = vec![Part::new("step", step_s, forward * 3.0 + costs.optimizer())];
    Ok(Measured { tokens: (args.batch * args.tokens) as f64, step_s, parts, reads })
}

/// A GRPO step, the first left out.
fn reinforcement(args: &GrpoBench, device: Device) -> Result<Measured> {
    from_one(&[("prompts", args.prompts), ("max-completion", args.max_completion)])?;
    if args.steps < 2 {
        return Err(Refusal::usage("--steps: expected at least 2, the first one does not count"));
    }
    let tasks = jsonl::tasks(&args.tasks, BadLines::Refuse)?.rows;
    let policy = decoder(&args.model, &device.open()?.autodiff())?;
    let renderer = load_renderer(&hub::folder(&args.model)?, policy.config(), PromptStyle::Bare)?;
    let mut problems = Vec::new();
    for row in tasks {
        let prompt_ids = renderer
            .prompt_ids(&row.value.prompt, &row.value.columns)
            .map_err(|error| Refusal::line(&args.tasks, row.line, format!("{error:#}")))?;
        problems.push(Problem { task: row.value, prompt_ids });
    }
    let config = grpo::Config {
        prompts_per_step: args.prompts,
        num_generations: args.generations,
        ..grpo::Config::default()
    };
    let optimizer = train::Config {
        learning_rate: 1e-6,
        save_steps: 0,
        dtype: args.train_dtype,
        ..train::Config::default()
    };
    let engine = EngineConfig { record_routing: true, ..args.engine };
    let setup = grpo::TrainerArgs {
        config: &config,
        train: &optimizer,
        sampling: SamplingParams { max_new_tokens: args.max_completion, ..SamplingParams::default() },
        stop: &Stop::at(&renderer.end_ids),
        alarms: &train::alarms::Config::silent(),
        max_steps: args.steps,
        seed: Seed::new(0),
    };
    let score = |task: &Task, completion: &Completion| last_integer(task, &renderer.text(&completion.ids));
    let mut clock = GrpoClock::new(Costs::of(policy.config()), args.engine.dtype);
    let begin = Reads::so_far();
    grpo::train(
        State::fresh(policy, &optimizer),
        &mut LocalEngine::new(engine),
        &mut |index| Ok(problems[index as usize % problems.len()].clone()),
        &score,
        &setup,
        &mut clock,
    )?;
    Ok(clock.measured(per_step(Reads::so_far().since(&begin), args.steps)))
}

/// The benchmark's reward: the last integer of the text is the answer.
fn last_integer(task: &Task, text: &str) -> Verdict {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit() && c != '-').filter(|part| !part.is_empty());
    let last = numbers.next_back().and_then(|number| number.parse::<i64>().ok());
    let right = last.is_some() && last == task.answer.trim().parse().ok();
    if right { Verdict::correct(1.0) } else { Verdict::wrong(0.0) }
}

/// A folder's weights, or random ones where it has only a configuration.
fn decoder(folder: &Path, device: &BurnDevice) -> Result<Decoder> {
    let folder = &hub::folder(folder)?;
    let config = model::load_config(folder)?;
    let has_weights =
        ["model.safetensors", "model.safetensors.index.json"].iter().any(|name| folder.join(name).exists());
    if has_weights {
        return policy::load(folder, device);
    }
    Ok(policy::fresh(&config, Seed::new(0), device))
}

fn random_ids(count: usize, vocabulary: usize, seed: Seed) -> Vec<u32> {
    let mut rng = seed.rng();
    (0..count).map(|_| rng.random_range(0..vocabulary as u32)).collect()
}

fn from_one(counts: &[(&str, usize)]) -> Result<()> {
    match counts.iter().find(|(_, count)| *count == 0) {
        Some((name, _)) => Err(Refusal::usage(format!("--{name}: expected at least 1, found 0"))),
        None => Ok(()),
    }
}

/// The most memory that this process has held, where the system tells (Linux).
fn peak_gib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ruminate_data::Outcome;

    #[test]
    fn the_last_integer_counts() {
        let task: Task = serde_json::from_str(r#"{"prompt": "2-5=", "answer": "-3"}"#).expect("a task");
        assert_eq!(last_integer(&task, "5, no: -3.").outcome, Outcome::Correct);
        assert_eq!(last_integer(&task, "-3, no: 5").outcome, Outcome::Wrong);
        assert_eq!(last_integer(&task, "nothing").outcome, Outcome::Wrong);
    }
}
