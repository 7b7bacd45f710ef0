//! A teacher writes at random, what happens to be right teaches a student:
//! `cargo run --release -p ruminate-distill --example evens`

use ruminate_data::{Completion, SamplingParams, Seed, Stop, Task, Verdict};
use ruminate_distill::{Config, SamplingArgs, sample_traces, select, source};
use ruminate_model::{Decoder, load_config};
use ruminate_rollout::{EngineConfig, LocalEngine};
use ruminate_train::{Metrics, Observer, State, supervised};
use std::ops::ControlFlow;

struct Print;

impl Observer for Print {
    fn step(&mut self, step: usize, metrics: &Metrics) {
        if step.is_multiple_of(20) {
            eprintln!("step {step:3}  loss {:.4}", metrics.get("loss").unwrap_or(f64::NAN));
        }
    }
}

/// Right is an even token, then the end.
fn score(_: &Task, completion: &Completion) -> Verdict {
    let right = matches!(completion.ids.as_slice(), [id, _] if id % 2 == 0);
    if right { Verdict::correct(0.0) } else { Verdict::wrong(0.0) }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = ruminate_testkit::autodiff_device();
    let architecture = load_config(&ruminate_testkit::fixture_path("model/deepseek_v3_plain"))?;
    let fresh = |seed| Decoder::init(&architecture, &mut Seed::new(seed).rng(), &device);

    let task = Task::new("", "");
    let prompts: Vec<[u32; 2]> = (0..32).map(|i| [i, 39]).collect();
    let problems: Vec<(&Task, &[u32])> = prompts.iter().map(|prompt| (&task, prompt.as_slice())).collect();
    let setup = SamplingArgs {
        teacher: &fresh(0),
        sampling: SamplingParams { max_new_tokens: 4, ..SamplingParams::default() },
        stop: &Stop::at(&(1..40).step_by(2).collect::<Vec<u32>>()),
        num_samples: 8,
        seed: Seed::new(0),
    };
    let mut engine = LocalEngine::new(EngineConfig::default());
    let go_on = &mut |_, _, _: &Completion| ControlFlow::Continue(());
    let groups = sample_traces(&setup, &mut engine, &problems, Vec::new(), &score, go_on)?;

    let rules = Config { required_rewards: Vec::new(), max_traces_per_prompt: 2, ..Config::default() };
    let selection = select(&groups, &rules);
    eprintln!("{:?}", selection.report);

    let samples = selection.samples();
    let mut config =
        supervised::Config { max_steps: 100, batch_size: 16, row_length: 16, ..Default::default() };
    config.train.learning_rate = 1e-2;
    let mut source = source(&samples, Seed::new(1))?;
    supervised::train(State::fresh(fresh(1), &config.train), &mut source, &config, &mut Print)?;
    Ok(())
}
