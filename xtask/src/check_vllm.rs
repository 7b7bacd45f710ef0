//! `cargo xtask check-vllm MODEL`: GRPO on the sums recipe with two real vLLM servers on this machine's CPU, one of which is
//! killed in the middle and started again with old weights. It takes a vLLM of its own and the better part of an hour, so CI
//! leaves it out; docs/servers.md says how to install vLLM for it.

use crate::{binary, root};
use anyhow::{Context, Result, bail, ensure};
use lexopt::prelude::*;
use serde_json::Value;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const USAGE: &str = "\
usage: cargo xtask check-vllm MODEL --vllm PROGRAM [--steps N] [--out DIR] [--port P] [--binary PATH] [-- SETS...]

  MODEL       the folder of SmolLM2-135M-Instruct
  --vllm      the program `vllm` of an environment with vLLM 0.30 or later for CPUs
  --steps     GRPO steps, 20 without it; the first server is killed after half of them
  --out       the run folder, runs/check-vllm without it
  --port      of the first server, 8150 without it; the second has the next
  --binary    a `ruminate` that is built already
  -- SETS     more overrides, as KEY=VALUE";

/// The largest k3 of a canary, in nats per token: both sides compute in float32.
const MOST_KL: f64 = 1e-6;

/// A wait that is longer is told, once.
const LONG: Duration = Duration::from_mins(10);

struct Args {
    model: PathBuf,
    vllm: PathBuf,
    steps: usize,
    out: PathBuf,
    port: u16,
    binary: Option<PathBuf>,
    sets: Vec<String>,
}

/// A process that is killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn run(args: &[OsString]) -> Result<ExitCode> {
    let Some(args) = parse(args)? else {
        eprintln!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let program = match &args.binary {
        Some(path) => path.clone(),
        None => binary::build([])?,
    };
    ensure!(
        !args.out.exists(),
        "{} exists already; remove it or name another with --out",
        args.out.display()
    );
    fs::create_dir_all(args.out.parent().unwrap_or(Path::new(".")))?;
    let mut trainer = Running(train(&args, &program)?);
    let started = Instant::now();
    let start = args.out.join("weights/start");
    wait("the folder to start servers on", &mut trainer, || start.join("config.json").exists())?;
    let mut servers = [serve(&args, &start, 0)?, serve(&args, &start, 1)?];
    let middle = args.steps / 2;
    wait("the middle of the run", &mut trainer, || steps(&args.out) >= middle)?;
    eprintln!("check-vllm: kills the first server after {} steps", steps(&args.out));
    servers[0] = {
        let [first, _] = &mut servers;
        first.0.kill()?;
        first.0.wait()?;
        serve(&args, &start, 0)?
    };
    let status = trainer.0.wait()?;
    ensure!(status.success(), "the run ended with {status}; {} has what it said", log(&args.out).display());
    Ok(report(&args, started.elapsed()))
}

fn parse(args: &[OsString]) -> Result<Option<Args>> {
    let (mut model, mut vllm, mut binary) = (None, None, None);
    let (mut steps, mut out, mut port, mut sets) = (20, root().join("runs/check-vllm"), 8150, Vec::new());
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("help") | Short('h') => return Ok(None),
            Long("vllm") => vllm = Some(PathBuf::from(parser.value()?)),
            Long("steps") => steps = parser.value()?.parse()?,
            Long("out") => out = PathBuf::from(parser.value()?),
            Long("port") => port = parser.value()?.parse()?,
            Long("binary") => binary = Some(PathBuf::from(parser.value()?)),
            Value(value) if model.is_none() => model = Some(PathBuf::from(value)),
            Value(value) => sets.push(value.string()?),
            other => bail!("{}\n{USAGE}", other.unexpected()),
        }
    }
    let model = model.context(USAGE)?;
    let vllm = vllm.context("--vllm is missing: expected the program `vllm` of its environment")?;
    ensure!(
        steps >= 2,
        "--steps is {steps}; expected at least 2, since a server is killed between two of them"
    );
    let model = std::path::absolute(model)?;
    Ok(Some(Args { model, vllm, steps, out: std::path::absolute(out)?, port, binary, sets }))
}

fn log(out: &Path) -> PathBuf {
    out.with_extension("log")
}

fn train(args: &Args, program: &Path) -> Result<Child> {
    let urls: Vec<String> =
        [args.port, args.port + 1].iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
    let recipe = root().join("crates/ruminate/recipes/smollm2-sums.toml");
    let mut command = Command::new(program);
    command.arg("train-rl").arg(recipe).arg("--out").arg(&args.out);
    let sets = [
        format!("model={}", args.model.display()),
        format!("max_steps={}", args.steps),
        "rollout.engine=vllm".to_owned(),
        format!("fleet.servers={urls:?}"),
        "eval.n=16".to_owned(),
        "rollout.max_num_seqs=16".to_owned(),
    ];
    for set in sets.iter().chain(&args.sets) {
        command.arg("--set").arg(set);
    }
    let file = File::create(log(&args.out))?;
    let (stdout, stderr) = (Stdio::from(file.try_clone()?), Stdio::from(file));
    command.stdout(stdout).stderr(stderr).spawn().with_context(|| program.display().to_string())
}

/// A server on loopback, as docs/servers.md starts one.
fn serve(args: &Args, folder: &Path, number: u16) -> Result<Running> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(args.out.with_extension(format!("server-{number}.log")))?;
    let mut command = Command::new(&args.vllm);
    command.arg("serve").arg(folder).args([
        "--served-model-name",
        "policy",
        "--host",
        "127.0.0.1",
        "--dtype",
        "float32",
        "--enforce-eager",
        "--max-model-len",
        "1024",
        "--max-num-seqs",
        "64",
        "--enable-scale-out",
        "--generation-config",
        "vllm",
        "--logprobs-mode",
        "processed_logprobs",
    ]);
    command.arg("--port").arg((args.port + number).to_string());
    for (name, value) in [
        ("VLLM_SERVER_DEV_MODE", "1"),
        ("VLLM_TARGET_DEVICE", "cpu"),
        ("VLLM_CPU_KVCACHE_SPACE", "1"),
        ("VLLM_NO_USAGE_STATS", "1"),
        ("HF_HUB_OFFLINE", "1"),
    ] {
        command.env(name, value);
    }
    // Its processes find their Python and compilers beside the program.
    if let Some(bin) = args.vllm.parent() {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(bin.to_owned()).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(paths)?);
    }
    let (stdout, stderr) = (Stdio::from(file.try_clone()?), Stdio::from(file));
    let child = command.stdout(stdout).stderr(stderr).spawn();
    Ok(Running(child.with_context(|| args.vllm.display().to_string())?))
}

/// Waits for something while the trainer runs.
fn wait(what: &str, trainer: &mut Running, mut there: impl FnMut() -> bool) -> Result<()> {
    let (since, mut told) = (Instant::now(), false);
    loop {
        if there() {
            return Ok(());
        }
        if let Some(status) = trainer.0.try_wait()? {
            bail!("the run ended with {status} before {what}");
        }
        if !told && since.elapsed() > LONG {
            eprintln!("check-vllm: still waiting for {what}");
            told = true;
        }
        sleep(Duration::from_millis(500));
    }
}

fn rows(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Steps that are done.
fn steps(out: &Path) -> usize {
    rows(&out.join("metrics.jsonl")).len()
}

/// Prints what the run was, and checks it.
fn report(args: &Args, time: Duration) -> ExitCode {
    let (metrics, fleet) = (rows(&args.out.join("metrics.jsonl")), rows(&args.out.join("fleet.jsonl")));
    let number = |row: &Value, key: &str| row[key].as_f64().unwrap_or(f64::NAN);
    eprintln!("| step | reward | k3 sampler, trainer | largest canary k3 | servers | stale | again |");
    eprintln!("|---|---|---|---|---|---|---|");
    let mut failures = Vec::new();
    for row in &metrics {
        let version = row["step"].as_u64().unwrap_or_default().saturating_sub(1);
        let of = |event: &str| {
            fleet.iter().filter(|row| row["step"] == version && row["event"] == event).collect::<Vec<_>>()
        };
        let ready = of("ready");
        let most = ready.iter().map(|row| number(row, "canary_kl")).fold(0.0, f64::max);
        let sampled = of("sampled");
        let sum = |key: &str| sampled.iter().map(|row| row[key].as_u64().unwrap_or_default()).sum::<u64>();
        eprintln!(
            "| {} | {:.3} | {:.2e} | {most:.2e} | {} | {} | {} |",
            row["step"],
            number(row, "reward"),
            number(row, "sampling/mismatch_kl"),
            ready.len(),
            sum("stale"),
            sum("again"),
        );
        if ready.is_empty() || most.is_nan() || most > MOST_KL {
            failures.push(format!("step {}: canary {most:e}, expected at most {MOST_KL:e}", row["step"]));
        }
        let mismatch = number(row, "sampling/mismatch_kl");
        if mismatch.is_nan() || mismatch > MOST_KL {
            failures
                .push(format!("step {}: mismatch {mismatch:e}, expected at most {MOST_KL:e}", row["step"]));
        }
    }
    if metrics.len() != args.steps {
        failures.push(format!("{} steps, expected {}", metrics.len(), args.steps));
    }
    if !fleet.iter().any(|row| row["event"] == "down" || row["event"] == "stale") {
        failures.push("a server was killed, and the log says nothing of it".to_owned());
    }
    eprintln!("{} steps in {:.0} s; rows of servers: {}", metrics.len(), time.as_secs_f64(), fleet.len());
    for failure in &failures {
        eprintln!("FAILED: {failure}");
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
