//! The helper: this program started again, with an argument that no person types. It is a program of its own so that
//! it can limit itself before the untrusted one starts, which takes no `unsafe`. It has two stages, the supervisor and
//! the jail, and this file starts the one that the arguments name.

use crate::Failure;
#[cfg(target_os = "linux")]
use crate::order::INSIDE;
use crate::order::{SUPERVISOR, read_order, reply_with};
use std::ffi::OsStr;
use std::process::ExitCode;

/// To be called first in the `main` of the program that [`Sandbox::new`](crate::Sandbox::new) names, while there is
/// one thread.
///
/// Where the program was started as the helper, this does the helper's work and returns the exit code with which
/// `main` must end. At any other start it returns `None` at once.
pub fn helper_main() -> Option<ExitCode> {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let is = |stage: [&str; 2]| args.iter().map(AsRef::<OsStr>::as_ref).eq(stage.map(OsStr::new));
    if is(SUPERVISOR) {
        #[cfg(target_os = "linux")]
        run(crate::supervisor::run);
        #[cfg(not(target_os = "linux"))]
        refuse(Failure::layer("Landlock and seccomp", "they are Linux's"));
        return Some(ExitCode::SUCCESS);
    }
    #[cfg(target_os = "linux")]
    if is(INSIDE) {
        run(crate::jail::run);
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

/// Closes files that the caller, or a library in it, holds open without `O_CLOEXEC`: they are not for the program.
/// Where they cannot be listed, nothing runs.
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
