//! Whether two tokenizers give the same ids to every text: what a teacher that judges a student's tokens needs. It compares
//! what `tokenizer.json` says, not what it would do.

use crate::Tokenizer;
use serde_json::{Map, Value};

/// Parts of `tokenizer.json` that decide which ids a text gets, the telling ones first.
const DECIDE: [&str; 4] = ["added_tokens", "normalizer", "pre_tokenizer", "model"];

impl Tokenizer {
    /// How another tokenizer encodes differently, in words; None where both give the same ids to every text. What pads,
    /// truncates and decodes is left out.
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self.splits_special() != other.splits_special() {
            return Some(
                "only one of them has `split_special_tokens` in its tokenizer_config.json".to_owned(),
            );
        }
        let (own, other) = (self.parts(), other.parts());
        let part = DECIDE.into_iter().find(|part| own.get(*part) != other.get(*part))?;
        Some(match part {
            "model" => difference_of_models(&own[part], &other[part]),
            "added_tokens" => difference_of_tokens(&own[part], &other[part]),
            part => format!("the parts `{part}` of their tokenizer.json are not the same"),
        })
    }
}

fn difference_of_models(own: &Value, other: &Value) -> String {
    let vocabulary = |model: &Value| model["vocab"].as_object().map_or(0, Map::len);
    let (own_size, other_size) = (vocabulary(own), vocabulary(other));
    if own_size != other_size {
        return format!("their vocabularies have {own_size} and {other_size} tokens");
    }
    let other_ids = &other["vocab"];
    let moved =
        own["vocab"].as_object().into_iter().flatten().find(|(token, id)| other_ids.get(token) != Some(id));
    match moved {
        Some((token, id)) => {
            let other_id = other_ids.get(token).map_or_else(|| "none".to_owned(), Value::to_string);
            format!("the token {token:?} has the id {id} in one and {other_id} in the other")
        }
        None => "their merges are not the same".to_owned(),
    }
}

fn difference_of_tokens(own: &Value, other: &Value) -> String {
    let [own, other] = [own, other].map(|tokens| tokens.as_array().map(Vec::as_slice).unwrap_or_default());
    match own.iter().zip(other).find(|(own, other)| own != other) {
        Some((own, other)) if own["content"] == other["content"] && own["id"] == other["id"] => {
            format!("the added token {} has other flags in one than in the other", named(own))
        }
        Some((own, other)) => {
            format!("the added token {} of one is {} in the other", named(own), named(other))
        }
        None => format!("one has {} added tokens, the other {}", own.len(), other.len()),
    }
}

/// An added token by its text, cut where that is long, and its id.
fn named(token: &Value) -> String {
    let text: String = token["content"].as_str().unwrap_or_default().chars().take(40).collect();
    format!("{text:?} (id {})", token["id"])
}

#[cfg(test)]
mod tests {
    use crate::Tokenizer;
    use std::fs;

    /// The embedded tokenizer with a part of its file replaced.
    fn changed(from: &str, to: &str) -> Tokenizer {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, bytes) in Tokenizer::embedded().files() {
            let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
            let text = if name == "tokenizer.json" {
                assert!(text.contains(from), "{from} is in {text}");
                text.replacen(from, to, 1)
            } else {
                text
            };
            fs::write(folder.path().join(name), text).expect("written");
        }
        Tokenizer::load(folder.path()).expect("well-formed")
    }

    #[test]
    fn a_tokenizer_encodes_as_itself_however_its_file_is_laid_out() {
        let embedded = Tokenizer::embedded();
        assert_eq!(embedded.difference(&embedded), None);
        let bytes = embedded.files().find(|(name, _)| *name == "tokenizer.json").expect("a file").1;
        let json: serde_json::Value = serde_json::from_slice(bytes).expect("JSON");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("tokenizer.json"), json.to_string()).expect("written");
        let compact = Tokenizer::load(folder.path()).expect("well-formed");
        assert_eq!(embedded.difference(&compact), None);
    }

    #[test]
    fn what_differs_is_told() {
        let fixture = ruminate_testkit::fixture_path("text/byte_level");
        let other = Tokenizer::load(&fixture).expect("a fixture");
        let told = Tokenizer::embedded().difference(&other).expect("another tokenizer");
        assert_eq!(told, r#"the added token "<|pad|>" (id 0) of one is "<|im_end|>" (id 300) in the other"#);
        let renamed = changed("\"z\"", "\"\u{e4}\"");
        let told = Tokenizer::embedded().difference(&renamed).expect("another vocabulary");
        assert!(told.contains("\"z\"") && told.contains("none in the other"), "{told}");
    }
}
