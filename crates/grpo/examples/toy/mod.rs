//! A tiny policy, its only problem, and a reward for 7s: what the examples train.
#![allow(clippy::print_stdout, reason = "an example talks")]

use ruminate_data::{Completion, Problem, SamplingParams, Seed, Stop, Task, Verdict};
use ruminate_grpo::{Config, Trainer, TrainerArgs};
use ruminate_model::Decoder;
use ruminate_rollout::{EngineConfig, LocalEngine};
use ruminate_train::{Metrics, Observer, State};

/// Prints the reward of each step.
struct Print;

impl Observer for Print {
    fn step(&mut self, step: usize, metrics: &Metrics) {
        println!("step {step}: reward {:.2}", metrics.get("reward").unwrap_or_default());
    }
}

/// Has the trainer that `prepared` makes of the default one teach a fresh policy to say 7.
pub(crate) fn run(prepared: impl FnOnce(Trainer) -> Trainer) -> Result<(), Box<dyn std::error::Error>> {
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
    let mut problems = |_| Ok(Problem { task: task.clone(), prompt_ids: vec![2] });
    let mut engine = LocalEngine::new(EngineConfig::default());
    let state = State::fresh(policy, &optimizer);
    let trainer = Trainer::new(state, &mut engine, &mut problems, &score, setup)?;
    prepared(trainer).run(&mut Print)?;
    Ok(())
}
