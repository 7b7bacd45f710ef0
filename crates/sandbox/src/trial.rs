//! Trials of the layers, before the program starts: one that is in place but does not hold is no layer. What takes a
//! raw system call to try (shared memory, say) the tests try from inside.

use crate::job::{Failure, Layers, Namespaces};
use crate::order::Order;
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::kill;
use nix::unistd::{Pid, getppid};
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Tries each layer that `layers` claims; what does not hold is the failure.
pub(super) fn all(order: &Order, layers: Layers) -> Result<(), Failure> {
    let caller = Pid::from_raw(order.caller as i32);
    let written = |outside: &Path| fs::write(outside.join(format!("ruminate-{}", order.nonce)), "").is_ok();
    // Process 1 of a namespace has no parent, and is itself whom it would reach by that number.
    let others = [caller, getppid()].into_iter().filter(|other| *other != Pid::this() && other.as_raw() > 0);
    let reached = |other: Pid| {
        let outside = if layers.namespaces == Namespaces::Own { Errno::ESRCH } else { Errno::EPERM };
        !matches!(kill(other, None), Err(errno) if errno == outside || errno == Errno::EPERM)
    };
    let seen = |other: Pid| layers.own_proc && Path::new("/proc").join(other.to_string()).exists();
    let mut others = others.peekable();
    let trials = [
        (
            "Landlock",
            "a folder be read that no rule names",
            fs::read_dir("/").is_ok() || fs::read_dir("/proc").is_ok(),
        ),
        (
            "Landlock",
            "a file be written outside the job's folder",
            order.folder.parent().is_some_and(written),
        ),
        ("seccomp", "a socket be opened", TcpListener::bind("127.0.0.1:0").is_ok()),
        ("seccomp", "a pair of datagram sockets be opened", UnixDatagram::pair().is_ok()),
        ("seccomp", "memory be shared by a descriptor", memfd_create("trial", MFdFlags::empty()).is_ok()),
        ("/proc", "another process be seen", others.peek().is_some_and(|&other| seen(other))),
        ("limit on signals", "one reach another process", others.any(reached)),
    ];
    match trials.into_iter().find(|(_, _, has_passed)| *has_passed) {
        Some((layer, what, _)) => Err(Failure::layer(layer, format!("it let {what}"))),
        None => Ok(()),
    }
}
