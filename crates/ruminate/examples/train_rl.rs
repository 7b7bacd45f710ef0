//! GRPO on your own problems: a JSONL file of `prompt` and `answer`, a Hugging Face folder, the reward `math`, and a table
//! of before and after. `cargo run --release -p ruminate --example train_rl -- MODEL DATA.jsonl [KEY=VALUE]...`

use ruminate::thoughts::Look;
use ruminate::{Device, RunOptions, train_rl};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(model), Some(data)) = (args.next(), args.next()) else {
        eprintln!("expected: MODEL DATA.jsonl [KEY=VALUE]...");
        return ExitCode::FAILURE;
    };
    let options = RunOptions {
        model: Some(model.into()),
        data: Some(data.into()),
        device: Device::cpu(),
        out: Some("runs/example".into()),
        ..RunOptions::default()
    };
    // What is not set here is derived from the model and its data.
    let options = args.fold(options.set("reward.verifier=math"), RunOptions::set);
    match train_rl(options) {
        Ok(finished) => {
            eprintln!("{}", finished.text(Look::Monochrome));
            eprintln!("the model lies in {}", finished.folder().join("final").display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
