//! Teaches a fresh tiny model to say 7, with nothing but a reward: `cargo run -p ruminate-grpo --example sevens`.
#![allow(clippy::print_stdout, reason = "an example talks")]

use ruminate_data::{Completion, Problem, SamplingParams, Seed, Stop, Task, Verdict};
use ruminate_grpo::{Config, TrainerArgs, train};
use ruminate_model::Decoder;
use ruminate_rollout::{EngineConfig, LocalEngine};
use ruminate_train::{Metrics, Observer, State};

struct Print;

impl Observer for Print {
    fn step(&mut self, step: usize, metrics: &Metrics) {
        println!("step {step}: reward {:.2}", metrics.get("reward").unwrap_or_default());
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = ruminate_model::Config::from_json(&serde_json::json!({
        "model_type": "llama", "vocab_size": 12, "hidden_size": 16, "intermediate_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.2,
    }))?;
    let policy = Decoder::init(&model, &mut Seed::new(0).rng(), &ruminate_testkit::autodiff_device());
    let optimizer = ruminate_train::Config { learning_rate: 1e-2, ..Default::default() };
    let setup = TrainerArgs {
        config: &Config::default(),
        train: &optimizer,
        sampling: SamplingParams { max_new_tokens: 8, ..SamplingParams::default() },
        stop: &Stop::at(&[1]),
        alarms: &ruminate_train::alarms::Config::default(),
        max_steps: 20,
        seed: Seed::new(0),
    };
    let task = Task::new("", "7");
    let score = |_: &Task, completion: &Completion| {
        let score = completion.ids.iter().filter(|&&id| id == 7).count() as f64 / completion.ids.len() as f64;
        Verdict::wrong(score)
    };
    let mut engine = LocalEngine::new(EngineConfig::default());
    let mut problems = |_| Ok(Problem { task: task.clone(), prompt_ids: vec![2] });
    let state = State::fresh(policy, &optimizer);
    train(state, &mut engine, &mut problems, &score, &setup, &mut Print)?;
    Ok(())
}
