//! What the tests of programs share: a sandbox with this package's helper, and skipping that nobody overlooks.

use ruminate_data::{Prompt, Task, Verdict};
use ruminate_reward::code::sandbox::{Job, Layers, Sandbox};
use ruminate_reward::code::{Code, Options};
use ruminate_reward::{Response, Verifier};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// The helper of this package.
pub(crate) const HELPER: &str = env!("CARGO_BIN_EXE_sandbox-helper");

/// A sandbox and what holds it, or `None` and the reason on standard error.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn sandbox() -> Option<(Arc<Sandbox>, Layers)> {
    let sandbox = Arc::new(Sandbox::new(Path::new(HELPER), 2));
    match sandbox.layers() {
        Ok(layers) => Some((sandbox, layers)),
        Err(failure) => {
            eprintln!("SKIPPED, this system cannot hold untrusted programs: {failure}");
            None
        }
    }
}

/// A verifier of programs, or `None` where there is no sandbox or its interpreter does not start in it.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn code(options: Options) -> Option<Code> {
    let (sandbox, _) = sandbox()?;
    let program = options.command.first().unwrap_or(&options.python).clone();
    let arguments = ["-c".to_owned(), String::new()];
    if let Err(failure) =
        sandbox.run(&Job { program: [vec![program], arguments.to_vec()].concat(), ..Job::default() })
    {
        eprintln!("SKIPPED: {failure}");
        return None;
    }
    Some(code_unchecked(options))
}

/// A verifier of programs, whatever starts.
pub(crate) fn code_unchecked(options: Options) -> Code {
    Code::new(Arc::new(Sandbox::new(Path::new(HELPER), 2)), options).expect("valid options")
}

/// The verdict on a program in a fenced block, with the task's columns.
pub(crate) fn judge(code: &Code, program: &str, columns: Value) -> Verdict {
    let columns = columns.as_object().cloned().expect("an object");
    let task = Task { prompt: Prompt::Text(String::new()), answer: String::new(), columns };
    code.verify(&task, &Response::finished(&format!("```python\n{program}\n```")))
}
