//! Optimizers by name and of one's own: they train every family of decoder, their runs resume bit
//! by bit, and no run goes on with the state of another one.

mod common;

use burn::tensor::Tensor;
use common::{decoder, parameters, train};
use ruminate_model::{Batch, Routes};
use ruminate_run::FolderWriter;
use ruminate_testkit as testkit;
use ruminate_train::checkpoint::{self, Companions};
use ruminate_train::{
    DecoderOptimizer, Error, Gradients, Optimizer, OptimizerName, ParameterKind, ParameterState,
    ParameterUpdate, RouterTraining, Scheduler, State, StepParams, supervised,
};
use serde_json::{Value, json};
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

fn config(max_steps: usize, optimizer: OptimizerName) -> supervised::Config {
    supervised::Config {
        max_steps,
        batch_size: 8,
        row_length: 16,
        train: ruminate_train::Config {
            optimizer,
            learning_rate: 1e-2,
            weight_decay: 0.01,
            lr_scheduler_type: Scheduler::Constant, // the same rates however long the run is
            ..ruminate_train::Config::default()
        },
        ..supervised::Config::default()
    }
}

fn fresh(fixture: &str, optimizer: OptimizerName) -> State {
    State::fresh(decoder(fixture, &testkit::autodiff_device()), &config(1, optimizer).train)
}

fn saved(run: &Path, state: &State) -> PathBuf {
    let companions = Companions { identity: &json!({}), files: &[] };
    checkpoint::save(run, state, companions, NonZeroUsize::MIN).expect("it saves")
}

#[test]
fn muon_learns_a_small_task_with_every_family_of_decoder() {
    for fixture in ["deepseek_v3_mtp", "llama_tied", "qwen3_moe"] {
        let (_, losses) = train(fresh(fixture, OptimizerName::Muon), &config(120, OptimizerName::Muon));
        let (first, last) = (losses[0], losses[losses.len() - 1]);
        assert!(last < first / 8.0, "{fixture}: loss {first} -> {last}");
    }
}

#[test]
fn a_resumed_run_of_muon_equals_an_uninterrupted_one_bit_by_bit() {
    for fixture in ["deepseek_v3_mtp", "qwen2"] {
        let config = |steps| config(steps, OptimizerName::Muon);
        let (whole, heard) = train(fresh(fixture, OptimizerName::Muon), &config(6));

        let folder = tempfile::tempdir().expect("a folder");
        let (half, before) = train(fresh(fixture, OptimizerName::Muon), &config(3));
        let path = saved(folder.path(), &half);
        let loaded = checkpoint::load(&path, &config(6).train, &testkit::device()).expect("it loads");
        let (resumed, after) = train(loaded.state, &config(6));
        assert_eq!(parameters(&resumed.policy), parameters(&whole.policy), "{fixture}");
        assert_eq!([before, after].concat(), heard, "{fixture}");
    }
}

#[test]
fn muon_keeps_one_buffer_of_each_matrix_and_adamws_two_of_the_rest() {
    let (state, _) = train(fresh("qwen3_moe", OptimizerName::Muon), &config(1, OptimizerName::Muon));
    let folder = tempfile::tempdir().expect("a folder");
    let file = fs::read(saved(folder.path(), &state).join("optimizer.safetensors")).expect("written");
    let file = safetensors::SafeTensors::deserialize(&file).expect("valid");
    let names = file.names();
    let has = |parameter: &str, buffer: &str| names.contains(&format!("{parameter}.{buffer}").as_str());
    for matrix in
        ["self_attn.q_proj.weight", "mlp.gate.weight", "mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    {
        let matrix = format!("model.layers.1.{matrix}");
        assert!(has(&matrix, "momentum_buffer") && !has(&matrix, "exp_avg_sq"), "{matrix}");
    }
    for other in ["model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"] {
        assert!(has(other, "exp_avg") && has(other, "exp_avg_sq"), "{other}");
        assert!(!has(other, "momentum_buffer"), "{other}");
    }
}

#[test]
fn a_checkpoint_of_another_optimizer_is_refused_by_name() {
    for (saver, reader) in [("adamw", OptimizerName::Muon), ("muon", OptimizerName::AdamW)] {
        let name: OptimizerName = serde_json::from_value(json!(saver)).expect("a name");
        let folder = tempfile::tempdir().expect("a folder");
        let path = saved(folder.path(), &fresh("llama_tied", name));
        let error =
            checkpoint::load(&path, &config(1, reader).train, &testkit::device()).expect_err("another");
        assert!(matches!(&error, Error::OtherOptimizer { .. }), "{error}");
        let expected = format!("of the optimizer `{saver}`");
        assert!(error.to_string().contains(&expected), "{error}");
        assert!(error.to_string().contains(&format!("`optimizer = \"{saver}\"`")), "{error}");
    }
}

/// A copy of a checkpoint as version 0.1 wrote it, which knew one optimizer.
fn as_of_version_0_1(checkpoint: &Path, target: &Path) {
    let writer = FolderWriter::create(target).expect("a folder");
    for name in ["config.json", "model.safetensors", "optimizer.safetensors"] {
        writer.write(name, &fs::read(checkpoint.join(name)).expect("written")).expect("it writes");
    }
    let text = fs::read(checkpoint.join("trainer_state.json")).expect("written");
    let mut state: Value = serde_json::from_slice(&text).expect("JSON");
    let keys = state.as_object_mut().expect("an object");
    for key in ["optimizer", "optimizer_state", "all_wrong_steps"] {
        keys.remove(key).unwrap_or_else(|| panic!("{key} is saved"));
    }
    keys.insert("extra".to_owned(), json!({}));
    let text = serde_json::to_vec(&state).expect("JSON");
    writer.write("trainer_state.json", &text).expect("it writes");
    writer.commit(json!({})).expect("it commits");
}

#[test]
fn a_checkpoint_of_version_0_1_goes_on_with_adamw() {
    let config = |steps| config(steps, OptimizerName::AdamW);
    let (whole, _) = train(fresh("llama_tied", OptimizerName::AdamW), &config(4));
    let (half, _) = train(fresh("llama_tied", OptimizerName::AdamW), &config(2));
    let (folder, old) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let target = old.path().join("step-000002");
    as_of_version_0_1(&saved(folder.path(), &half), &target);
    let loaded = checkpoint::load(&target, &config(4).train, &testkit::device()).expect("it loads").state;
    assert_eq!(loaded.optimizer.name(), "adamw");
    let (resumed, _) = train(loaded, &config(4));
    assert_eq!(parameters(&resumed.policy), parameters(&whole.policy));
}

/// The sign of the running mean of gradients (Bernstein et al. 2018, arXiv 1802.04434): a rule that
/// no recipe names.
#[derive(Clone, Copy, Debug)]
struct Signum;

impl Optimizer for Signum {
    fn name(&self) -> &'static str {
        "signum"
    }

    fn buffers(&self, _: ParameterKind) -> &'static [&'static str] {
        &["mean"]
    }

    fn update(&self, update: ParameterUpdate<'_>) -> (Tensor<1>, ParameterState) {
        let ParameterUpdate { value, gradient, clip, state, params, .. } = update;
        let [beta, _] = params.betas;
        let mean = state.buffers[0].clone().into_float32().mul_scalar(beta)
            + gradient.mul_scalar(clip * (1.0 - beta));
        let value = value - mean.clone().sign().mul_scalar(params.learning_rate);
        (value, ParameterState { buffers: vec![mean.into()], ..state })
    }
}

#[test]
fn a_rule_of_ones_own_trains_saves_and_resumes() {
    let mut config = config(40, OptimizerName::AdamW);
    config.train.learning_rate = 2e-3;
    let fresh = || State {
        optimizer: DecoderOptimizer::new(Box::new(Signum)),
        ..fresh("llama_tied", OptimizerName::AdamW)
    };
    let (whole, losses) = train(fresh(), &config);
    assert!(losses[39] < losses[0] / 2.0, "loss {} -> {}", losses[0], losses[39]);

    let folder = tempfile::tempdir().expect("a folder");
    let (half, _) = train(fresh(), &supervised::Config { max_steps: 20, ..config.clone() });
    let path = saved(folder.path(), &half);
    let refused = checkpoint::load(&path, &config.train, &testkit::device()).expect_err("no AdamW's");
    assert!(refused.to_string().contains("`signum`"), "{refused}");
    let loaded = checkpoint::load_with_optimizer(&path, Box::new(Signum), &testkit::device());
    let (resumed, _) = train(loaded.expect("it loads").state, &config);
    assert_eq!(parameters(&resumed.policy), parameters(&whole.policy));
}

#[test]
fn a_step_takes_settings_of_its_own() {
    for name in [OptimizerName::AdamW, OptimizerName::Muon] {
        let config = config(1, name).train;
        let moved = |params: StepParams| {
            let mut state = fresh("llama_tied", name);
            let batch = Batch::from_rows(&[vec![39_u32, 1, 2, 3]]);
            for _ in 0..2 {
                let mut gradients = Gradients::new(RouterTraining::Update);
                let loss = state.policy.forward(&batch, Routes::Choose).hidden.powi_scalar(4).sum();
                gradients.backward(&state.policy, loss);
                assert!(gradients.norm() > 2.0, "there is something to clip");
                let (policy, report) = state.optimizer.step(state.policy, gradients, params);
                assert!(report.grad_norm > 2.0);
                state.policy = policy;
            }
            parameters(&state.policy)
        };
        let params = config.step_params(1e-2);
        let of_config = moved(params);
        assert_eq!(moved(StepParams { learning_rate: 0.0, ..params }), {
            parameters(&fresh("llama_tied", name).policy)
        });
        let unclipped = moved(StepParams { max_grad_norm: 0.0, ..params });
        assert_eq!(unclipped, moved(StepParams { max_grad_norm: f64::INFINITY, ..params }));
        for (what, other) in [
            ("learning_rate", StepParams { learning_rate: 2e-2, ..params }),
            ("betas", StepParams { betas: [0.5, 0.9], ..params }),
            ("epsilon", StepParams { epsilon: 0.1, ..params }),
            ("weight_decay", StepParams { weight_decay: 0.5, ..params }),
            ("max_grad_norm", StepParams { max_grad_norm: 1e-6, ..params }),
        ] {
            assert_ne!(moved(other), of_config, "{name:?}: {what}");
        }
    }
}
