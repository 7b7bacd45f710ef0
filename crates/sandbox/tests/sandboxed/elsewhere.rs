//! The tests of a file once more, in a process with fewer rights.

use super::sandboxed;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Set in the process that [`again`] starts.
pub(crate) const REARRANGED: &str = "RUMINATE_TESTS_REARRANGED";

/// Runs the other tests of this file once more, in a process that `arrange` has changed.
pub(crate) fn again(arrange: impl FnOnce(&mut Command) + Send + 'static) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut tests = Command::new(std::env::current_exe().expect("this program"));
    // One at a time: where an account's processes are counted together, a fork bomb takes its neighbours' too.
    tests
        .args(["--skip", "elsewhere", "--test-threads", "1"])
        .stdin(Stdio::null())
        .env("TMPDIR", "/tmp")
        .env(REARRANGED, "1")
        .current_dir("/");
    // On a thread of its own: filters hold for the thread that takes them, and its children.
    let output = thread::spawn(move || {
        arrange(&mut tests);
        tests.output()
    });
    match output.join().expect("the thread") {
        Err(error) => sandboxed::skip(format!("another account: {error}")),
        Ok(output) => {
            let (stdout, stderr) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{stdout}\n{stderr}");
        }
    }
}

/// Runs the other tests of this file as an ordinary user, where this process may become one.
pub(crate) fn as_an_ordinary_user(arrange: impl FnOnce() + Send + 'static) {
    const ORDINARY: u32 = 65_534;
    if nix::unistd::Uid::effective().is_root() {
        again(move |tests| {
            tests.uid(ORDINARY).gid(ORDINARY);
            arrange();
        });
    }
}

/// From here on no namespace can be made, as in many containers.
pub(crate) fn forbid_namespaces() {
    use nix::libc;
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
    let rules = [(libc::SYS_unshare, Vec::new())].into();
    let architecture = std::env::consts::ARCH.try_into().expect("a known architecture");
    let denied = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied, architecture).expect("a filter");
    apply_filter(&BpfProgram::try_from(filter).expect("a program")).expect("the kernel takes it");
}
