//! A step's completions for people: the file of the run folder, and one of them in a line for the terminal.

use crate::renderer::language::Language;
use crate::thoughts::{self, Look};
use anyhow::Result;
use ruminate_data::{Completion, FinishReason, Group, Outcome, Verdict};
use ruminate_run::RunFolder;
use ruminate_text::SpecialText;
use serde::Serialize;
use serde_json::{Map, Value};

/// How much of a prompt is shown before what was written.
const PROMPT_CHARACTERS: usize = 40;

/// Writes `completions/step-NNNNNN.jsonl`, a row a completion with its verdict and advantage.
///
/// # Errors
/// With exit code 7.
pub(crate) fn write(
    folder: &RunFolder,
    step: usize,
    groups: &[Group],
    advantages: &[Vec<f64>],
    language: &Language,
) -> Result<()> {
    let mut bytes = Vec::new();
    for (group, advantages) in groups.iter().zip(advantages) {
        let judged = group.completions.iter().zip(&group.verdicts).zip(advantages);
        for (sample, ((completion, verdict), &advantage)) in judged.enumerate() {
            let row = Row::new(step, group.task, sample, completion, verdict, advantage, language);
            serde_json::to_writer(&mut bytes, &row)?;
            bytes.push(b'\n');
        }
    }
    Ok(folder.write(&folder.completions_path(step as u64), &bytes)?)
}

/// A completion in one line: the verdict, the end of its prompt, what was written, the thought in faint letters.
pub(crate) fn line(completion: &Completion, verdict: &Verdict, language: &Language, colours: bool) -> String {
    let sign = match verdict.outcome {
        Outcome::Correct => '\u{2713}',
        Outcome::Wrong => '\u{2717}',
        Outcome::Unscored => '?',
    };
    let prompt = language.tokenizer.decode(&completion.prompt_ids, SpecialText::Keep);
    let prompt: Vec<char> = prompt.unwrap_or_default().chars().collect();
    let prompt: String = prompt[prompt.len().saturating_sub(PROMPT_CHARACTERS)..].iter().collect();
    let line = format!("{prompt} {}", language.text(&completion.ids)).replace('\n', "\u{23ce}");
    let look = if colours { Look::Terminal } else { Look::Monochrome };
    format!("{sign} {}", thoughts::shown(&line, look))
}

/// One line of `completions/step-NNNNNN.jsonl`.
#[derive(Serialize)]
struct Row<'a> {
    step: usize,
    index: usize,
    sample: usize,
    prompt: String,
    text: String,
    completion_ids: &'a [u32],
    logprobs: &'a [f32],
    rewards: Map<String, Value>,
    advantage: f64,
    verdict: Outcome,
    why: &'a str,
    finish_reason: FinishReason,
}

impl<'a> Row<'a> {
    fn new(
        step: usize,
        index: usize,
        sample: usize,
        completion: &'a Completion,
        verdict: &'a Verdict,
        advantage: f64,
        language: &Language,
    ) -> Self {
        let decoded = language.tokenizer.decode(&completion.prompt_ids, SpecialText::Keep);
        Self {
            step,
            index,
            sample,
            prompt: decoded.unwrap_or_default(),
            text: language.text(&completion.ids),
            completion_ids: &completion.ids,
            logprobs: &completion.logprobs,
            rewards: verdict.rewards.iter().map(|(name, score)| (name.clone(), (*score).into())).collect(),
            advantage,
            verdict: verdict.outcome,
            why: &verdict.why,
            finish_reason: completion.finish_reason,
        }
    }
}
