//! Whether a run may go on from a checkpoint: what differs between the run that saved it and this one, which of it no weight
//! depends on, and which of it `--allow-changed` may change.

use super::{INPUTS, ORIGINS, at, extension, of_folder, take};
use crate::error::Refusal;
use crate::recipe::Recipe;
use crate::recipe::keys::only_read;
use anyhow::Result;
use ruminate_model::lora;
use ruminate_train::checkpoint::{self, Difference};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// What a difference means to a run that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// No weight depends on it.
    Free,
    /// The run becomes another one, which can still be trained.
    Allowed,
    /// The checkpoint is of no use to the run.
    Fixed,
}

/// Keys on which no weight depends. `*` is any table.
const FREE: [&str; 13] = [
    "eval",
    "alarms",
    "save",
    "*.save_steps",
    "*.save_total_limit",
    "*.eval_steps",
    "distill.remote_key_env",
    "distill.remote_concurrency",
    "distill.remote_timeout_ms",
    "distill.remote_max_retries",
    "distill.remote_backoff_ms",
    "rollout.kv_cache_memory_gib",
    "rollout.max_num_batched_tokens",
];

/// What `--allow-changed` may change. A key that is in neither list is fixed.
const ALLOWED: [&str; 45] = [
    "max_steps",
    "num_train_epochs",
    "*.max_steps",
    "*.num_train_epochs",
    "*.learning_rate",
    "*.lr_scheduler_type",
    "*.lr_scheduler_min_ratio",
    "*.warmup_steps",
    "*.weight_decay",
    "*.max_grad_norm",
    "*.adam_beta1",
    "*.adam_beta2",
    "*.adam_epsilon",
    "*.muon",
    "*.max_skipped_steps",
    "*.router_bias_update_rate",
    "*.router_bias_bound",
    "*.router_balance_alpha",
    "*.mtp_loss_weight",
    "*.row_length",
    "*.batch_size",
    "*.gradient_accumulation_steps",
    "*.gradient_checkpointing",
    "rollout",
    "grpo.num_generations",
    "grpo.prompts_per_step",
    "grpo.filter_groups",
    "grpo.max_num_gen_batches",
    "grpo.pools",
    "grpo.num_minibatches",
    "grpo.num_iterations",
    "grpo.micro_batch_size",
    "grpo.micro_batch_tokens",
    "grpo.epsilon",
    "grpo.epsilon_high",
    "grpo.delta",
    "grpo.mask_truncated_completions",
    "grpo.max_mismatch_kl",
    "grpo.router_replay",
    "reward",
    "data",
    VALIDATION_SHARE,
    "distill.max_mismatch_kl",
    "inputs.data",
    "inputs.distill.decontaminate",
];

/// The share of a file that is held out of training.
pub(super) const VALIDATION_SHARE: &str = "validation_share";

/// How the base of a student is pretrained; a checkpoint of version 0.1.0 does not say.
pub(super) const STUDENT_BASE: &str = "student_base";

/// The list for people.
const MAY_CHANGE: &str =
    "learning rates and their schedule, lengths, batch sizes, more steps, rewards, and data";

/// Differences that a refusal of a completed run names.
const SAID: usize = 5;

/// Checks that a checkpoint is of no later step than `steps`, the run's last.
///
/// # Errors
/// With exit code 2 where it is.
pub(crate) fn check_steps(checkpoint: &Path, identity: &Value, steps: usize) -> Result<()> {
    // Loading reports what is wrong with one that cannot be read.
    let Ok(saved) = checkpoint::saved(checkpoint) else { return Ok(()) };
    if saved.step > steps {
        return Err(Refusal::usage(format!(
            "`{}` is {steps}, and {} is of step {}: expected at least as many steps; start over with another --out",
            steps_key(identity["stage"].as_str().unwrap_or_default()),
            checkpoint.display(),
            saved.step
        )));
    }
    Ok(())
}

/// Checks that the run of `identity` may go on from a checkpoint, and prints what differs. Returns whether it becomes another
/// run by that.
///
/// # Errors
/// With exit code 2: another run, or, with `allow_changed`, one that the checkpoint is of no use to.
pub(crate) fn check(checkpoint: &Path, identity: &Value, allow_changed: bool) -> Result<bool> {
    // Loading reports what is wrong with one that cannot be read.
    let Ok(saved) = checkpoint::saved(checkpoint) else { return Ok(false) };
    let Compared { differences, unknown } = compare(&saved.identity, identity)?;
    for (key, path) in unknown {
        notice!(
            "warning: the checkpoint is of a version that did not record what `{key}` held ({path}): it is taken as unchanged"
        );
    }
    let differences = extension::without_length(&saved, identity, differences);
    let of = |rule| differences.iter().filter(move |difference| rule_of(&difference.key) == rule);
    for difference in of(Rule::Free) {
        notice!("changed since the checkpoint, where no weight depends on it: {}", told(difference));
    }
    let list = |rule| of(rule).map(told).collect::<Vec<_>>().join("; ");
    let (allowed, fixed) = (list(Rule::Allowed), list(Rule::Fixed));
    match (allow_changed, allowed.is_empty(), fixed.is_empty()) {
        (_, true, true) => {}
        (true, _, true) => {
            for difference in of(Rule::Allowed) {
                notice!("warning: changed since the checkpoint: {}", told(difference));
            }
        }
        (true, _, false) => {
            return Err(Refusal::usage(format!(
                "--allow-changed cannot change this: {fixed}. It may change {MAY_CHANGE}; for anything else start over with \
                 another --out"
            )));
        }
        (false, _, false) => {
            let separator = if allowed.is_empty() { "" } else { "; " };
            return Err(Refusal::usage(format!(
                "the checkpoint belongs to another run: {fixed}{separator}{allowed}; start over with another --out"
            )));
        }
        (false, false, true) => {
            return Err(Refusal::usage(format!(
                "the checkpoint belongs to another run: {allowed}; start over with another --out, or pass --allow-changed"
            )));
        }
    }
    check_base(checkpoint, identity)?;
    Ok(!allowed.is_empty())
}

/// How the run of `identity` differs from the one that left `config.json` in a folder, as far as that says: `: a; b`, or nothing.
pub(crate) fn difference(folder: &Path, identity: &Value) -> String {
    let config = fs::read(folder.join("config.json")).ok();
    let Some(mut config) = config.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()) else {
        return String::new();
    };
    if let Some(inputs) = config.get_mut(INPUTS).and_then(Value::as_object_mut) {
        inputs.shift_remove(ORIGINS);
    }
    // An identity has models as they are made, and lacks what something else stands for.
    let is_said = |difference: &&Difference| {
        let table = difference.key.split('.').next().unwrap_or_default();
        let made = ["model", "stage", VALIDATION_SHARE, STUDENT_BASE].contains(&table);
        let inline = ["data.params", "distill.student"].iter().any(|key| difference.key.starts_with(key));
        !made && !inline && (table == "lora" || identity.get(table).is_some())
    };
    let compared = compare(&super::without_threads(config), identity);
    let differences = compared.map_or_else(|_| Vec::new(), |compared| compared.differences);
    let said: Vec<String> = differences
        .iter()
        .filter(is_said)
        .map(|difference| told(difference).replace("since the checkpoint", "since then"))
        .take(SAID)
        .collect();
    if said.is_empty() { String::new() } else { format!(": {}", said.join("; ")) }
}

/// The base that a checkpoint's adapters name is loaded with them: it must be the model that the recipe names.
fn check_base(checkpoint: &Path, identity: &Value) -> Result<()> {
    let base = lora::base_folder(checkpoint)?;
    let model = if identity["stage"] == "distill" { "distill.student" } else { "model" };
    let Some(expected) = identity[INPUTS].get(model).filter(|_| base != checkpoint) else { return Ok(()) };
    let found = of_folder(&base)?;
    if *expected == found {
        return Ok(());
    }
    Err(Refusal::usage(format!(
        "the checkpoint's adapters belong to the base {}, which holds something else than `{model}` (sha256 {} and {}); put \
         the model back there, or start over with another --out",
        base.display(),
        short(found.as_str()),
        short(expected.as_str().unwrap_or_default())
    )))
}

/// What two identities differ by.
pub(super) struct Compared {
    pub(super) differences: Vec<Difference>,
    /// Inputs that the saved one knows by their path alone, as version 0.1.0 wrote it.
    unknown: Vec<(String, String)>,
}

pub(super) fn compare(saved: &Value, now: &Value) -> Result<Compared> {
    let saved = &renamed(saved.clone());
    let stage = now["stage"].as_str().unwrap_or_default();
    // What another version read, or did not know yet, is compared as far as this one reads it.
    let mut before = only_read(stage, saved);
    fill(&mut before, now, &serde_json::to_value(Recipe::default())?);
    for key in ["stage", INPUTS, VALIDATION_SHARE] {
        if let Some(value) = saved.get(key) {
            before[key] = value.clone();
        }
    }
    if let Some(base) = saved.get(STUDENT_BASE).or_else(|| now.get(STUDENT_BASE)) {
        before[STUDENT_BASE] = base.clone();
    }
    let mut unknown = Vec::new();
    for (key, hash) in now[INPUTS].as_object().into_iter().flatten() {
        let path = if key == "distill.teacher" { at(saved, "teacher") } else { at(saved, key) };
        if let (None, Some(Value::String(path))) = (saved[INPUTS].get(key), path) {
            unknown.push((key.clone(), path.clone()));
            before[INPUTS][key] = hash.clone();
        }
        take(&mut before, key);
    }
    for (key, _) in saved[INPUTS].as_object().into_iter().flatten() {
        take(&mut before, key);
    }
    let mut differences = Vec::new();
    for difference in checkpoint::differences(&before, now) {
        // Of inputs the key is one name with a dot in it; the whole table differs where one side has none.
        match (difference.key.as_str(), &difference.saved, &difference.now) {
            (INPUTS, before, after) => differences.extend(
                checkpoint::differences(&or_empty(before), &or_empty(after))
                    .into_iter()
                    .map(|inner| Difference { key: format!("{INPUTS}.{}", inner.key), ..inner }),
            ),
            _ => differences.push(difference),
        }
    }
    // A key whose hash only one side has was null, or a table, on the other.
    let is_input = |key: &str| now[INPUTS].get(key).is_some() || saved[INPUTS].get(key).is_some();
    differences.retain(|difference| !is_input(&difference.key));
    Ok(Compared { differences, unknown })
}

/// Keys that had another name in version 0.1: the table, the name, and what it is called now.
const RENAMED: [(&str, &str, &str); 3] = [
    ("", "held_out_share", VALIDATION_SHARE),
    ("/data/split", "held_out", "validation"),
    ("/data/split", "fresh", "test"),
];

/// A key that was in another table in version 0.1.
const MAX_NUM_SEQS: &str = "max_num_seqs";

/// An identity of version 0.1 with the names of this one.
fn renamed(mut saved: Value) -> Value {
    if let Some(value) =
        saved.get_mut("grpo").and_then(Value::as_object_mut).and_then(|grpo| grpo.shift_remove(MAX_NUM_SEQS))
        && let Some(rollout) = saved.get_mut("rollout").and_then(Value::as_object_mut)
    {
        rollout.entry(MAX_NUM_SEQS).or_insert(value);
    }
    for (table, old, new) in RENAMED {
        let Some(table) = saved.pointer_mut(table).and_then(Value::as_object_mut) else { continue };
        if let Some(value) = table.shift_remove(old) {
            table.entry(new).or_insert(value);
        }
    }
    saved
}

fn or_empty(value: &Value) -> Value {
    if value.is_object() { value.clone() } else { json!({}) }
}

/// Gives keys that `saved` lacks and `now` has their default.
fn fill(saved: &mut Value, now: &Value, defaults: &Value) {
    let (Some(saved), Some(now)) = (saved.as_object_mut(), now.as_object()) else { return };
    for (key, now) in now {
        let Some(default) = defaults.get(key) else { continue };
        let missing = if now.is_object() && default.is_object() { json!({}) } else { default.clone() };
        fill(saved.entry(key).or_insert(missing), now, default);
    }
}

/// `data.train: content has changed since the checkpoint (sha256 12ab34cd.. -> 34cd56ef..)`, or `seed: 0, now 1`.
fn told(difference: &Difference) -> String {
    let Some(key) = difference.key.strip_prefix("inputs.") else { return difference.to_string() };
    match (difference.saved.as_str(), difference.now.as_str()) {
        (Some(saved), Some(now)) => {
            format!(
                "{key}: content has changed since the checkpoint (sha256 {} -> {})",
                short(saved),
                short(now)
            )
        }
        (None, Some(now)) => format!("{key}: none, now sha256 {}", short(now)),
        (Some(saved), None) => format!("{key}: sha256 {}, now none", short(saved)),
        (None, None) => difference.to_string(),
    }
}

fn short(hash: &str) -> String {
    format!("{}..", hash.get(..8).unwrap_or(hash))
}

fn rule_of(key: &str) -> Rule {
    let is_within = |key: &str, rule: &str| {
        key.strip_prefix(rule).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let matches = |rule: &&str| match rule.strip_prefix("*.") {
        Some(name) => key.split_once('.').is_some_and(|(_, rest)| is_within(rest, name)),
        None => is_within(key, rule),
    };
    if FREE.iter().any(matches) {
        Rule::Free
    } else if ALLOWED.iter().any(matches) {
        Rule::Allowed
    } else {
        Rule::Fixed
    }
}

fn steps_key(stage: &str) -> &'static str {
    match stage {
        "train-rl" => "max_steps",
        "pretrain" => "pretrain.max_steps",
        _ => "sft.max_steps",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::load::known_keys;
    use crate::run::identity;

    fn of(stage: &str, toml: &str) -> Value {
        let recipe: Recipe = toml::from_str(toml).expect("a recipe");
        identity::of(stage, &recipe, &[]).expect("no inputs")
    }

    fn with_inputs(mut identity: Value, inputs: Value) -> Value {
        for key in inputs.as_object().expect("a table").keys() {
            take(&mut identity, key);
        }
        identity[INPUTS] = inputs;
        identity
    }

    fn lines(saved: &Value, now: &Value) -> Vec<String> {
        compare(saved, now).expect("comparable").differences.iter().map(told).collect()
    }

    #[test]
    fn rates_lengths_and_data_may_change_and_the_model_may_not() {
        for (key, rule) in [
            ("eval.n", Rule::Free),
            ("train.save_steps", Rule::Free),
            ("sft.eval_steps", Rule::Free),
            ("save.dtype", Rule::Free),
            ("train.learning_rate", Rule::Allowed),
            ("train.muon.momentum", Rule::Allowed),
            ("max_steps", Rule::Allowed),
            ("sft.max_steps", Rule::Allowed),
            ("rollout.max_new_tokens", Rule::Allowed),
            ("data.params", Rule::Allowed),
            ("inputs.data.train", Rule::Allowed),
            ("reward.format", Rule::Allowed),
            ("lora", Rule::Fixed),
            ("lora.r", Rule::Fixed),
            ("model", Rule::Fixed),
            ("model.hidden_size", Rule::Fixed),
            ("inputs.model", Rule::Fixed),
            ("inputs.distill.student", Rule::Fixed),
            ("inputs.distill.teacher", Rule::Fixed),
            ("distill.tokenizer", Rule::Fixed),
            ("seed", Rule::Fixed),
            ("stage", Rule::Fixed),
            ("train.optimizer", Rule::Fixed),
            ("grpo.beta", Rule::Fixed),
            ("a_key_of_tomorrow", Rule::Fixed),
        ] {
            assert_eq!(rule_of(key), rule, "{key}");
        }
    }

    #[test]
    fn every_rule_is_of_a_key_that_some_run_has() {
        let recipe = Value::Object(known_keys().expect("the defaults serialise"));
        let tables = || recipe.as_object().expect("a table").values();
        for rule in FREE.iter().chain(&ALLOWED) {
            let known = match rule.strip_prefix("*.") {
                Some(name) => tables().any(|table| table.get(name).is_some()),
                None => at(&recipe, rule.strip_prefix("inputs.").unwrap_or(rule)).is_some(),
            };
            assert!(known || [VALIDATION_SHARE, "alarms"].contains(rule), "{rule}");
        }
    }

    #[test]
    fn what_has_changed_is_said_in_words() {
        let now = of("train-rl", "[train]\nlearning_rate = 1.0");
        assert_eq!(lines(&of("train-rl", ""), &now), ["train.learning_rate: 0.0003, now 1.0"]);
        let hashes = |train: &str| json!({ "data.train": train.repeat(8), "model": "0".repeat(64) });
        let (saved, now) =
            (with_inputs(of("sft", ""), hashes("12345678")), with_inputs(of("sft", ""), hashes("abcdef01")));
        assert_eq!(
            lines(&saved, &now),
            ["data.train: content has changed since the checkpoint (sha256 12345678.. -> abcdef01..)"]
        );
        let none = of("sft", "");
        let found = lines(&none, &now);
        assert_eq!(found, ["data.train: none, now sha256 abcdef01..", "model: none, now sha256 00000000.."]);
        assert_eq!(lines(&now, &none).len(), 2);
        let adapters = of("sft", "[lora]\nr = 4");
        assert!(lines(&of("sft", ""), &adapters)[0].starts_with("lora: null, now {"));
    }

    #[test]
    fn a_checkpoint_of_the_first_version_is_compared_as_far_as_it_says() {
        let mut saved = serde_json::to_value(Recipe::default()).expect("JSON");
        for key in ["grpo", "distill", "threads"] {
            saved.as_object_mut().expect("a table").shift_remove(key);
        }
        saved["stage"] = json!("sft");
        saved["data"]["train"] = json!("my.jsonl");
        saved["model"] = json!("some/folder");
        // Read by another command, or not known then.
        saved["rollout"]["temperature"] = json!(0.5);
        saved["sft"].as_object_mut().expect("a table").shift_remove("workers");
        saved["data"].as_object_mut().expect("a table").shift_remove("prompt");
        let now = with_inputs(of("sft", ""), json!({ "data.train": "ab", "model": "cd" }));
        let Compared { differences, unknown } = compare(&saved, &now).expect("comparable");
        assert_eq!(differences, []);
        let unknown: Vec<_> = unknown.iter().map(|(key, path)| (key.as_str(), path.as_str())).collect();
        assert_eq!(unknown, [("data.train", "my.jsonl"), ("model", "some/folder")]);
    }

    #[test]
    fn a_checkpoint_from_before_a_choice_of_loss_goes_on_without_one_and_no_other_way() {
        let saved = of("train-rl", "");
        for key in ["advantage", "reduction", "correction"] {
            assert!(saved["grpo"].get(key).is_none(), "{key} is not written while it is absent");
        }
        assert_eq!(lines(&saved, &of("train-rl", "[grpo]\nloss_type = 'dapo'")), [""; 0]);
        let now = of("train-rl", "[grpo]\nadvantage = 'rloo'");
        assert_eq!(lines(&saved, &now), ["grpo.advantage: null, now \"rloo\""]);
        assert_eq!(lines(&now, &saved), ["grpo.advantage: \"rloo\", now null"]);
        assert_eq!(rule_of("grpo.advantage"), Rule::Fixed);
    }

    #[test]
    fn a_checkpoint_of_version_0_1_has_the_old_names_of_the_splits() {
        let now = of("train-rl", "[data.split]\nvalidation = 0.2");
        let mut saved = now.clone();
        saved["data"]["split"] = json!({ "held_out": 0.2, "fresh": 0.1 });
        assert_eq!(lines(&saved, &now), [""; 0]);
        saved["data"]["split"]["held_out"] = json!(0.3);
        assert_eq!(lines(&saved, &now), ["data.split.validation: 0.3, now 0.2"]);
        saved["data"]["split"]["held_out"] = json!(0.2);
        let sequences = saved["rollout"].as_object_mut().expect("a table").shift_remove("max_num_seqs");
        saved["grpo"]["max_num_seqs"] = sequences.expect("a key");
        assert_eq!(lines(&saved, &now), [""; 0]);
        saved["grpo"]["max_num_seqs"] = json!(3);
        assert_eq!(lines(&saved, &now), ["rollout.max_num_seqs: 3, now 256"]);
        let share = |key: &str, share: f64| {
            let mut identity = of("sft", "");
            identity[key] = json!(share);
            identity
        };
        let now = share(VALIDATION_SHARE, 0.1);
        assert_eq!(lines(&share("held_out_share", 0.1), &now), [""; 0]);
        assert_eq!(lines(&share("held_out_share", 0.2), &now), ["validation_share: 0.2, now 0.1"]);
    }
}
