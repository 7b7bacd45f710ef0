//! The command line as typed, and the library's options that it stands for. What a recipe holds, whether a file exists
//! and whether a device is there, is the library's business.

mod bench;
mod engine;

use crate::terminal::catch_end_of_input;
use clap::{Args as ClapArgs, Parser, Subcommand};
use ruminate::{
    Checkpoint, Controls, Device, EngineConfig, Error, GenerateOptions, Lines, Programs, R1Options, Resume,
    RunOptions, SamplingParams, ScoreOptions, Work,
};
use std::path::PathBuf;

pub(crate) use bench::BenchCommand;
pub(crate) use engine::EngineArgs;

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
    /// DeepSeek-R1's pipeline from random weights, stage by stage, or the graph of another recipe folder
    R1(R1Args),
    /// Completions for prompts, JSONL in, JSONL out; or a conversation with `--chat`
    Generate(GenerateArgs),
    /// Log-probabilities of given completions: JSONL in, JSONL out
    Score(ScoreArgs),
    /// Run a verifier over completions: JSONL in, JSONL out
    Verify(VerifyArgs),
    /// One static HTML page from a run folder, or from a folder of run folders
    Report(ReportArgs),
    /// A GGUF file into a model folder
    Import(ImportArgs),
    /// A model folder into a GGUF file for llama.cpp
    Export(ExportArgs),
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

/// What a command takes that fits its settings to a model and its data.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct FitArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// The model folder: the key `model`, under distill the teacher, `distill.teacher`
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// The data as JSONL: the key `data.train`, under eval `data.eval`
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
}

/// What `init` takes.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct InitArgs {
    /// The model folder; without it the recipe extends the embedded default
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// The data as JSONL: problems with answers (for train-rl, eval, distill) or conversations (for sft)
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// The recipe to write; it must not exist
    #[arg(long, value_name = "FILE", default_value = "recipe.toml")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
}

/// What `r1` takes.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct R1Args {
    /// A folder with a graph.toml; without it the embedded recipes run, on tiny models
    #[arg(value_name = "RECIPES")]
    pub(crate) recipes: Option<PathBuf>,
    /// The seed of every stage; given more than once, one pipeline after the other [default: 0]
    #[arg(long, value_name = "S")]
    pub(crate) seed: Vec<u64>,
    /// Where the pipelines lie, as DIR/seedS [default: runs/NAME of RECIPES]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Run nothing; print the table of models, and whether what the graph expects holds on the mean of the seeds, which the
    /// exit code says, too
    #[arg(long)]
    pub(crate) check: bool,
    /// Where every stage computes [default: flex]
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<Device>,
    /// An override of every stage that reads its key [may be repeated]
    #[arg(long, value_name = "KEY.PATH=VALUE")]
    pub(crate) set: Vec<String>,
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
    /// Take the first step of the run of train-rl, too, and say what its completions show: the model is loaded, and nothing
    /// is kept
    #[arg(long)]
    pub(crate) sample: bool,
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
    /// Take a checkpoint of the run folder that --model names: the one with the best validation measure, or the last
    #[arg(long, value_name = "best|last", requires = "model", conflicts_with_all = ["compare", "rescore"])]
    pub(crate) checkpoint: Option<Checkpoint>,
}

impl RunArgs {
    /// The options that these arguments stand for. From here on the end of standard input ends the run, where that was asked
    /// for.
    pub(crate) fn options(self) -> RunOptions {
        if self.stop_at_eof {
            catch_end_of_input();
        }
        RunOptions {
            recipe: self.recipe,
            model: None,
            data: None,
            device: self.device.device,
            out: self.out,
            resume: self.resume,
            allow_changed: self.allow_changed,
            force: self.force,
            trust: self.trust,
            set: self.set,
            set_if_read: self.set_if_read,
        }
    }
}

impl FitArgs {
    /// As [`RunArgs::options`].
    pub(crate) fn options(self) -> RunOptions {
        RunOptions { model: self.model, data: self.data, ..self.run.options() }
    }
}

impl InitArgs {
    /// What is known of the run that the recipe is for.
    pub(crate) fn options(self) -> RunOptions {
        RunOptions { model: self.model, data: self.data, device: self.device.device, ..RunOptions::default() }
    }
}

impl R1Args {
    /// The options that these arguments stand for.
    pub(crate) fn options(self) -> R1Options {
        R1Options {
            recipes: self.recipes,
            seeds: self.seed,
            out: self.out,
            set: self.set,
            device: self.device,
        }
    }
}

/// What `verify` takes.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) lines: LinesArgs,
    /// Judge lines of the kind `code`, too: their programs and tests are run, in a sandbox
    #[arg(long)]
    pub(crate) allow_code: bool,
}

impl VerifyArgs {
    /// Whether programs may run.
    pub(crate) fn programs(&self) -> Programs {
        if self.allow_code { Programs::Allowed } else { Programs::Refused }
    }
}

impl LinesArgs {
    /// The files that these arguments name.
    pub(crate) fn files(self) -> Lines {
        Lines { input: self.input, output: self.output }
    }
}

impl EvalArgs {
    /// The same with the model folder of `--checkpoint` for the run folder.
    pub(crate) fn located(mut self) -> Result<Self, Error> {
        if let (Some(model), Some(which)) = (&mut self.fit.model, self.checkpoint) {
            *model = ruminate::checkpoint(model, which)?;
        }
        Ok(self)
    }
}

impl GenerateArgs {
    /// The same with the model folder of `--checkpoint` for the run folder.
    pub(crate) fn located(mut self) -> Result<Self, Error> {
        if let Some(which) = self.checkpoint {
            self.model = ruminate::checkpoint(&self.model, which)?;
        }
        Ok(self)
    }

    /// The options that these arguments stand for.
    pub(crate) fn options(&self) -> GenerateOptions {
        GenerateOptions {
            model: self.model.clone(),
            adapter: self.adapter.clone(),
            device: self.device.device,
            sampling: SamplingParams {
                temperature: self.temperature,
                top_p: self.top_p,
                top_k: self.top_k,
                min_p: self.min_p,
                repetition_penalty: self.repetition_penalty,
                presence_penalty: self.presence_penalty,
                frequency_penalty: self.frequency_penalty,
                max_new_tokens: self.max_new_tokens,
            },
            controls: Controls {
                stop: self.stop.clone(),
                bad_words: self.bad_word.clone(),
                thought_prefix: self.thought_prefix.clone(),
                thinking_budget: self.thinking_budget,
                thought_end: self.thought_end.clone(),
            },
            engine: EngineConfig { max_num_seqs: self.max_num_seqs, ..self.engine.config() },
            seed: self.seed,
            num_samples: self.num_samples,
            system: self.system.clone(),
            template: self.template.clone(),
        }
    }
}

impl ScoreArgs {
    /// The options that these arguments stand for.
    pub(crate) fn options(&self) -> ScoreOptions {
        ScoreOptions {
            model: self.model.clone(),
            adapter: self.adapter.clone(),
            device: self.device.device,
            batch: self.batch,
        }
    }
}

#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct DeviceArgs {
    /// Where to compute: flex (the CPU), cuda, cuda:N, vulkan, vulkan:N or wgpu
    #[arg(long, default_value = "flex", value_name = "DEVICE")]
    pub(crate) device: Device,
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
    /// Take a checkpoint of the run folder that --model names: the one with the best validation measure, or the last
    #[arg(long, value_name = "best|last")]
    pub(crate) checkpoint: Option<Checkpoint>,
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
    /// Keep tokens with at least this share of the most probable token's probability; 0 keeps all
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub(crate) min_p: f64,
    /// Divide positive logits of tokens that prompt or completion have, and multiply the others; 1 changes nothing
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub(crate) repetition_penalty: f64,
    /// Take this off the logits of tokens that the completion has
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) presence_penalty: f64,
    /// Take this off a token's logit for each time that the completion has it
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) frequency_penalty: f64,
    /// End a completion at this text, which is part of it [may be repeated]
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,
    /// Never write this text, also with a space before it [may be repeated]
    #[arg(long, value_name = "TEXT")]
    pub(crate) bad_word: Vec<String>,
    /// Begin every completion with this text, such as <think>
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) thought_prefix: String,
    /// Close a thought that is still open after N tokens of the completion; 0 never does
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) thinking_budget: usize,
    /// The text that closes a thought then
    #[arg(long, value_name = "TEXT", default_value = "</think>")]
    pub(crate) thought_end: String,
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
    /// The page to write [default: RUN/report.html, with --csv RUN/metrics.csv]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write the numbers of a run's steps as CSV instead, a column per metric
    #[arg(long)]
    pub(crate) csv: bool,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct ImportArgs {
    /// The GGUF file: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, IQ4_NL, IQ4_XS or MXFP4; of a
    /// split file any part, NAME-00001-of-00003.gguf
    #[arg(value_name = "FILE.gguf")]
    pub(crate) file: PathBuf,
    /// The model folder to make; it must not exist
    pub(crate) out: PathBuf,
    /// How the training split text into words, for a file that does not say it (`tokenizer.ggml.pre`): gpt-2, smollm, qwen2,
    /// deepseek-r1-qwen, llama-bpe, llama3 or llama-v3
    #[arg(long, value_name = "NAME")]
    pub(crate) pre: Option<String>,
    /// How the weights are stored: float32 or bfloat16 [default: bfloat16, or float32 where the file's matrices are F32 or F16]
    #[arg(long, value_name = "DTYPE")]
    pub(crate) dtype: Option<String>,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct ExportArgs {
    /// The model folder, or an adapter folder: its merged model
    #[arg(value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// The GGUF file to write; it must not exist
    #[arg(value_name = "FILE.gguf")]
    pub(crate) out: PathBuf,
    /// How matrices are stored: f16, bf16 or q8_0
    #[arg(long = "type", value_name = "TYPE", default_value = "f16")]
    pub(crate) kind: String,
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

#[cfg(test)]
mod tests {
    use super::Args;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Args::command().debug_assert();
    }
}
