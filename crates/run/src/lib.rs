//! Run folders: what a run writes is complete or absent. This crate knows files, hashes and JSON; it refuses to
//! know tensors, recipes and what a metric means.
//!
//! - [`RunFolder`] locks a folder for one run, names what lies in it, and says whether the run is complete.
//! - [`write_file`] and [`FolderWriter`] write under a temporary name, fsync and rename; a folder carries a
//!   [`Manifest`] with the SHA-256 of each file, and only a manifest that [`verify`]s counts.
//! - [`checkpoints`] lists, picks and retires `checkpoints/step-NNNNNN`.
//! - [`JsonlAppender`] writes logs that survive a full disk; [`truncate_after`] rewinds them on resume.
//!
//! Every failure is an [`Error`], whose variants are the causes that a caller treats differently.

mod atomic;
pub mod checkpoints;
mod error;
mod folder;
mod jsonl;
mod manifest;

pub use atomic::{FolderWriter, write_file};
pub use error::{Broken, Error, Fault};
pub use folder::{Completed, Leaves, RunFolder, Status};
pub use jsonl::{Appended, JsonlAppender, Truncation, truncate_after};
pub use manifest::{FileEntry, Manifest, sha256_hex, verify};
