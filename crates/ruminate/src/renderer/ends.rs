//! What `generation_config.json` and `config.json` of a model folder say beyond its architecture: the tokens that end a
//! completion, and recommended sampling values. Does not load the tokenizer.

use crate::error::Refusal;
use anyhow::Result;
use ruminate_model::Config;
use ruminate_rollout::Sampling;
use serde_json::{Map, Value};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

const GENERATION: &str = "generation_config.json";

/// The ending tokens that a model folder's files name: all of `generation_config.json`, then those that `config.json` has
/// besides. vLLM, llama.cpp and MLX stop at each of them.
///
/// # Errors
/// With exit code 3 when `generation_config.json` is no JSON object, or an ending token is no id below the model's
/// `vocab_size`.
pub(crate) fn end_ids(folder: &Path, config: &Config) -> Result<Vec<u32>> {
    let keys = object(folder)?.unwrap_or_default();
    let named = match keys.get("eos_token_id") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
    };
    let named = named.into_iter().map(|id| (GENERATION, id));
    let mut ids = Vec::new();
    for (file, value) in named.chain(config.eos_token_ids.iter().map(|id| ("config.json", Value::from(*id))))
    {
        let id = value.as_u64().filter(|id| *id < config.vocab_size as u64);
        let Some(id) = id.and_then(|id| u32::try_from(id).ok()) else {
            return Err(Refusal::input(format!(
                "{}: `eos_token_id`: expected token ids below the model's vocab_size of {}, found {}",
                folder.join(file).display(),
                config.vocab_size,
                short(&value)
            )));
        };
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// Keys of `generation_config.json` that change what transformers samples, each with the value that changes nothing.
const CHANGES: [(&str, f64); 12] = [
    ("temperature", 1.0),
    ("top_p", 1.0),
    ("top_k", 0.0),
    ("min_p", 0.0),
    ("typical_p", 1.0),
    ("epsilon_cutoff", 0.0),
    ("eta_cutoff", 0.0),
    ("repetition_penalty", 1.0),
    ("no_repeat_ngram_size", 0.0),
    ("length_penalty", 1.0),
    ("num_beams", 1.0),
    ("min_new_tokens", 0.0),
];

/// The same of keys whose values are lists.
const LISTS: [&str; 5] =
    ["bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "sequence_bias", "stop_strings"];

/// Notes on standard error which sampling values of `generation_config.json` are not used, where there are any.
pub(crate) fn note_unused_sampling(folder: &Path, sampling: &Sampling) {
    if let Some(note) = unused_sampling(folder, sampling) {
        notice!("note: {note}");
    }
}

fn unused_sampling(folder: &Path, sampling: &Sampling) -> Option<String> {
    let keys = object(folder).ok()??;
    let own = |key: &str| match key {
        "temperature" => Some(sampling.temperature),
        "top_p" => Some(sampling.top_p),
        "top_k" => Some(sampling.top_k as f64),
        _ => None,
    };
    let number = |(key, neutral): &(&str, f64)| {
        let value = keys.get(*key)?.as_f64()?;
        let same = |other: f64| (value - other).abs() < 1e-6;
        (!same(*neutral) && !own(key).is_some_and(same)).then(|| format!("{key} {}", short(&keys[*key])))
    };
    let list = |key: &&str| {
        let given = keys.get(*key).is_some_and(|value| match value {
            Value::Array(list) => !list.is_empty(),
            Value::Object(keys) => !keys.is_empty(),
            Value::String(_) => true,
            _ => false,
        });
        given.then(|| (*key).to_owned())
    };
    let unused: Vec<String> =
        CHANGES.iter().filter_map(number).chain(LISTS.iter().filter_map(list)).collect();
    (!unused.is_empty()).then(|| {
        format!(
            "{}: not used: {}; the command's own temperature, top-p and top-k decide how tokens are drawn",
            folder.join(GENERATION).display(),
            unused.join(", ")
        )
    })
}

/// The keys of `generation_config.json`; none where there is no such file.
fn object(folder: &Path) -> Result<Option<Map<String, Value>>> {
    let path = folder.join(GENERATION);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Refusal::input(format!("cannot read {}: {error}", path.display()))),
    };
    match serde_json::from_str(&text) {
        Ok(Value::Object(keys)) => Ok(Some(keys)),
        Ok(other) => {
            let found = short(&other);
            Err(Refusal::input(format!("{}: expected a JSON object, found {found}", path.display())))
        }
        Err(error) => Err(Refusal::input(format!("{}: not valid JSON: {error}", path.display()))),
    }
}

/// A value as the file writes it, cut where it is long.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn folder(generation: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(GENERATION), generation).expect("written");
        folder
    }

    fn config(eos_token_id: &Value) -> Config {
        let json = json!({
            "model_type": "llama", "vocab_size": 10, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 4, "eos_token_id": eos_token_id,
        });
        Config::from_json(&json).expect("valid")
    }

    fn ends(generation: &str, eos_token_id: &Value) -> Result<Vec<u32>, String> {
        end_ids(folder(generation).path(), &config(eos_token_id)).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn ends_are_those_of_both_files() {
        assert_eq!(ends(r#"{"eos_token_id": [3, 1]}"#, &json!(2)), Ok(vec![3, 1, 2]));
        assert_eq!(ends(r#"{"eos_token_id": 1}"#, &json!([1, 4])), Ok(vec![1, 4]));
        assert_eq!(ends(r#"{"eos_token_id": null}"#, &Value::Null), Ok(vec![]));
        let empty = tempfile::tempdir().expect("a folder");
        assert_eq!(end_ids(empty.path(), &config(&json!(5))).expect("one"), [5]);
    }

    #[test]
    fn an_end_that_is_no_token_is_refused_with_file_and_key() {
        for (value, found) in [
            (r#""1""#, r#"found "1""#),
            (r#"[1, "2"]"#, r#"found "2""#),
            ("[999999]", "found 999999"),
            ("10", "found 10"),
            ("-1", "found -1"),
            ("1.5", "found 1.5"),
            ("true", "found true"),
            ("[[1]]", "found [1]"),
            ("[1, null]", "found null"),
        ] {
            let error = ends(&format!(r#"{{"eos_token_id": {value}}}"#), &json!(1)).expect_err(value);
            assert!(
                error.contains("generation_config.json: `eos_token_id`") && error.contains(found),
                "{error}"
            );
        }
        let error = ends("[1]", &json!(1)).expect_err("a list");
        assert!(error.contains("expected a JSON object"), "{error}");
    }

    #[test]
    fn sampling_values_that_are_not_used_are_named() {
        let generation = r#"{"do_sample": true, "temperature": 0.7, "top_p": 1.0, "top_k": 20, "repetition_penalty": 1.05,
            "stop_strings": ["\n"], "bad_words_ids": null}"#;
        let folder = folder(generation);
        let note = |sampling: &Sampling| unused_sampling(folder.path(), sampling);
        let told = note(&Sampling::default()).expect("a note");
        for part in [
            "generation_config.json",
            "temperature 0.7",
            "top_k 20",
            "repetition_penalty 1.05",
            "stop_strings",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!told.contains("top_p 1") && !told.contains("bad_words"), "{told}");
        let told = note(&Sampling { temperature: 0.7, top_k: 20, ..Sampling::default() }).expect("a note");
        assert!(!told.contains("temperature 0") && !told.contains("top_k 20"), "{told}");
    }
}
