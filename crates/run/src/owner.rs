//! Who made a folder: `run.json`, the first file that a run writes into its folder. A folder without it belongs to
//! someone else, and [`inspect`] says what it looks like. Nothing is written here.

use crate::error::Error;
use crate::own::is_half_made;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

pub(crate) const RUN: &str = "run.json";
pub(crate) const LOCK: &str = ".lock";

/// Files of a run that say something about it are smaller.
const MAX_BYTES: u64 = 16 << 20;

/// Names that a message lists.
const SHOWN: usize = 3;

/// Who made a run folder: what `run.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The command that the user ran.
    pub command: String,
    /// The command itself, or the stage of it that the folder is for: `base`, `student-base`.
    pub stage: String,
    /// Which run: the beginning of the hash of its resolved recipe.
    pub id: String,
    /// The version of ruminate.
    pub version: String,
    /// Names of the files and folders that the run writes: what may be removed when it is made again.
    #[serde(default)]
    pub files: Vec<String>,
}

/// What lies where a run would write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: the folder is absent, or it is empty.
    Free,
    /// A run.
    Run(Made),
    /// A run of a version that wrote no `run.json`.
    Unmarked {
        /// Its command.
        command: String,
        /// The version.
        version: String,
    },
    /// A `run.json` that makes no sense.
    Unreadable {
        /// Why.
        reason: String,
    },
    /// A model folder that no run made, or that is not a run folder.
    Model {
        /// The file that shows it.
        file: String,
    },
    /// Other files.
    Foreign {
        /// Some of their names.
        names: Vec<String>,
        /// How many more there are.
        more: usize,
    },
    /// Not a folder at all.
    NoFolder {
        /// What it is, with its article.
        kind: &'static str,
    },
}

impl Found {
    /// Whether a run of that command and stage may write here. A run without `run.json` counts by its command alone.
    pub fn is_open_to(&self, run: &Made) -> bool {
        match self {
            Self::Free => true,
            Self::Run(made) => made.command == run.command && made.stage == run.stage,
            Self::Unmarked { command, .. } => *command == run.command,
            _ => false,
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Free => write!(f, "is empty"),
            Self::Run(made) if made.command == made.stage => {
                write!(f, "holds the {} run of recipe {} (ruminate {})", made.command, made.id, made.version)
            }
            Self::Run(made) => write!(
                f,
                "holds the stage {} of the {} run of recipe {} (ruminate {})",
                made.stage, made.command, made.id, made.version
            ),
            Self::Unmarked { command, version } => {
                write!(f, "holds the {command} run of ruminate {version}, which left no {RUN}")
            }
            Self::Unreadable { reason } => write!(f, "has a {RUN} that {reason}"),
            Self::Model { file } => write!(f, "is a model folder: {file} lies in it"),
            Self::Foreign { names, more } => {
                write!(f, "has files that no run made: {}", names.join(", "))?;
                if *more > 0 { write!(f, " and {more} more") } else { Ok(()) }
            }
            Self::NoFolder { kind } => write!(f, "is {kind}, not a folder"),
        }
    }
}

/// Says what lies at `path`, without changing anything.
///
/// # Errors
/// [`Error::Disk`] when it cannot be looked at.
pub fn inspect(path: &Path) -> Result<Found, Error> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(metadata) => return Ok(Found::NoFolder { kind: kind(&metadata) }),
        Err(e) if e.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_ok() => {
            return Ok(Found::NoFolder { kind: "a link that leads nowhere" });
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Found::Free),
        Err(e) => return Err(Error::disk("look at", path)(e)),
    }
    let mut names: Vec<OsString> = Vec::new();
    for entry in fs::read_dir(path).map_err(Error::disk("list", path))? {
        names.push(entry.map_err(Error::disk("list", path))?.file_name());
    }
    names.sort();
    if names.iter().any(|name| name == RUN) {
        return Ok(match read_small(&path.join(RUN)).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?)) {
            Ok(made) => Found::Run(made),
            Err(e) => Found::Unreadable { reason: format!("cannot be read: {e}") },
        });
    }
    names.retain(|name| {
        let is_lock = name == LOCK && is_lock(&path.join(LOCK));
        !is_lock && !name.to_str().is_some_and(is_half_made)
    });
    if names.is_empty() {
        return Ok(Found::Free);
    }
    let config: Value = read_small(&path.join("config.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    if let (Some(command), Some(version)) =
        (config["command"].as_str(), config["versions"]["ruminate"].as_str())
    {
        return Ok(Found::Unmarked { command: command.to_owned(), version: version.to_owned() });
    }
    let is_model = |name: &OsString| {
        let name = name.to_string_lossy();
        let is_config =
            name == "config.json" && (config["model_type"].is_string() || config["architectures"].is_array());
        is_config
            || name == "adapter_config.json"
            || [".safetensors", ".safetensors.index.json"].iter().any(|end| name.ends_with(end))
    };
    if let Some(file) = names.iter().find(|name| is_model(name)) {
        return Ok(Found::Model { file: file.to_string_lossy().into_owned() });
    }
    let shown = names.iter().take(SHOWN).map(|name| name.to_string_lossy().into_owned()).collect();
    Ok(Found::Foreign { names: shown, more: names.len().saturating_sub(SHOWN) })
}

/// A small regular file. Whatever lies there, the read ends.
pub(crate) fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other(format!("it is {}, not a regular file", kind(&metadata))));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("it is larger than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

/// What a file is, with its article.
pub(crate) fn kind(metadata: &fs::Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a folder"
    } else if kind.is_symlink() {
        "a link"
    } else if kind.is_file() {
        "a file"
    } else {
        "a device or a pipe"
    }
}

/// Whether a `.lock` is one of ours: a process id, or nothing yet.
fn is_lock(path: &Path) -> bool {
    let is_file = path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    is_file
        && read_small(path).is_ok_and(|bytes| {
            bytes.len() <= 20 && bytes.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_whitespace())
        })
}
