//! JSON files of a model folder: bounded in bytes and in values, with the numbers that only Python writes. It refuses to
//! know what their keys are for.

use super::error::LoadError;
use super::{kind, refused};
use ruminate_files::MAX_CONFIG_BYTES;
use serde_json::Value;
use std::borrow::Cow;
use std::path::Path;

/// Values of such a file, counted before any is made: in memory each takes up to 500 bytes.
const MAX_VALUES: usize = 120_000;

/// A JSON file of a model folder.
///
/// # Errors
/// It cannot be read, is too large, is a file of another kind, or is no JSON.
pub(crate) fn read_json(path: &Path) -> Result<Value, LoadError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let text = ruminate_files::read(folder, &name, MAX_CONFIG_BYTES).map_err(|error| refused(error, path))?;
    if let Some(found) = kind::of(&text) {
        return Err(LoadError::Kind { path: path.to_owned(), found });
    }
    let (plain, values) = without_special_floats(&text);
    if values > MAX_VALUES {
        return Err(LoadError::Values { path: path.to_owned(), limit: MAX_VALUES });
    }
    serde_json::from_slice(&plain).map_err(|source| LoadError::Json { path: path.to_owned(), source })
}

/// The text with `Infinity`, `-Infinity` and `NaN`, which Python's `json` writes and no JSON has, as newer transformers
/// writes them (`{"__float__": "Infinity"}`), and an upper bound of its values.
fn without_special_floats(text: &[u8]) -> (Cow<'_, [u8]>, usize) {
    const SPECIAL: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    let mut replaced: Option<Vec<u8>> = None;
    let (mut values, mut at, mut copied, mut in_text) = (1, 0, 0, false);
    while at < text.len() {
        match text[at] {
            b'\\' if in_text => at += 1,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => values += 1,
            b'-' | b'I' | b'N' if !in_text => {
                let rest = &text[at..];
                if let Some(special) = SPECIAL.iter().find(|special| rest.starts_with(special.as_bytes())) {
                    let out = replaced.get_or_insert_with(Vec::new);
                    out.extend(&text[copied..at]);
                    out.extend(format!("{{\"__float__\":\"{special}\"}}").into_bytes());
                    values += 1;
                    at += special.len();
                    copied = at;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    match replaced {
        Some(mut out) => {
            out.extend(&text[copied..]);
            (Cow::Owned(out), values)
        }
        None => (Cow::Borrowed(text), values),
    }
}

#[cfg(test)]
mod tests {
    use super::without_special_floats;
    use serde_json::{Value, json};

    #[test]
    fn numbers_of_python_become_those_of_transformers_and_texts_stay() {
        let text = br#"{"a": Infinity, "b": [-Infinity,NaN, -1], "c": "NaN, \"Infinity", "NaN": "\\"}"#;
        let (plain, values) = without_special_floats(text);
        let parsed: Value = serde_json::from_slice(&plain).expect("JSON");
        let float = |name: &str| json!({ "__float__": name });
        assert_eq!(
            parsed,
            json!({
                "a": float("Infinity"), "b": [float("-Infinity"), float("NaN"), -1],
                "c": "NaN, \"Infinity", "NaN": "\\",
            })
        );
        assert!(values >= 10, "{values}");
    }

    #[test]
    fn every_value_is_counted() {
        for (text, most) in [("[]", 2), ("[1,2,3]", 4), (r#"{"a":[{},{}]}"#, 6), (r#""a,b,[""#, 1)] {
            assert_eq!(without_special_floats(text.as_bytes()).1, most, "{text}");
        }
    }
}
