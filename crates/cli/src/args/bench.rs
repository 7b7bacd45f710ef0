//! Arguments of `bench`.

use super::{DeviceArgs, EngineArgs};
use clap::{Args as ClapArgs, Subcommand};
use ruminate::{BenchOptions, BenchWork, GenerateBench, GrpoBench, TrainBench, TrainDtype};
use std::path::PathBuf;

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Sampling random prompts at temperature 1, without stopping
    Generate(BenchGenerateArgs),
    /// Full training steps in f32 with AdamW on random tokens
    Train(BenchTrainArgs),
    /// GRPO steps on the tasks of a file
    Grpo(BenchGrpoArgs),
    /// The machine's ceilings: a product of large matrices, and reading memory
    Ceiling(DeviceArgs),
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct BenchGenerateArgs {
    /// A model folder; weights are random where it holds only a config.json
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Sequences
    #[arg(long, default_value_t = 32)]
    pub(crate) batch: usize,
    /// Tokens of a prompt
    #[arg(long, default_value_t = 32)]
    pub(crate) prompt_tokens: usize,
    /// Tokens to generate
    #[arg(long, default_value_t = 128)]
    pub(crate) new_tokens: usize,
    /// Timed repetitions, after one that is not counted
    #[arg(long, default_value_t = 3)]
    pub(crate) repeats: usize,
    /// Compute with compositions of Burn operations in place of the fused forms, which are checked and measured against
    /// them
    #[arg(long)]
    pub(crate) composed: bool,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct BenchTrainArgs {
    /// A model folder; weights are random where it holds only a config.json
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Sequences a step
    #[arg(long, default_value_t = 8)]
    pub(crate) batch: usize,
    /// Tokens of a sequence
    #[arg(long, default_value_t = 128)]
    pub(crate) tokens: usize,
    /// Optimizer steps
    #[arg(long, default_value_t = 4)]
    pub(crate) steps: usize,
    /// What products of matrices multiply: float32 or bfloat16
    #[arg(long, default_value_t = TrainDtype::Float32)]
    pub(crate) dtype: TrainDtype,
    /// Compute with compositions of Burn operations in place of the fused forms, which are checked and measured against
    /// them
    #[arg(long)]
    pub(crate) composed: bool,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct BenchGrpoArgs {
    /// A model folder with its tokenizer
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Tasks as JSONL, with `prompt` and `answer`
    #[arg(long, value_name = "FILE")]
    pub(crate) tasks: PathBuf,
    /// Prompts a step
    #[arg(long, default_value_t = 4)]
    pub(crate) prompts: usize,
    /// Completions a prompt
    #[arg(long, default_value_t = 8)]
    pub(crate) generations: usize,
    /// Longest completion, in tokens
    #[arg(long, default_value_t = 64)]
    pub(crate) max_completion: usize,
    /// GRPO steps, of which the first does not count
    #[arg(long, default_value_t = 3)]
    pub(crate) steps: usize,
    /// What products of matrices multiply where the policy learns: float32 or bfloat16
    #[arg(long, default_value_t = TrainDtype::Float32)]
    pub(crate) train_dtype: TrainDtype,
    /// Compute with compositions of Burn operations in place of the fused forms, which are checked and measured against
    /// them
    #[arg(long)]
    pub(crate) composed: bool,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

impl BenchCommand {
    /// The options that these arguments stand for.
    pub(crate) fn options(self) -> BenchOptions {
        let (work, composed, device) = match self {
            Self::Generate(args) => (args.work(), args.composed, args.device),
            Self::Train(args) => (args.work(), args.composed, args.device),
            Self::Grpo(args) => (args.work(), args.composed, args.device),
            Self::Ceiling(device) => (BenchWork::Ceiling, false, device),
        };
        BenchOptions { device: device.device, composed, work }
    }
}

impl BenchGenerateArgs {
    fn work(&self) -> BenchWork {
        BenchWork::Generate(GenerateBench {
            model: self.model.clone(),
            batch: self.batch,
            prompt_tokens: self.prompt_tokens,
            new_tokens: self.new_tokens,
            repeats: self.repeats,
            engine: self.engine.config(),
        })
    }
}

impl BenchTrainArgs {
    fn work(&self) -> BenchWork {
        BenchWork::Train(TrainBench {
            model: self.model.clone(),
            batch: self.batch,
            tokens: self.tokens,
            steps: self.steps,
            dtype: self.dtype,
        })
    }
}

impl BenchGrpoArgs {
    fn work(&self) -> BenchWork {
        BenchWork::Grpo(GrpoBench {
            model: self.model.clone(),
            tasks: self.tasks.clone(),
            prompts: self.prompts,
            generations: self.generations,
            max_completion: self.max_completion,
            steps: self.steps,
            engine: self.engine.config(),
            train_dtype: self.train_dtype,
        })
    }
}
