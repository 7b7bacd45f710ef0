//! The text side of a trainer: problems by index, completions judged, and what a text is measured for. No tensor.

pub(crate) mod problems;
pub(crate) mod scoring;
pub(crate) mod watch;
