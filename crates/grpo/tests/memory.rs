//! The plan of a run's memory is what the run then holds, within 15 %, whether learning takes most of it or sampling: each
//! in a process of its own, on a model whose tensors are large beside the program and what malloc keeps of what was freed.
#![cfg(target_os = "linux")]

use ruminate_data::{Completion, Outcome, Problem, Prompt, SamplingParams, Seed, Stop, Task, Verdict};
use ruminate_grpo::{Config, Demand, TrainerArgs, memory_plan, train};
use ruminate_model::{Config as Model, Decoder, lora};
use ruminate_rollout::{EngineConfig, LocalEngine};
use ruminate_testkit as testkit;
use ruminate_train::{Observer, State, Trained};
use serde_json::json;
use std::path::Path;

const VOCABULARY: u32 = 16_384;

/// Tokens of a prompt.
const PROMPT: usize = 96;

struct Silent;

impl Observer for Silent {}

/// 7 million parameters, 28 MiB.
fn model() -> Model {
    let keys = json!({
        "model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": 256, "intermediate_size": 1024,
        "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
        "tie_word_embeddings": true, "eos_token_id": 1, "max_position_embeddings": 512,
    });
    Model::from_json(&keys).expect("a configuration")
}

fn problem(index: u64) -> Problem {
    let task =
        Task { prompt: Prompt::Text(String::new()), answer: String::new(), columns: serde_json::Map::new() };
    let token = |place: usize| (index as u32 * 31 + place as u32 * 13) % (VOCABULARY - 2) + 2;
    Problem { task, prompt_ids: (0..PROMPT).map(token).collect() }
}

/// Rewards the share of even tokens: no two completions are alike.
fn evens(_: &Task, completion: &Completion) -> Verdict {
    let evens = completion.ids.iter().filter(|&&id| id % 2 == 0).count();
    let score = evens as f64 / completion.ids.len() as f64;
    let rewards = vec![("evens".to_owned(), score)];
    Verdict { outcome: Outcome::Correct, score, extracted: None, why: String::new(), rewards }
}

fn check(adapters: Option<&lora::Config>, config: &Config, max_new_tokens: usize) {
    let (model, device) = (model(), testkit::autodiff_device());
    let trained = adapters.map_or(Trained::Weights, |adapters| {
        Trained::Adapters(adapters.parameters(&model, &device).expect("known targets"))
    });
    let setup = TrainerArgs {
        config,
        train: &ruminate_train::Config::default(),
        sampling: SamplingParams { max_new_tokens, ..SamplingParams::default() },
        stop: &Stop::at(&[1]),
        alarms: &ruminate_train::alarms::Config::default(),
        max_steps: 2,
        seed: Seed::new(0),
    };
    let demand = Demand { trained, prompt_tokens: PROMPT, evaluated: 0 };
    let engine = EngineConfig { record_routing: true, ..EngineConfig::default() };
    let plan = memory_plan(&model, demand, &engine, &setup).expect("there is no limit").memory;

    let mut rng = Seed::new(0).rng();
    let mut policy = Decoder::init(&model, &mut rng, &device);
    if let Some(adapters) = adapters {
        policy = policy.with_adapters(adapters, Path::new("base"), &mut rng).expect("known targets");
    }
    let state = State::fresh(policy, setup.train);
    let mut engine = LocalEngine::new(engine);
    train(state, &mut engine, &mut |index| Ok(problem(index)), &evens, &setup, &mut Silent)
        .expect("it trains");
    let (held, planned) = (testkit::held(), plan.peak());
    let ratio = planned as f64 / held as f64;
    assert!((0.85..1.15).contains(&ratio), "{planned} bytes were planned and {held} held: {plan:?}");
}

#[test]
fn of_learning_beside_a_reference() {
    let config = Config { prompts_per_step: 4, num_generations: 4, beta: 0.01, ..Config::default() };
    testkit::alone("of_learning_beside_a_reference", || check(None, &config, 12));
}

#[test]
fn of_sampling() {
    // Adapters, which have the base for their reference, and long prompts for many short completions.
    let config = Config {
        prompts_per_step: 4,
        num_generations: 48,
        beta: 0.01,
        micro_batch_tokens: 128,
        ..Config::default()
    };
    testkit::alone("of_sampling", || check(Some(&lora::Config::default()), &config, 4));
}
