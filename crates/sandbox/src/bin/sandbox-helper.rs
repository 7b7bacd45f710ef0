//! The helper as a program of its own, for callers whose `main` cannot call
//! [`helper_main`](ruminate_sandbox::helper_main): the path of this binary is what
//! [`Sandbox::new`](ruminate_sandbox::Sandbox::new) takes.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Started by hand it does nothing.
    ruminate_sandbox::helper_main().unwrap_or(ExitCode::from(2))
}
