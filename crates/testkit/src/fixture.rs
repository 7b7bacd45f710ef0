//! The files of `fixtures/`. Reads them whole, and knows nothing of what they mean.

use std::path::PathBuf;

use serde::de::DeserializeOwned;

/// The absolute path of `relative` in the workspace's `fixtures/` folder.
///
/// ```
/// let folder = ruminate_testkit::fixture_path("model/llama_tied");
/// assert!(folder.join("config.json").is_file());
/// ```
pub fn fixture_path(relative: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures")).join(relative)
}

/// The JSON file `relative` of `fixtures/`, as the caller's type.
///
/// # Panics
/// When the file is absent or has another form.
#[track_caller]
pub fn json<T: DeserializeOwned>(relative: &str) -> T {
    serde_json::from_slice(&read(relative)).unwrap_or_else(|why| panic!("fixture {relative}: {why}"))
}

#[track_caller]
pub(crate) fn read(relative: &str) -> Vec<u8> {
    let path = fixture_path(relative);
    std::fs::read(&path).unwrap_or_else(|why| panic!("fixture {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::json;

    #[test]
    fn json_is_read_as_the_callers_type() {
        #[derive(serde::Deserialize)]
        struct Config {
            model_type: String,
        }

        let config: Config = json("model/llama_tied/config.json");

        assert_eq!(config.model_type, "llama");
    }

    #[test]
    #[should_panic(expected = "fixtures/model/absent.json")]
    fn an_absent_file_is_named() {
        let _: serde_json::Value = json("model/absent.json");
    }
}
