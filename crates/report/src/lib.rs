//! What a run folder says, for eyes: one static HTML page, and TensorBoard's event files. This crate knows the files
//! of a run folder and what their numbers mean; it refuses to know tensors, tokenizers and how runs come about.
//!
//! - [`read`] takes in a run folder, or a folder of run folders, as far as it goes: a run that is still at it has
//!   fewer files, a damaged one is an [`Error`] with path and line.
//! - [`html`] makes the page: charts as SVG drawn here, so that it reads and prints without a script; no request to
//!   anywhere; what a policy wrote is escaped, and a content policy lets only the page's own script run.
//! - [`tensorboard::EventFile`] appends scalars in TensorBoard's format.

mod chart;
mod error;
mod escape;
mod facts;
mod figures;
mod folder;
mod heat;
mod inspector;
mod lines;
mod page;
mod pairs;
mod records;
mod stages;
pub mod tensorboard;

pub use error::Error;
pub use folder::{Report, Run, read};
pub use lines::Table;
pub use page::html;
pub use records::{Alarm, Completion, Evaluation, Load, Sample, TokenRow};
