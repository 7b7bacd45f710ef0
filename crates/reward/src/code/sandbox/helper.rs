//! The helper: this program started again, with an argument that nobody types. It is a program of its own so that
//! it can limit itself before the untrusted one starts, which takes no `unsafe`.

use super::job::{Answer, Failure, Order, Reply};
use std::ffi::OsStr;
use std::io::{Read, Write};
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

/// What the trainer starts the helper with.
pub(super) const WARDEN: [&str; 2] = ["sandbox-helper", "warden"];

/// What the first stage starts the second with.
#[cfg(target_os = "linux")]
pub(super) const INSIDE: [&str; 2] = ["sandbox-helper", "inside"];

/// What the second stage writes before its reply, when it is about to start the program.
#[cfg(target_os = "linux")]
pub(super) const STARTED: &[u8] = b"started\n";

/// To be called first in the `main` of a program that is named as the helper of a [`Sandbox`](super::Sandbox), while
/// there is one thread: where the program was started as the helper, does that work, and says with what code to
/// end. `None` is any other start.
pub fn helper_main() -> Option<ExitCode> {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let is = |stage: [&str; 2]| args.iter().map(AsRef::<OsStr>::as_ref).eq(stage.map(OsStr::new));
    if is(WARDEN) {
        #[cfg(target_os = "linux")]
        run(super::warden::run);
        #[cfg(not(target_os = "linux"))]
        refuse(Failure::layer("Landlock and seccomp", "they are Linux's"));
        return Some(ExitCode::SUCCESS);
    }
    #[cfg(target_os = "linux")]
    if is(INSIDE) {
        run(super::inside::run);
        return Some(ExitCode::SUCCESS);
    }
    None
}

#[cfg(target_os = "linux")]
fn run(stage: fn()) {
    match close_strays() {
        Ok(()) => stage(),
        Err(error) => refuse(Failure::layer("list of open files in /proc", error)),
    }
}

/// The channel of a pair, which came as standard error; nothing of this process is written to it from here on.
#[cfg(target_os = "linux")]
pub(super) fn take_channel(order: &Order) -> Result<Option<OwnedFd>, Failure> {
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

/// Files that the trainer, or a library in it, holds open without `O_CLOEXEC` are not for the program. Where they
/// cannot be listed, nothing runs.
#[cfg(target_os = "linux")]
fn close_strays() -> std::io::Result<()> {
    // All of them first: the folder that is being read is one of them, and is closed by then.
    let number = |entry: std::io::Result<std::fs::DirEntry>| {
        Ok(entry?.file_name().to_str().and_then(|n| n.parse().ok()))
    };
    let open =
        std::fs::read_dir("/proc/self/fd")?.map(number).collect::<std::io::Result<Vec<Option<i32>>>>()?;
    for stray in open.into_iter().flatten().filter(|&descriptor| descriptor > 2) {
        let _ = nix::unistd::close(stray);
    }
    Ok(())
}

fn refuse(failure: Failure) {
    reply_with(read_order().map_or(0, |order| order.nonce), Err(failure));
}

pub(super) fn read_order() -> Result<Order, Failure> {
    let failed = |reason: String| Failure::Helper { helper: WARDEN.join(" "), reason };
    let mut text = Vec::new();
    std::io::stdin().lock().read_to_end(&mut text).map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&text)
        .map_err(|error| failed(format!("expected an order on standard input, found {error}")))
}

pub(super) fn reply_with(nonce: u64, result: Result<Answer, Failure>) {
    let mut line = serde_json::to_vec(&Reply { nonce, result }).unwrap_or_default();
    line.push(b'\n');
    // A write fails where the trainer has gone, which then needs no reply.
    let _ = std::io::stdout().lock().write_all(&line);
}
