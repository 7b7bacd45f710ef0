//! The reward on answers that are known to be right: whether the verifier reads the golds, whether the prompt asks for the
//! form that is judged, and whether a reward from outside answers at all.

use super::Work;
use super::findings::{Finding, percent};
use super::inputs::{Asked, Inputs};
use crate::recipe::Recipe;
use ruminate_data::{FinishReason, Outcome, Task, Verdict};
use ruminate_reward::tags::{Opening, well_formed};
use ruminate_reward::{Attempt, EXTERNAL_KINDS, Limits, Pool, ResponseGroup};
use ruminate_text::Renderer;
use std::fmt;
use std::time::{Duration, Instant};

/// Golds that are judged at once.
const AT_ONCE: usize = 16;

/// Share of golds that the verifier does not read from which a run is refused.
const MANY_UNREADABLE: f64 = 0.5;

/// A part of the reward.
pub(super) struct Part {
    kind: String,
    weight: f64,
    /// Whether it looks for the answer in `<answer>` only.
    in_tags: bool,
}

/// A form that the reward looks for in completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// R1's: a thought and an answer in their tags, and nothing else.
    ThoughtAndAnswer,
    /// An answer in `<answer>`.
    Answer,
}

impl Form {
    /// The one that these parts look for: what the answer is read in, or else what is paid for itself.
    pub(super) fn wanted(parts: &[Part]) -> Option<Self> {
        if parts.first().is_some_and(|part| part.in_tags) {
            return Some(Self::Answer);
        }
        let is_paid = parts.iter().any(|part| part.kind == "format" && part.weight > 0.0);
        is_paid.then_some(Self::ThoughtAndAnswer)
    }

    /// Whether a completion has it, after a prompt that ends so.
    pub(super) fn is_in(self, text: &str, opening: Opening) -> bool {
        match self {
            Self::ThoughtAndAnswer => well_formed(text, opening).is_ok(),
            Self::Answer => text.split_once("<answer>").is_some_and(|(_, rest)| rest.contains("</answer>")),
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ThoughtAndAnswer => "the form <think>..</think><answer>..</answer>",
            Self::Answer => "an answer in <answer>..</answer>",
        })
    }
}

pub(super) fn check(inputs: &Inputs) -> Vec<Finding> {
    let recipe = inputs.recipe;
    let (Some(renderer), false) = (&inputs.renderer, inputs.asked.is_empty()) else { return Vec::new() };
    let parts = parts(recipe, &inputs.asked[0].task);
    let mut findings = form(inputs, &parts);
    let deadline = inputs
        .depth
        .time(Duration::from_millis(700), Duration::from_secs_f64(recipe.reward.timeout_s.clamp(0.1, 60.0)));
    let Ok(rubric) = recipe.reward.rubric(&recipe.data) else { return findings };
    let pool = Pool::new(rubric, Limits { threads: 2, deadline, ..Limits::default() });
    let outside = parts.iter().find(|part| EXTERNAL_KINDS.contains(&part.kind.as_str()));
    match outside {
        Some(part) => findings.push(answers(inputs, renderer, part, &pool, deadline)),
        None => findings.extend(golds(inputs, renderer, &parts[0].kind, &pool)),
    }
    findings
}

/// The parts of the reward by kind, the one that judges the answer first.
pub(super) fn parts(recipe: &Recipe, task: &Task) -> Vec<Part> {
    let reward = &recipe.reward;
    let of_task = || task.columns.get("kind").and_then(|kind| kind.as_str()).unwrap_or("exact").to_owned();
    let part = |kind: String, weight: f64, subject: Option<&str>| {
        // A mixture asks the verifier of each task's own kind.
        let judge = if kind == ruminate_data::procedural::PER_TASK { of_task() } else { kind.clone() };
        let in_tags = match judge.as_str() {
            "exact" | "countdown" => true,
            "regex" => subject != Some("response"),
            _ => false,
        };
        Part { kind, weight, in_tags }
    };
    if !reward.components.is_empty() {
        let of = |component: &_| {
            let crate::recipe::Component { kind, weight, options, .. } = component;
            part(kind.clone(), *weight, options.get("subject").and_then(|subject| subject.as_str()))
        };
        return reward.components.iter().map(of).collect();
    }
    let family = recipe.data.training_family().ok().flatten();
    let kind = match (&reward.verifier, family) {
        (Some(kind), _) => kind.clone(),
        (None, Some(family)) => family.verifier_kind().to_owned(),
        (None, None) => of_task(),
    };
    vec![part(kind, 1.0, None), part("format".to_owned(), reward.format, None)]
}

/// Whether the prompt asks for the tags that the reward looks for.
fn form(inputs: &Inputs, parts: &[Part]) -> Vec<Finding> {
    if !inputs.is_real() {
        return Vec::new();
    }
    let asks = |tag: &str| inputs.asked.iter().any(|asked| asked.rendered.contains(tag));
    // A run's own model may have been taught the tags, and an evaluation may want to know just that.
    let severe = inputs.work == Work::TrainRl && !inputs.was_taught_here();
    let finding = if severe { Finding::severe } else { Finding::warning };
    let ask = "ask for them in a system message (`data.system`), or by `data.prompt = \"r1\"`";
    let mut findings = Vec::new();
    if parts[0].in_tags && !asks("<answer>") {
        let found = format!(
            "`{}` looks for the answer in <answer> and nothing in the prompts asks for these tags: what the model writes is wrong",
            parts[0].kind
        );
        let advice = format!(
            "{ask}; or choose a verifier that reads free text: `reward.verifier = \"math\"` or \"last_number\""
        );
        findings.push(finding("answer_tags", found, advice));
    }
    let format = parts.iter().find(|part| part.kind == "format" && part.weight > 0.0);
    if let Some(format) = format.filter(|_| inputs.work == Work::TrainRl && !asks("<think>")) {
        let found = format!(
            "the reward pays {} for <think> and <answer> and nothing in the prompts asks for these tags",
            format.weight
        );
        findings.push(finding("format", found, format!("{ask}; or set `reward.format = 0`")));
    }
    findings
}

/// How a right answer may be written: in R1's tags, bare, as GSM8K and as MATH have it, behind a thought.
fn forms(gold: &str, prompt: &str) -> Vec<String> {
    let gold = gold.trim();
    // A thought that the prompt has opened has to be closed before anything is read.
    let (thought, lines, bare) = match Opening::of(prompt) {
        Opening::Bare => ("<think>.</think>", "<think>\n.\n</think>\n", ""),
        Opening::InThought => (".</think>", "\n.\n</think>\n", ".</think>\n"),
    };
    vec![
        format!("{thought}<answer>{gold}</answer>"),
        format!("{lines}<answer>\n{gold}\n</answer>"),
        format!("{thought}{gold}"),
        format!("{bare}{gold}"),
        format!("{bare}#### {gold}"),
        format!("{bare}\\boxed{{{gold}}}"),
    ]
}

fn attempts(renderer: &Renderer, asked: &Asked, texts: Vec<String>) -> ResponseGroup {
    let attempt = |text: String| {
        let ids = renderer.tokenizer.encode(&text).unwrap_or_default();
        Attempt { text, finish_reason: FinishReason::Stop, ids }
    };
    ResponseGroup {
        task: asked.task.clone(),
        prompt: asked.rendered.clone(),
        attempts: texts.into_iter().map(attempt).collect(),
    }
}

/// The best verdict on a gold, with the form that got it and its tokens.
struct Judged {
    form: String,
    tokens: usize,
    verdict: Verdict,
}

/// The verifier on the golds of the rows that were looked at, as far as the time allows.
fn golds(inputs: &Inputs, renderer: &Renderer, kind: &str, pool: &Pool) -> Vec<Finding> {
    let until = Instant::now() + inputs.depth.time(Duration::from_millis(300), Duration::from_secs(30));
    let mut judged: Vec<Judged> = Vec::new();
    for asked in inputs.asked.chunks(AT_ONCE) {
        let groups: Vec<ResponseGroup> = asked
            .iter()
            .map(|asked| attempts(renderer, asked, forms(&asked.task.answer, &asked.rendered)))
            .collect();
        let verdicts = pool.verify(groups.clone());
        judged.extend(groups.into_iter().zip(verdicts).filter_map(|(group, verdicts)| best(group, verdicts)));
        if Instant::now() > until {
            break;
        }
    }
    let (Some(first), all) = (judged.first(), judged.len()) else { return Vec::new() };
    let gold = &inputs.asked[0].task.answer;
    let Judged { form, verdict, .. } = first;
    let found = format!("{gold:?}, written {form:?}: {} by `{kind}`, {}", word(verdict.outcome), verdict.why);
    let mut findings = vec![Finding::note("gold", found)];
    // A form that these reject has no gold in it; others may want what is in no column, as an expression.
    let strict = ["exact", "choice", "gsm8k", "last_number", "math"].contains(&kind);
    let unread = |judged: &&Judged| match judged.verdict.outcome {
        Outcome::Correct => false,
        Outcome::Wrong => strict,
        Outcome::Unscored => true,
    };
    let unreadable = judged.iter().filter(unread).count();
    if let Some(example) = judged.iter().find(unread) {
        let found = format!(
            "`{kind}` does not read {} of the golds that were looked at ({unreadable} of {all}), such as {:?}: {}",
            percent(unreadable, all),
            example.form,
            example.verdict.why
        );
        let advice = "choose a `reward.verifier` for such answers, or correct them in the file";
        let many = unreadable as f64 > MANY_UNREADABLE * all as f64;
        findings.push(if many { Finding::severe } else { Finding::warning }("golds", found, advice));
    }
    findings.extend(length(inputs, &judged));
    findings
}

fn best(group: ResponseGroup, verdicts: Vec<Verdict>) -> Option<Judged> {
    let rank = |verdict: &Verdict| match verdict.outcome {
        Outcome::Correct => 2,
        Outcome::Wrong => 1,
        Outcome::Unscored => 0,
    };
    let attempts = group.attempts.into_iter().zip(verdicts).enumerate();
    // Of several right ones the one that is paid best, of these the shortest.
    let best = attempts.max_by(|(i, (a, va)), (j, (b, vb))| {
        let by_length = b.ids.len().cmp(&a.ids.len()).then(j.cmp(i));
        rank(va).cmp(&rank(vb)).then(va.score.total_cmp(&vb.score)).then(by_length)
    })?;
    let (_, (attempt, verdict)) = best;
    Some(Judged { form: attempt.text, tokens: attempt.ids.len() + 1, verdict })
}

/// Whether the answers themselves, with nothing around them but their form, fit into a completion.
fn length(inputs: &Inputs, judged: &[Judged]) -> Option<Finding> {
    let limit = inputs.recipe.rollout.max_new_tokens;
    let mut lengths: Vec<usize> = judged
        .iter()
        .filter(|judged| judged.verdict.outcome == Outcome::Correct)
        .map(|judged| judged.tokens)
        .collect();
    lengths.sort_unstable();
    let median = *lengths.get(lengths.len() / 2)?;
    let long = lengths.iter().filter(|tokens| **tokens > limit).count();
    if long == 0 {
        return None;
    }
    let longest = lengths.last().copied().unwrap_or(0);
    let found = format!(
        "`rollout.max_new_tokens` is {limit}; right answers in their form, without any work, have {median} tokens in the median and up \
         to {longest}: {} cannot be given",
        percent(long, lengths.len())
    );
    let advice = format!("set `rollout.max_new_tokens` to {} or more", (2 * longest).next_power_of_two());
    Some(if median > limit { Finding::severe } else { Finding::warning }("max_new_tokens", found, advice))
}

/// A reward from outside, asked once.
fn answers(inputs: &Inputs, renderer: &Renderer, part: &Part, pool: &Pool, deadline: Duration) -> Finding {
    let (asked, kind) = (&inputs.asked[0], &part.kind);
    let name = "reward_command";
    let gold = asked.task.answer.trim();
    let started = Instant::now();
    let verdict = pool
        .verify(vec![attempts(renderer, asked, vec![gold.to_owned()])])
        .pop()
        .and_then(|mut group| group.pop());
    let Some(verdict) = verdict else { return Finding::note(name, format!("`{kind}` was not asked")) };
    if verdict.outcome != Outcome::Unscored {
        let found = format!(
            "`{kind}` on the gold {gold:?}: {}, score {}, {}",
            word(verdict.outcome),
            verdict.score,
            verdict.why
        );
        return Finding::note(name, found);
    }
    if started.elapsed() >= deadline && !inputs.depth.whole() {
        let found = format!("`{kind}` has not answered within {deadline:?}");
        return Finding::warning(name, found, "`ruminate doctor RECIPE` waits longer for it");
    }
    let found = format!("`{kind}` gives no score: {}", verdict.why);
    Finding::severe(
        name,
        found,
        "correct the part of `reward.components` that names it, or start what it needs",
    )
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Correct => "correct",
        Outcome::Wrong => "wrong",
        Outcome::Unscored => "unscored",
    }
}

#[cfg(test)]
mod tests {
    use super::forms;
    use ruminate_data::{Outcome, Prompt, Task};
    use ruminate_reward::{Response, by_name};

    #[test]
    fn every_verifier_of_answers_accepts_a_gold_in_one_of_the_forms() {
        for (kind, gold) in [
            ("exact", "Paris, France"),
            ("math", "\\frac{1}{2}"),
            ("last_number", "1,006"),
            ("gsm8k", "18"),
            ("choice", "C"),
        ] {
            for prompt in ["1+1=", "<|assistant|><think>"] {
                let verifier = by_name(kind).expect("a kind");
                let task = Task {
                    prompt: Prompt::Text(prompt.to_owned()),
                    answer: gold.to_owned(),
                    columns: serde_json::Map::new(),
                };
                let right = |form: &String| {
                    let response = Response { prompt, ..Response::finished(form) };
                    verifier.verify(&task, &response).outcome == Outcome::Correct
                };
                assert!(forms(gold, prompt).iter().any(right), "{kind} {prompt}");
            }
        }
    }
}
