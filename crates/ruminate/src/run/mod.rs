//! A run: what it depends on, which folder is its own, and what it may do.

pub(crate) mod checkpoint;
pub(crate) mod folders;
pub(crate) mod identity;
pub(crate) mod outputs;
pub(crate) mod session;
pub(crate) mod stage;
pub(crate) mod trust;
