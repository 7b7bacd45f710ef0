//! Three completions of the step for people, with their verdicts and why.

use super::super::findings::Finding;
use crate::observer::completions::shortened;
use ruminate_data::{Completion, FinishReason, Group, Outcome, Verdict};
use ruminate_text::{Renderer, SpecialText};

/// Completions that are shown.
const SHOWN: usize = 3;

/// Characters of a completion that are shown: its beginning and its end.
const CHARACTERS: usize = 240;

/// Characters of a prompt that are shown.
const PROMPT: usize = 80;

/// Three completions, of different verdicts and of different problems where there are such.
pub(super) fn examples(groups: &[Group], renderer: &Renderer) -> Vec<Finding> {
    chosen(groups).into_iter().map(|(completion, verdict)| shown(completion, verdict, renderer)).collect()
}

fn chosen(groups: &[Group]) -> Vec<(&Completion, &Verdict)> {
    // Problem by problem: the first completion of each, then the second.
    let most = groups.iter().map(|group| group.completions.len()).max().unwrap_or(0);
    let mut all: Vec<(&Completion, &Verdict)> = (0..most)
        .flat_map(|at| {
            groups.iter().filter_map(move |group| Some((group.completions.get(at)?, group.verdicts.get(at)?)))
        })
        .collect();
    // The first of each verdict stands before the others.
    let mut seen: Vec<Outcome> = Vec::new();
    all.sort_by_cached_key(|(_, verdict)| {
        let again = seen.contains(&verdict.outcome);
        seen.push(verdict.outcome);
        again
    });
    all.truncate(SHOWN);
    all
}

fn shown(completion: &Completion, verdict: &Verdict, renderer: &Renderer) -> Finding {
    let word = match verdict.outcome {
        Outcome::Correct => "correct",
        Outcome::Wrong => "wrong",
        Outcome::Unscored => "unscored",
    };
    let prompt = renderer.tokenizer.decode(&completion.prompt_ids, SpecialText::Skip).unwrap_or_default();
    let why = if verdict.why.is_empty() {
        String::new()
    } else {
        format!(": {}", shortened(&verdict.why, CHARACTERS))
    };
    let found = format!(
        "{:?} -> {:?} ({} tokens{}): {word}, score {:.2}{why}",
        shortened(&prompt, PROMPT),
        shortened(&renderer.text(&completion.ids), CHARACTERS),
        completion.ids.len(),
        if completion.finish_reason == FinishReason::Length { ", cut off" } else { "" },
        verdict.score,
    );
    Finding::note("completion", found)
}

#[cfg(test)]
mod tests {
    use super::chosen;
    use ruminate_data::{Completion, FinishReason, Group, Outcome, Verdict};

    #[test]
    fn one_of_each_verdict_is_shown_before_a_second_of_any() {
        let completion = |id: u32| Completion::new(vec![1], vec![id], vec![-0.1], FinishReason::Stop);
        let groups = [
            Group {
                task: 0,
                completions: vec![completion(1), completion(2)],
                verdicts: vec![Verdict::wrong(0.0), Verdict::correct(1.0)],
            },
            Group {
                task: 1,
                completions: vec![completion(3), completion(4)],
                verdicts: vec![Verdict::wrong(0.0), Verdict::wrong(0.0)],
            },
        ];
        let shown: Vec<(u32, Outcome)> = chosen(&groups)
            .iter()
            .map(|(completion, verdict)| (completion.ids[0], verdict.outcome))
            .collect();
        assert_eq!(shown, [(1, Outcome::Wrong), (2, Outcome::Correct), (3, Outcome::Wrong)]);
    }
}
