//! How a step is split so that it fits the memory that is free. The split changes no result of a dense model.

use super::reinforce::longest_prompt;
use super::{Fitting, Starts, whole};
use crate::machine;
use crate::policy;
use crate::recipe::layers::put;
use crate::recipe::load::checked;
use crate::recipe::{Model, Recipe};
use anyhow::Result;
use burn::tensor::Device;
use ruminate_data::{Seed, Stop};
use ruminate_grpo as grpo;
use ruminate_train::supervised;
use std::fs;
use toml::Value;

/// Share of the free memory that a plan may take: it is an estimate.
const SHARE: f64 = 0.8;

/// Sequences decoded at once, tokens of a microbatch, and whether blocks are computed again: from fast to small.
const SAMPLED: [(usize, usize, bool); 6] = [
    (64, 2048, false),
    (32, 2048, false),
    (32, 1024, false),
    (16, 1024, true),
    (8, 512, true),
    (4, 256, true),
];

/// Parts of a step's sequences, and whether blocks are computed again.
const SUPERVISED: [(usize, bool); 5] = [(1, false), (2, false), (4, false), (4, true), (16, true)];

/// What an earlier run in a folder decided by the memory that was free then: going on must not depend on it again.
const DECIDED: [&str; 5] = [
    "rollout.max_num_seqs",
    "grpo.micro_batch_tokens",
    "train.gradient_checkpointing",
    "sft.gradient_accumulation_steps",
    "sft.gradient_checkpointing",
];

/// Adds the settings that split a step.
///
/// # Errors
/// A recipe that cannot be planned.
pub(super) fn fit(fitting: &Fitting, starts: &mut Starts) -> Result<()> {
    let earlier = earlier(fitting);
    if !earlier.is_empty() {
        for (path, value) in earlier {
            starts.set(fitting.layers, path, value, "the earlier run in this folder had so");
        }
        return Ok(());
    }
    let room = machine::memory(fitting.asked.device).map(|memory| memory.bytes);
    match fitting.asked.command {
        "sft" => supervised(fitting, room, starts),
        "distill" => {
            starts.set(
                fitting.layers,
                "rollout.max_num_seqs",
                32,
                "caches of so many sequences take little memory",
            );
            supervised(fitting, room, starts)
        }
        "eval" => {
            starts.set(
                fitting.layers,
                "rollout.max_num_seqs",
                32,
                "caches of so many sequences take little memory",
            );
            Ok(())
        }
        _ => sampled(fitting, room, starts),
    }
}

fn sampled(fitting: &Fitting, room: Option<u64>, starts: &mut Starts) -> Result<()> {
    let prompt_tokens = longest_prompt(fitting);
    let mut chosen = SAMPLED[0];
    let mut need = 0;
    for candidate in SAMPLED {
        chosen = candidate;
        let (sequences, tokens, again) = candidate;
        let recipe = with(
            fitting,
            starts,
            &[
                ("rollout.max_num_seqs", whole(sequences)),
                ("grpo.micro_batch_tokens", whole(tokens)),
                ("train.gradient_checkpointing", again.into()),
            ],
        )?;
        need = rl_plan(fitting, &recipe, prompt_tokens)?;
        if room.is_none_or(|room| need as f64 <= SHARE * room as f64) {
            break;
        }
    }
    let (sequences, tokens, again) = chosen;
    let why = why(need, room);
    starts.set(fitting.layers, "rollout.max_num_seqs", whole(sequences), why.as_str());
    // The defaults need no word.
    if tokens != SAMPLED[0].1 {
        starts.set(fitting.layers, "grpo.micro_batch_tokens", whole(tokens), why.as_str());
    }
    if again {
        starts.set(fitting.layers, "train.gradient_checkpointing", true, why);
    }
    Ok(())
}

/// The peak of a run of GRPO, in bytes.
fn rl_plan(fitting: &Fitting, recipe: &Recipe, prompt_tokens: usize) -> Result<u64> {
    let setup = grpo::TrainerArgs {
        config: &recipe.grpo,
        alarms: &recipe.alarms,
        train: &recipe.train,
        sampling: recipe.rollout.sampling(),
        stop: &Stop::at(&fitting.renderer.end_ids),
        max_steps: recipe.max_steps,
        seed: Seed::new(recipe.seed),
    };
    let demand = grpo::Demand {
        trained: policy::trained(recipe.lora.as_ref(), fitting.config, &Device::flex())?,
        prompt_tokens,
        evaluated: recipe.eval.n * recipe.eval.num_samples,
    };
    Ok(grpo::memory_plan(fitting.config, demand, &recipe.rollout.engine(), &setup)?.memory.peak())
}

fn supervised(fitting: &Fitting, room: Option<u64>, starts: &mut Starts) -> Result<()> {
    let recipe = checked(&starts.table, &fitting.layers.origin)?;
    let learner = match (fitting.asked.command, &recipe.distill.student) {
        ("distill", Some(Model::Folder(folder))) => {
            ruminate_model::load_config(&crate::hub::folder(folder)?)?
        }
        ("distill", _) => return Ok(()),
        _ => fitting.config.clone(),
    };
    let mut chosen = SUPERVISED[0];
    let mut need = 0;
    for candidate in SUPERVISED {
        chosen = candidate;
        let (parts, again) = candidate;
        let recipe = with(
            fitting,
            starts,
            &[
                ("sft.gradient_accumulation_steps", whole(parts)),
                ("sft.gradient_checkpointing", again.into()),
            ],
        )?;
        let trained = policy::trained(recipe.lora.as_ref(), &learner, &Device::flex())?;
        need = supervised::memory_plan(&learner, trained, recipe.sft.row_length, &recipe.sft).peak();
        if room.is_none_or(|room| need as f64 <= SHARE * room as f64) {
            break;
        }
    }
    let (parts, again) = chosen;
    let why = why(need, room);
    if parts > 1 {
        starts.set(fitting.layers, "sft.gradient_accumulation_steps", whole(parts), why.as_str());
    }
    if again {
        starts.set(fitting.layers, "sft.gradient_checkpointing", true, why);
    }
    Ok(())
}

/// The recipe with values for keys that the user does not state.
fn with(fitting: &Fitting, starts: &Starts, values: &[(&str, Value)]) -> Result<Recipe> {
    let mut table = starts.table.clone();
    for (path, value) in values.iter().filter(|(path, _)| !fitting.layers.states(path)) {
        put(&mut table, path, value.clone());
    }
    checked(&table, &fitting.layers.origin)
}

fn why(need: u64, room: Option<u64>) -> String {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    match room {
        Some(room) => format!("that takes about {:.1} GiB, and {:.1} GiB are free", gib(need), gib(room)),
        None => format!("that takes about {:.1} GiB", gib(need)),
    }
}

/// What the run folder's `config.json` says of these keys, where the same command made it of the same model.
fn earlier(fitting: &Fitting) -> Vec<(&'static str, Value)> {
    let text = fs::read_to_string(fitting.asked.out.join("config.json")).unwrap_or_default();
    let Ok(config) = serde_json::from_str::<serde_json::Value>(&text) else { return Vec::new() };
    if config["command"] != fitting.asked.command {
        return Vec::new();
    }
    let value = |path: &str| {
        let value = config.pointer(&format!("/{}", path.replace('.', "/")))?;
        value.as_bool().map(Value::from).or_else(|| value.as_i64().map(Value::from))
    };
    DECIDED.iter().filter_map(|path| Some((*path, value(path)?))).collect()
}
