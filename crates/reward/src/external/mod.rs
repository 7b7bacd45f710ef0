//! Rewards that run programs or ask servers, by name, for recipes. They are apart from
//! [`with_options`](crate::with_options) because that one takes its options from data, too (`ruminate verify`): no line
//! of data may name a program.

pub(crate) mod address;
pub(crate) mod command;
pub(crate) mod http;
mod protocol;

use crate::verifiers::code::{self, Code};
use crate::{Error, Verifier};
use command::CommandReward;
use http::HttpReward;
use ruminate_sandbox::Sandbox;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::Arc;
use std::thread;

/// The names that [`external`] knows.
pub const EXTERNAL_KINDS: &[&str] = &["code", "command", "http"];

/// The reward of that name with its options, or `None` when it is none of [`EXTERNAL_KINDS`]. `helper` is the program
/// that [`helper_main`](ruminate_sandbox::helper_main) describes.
///
/// # Errors
/// [`Error::Option`] for an option that does not exist, or a value that it cannot take.
pub fn external(
    kind: &str,
    options: &Map<String, Value>,
    helper: &Path,
) -> Option<Result<Box<dyn Verifier>, Error>> {
    Some(match kind {
        "code" => in_sandbox(options, helper).map(|code| Box::new(code) as Box<dyn Verifier>),
        "command" => read("command", options)
            .and_then(|options| CommandReward::new("command", options))
            .map(|reward| Box::new(reward) as Box<dyn Verifier>),
        "http" => read("http", options)
            .and_then(|options| HttpReward::new("http", options))
            .map(|reward| Box::new(reward) as Box<dyn Verifier>),
        _ => return None,
    })
}

/// The reward `code` with its options, one program per core at a time. Show [`Code::warning`] to the person who turns
/// it on.
///
/// # Errors
/// As [`external`].
pub fn in_sandbox(options: &Map<String, Value>, helper: &Path) -> Result<Code, Error> {
    let options: code::Options = read("code", options)?;
    let workers = thread::available_parallelism().map_or(1, usize::from);
    Code::new(Arc::new(Sandbox::new(helper, workers)), options)
}

fn read<T: DeserializeOwned>(kind: &'static str, options: &Map<String, Value>) -> Result<T, Error> {
    serde_json::from_value(Value::Object(options.clone())).map_err(|error| Error::Option {
        kind,
        key: "options",
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::{EXTERNAL_KINDS, external};
    use crate::{KINDS, with_options};
    use serde_json::{Value, json};
    use std::path::Path;

    fn error(kind: &str, options: Value) -> Option<String> {
        let options = options.as_object().cloned().unwrap_or_default();
        external(kind, &options, Path::new("helper"))?.err().map(|error| error.to_string())
    }

    #[test]
    fn options_are_taken_and_slips_refused_by_name() {
        assert_eq!(error("code", json!({"timeout_ms": 100, "memory_mb": 512, "scoring": "fraction"})), None);
        assert_eq!(error("command", json!({"command": ["cat"], "workers": 2})), None);
        assert_eq!(error("http", json!({"url": "http://localhost:1/"})), None);
        for (kind, options, says) in [
            ("code", json!({"timeout": 100}), "timeout"),
            ("code", json!({"memory_mb": 1}), "memory_mb"),
            ("code", json!({"file": "../main.py"}), "file"),
            ("command", json!({}), "command"),
            ("command", json!({"command": ["cat"], "worker": 2}), "worker"),
            ("http", json!({"url": "localhost"}), "url"),
        ] {
            let error = error(kind, options.clone());
            assert!(error.as_ref().is_some_and(|error| error.contains(says)), "{options}: {error:?}");
        }
    }

    #[test]
    fn no_line_of_data_names_a_program() {
        let options = json!({"command": ["cat"], "url": "http://localhost:1/"});
        for kind in EXTERNAL_KINDS {
            assert!(!KINDS.contains(kind));
            assert!(with_options(kind, options.as_object().expect("an object")).is_err(), "{kind}");
        }
    }
}
