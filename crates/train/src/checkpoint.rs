//! A [`State`] as a folder of a run, and back bit by bit. The folder is itself a model folder of the policy, so
//! that any command can load it. Atomicity and hashes are `run`'s.
//!
//! ```text
//! checkpoints/step-000100/
//!   config.json model.safetensors ...   the policy; of one with adapters, the adapters alone:
//!   adapter_config.json ...             in PEFT's layout, naming the folder of the base
//!   optimizer.safetensors               the optimizer's state by parameter name
//!   trainer_state.json                  step, data cursor, identity, the optimizer's name, ...
//!   ahead.jsonl                         groups that were sampled for later steps, where there are any
//!   reference/config.json ...           other models of the run, each in its folder
//!   manifest.json                       hashes, written last
//! ```

use crate::ahead;
use crate::config::Config;
use crate::optim::{self, AdamW, DecoderOptimizer, Optimizer, OptimizerState};
use crate::{EntropyControl, Error, State};
use burn::tensor::{Device, Tensor};
use ruminate_data::Pools;
use ruminate_model::{Decoder, ParameterVisitor};
use ruminate_run::{FolderWriter, checkpoints, verify};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

const OPTIMIZER: &str = "optimizer.safetensors";
const TRAINER_STATE: &str = "trainer_state.json";
const AHEAD: &str = "ahead.jsonl";

/// What a checkpoint holds beside the state.
#[derive(Clone, Copy, Debug)]
pub struct Companions<'a> {
    /// What a run must not change between two of its steps (architecture, seed, data), as a JSON object.
    pub identity: &'a Value,
    /// Further files by name, such as the tokenizer's.
    pub files: &'a [(&'a str, &'a [u8])],
}

/// A loaded checkpoint.
#[derive(Debug)]
pub struct Loaded {
    /// The run as it was.
    pub state: State,
    /// What [`Companions::identity`] was.
    pub identity: Value,
}

/// What a checkpoint says of its run.
#[derive(Clone, Debug)]
pub struct Saved {
    /// Steps that were done.
    pub step: usize,
    /// What [`Companions::identity`] was.
    pub identity: Value,
}

/// A key by which two runs differ. Displayed as `seed: 0, now 1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The path of keys, joined by dots.
    pub key: String,
    /// The checkpoint's value.
    pub saved: Value,
    /// This run's.
    pub now: Value,
}

/// `trainer_state.json`
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrainerState {
    step: usize,
    cursor: u64,
    num_tokens: u64,
    skipped_in_a_row: usize,
    /// Checkpoints of version 0.1 have none.
    #[serde(default = "adamw")]
    optimizer: String,
    /// Checkpoints from before there was a choice have none.
    #[serde(default)]
    optimizer_state: OptimizerState,
    models: Vec<String>,
    identity: Value,
    /// Checkpoints of version 0.1 have none.
    #[serde(default)]
    all_wrong_steps: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entropy_control: Option<EntropyControl>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pools: Option<Pools>,
    /// Of version 0.1, which put nothing into it.
    #[serde(default, rename = "extra", skip_serializing)]
    _extra: IgnoredAny,
}

fn adamw() -> String {
    AdamW.name().to_owned()
}

/// Saves `state` as the checkpoint of its step in a run folder, which is there, then deletes all but the `keep_last`
/// newest that verify. Returns where it lies.
///
/// # Errors
/// [`Error::Run`] or [`Error::Save`] when something cannot be written; older checkpoints are then intact.
pub fn save(
    run: &Path,
    state: &State,
    companions: Companions,
    keep_last: NonZeroUsize,
) -> Result<PathBuf, Error> {
    let writer = checkpoints::create(run, state.step as u64)?;
    for (name, bytes) in companions.files {
        writer.write(name, bytes)?;
    }
    save_model(&writer, "", &state.policy)?;
    for (name, model) in &state.models {
        save_model(&writer, &format!("{name}/"), model)?;
    }
    let path = writer.path(OPTIMIZER)?;
    let DecoderOptimizer { rule, state: kept, skipped } = &state.optimizer;
    optim::state::write(kept, &shapes(&state.policy), rule.as_ref(), &path)
        .map_err(|source| ruminate_run::Error::Disk { action: "write", path, source })?;
    let trainer_state = TrainerState {
        step: state.step,
        cursor: state.cursor,
        num_tokens: state.num_tokens,
        skipped_in_a_row: *skipped,
        optimizer: rule.name().to_owned(),
        optimizer_state: rule.state(),
        models: state.models.keys().cloned().collect(),
        identity: companions.identity.clone(),
        all_wrong_steps: state.all_wrong_steps,
        entropy_control: state.entropy_control,
        pools: state.pools.clone(),
        _extra: IgnoredAny,
    };
    let text = serde_json::to_vec_pretty(&trainer_state).expect("keys are strings");
    writer.write(TRAINER_STATE, &text)?;
    if !state.ahead.is_empty() {
        writer.write(AHEAD, &ahead::to_bytes(&state.ahead))?;
    }
    writer.commit(json!({ "step": state.step }))?;
    checkpoints::retain(run, keep_last)?;
    Ok(checkpoints::path(run, state.step as u64))
}

/// Loads a checkpoint: the policy with gradients, everything else without.
///
/// `config` is the run's: the optimizer goes on with its settings, and all models compute in its dtype. `device` is the one without autodiff.
///
/// # Errors
/// [`Error::Run`] names a file that is missing, cut or changed; [`Error::Load`] and
/// [`Error::Malformed`] one that is whole and makes no sense. [`Error::OtherOptimizer`] where it is
/// of another optimizer than the run, [`Error::OtherOptimizerState`] where its state is held in
/// another form.
pub fn load(folder: &Path, config: &Config, device: &Device) -> Result<Loaded, Error> {
    let mut loaded = load_with_optimizer(folder, config.new_optimizer(), device)?;
    let State { policy, models, .. } = loaded.state;
    let models = models.into_iter().map(|(name, model)| (name, config.computing(model))).collect();
    loaded.state = State { policy: config.computing(policy), models, ..loaded.state };
    Ok(loaded)
}

/// The same for a rule that no recipe names.
///
/// # Errors
/// As [`load`].
pub fn load_with_optimizer(
    folder: &Path,
    rule: Box<dyn Optimizer>,
    device: &Device,
) -> Result<Loaded, Error> {
    verify(folder)?;
    let path = folder.join(TRAINER_STATE);
    let saved: TrainerState =
        serde_json::from_slice(&read(&path)?).map_err(|error| malformed(&path, error.to_string()))?;
    if saved.optimizer != rule.name() {
        let checkpoint = folder.to_owned();
        return Err(Error::OtherOptimizer { checkpoint, saved: saved.optimizer, now: rule.name() });
    }
    if saved.optimizer_state != rule.state() {
        let checkpoint = folder.to_owned();
        return Err(Error::OtherOptimizerState {
            checkpoint,
            saved: saved.optimizer_state,
            now: rule.state(),
        });
    }
    if let Some(name) = saved.models.iter().find(|name| name.is_empty() || name.contains(['/', '\\', '.'])) {
        return Err(malformed(&path, format!("model {name:?} is not the name of a folder")));
    }
    let policy = ruminate_model::load(folder, &device.clone().autodiff())?;
    let mut models = BTreeMap::new();
    for name in saved.models {
        models.insert(name.clone(), ruminate_model::load(&folder.join(&name), device)?);
    }
    let path = folder.join(OPTIMIZER);
    let kept = optim::state::from_bytes(&read(&path)?, &shapes(&policy), rule.as_ref(), device)
        .map_err(|reason| malformed(&path, reason))?;
    let optimizer = DecoderOptimizer { rule, state: kept, skipped: saved.skipped_in_a_row };
    let path = folder.join(AHEAD);
    let ahead = if path.exists() {
        let vocab_size = policy.config().vocab_size;
        ahead::from_bytes(&read(&path)?, vocab_size).map_err(|reason| malformed(&path, reason))?
    } else {
        Vec::new()
    };
    let TrainerState { step, cursor, num_tokens, identity, all_wrong_steps, entropy_control, pools, .. } =
        saved;
    let state = State {
        policy,
        optimizer,
        step,
        cursor,
        num_tokens,
        models,
        unscored_steps: 0,
        all_wrong_steps,
        entropy_control,
        pools,
        ahead,
    };
    Ok(Loaded { state, identity })
}

/// Reads what a checkpoint says of its run, without its models: whose it is can be asked before anything is loaded.
///
/// # Errors
/// [`Error::Malformed`] where `trainer_state.json` is missing or does not parse.
pub fn saved(folder: &Path) -> Result<Saved, Error> {
    let path = folder.join(TRAINER_STATE);
    let TrainerState { step, identity, .. } =
        serde_json::from_slice(&read(&path)?).map_err(|error| malformed(&path, error.to_string()))?;
    Ok(Saved { step, identity })
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, now {}", self.key, self.saved, self.now)
    }
}

/// The differences of two identities, one per key, in the order of their keys. A key that one side lacks is null there.
pub fn differences(saved: &Value, now: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(String::new(), saved, now, &mut found);
    found
}

fn compare(key: String, saved: &Value, now: &Value, found: &mut Vec<Difference>) {
    if saved == now {
        return;
    }
    let (Value::Object(before), Value::Object(after)) = (saved, now) else {
        found.push(Difference { key, saved: saved.clone(), now: now.clone() });
        return;
    };
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
        compare(
            key,
            before.get(name).unwrap_or(&Value::Null),
            after.get(name).unwrap_or(&Value::Null),
            found,
        );
    }
}

fn save_model(writer: &FolderWriter, prefix: &str, model: &Decoder) -> Result<(), Error> {
    let file = writer.path(&format!("{prefix}config.json"))?;
    let folder = file.parent().expect("a file of the writer lies in a folder");
    ruminate_model::save(model, folder)?;
    Ok(())
}

fn shapes(decoder: &Decoder) -> BTreeMap<String, Vec<usize>> {
    struct Shapes(BTreeMap<String, Vec<usize>>);
    impl ParameterVisitor for Shapes {
        fn visit<const D: usize>(&mut self, name: &str, tensor: &Tensor<D>, _: bool) {
            self.0.insert(name.to_owned(), tensor.dims().to_vec());
        }
    }
    let mut shapes = Shapes(BTreeMap::new());
    decoder.visit_parameters(&mut shapes);
    shapes.0
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| malformed(path, format!("cannot be read: {error}")))
}

fn malformed(path: &Path, reason: String) -> Error {
    Error::Malformed { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::differences;
    use serde_json::json;

    #[test]
    fn differences_name_the_path_and_both_values() {
        let before = json!({ "seed": 0, "model": { "hidden_size": 96, "layers": 3 }, "data": "a" });
        let now = json!({ "seed": 1, "model": { "hidden_size": 64, "layers": 3 }, "data": "a", "new": true });
        let expected = ["model.hidden_size: 96, now 64", "new: null, now true", "seed: 0, now 1"];
        let told: Vec<String> = differences(&before, &now).iter().map(ToString::to_string).collect();
        assert_eq!(told, expected);
        assert!(differences(&before, &before).is_empty());
    }
}
