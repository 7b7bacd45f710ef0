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

/// Completions that are shown where none was right.
const SHOWN_FAILURES: usize = 3;

/// Characters of a completion that are shown with its failure: its beginning and its end.
const FAILURE_CHARACTERS: usize = 160;

/// A warning where none of the first completions of a run earned anything: three of them, of different problems where
/// there are so many, and why each failed. None where one was right, or none could be judged.
pub(crate) fn all_failed(groups: &[Group], renderer: &Renderer) -> Option<String> {
    let judged = || groups.iter().flat_map(|group| group.completions.iter().zip(&group.verdicts));
    let scored = judged().filter(|(_, verdict)| verdict.is_scored()).count();
    if scored == 0 || judged().any(|(_, verdict)| verdict.outcome == Outcome::Correct) {
        return None;
    }
    let mut lines = vec![format!(
        "warning: none of the first {scored} completions was right: does the prompt ask for what the verifier reads? Some of \
         them, and why they are wrong:"
    )];
    let most = groups.iter().map(|group| group.completions.len()).max().unwrap_or(0);
    let in_turn = (0..most).flat_map(|at| {
        groups.iter().filter_map(move |group| Some((group.completions.get(at)?, group.verdicts.get(at)?)))
    });
    for (completion, verdict) in in_turn.filter(|(_, verdict)| verdict.is_scored()).take(SHOWN_FAILURES) {
        let text = shortened(&renderer.text(&completion.ids).replace('\n', "\u{23ce}"), FAILURE_CHARACTERS);
        lines.push(format!("  {text:?}: {}", shortened(&verdict.why, FAILURE_CHARACTERS)));
    }
    Some(lines.join("\n"))
}

/// The beginning and the end of a text.
pub(crate) fn shortened(text: &str, characters: usize) -> String {
    let all: Vec<char> = text.chars().collect();
    if all.len() <= characters {
        return text.to_owned();
    }
    let half = characters / 2;
    all[..half].iter().chain(&[' ', '\u{2026}', ' ']).chain(&all[all.len() - half..]).collect()
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

#[cfg(test)]
mod tests {
    use super::all_failed;
    use ruminate_data::{Completion, FinishReason, Group, Verdict};
    use ruminate_text::{PromptStyle, Renderer};

    #[test]
    fn a_first_step_without_a_right_completion_is_told_with_three_and_their_reasons() {
        let renderer = Renderer::embedded(PromptStyle::Bare).expect("embedded");
        let completion = |text: &str| {
            let ids = renderer.completion_ids(text).expect("printable");
            let logprobs = vec![-0.1; ids.len()];
            Completion::new(vec![], ids, logprobs, FinishReason::Stop)
        };
        let groups = |first: Verdict| -> Vec<Group> {
            let wrong = |why: &str| Verdict::wrong(0.0).with_why(why);
            vec![
                Group {
                    task: 0,
                    completions: vec![completion("I say 5"), completion("7")],
                    verdicts: vec![first, wrong("seven")],
                },
                Group {
                    task: 1,
                    completions: vec![completion("9"), completion("8")],
                    verdicts: vec![wrong("nine"), wrong("eight")],
                },
            ]
        };
        let told = all_failed(&groups(Verdict::wrong(0.0).with_why("no <answer>")), &renderer)
            .expect("none is right");
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines[0].starts_with("warning: none of the first 4 completions was right"), "{told}");
        assert_eq!(lines[1..], ["  \"I say 5\": no <answer>", "  \"9\": nine", "  \"7\": seven"]);
        assert_eq!(all_failed(&groups(Verdict::correct(1.0)), &renderer), None);
    }
}
