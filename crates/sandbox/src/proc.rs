//! A `/proc` of the job's own, in its namespaces: not even the numbers of other processes can be seen. What can be read
//! in it is for Landlock to decide.

use crate::job::Failure;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use std::fs;

/// Mounts it, for the jail alone: the supervisor goes on to watch by the old one. Containers that hide a part of their
/// own do not permit it, and then the old one stays: an empty one would leave programs without the path by which the
/// loader finds their libraries.
pub(super) fn mount_own() -> bool {
    let no: Option<&str> = None;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    unshare(CloneFlags::CLONE_NEWNS).is_ok() && mount(Some("proc"), "/proc", Some("proc"), flags, no).is_ok()
}

/// From the namespace's root to the job's own account, in a namespace that owns nothing: whatever is started there has
/// no rights beyond the account's.
pub(super) fn leave_root() -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::layer("namespace without rights", error);
    let (user, group) = (outside("uid_map").map_err(failed)?, outside("gid_map").map_err(failed)?);
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|error| failed(error.into()))?;
    // A helper that its account may not read is started with /proc/self not its own.
    prctl::set_dumpable(true).map_err(|error| failed(error.into()))?;
    fs::write("/proc/self/setgroups", "deny").map_err(failed)?;
    fs::write("/proc/self/uid_map", format!("{user} 0 1")).map_err(failed)?;
    fs::write("/proc/self/gid_map", format!("{group} 0 1")).map_err(failed)
}

/// What the namespace's root is outside of it: `INSIDE OUTSIDE COUNT`.
fn outside(map: &str) -> std::io::Result<u32> {
    let map = fs::read_to_string(format!("/proc/self/{map}"))?;
    let outside = map.split_whitespace().nth(1).and_then(|number| number.parse().ok());
    outside.ok_or_else(|| std::io::Error::other(format!("expected a map of one account, found {map:?}")))
}
