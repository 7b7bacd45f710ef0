//! `generate`: completions for prompts, given as text, messages or token ids.

use crate::commands::lines::{self, Lines, Output};
use crate::commands::partial::Partial;
use crate::device::Device;
use crate::error::Refusal;
use crate::frontend;
use crate::hub;
use crate::interrupt;
use crate::policy;
use crate::progress::{Counted, Progress};
use crate::recipe::load::set_value;
use crate::recipe::text::{load_renderer, note_unused_sampling, stop_of};
use crate::run::identity;
use anyhow::Result;
use ruminate_data::jsonl::{Mismatch, parse_object};
use ruminate_data::{Completion, FinishReason, Prompt, Request, SamplingParams, Seed, Stop};
use ruminate_model as model;
use ruminate_rollout::{Engine, EngineConfig, LocalEngine};
use ruminate_run::sha256_hex;
use ruminate_text::Columns;
use ruminate_text::Controls;
use ruminate_text::Preamble;
use ruminate_text::Renderer;
use ruminate_text::{PromptStyle, end_ids};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// What to generate, by which model.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// A model folder in Hugging Face's layout, or an adapter folder that names one.
    pub model: PathBuf,
    /// Adapters in PEFT's layout, made for that model.
    pub adapter: Option<PathBuf>,
    /// Where to compute.
    pub device: Device,
    /// How tokens are drawn.
    pub sampling: SamplingParams,
    /// What texts ask of completions.
    pub controls: Controls,
    /// How they are computed, and how many sequences at once.
    pub engine: EngineConfig,
    /// The seed: the same one gives the same completions.
    pub seed: u64,
    /// Completions per prompt.
    pub num_samples: usize,
    /// A system message before messages that have none; before a prompt of bare text, text.
    pub system: Option<String>,
    /// Variables of the chat template as `KEY=VALUE`, as in `enable_thinking=false`: VALUE is TOML, or else a text.
    pub template: Vec<String>,
}

/// What a line asks.
enum Input {
    /// With the row, of which some columns are the chat template's.
    Prompt(Prompt, Columns),
    Ids(Vec<u32>),
}

/// Keys of a row that other programs read, and this one does not.
const FLAGS: [(&str, &str); 14] = [
    ("temperature", "--temperature"),
    ("top_p", "--top-p"),
    ("top_k", "--top-k"),
    ("min_p", "--min-p"),
    ("repetition_penalty", "--repetition-penalty"),
    ("presence_penalty", "--presence-penalty"),
    ("frequency_penalty", "--frequency-penalty"),
    ("stop", "--stop"),
    ("stop_strings", "--stop"),
    ("bad_words", "--bad-word"),
    ("thought_prefix", "--thought-prefix"),
    ("thinking_budget", "--thinking-budget"),
    ("max_tokens", "--max-new-tokens"),
    ("max_new_tokens", "--max-new-tokens"),
];

/// Keys that change a prompt where others read them, and that nothing here reads.
const UNREAD: [&str; 6] =
    ["messages", "system", "tool_choice", "chat_template", "add_generation_prompt", "continue_final_message"];

#[derive(Serialize)]
struct OutputLine<'a> {
    index: usize,
    sample: usize,
    prompt_ids: &'a [u32],
    completion_ids: &'a [u32],
    /// Null without a tokenizer, which input by ids does not need.
    text: Option<String>,
    logprobs: &'a [f32],
    finish_reason: FinishReason,
    /// Which of them the policy drew; absent where all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    trained: Option<&'a [bool]>,
}

pub(crate) fn run(args: &GenerateOptions, files: &Lines) -> Result<()> {
    let sampling = args.sampling;
    sampling.validate()?;
    args.controls.validate()?;
    args.engine.validate()?;
    let controls = args.controls != Controls::default();
    let source = policy::Source::new(&hub::folder(&args.model)?, args.adapter.as_deref())?;
    let config = model::load_config(&source.base)?;
    let lines = lines::read(files, parse)?;
    let needs_text = lines.iter().any(|row| matches!(row.value, Input::Prompt(..)));
    let kwargs = template_kwargs(&args.template)?;
    let renderer = optional_renderer(&source.base, &config, needs_text || controls || !kwargs.is_empty())?;
    let mut renderer = renderer.map(|renderer| renderer.with_kwargs(&kwargs, "--template")).transpose()?;
    if let Some(renderer) = &mut renderer {
        renderer.template.preamble = Preamble::of_system(args.system.as_deref());
    }
    let name = lines::name(files);

    let mut prompts = Vec::new();
    for row in &lines {
        let ids = match (&row.value, &renderer) {
            (Input::Ids(ids), _) => ids.clone(),
            (Input::Prompt(prompt, columns), Some(renderer)) => encode(renderer, prompt, columns)
                .map_err(|error| Refusal::line(&name, row.line, format!("{error:#}")))?,
            (Input::Prompt(..), None) => {
                return Err(Refusal::line(&name, row.line, "a prompt needs a tokenizer"));
            }
        };
        check_ids(&ids, &config).map_err(|problem| Refusal::line(&name, row.line, problem))?;
        prompts.push((row.line - 1, ids));
    }

    let stop = &match &renderer {
        Some(renderer) => stop_of(&args.controls, renderer, sampling.max_new_tokens)?,
        None => Stop::at(&end_ids(&source.base, config.vocab_size, &config.eos_token_ids)?),
    };
    let mut results = Results::open(args, files, &source, stop, &prompts)?;
    let device = args.device.open()?;
    let policy = source.load_for_sampling(&device)?;
    frontend::catch_interrupts(results.at_a_signal());
    note_unused_sampling(&source.base, &sampling);
    let seed = Seed::new(args.seed).child("generate");
    let all = prompts.len() * args.num_samples;
    let asked: Vec<usize> = (0..all).filter(|request| !results.has(*request)).collect();
    let requests: Vec<Request> = asked
        .iter()
        .map(|request| {
            let ((index, ids), sample) = (&prompts[request / args.num_samples], request % args.num_samples);
            Request {
                prompt_ids: ids.clone(),
                sampling,
                stop: stop.clone(),
                seed: seed.index(*index as u64).index(sample as u64),
            }
        })
        .collect();

    let mut progress = lines::progress(files, "generate", all);
    let mut engine = LocalEngine::consume(policy, args.engine)?;
    let mut engine = Counted::new(&mut engine, progress.as_ref().map(Progress::counter).unwrap_or_default());
    let (mut written, mut checked) = (Ok(()), Ok(()));
    let mut sink = |request: usize, completion: Completion| {
        checked = ruminate_rollout::Error::check(request, &completion);
        if checked.is_err() {
            return ControlFlow::Break(());
        }
        let request = asked[request];
        let (index, sample) = (prompts[request / args.num_samples].0, request % args.num_samples);
        written = results.add(request, line(index, sample, &completion, renderer.as_ref()));
        if let Some(progress) = &mut progress {
            progress.set(results.done as u64, "completions");
        }
        if written.is_err() || interrupt::requested() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    if !requests.is_empty() {
        engine.generate(requests, &mut sink)?;
    }
    checked?;
    written?;
    drop(progress);
    results.finish()
}

/// Where completions go: into the file that is kept until all are there, or out in the order of the input.
struct Results<'a> {
    place: Place<'a>,
    /// Completions that are there.
    done: usize,
    all: usize,
}

enum Place<'a> {
    Kept(Partial, &'a Path),
    /// With those that have to wait for others.
    Streamed {
        output: Output,
        waiting: BTreeMap<usize, String>,
        next: usize,
    },
}

impl<'a> Results<'a> {
    /// Of a `--output` that is a file, what an earlier process has left is there already.
    ///
    /// # Errors
    /// As [`Partial::open`].
    fn open(
        args: &GenerateOptions,
        files: &'a Lines,
        source: &policy::Source,
        stop: &Stop,
        prompts: &[(usize, Vec<u32>)],
    ) -> Result<Self> {
        let all = prompts.len() * args.num_samples;
        if let Some(output) = &files.output {
            let places: HashMap<usize, usize> =
                prompts.iter().enumerate().map(|(place, (index, _))| (*index, place)).collect();
            let number = |line: &str| {
                let Written { index, sample } = serde_json::from_str(line).ok()?;
                (sample < args.num_samples).then_some(places.get(&index)? * args.num_samples + sample)
            };
            let made_by = made_by(args, source, stop, prompts)?;
            if let Some(kept) = Partial::open(output, made_by, all, number)? {
                let done = kept.len();
                if done > 0 {
                    notice!("{done} of {all} completions were generated before ({})", kept.path().display());
                }
                return Ok(Self { place: Place::Kept(kept, output), done, all });
            }
        }
        let output = Output::open(files.output.as_deref())?;
        let place = Place::Streamed { output, waiting: BTreeMap::new(), next: 0 };
        Ok(Self { place, done: 0, all })
    }

    fn has(&self, request: usize) -> bool {
        match &self.place {
            Place::Kept(kept, _) => kept.has(request),
            Place::Streamed { .. } => false,
        }
    }

    fn at_a_signal(&self) -> &'static str {
        match self.place {
            Place::Kept(..) => "what is complete is kept, and the same command goes on with it",
            Place::Streamed { .. } => "what is complete is written, and the rest is given up",
        }
    }

    fn add(&mut self, request: usize, line: OutputLine) -> Result<()> {
        self.done += 1;
        match &mut self.place {
            Place::Kept(kept, _) => kept.add(request, &line),
            Place::Streamed { output, waiting, next } => {
                waiting.insert(request, serde_json::to_string(&line)?);
                while let Some(line) = waiting.remove(next) {
                    *next += 1;
                    output.written(&line)?;
                }
                Ok(())
            }
        }
    }

    /// Leaves the results.
    ///
    /// # Errors
    /// With exit code 7; 130 where some are missing.
    fn finish(self) -> Result<()> {
        let Self { place, done, all } = self;
        let interrupted = |done: usize, what: &str| {
            Err(Refusal::Interrupted(format!(" after {done} of {all} completions, {what}")).into())
        };
        match place {
            Place::Kept(kept, output) if done == all => kept.finish(output),
            Place::Kept(kept, _) => interrupted(
                done,
                &format!("which are kept in {}; the same command goes on with them", kept.path().display()),
            ),
            Place::Streamed { output, next, .. } => {
                output.finish()?;
                if next == all {
                    return Ok(());
                }
                interrupted(next, "which are written; the others are not, and the same command begins again")
            }
        }
    }
}

/// The place of a line of results.
#[derive(Deserialize)]
struct Written {
    index: usize,
    sample: usize,
}

/// Everything that decides what is generated.
///
/// # Errors
/// A model folder that cannot be read.
fn made_by(
    args: &GenerateOptions,
    source: &policy::Source,
    stop: &Stop,
    prompts: &[(usize, Vec<u32>)],
) -> Result<Map<String, Value>> {
    let mut made = Map::new();
    let mut set = |key: &str, value: Value| made.insert(key.to_owned(), value);
    set("the command", json!("generate"));
    set("the version", json!(env!("CARGO_PKG_VERSION")));
    set("the model", json!(identity::of_folder(&source.base)?));
    if let Some(adapter) = source.adapter() {
        set("the adapter", json!(identity::of_folder(adapter)?));
    }
    set("the input with its prompts", json!(sha256_hex(&serde_json::to_vec(prompts)?)));
    set("--seed", json!(args.seed));
    set("--num-samples", json!(args.num_samples));
    set("the rounding of weights", json!(format!("{:?}", args.engine.dtype)));
    set("guesses", json!(format!("{:?}", args.engine.speculative)));
    set("the ending tokens", json!(stop.token_ids()));
    let Controls { stop, bad_words, thought_prefix, thinking_budget, thought_end } = &args.controls;
    set("--stop", json!(stop));
    set("--bad-word", json!(bad_words));
    set("--thought-prefix", json!(thought_prefix));
    set("--thinking-budget", json!(thinking_budget));
    set("the end of a thought", json!(thought_end));
    if let Value::Object(sampling) = serde_json::to_value(args.sampling)? {
        for (key, value) in sampling {
            set(&format!("--{}", key.replace('_', "-")), value);
        }
    }
    Ok(made)
}

fn line<'a>(
    index: usize,
    sample: usize,
    completion: &'a Completion,
    renderer: Option<&Renderer>,
) -> OutputLine<'a> {
    OutputLine {
        index,
        sample,
        prompt_ids: &completion.prompt_ids,
        completion_ids: &completion.ids,
        text: renderer.map(|renderer| renderer.text(&completion.ids)),
        logprobs: &completion.logprobs,
        finish_reason: completion.finish_reason,
        trained: completion.trained.as_deref(),
    }
}

/// Variables of the chat template, as flags give them.
pub(crate) fn template_kwargs(flags: &[String]) -> Result<Map<String, Value>> {
    let pair = |flag: &String| {
        let (key, value) = flag.split_once('=').ok_or_else(|| {
            Refusal::usage(format!(
                "--template {flag}: expected KEY=VALUE, as in --template enable_thinking=false"
            ))
        })?;
        let value = set_value(value);
        Ok((key.trim().to_owned(), serde_json::to_value(value)?))
    };
    flags.iter().map(pair).collect()
}

/// Text as it stands, behind the system message where there is one; messages in the chat template.
fn encode(renderer: &Renderer, prompt: &Prompt, columns: &Columns) -> Result<Vec<u32>> {
    match prompt {
        Prompt::Text(text) => {
            renderer.template.without_template(columns)?;
            Ok(renderer.tokenizer.encode(&(renderer.template.preamble.text() + text))?)
        }
        Prompt::Messages(_) => Ok(renderer.prompt_ids(prompt, columns)?),
    }
}

/// A folder's renderer; none where it is not needed and the folder has no tokenizer, or one that cannot be used.
pub(crate) fn optional_renderer(
    folder: &Path,
    config: &model::Config,
    needed: bool,
) -> Result<Option<Renderer>> {
    // Bad ending tokens are refused whether or not text is needed.
    end_ids(folder, config.vocab_size, &config.eos_token_ids)?;
    if !needed && !folder.join("tokenizer.json").exists() {
        return Ok(None);
    }
    match load_renderer(folder, config, PromptStyle::Bare) {
        Err(error) if !needed => {
            notice!("warning: {error:#}: no tokenizer is used");
            Ok(None)
        }
        loaded => loaded.map(Some),
    }
}

/// Whether a model can take these ids as a prompt.
pub(crate) fn check_ids(ids: &[u32], config: &model::Config) -> Result<(), String> {
    if ids.is_empty() {
        return Err("expected at least one token in the prompt, found none".to_owned());
    }
    if let Some(id) = ids.iter().find(|id| **id as usize >= config.vocab_size) {
        return Err(format!("token id {id} is outside the model's vocabulary of {}", config.vocab_size));
    }
    if ids.len() > config.max_position_embeddings {
        return Err(format!(
            "{} tokens, but the model has {} positions",
            ids.len(),
            config.max_position_embeddings
        ));
    }
    Ok(())
}

fn parse(line: &str) -> Result<Input, Mismatch> {
    let mut row = parse_object(line)?;
    let expected =
        "`prompt` or `question` (a text or a list of messages), or `prompt_ids` (a list of token ids)";
    let is_set = |row: &Columns, key: &str| row.get(key).is_some_and(|value| !value.is_null());
    if let Some((key, flag)) = FLAGS.iter().find(|(key, _)| is_set(&row, key)) {
        return Err(Mismatch::new(expected, format!("`{key}`, which is the flag {flag}")));
    }
    if let Some(ids) = row.get("prompt_ids") {
        return token_ids(ids, "prompt_ids").map(Input::Ids);
    }
    let asked = if row.contains_key("prompt") { "prompt" } else { "question" };
    let Some(prompt) = row.shift_remove(asked) else {
        let found = if row.contains_key("messages") { "`messages`; name them `prompt`" } else { "neither" };
        return Err(Mismatch::new(expected, found));
    };
    if let Some(key) = UNREAD.iter().find(|key| is_set(&row, key)) {
        return Err(Mismatch::new(expected, format!("`{key}` beside it, which is not read")));
    }
    Ok(Input::Prompt(Prompt::from_json(asked, prompt)?, row))
}

/// A JSON list of token ids.
pub(crate) fn token_ids(value: &Value, key: &str) -> Result<Vec<u32>, Mismatch> {
    serde_json::from_value(value.clone()).map_err(|error| Mismatch {
        expected: format!("`{key}`, a list of token ids"),
        found: error.to_string(),
    })
}
