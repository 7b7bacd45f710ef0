//! What the caller's process, the supervisor and the jail exchange: an order in, a reply out, as JSON on standard
//! input and output. It knows the messages, not what is done about them.

use crate::job::{Ended, Failure, Job, Layers};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// Arguments with which the caller starts the supervisor.
pub(crate) const SUPERVISOR: [&str; 2] = ["sandbox-helper", "supervisor"];

/// Arguments with which the supervisor starts the jail.
#[cfg(target_os = "linux")]
pub(crate) const INSIDE: [&str; 2] = ["sandbox-helper", "jail"];

/// What the jail writes before its reply, when it is about to start the program.
#[cfg(target_os = "linux")]
pub(crate) const STARTED: &[u8] = b"started\n";

/// What the caller hands to the supervisor, and the supervisor to the jail.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Comes back with the reply.
    pub(crate) nonce: u64,
    /// The process that waits for the reply: without it the job is pointless.
    pub(crate) caller: u32,
    /// Where the program starts; exists, and is for this job alone.
    pub(crate) folder: PathBuf,
    pub(crate) task: Assignment,
    /// Whether the helper's standard error is a channel, for the program's standard input, and which end of it.
    pub(crate) end: Option<End>,
    /// What the supervisor has found out for the jail.
    pub(crate) layers: Option<Layers>,
}

/// What the helper is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Assignment {
    Run(Job),
    /// Set up the sandbox and report its layers.
    Probe,
}

/// Which end of a pair's channel a job has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    /// It may finish when the other job has gone.
    Asking,
    /// It is ended when the other job has gone.
    Answering,
}

/// What the helper hands back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) nonce: u64,
    pub(crate) result: Result<Answer, Failure>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Ended(Ended),
    Layers(Layers),
}

/// Reads the order on standard input.
pub(crate) fn read_order() -> Result<Order, Failure> {
    let failed = |reason: String| Failure::Helper { helper: SUPERVISOR.join(" "), reason };
    let mut text = Vec::new();
    std::io::stdin().lock().read_to_end(&mut text).map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&text)
        .map_err(|error| failed(format!("expected an order on standard input, found {error}")))
}

/// Writes the reply to standard output.
pub(crate) fn reply_with(nonce: u64, result: Result<Answer, Failure>) {
    let mut line = serde_json::to_vec(&Reply { nonce, result }).unwrap_or_default();
    line.push(b'\n');
    // A write fails where the caller has gone, which then needs no reply.
    let _ = std::io::stdout().lock().write_all(&line);
}

/// The channel of a pair, which came as standard error; this process writes nothing to it from here on.
#[cfg(target_os = "linux")]
pub(crate) fn take_channel(order: &Order) -> Result<Option<OwnedFd>, Failure> {
    if order.end.is_none() {
        return Ok(None);
    }
    let take = || {
        let channel = std::io::stderr().as_fd().try_clone_to_owned()?;
        nix::unistd::dup2_stderr(std::fs::OpenOptions::new().write(true).open("/dev/null")?)?;
        Ok(channel)
    };
    take().map(Some).map_err(|error: std::io::Error| Failure::layer("channel of its pair", error))
}
