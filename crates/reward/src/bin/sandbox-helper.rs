//! The helper of the `code` reward as a program of its own, for those who use this crate as a library: the path of
//! this binary is what [`Sandbox::new`](ruminate_reward::code::sandbox::Sandbox::new) takes.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Whoever starts it by hand learns nothing but that this is not how.
    ruminate_reward::code::sandbox::helper_main().unwrap_or(ExitCode::from(2))
}
