//! Resource limits of the jail and all that it starts. It knows no policy: the numbers are the order's.

use crate::job::{Account, Failure, Layers, Limits, Namespaces};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Uid;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Open files of a process. Each may be a pipe or a socket, whose buffers are memory.
pub(super) const DESCRIPTORS: u64 = 64;

/// Signals that wait, and timers, of an account: the kernel keeps memory for each.
const SIGNALS: u64 = 1_024;

/// How many times its processes a job is given where they are not counted by job.
const BACKSTOP: u64 = 8;

pub(super) fn apply(limits: &Limits, layers: Layers) -> Result<(), Failure> {
    let processes = match (layers.namespaces, layers.account) {
        // The kernel counts all that the account runs, other jobs, too: this can only be a backstop, and the
        // supervisor's watch is the limit.
        (Namespaces::Shared, Account::Shared) => threads_of_account() + BACKSTOP * limits.processes,
        _ => limits.processes,
    };
    // Of each process; the supervisor's watch has the sum of them.
    let seconds = limits.timeout_ms.div_ceil(1_000) + 1;
    for (resource, value) in [
        (Resource::RLIMIT_AS, limits.memory_mb << 20),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_CPU, seconds),
        (Resource::RLIMIT_FSIZE, limits.files_mb << 20),
        (Resource::RLIMIT_MSGQUEUE, 0),
        (Resource::RLIMIT_NOFILE, DESCRIPTORS),
        (Resource::RLIMIT_NPROC, processes),
        (Resource::RLIMIT_SIGPENDING, SIGNALS),
    ] {
        let failed = |error| Failure::layer(&format!("limit {resource:?}"), error);
        let (_, most) = getrlimit(resource).map_err(failed)?;
        let value = value.min(most);
        setrlimit(resource, value, value).map_err(failed)?;
    }
    Ok(())
}

/// Threads that run under this account.
fn threads_of_account() -> u64 {
    let account = Uid::effective().as_raw();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let own = entries.filter(|entry| entry.metadata().is_ok_and(|metadata| metadata.uid() == account));
    own.filter_map(|entry| fs::read_dir(entry.path().join("task")).ok())
        .map(|tasks| tasks.count() as u64)
        .sum()
}
