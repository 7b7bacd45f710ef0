//! Distillation: a teacher's correct traces on a procedural task, and a student that learns them.
//! `cargo run --release -p ruminate --example distill -- TEACHER STUDENT [KEY=VALUE]...`

use ruminate::thoughts::Look;
use ruminate::{RunOptions, distill};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(teacher), Some(student)) = (args.next(), args.next()) else {
        eprintln!("expected: TEACHER STUDENT [KEY=VALUE]...");
        return ExitCode::FAILURE;
    };
    let options = RunOptions {
        model: Some(teacher.into()),
        out: Some("runs/example-distilled".into()),
        ..RunOptions::default()
    };
    let options = args.fold(options.set(format!("distill.student={student}")), RunOptions::set);
    match distill(options) {
        Ok(finished) => {
            eprintln!("{}", finished.text(Look::Monochrome));
            eprintln!("the student lies in {}", finished.folder().join("final").display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
