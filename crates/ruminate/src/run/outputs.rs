//! Result files that the user names, and paths in JSON. It does not know what is written.

use crate::error::Refusal;
use anyhow::Result;
use ruminate_run::{Found, inspect, is_run_file};
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders above a file that are looked at for a run: `checkpoints/step-000010/adapter/` is three below it.
const DEPTH: usize = 4;

/// Endings of the files that make up a model folder.
const MODEL_FILES: [&str; 7] = ["json", "safetensors", "jinja", "model", "txt", "bin", "gguf"];

/// A path as JSON. One that is not UTF-8 has U+FFFD in the place of what is not.
pub(crate) fn json(path: &Path) -> Value {
    Value::String(path.to_string_lossy().into_owned())
}

/// A path without links and dots, as far as it exists.
pub(crate) fn resolve(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (mut at, mut rest): (&Path, Vec<OsString>) = (&absolute, Vec::new());
    loop {
        if let Ok(mut real) = at.canonicalize() {
            for part in rest.iter().rev() {
                if part == ".." {
                    real.pop();
                } else {
                    real.push(part);
                }
            }
            return real;
        }
        let Some(parent) = at.parent() else { return absolute };
        rest.push(at.file_name().map_or_else(|| "..".into(), ToOwned::to_owned));
        at = parent;
    }
}

/// Checks that a result may be written to `path`: it is no folder, not the `input`, and no file of a run or of a model
/// folder.
///
/// # Errors
/// With exit code 2.
pub(crate) fn check(flag: &str, path: &Path, input: Option<&Path>) -> Result<()> {
    let Ok(metadata) = fs::metadata(path) else { return Ok(()) };
    let refused = |problem: String| {
        Err(Refusal::usage(format!("{flag} {} {problem}; choose another file", path.display())))
    };
    if metadata.is_dir() {
        return refused("is a folder, expected a file".to_owned());
    }
    if !metadata.is_file() {
        return Ok(());
    }
    let place = resolve(path);
    if input.is_some_and(|input| resolve(input) == place) {
        return refused("is the file that --input reads".to_owned());
    }
    for folder in place.ancestors().skip(1).take(DEPTH) {
        let relative = place.strip_prefix(folder).unwrap_or(&place);
        match inspect(folder)? {
            found @ (Found::Run(_) | Found::Unmarked { .. })
                if is_run_file(relative) && relative != Path::new("report.html") =>
            {
                return refused(format!("belongs to the run folder {}, which {found}", folder.display()));
            }
            Found::Model { .. }
                if relative.components().count() == 1
                    && place.extension().is_some_and(|end| MODEL_FILES.iter().any(|known| end == *known)) =>
            {
                return refused(format!("belongs to the model folder {}", folder.display()));
            }
            _ => {}
        }
    }
    Ok(())
}
