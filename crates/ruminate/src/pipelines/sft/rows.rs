//! Rows of supervised fine-tuning as samples: conversations, and prompts with their completions. What a row's assistant says
//! is in what is trained, or the row is refused.

use crate::error::Refusal;
use crate::progress::Progress;
use crate::recipe::{Data, Recipe};
use anyhow::{Context, Result};
use rayon::prelude::*;
use ruminate_data::jsonl::Row;
use ruminate_data::split::is_validation;
use ruminate_data::{Message, Prompt, Sample, container, jsonl, messages};
use ruminate_env::refuse_beside_texts;
use ruminate_text::Renderer;
use ruminate_text::own_words;
use serde_json::{Map, Value};
use std::path::Path;

/// The samples of a file.
pub(super) struct Split {
    pub(super) training: Vec<Sample>,
    pub(super) validation: Vec<Sample>,
}

/// The samples of a file: one a row; of a conversation one a turn of the assistant, or one whole where the chat template
/// marks what the assistant writes. None may be longer than a packed row. A share of the rows is held out, by their prompts.
pub(super) fn samples(path: &Path, recipe: &Recipe, renderer: &Renderer, share: f64) -> Result<Split> {
    let row_length = recipe.sft.row_length;
    let columns = &recipe.data.columns;
    let parse = |line: &str| columns.applied(jsonl::parse_object(line)?);
    let mut progress = Progress::reading(path);
    let rows = jsonl::read(container::open(path)?, path, recipe.data.bad_lines.into(), parse)?;
    if rows.rows.is_empty() {
        return Err(ruminate_data::Error::Empty { path: path.to_owned(), skipped: rows.skipped }.into());
    }
    if let Some(example) = &rows.first_skipped {
        notice!("warning: {} bad lines left out, such as {example}", rows.skipped);
    }
    let mut split = Split { training: Vec::new(), validation: Vec::new() };
    let made = encoded(&rows.rows, &recipe.data, renderer, &mut progress);
    for (row, made) in rows.rows.iter().zip(made) {
        let made = made.map_err(|error| Refusal::line(path, row.line, format!("{error:#}")))?;
        let longest = made.iter().map(|sample| sample.ids.len()).max().unwrap_or(0);
        if longest > row_length {
            let problem = format!(
                "expected a sample of at most `sft.row_length` = {row_length} tokens, found {longest}; raise it, or leave the \
                 line out"
            );
            return Err(Refusal::line(path, row.line, problem));
        }
        let is_validation = share > 0.0 && is_validation(&format!("sft {}", problem(&row.value)), share);
        if is_validation { split.validation.extend(made) } else { split.training.extend(made) }
    }
    if share > 0.0 && (split.training.is_empty() || split.validation.is_empty()) {
        return Err(Refusal::input(format!(
            "{}: `sft.eval_steps` holds out {share} of the rows (`data.split.validation`), which leaves {} samples to train on \
             and {} to measure on; give more rows, or `data.eval`",
            path.display(),
            split.training.len(),
            split.validation.len()
        )));
    }
    Ok(split)
}

/// The samples of each row, made on all threads.
fn encoded(
    rows: &[Row<Map<String, Value>>],
    data: &Data,
    renderer: &Renderer,
    progress: &mut Progress,
) -> Vec<Result<Vec<Sample>>> {
    /// Rows between two movements of the bar.
    const AT_ONCE: usize = 2048;
    let mut made = Vec::with_capacity(rows.len());
    for rows in rows.chunks(AT_ONCE) {
        made.par_extend(rows.par_iter().map(|row| of_row(&row.value, data, renderer)));
        progress.at(made.len() as u64, "rows tokenized");
    }
    made
}

/// What a row asks: rows that ask the same stay together. The hash is not that of `data::split`, by which traces of training
/// problems are all on one side.
fn problem(row: &Map<String, Value>) -> String {
    match row.get("messages").and_then(Value::as_array) {
        Some(messages) => {
            let asked = messages.iter().take_while(|message| message["role"] != "assistant");
            Value::Array(asked.cloned().collect()).to_string()
        }
        None => row.get("prompt").map(ToString::to_string).unwrap_or_default(),
    }
}

fn of_row(row: &Map<String, Value>, data: &Data, renderer: &Renderer) -> Result<Vec<Sample>> {
    let refused = |problem: jsonl::Mismatch| Refusal::input(problem.to_string());
    if let Some(list) = row.get("messages") {
        let messages = messages("messages", list.clone()).map_err(refused)?;
        return conversation(&messages, 0, row, renderer);
    }
    match (row.get("prompt"), row.get("completion")) {
        (Some(Value::String(prompt)), Some(Value::String(completion))) => {
            refuse_beside_texts(data)?;
            renderer.template.without_template(row)?;
            Ok(vec![renderer.pair(prompt, completion)?])
        }
        (Some(prompt @ Value::Array(_)), Some(completion)) => {
            let mut turns = messages("prompt", prompt.clone()).map_err(refused)?;
            let before = turns.len();
            match completion {
                Value::String(text) => turns.push(Message::new("assistant", text.as_str())),
                list => turns.extend(messages("completion", list.clone()).map_err(refused)?),
            }
            conversation(&turns, before, row, renderer)
        }
        (prompt, _) => {
            let lacks = if prompt.is_some_and(Value::is_string) { "completion" } else { "prompt" };
            Err(Refusal::input(format!(
                "expected `messages`, or texts `prompt` and `completion`; found no text `{lacks}`"
            )))
        }
    }
}

/// The turns of the assistant from `first` on.
fn conversation(
    messages: &[Message],
    first: usize,
    row: &Map<String, Value>,
    renderer: &Renderer,
) -> Result<Vec<Sample>> {
    let is_reply = |(i, message): &(usize, &Message)| *i >= first && message.role() == "assistant";
    let replies: Vec<(usize, &Message)> = messages.iter().enumerate().filter(is_reply).collect();
    if replies.is_empty() {
        return Err(Refusal::input("expected at least one message of the role `assistant`, found none"));
    }
    let mut taught = Vec::new();
    for &(i, reply) in &replies {
        if is_taught(reply).with_context(|| format!("`messages[{i}]`"))? {
            taught.push(i);
        }
    }
    if taught.is_empty() {
        return Err(Refusal::input("expected a turn of the assistant with a `weight` above 0, found none"));
    }
    if !renderer.template.has_template() {
        return Ok(vec![exchange(messages, row, renderer)?]);
    }
    // What stands before is read, not learned.
    let whole = renderer.template.preamble.before(messages);
    let before = whole.len() - messages.len();
    // Marks say what is the assistant's, not which of its turns is taught.
    let all = taught.len() == whole.iter().filter(|message| message.role() == "assistant").count();
    if all && let Some(chat) = renderer.template.marked(&whole, row)? {
        return Ok(vec![renderer.marked(&chat)?]);
    }
    taught
        .into_iter()
        .map(|i| {
            let turn = renderer
                .template
                .turn(&whole[..=before + i], row)
                .with_context(|| format!("`messages[{i}]`"))?;
            Ok(renderer.pair(&turn.prompt, &turn.completion)?)
        })
        .collect()
}

/// Whether a turn is to be learned: `weight` is OpenAI's key for that.
fn is_taught(turn: &Message) -> Result<bool> {
    match turn.get("weight") {
        None => Ok(true),
        Some(weight) if weight.as_f64() == Some(1.0) => Ok(true),
        Some(weight) if weight.as_f64() == Some(0.0) => Ok(false),
        Some(weight) => Err(Refusal::input(format!("expected `weight` to be 0 or 1, found {weight}"))),
    }
}

/// A question and its answer, for a model that has no chat template: the question as the policy is asked it elsewhere.
fn exchange(messages: &[Message], row: &Map<String, Value>, renderer: &Renderer) -> Result<Sample> {
    let only_text = |turn: &Message| turn.get("tool_calls").is_none() && turn.get("name").is_none();
    match messages {
        [user, assistant]
            if user.role() == "user" && assistant.role() == "assistant" && messages.iter().all(only_text) =>
        {
            Ok(renderer.pair(&renderer.render(&Prompt::Text(user.text()), row)?, &own_words(assistant))?)
        }
        _ => Err(Refusal::input(
            "the model has no chat template, so that only one turn of `user` and one of `assistant` can be told apart; \
             expected these, or chat_template.jinja in the model folder",
        )),
    }
}
