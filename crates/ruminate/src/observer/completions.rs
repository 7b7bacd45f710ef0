//! A step's completions for people: the file of the run folder, and one of them in a line for the terminal.

use crate::thoughts::{self, Look};
use anyhow::Result;
use ruminate_data::{Completion, Group, Outcome, Verdict};
use ruminate_run::{RunFolder, rows};
use ruminate_text::Renderer;
use ruminate_text::SpecialText;

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
    renderer: &Renderer,
) -> Result<()> {
    let mut bytes = Vec::new();
    for (group, advantages) in groups.iter().zip(advantages) {
        let judged = group.completions.iter().zip(&group.verdicts).zip(advantages);
        for (sample, ((completion, verdict), &advantage)) in judged.enumerate() {
            let row = row(step, group.task, sample, completion, verdict, advantage, renderer);
            serde_json::to_writer(&mut bytes, &row)?;
            bytes.push(b'\n');
        }
    }
    Ok(folder.write(&folder.completions_path(step as u64), &bytes)?)
}

/// A completion in one line: the verdict, the end of its prompt, what was written, the thought in faint letters.
pub(crate) fn line(completion: &Completion, verdict: &Verdict, renderer: &Renderer, colours: bool) -> String {
    let sign = match verdict.outcome {
        Outcome::Correct => '\u{2713}',
        Outcome::Wrong => '\u{2717}',
        Outcome::Unscored => '?',
    };
    let prompt = renderer.tokenizer.decode(&completion.prompt_ids, SpecialText::Keep);
    let prompt: Vec<char> = prompt.unwrap_or_default().chars().collect();
    let prompt: String = prompt[prompt.len().saturating_sub(PROMPT_CHARACTERS)..].iter().collect();
    let line = format!("{prompt} {}", renderer.text(&completion.ids)).replace('\n', "\u{23ce}");
    let look = if colours { Look::Terminal } else { Look::Monochrome };
    format!("{sign} {}", thoughts::shown(&line, look))
}

fn row(
    step: usize,
    index: usize,
    sample: usize,
    completion: &Completion,
    verdict: &Verdict,
    advantage: f64,
    renderer: &Renderer,
) -> rows::Completion {
    let decoded = renderer.tokenizer.decode(&completion.prompt_ids, SpecialText::Keep);
    rows::Completion {
        step: step as u64,
        index: index as u64,
        sample: sample as u64,
        prompt: decoded.unwrap_or_default(),
        text: renderer.text(&completion.ids),
        completion_ids: completion.ids.clone(),
        logprobs: completion.logprobs.iter().copied().map(Some).collect(),
        rewards: verdict.rewards.iter().map(|(name, score)| (name.clone(), (*score).into())).collect(),
        advantage: Some(advantage),
        verdict: verdict.outcome,
        why: verdict.why.clone(),
        finish_reason: Some(completion.finish_reason),
    }
}
