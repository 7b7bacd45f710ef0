//! Verifiers, which judge one response to a task, a file each.

pub(crate) mod choice;
pub mod code;
pub(crate) mod countdown;
pub(crate) mod exact;
pub(crate) mod format;
pub(crate) mod ifeval;
pub(crate) mod json;
pub(crate) mod language;
pub(crate) mod math;
pub(crate) mod number;
pub(crate) mod overlong;
pub(crate) mod pattern;
pub(crate) mod repetition;
mod stopwords;
pub(crate) mod text;
