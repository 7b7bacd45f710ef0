//! The supervised trainer on tiny decoders: it learns, it resumes, it balances, and how a step is cut into
//! microbatches and rows changes nothing.

mod common;

use burn::module::Module;
use burn::tensor::Tensor;
use common::{counting, decoder, parameters};
use ruminate_data::Sample;
use ruminate_model::{Decoder, ParameterMapper, Routes};
use ruminate_testkit as testkit;
use ruminate_train::checkpoint::{self, Companions};
use ruminate_train::packing::{Sequence, one_a_row};
use ruminate_train::{Error, ExpertLoad, Metrics, Observer, RouterTraining, Scheduler, State, supervised};
use serde_json::json;
use std::num::NonZeroUsize;

/// Keeps what it hears.
#[derive(Default)]
struct Record {
    metrics: Vec<Metrics>,
    evaluated: Vec<usize>,
    warnings: Vec<String>,
}

impl Observer for Record {
    fn step(&mut self, _: usize, metrics: &Metrics) {
        self.metrics.push(metrics.clone());
    }

    fn evaluate(&mut self, step: usize, policy: &Decoder) {
        assert!(!policy.device().is_autodiff(), "evaluation tracks nothing");
        self.evaluated.push(step);
    }

    fn warn(&mut self, message: &str) {
        self.warnings.push(message.to_owned());
    }
}

impl Record {
    fn values(&self, name: &str) -> Vec<f64> {
        self.metrics.iter().map(|metrics| metrics.get(name).unwrap_or_else(|| panic!("no {name}"))).collect()
    }
}

fn config(max_steps: usize) -> supervised::Config {
    supervised::Config {
        max_steps,
        batch_size: 8,
        row_length: 16,
        train: ruminate_train::Config {
            learning_rate: 1e-2,
            warmup_steps: 2,
            weight_decay: 0.01,
            lr_scheduler_type: Scheduler::Constant, // the same rates however long the run is
            ..ruminate_train::Config::default()
        },
        ..supervised::Config::default()
    }
}

fn run(fixture: &str, config: &supervised::Config) -> (State, Record) {
    let state = State::fresh(decoder(fixture, &testkit::autodiff_device()), &config.train);
    let mut record = Record::default();
    let state =
        supervised::train(state, &mut |index| Ok(counting(index)), config, &mut record).expect("it trains");
    (state, record)
}

#[test]
fn epochs_decide_the_steps_where_they_are_given() {
    let steps = |num_train_epochs, samples| {
        let config = supervised::Config { num_train_epochs, ..config(7) };
        config.for_samples(samples).max_steps
    };
    // Eight samples a step.
    assert_eq!([steps(0.0, 100), steps(1.0, 16), steps(2.0, 16), steps(0.5, 16)], [7, 2, 4, 1]);
    assert_eq!([steps(1.0, 17), steps(3.0, 1), steps(0.1, 240)], [3, 1, 3]);
    let refused = supervised::Config { num_train_epochs: -1.0, ..config(7) }.validate();
    assert!(refused.is_err_and(|error| error.to_string().contains("num_train_epochs")));
}

#[test]
fn every_family_of_decoder_learns_a_small_task() {
    for fixture in ["deepseek_v3_mtp", "deepseek_v3_full", "llama_tied", "qwen3_moe"] {
        let (_, record) = run(fixture, &config(120));
        let loss = record.values("loss");
        let (first, last) = (loss[0], loss[loss.len() - 1]);
        assert!(last < first / 8.0, "{fixture}: loss {first} -> {last}");
    }
}

#[test]
fn splitting_a_step_into_microbatches_changes_nothing() {
    let whole = config(3);
    let split = supervised::Config { gradient_accumulation_steps: 3, ..whole.clone() };
    for fixture in ["deepseek_v3_mtp", "llama_untied"] {
        let (a, whole) = run(fixture, &whole);
        let (b, split) = run(fixture, &split);
        for name in ["loss", "grad_norm"] {
            for (a, b) in whole.values(name).iter().zip(split.values(name)) {
                assert!((a - b).abs() < 1e-4 * a.abs().max(1.0), "{fixture} {name}: {a} and {b}");
            }
        }
        assert_eq!(a.num_tokens, b.num_tokens);
    }
}

#[test]
fn several_workers_give_the_bits_of_one() {
    let alone = supervised::Config { gradient_accumulation_steps: 4, ..config(4) };
    let mut together = alone.clone();
    together.train.workers = 3;
    let (a, heard_alone) = run("deepseek_v3_mtp", &alone);
    let (b, heard_together) = run("deepseek_v3_mtp", &together);
    assert_eq!(parameters(&a.policy), parameters(&b.policy));
    let rows = |record: &Record| record.metrics.iter().map(without_times).collect::<Vec<_>>();
    assert_eq!(rows(&heard_alone), rows(&heard_together));
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_bit_by_bit() {
    for fixture in ["deepseek_v3_mtp", "qwen2"] {
        let config = config(6);
        let (whole, heard) = run(fixture, &config);

        let folder = tempfile::tempdir().expect("a temporary folder");
        let keep = NonZeroUsize::MIN;
        let (half, before) = run(fixture, &supervised::Config { max_steps: 3, ..config.clone() });
        let companions = Companions { identity: &json!({ "seed": 7 }), files: &[] };
        let path = checkpoint::save(folder.path(), &half, companions, keep).expect("it saves");
        let loaded = checkpoint::load(&path, &config.train, &testkit::device()).expect("it loads");
        let differences = checkpoint::differences(&loaded.identity, &json!({ "seed": 8 }));
        assert_eq!(differences.iter().map(ToString::to_string).collect::<Vec<_>>(), ["seed: 7, now 8"]);
        let saved = checkpoint::saved(&path).expect("it says whose it is");
        assert_eq!((saved.step, saved.identity), (3, loaded.identity.clone()));

        let mut after = Record::default();
        let resumed = supervised::train(loaded.state, &mut |index| Ok(counting(index)), &config, &mut after)
            .expect("it trains");
        assert_eq!(parameters(&resumed.policy), parameters(&whole.policy), "{fixture}");
        let rows = |records: &[&Record]| -> Vec<String> {
            records.iter().flat_map(|record| &record.metrics).map(without_times).collect()
        };
        assert_eq!(rows(&[&before, &after]), rows(&[&heard]), "{fixture}");
        assert_eq!((resumed.cursor, resumed.num_tokens), (whole.cursor, whole.num_tokens));
        assert_eq!(after.evaluated, [6], "a resumed run is not evaluated before its first step");
    }
}

/// A row of the metrics file without wall-clock values.
fn without_times(metrics: &Metrics) -> String {
    let mut kept = Metrics::default();
    for (name, value) in metrics.iter().filter(|(name, _)| !name.ends_with("_time_s")) {
        kept.set(name, value);
    }
    serde_json::to_string(&kept.row(0)).expect("numbers serialise")
}

#[test]
fn other_models_and_files_travel_with_a_checkpoint_and_old_ones_go() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut state = State::fresh(decoder("llama_tied", &testkit::autodiff_device()), &config(1).train);
    state.models.insert("reference".to_owned(), decoder("qwen3", &testkit::device()));
    let companions = Companions { identity: &json!({}), files: &[("tokenizer.json", b"{}")] };
    for step in [1, 2, 3] {
        state.step = step;
        let keep = NonZeroUsize::new(2).expect("not zero");
        checkpoint::save(folder.path(), &state, companions, keep).expect("it saves");
    }
    let kept = ruminate_run::checkpoints::list(folder.path()).expect("it lists");
    assert_eq!(kept.iter().map(|checkpoint| checkpoint.step).collect::<Vec<_>>(), [2, 3]);
    assert!(kept[1].path.join("tokenizer.json").is_file());

    let loaded =
        checkpoint::load(&kept[1].path, &config(1).train, &testkit::device()).expect("it loads").state;
    assert_eq!(parameters(&loaded.models["reference"]), parameters(&state.models["reference"]));
    assert!(loaded.policy.device().is_autodiff() && !loaded.models["reference"].device().is_autodiff());
}

#[test]
fn a_flipped_bit_in_a_checkpoint_is_refused_by_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let state = State::fresh(decoder("llama_tied", &testkit::autodiff_device()), &config(1).train);
    let companions = Companions { identity: &json!({}), files: &[] };
    let path = checkpoint::save(folder.path(), &state, companions, NonZeroUsize::MIN).expect("it saves");
    let file = path.join("optimizer.safetensors");
    let mut bytes = std::fs::read(&file).expect("it was written");
    bytes[3] ^= 1;
    std::fs::write(&file, bytes).expect("it is ours");
    let error = checkpoint::load(&path, &config(1).train, &testkit::device()).expect_err("it is broken");
    assert!(error.to_string().contains("optimizer.safetensors has changed"), "{error}");
}

#[test]
fn every_expert_is_used_after_balancing_a_collapsed_router() {
    let mut config = config(60);
    config.train.router_bias_update_rate = 0.05;
    let mut state = State::fresh(decoder("deepseek_v3_mtp", &testkit::autodiff_device()), &config.train);
    // Experts 0 and 1 get everything: their bias is beyond the scores, which lie in 0..1.
    state.policy = state.policy.with_balanced_routers(&[vec![0, 0, 1_000, 1_000]], 0.9, 0.9);
    let load = |state: &State| {
        let samples: Vec<Sample> = (0..32).map(counting).collect();
        let sequences: Vec<Sequence> = samples.iter().map(Sequence::from).collect();
        let batch = one_a_row(&sequences).batch;
        let mut load = ExpertLoad::default();
        load.add(&state.policy.valid().forward(&batch, Routes::Choose).routing, &batch);
        load.layers.concat()
    };
    let before = load(&state);
    assert_eq!(before[2..], [0, 0], "two of four experts are dead at first");
    let state =
        supervised::train(state, &mut |index| Ok(counting(index)), &config, &mut ()).expect("it trains");
    let after = load(&state);
    let mean = after.iter().sum::<u64>() / 4;
    assert!(after.iter().all(|&tokens| tokens > mean / 4), "{before:?} -> {after:?}");
}

#[test]
fn a_frozen_router_keeps_its_weights_and_biases() {
    let mut config = config(2);
    config.train.router = RouterTraining::Freeze;
    config.train.warmup_steps = 0;
    let before = parameters(&decoder("deepseek_v3_mtp", &testkit::device()));
    let after = parameters(&run("deepseek_v3_mtp", &config).0.policy);
    for (name, values) in &before {
        let frozen = name.contains(".mlp.gate.");
        assert_eq!(*values == after[name], frozen, "{name}");
    }
}

#[test]
fn balance_moves_the_biases_of_all_routers_the_second_predictions_too() {
    let before = parameters(&decoder("deepseek_v3_mtp", &testkit::device()));
    let after = parameters(&run("deepseek_v3_mtp", &config(1)).0.policy);
    let biases: Vec<&String> =
        before.keys().filter(|name| name.ends_with("e_score_correction_bias")).collect();
    assert!(biases.len() >= 2, "the trunk's and the module's: {biases:?}");
    for name in biases {
        assert_ne!(before[name], after[name], "{name}");
    }
}

/// Makes every output infinite.
struct Spoil;

impl ParameterMapper for Spoil {
    fn map<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Tensor<D> {
        if name == "model.norm.weight" { tensor.mul_scalar(f32::INFINITY) } else { tensor }
    }
}

#[test]
fn a_step_that_is_not_finite_changes_nothing_and_too_many_stop() {
    let mut config = config(5);
    config.train.max_skipped_steps = 2;
    config.train.router = RouterTraining::Freeze;
    let mut state = State::fresh(decoder("llama_tied", &testkit::autodiff_device()), &config.train);
    state.policy = state.policy.map_parameters(&mut Spoil);
    let mut record = Record::default();
    let error = supervised::train(state, &mut |index| Ok(counting(index)), &config, &mut record)
        .expect_err("it never recovers");
    assert!(matches!(error, Error::NonFinite { step: 3, skipped: 3, allowed: 2, .. }), "{error}");
    assert_eq!(record.warnings.len(), 3);
    assert!(record.warnings[1].contains("samples 8..16"), "{}", record.warnings[1]);
}

#[test]
fn samples_without_loss_are_an_error_not_a_step() {
    let config = config(5);
    let state = State::fresh(decoder("llama_tied", &testkit::autodiff_device()), &config.train);
    let mut source = |_| Ok(Sample::completion_only(&[1, 2, 3], &[]));
    let error = supervised::train(state, &mut source, &config, &mut ()).expect_err("nothing to learn");
    assert!(matches!(error, Error::NothingToLearn { step: 1, .. }), "{error}");
}

#[test]
fn a_sample_that_cannot_be_had_ends_the_run_with_its_index() {
    let config = config(5);
    let state = State::fresh(decoder("llama_tied", &testkit::autodiff_device()), &config.train);
    let mut source = |index| if index < 9 { Ok(counting(index)) } else { Err("the file is gone".into()) };
    let mut record = Record::default();
    let error = supervised::train(state, &mut source, &config, &mut record).expect_err("no sample");
    assert!(matches!(error, Error::Sample { index: 9, .. }), "{error}");
    assert!(error.to_string().contains("the file is gone"), "{error}");
}

#[test]
fn recipes_are_one_flat_table_and_unknown_keys_are_refused() {
    let good =
        json!({ "max_steps": 7, "learning_rate": 1, "router": "freeze", "lr_scheduler_type": "linear" });
    let config: supervised::Config = serde_json::from_value(good).expect("known keys");
    assert_eq!((config.max_steps, config.train.learning_rate), (7, 1.0));
    for bad in [json!({ "learning_rat": 1.0 }), json!({ "train": { "learning_rate": 1.0 } })] {
        let error = serde_json::from_value::<supervised::Config>(bad).expect_err("unknown");
        assert!(error.to_string().contains("unknown field"), "{error}");
    }
    let resolved = serde_json::to_value(supervised::Config::default()).expect("it serialises");
    assert_eq!(resolved["adam_beta2"], 0.999);
    assert_eq!(
        serde_json::from_value::<supervised::Config>(resolved).expect("round"),
        supervised::Config::default()
    );
}

#[test]
fn the_loss_of_validation_samples_is_the_mean_over_their_tokens_however_they_are_split() {
    for fixture in ["deepseek_v3_mtp", "llama_tied"] {
        let policy = decoder(fixture, &testkit::device());
        // Of lengths that differ, so that a mean of means would be another number.
        let samples: Vec<Sample> = (0..11)
            .map(|i| Sample::completion_only(&[3, 5], &(0..=i % 4).map(|at| at + 7).collect::<Vec<u32>>()))
            .collect();
        let pairs: Vec<(&[u32], &[u32])> = samples.iter().map(|sample| sample.ids.split_at(2)).collect();
        let logprobs = ruminate_train::logprobs::score(&policy, &pairs, 1.0, 4).expect("scored");
        let all: Vec<f64> = logprobs.into_iter().flatten().map(f64::from).collect();
        let expected = -all.iter().sum::<f64>() / all.len() as f64;
        for (batch_size, gradient_accumulation_steps) in [(8, 1), (8, 3), (1, 1)] {
            let config = supervised::Config { batch_size, gradient_accumulation_steps, ..config(1) };
            let validation = supervised::validation_loss(&policy, &samples, &config).expect("it fits");
            let validation = validation.expect("tokens with loss");
            assert_eq!(validation.tokens, all.len());
            assert!(
                (validation.loss - expected).abs() < 1e-5,
                "{fixture}: {} and {expected}",
                validation.loss
            );
        }
        let nothing = Sample { ids: vec![3, 5], loss_mask: vec![false, false] };
        assert_eq!(supervised::validation_loss(&policy, &[nothing], &config(1)).expect("it fits"), None);
    }
}
