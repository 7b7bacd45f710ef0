//! One step of GRPO on a tiny random checkpoint of each family: all weights, and adapters. The sampler computes what the
//! trainer does, and what learns is what should.

mod common;

use ruminate_data::{Completion, Group, Outcome, Problem, Prompt, SamplingParams, Seed, Stop, Task, Verdict};
use ruminate_grpo::{Config, TrainerArgs, train};
use ruminate_model::{Decoder, ParameterVisitor, load, lora, save};
use ruminate_rollout::{EngineConfig, LocalEngine};
use ruminate_testkit as testkit;
use ruminate_train::{Metrics, Observer, State};
use std::collections::BTreeMap;
use std::path::Path;

/// All but granite, whose random checkpoint always draws the same completion.
const FAMILIES: [&str; 18] = [
    "deepseek_v3_full",
    "deepseek_v3_mtp",
    "dots1",
    "glm4_moe",
    "glm4_moe_plain",
    "internlm3",
    "llama_biases",
    "llama_tied",
    "mistral",
    "mixtral",
    "olmo2",
    "phi3",
    "phi3_longrope",
    "qwen2",
    "qwen2_moe",
    "qwen3",
    "qwen3_moe",
    "smollm3",
];

#[derive(Default)]
struct Log {
    rows: Vec<Metrics>,
    groups: Vec<Group>,
}

impl Observer for Log {
    fn step(&mut self, _: usize, metrics: &Metrics) {
        self.rows.push(metrics.clone());
    }

    fn groups(&mut self, _: usize, groups: &[Group], _: &[Vec<f64>]) {
        self.groups = groups.to_vec();
    }
}

/// Rewards high token ids.
fn mean_id(_: &Task, completion: &Completion) -> Verdict {
    let sum: u32 = completion.ids.iter().sum();
    let score = f64::from(sum) / (40 * completion.ids.len()) as f64;
    let outcome = if score > 0.5 { Outcome::Correct } else { Outcome::Wrong };
    Verdict { outcome, score, extracted: None, why: String::new(), rewards: Vec::new() }
}

/// The policy after a step, and what was observed.
fn step(policy: Decoder) -> (Decoder, Log) {
    let config = Config { num_generations: 8, prompts_per_step: 2, ..Config::default() };
    let optimizer = ruminate_train::Config {
        learning_rate: 1e-2,
        lr_scheduler_type: ruminate_train::Scheduler::Constant,
        ..Default::default()
    };
    let args = TrainerArgs {
        config: &config,
        train: &optimizer,
        sampling: SamplingParams { max_new_tokens: 8, temperature: 2.0, ..SamplingParams::default() },
        stop: &Stop::at(&[1]),
        alarms: &ruminate_train::alarms::Config::default(),
        max_steps: 1,
        seed: Seed::new(5),
    };
    let task =
        Task { prompt: Prompt::Text(String::new()), answer: String::new(), columns: serde_json::Map::new() };
    let mut problems =
        |index: u64| Ok(Problem { task: task.clone(), prompt_ids: vec![2, 3 + index as u32, 9, 4] });
    let mut engine = LocalEngine::new(EngineConfig { record_routing: true, ..EngineConfig::default() });
    let mut log = Log::default();
    let state = State::fresh(policy, &optimizer);
    let state = train(state, &mut engine, &mut problems, &mean_id, &args, &mut log).expect("it trains");
    (state.policy, log)
}

fn policy(folder: &Path) -> Decoder {
    load(folder, &testkit::autodiff_device()).expect("it loads")
}

fn parameters(decoder: &Decoder) -> BTreeMap<String, Vec<f32>> {
    struct Collect(BTreeMap<String, Vec<f32>>);
    impl ParameterVisitor for Collect {
        fn visit<const D: usize>(&mut self, name: &str, tensor: &burn::tensor::Tensor<D>, _: bool) {
            self.0.insert(name.to_owned(), testkit::floats(tensor.clone().detach()));
        }
    }
    let mut collect = Collect(BTreeMap::new());
    decoder.visit_parameters(&mut collect);
    collect.0
}

/// What the sampler and the trainer computed of the same tokens, which is measured at every step.
fn assert_one_policy(name: &str, log: &Log) {
    let [row] = log.rows.as_slice() else { panic!("{name}: one step") };
    let of = |key: &str| row.get(key).unwrap_or_else(|| panic!("{name}: {key}"));
    assert!(of("sampling/logprob_diff_max") < 1e-3, "{name}: {}", of("sampling/logprob_diff_max"));
    assert!(of("sampling/mismatch_kl").abs() < 1e-6, "{name}: {}", of("sampling/mismatch_kl"));
    let scores: Vec<f64> =
        log.groups.iter().flat_map(|group| group.verdicts.iter().map(|v| v.score)).collect();
    assert!(scores.iter().any(|score| *score != scores[0]), "{name}: there is something to learn");
}

#[test]
fn every_family_learns_by_all_its_weights() {
    for name in FAMILIES {
        let before = policy(&testkit::fixture_path(&format!("model/{name}")));
        let (after, log) = step(before.clone());
        assert_one_policy(name, &log);
        // What was trained is saved and read again.
        let folder = tempfile::tempdir().expect("a folder");
        save(&after, folder.path()).expect("it saves");
        let (before, after) = (parameters(&before), parameters(&after));
        assert_eq!(parameters(&policy(folder.path())), after, "{name}");
        for (parameter, values) in &after {
            assert!(values.iter().all(|value| value.is_finite()), "{name}: {parameter}");
            // The module learns by a loss of its own, which is off; experts that nothing went to have no gradient.
            let still = name == "deepseek_v3_mtp" && parameter.starts_with("model.layers.2.");
            let counts = !parameter.ends_with("e_score_correction_bias") && !still;
            assert!(!counts || *values != before[parameter], "{name}: {parameter} has learned");
        }
    }
}

#[test]
fn every_family_learns_by_adapters() {
    for name in FAMILIES {
        let base = testkit::fixture_path(&format!("model/{name}"));
        let recipe = lora::Config { r: 4, ..lora::Config::default() };
        let adapted =
            policy(&base).with_adapters(&recipe, &base, &mut Seed::new(1).rng()).expect("linear maps");
        let before = parameters(&adapted);
        let (after, log) = step(adapted);
        assert_one_policy(name, &log);
        for (parameter, values) in parameters(&after) {
            // A has no gradient while B is zero.
            let learned = parameter.contains(".lora_B");
            let may = parameter.contains(".lora_");
            assert!(!learned || values != before[&parameter], "{name}: {parameter} has learned");
            assert!(may || values == before[&parameter], "{name}: {parameter} is of the base");
        }
    }
}
