//! AdamW with moments in 8 bits: it trains, its runs resume bit by bit, and no run goes on with moments of another form.

mod common;

use burn::tensor::Tensor;
use common::counting;
use ruminate_data::Seed;
use ruminate_model::{Config, Decoder, ParameterVisitor};
use ruminate_testkit as testkit;
use ruminate_train::checkpoint::{self, Companions};
use ruminate_train::{Error, Metrics, Observer, OptimizerState, Scheduler, State, supervised};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

#[derive(Default)]
struct Losses(Vec<f64>);

impl Observer for Losses {
    fn step(&mut self, _: usize, metrics: &Metrics) {
        self.0.extend(metrics.get("loss"));
    }
}

fn config(max_steps: usize, optimizer_state: OptimizerState) -> supervised::Config {
    supervised::Config {
        max_steps,
        batch_size: 8,
        row_length: 16,
        train: ruminate_train::Config {
            optimizer_state,
            learning_rate: 1e-2,
            weight_decay: 0.01,
            lr_scheduler_type: Scheduler::Constant, // the same rates however long the run is
            ..ruminate_train::Config::default()
        },
        ..supervised::Config::default()
    }
}

/// Its feed-forward matrices are large enough for 8 bits, and nothing else is.
fn fresh(state: OptimizerState) -> State {
    let mut keys = testkit::json::<serde_json::Value>("model/llama_untied/config.json");
    keys["intermediate_size"] = json!(260);
    let mut model = Config::from_json(&keys).expect("a configuration");
    model.initializer_range = 0.1;
    let policy = Decoder::init(&model, &mut Seed::new(7).rng(), &testkit::autodiff_device());
    State::fresh(policy, &config(1, state).train)
}

fn run(state: State, config: &supervised::Config) -> (State, Vec<f64>) {
    let mut losses = Losses::default();
    let state =
        supervised::train(state, &mut |index| Ok(counting(index)), config, &mut losses).expect("it trains");
    (state, losses.0)
}

fn parameters(decoder: &Decoder) -> BTreeMap<String, Vec<f32>> {
    #[derive(Default)]
    struct Collect(BTreeMap<String, Vec<f32>>);
    impl ParameterVisitor for Collect {
        fn visit<const D: usize>(&mut self, name: &str, tensor: &Tensor<D>, _: bool) {
            self.0.insert(name.to_owned(), testkit::floats(tensor.clone().detach()));
        }
    }
    let mut collect = Collect::default();
    decoder.visit_parameters(&mut collect);
    collect.0
}

fn saved(run: &Path, state: &State) -> PathBuf {
    let companions = Companions { identity: &json!({}), files: &[] };
    checkpoint::save(run, state, companions, NonZeroUsize::MIN).expect("it saves")
}

#[test]
fn it_learns_a_small_task_as_in_32_bits() {
    let [full, int8] = [OptimizerState::Float32, OptimizerState::Int8].map(|state| {
        let (_, losses) = run(fresh(state), &config(120, state));
        losses
    });
    assert_eq!(full[..2], int8[..2], "the first update is from moments of zero");
    assert_ne!(full[119], int8[119]);
    for losses in [&full, &int8] {
        assert!(losses[119] < losses[0] / 8.0, "loss {} -> {}", losses[0], losses[119]);
    }
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_bit_by_bit() {
    let config = |steps| config(steps, OptimizerState::Int8);
    let (whole, heard) = run(fresh(OptimizerState::Int8), &config(6));

    let folder = tempfile::tempdir().expect("a folder");
    let (half, before) = run(fresh(OptimizerState::Int8), &config(3));
    let path = saved(folder.path(), &half);
    let loaded = checkpoint::load(&path, &config(6).train, &testkit::device()).expect("it loads");
    let (resumed, after) = run(loaded.state, &config(6));
    assert_eq!(parameters(&resumed.policy), parameters(&whole.policy));
    assert_eq!([before, after].concat(), heard);

    // Their files are equal, too: codes, magnitudes and counts.
    let files = [&whole, &resumed].map(|state| {
        let folder = tempfile::tempdir().expect("a folder");
        fs::read(saved(folder.path(), state).join("optimizer.safetensors")).expect("written")
    });
    assert!(files[0] == files[1]);
    let file = safetensors::SafeTensors::deserialize(&files[0]).expect("valid");
    let dtype = |name: &str| file.tensor(name).expect("it is there").dtype();
    let matrix = "model.layers.0.mlp.up_proj.weight";
    assert_eq!(dtype(&format!("{matrix}.exp_avg")), safetensors::Dtype::U8);
    assert_eq!(dtype(&format!("{matrix}.exp_avg_sq_absmax")), safetensors::Dtype::F32);
    assert_eq!(dtype("model.embed_tokens.weight.exp_avg"), safetensors::Dtype::F32);
    assert!(!file.names().contains(&"model.embed_tokens.weight.exp_avg_absmax"));
}

#[test]
fn a_checkpoint_of_another_form_is_refused_by_name() {
    use OptimizerState::{Float32, Int8};
    for (saver, reader) in [(Float32, Int8), (Int8, Float32)] {
        let folder = tempfile::tempdir().expect("a folder");
        let (state, _) = run(fresh(saver), &config(1, saver));
        let path = saved(folder.path(), &state);
        let error =
            checkpoint::load(&path, &config(2, reader).train, &testkit::device()).expect_err("another");
        assert!(matches!(&error, Error::OtherOptimizerState { .. }), "{error}");
        let expected = format!("go on with `optimizer_state = \"{saver}\"`");
        assert!(error.to_string().contains(&expected), "{error}");
    }
}
