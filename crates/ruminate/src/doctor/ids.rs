//! Token ids against the vocabulary, as a model folder's own files state them: before anything is loaded from it.

use super::findings::Finding;
use super::inputs::Inputs;
use crate::error::ErrorKind;
use ruminate_files::MAX_CONFIG_BYTES;
use ruminate_model::lora;
use serde_json::Value;
use std::path::Path;

/// Special tokens by their keys. Without its ending token a completion never ends; the others only fill and begin.
const KEYS: [&str; 3] = ["eos_token_id", "bos_token_id", "pad_token_id"];

pub(super) fn check(inputs: &Inputs) -> Vec<Finding> {
    let folders = inputs.folders.iter().filter_map(|folder| lora::base_folder(folder).ok());
    let mut findings: Vec<Finding> = folders.flat_map(|folder| of_folder(&folder)).collect();
    if let (Some(renderer), true) = (&inputs.renderer, findings.is_empty())
        && renderer.end_ids.is_empty()
    {
        let found = "the model names no ending token: every completion runs to `rollout.max_new_tokens`";
        let advice = "set `eos_token_id` in the model's generation_config.json";
        findings.push(Finding::warning("eos_token_id", found, advice));
    }
    if let Some(model) = &inputs.model
        && let Some(highest) = inputs.asked.iter().map(|asked| asked.highest_id).max()
        && highest as usize >= model.config.vocab_size
    {
        let found = format!(
            "a prompt has the token id {highest}, and the vocabulary of the model has {} tokens",
            model.config.vocab_size
        );
        let advice = "use the tokenizer that the model was trained with";
        findings.push(Finding::severe("ids", found, advice).with_kind(ErrorKind::Input));
    }
    findings
}

fn of_folder(folder: &Path) -> Vec<Finding> {
    let json = |name: &str| -> Option<Value> {
        serde_json::from_slice(&ruminate_files::read(folder, name, MAX_CONFIG_BYTES).ok()?).ok()
    };
    let Some(vocab_size) = json("config.json").and_then(|config| config["vocab_size"].as_u64()) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for name in ["config.json", "generation_config.json"] {
        let Some(file) = json(name) else { continue };
        for key in KEYS {
            let given = match &file[key] {
                Value::Array(ids) => ids.clone(),
                Value::Null => Vec::new(),
                one => vec![one.clone()],
            };
            let bad = given.iter().find(|id| id.as_u64().is_none_or(|id| id >= vocab_size));
            let Some(bad) = bad else { continue };
            let path = folder.join(name);
            let found =
                format!("{}: `{key}` is {bad}, and the vocabulary has {vocab_size} tokens", path.display());
            let advice = format!("correct `{key}` in {name}: expected a number below {vocab_size}");
            findings.push(match key {
                "eos_token_id" => Finding::severe(key, found, advice).with_kind(ErrorKind::Input),
                // Older files have -1 for none.
                _ => Finding::warning(key, found, advice),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::of_folder;
    use std::fs;

    #[test]
    fn an_ending_token_beyond_the_vocabulary_is_severe_in_either_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        let check = |config: &str, generation: &str| {
            fs::write(path.join("config.json"), config).expect("written");
            fs::write(path.join("generation_config.json"), generation).expect("written");
            of_folder(path).into_iter().map(|finding| (finding.is_severe(), finding.name)).collect::<Vec<_>>()
        };
        assert_eq!(check(r#"{"vocab_size": 10, "eos_token_id": 9}"#, "{}"), []);
        assert_eq!(check(r#"{"vocab_size": 10, "eos_token_id": 10}"#, "{}"), [(true, "eos_token_id")]);
        let listed = r#"{"eos_token_id": [2, 900000], "pad_token_id": -1}"#;
        assert_eq!(check(r#"{"vocab_size": 10}"#, listed), [(true, "eos_token_id"), (false, "pad_token_id")]);
    }
}
