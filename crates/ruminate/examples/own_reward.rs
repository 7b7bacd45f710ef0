//! A reward of one's own: GRPO that pays for palindromes. Any function from a problem and a completion to a verdict will do.
//! `cargo run --release -p ruminate --example own_reward -- [KEY=VALUE]...`

use ruminate::thoughts::Look;
use ruminate::{Response, RunOptions, Task, Verdict, register_verifier, train_rl};
use std::process::ExitCode;

/// Whether what stands behind the thought reads the same backwards, as a share of its characters.
fn palindrome(_: &Task, response: &Response<'_>) -> Verdict {
    let answer: Vec<char> =
        response.text.rsplit("</think>").next().unwrap_or_default().trim().chars().collect();
    let same = answer.iter().zip(answer.iter().rev()).filter(|(a, b)| a == b).count();
    let share = same as f64 / answer.len().max(1) as f64;
    if share == 1.0 { Verdict::correct(1.0) } else { Verdict::wrong(share) }
}

fn run() -> Result<(), ruminate::Error> {
    register_verifier("palindrome", palindrome)?;
    let options = RunOptions { out: Some("runs/example-palindromes".into()), ..RunOptions::default() };
    let options = std::env::args().skip(1).fold(options.set("reward.verifier=palindrome"), RunOptions::set);
    eprintln!("{}", train_rl(options)?.text(Look::Monochrome));
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
