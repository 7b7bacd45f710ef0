//! Commands beside the pipelines: options in, files or JSON lines out.

pub(crate) mod bench;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod generate;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod lines;
pub(crate) mod merge;
pub(crate) mod partial;
pub(crate) mod report;
pub(crate) mod score;
pub(crate) mod verify;
