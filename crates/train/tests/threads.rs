//! The same bits with one thread as with two. The size of the thread pool is decided once a process, so each size
//! gets a process of its own.

use ruminate_data::{Sample, Seed};
use ruminate_model::{Config, Decoder};
use ruminate_testkit as testkit;
use ruminate_train::{Dtype, Metrics, Observer, OptimizerName, OptimizerState, State, supervised};
use serde_json::json;
use std::process::Command;

const CHILD: &str = "RUMINATE_TEST_CHILD";
const MARK: &str = "rows:";

/// Writes down every metric that is not wall-clock time, bit by bit.
#[derive(Default)]
struct Bits(Vec<String>);

impl Observer for Bits {
    fn step(&mut self, step: usize, metrics: &Metrics) {
        for (name, value) in metrics.iter().filter(|(name, _)| !name.ends_with("_time_s")) {
            self.0.extend([step.to_string(), name.to_owned(), format!("{:x}", value.to_bits())]);
        }
    }
}

/// Large enough that products and reductions of the backend are split between threads.
fn rows(workers: usize, optimizer: OptimizerName, optimizer_state: OptimizerState, dtype: Dtype) -> String {
    let architecture = json!({
        "model_type": "deepseek_v3", "vocab_size": 64, "hidden_size": 96, "num_hidden_layers": 2,
        "intermediate_size": 192, "num_attention_heads": 3, "kv_lora_rank": 48, "qk_nope_head_dim": 32,
        "qk_rope_head_dim": 16, "v_head_dim": 32, "n_routed_experts": 8, "n_shared_experts": 1,
        "num_experts_per_tok": 2, "moe_intermediate_size": 96, "first_k_dense_replace": 0,
        "q_lora_rank": null, "n_group": 1, "topk_group": 1, "routed_scaling_factor": 1.0,
        "num_nextn_predict_layers": 0,
    });
    let architecture = Config::from_json(&architecture).expect("it is valid");
    let mut config = supervised::Config {
        max_steps: 3,
        batch_size: 96,
        gradient_accumulation_steps: 2,
        row_length: 32,
        ..supervised::Config::default()
    };
    config.train.workers = workers;
    config.train.optimizer = optimizer;
    config.train.dtype = dtype;
    config.train.optimizer_state = optimizer_state;
    let source = |index: u64| {
        let ids: Vec<u32> = (0..20 + index % 9).map(|i| ((index * 7 + i * i) % 64) as u32).collect();
        Sample::completion_only(&ids[..5], &ids[5..])
    };
    let policy = Decoder::init(&architecture, &mut Seed::new(3).rng(), &testkit::autodiff_device());
    let mut bits = Bits::default();
    let state = State::fresh(policy, &config.train);
    supervised::train(state, &mut |index| Ok(source(index)), &config, &mut bits).expect("it trains");
    bits.0.join(" ")
}

#[test]
#[allow(clippy::print_stdout, reason = "a child tells its parent through its output")]
fn one_and_two_threads_give_the_same_metrics() {
    if let Ok(workers) = std::env::var(CHILD) {
        let workers = workers.parse().expect("the parent sets a number");
        let whole = OptimizerState::Float32;
        let [adamw, muon] = [OptimizerName::AdamW, OptimizerName::Muon]
            .map(|name| rows(workers, name, whole, Dtype::Float32));
        let int8 = rows(workers, OptimizerName::AdamW, OptimizerState::Int8, Dtype::Float32);
        let rounded = rows(workers, OptimizerName::AdamW, whole, Dtype::Bfloat16);
        assert!(adamw != muon && adamw != int8 && adamw != rounded);
        println!("{MARK}{adamw} {muon} {int8} {rounded}");
        return;
    }
    let child = |threads: &str| {
        let output = Command::new(std::env::current_exe().expect("a test runs from a file"))
            .args(["--exact", "one_and_two_threads_give_the_same_metrics", "--nocapture"])
            .env(CHILD, threads)
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let start = text.find(MARK).unwrap_or_else(|| panic!("the child failed: {text}"));
        text[start..].lines().next().map(str::to_owned)
    };
    let (one, two) = (child("1"), child("2"));
    assert!(one.as_ref().is_some_and(|rows| rows.contains("3 loss")), "{one:?}");
    assert_eq!(one, two);
}
