//! What threads are made of: the standard library's. `tests/interleavings.rs` compiles `workers.rs` with a module of
//! this name whose threads a scheduler runs in many orders, and whose clock goes on when the scheduler says so.

pub(crate) use std::sync::Mutex;
pub(crate) use std::sync::mpsc::{Receiver, Sender, channel};
pub(crate) use std::thread::Builder;
pub(crate) use std::time::Instant;
