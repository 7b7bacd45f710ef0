//! What `generation_config.json` and `config.json` of a model folder say beyond its architecture: the
//! tokens that end a completion, and recommended sampling values. Does not load the tokenizer.

use crate::Error;
use crate::files::unread;
use ruminate_data::SamplingParams;
use ruminate_files::MAX_CONFIG_BYTES;
use serde_json::{Map, Value};
use std::path::Path;

const GENERATION: &str = "generation_config.json";

/// The token ids that end a completion, as a model folder's files name them: all of
/// `generation_config.json`, then those of `eos_token_ids`, which are `config.json`'s. vLLM, llama.cpp and
/// MLX stop at each of them.
///
/// # Errors
/// [`Error::EndToken`] for one that is no token id below `vocab_size`; [`Error::Config`], [`Error::Read`] and
/// [`Error::File`] when `generation_config.json` is no JSON object or cannot be read.
pub fn end_ids(folder: &Path, vocab_size: usize, eos_token_ids: &[u32]) -> Result<Vec<u32>, Error> {
    let keys = object(folder)?.unwrap_or_default();
    let named = match keys.get("eos_token_id") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
    };
    let named = named.into_iter().map(|id| (GENERATION, id));
    let mut ids = Vec::new();
    for (file, value) in named.chain(eos_token_ids.iter().map(|id| ("config.json", Value::from(*id)))) {
        let id = value.as_u64().filter(|id| *id < vocab_size as u64);
        let Some(id) = id.and_then(|id| u32::try_from(id).ok()) else {
            return Err(Error::EndToken { path: folder.join(file), vocab_size, found: short(&value) });
        };
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// Keys of `generation_config.json` that change what transformers samples, each with the value that changes
/// nothing.
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

/// A note on the sampling values of `generation_config.json` that a command with these of its own does not
/// use; `None` where there are none, or no such file that can be read. `top_k` 0 keeps all tokens.
pub fn unused_sampling(folder: &Path, sampling: &SamplingParams) -> Option<String> {
    let keys = object(folder).ok()??;
    let own = |key: &str| match key {
        "temperature" => Some(sampling.temperature),
        "top_p" => Some(sampling.top_p),
        "top_k" => Some(sampling.top_k as f64),
        "min_p" => Some(sampling.min_p),
        "repetition_penalty" => Some(sampling.repetition_penalty),
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
            "{}: not used: {}; the command's own temperature, top-p, top-k, min-p and penalties decide how tokens are drawn",
            folder.join(GENERATION).display(),
            unused.join(", ")
        )
    })
}

/// The keys of `generation_config.json`; none where there is no such file.
fn object(folder: &Path) -> Result<Option<Map<String, Value>>, Error> {
    let bytes = ruminate_files::read_optional(folder, GENERATION, MAX_CONFIG_BYTES).map_err(unread)?;
    let Some(bytes) = bytes else { return Ok(None) };
    let refused = |reason| Err(Error::Config { path: folder.join(GENERATION), reason });
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(keys)) => Ok(Some(keys)),
        Ok(other) => refused(format!("expected a JSON object, found {}", short(&other))),
        Err(error) => refused(format!("not valid JSON: {error}")),
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
    use super::{GENERATION, end_ids, unused_sampling};
    use ruminate_data::SamplingParams;
    use std::fs;

    fn folder(generation: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(GENERATION), generation).expect("written");
        folder
    }

    fn ends(generation: &str, eos_token_ids: &[u32]) -> Result<Vec<u32>, String> {
        end_ids(folder(generation).path(), 10, eos_token_ids).map_err(|error| error.to_string())
    }

    #[test]
    fn ends_are_those_of_both_files() {
        assert_eq!(ends(r#"{"eos_token_id": [3, 1]}"#, &[2]), Ok(vec![3, 1, 2]));
        assert_eq!(ends(r#"{"eos_token_id": 1}"#, &[1, 4]), Ok(vec![1, 4]));
        assert_eq!(ends(r#"{"eos_token_id": null}"#, &[]), Ok(vec![]));
        let empty = tempfile::tempdir().expect("a folder");
        assert_eq!(end_ids(empty.path(), 10, &[5]).expect("one"), [5]);
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
            let error = ends(&format!(r#"{{"eos_token_id": {value}}}"#), &[1]).expect_err(value);
            assert!(
                error.contains("generation_config.json: `eos_token_id`") && error.contains(found),
                "{error}"
            );
        }
        let error = ends("{}", &[999_999]).expect_err("beyond the vocabulary");
        assert!(error.contains("config.json: `eos_token_id`") && error.contains("999999"), "{error}");
        let error = ends("[1]", &[1]).expect_err("a list");
        assert!(error.contains("expected a JSON object"), "{error}");
        let error = ends("{", &[1]).expect_err("cut");
        assert!(error.contains("generation_config.json: not valid JSON: "), "{error}");
    }

    #[test]
    fn sampling_values_that_are_not_used_are_named() {
        let generation = r#"{"do_sample": true, "temperature": 0.7, "top_p": 1.0, "top_k": 20, "repetition_penalty": 1.05,
            "stop_strings": ["\n"], "bad_words_ids": null}"#;
        let folder = folder(generation);
        let note = unused_sampling(folder.path(), &SamplingParams::default()).expect("a note");
        for part in [
            "generation_config.json",
            "temperature 0.7",
            "top_k 20",
            "repetition_penalty 1.05",
            "stop_strings",
        ] {
            assert!(note.contains(part), "{part}: {note}");
        }
        assert!(!note.contains("top_p 1") && !note.contains("bad_words"), "{note}");
        let same = SamplingParams {
            temperature: 0.7,
            top_k: 20,
            repetition_penalty: 1.05,
            ..SamplingParams::default()
        };
        let note = unused_sampling(folder.path(), &same).expect("a note");
        assert!(!note.contains("temperature 0") && !note.contains("top_k 20"), "{note}");
        assert!(!note.contains("repetition_penalty") && note.contains("stop_strings"), "{note}");
    }
}
