//! Prompts as the policy sees them: one to read, their lengths against the model's positions, and whether a completion may
//! be as long as an answer has to be.

use super::Work;
use super::findings::{Finding, percent};
use super::inputs::Inputs;
use crate::error::ErrorKind;
use ruminate_env::Room;

/// Characters of a prompt that are shown.
const SHOWN: usize = 2000;

/// A chat model that was not asked to be short seldom ends within fewer tokens.
const SHORT_CHAT: usize = 64;

/// Tokens that a thought needs beside its answer, at the least, where the prompt asks for one.
const SHORT_THOUGHT: usize = 64;

pub(super) fn check(inputs: &Inputs) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(first) = inputs.asked.first() {
        let mut shown: String = first.rendered.chars().take(SHOWN).collect();
        if shown.len() < first.rendered.len() {
            shown += " ...";
        }
        let tokens = first.tokens.map_or_else(String::new, |tokens| format!(" ({tokens} tokens)"));
        findings.push(Finding::note("prompt", format!("{shown:?}{tokens}")));
    }
    if matches!(inputs.work, Work::TrainRl | Work::Distill | Work::Eval) {
        findings.extend(positions(inputs));
        findings.extend(need(inputs));
    }
    if inputs.work == Work::Sft {
        findings.extend(row(inputs));
    }
    findings
}

/// The room of the models that are asked.
fn room(inputs: &Inputs) -> Option<Room> {
    let models = [&inputs.model, &inputs.student].into_iter().flatten();
    let positions = models.map(|known| known.config.max_position_embeddings).min()?;
    Some(Room::new(positions, inputs.recipe.rollout.max_new_tokens))
}

fn positions(inputs: &Inputs) -> Option<Finding> {
    let (room, name) = (room(inputs)?, "positions");
    let of_file = inputs.train.is_some() || inputs.eval.is_some();
    let all = inputs.asked.len();
    if all == 0 {
        return None;
    }
    let lengths = || inputs.asked.iter().map(|asked| asked.tokens.unwrap_or(usize::MAX));
    let long = lengths().filter(|tokens| !room.holds(*tokens)).count();
    let (shortest, longest) = (lengths().min()?, lengths().max()?);
    if long == 0 {
        let found = format!("prompts have {shortest} to {longest} tokens; {} fit", room.prompt());
        return Some(Finding::note(name, found));
    }
    let share = percent(long, all);
    if !of_file {
        let found = format!("{share} of the tasks are too long: {}", room.sum(longest));
        return Some(Finding::severe(name, found, room.advice(longest)));
    }
    if long == all {
        let found = format!("all prompts that were looked at are too long: {}", room.sum(shortest));
        return Some(Finding::severe(name, found, room.advice(shortest)).with_kind(ErrorKind::Input));
    }
    let found = format!("{share} of the prompts are too long and are left out: {}", room.sum(longest));
    Some(Finding::warning(name, found, room.advice(longest)))
}

/// Whether completions may be as long as what they have to hold.
fn need(inputs: &Inputs) -> Option<Finding> {
    let limit = inputs.recipe.rollout.max_new_tokens;
    let (name, is) = ("max_new_tokens", format!("`rollout.max_new_tokens` is {limit}"));
    if let Some(worked) = worked_solution(inputs).filter(|worked| *worked > limit) {
        let found = format!("{is}; the worked solutions of the file have {worked} tokens in the median");
        let advice = format!("set `rollout.max_new_tokens` to {} or more", (2 * worked).next_power_of_two());
        return Some(Finding::severe(name, found, advice));
    }
    if !inputs.is_real() {
        return None;
    }
    let asks_for_thought = inputs.asked.first().is_some_and(|asked| asked.rendered.contains("<think>"));
    if asks_for_thought && limit < SHORT_THOUGHT {
        let found = format!("{is}; the prompt asks for a thought and an answer");
        return Some(Finding::severe(name, found, "set `rollout.max_new_tokens` to 256 or more"));
    }
    (limit < SHORT_CHAT).then(|| {
        let found = format!("{is}: most completions of a chat model will be cut off");
        Finding::warning(name, found, "set `rollout.max_new_tokens` to 256 or more")
    })
}

/// Tokens of the rows' worked solutions (GSM8K's and MATH's column `solution`), in the median.
fn worked_solution(inputs: &Inputs) -> Option<usize> {
    let renderer = inputs.renderer.as_ref()?;
    let solutions =
        inputs.asked.iter().take(32).filter_map(|asked| asked.task.columns.get("solution")?.as_str());
    let mut lengths: Vec<usize> =
        solutions.filter_map(|text| Some(renderer.tokenizer.encode(text).ok()?.len())).collect();
    lengths.sort_unstable();
    lengths.get(lengths.len() / 2).copied()
}

/// Rows of conversations against the model's positions.
fn row(inputs: &Inputs) -> Option<Finding> {
    let (row, positions) =
        (inputs.recipe.sft.row_length, inputs.model.as_ref()?.config.max_position_embeddings);
    let longest = inputs.asked.iter().map(|asked| asked.tokens.unwrap_or(usize::MAX)).max()?;
    (longest > positions).then(|| {
        let found = format!(
            "a prompt of the file has more than {positions} tokens, the model's positions (`max_position_embeddings`); a row has \
             `sft.row_length` = {row}"
        );
        Finding::severe("positions", found, "leave such rows out, or choose a model with more positions")
            .with_kind(ErrorKind::Input)
    })
}
