//! A teacher's traces: sampled, filtered, cleared of what an evaluation asks, and written as conversations with where they
//! come from.

use super::sampled::Sampled;
use crate::error::Refusal;
use crate::interrupt;
use crate::policy;
use crate::progress::{Counted, Progress};
use crate::recipe::Recipe;
use crate::run::identity::of_folder;
use anyhow::Result;
use ruminate_data::decontaminate::{Decontaminator, R1_NGRAM};
use ruminate_data::jsonl::{self, AnswerColumn, TaskFormat};
use ruminate_data::{Completion, FinishReason, Group, Message, Outcome, Problem, Prompt, Sample, Seed, Task};
use ruminate_distill as distill;
use ruminate_env::Grader;
use ruminate_env::Problems;
use ruminate_model::Decoder;
use ruminate_rollout::LocalEngine;
use ruminate_run::{RunFolder, sha256_hex};
use ruminate_text::Columns;
use ruminate_text::Preamble;
use ruminate_text::Renderer;
use ruminate_text::{continuation, whole_reply};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::ops::ControlFlow;
use std::path::Path;

/// What a teacher wrote, and was right about: a row of `traces.jsonl`, which `sft` reads, with where it comes from.
#[derive(Serialize)]
pub(super) struct Trace {
    messages: Vec<Message>,
    /// What the chat template reads beside them, where the problem has it.
    #[serde(flatten)]
    inputs: Columns,
    /// The problem's family, where the problem says.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Value>,
    answer: String,
    teacher: String,
    seed: u64,
    /// Index of the training problem.
    index: usize,
    /// Which of the problem's samples.
    sample: usize,
    verdict: Outcome,
    rewards: Map<String, Value>,
    #[serde(skip)]
    prompt: Prompt,
    /// What the teacher wrote, with the opening of its thought.
    #[serde(skip)]
    completion: String,
}

/// Columns of a problem that are the chat template's.
const INPUTS: [&str; 3] = ["tools", "documents", "chat_template_kwargs"];

impl Trace {
    /// What the student learns of it.
    pub(super) fn sample(&self, renderer: &Renderer) -> Result<Sample> {
        let prompt = renderer.render(&self.prompt, &self.inputs)?;
        Ok(renderer.pair(&prompt, &continuation(&prompt, &self.completion)?)?)
    }
}

/// What a teacher wrote, judged.
pub(super) struct Written {
    /// Its name, for the rows.
    pub(super) teacher: String,
    /// A group a problem.
    pub(super) groups: Vec<Group>,
    /// What each group was asked, as the teacher read it; empty where that is not known.
    pub(super) prompts: Vec<String>,
    /// The text of each completion, by group.
    pub(super) texts: Vec<Vec<String>>,
    /// What it took, where that is known.
    pub(super) compute: Option<Value>,
}

/// The problems that the teacher is asked.
pub(super) fn asked(recipe: &Recipe, renderer: &Renderer, problems: &mut Problems) -> Result<Vec<Problem>> {
    (0..recipe.distill.prompts as u64).map(|index| Ok(problems.training(renderer, index)?)).collect()
}

/// A completion, as the log keeps it.
#[derive(Serialize, Deserialize)]
struct Kept {
    ids: Vec<u32>,
    finish_reason: FinishReason,
}

impl Kept {
    fn completion(self, prompt: &[u32]) -> Completion {
        let Self { ids, finish_reason } = self;
        let logprobs = vec![f32::NAN; ids.len()]; // no filter asks for them
        Completion::new(prompt.to_vec(), ids, logprobs, finish_reason)
    }
}

/// Samples a teacher that is here, but for what lies in the log at `path`.
pub(super) fn sample(
    recipe: &Recipe,
    folder: &Path,
    teacher: &Decoder,
    judge: &Grader,
    asked: &[Problem],
    path: &Path,
) -> Result<Written> {
    let prompts: Vec<(&Task, &[u32])> =
        asked.iter().map(|problem| (&problem.task, problem.prompt_ids.as_slice())).collect();
    let num_samples = recipe.distill.learning.num_samples;
    let setup = distill::SamplingArgs {
        teacher,
        sampling: recipe.rollout.sampling(),
        stop: &recipe.stop(judge.renderer)?,
        num_samples,
        seed: Seed::new(recipe.seed).child("distill"),
    };
    let (mut log, known) =
        Sampled::open(path, requests(recipe, folder, judge.renderer, asked)?, num_samples)?;
    let known: Vec<Vec<Option<Completion>>> = known
        .into_iter()
        .zip(&prompts)
        .map(|(group, &(_, prompt))| {
            group.into_iter().map(|kept| kept.map(|kept: Kept| kept.completion(prompt))).collect()
        })
        .collect();
    let mut done = known.iter().flatten().flatten().count() as u64;
    let mut progress = Progress::new("traces", (asked.len() * num_samples) as u64, done);
    let mut engine = LocalEngine::new(recipe.rollout.engine());
    let mut engine = Counted::new(&mut engine, progress.counter());
    let groups = distill::sample_traces(
        &setup,
        &mut engine,
        &prompts,
        known,
        judge,
        &mut |problem, sample, completion| {
            let (ids, finish_reason) = (completion.ids.clone(), completion.finish_reason);
            log.add(problem, sample, &Kept { ids, finish_reason }, &mut progress);
            done += 1;
            progress.set(done, "");
            if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    )?;
    let tokens = groups.iter().flat_map(|group| &group.completions);
    let num_tokens: usize = tokens.map(|completion| completion.prompt_ids.len() + completion.ids.len()).sum();
    let text = |group: &Group| group.completions.iter().map(|c| judge.renderer.text(&c.ids)).collect();
    let prompt = |problem: &Problem| judge.renderer.render(&problem.task.prompt, &problem.task.columns);
    Ok(Written {
        teacher: folder.display().to_string(),
        prompts: asked.iter().map(prompt).collect::<Result<_, _>>()?,
        texts: groups.iter().map(text).collect(),
        groups,
        compute: Some(policy::compute(num_tokens as u64, teacher.config())),
    })
}

/// Hashes of everything that decides what a teacher writes, one per problem.
fn requests(recipe: &Recipe, folder: &Path, renderer: &Renderer, asked: &[Problem]) -> Result<Vec<String>> {
    let teacher = of_folder(folder)?;
    // How many sequences are decoded at once decides nothing.
    let mut sampling = serde_json::to_value(&recipe.rollout)?;
    sampling.as_object_mut().and_then(|keys| keys.shift_remove("max_num_seqs"));
    let decides = |problem: &Problem| {
        json!({
            "teacher": teacher,
            "prompt_ids": problem.prompt_ids,
            "sampling": sampling,
            "eos_token_ids": renderer.end_ids,
            "seed": recipe.seed,
        })
    };
    Ok(asked.iter().map(|problem| sha256_hex(decides(problem).to_string().as_bytes())).collect())
}

/// Keeps what is worth learning; with an account of it.
pub(super) fn select(
    recipe: &Recipe,
    written: &Written,
    asked: &[Problem],
    problems: &Problems,
) -> Result<(Vec<Trace>, Value)> {
    let selection = distill::select(&written.groups, &recipe.distill.learning);
    let report = selection.report;
    let mut traces: Vec<Trace> = selection
        .traces
        .iter()
        .map(|kept| trace(recipe, written, &asked[kept.task].task, kept.task, kept.sample))
        .collect();
    let seen = evaluation_texts(recipe, problems)?;
    traces.retain(|trace| !seen.overlaps(&trace.prompt.text()) && !seen.overlaps(&trace.completion));
    let contaminated = report.kept - traces.len();
    notice!(
        "{} of {} traces are kept; dropped: {} wrong, {} malformed, {} cut off, {} unscored, {} too short or too long, {} \
         repetitive, {} seen before, {} beyond the limit of their prompt, {contaminated} that share 10 words in a row with \
         an evaluation",
        traces.len(),
        report.sampled,
        report.wrong,
        report.malformed,
        report.truncated,
        report.unscored,
        report.length,
        report.repetitive,
        report.duplicate,
        report.surplus
    );
    if traces.is_empty() {
        return Err(Refusal::input(
            "the teacher wrote no trace that passes the filters, of which the counts above tell: there is nothing to learn",
        ));
    }
    let mut counts = serde_json::to_value(report)?;
    counts["contaminated"] = contaminated.into();
    counts["kept"] = traces.len().into();
    let mut summary = json!({ "traces": counts });
    if let Some(compute) = &written.compute {
        summary["compute"] = compute.clone();
    }
    Ok((traces, summary))
}

fn trace(recipe: &Recipe, written: &Written, task: &Task, index: usize, sample: usize) -> Trace {
    let verdict = &written.groups[index].verdicts[sample];
    // Its prompt may have opened the thought; a conversation's turn, and another template, have it whole.
    let completion = whole_reply(&written.prompts[index], &written.texts[index][sample]);
    // The system message asked for the form of the answer: without it the row would teach the form unasked.
    let mut messages = Preamble::of_system(recipe.data.system.as_deref()).before(&messages(&task.prompt));
    messages.push(Message::new("assistant", completion.as_str()));
    let is_input = |name: &str| INPUTS.contains(&name);
    let inputs = task.columns.iter().filter(|(name, _)| is_input(name));
    Trace {
        messages,
        inputs: inputs.map(|(name, value)| (name.clone(), value.clone())).collect(),
        task: task.columns.get("task").cloned(),
        answer: task.answer.clone(),
        teacher: written.teacher.clone(),
        seed: recipe.seed,
        index,
        sample,
        verdict: verdict.outcome,
        rewards: verdict.rewards.iter().map(|(name, score)| (name.clone(), Value::from(*score))).collect(),
        prompt: task.prompt.clone(),
        completion,
    }
}

/// A prompt as a conversation.
pub(super) fn messages(prompt: &Prompt) -> Vec<Message> {
    match prompt {
        Prompt::Text(text) => vec![Message::new("user", text.as_str())],
        Prompt::Messages(messages) => messages.clone(),
    }
}

/// What no trace may share 10 words in a row with: the problems of every evaluation set, and worked solutions.
fn evaluation_texts(recipe: &Recipe, problems: &Problems) -> Result<Decontaminator> {
    let mut tasks: Vec<Task> = problems.validation.iter().chain(&problems.test).cloned().collect();
    for path in &recipe.distill.decontaminate {
        // What is measured there is known without its answers.
        let format = TaskFormat { columns: recipe.data.columns.clone(), answer: AnswerColumn::Optional };
        let rows = format.tasks(path, recipe.data.bad_lines.into())?;
        tasks.extend(rows.rows.into_iter().map(|row| row.value));
    }
    let solutions = tasks.iter().filter_map(|task| task.columns.get("solution")?.as_str().map(str::to_owned));
    let texts: Vec<String> = tasks.iter().map(|task| task.prompt.text()).chain(solutions).collect();
    Ok(Decontaminator::new(texts, R1_NGRAM))
}

/// Writes `traces.jsonl`.
pub(super) fn write(folder: &RunFolder, traces: &[Trace]) -> Result<()> {
    let mut bytes = Vec::new();
    jsonl::write(&mut bytes, traces)?;
    Ok(folder.write(&folder.traces_path(), &bytes)?)
}
