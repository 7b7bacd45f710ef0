//! Run folders: what a run writes is complete or absent, and what the rows of its logs say. This crate knows files, hashes and
//! JSON, and no tensors and no recipes.
//!
//! - [`RunFolder`] locks a folder for one run, names what lies in it, and says whether the run is complete. A folder
//!   belongs to the run that its `run.json` ([`Made`]) names; [`inspect`] says what lies in any other.
//! - [`clear`] removes what runs write, by name, and nothing else.
//! - [`write_file`] and [`FolderWriter`] write under a temporary name, fsync and rename; a folder carries a
//!   [`Manifest`] with the SHA-256 of each file, and only a manifest that [`verify`]s counts.
//! - [`checkpoints`] lists, picks and retires `checkpoints/step-NNNNNN`; [`Best`] names the best of them.
//! - [`OutputFile`] writes a result file that the user names, and never replaces a device, a pipe or a link.
//! - [`JsonlAppender`] writes logs that survive a full disk; [`truncate_after`] rewinds them on resume.
//! - [`rows`] has the rows of the logs, typed for those who write and those who read them.
//!
//! Every failure is an [`Error`], whose variants are the causes that a caller treats differently.
//!
//! # Example
//!
//! A checkpoint that is committed, and one that was interrupted:
//!
//! ```
//! use ruminate_run::{checkpoints, verify};
//! use serde_json::json;
//!
//! let run = tempfile::tempdir().expect("a temporary folder");
//! let checkpoint = checkpoints::create(run.path(), 1)?;
//! checkpoint.write("weights.bin", &[7; 1024])?;
//! checkpoint.commit(json!({ "step": 1 }))?;
//!
//! let interrupted = checkpoints::create(run.path(), 2)?;
//! interrupted.write("weights.bin", &[8; 512])?;
//! drop(interrupted); // never committed: no checkpoint
//!
//! let newest = checkpoints::newest(run.path())?;
//! let (found, _) = newest.found.expect("the first one");
//! assert_eq!(found.step, 1);
//! assert!(verify(&found.path).is_ok());
//! # Ok::<(), ruminate_run::Error>(())
//! ```

mod atomic;
mod best;
pub mod checkpoints;
mod error;
mod folder;
mod jsonl;
mod lock;
mod manifest;
mod output;
mod own;
mod owner;
pub mod rows;

pub use atomic::{FolderWriter, make_parents, remove_committed, write_file, write_file_with};
pub use best::Best;
pub use error::{Corrupt, Error, Fault};
pub use folder::{Artifact, Completed, RunFolder, Status};
pub use jsonl::{Appended, JsonlAppender, Truncation, check_regular, truncate_after};
pub use lock::Lock;
pub use manifest::{FileEntry, Manifest, sha256_hex, verify};
pub use output::OutputFile;
pub use own::{clear, is_run_file};
pub use owner::{Found, Made, inspect};

/// The examples of the README are tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
