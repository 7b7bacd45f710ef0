//! The command line as typed. What a recipe holds, whether a file exists and whether a device is there, is for
//! later: this module refuses to know.

mod engine;
mod fit;

use crate::device::DeviceName;
use crate::doctor::Work;
use clap::{Args as ClapArgs, Parser, Subcommand};
use std::path::PathBuf;

pub(crate) use engine::EngineArgs;
pub(crate) use fit::{FitArgs, InitArgs};

/// DeepSeek-R1-style reasoning training: reinforcement learning from rewards that a program can check, and
/// distillation of what was learnt.
#[derive(Debug, Parser)]
#[command(name = "ruminate", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Next-token training from scratch, on a corpus or on procedural traces
    Pretrain(RunArgs),
    /// Supervised fine-tuning on `messages` or on `prompt` and `completion`
    Sft(FitArgs),
    /// GRPO from a checkable reward: without a recipe, a tiny model learns to think in minutes
    TrainRl(FitArgs),
    /// Sample a teacher's correct traces and train a student on them
    Distill(FitArgs),
    /// Write a recipe that fits a model and its data, with the reason of each value
    Init(InitArgs),
    /// pass@1, pass@k and cons@k with confidence intervals
    Eval(EvalArgs),
    /// Look at a recipe before a run: what will not learn or not fit, and which key to change; nothing is sampled
    Doctor(DoctorArgs),
    /// Completions for prompts, JSONL in, JSONL out; or a conversation with `--chat`
    Generate(GenerateArgs),
    /// Log-probabilities of given completions: JSONL in, JSONL out
    Score(ScoreArgs),
    /// Run a verifier over completions: JSONL in, JSONL out
    Verify(LinesArgs),
    /// One static HTML page from a run folder, or from a folder of run folders
    Report(ReportArgs),
    /// A GGUF file of llama, qwen2 or qwen3 into a model folder
    Import(ImportArgs),
    /// LoRA adapters into the weights of their base: a model folder
    Merge(MergeArgs),
    /// Speed at a fixed shape, as one JSON line
    #[command(subcommand)]
    Bench(BenchCommand),
}

/// What every command that runs a recipe takes.
#[derive(Clone, Debug, ClapArgs)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line, each of its own")]
pub(crate) struct RunArgs {
    /// A recipe in TOML, or the config.json of a run folder; without it the command's embedded default runs
    pub(crate) recipe: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// The run folder: a new one, or one that the same command made [default: runs/COMMAND-seedS, of eval
    /// runs/eval-MODEL-DATA-seedS]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Go on from the newest checkpoint of the run folder (`auto`), or from the checkpoint DIR
    #[arg(long, value_name = "auto|DIR")]
    pub(crate) resume: Option<Resume>,
    /// Resume even though the recipe has changed since the checkpoint
    #[arg(long, requires = "resume")]
    pub(crate) allow_changed: bool,
    /// Save and stop, as at Ctrl-C, when standard input ends: for a program that starts this one, holds a pipe to it, and
    /// may be killed
    #[arg(long)]
    pub(crate) stop_at_eof: bool,
    /// Run in spite of severe findings of the doctor, which are then warnings
    #[arg(long)]
    pub(crate) force: bool,
    /// Run the programs and contact the servers that the recipe of a run folder names: a recipe is code, and one that came
    /// with a run folder is refused without this
    #[arg(long)]
    pub(crate) trust: bool,
    /// Override a key of the recipe; VALUE is TOML, or else a text; without a VALUE the key is removed [may be repeated]
    #[arg(long, value_name = "KEY.PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// The same, but ignored where the command does not read the key: for a program that runs several commands with one
    /// override [may be repeated]
    #[arg(long, value_name = "KEY.PATH=VALUE")]
    pub(crate) set_if_read: Vec<String>,
}

/// What `doctor` takes.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) fit: FitArgs,
    /// The command that the recipe is for: train-rl, sft, pretrain, distill or eval [default: train-rl, or the one that
    /// wrote RECIPE, where that is the config.json of a run folder]
    #[arg(long = "for", value_name = "COMMAND")]
    pub(crate) work: Option<Work>,
}

/// What `eval` takes.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(crate) fit: FitArgs,
    /// Compare two evaluations of the same problems, made by `eval`, with a significance test; nothing is sampled
    #[arg(long, num_args = 2, value_names = ["RUN_A", "RUN_B"], conflicts_with_all = ["recipe", "rescore", "out", "set", "set_if_read", "trust", "model", "data"])]
    pub(crate) compare: Option<Vec<PathBuf>>,
    /// Judge the samples of an evaluation again, by its own recipe or by RECIPE and --set; nothing is sampled
    #[arg(long, value_name = "RUN", conflicts_with = "out")]
    pub(crate) rescore: Option<PathBuf>,
}

/// Where to go on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    Auto,
    Checkpoint(PathBuf),
}

impl std::str::FromStr for Resume {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "auto" { Self::Auto } else { Self::Checkpoint(text.into()) })
    }
}

#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct DeviceArgs {
    /// Where to compute: flex (the CPU), cuda, cuda:N, vulkan, vulkan:N or wgpu
    #[arg(long, default_value = "flex", value_name = "DEVICE")]
    pub(crate) device: DeviceName,
}

/// Where JSON lines come from and go to.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct LinesArgs {
    /// Read from FILE [default: standard input]
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Write to FILE [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct GenerateArgs {
    /// A model folder in Hugging Face's layout, or an adapter folder that names one
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Adapters in PEFT's layout, made for that model
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: Option<PathBuf>,
    /// Talk in the terminal, or line by line through a pipe: /clear starts over, /exit or Ctrl-D leaves, Ctrl-C ends an
    /// answer
    #[arg(long, conflicts_with_all = ["input", "output", "num_samples", "max_num_seqs"])]
    pub(crate) chat: bool,
    #[command(flatten)]
    pub(crate) lines: LinesArgs,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Longest completion, in tokens
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub(crate) max_new_tokens: usize,
    /// Divides the logits; 0 is greedy
    #[arg(long, value_name = "T", default_value_t = 1.0)]
    pub(crate) temperature: f64,
    /// Keep the most probable tokens up to this sum of probabilities
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub(crate) top_p: f64,
    /// Keep the K most probable tokens; 0 keeps all
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub(crate) top_k: usize,
    /// The run's seed: the same seed gives the same completions
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Completions a prompt
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) num_samples: usize,
    /// A system message before messages that have none; before a prompt of bare text, text
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// Sequences decoded at once
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) max_num_seqs: usize,
    /// A variable of the chat template, as in `enable_thinking=false`; VALUE is TOML, or else a text [may be repeated]
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) template: Vec<String>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct ScoreArgs {
    /// A model folder in Hugging Face's layout, or an adapter folder that names one
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Adapters in PEFT's layout, made for that model
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) lines: LinesArgs,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Sequences computed at once
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(crate) batch: usize,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct ReportArgs {
    /// The run folder, or a folder with run folders in it
    pub(crate) run: PathBuf,
    /// The page to write [default: RUN/report.html]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct ImportArgs {
    /// The GGUF file: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, or Q2_K to Q6_K
    #[arg(value_name = "FILE.gguf")]
    pub(crate) file: PathBuf,
    /// The model folder to make; it must not exist
    pub(crate) out: PathBuf,
    /// How the training split text into words, for a file that does not say it (`tokenizer.ggml.pre`): gpt-2, smollm, qwen2,
    /// deepseek-r1-qwen, llama-bpe, llama3 or llama-v3
    #[arg(long, value_name = "NAME")]
    pub(crate) pre: Option<String>,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct MergeArgs {
    /// The adapter folder, in PEFT's layout
    pub(crate) adapter: PathBuf,
    /// The model folder to make; it must not exist
    pub(crate) out: PathBuf,
    /// The base model [default: the one that the adapter folder names]
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
}

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
    /// Compute with compositions of Burn operations in place of the fused forms, which are checked and measured against
    /// them
    #[arg(long)]
    pub(crate) composed: bool,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

#[cfg(test)]
mod tests {
    use super::Args;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Args::command().debug_assert();
    }
}
