//! `sft`: supervised fine-tuning on conversations or on prompts with their completions, the loss on what the policy
//! would write. `distill` fits its student by the same function.

use crate::args::RunArgs;
use crate::evaluate::{Evaluation, Evaluator};
use crate::exit::Refusal;
use crate::language::Language;
use crate::observer::{Observer, Settings};
use crate::policy;
use crate::recipe::{Data, Model};
use crate::session::Session;
use crate::stage::{Earlier, Entered, Stage, enter};
use crate::story;
use anyhow::Result;
use ruminate_data::jsonl;
use ruminate_data::{Message, Prompt, Sample, Seed};
use ruminate_model::{self as model, Decoder};
use ruminate_text::GenerationPrompt;
use ruminate_train::supervised;
use serde_json::{Map, Value, json};
use std::num::NonZeroUsize;
use std::path::Path;

pub(crate) fn run(args: RunArgs) -> Result<()> {
    let session = Session::with_models("sft", args)?;
    let (recipe, out) = (&session.recipe, session.out());
    let Some(model) = &recipe.model else {
        return Err(Refusal::usage("`model` is missing; expected a model folder, or a table [model]"));
    };
    let Some(path) = &recipe.data.train else {
        return Err(Refusal::usage(
            "sft needs `data.train`: a JSONL file with `messages`, or with `prompt` and `completion`",
        ));
    };
    check_adapters(&session, model, 0)?;
    let language = policy::language(model, recipe.data.prompt)?;
    let samples = samples(path, &recipe.data, &language, recipe.sft.row_length)?;
    let stage = match enter(&session, &out, session.identity(&["grpo", "distill"])?, Earlier::Kept)? {
        Entered::Complete(summary) => return story::end(&summary, &out),
        Entered::Open(stage) => stage,
    };
    let fitted =
        fit(&session, &stage, &Fit { model, language: &language, samples: &samples, evaluator: None })?;
    let summary = json!({ "samples": samples.len(), "compute": fitted.compute() });
    stage.finish(&fitted.policy, &language, summary.clone())?;
    story::end(&summary, &out)
}

/// What to fit to what.
pub(crate) struct Fit<'a> {
    pub(crate) model: &'a Model,
    pub(crate) language: &'a Language,
    pub(crate) samples: &'a [Sample],
    pub(crate) evaluator: Option<&'a Evaluator<'a>>,
}

/// A trained policy, and what was measured.
pub(crate) struct Fitted {
    pub(crate) policy: Decoder,
    pub(crate) step: usize,
    pub(crate) num_tokens: u64,
    pub(crate) before: Option<Evaluation>,
    pub(crate) after: Option<Evaluation>,
}

impl Fitted {
    /// What training took, for comparisons at equal compute.
    pub(crate) fn compute(&self) -> Value {
        policy::compute(self.num_tokens, self.policy.config())
    }
}

/// Trains by `[sft]` over the samples, in a new order each epoch.
///
/// # Errors
/// Those of the trainer, of loading and saving.
pub(crate) fn fit(session: &Session, stage: &Stage, fit: &Fit) -> Result<Fitted> {
    let settings = &session.recipe.sft.for_samples(fit.samples.len());
    let seed = Seed::new(session.recipe.seed).child("sft");
    let autodiff = session.device.clone().autodiff();
    let state = stage.state(&settings.train, &session.device, || match fit.model {
        Model::Folder(folder) => policy::trainable(folder, session.recipe.lora.as_ref(), seed, &autodiff),
        Model::Inline(keys) => Ok(policy::fresh(&policy::inline_config("model", keys)?, seed, &autodiff)),
    })?;
    let tokens: usize = fit.samples.iter().map(|sample| sample.ids.len()).sum();
    let mean = tokens.div_ceil(fit.samples.len().max(1));
    eprintln!("sft: memory {}", supervised::memory_plan(state.policy.config(), mean, settings));
    let watched = Settings {
        folder: &stage.folder,
        language: fit.language,
        identity: &stage.identity,
        keep_last: NonZeroUsize::new(settings.train.save_total_limit).unwrap_or(NonZeroUsize::MIN),
        completions_steps: 0,
        temperature: 1.0,
        evaluator: fit.evaluator,
    };
    let mut observer = Observer::new("sft", settings.max_steps, state.step, watched)?;
    let mut source = ruminate_distill::source(fit.samples, seed.child("shuffle"))?;
    let state = supervised::train(state, &mut source, settings, &mut observer)?;
    observer.finish(state.step, &state.policy)?;
    Ok(Fitted {
        policy: state.policy,
        step: state.step,
        num_tokens: state.num_tokens,
        before: observer.before.take(),
        after: observer.latest.take(),
    })
}

/// Whether `model` can carry the recipe's adapters; one made on the spot has to be pretrained for it to make sense.
///
/// # Errors
/// With exit code 2.
pub(crate) fn check_adapters(session: &Session, model: &Model, pretrain_steps: usize) -> Result<()> {
    let lora = session.recipe.lora.as_ref();
    let config = match model {
        Model::Folder(folder) => model::load_config(folder)?,
        Model::Inline(_) if lora.is_some() && pretrain_steps == 0 => {
            return Err(Refusal::usage(
                "[lora] adapts trained weights, and a model given as a table has random ones; name a model folder, or \
                 remove [lora]",
            ));
        }
        Model::Inline(keys) => policy::inline_config("model", keys)?,
    };
    policy::check_adapters(lora, &config, &session.device)
}

/// The samples of a file: one a row; of a conversation one a turn of the assistant, or one whole where the chat template
/// marks what the assistant writes. None may be longer than a packed row.
fn samples(path: &Path, data: &Data, language: &Language, row_length: usize) -> Result<Vec<Sample>> {
    let rows = jsonl::objects(path, data.bad_lines.into())?;
    if let Some(example) = &rows.first_skipped {
        eprintln!("warning: {} bad lines left out, such as {example}", rows.skipped);
    }
    let mut samples = Vec::new();
    for row in rows.rows {
        let made = match row.value.get("messages") {
            Some(messages) => conversation(messages, language),
            None => pair(&row.value, language).map(|sample| vec![sample]),
        };
        let made = made.map_err(|error| Refusal::line(path, row.line, format!("{error:#}")))?;
        let longest = made.iter().map(|sample| sample.ids.len()).max().unwrap_or(0);
        if longest > row_length {
            let problem = format!(
                "expected a sample of at most `sft.row_length` = {row_length} tokens, found {longest}; raise it, or leave the \
                 line out"
            );
            return Err(Refusal::line(path, row.line, problem));
        }
        samples.extend(made);
    }
    Ok(samples)
}

fn pair(row: &Map<String, Value>, language: &Language) -> Result<Sample> {
    let text = |key: &str| {
        row.get(key).and_then(Value::as_str).ok_or_else(|| {
            Refusal::input(format!(
                "expected `messages`, or texts `prompt` and `completion`; found no text `{key}`"
            ))
        })
    };
    let prompt = language.tokenizer.encode(text("prompt")?)?;
    Ok(Sample::completion_only(&prompt, &language.completion_ids(text("completion")?)?))
}

/// A question and its answer, for a model that has no chat template: the question as the policy is asked it elsewhere.
fn exchange(messages: &[Message], language: &Language) -> Result<Sample> {
    match messages {
        [user, assistant] if user.role == "user" && assistant.role == "assistant" => {
            let prompt = language.prompt_ids(&Prompt::Text(user.content.clone()))?;
            Ok(Sample::completion_only(&prompt, &language.completion_ids(&assistant.content)?))
        }
        _ => Err(Refusal::input(
            "the model has no chat template, so that only one turn of `user` and one of `assistant` can be told apart; \
             expected these, or chat_template.jinja in the model folder",
        )),
    }
}

fn conversation(messages: &Value, language: &Language) -> Result<Vec<Sample>> {
    let messages: Vec<Message> = serde_json::from_value(messages.clone()).map_err(|error| {
        Refusal::input(format!("expected `messages` with texts `role` and `content`: {error}"))
    })?;
    if !messages.iter().any(|message| message.role == "assistant") {
        return Err(Refusal::input("expected at least one message of the role `assistant`, found none"));
    }
    if !language.has_template() {
        return Ok(vec![exchange(&messages, language)?]);
    }
    if let Some(sample) = language.marked(&messages)? {
        return Ok(vec![sample]);
    }
    let mut samples = Vec::new();
    for (i, _) in messages.iter().enumerate().filter(|(_, message)| message.role == "assistant") {
        let prompt = language.chat(&messages[..i], GenerationPrompt::Add)?;
        let whole = language.chat(&messages[..=i], GenerationPrompt::Omit)?;
        let Some(completion) = whole.strip_prefix(&prompt) else {
            return Err(Refusal::input(
                "the chat template renders a turn differently once it is answered: its completion cannot be told apart",
            ));
        };
        let prompt = language.tokenizer.encode(&prompt)?;
        samples.push(Sample::completion_only(&prompt, &language.completion_ids(completion.trim_end())?));
    }
    Ok(samples)
}
