//! The plan of a run's memory is what the run then holds, within 15 %: each kind of training in a process of its own, on a
//! model whose tensors are large beside the program and what malloc keeps of what was freed.
#![cfg(target_os = "linux")]

use ruminate_data::{Sample, Seed};
use ruminate_model::{Config, Decoder, lora};
use ruminate_testkit as testkit;
use ruminate_train::{
    Dtype, MemoryPlan, Observer, OptimizerName, OptimizerState, State, Trained, supervised,
};
use serde_json::{Value, json};
use std::path::Path;

const VOCABULARY: u32 = 8192;

/// Tokens of a sample.
const LENGTH: usize = 128;

struct Silent;

impl Observer for Silent {}

/// 12 million parameters, 48 MiB.
fn dense() -> Value {
    json!({
        "model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": 384, "intermediate_size": 1536,
        "num_hidden_layers": 4, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 64,
        "tie_word_embeddings": true, "eos_token_id": 1, "max_position_embeddings": 512,
    })
}

/// 16 million, most of them experts'.
fn experts() -> Value {
    json!({
        "model_type": "qwen3_moe", "vocab_size": VOCABULARY, "hidden_size": 256, "intermediate_size": 512,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
        "num_experts": 16, "num_experts_per_tok": 4, "moe_intermediate_size": 192, "tie_word_embeddings": false,
        "eos_token_id": 1, "max_position_embeddings": 512,
    })
}

fn sample(index: u64) -> Sample {
    let token = |place: usize| (index as u32 * 7 + place as u32 * 13) % VOCABULARY;
    let ids: Vec<u32> = (0..LENGTH).map(token).collect();
    Sample::completion_only(&ids[..1], &ids[1..])
}

/// Two steps, after which all that a step needs is there.
fn config(microbatches: usize) -> supervised::Config {
    supervised::Config {
        max_steps: 2,
        batch_size: 4,
        gradient_accumulation_steps: microbatches,
        row_length: LENGTH,
        ..supervised::Config::default()
    }
}

fn check(model: &Value, adapters: Option<&lora::Config>, config: &supervised::Config) {
    // The plan is of the binary, which is larger than this test and has a tokenizer.
    let program = testkit::held();
    let model = Config::from_json(model).expect("a configuration");
    let device = testkit::autodiff_device();
    let trained = adapters.map_or(Trained::Weights, |adapters| {
        Trained::Adapters(adapters.parameters(&model, &device).expect("known targets"))
    });
    let plan: MemoryPlan = supervised::memory_plan(&model, trained, LENGTH, config);

    let mut rng = Seed::new(0).rng();
    let mut policy = Decoder::init(&model, &mut rng, &device);
    if let Some(adapters) = adapters {
        let whole = policy.parameter_count();
        policy = policy.with_adapters(adapters, Path::new("base"), &mut rng).expect("known targets");
        assert_eq!(Trained::Adapters(policy.parameter_count() - whole), trained);
    }
    let state = State::fresh(policy, &config.train);
    supervised::train(state, &mut |index| Ok(sample(index)), config, &mut Silent).expect("it trains");
    let (held, planned) = (testkit::held(), plan.peak() - plan.program + program);
    let ratio = planned as f64 / held as f64;
    // Muon's products of matrices are planned for the shape that needs most of them.
    let most = if config.train.optimizer == OptimizerName::Muon { 1.2 } else { 1.15 };
    assert!((0.85..most).contains(&ratio), "{planned} bytes were planned and {held} held: {plan:?}");
}

#[test]
fn of_all_weights() {
    testkit::alone("of_all_weights", || check(&dense(), None, &config(1)));
}

#[test]
fn of_products_in_bfloat16() {
    let mut config = config(1);
    config.train.dtype = Dtype::Bfloat16;
    testkit::alone("of_products_in_bfloat16", || check(&dense(), None, &config));
}

#[test]
fn of_a_mixture_of_experts_in_bfloat16() {
    let mut config = config(1);
    config.train.dtype = Dtype::Bfloat16;
    testkit::alone("of_a_mixture_of_experts_in_bfloat16", || check(&experts(), None, &config));
}

#[test]
fn of_adapters_on_weights_in_bfloat16() {
    let mut config = config(1);
    (config.train.dtype, config.train.frozen_dtype) = (Dtype::Bfloat16, Dtype::Bfloat16);
    let name = "of_adapters_on_weights_in_bfloat16";
    testkit::alone(name, || check(&dense(), Some(&lora::Config::default()), &config));
}

#[test]
fn of_several_microbatches() {
    testkit::alone("of_several_microbatches", || check(&dense(), None, &config(2)));
}

#[test]
fn of_checkpointed_activations() {
    let mut config = config(1);
    config.train.gradient_checkpointing = true;
    testkit::alone("of_checkpointed_activations", || check(&dense(), None, &config));
}

#[test]
fn of_adapters() {
    testkit::alone("of_adapters", || check(&dense(), Some(&lora::Config::default()), &config(1)));
}

#[test]
fn of_a_mixture_of_experts() {
    testkit::alone("of_a_mixture_of_experts", || check(&experts(), None, &config(1)));
}

#[test]
fn of_moments_in_8_bits() {
    let mut config = config(1);
    config.train.optimizer_state = OptimizerState::Int8;
    testkit::alone("of_moments_in_8_bits", || check(&dense(), None, &config));
}

#[test]
fn of_a_mixture_of_experts_with_moments_in_8_bits() {
    let mut config = config(1);
    config.train.optimizer_state = OptimizerState::Int8;
    let name = "of_a_mixture_of_experts_with_moments_in_8_bits";
    testkit::alone(name, || check(&experts(), None, &config));
}

#[test]
fn moments_in_8_bits_take_a_quarter() {
    let model = Config::from_json(&dense()).expect("a configuration");
    let moments = |state| {
        let mut config = config(1);
        config.train.optimizer_state = state;
        supervised::memory_plan(&model, Trained::Weights, LENGTH, &config).moments as f64
    };
    let ratio = moments(OptimizerState::Int8) / moments(OptimizerState::Float32);
    assert!((ratio - (1.0 + 4.0 / 256.0) / 4.0).abs() < 1e-4, "{ratio}");
}

#[test]
fn of_muon() {
    let mut config = config(1);
    config.train.optimizer = OptimizerName::Muon;
    testkit::alone("of_muon", || check(&dense(), None, &config));
}

#[test]
fn of_a_mixture_of_experts_under_muon() {
    let mut config = config(1);
    config.train.optimizer = OptimizerName::Muon;
    testkit::alone("of_a_mixture_of_experts_under_muon", || check(&experts(), None, &config));
}

#[test]
fn of_an_update_that_takes_more_than_the_backward_pass() {
    let mut model = experts();
    for (key, size) in [("hidden_size", 512), ("num_hidden_layers", 1), ("num_experts", 64)] {
        model[key] = json!(size);
    }
    let mut config = config(1);
    config.batch_size = 1;
    config.train.optimizer = OptimizerName::Muon;
    let name = "of_an_update_that_takes_more_than_the_backward_pass";
    testkit::alone(name, || check(&model, None, &config));
}
