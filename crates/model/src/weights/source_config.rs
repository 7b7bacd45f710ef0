//! What a model folder says beyond the architecture: a trained model says it again. Keys that no part of ours reads
//! are somebody else's (a padding token, a recommended temperature), and losing them would be a change of the model.

use crate::Config;
use serde_json::{Map, Value, json};

/// The rest of a folder's `config.json`, and its `generation_config.json`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    config: Map<String, Value>,
    generation: Option<Value>,
}

/// Keys that are not true of what we write: weights are no longer quantised, files of Python code stay behind, and
/// positions, experts and modules are written under one name each.
const DROPPED: [&str; 8] = [
    "quantization_config",
    "auto_map",
    "rope_parameters",
    "rope_scaling",
    "original_max_position_embeddings",
    "num_local_experts",
    "num_mtp_layers",
    "_name_or_path",
];

/// The older name of `dtype`, which a file keeps that has it.
const OLDER_DTYPE: &str = "torch_dtype";

impl Origin {
    /// From the files' content.
    pub(crate) fn new(config: Value, generation: Option<Value>) -> Self {
        let mut config = match config {
            Value::Object(keys) => keys,
            _ => Map::new(),
        };
        config.retain(|key, _| !DROPPED.contains(&key.as_str()));
        Self { config, generation: generation.filter(Value::is_object) }
    }

    /// `config.json` of a model of this origin whose weights are stored as `dtype`.
    pub(crate) fn config(&self, config: &Config, dtype: &str) -> Value {
        let mut keys = self.config.clone();
        if let Value::Object(ours) = config.to_json() {
            keys.extend(ours);
        }
        let name = if self.config.contains_key(OLDER_DTYPE) { OLDER_DTYPE } else { "dtype" };
        keys.shift_remove("dtype");
        keys.insert(name.to_owned(), json!(dtype));
        Value::Object(keys)
    }

    /// `generation_config.json`: the one of the source, else what the architecture knows.
    pub(crate) fn generation(&self, config: &Config) -> Value {
        self.generation.clone().unwrap_or_else(|| match config.eos_token_ids.as_slice() {
            [] => json!({ "do_sample": true }),
            [one] => json!({ "do_sample": true, "eos_token_id": one }),
            many => json!({ "do_sample": true, "eos_token_id": many }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Origin;
    use crate::Config;
    use serde_json::json;

    #[test]
    fn keys_of_others_survive_and_ours_are_true() {
        let source = json!({
            "model_type": "llama", "vocab_size": 8, "hidden_size": 4, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 4, "pad_token_id": 7, "id2label": {"0": "a"},
            "torch_dtype": "bfloat16", "auto_map": {"AutoConfig": "configuration.Ours"},
            "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}, "rms_norm_eps": 1e-5,
        });
        let config = Config::from_json(&source).expect("valid");
        let generation = json!({"temperature": 0.6, "eos_token_id": [1, 2], "transformers_version": "4.0"});
        let origin = Origin::new(source, Some(generation.clone()));
        let written = origin.config(&config, "float32");
        assert_eq!(Config::from_json(&written).expect("valid"), config);
        assert_eq!((&written["pad_token_id"], &written["id2label"]), (&json!(7), &json!({"0": "a"})));
        assert_eq!((&written["torch_dtype"], written.get("dtype")), (&json!("float32"), None));
        assert_eq!(written["rope_theta"], json!(5000.0));
        assert!(written.get("auto_map").is_none() && written.get("rope_parameters").is_none());
        assert_eq!(origin.generation(&config), generation);
    }

    #[test]
    fn a_model_made_here_has_what_its_architecture_knows() {
        let json = json!({
            "model_type": "llama", "vocab_size": 8, "hidden_size": 4, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 4, "eos_token_id": [3, 5],
        });
        let config = Config::from_json(&json).expect("valid");
        let origin = Origin::default();
        assert_eq!(origin.config(&config, "bfloat16")["dtype"], json!("bfloat16"));
        assert_eq!(origin.generation(&config), json!({"do_sample": true, "eos_token_id": [3, 5]}));
    }
}
