//! One module a command.

mod bench;
mod chat;
mod distill;
mod eval;
mod generate;
mod import;
mod merge;
mod pretrain;
pub(crate) mod report;
mod score;
mod sft;
mod train_rl;
mod verify;

use crate::args::{Args, Command};
use anyhow::Result;

/// Runs what was asked for.
pub(crate) fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Pretrain(args) => pretrain::run(args),
        Command::Sft(args) => sft::run(args),
        Command::TrainRl(args) => train_rl::run(args),
        Command::Distill(args) => distill::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Generate(args) if args.chat => chat::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Bench(command) => bench::run(command),
    }
}
