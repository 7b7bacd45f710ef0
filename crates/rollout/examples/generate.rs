//! Samples a few completions from a fresh tiny decoder: `cargo run -p ruminate-rollout --example generate`.
#![allow(clippy::print_stdout, reason = "an example talks")]

use ruminate_data::{Completion, Request, SamplingParams, Seed, Stop};
use ruminate_model::{Config, Decoder};
use ruminate_rollout::{Engine, EngineConfig, LocalEngine};
use std::ops::ControlFlow;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::from_json(&serde_json::json!({
        "model_type": "llama", "vocab_size": 32, "hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 4, "eos_token_id": 1,
    }))?;
    let decoder =
        Decoder::init(&config, &mut Seed::new(0).child("weights").rng(), &ruminate_testkit::device());
    let request = |sample| Request {
        prompt_ids: vec![5, 6, 7],
        sampling: SamplingParams { max_new_tokens: 16, ..SamplingParams::default() },
        stop: Stop::at(&config.eos_token_ids),
        seed: Seed::new(0).index(sample),
    };
    let mut engine = LocalEngine::of(&decoder, EngineConfig { max_num_seqs: 4, ..EngineConfig::default() })?;
    engine.generate((0..4).map(request).collect(), &mut |request, completion: Completion| {
        println!("{request}: {:?} ({:?})", completion.ids, completion.finish_reason);
        ControlFlow::Continue(())
    })?;
    Ok(())
}
