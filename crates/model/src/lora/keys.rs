//! `adapter_config.json` as PEFT 0.21 writes it: each key is read, known to change nothing once the factors are stored,
//! or refused.

use super::Config;
use crate::LoadError;
use crate::config::is_off;
use crate::weights::read_json;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Keys of ours.
const READ: [&str; 7] =
    ["base_model_name_or_path", "bias", "init_lora_weights", "lora_alpha", "peft_type", "r", "use_rslora"];

/// What trains, initialises or describes an adapter. Which modules have one is for the file's tensors to say, whatever
/// names, patterns and ranges of layers they were chosen by.
const HARMLESS: [&str; 21] = [
    "auto_mapping",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_dropout",
    "lora_dtype",
    "lora_ga_config",
    "lorap_emb_lr",
    "lorap_lr_ratio",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
];

/// Values of `init_lora_weights` after which the base's weights are what they were.
const INITIALISATIONS: [&str; 4] = ["eva", "gaussian", "mica", "orthogonal"];

/// Those with which PEFT changes the base's weights when it makes the adapter, also for one that it loads.
const CHANGE_THE_BASE: [&str; 5] = ["corda", "loftq", "lora_ga", "olora", "pissa"];

/// The recipe and the base that an `adapter_config.json` describes.
pub(super) fn read(path: &Path) -> Result<(Config, PathBuf), LoadError> {
    let json = read_json(path)?;
    parse(&json).map_err(|problem| LoadError::Adapter { path: path.to_owned(), problem })
}

fn parse(json: &Value) -> Result<(Config, PathBuf), String> {
    let kind = &json["peft_type"];
    if kind != "LORA" {
        return Err(format!("expected `peft_type` to be \"LORA\", found {}", shown(kind)));
    }
    let known = |key: &str| READ.contains(&key) || HARMLESS.contains(&key);
    let mut keys = json.as_object().into_iter().flat_map(Map::iter);
    if let Some((key, value)) = keys.find(|(key, value)| !known(key) && !is_off(value)) {
        return Err(format!(
            "`{}` is {}, which is not supported; expected it absent, null, false or empty",
            key.chars().take(80).collect::<String>(),
            shown(value)
        ));
    }
    if !(json["bias"].is_null() || json["bias"] == "none") {
        return Err(format!("expected `bias` to be \"none\", found {}", shown(&json["bias"])));
    }
    check_initialisation(&json["init_lora_weights"])?;
    let r = json["r"].as_u64().and_then(|r| usize::try_from(r).ok());
    let (Some(r), Some(lora_alpha)) = (r, json["lora_alpha"].as_f64()) else {
        return Err("expected the numbers `r` and `lora_alpha`".to_owned());
    };
    let use_rslora = match &json["use_rslora"] {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        other => return Err(format!("expected `use_rslora` to be true or false, found {}", shown(other))),
    };
    let config = Config { r, lora_alpha, use_rslora, ..Config::default() };
    config.validate().map_err(|error| error.to_string())?;
    Ok((config, PathBuf::from(json["base_model_name_or_path"].as_str().unwrap_or_default())))
}

fn check_initialisation(value: &Value) -> Result<(), String> {
    let name = match value {
        Value::Null | Value::Bool(_) => return Ok(()),
        Value::String(name) => name.to_lowercase(),
        _ => String::new(),
    };
    if INITIALISATIONS.contains(&name.as_str()) {
        return Ok(());
    }
    if CHANGE_THE_BASE.iter().any(|changing| name.starts_with(changing)) {
        return Err(format!(
            "`init_lora_weights` is {}: PEFT changes the base's weights before it adds such an adapter, which is not \
             supported; make a plain adapter of it (`save_pretrained(OUT, path_initial_model_for_weight_conversion=\
             FIRST)` in PEFT, with the adapter from before the training), or a whole model (`merge_and_unload()`)",
            shown(value)
        ));
    }
    let known = INITIALISATIONS.join(", ");
    Err(format!("expected `init_lora_weights` to be true, false, or one of {known}; found {}", shown(value)))
}

fn shown(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}
