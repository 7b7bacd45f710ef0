//! What in a `tokenizer.json` makes the `tokenizers` library panic, loop or grow without bound, found before it is used. It
//! does not tokenize.

use serde::Deserialize;
use serde_json::Value;

mod charsmap;

pub use charsmap::check_charsmap;

/// Values of the file at most: in memory each takes up to a hundred bytes. A vocabulary of 262,144 tokens with 515,000 merges
/// has two million.
const MAX_VALUES: usize = 8_000_000;

/// Token ids are below it: the largest published vocabularies have 262,208. The library counts through all of them.
pub(crate) const MAX_ID: u32 = 1 << 24;

/// By how much normalizers, pre-tokenizers or decoders may make a text longer, together.
const MAX_GROWTH: u64 = 64;

/// Bytes of what a model puts before or after parts of words.
const MAX_AFFIX_BYTES: u64 = 64;

/// Characters of a word that WordPiece looks for: the time grows with their square.
const MAX_WORD_CHARACTERS: u64 = 10_000;

/// The parts of the file that change texts. The vocabulary is passed over.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    decoder: Value,
    model: Option<Settings>,
}

/// What of `model` is no vocabulary.
#[derive(Deserialize)]
struct Settings {
    #[serde(default)]
    continuing_subword_prefix: Value,
    #[serde(default)]
    end_of_word_suffix: Value,
    #[serde(default)]
    max_input_chars_per_word: Value,
}

/// Whether the library may be given this file.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    let values = values(bytes);
    if values > MAX_VALUES {
        return Err(format!("about {values} values, where at most {MAX_VALUES} are read"));
    }
    // Two values of one key are refused here: the library takes the last.
    let parts: Parts = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    for (name, parts) in [
        ("normalizer and pre_tokenizer", &[parts.normalizer, parts.pre_tokenizer][..]),
        ("decoder", &[parts.decoder][..]),
    ] {
        let mut growth = 1_u64;
        for part in parts {
            growth = growth.saturating_mul(grown(part)?);
        }
        if growth > MAX_GROWTH {
            return Err(format!(
                "{name} that make a text up to {growth} times as long, where at most {MAX_GROWTH} times is done"
            ));
        }
    }
    let Some(model) = parts.model else { return Ok(()) };
    for affix in [&model.continuing_subword_prefix, &model.end_of_word_suffix] {
        short("a model", affix)?;
    }
    match model.max_input_chars_per_word.as_u64() {
        Some(most) if most > MAX_WORD_CHARACTERS => {
            Err(format!("`max_input_chars_per_word` {most}, where at most {MAX_WORD_CHARACTERS} is done"))
        }
        _ => Ok(()),
    }
}

/// An upper bound of the values of a JSON text, by its punctuation.
fn values(text: &[u8]) -> usize {
    let (mut values, mut in_text, mut escaped) = (1, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => values += 1,
            _ => {}
        }
    }
    values
}

/// By how much a part, with the parts within it, may make a text longer. The library takes some parts without a `type` by
/// their keys, so that the keys decide here.
fn grown(part: &Value) -> Result<u64, String> {
    let kind = part["type"].as_str().unwrap_or("a part");
    let length = |key: &str| part[key].as_str().map(|text| text.chars().count() as u64);
    for key in ["prefix", "suffix", "pad_token", "word_delimiter_token"] {
        short(kind, &part[key])?;
    }
    if part["length"].as_u64() == Some(0) {
        return Err(format!("{kind} with the length 0"));
    }
    if let Some(map) = part["precompiled_charsmap"].as_str() {
        charsmap::check(map)?;
    }
    let mut growth = 1_u64;
    match length("prepend") {
        Some(0) => return Err(format!("{kind} that prepends nothing")),
        // Every stretch between added tokens is a text of its own, of at least one character.
        Some(length) => growth = growth.saturating_mul(length.saturating_add(1)),
        None => {}
    }
    let (pattern, content) = (&part["pattern"], length("content").unwrap_or(0));
    match (pattern["String"].as_str().or(pattern.as_str()), pattern["Regex"].as_str()) {
        (Some(""), _) | (_, Some("")) => return Err(format!("{kind} with an empty pattern")),
        (Some(pattern), _) => {
            growth = growth.saturating_mul(content.div_ceil(pattern.chars().count() as u64).max(1));
        }
        // An expression may match single characters.
        (None, _) => growth = growth.saturating_mul(content.max(1)),
    }
    // Bytes become characters, and spaces become longer ones; both may put one before a text.
    if kind == "ByteLevel" || part.get("replacement").is_some() || part.get("trim_offsets").is_some() {
        growth = growth.saturating_mul(2);
    }
    for key in ["normalizers", "pretokenizers", "decoders"] {
        for part in part[key].as_array().into_iter().flatten() {
            growth = growth.saturating_mul(grown(part)?);
        }
    }
    Ok(growth)
}

/// Whether a text is no longer than what stands before or after parts of words.
fn short(owner: &str, text: &Value) -> Result<(), String> {
    match text.as_str().map(|text| text.len() as u64) {
        Some(bytes) if bytes > MAX_AFFIX_BYTES => {
            Err(format!("{owner} with a text of {bytes} bytes, where at most {MAX_AFFIX_BYTES} are used"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{check, grown, values};
    use serde_json::json;

    #[test]
    fn growth_is_multiplied_along_a_sequence() {
        let replace =
            |content: &str| json!({"type": "Replace", "pattern": {"String": "a"}, "content": content});
        let sequence = |parts: Vec<serde_json::Value>| json!({"type": "Sequence", "normalizers": parts});
        assert_eq!(grown(&sequence(vec![replace("aaaaaaaa"), replace("aaaaaaaa")])), Ok(64));
        assert_eq!(grown(&sequence(vec![replace(""), sequence(vec![replace("aaa")])])), Ok(3));
        let bomb = sequence(vec![replace(&"a".repeat(16)); 8]);
        let file = json!({"normalizer": bomb, "pre_tokenizer": null, "model": {"vocab": {}}}).to_string();
        assert!(check(file.as_bytes()).is_err_and(|reason| reason.contains("4294967296 times")));
        let shared = json!({"normalizer": replace("aaaaaaaaaaaaaaaa"), "pre_tokenizer":
            {"type": "Sequence", "pretokenizers": vec![json!({"type": "ByteLevel"}); 3]}});
        assert!(check(shared.to_string().as_bytes()).is_err_and(|reason| reason.contains("128 times")));
    }

    #[test]
    fn values_are_counted_outside_of_texts() {
        assert_eq!(values(br#"{"a,[": [1, 2, "\",\\"], "b": {}}"#), 7);
    }
}
