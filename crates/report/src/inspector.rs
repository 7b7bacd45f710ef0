//! Completions of training, token by token: what the page's script colours. Without a script the texts are there to
//! read. It computes nothing that a run has not recorded: a measure that is not there is not offered.

use crate::before_after::verdict;
use crate::escape::{Text, clipped, json};
use crate::folder::Run;
use ruminate_data::FinishReason;
use ruminate_run::rows::{Completion, Tokens};
use serde::Serialize;
use std::collections::HashMap;
use std::fmt::Write as _;

/// Completions of a step that are shown.
const COMPLETIONS: usize = 16;

/// Experts of a token that are shown.
const CHOSEN: usize = 16;

/// Tokens of a completion that are shown.
const TOKENS: usize = 600;

/// MoE layers whose experts are shown.
const LAYERS: usize = 8;

/// Characters of a text that are shown without tokens.
const CHARACTERS: usize = 4000;

/// TRL's and the paper's clip, where a run's configuration does not say.
const EPSILON: f64 = 0.2;

#[derive(Serialize)]
struct Inspector {
    /// The ratios that the clip leaves alone.
    clip: [f64; 2],
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    step: u64,
    items: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    prompt: String,
    verdict: [&'static str; 2],
    why: String,
    cut: bool,
    advantage: Option<f64>,
    tokens: Vec<String>,
    /// Tokens that are not shown.
    left: usize,
    logprob: Vec<Option<f64>>,
    ratio: Vec<Option<f64>>,
    entropy: Vec<Option<f64>>,
    /// `[layers][tokens][chosen]`
    experts: Vec<Vec<Vec<u32>>>,
}

/// The inspector of a run; nothing where it wrote no completions.
pub(crate) fn html(run: &Run, id: usize) -> String {
    let looked_at: HashMap<(u64, u64, u64), &Tokens> =
        run.tokens.iter().map(|row| ((row.step, row.index, row.sample), row)).collect();
    let mut by_step: Vec<(u64, Vec<&Completion>)> = Vec::new();
    for completion in &run.completions {
        match by_step.iter_mut().find(|(step, _)| *step == completion.step) {
            Some((_, all)) => all.push(completion),
            None => by_step.push((completion.step, vec![completion])),
        }
    }
    let row = |c: &Completion| looked_at.get(&(c.step, c.index, c.sample)).copied();
    let steps: Vec<Step> = by_step
        .into_iter()
        .map(|(step, all)| Step {
            step,
            items: all.iter().take(COMPLETIONS).map(|c| item(c, row(c))).collect(),
        })
        .collect();
    if steps.is_empty() {
        return String::new();
    }
    let mut html = format!("<div class=\"inspector\" id=\"inspector-{id}\"><noscript><dl>"); // writing cannot fail
    for step in &steps {
        for item in &step.items {
            let _ = write!(
                html,
                "<dt>step {}, {}: {}</dt><dd>{}</dd>",
                step.step,
                item.verdict[1],
                Text(&item.prompt),
                Text(&item.tokens.concat())
            );
        }
    }
    let inspector = Inspector { clip: clip(run), steps };
    let _ =
        write!(html, "</dl></noscript><script type=\"application/json\">{}</script></div>", json(&inspector));
    html
}

fn item(completion: &Completion, row: Option<&Tokens>) -> Item {
    let (tokens, all) = match row {
        Some(row) => {
            (row.tokens.iter().take(TOKENS).map(|token| clipped(token, 80)).collect(), row.tokens.len())
        }
        // Without pieces the text is one.
        None => (vec![clipped(&completion.text, CHARACTERS)], 1),
    };
    let shown = tokens.len();
    let known = |values: &[Option<f32>]| -> Vec<Option<f64>> {
        // Values that are not one a token belong to something else.
        if row.is_some() && values.len() == all {
            values.iter().take(shown).map(|value| value.map(|value| rounded(f64::from(value)))).collect()
        } else {
            Vec::new()
        }
    };
    let chosen = |experts: &Vec<u32>| experts.iter().take(CHOSEN).copied().collect();
    let layers = |row: &Tokens| -> Vec<Vec<Vec<u32>>> {
        let whole = row.experts.iter().filter(|layer| layer.len() == all);
        whole.take(LAYERS).map(|layer| layer.iter().take(shown).map(chosen).collect()).collect()
    };
    let (class, word) = verdict(completion.verdict);
    Item {
        prompt: clipped(&completion.prompt, CHARACTERS),
        verdict: [class, word],
        why: clipped(&completion.why, 400),
        cut: completion.finish_reason == Some(FinishReason::Length),
        advantage: completion.advantage.map(rounded),
        tokens,
        left: all - shown,
        logprob: known(&completion.logprobs),
        ratio: row.map(|row| known(&row.ratio)).unwrap_or_default(),
        entropy: row.map(|row| known(&row.entropy)).unwrap_or_default(),
        experts: row.map(layers).unwrap_or_default(),
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

fn clip(run: &Run) -> [f64; 2] {
    let grpo = run.config.get("grpo");
    let number = |key: &str| grpo.and_then(|grpo| grpo.get(key)?.as_f64());
    let low = number("epsilon").unwrap_or(EPSILON);
    let high = number("epsilon_high").unwrap_or(low);
    match grpo.and_then(|grpo| grpo.get("loss_type")?.as_str()) {
        // Cut at the limits themselves.
        Some("cispo") => {
            [number("cispo_ratio_min").unwrap_or(0.0), number("epsilon_high").unwrap_or(f64::MAX)]
        }
        Some("geo_mean") => [(-low).exp(), high.exp()], // of ln ratio
        Some(
            "sapo" | "dppo_tv" | "dppo_kl" | "vespo" | "dro" | "importance_sampling" | "reinforce" | "kl_cov",
        ) => [0.0, f64::MAX],
        _ => [1.0 - low, 1.0 + high],
    }
}

#[cfg(test)]
mod tests {
    use super::html;
    use crate::folder::Run;
    use ruminate_data::Outcome;
    use ruminate_run::rows::{Completion, Tokens};

    fn run(tokens: Vec<String>, ratio: Vec<Option<f32>>) -> Run {
        let completion = Completion {
            step: 1,
            index: 0,
            sample: 0,
            prompt: "1+1=".to_owned(),
            text: "<b>2".to_owned(),
            completion_ids: Vec::new(),
            rewards: serde_json::Map::new(),
            logprobs: vec![Some(-0.5); tokens.len()],
            advantage: Some(1.0),
            verdict: Outcome::Correct,
            why: String::new(),
            finish_reason: None,
        };
        let row = Tokens { step: 1, index: 0, sample: 0, tokens, ratio, entropy: vec![], experts: vec![] };
        Run { completions: vec![completion], tokens: vec![row], ..Run::default() }
    }

    #[test]
    fn values_that_do_not_fit_the_tokens_are_left_out() {
        let two = || vec!["a".to_owned(), "b".to_owned()];
        assert!(html(&run(two(), vec![Some(1.5), None]), 0).contains("\"ratio\":[1.5,null]"));
        assert!(html(&run(two(), vec![Some(1.5)]), 0).contains("\"ratio\":[]"));
    }

    #[test]
    fn a_long_completion_is_cut_and_says_so() {
        let html = html(&run(vec!["x".repeat(200); 5000], vec![]), 0);
        assert!(html.contains("\"left\":4400"));
        assert!(html.len() < 200_000, "{}", html.len());
    }
}
