//! One module a command.

mod bench;
mod chat;
mod distill;
mod eval;
mod generate;
mod import;
mod init;
mod merge;
mod pretrain;
pub(crate) mod report;
mod score;
mod sft;
mod train_rl;
mod verify;

use crate::args::{Args, Command};
use crate::hub;
use anyhow::Result;

/// Runs what was asked for.
pub(crate) fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Pretrain(args) => pretrain::run(args),
        Command::Sft(args) => sft::run(args.into_run("sft")?),
        Command::TrainRl(args) => train_rl::run(args.into_run("train-rl")?),
        Command::Distill(args) => distill::run(args.into_run("distill")?),
        Command::Init(args) => init::run(&args),
        Command::Eval(args) => eval::run(args),
        Command::Generate(mut args) => {
            args.model = hub::folder(&args.model)?;
            if args.chat { chat::run(&args) } else { generate::run(&args) }
        }
        Command::Score(mut args) => {
            args.model = hub::folder(&args.model)?;
            score::run(&args)
        }
        Command::Verify(args) => verify::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Bench(command) => bench::run(command),
    }
}
