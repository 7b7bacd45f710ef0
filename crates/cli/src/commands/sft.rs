//! `sft`: supervised fine-tuning on conversations or on prompts with their completions, the loss on what the policy
//! would write. `distill` fits its student by the same function.

use crate::announce;
use crate::args::RunArgs;
use crate::doctor::{self, Work};
use crate::evaluate::{Evaluation, Evaluator};
use crate::exit::Refusal;
use crate::folders;
use crate::language::Language;
use crate::observer::{Observer, Settings};
use crate::policy;
use crate::preamble::refuse_beside_texts;
use crate::recipe::{Data, Model};
use crate::screen;
use crate::session::Session;
use crate::stage::{Earlier, Entered, Stage, enter};
use crate::story;
use anyhow::Result;
use ruminate_data::jsonl;
use ruminate_data::{Message, Prompt, Sample, Seed};
use ruminate_model::{self as model, Decoder};
use ruminate_text::GenerationPrompt;
use ruminate_train::{State, supervised};
use serde_json::{Map, Value, json};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

pub(crate) fn run(args: RunArgs) -> Result<()> {
    let session = Session::with_models("sft", args)?;
    doctor::quick(&session, Work::Sft)?;
    let (recipe, out) = (&session.recipe, session.out());
    folders::admit(&session, &out, &[])?;
    let Some(model) = &recipe.model else {
        return Err(Refusal::usage("`model` is missing; expected a model folder, or a table [model]"));
    };
    let Some(path) = &recipe.data.train else {
        return Err(Refusal::usage(
            "sft needs `data.train`: a JSONL file with `messages`, or with `prompt` and `completion`",
        ));
    };
    check_adapters(&session, model, 0)?;
    session.check_files()?;
    let language = policy::language(model, recipe)?;
    let samples = samples(path, &recipe.data, &language, recipe.sft.row_length)?;
    let stage = match enter(&session, &out, session.identity(&["grpo", "distill"])?, Earlier::Kept)? {
        Entered::Complete(summary) => return story::end(&summary, &out),
        Entered::Open(stage) => stage,
    };
    session.tell_settings();
    let start = Start::of(model)?;
    let fit = Fit {
        start,
        language: &language,
        samples: samples.len(),
        length: mean_length(&samples),
        evaluator: None,
    };
    let fitted = fit.run(&session, &stage, |state, settings, seed, observer| {
        let mut source = ruminate_distill::source(&samples, seed.child("shuffle"))?;
        Ok(supervised::train(state, &mut source, settings, observer)?)
    })?;
    let summary = json!({ "samples": samples.len(), "compute": fitted.compute() });
    stage.finish(&fitted.policy, &language, summary.clone())?;
    story::end(&summary, &out)
}

/// Where training begins.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// With the weights of a model folder.
    Folder(PathBuf),
    /// With random ones.
    Fresh(Box<model::Config>),
}

impl Start {
    /// # Errors
    /// With exit code 2, for an architecture that cannot be.
    pub(crate) fn of(model: &Model) -> Result<Self> {
        Ok(match model {
            Model::Folder(folder) => Self::Folder(folder.clone()),
            Model::Inline(keys) => Self::Fresh(Box::new(policy::inline_config("model", keys)?)),
        })
    }
}

/// What is to be trained by `[sft]`.
pub(crate) struct Fit<'a> {
    pub(crate) start: Start,
    pub(crate) language: &'a Language,
    /// Samples of an epoch.
    pub(crate) samples: usize,
    /// Tokens of a sample, about.
    pub(crate) length: usize,
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

/// Tokens of a sample, on average.
pub(crate) fn mean_length(samples: &[Sample]) -> usize {
    let tokens: usize = samples.iter().map(|sample| sample.ids.len()).sum();
    tokens.div_ceil(samples.len().max(1))
}

impl Fit<'_> {
    /// Trains by `[sft]`, from the newest checkpoint where there is one; `train` is the trainer.
    ///
    /// # Errors
    /// Those of the trainer, of loading and saving.
    pub(crate) fn run(
        self,
        session: &Session,
        stage: &Stage,
        train: impl FnOnce(State, &supervised::Config, Seed, &mut Observer) -> Result<State>,
    ) -> Result<Fitted> {
        self.language.warn_without_end();
        let settings = &session.recipe.sft.for_samples(self.samples);
        let seed = Seed::new(session.recipe.seed).child("sft");
        let autodiff = session.device.clone().autodiff();
        let eval_steps = self.evaluator.map(|_| settings.eval_steps);
        let state = stage.state(&settings.train, eval_steps, &session.device, || match &self.start {
            Start::Folder(folder) => policy::trainable(folder, session.recipe.lora.as_ref(), seed, &autodiff),
            Start::Fresh(config) => Ok(policy::fresh(config, seed, &autodiff)),
        })?;
        let trained = policy::trained(session.recipe.lora.as_ref(), state.policy.config(), &session.device)?;
        announce::supervised("sft", &session.recipe, settings, Some(self.samples));
        let plan = supervised::memory_plan(state.policy.config(), trained, self.length, settings);
        eprintln!("{}", screen::wrapped(&format!("sft: memory {plan}")));
        let watched = Settings {
            recipe: &session.recipe,
            folder: &stage.folder,
            language: self.language,
            identity: &stage.identity,
            keep_last: NonZeroUsize::new(settings.train.save_total_limit).unwrap_or(NonZeroUsize::MIN),
            completions_steps: session.recipe.eval.completions_steps,
            temperature: session.recipe.rollout.temperature,
            evaluator: self.evaluator,
        };
        let mut observer = Observer::new("sft", settings.max_steps, state.step, watched)?;
        let state = train(state, settings, seed, &mut observer)?;
        observer.finish(state.step)?;
        Ok(Fitted {
            policy: state.policy,
            step: state.step,
            num_tokens: state.num_tokens,
            before: observer.before.take(),
            after: observer.latest.take(),
        })
    }
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
            None => refuse_beside_texts(data).and_then(|()| Ok(vec![pair(&row.value, language)?])),
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
    language.pair(text("prompt")?, text("completion")?)
}

/// A question and its answer, for a model that has no chat template: the question as the policy is asked it elsewhere.
fn exchange(messages: &[Message], language: &Language) -> Result<Sample> {
    match messages {
        [user, assistant] if user.role == "user" && assistant.role == "assistant" => {
            language.pair(&language.render(&Prompt::Text(user.content.clone()))?, &assistant.content)
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
    // What stands before is read, not learned: a template that marks every turn would mark the examples' too.
    let leading = language.preamble.leading(&messages);
    let messages = language.preamble.before(&messages);
    if !language.preamble.has_shots()
        && let Some(sample) = language.marked(&messages)?
    {
        return Ok(vec![sample]);
    }
    let mut samples = Vec::new();
    for (i, _) in messages.iter().enumerate().skip(leading).filter(|(_, message)| message.role == "assistant")
    {
        let prompt = language.chat(&messages[..i], GenerationPrompt::Add)?;
        let whole = language.chat(&messages[..=i], GenerationPrompt::Omit)?;
        let Some(completion) = whole.strip_prefix(&prompt) else {
            return Err(Refusal::input(
                "the chat template renders a turn differently once it is answered: its completion cannot be told apart",
            ));
        };
        samples.push(language.pair(&prompt, completion.trim_end())?);
    }
    Ok(samples)
}
