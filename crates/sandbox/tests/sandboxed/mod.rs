//! What the tests of programs share: a sandbox with the helper of the package under test, and skipping that is seen.

use super::HELPER;
use ruminate_sandbox::{Layers, Sandbox};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// A sandbox and what holds it, or `None` and the reason on standard error.
pub(crate) fn sandbox() -> Option<(Arc<Sandbox>, Layers)> {
    let sandbox = Arc::new(Sandbox::new(Path::new(HELPER), 2));
    match sandbox.layers() {
        Ok(layers) => Some((sandbox, layers)),
        Err(failure) => {
            skip(failure);
            None
        }
    }
}

/// Reports that a test shows nothing on this system. Written to the stream itself, since the harness does not print the
/// output of a test that passes.
pub(crate) fn skip(reason: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "SKIPPED, programs cannot be held or started here: {reason}");
}
