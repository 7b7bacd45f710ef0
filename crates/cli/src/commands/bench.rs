//! `bench`: speed at a fixed shape, as one JSON line. It measures the same code that trains and samples; it refuses to
//! know what a good number is.

use crate::args::{BenchCommand, BenchGenerateArgs, BenchGrpoArgs, BenchTrainArgs};
use crate::device::DeviceName;
use crate::exit::Refusal;
use crate::language::Language;
use crate::lines::Output;
use crate::policy;
use crate::recipe::PromptStyle;
use anyhow::Result;
use burn::tensor::Device;
use rand::RngExt;
use ruminate_data::jsonl::{self, BadLines};
use ruminate_data::{Completion, Group, Outcome, Sample, Seed, Task, Verdict};
use ruminate_grpo as grpo;
use ruminate_model::{self as model, Decoder};
use ruminate_rollout::{Dtype, Flow, Options, RecordRouting, Request, Sampling, generate};
use ruminate_train::{self as train, Metrics, State, supervised};
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

/// Timed repetitions of `generate`, after one that is not counted.
const REPEATS: usize = 3;

#[derive(Serialize)]
struct Line {
    tokens_per_s: f64,
    step_s: f64,
    peak_gib: Option<f64>,
    device: String,
    dtype: String,
}

pub(crate) fn run(command: BenchCommand) -> Result<()> {
    let (device, dtype, tokens_per_s, step_s) = match command {
        BenchCommand::Generate(args) => {
            let seconds = generation(&args)?;
            (args.device.device, args.dtype.dtype, (args.batch * args.new_tokens) as f64 / seconds, seconds)
        }
        BenchCommand::Train(args) => {
            let seconds = training(&args)?;
            (args.device.device, Dtype::Float32, (args.batch * args.tokens) as f64 / seconds, seconds)
        }
        BenchCommand::Grpo(args) => {
            let (tokens, seconds) = reinforcement(&args)?;
            (args.device.device, args.dtype.dtype, tokens / seconds, seconds)
        }
    };
    let line = Line {
        tokens_per_s,
        step_s,
        peak_gib: peak_gib(),
        device: device.to_string(),
        dtype: dtype.to_string(),
    };
    Output::open(None)?.line(&line)
}

/// Median seconds of prefill and decoding.
fn generation(args: &BenchGenerateArgs) -> Result<f64> {
    from_one(&[
        ("batch", args.batch),
        ("prompt-tokens", args.prompt_tokens),
        ("new-tokens", args.new_tokens),
    ])?;
    let policy = decoder(&args.model, &open(args.device.device)?)?;
    let seed = Seed::new(0).child("bench");
    let requests: Vec<Request> = (0..args.batch as u64)
        .map(|i| Request {
            prompt_ids: random_ids(args.prompt_tokens, policy.config().vocab_size, seed.index(i)),
            seed: seed.child("sample").index(i),
        })
        .collect();
    let options = Options {
        sampling: Sampling {
            max_new_tokens: args.new_tokens,
            dtype: args.dtype.dtype,
            ..Sampling::default()
        },
        eos_token_ids: Vec::new(),
        max_num_seqs: args.batch,
        record_routing: RecordRouting::No,
    };
    let mut times = Vec::new();
    for _ in 0..=REPEATS {
        let start = Instant::now();
        // Tokens come to the host one by one: what is counted has been computed.
        generate(&policy, &requests, &options, |_, _| Flow::Continue);
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(median(&mut times[1..]))
}

/// Median seconds of an optimizer step.
fn training(args: &BenchTrainArgs) -> Result<f64> {
    from_one(&[("batch", args.batch), ("steps", args.steps)])?;
    if args.tokens < 2 {
        return Err(Refusal::usage("--tokens: expected at least 2, the first one is given"));
    }
    let policy = decoder(&args.model, &open(args.device.device)?.autodiff())?;
    let vocabulary = policy.config().vocab_size;
    let config = supervised::Config {
        max_steps: args.steps,
        batch_size: args.batch,
        row_length: args.tokens,
        train: train::Config { save_steps: 0, ..train::Config::default() },
        ..supervised::Config::default()
    };
    let seed = Seed::new(0).child("bench");
    let mut source = |index| {
        let ids = random_ids(args.tokens, vocabulary, seed.index(index));
        Sample::completion_only(&ids[..1], &ids[1..])
    };
    let mut clock = Clock::default();
    supervised::train(State::fresh(policy, &config.train), &mut source, &config, &mut clock)?;
    Ok(median(&mut clock.steps))
}

/// Median completion tokens and seconds of a GRPO step, the first left out.
fn reinforcement(args: &BenchGrpoArgs) -> Result<(f64, f64)> {
    from_one(&[("prompts", args.prompts), ("max-completion", args.max_completion)])?;
    if args.steps < 2 {
        return Err(Refusal::usage("--steps: expected at least 2, the first one does not count"));
    }
    let tasks = jsonl::tasks(&args.tasks, BadLines::Refuse)?.rows;
    let policy = decoder(&args.model, &open(args.device.device)?.autodiff())?;
    let language = Language::load(&args.model, policy.config().vocab_size, PromptStyle::Bare)?;
    let mut problems = Vec::new();
    for row in tasks {
        let prompt_ids = language
            .prompt_ids(&row.value.prompt)
            .map_err(|error| Refusal::line(&args.tasks, row.line, format!("{error:#}")))?;
        problems.push(grpo::Problem { task: row.value, prompt_ids });
    }
    let config = grpo::Config {
        prompts_per_step: args.prompts,
        num_generations: args.generations,
        ..grpo::Config::default()
    };
    let optimizer = train::Config { learning_rate: 1e-6, save_steps: 0, ..train::Config::default() };
    let sampling =
        Sampling { max_new_tokens: args.max_completion, dtype: args.dtype.dtype, ..Sampling::default() };
    let setup = grpo::Setup {
        config: &config,
        train: &optimizer,
        sampling: &sampling,
        eos_token_ids: &language.end_ids,
        max_steps: args.steps,
        seed: Seed::new(0),
    };
    let score = |task: &Task, completion: &Completion| last_integer(task, &language.text(&completion.ids));
    let mut clock = Clock::default();
    grpo::train(
        State::fresh(policy, &optimizer),
        &mut |index| problems[index as usize % problems.len()].clone(),
        &score,
        &setup,
        &mut clock,
    )?;
    Ok((median(&mut clock.tokens[1..]), median(&mut clock.steps[1..])))
}

/// Hears what steps cost.
#[derive(Default)]
struct Clock {
    steps: Vec<f64>,
    tokens: Vec<f64>,
}

impl train::Observer for Clock {
    fn step(&mut self, _: usize, metrics: &Metrics) {
        self.steps.extend(metrics.get("step_time_s"));
    }

    fn groups(&mut self, _: usize, groups: &[Group], _: &[Vec<f64>]) {
        let completions = groups.iter().flat_map(|group| &group.completions);
        self.tokens.push(completions.map(|completion| completion.ids.len() as f64).sum());
    }
}

/// The benchmark's reward: the last integer of the text is the answer.
fn last_integer(task: &Task, text: &str) -> Verdict {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit() && c != '-').filter(|part| !part.is_empty());
    let last = numbers.next_back().and_then(|number| number.parse::<i64>().ok());
    let right = last.is_some() && last == task.answer.trim().parse().ok();
    let outcome = if right { Outcome::Correct } else { Outcome::Wrong };
    Verdict {
        outcome,
        score: f64::from(u8::from(right)),
        extracted: None,
        why: String::new(),
        rewards: Vec::new(),
    }
}

fn open(device: DeviceName) -> Result<Device> {
    device.open()
}

/// A folder's weights, or random ones where it has only a configuration.
fn decoder(folder: &Path, device: &Device) -> Result<Decoder> {
    let config = model::load_config(folder)?;
    let has_weights =
        ["model.safetensors", "model.safetensors.index.json"].iter().any(|name| folder.join(name).exists());
    if has_weights {
        return Ok(model::load_weights(&config, folder, device)?);
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

/// The middle one, or the mean of both.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) }
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

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn the_last_integer_counts() {
        let task: Task = serde_json::from_str(r#"{"prompt": "2-5=", "answer": "-3"}"#).expect("a task");
        assert_eq!(last_integer(&task, "5, no: -3.").outcome, Outcome::Correct);
        assert_eq!(last_integer(&task, "-3, no: 5").outcome, Outcome::Wrong);
        assert_eq!(last_integer(&task, "nothing").outcome, Outcome::Wrong);
    }
}
