//! Renders a run folder as an HTML report and as TensorBoard events. This crate knows the files of a run folder and
//! what their numbers mean; it knows no tensors, no tokenizers and not how runs come about.
//!
//! - [`read`] reads a run folder, or a folder of run folders, as far as it goes: an unfinished run has fewer files, a
//!   damaged file is an [`Error`] with path and line.
//! - [`html`] makes a self-contained page: charts are SVG, so that it reads and prints without a script; it requests
//!   nothing; what a policy wrote is escaped, and a content policy lets only the page's own script run.
//! - [`csv`](csv()) makes a table of the numbers of a run's steps.
//! - [`tensorboard::EventFile`] appends scalars in TensorBoard's format.
//!
//! # Example
//!
//! ```
//! let run = tempfile::tempdir()?;
//! let rows = "{\"step\":1,\"reward\":0.25}\n{\"step\":2,\"reward\":0.75}\n";
//! std::fs::write(run.path().join("metrics.jsonl"), rows)?;
//!
//! let report = ruminate_report::read(run.path())?;
//! assert_eq!(report.runs[0].metrics.steps, [1, 2]);
//! let page = ruminate_report::html(&report);
//! assert!(page.starts_with("<!DOCTYPE html>") && page.contains("reward"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod before_after;
mod chart;
mod csv;
mod error;
mod escape;
mod expert_heatmap;
mod figures;
mod folder;
mod header;
mod inspector;
mod lines;
mod page;
mod stages;
pub mod tensorboard;

pub use csv::csv;
pub use error::Error;
pub use folder::{Report, Run, read};
pub use lines::Table;
pub use page::html;

/// The examples of the README are tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
