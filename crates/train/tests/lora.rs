//! Training adapters: the base keeps every bit, the optimizer knows adapters only, and a run resumes bit by bit.

mod common;

use common::{decoder, parameters, train};
use ruminate_data::Seed;
use ruminate_model::{Decoder, load, lora, save};
use ruminate_testkit as testkit;
use ruminate_train::checkpoint::{self, Companions};
use ruminate_train::{Scheduler, State, supervised};
use serde_json::json;
use std::num::NonZeroUsize;
use std::path::Path;

fn config(max_steps: usize) -> supervised::Config {
    supervised::Config {
        max_steps,
        batch_size: 8,
        row_length: 16,
        gradient_accumulation_steps: 2,
        train: ruminate_train::Config {
            learning_rate: 2e-2,
            weight_decay: 0.01,
            lr_scheduler_type: Scheduler::Constant, // the same rates however long the run is
            workers: 2,
            ..ruminate_train::Config::default()
        },
        ..supervised::Config::default()
    }
}

/// Adapters on the weights of a model folder.
fn adapted(base: &Path) -> Decoder {
    let recipe = lora::Config { r: 4, lora_alpha: 8.0, ..lora::Config::default() };
    let decoder = load(base, &testkit::autodiff_device()).expect("it loads");
    decoder.with_adapters(&recipe, base, &mut Seed::new(1).rng()).expect("all linear maps")
}

fn run(state: State, max_steps: usize) -> (State, Vec<f64>) {
    train(state, &config(max_steps))
}

#[test]
fn adapters_learn_while_the_base_keeps_every_bit() {
    for fixture in ["deepseek_v3_mtp", "llama_tied", "qwen3_moe"] {
        let base = tempfile::tempdir().expect("a folder");
        save(&decoder(fixture, &testkit::device()), base.path()).expect("it saves");
        let policy = adapted(base.path());
        let before = parameters(&policy);
        let (state, losses) = run(State::fresh(policy, &config(1).train), 60);
        assert!(losses[59] < 0.75 * losses[0], "{fixture}: loss {} -> {}", losses[0], losses[59]);
        for (name, values) in parameters(&state.policy) {
            assert_eq!(values != before[&name], name.contains(".lora_"), "{fixture}: {name}");
        }
    }
}

#[test]
fn a_resumed_run_of_adapters_equals_an_uninterrupted_one_bit_by_bit() {
    for fixture in ["deepseek_v3_mtp", "qwen2"] {
        let (base, folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        save(&decoder(fixture, &testkit::device()), base.path()).expect("it saves");
        let fresh = || State::fresh(adapted(base.path()), &config(1).train);
        let (whole, heard) = run(fresh(), 6);

        let (half, before) = run(fresh(), 3);
        let companions = Companions { identity: &json!({}), files: &[] };
        let path = checkpoint::save(folder.path(), &half, companions, NonZeroUsize::MIN).expect("it saves");
        assert!(!path.join("model.safetensors").exists(), "the base is where it was");
        let saved = std::fs::read(path.join("optimizer.safetensors")).expect("it was written");
        let saved = safetensors::SafeTensors::deserialize(&saved).expect("valid");
        assert!(saved.names().iter().all(|name| name.contains(".lora_")), "{:?}", saved.names());

        let loaded = checkpoint::load(&path, &config(1).train, &testkit::device()).expect("it loads").state;
        assert_eq!(loaded.policy.adapters(), whole.policy.adapters());
        let (resumed, after) = run(loaded, 6);
        assert_eq!(parameters(&resumed.policy), parameters(&whole.policy), "{fixture}");
        assert_eq!([before, after].concat(), heard, "{fixture}");
    }
}
