//! Runs a program that reads, computes, and then tries what it may not:
//! `cargo run -p ruminate-sandbox --example run`, or with a program of your own behind `--`.

use ruminate_sandbox::{Job, Limits, Sandbox, helper_main};
use std::error::Error;
use std::process::ExitCode;

#[expect(clippy::print_stdout, reason = "an example shows its result")]
fn main() -> Result<ExitCode, Box<dyn Error>> {
    // First, while there is one thread: the helper is this program, started again.
    if let Some(code) = helper_main() {
        return Ok(code);
    }
    let mut program: Vec<String> = std::env::args().skip(1).collect();
    if program.is_empty() {
        let script = "read n; echo $((n * 2)); ls /; echo 1 > /tmp/escaped; exit 7";
        program = ["sh", "-c", script].map(str::to_owned).to_vec();
    }
    let sandbox = Sandbox::new(std::env::current_exe()?, 1);
    match sandbox.layers() {
        Ok(layers) => println!("- {}", layers.words().join("\n- ")),
        Err(failure) => {
            println!("nothing can run here: {failure}");
            return Ok(ExitCode::SUCCESS);
        }
    }
    let limits = Limits { timeout_ms: 2_000, memory_mb: 256, ..Limits::default() };
    let ended = sandbox.run(&Job { program, stdin: "21\n".to_owned(), limits, ..Job::default() })?;
    println!("{:?}\nstdout: {}stderr: {}", ended.ending, ended.stdout, ended.stderr);
    Ok(ExitCode::SUCCESS)
}
