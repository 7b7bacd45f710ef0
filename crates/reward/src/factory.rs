//! Verifiers by name, for recipes and for `ruminate verify`.

use crate::{Countdown, Error, Exact, Format, Verifier};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The names that [`by_name`] knows.
pub const KINDS: &[&str] = &["countdown", "exact", "format"];

/// The verifier of that name with its default options.
///
/// # Errors
/// [`Error::UnknownKind`] with the nearest name.
pub fn by_name(kind: &str) -> Result<Box<dyn Verifier>, Error> {
    with_options(kind, &Map::new())
}

/// The verifier of that name; it takes its own options and ignores other keys, as `ruminate verify` must.
///
/// `format` has `empty_thought`: `"allow"` (default) or `"refuse"`.
///
/// # Errors
/// [`Error::UnknownKind`] with the nearest name; [`Error::Option`] for a value that an option cannot take.
pub fn with_options(kind: &str, options: &Map<String, Value>) -> Result<Box<dyn Verifier>, Error> {
    Ok(match kind {
        "countdown" => Box::new(Countdown),
        "exact" => Box::new(Exact),
        "format" => Box::new(Format { empty_thought: option("format", "empty_thought", options)? }),
        _ => return Err(Error::UnknownKind { kind: kind.to_owned(), nearest: nearest(kind), known: KINDS }),
    })
}

fn option<T: DeserializeOwned + Default>(
    kind: &'static str,
    key: &'static str,
    options: &Map<String, Value>,
) -> Result<T, Error> {
    match options.get(key) {
        None => Ok(T::default()),
        Some(value) => serde_json::from_value(value.clone()).map_err(|error| Error::Option {
            kind,
            key,
            reason: error.to_string(),
        }),
    }
}

/// The known name most like this one, if any is like it at all.
fn nearest(kind: &str) -> Option<&'static str> {
    let kind = kind.to_lowercase();
    let likeness = KINDS.iter().map(|&known| (known, strsim::jaro_winkler(known, &kind)));
    likeness.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|&(_, score)| score > 0.75).map(|(known, _)| known)
}
