//! What `permits.rs` waits with: the standard library's.

pub(crate) use std::sync::{Condvar, Mutex};
