//! How much memory saving a checkpoint takes beside the state itself: next to nothing, though a state is three times as
//! large as its model. In a process of its own, as every file of tests is.
#![cfg(target_os = "linux")]

use ruminate_data::{Sample, Seed};
use ruminate_model::{Config, Decoder};
use ruminate_testkit as testkit;
use ruminate_train::checkpoint::{self, Companions};
use ruminate_train::{Observer, State, supervised};
use serde_json::json;
use std::fs;
use std::num::NonZeroUsize;

struct Silent;

impl Observer for Silent {}

#[test]
fn a_checkpoint_is_written_without_a_copy_of_the_state() {
    let mut keys = testkit::json::<serde_json::Value>("model/llama_untied/config.json");
    keys["intermediate_size"] = json!(20_000);
    keys["num_hidden_layers"] = json!(8);
    let config = Config::from_json(&keys).expect("a configuration");
    let policy = Decoder::init(&config, &mut Seed::new(0).rng(), &testkit::autodiff_device());
    let parameters = policy.parameter_count() as u64;
    let settings = supervised::Config { max_steps: 1, batch_size: 2, row_length: 16, ..Default::default() };
    let state = State::fresh(policy, &settings.train);
    let state = supervised::train(
        state,
        &mut |_| Ok(Sample::completion_only(&[39, 1], &[2, 3])),
        &settings,
        &mut Silent,
    )
    .expect("it trains");

    let run = tempfile::tempdir().expect("a folder");
    let companions = Companions { identity: &json!({}), files: &[] };
    let before = testkit::held();
    let folder = checkpoint::save(run.path(), &state, companions, NonZeroUsize::MIN).expect("saved");
    let grown = testkit::held() - before;

    let moments = fs::metadata(folder.join("optimizer.safetensors")).expect("it is there").len();
    assert!(moments >= 8 * parameters, "two floats a parameter, found {moments} bytes");
    assert!(grown < moments / 2, "{grown} bytes more while {moments} were written");
}
