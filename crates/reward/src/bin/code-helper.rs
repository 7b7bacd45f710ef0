//! The sandbox's helper for this package's tests and benches of the reward `code`: they are built with the binaries of
//! their own package only.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Started by hand it does nothing.
    ruminate_sandbox::helper_main().unwrap_or(ExitCode::from(2))
}
