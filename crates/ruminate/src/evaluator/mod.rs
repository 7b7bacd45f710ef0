//! An evaluation: completions of the problems of a set, sampled and greedy, judged, and made a row of `eval.jsonl`.

pub(crate) mod kept;
pub(crate) mod samples;
pub(crate) mod summary;
#[cfg(test)]
mod tests;
pub(crate) mod validation;

use crate::error::Refusal;
use crate::evaluator::kept::Kept;
use crate::interrupt;
use crate::printable::harmless_line;
use crate::progress::{Counted, Progress};
use crate::recipe::text::stop_of;
use crate::recipe::{Eval, Recipe};
use anyhow::Result;
use ruminate_data::procedural::DIFFICULTY;
use ruminate_data::{Completion, Group, SamplingParams, Seed, Stop, Task};
use ruminate_env::Grader;
use ruminate_env::Problems;
use ruminate_eval::{Evaluation, by_part, evaluate};
use ruminate_model::{Config, Decoder};
use ruminate_rollout::{self as rollout, Engine, EngineConfig, GroupArgs, LocalEngine};
use ruminate_run::RunFolder;
use ruminate_run::rows::Sample;
use ruminate_text::Renderer;
use serde_json::Value;
use std::fs;
use std::ops::ControlFlow;

/// The thought that is forced upon the policy to see what it can do without one.
const EMPTY_THOUGHT: &str = "<think></think>";

/// The set of development.
const VALIDATION: &str = "validation";

/// The set of final figures.
const TEST: &str = "test";

/// Problems of which a sample is kept for people.
const SHOWN: usize = 12;

/// A set of problems under its name in `eval.jsonl`.
struct Set {
    name: String,
    problems: Vec<(Task, Vec<u32>)>,
    /// What the policy is made to begin with.
    forced: &'static str,
    stop: Stop,
}

/// What is measured, and how.
pub(crate) struct Evaluator<'a> {
    judge: &'a Grader<'a>,
    sets: Vec<Set>,
    sampled: SamplingParams,
    num_samples: usize,
    engine: EngineConfig,
    seed: Seed,
}

/// Which sets are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sets {
    /// All of them, before training and after.
    All,
    /// Those of development, on the way: no choice of settings may depend on `test`.
    Development,
}

/// How many problems an evaluation asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Those of all sets together.
    pub(crate) all: usize,
    /// Those of [`Sets::Development`].
    pub(crate) development: usize,
    /// Those of the main set.
    pub(crate) validation: usize,
}

/// The main set's row first, a few of its samples, and which experts it used.
#[derive(Default)]
pub(crate) struct Evaluated {
    pub(crate) evaluations: Vec<Evaluation>,
    pub(crate) samples: Vec<Sample>,
    /// Share of each layer's choices that fell on each expert, over the main set's samples; empty without experts.
    pub(crate) expert_load: Vec<Vec<f64>>,
}

impl Evaluated {
    /// Writes the samples of a step into the run folder.
    ///
    /// # Errors
    /// With exit code 7.
    pub(crate) fn write_samples(&self, folder: &RunFolder, step: usize) -> Result<()> {
        let mut bytes = Vec::new();
        ruminate_data::jsonl::write(&mut bytes, &self.samples)?;
        Ok(folder.write(&folder.samples_path(step as u64), &bytes)?)
    }
}

/// A set's judged completions.
pub(crate) struct Measured {
    pub(crate) set: String,
    /// What the policy was made to begin with.
    pub(crate) forced: String,
    pub(crate) tasks: Vec<Task>,
    /// The samples of each task.
    pub(crate) sampled: Vec<Group>,
    /// The greedy completion of each task; none where it was not asked for.
    pub(crate) greedy: Vec<Group>,
}

impl Measured {
    /// The first sample of each of the first `n` problems: what a small validation draws.
    pub(crate) fn first(&self, n: usize) -> Vec<Group> {
        let first = |group: &Group| Group {
            task: group.task,
            completions: group.completions.iter().take(1).cloned().collect(),
            verdicts: group.verdicts.iter().take(1).cloned().collect(),
        };
        self.sampled.iter().take(n).map(first).collect()
    }

    /// The set's row of `eval.jsonl`.
    ///
    /// # Errors
    /// When nothing was scored.
    pub(crate) fn evaluation(&self, step: usize, seed: Seed) -> Result<Evaluation> {
        let seed = seed_of(seed, &self.set);
        let greedy = (!self.greedy.is_empty()).then_some(self.greedy.as_slice());
        let row = evaluate(step as u64, &self.set, &self.sampled, greedy, seed.child("bootstrap"))?;
        let labels = |column: &str| -> Vec<Option<String>> {
            let label = |task: &Task| match task.columns.get(column)? {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            };
            self.tasks.iter().map(label).collect()
        };
        Ok(by_part(row, &self.sampled, &labels("task"), &labels(DIFFICULTY), seed))
    }
}

impl<'a> Evaluator<'a> {
    /// Prepares the sets: `validation`, `validation/empty_thought` where the recipe wants it, and `test` where there is one.
    ///
    /// # Errors
    /// When a prompt cannot be encoded.
    pub(crate) fn new(
        recipe: &Recipe,
        renderer: &Renderer,
        judge: &'a Grader<'a>,
        problems: &Problems,
    ) -> Result<Self> {
        let set = |name: &str, tasks: &[Task], forced: &'static str| -> Result<Set> {
            let with_ids = |task: &Task| {
                let text = renderer.render(&task.prompt, &task.columns)? + forced;
                Ok((task.clone(), renderer.tokenizer.encode(&text)?))
            };
            let problems = tasks.iter().map(with_ids).collect::<Result<_>>()?;
            // A prompt that ends with something forced is not begun in another way.
            let controls = if forced.is_empty() { recipe.controls() } else { recipe.controls().unforced() };
            let stop = stop_of(&controls, renderer, recipe.rollout.max_new_tokens)?;
            Ok(Set { name: name.to_owned(), problems, forced, stop })
        };
        let mut sets = vec![set(VALIDATION, &problems.validation, "")?];
        if recipe.eval.empty_thought {
            sets.push(set("validation/empty_thought", &problems.validation, EMPTY_THOUGHT)?);
        }
        if !problems.test.is_empty() {
            sets.push(set(TEST, &problems.test, "")?);
        }
        Ok(Self {
            judge,
            sets,
            sampled: recipe.eval.sampling(&recipe.rollout),
            num_samples: recipe.eval.num_samples,
            engine: Eval::engine(&recipe.rollout),
            seed: Seed::new(recipe.seed).child("eval"),
        })
    }

    /// The names of the sets that are looked at, the main one first.
    pub(crate) fn names(&self, which: Sets) -> impl Iterator<Item = &str> {
        self.sets(which).map(|set| set.name.as_str())
    }

    /// How many problems are asked.
    pub(crate) fn sizes(&self) -> Sizes {
        let of = |which| self.sets(which).map(|set| set.problems.len()).sum();
        Sizes {
            all: of(Sets::All),
            development: of(Sets::Development),
            validation: self.sets[0].problems.len(),
        }
    }

    fn sets(&self, which: Sets) -> impl Iterator<Item = &Set> {
        self.sets.iter().filter(move |set| which == Sets::All || set.name != TEST)
    }

    /// Evaluates on sets, one after the other.
    ///
    /// # Errors
    /// When it is interrupted, and when nothing can be scored.
    pub(crate) fn run(&self, step: usize, policy: &Decoder, which: Sets) -> Result<Evaluated> {
        self.run_keeping(step, policy, which, &mut |_| Ok(()))
    }

    /// The same, with each set's completions handed to `keep` when they are judged.
    ///
    /// # Errors
    /// As [`run`](Self::run), and those of `keep`.
    pub(crate) fn run_keeping(
        &self,
        step: usize,
        policy: &Decoder,
        which: Sets,
        keep: &mut dyn FnMut(&Measured) -> Result<()>,
    ) -> Result<Evaluated> {
        self.run_with(&mut LocalEngine::new(self.engine), step, policy, which, None, keep)
    }

    /// The same on all sets, with completions that an earlier process has sampled, and with each completion kept as it comes.
    ///
    /// # Errors
    /// As [`run_keeping`](Self::run_keeping).
    pub(crate) fn go_on(
        &self,
        policy: &Decoder,
        kept: &mut Kept,
        keep: &mut dyn FnMut(&Measured) -> Result<()>,
    ) -> Result<Evaluated> {
        self.run_with(&mut LocalEngine::new(self.engine), 0, policy, Sets::All, Some(kept), keep)
    }

    /// One sample of each of the first `n` problems of the main set, the one that a whole evaluation draws first.
    ///
    /// # Errors
    /// When it is interrupted.
    pub(crate) fn first(&self, step: usize, policy: &Decoder, n: usize) -> Result<Vec<Group>> {
        let main = &self.sets[0];
        let problems = main.problems.iter().take(n).cloned().collect();
        let set = Set { name: main.name.clone(), problems, forced: main.forced, stop: main.stop.clone() };
        let progress = Progress::new("validate", set.problems.len() as u64, 0);
        let mut engine = LocalEngine::new(self.engine);
        engine.load_weights(policy, step as u64)?;
        let engine = &mut Counted::new(&mut engine, progress.counter());
        let mut asking = Asking { engine, config: policy.config(), kept: None, progress, done: 0 };
        self.groups(&mut asking, &set, Draw::Samples(1))
    }

    /// As [`run_keeping`](Self::run_keeping), sampled by an engine, which gets the policy's weights.
    fn run_with(
        &self,
        engine: &mut dyn Engine,
        step: usize,
        policy: &Decoder,
        which: Sets,
        kept: Option<&mut Kept>,
        keep: &mut dyn FnMut(&Measured) -> Result<()>,
    ) -> Result<Evaluated> {
        let completions: usize =
            self.sets(which).map(|set| set.problems.len() * (self.num_samples + 1)).sum();
        let done = kept.as_ref().map_or(0, |kept| kept.len()) as u64;
        let progress = Progress::new("evaluate", completions as u64, done);
        let mut evaluated = Evaluated::default();
        engine.load_weights(policy, step as u64)?;
        let engine = &mut Counted::new(engine, progress.counter());
        let mut asking = Asking { engine, config: policy.config(), kept, progress, done };
        for set in self.sets(which) {
            let sampled = self.groups(&mut asking, set, Draw::Samples(self.num_samples))?;
            let greedy = self.groups(&mut asking, set, Draw::Greedy)?;
            let tasks = set.problems.iter().map(|(task, _)| task.clone()).collect();
            let measured =
                Measured { set: set.name.clone(), forced: set.forced.to_owned(), tasks, sampled, greedy };
            evaluated.evaluations.push(measured.evaluation(step, self.seed)?);
            keep(&measured)?;
            if evaluated.samples.is_empty() {
                evaluated.expert_load = expert_load(policy, &measured.sampled);
                evaluated.samples = measured
                    .sampled
                    .iter()
                    .zip(&set.problems)
                    .take(SHOWN)
                    .map(|(group, (task, _))| self.show(step, &set.name, group, task))
                    .collect();
            }
        }
        Ok(evaluated)
    }

    fn show(&self, step: usize, set: &str, group: &Group, task: &Task) -> Sample {
        Sample {
            step: step as u64,
            set: set.to_owned(),
            index: group.task as u64,
            prompt: task.prompt.text(),
            answer: task.answer.clone(),
            text: self.judge.renderer.text(&group.completions[0].ids),
            verdict: group.verdicts[0].outcome,
            why: group.verdicts[0].why.clone(),
        }
    }

    /// Judged completions of each problem, of which some may be there already.
    fn groups(&self, asking: &mut Asking, set: &Set, draw: Draw) -> Result<Vec<Group>> {
        let (count, sampling) = match draw {
            Draw::Samples(count) => (count, self.sampled),
            Draw::Greedy => (1, SamplingParams { temperature: 0.0, ..self.sampled }),
        };
        let seed = seed_of(self.seed, &set.name);
        let args = GroupArgs { count, sampling, stop: &set.stop };
        let place = |problem: usize, sample: usize| {
            (set.name.as_str(), problem, matches!(draw, Draw::Samples(_)).then_some(sample))
        };
        let mut groups: Vec<Vec<Option<Completion>>> = Vec::new();
        let (mut places, mut requests) = (Vec::new(), Vec::new());
        for (problem, (_, prompt)) in set.problems.iter().enumerate() {
            let asked = args.requests(prompt, seed.index(problem as u64));
            let known = (0..count).map(|sample| {
                let kept = asking.kept.as_mut()?;
                kept.take(place(problem, sample), prompt, asking.config)
            });
            let known: Vec<Option<Completion>> = known.collect();
            for (sample, request) in
                asked.into_iter().enumerate().filter(|(sample, _)| known[*sample].is_none())
            {
                places.push((problem, sample));
                requests.push(request);
            }
            groups.push(known);
        }
        let mut checked = Ok(());
        let label = harmless_line(&set.name);
        let Asking { engine, kept, progress, done, .. } = asking;
        let mut missing = requests.len();
        let mut sink = |request: usize, completion: Completion| {
            checked = rollout::Error::check(request, &completion);
            if checked.is_err() {
                return ControlFlow::Break(());
            }
            let (problem, sample) = places[request];
            let lost = kept.as_mut().and_then(|kept| kept.add(place(problem, sample), &completion));
            if let Some(lost) = lost {
                progress.say(&format!("warning: {lost}; what is lost would be sampled again"));
            }
            groups[problem][sample] = Some(completion);
            (missing, *done) = (missing - 1, *done + 1);
            progress.set(*done, &label);
            if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        if !requests.is_empty() {
            let generated = engine.generate(requests, &mut sink).map(drop).and(checked);
            generated
                .map_err(|error| anyhow::Error::from(error).context(format!("evaluating on {}", set.name)))?;
        }
        if missing > 0 {
            let kept = if kept.is_some() {
                format!("; {done} completions are kept, and the same command goes on with them")
            } else {
                String::new()
            };
            return Err(Refusal::Interrupted(format!(" while evaluating{kept}")).into());
        }
        let completions: Vec<Vec<Completion>> =
            groups.into_iter().map(|group| group.into_iter().flatten().collect()).collect();
        let written: Vec<(&Task, &[Completion])> =
            set.problems.iter().map(|(task, _)| task).zip(completions.iter().map(Vec::as_slice)).collect();
        let verdicts = self.judge.verdicts(&written, set.forced);
        let judged = completions.into_iter().zip(verdicts).enumerate();
        Ok(judged.map(|(task, (completions, verdicts))| Group { task, completions, verdicts }).collect())
    }
}

/// Which completions of a problem are asked for.
#[derive(Clone, Copy)]
enum Draw {
    /// So many, drawn at the evaluation's temperature.
    Samples(usize),
    /// The one without any randomness.
    Greedy,
}

/// What an evaluation samples with, and how far it is.
struct Asking<'a> {
    engine: &'a mut dyn Engine,
    config: &'a Config,
    kept: Option<&'a mut Kept>,
    progress: Progress,
    /// Completions of all sets.
    done: u64,
}

/// What a set's random numbers are drawn under: the names of version 0.1, so that a seed still draws what it drew.
pub(crate) fn seed_of(seed: Seed, set: &str) -> Seed {
    match set.split_once('/') {
        None if set == VALIDATION => seed.child("held_out"),
        None if set == TEST => seed.child("fresh"),
        Some((VALIDATION, forced)) => seed.child(&format!("held_out/{forced}")),
        _ => seed.child(set),
    }
}

/// Share of each MoE layer's choices that fell on each expert.
fn expert_load(policy: &Decoder, groups: &[Group]) -> Vec<Vec<f64>> {
    let config = policy.config();
    let Some(moe) = config.moe else { return Vec::new() };
    let mut load = vec![vec![0; moe.n_routed_experts]; config.moe_layers()];
    for completion in groups.iter().flat_map(|group| &group.completions) {
        completion.routing.iter().for_each(|routing| routing.count_into(&mut load));
    }
    let share = |layer: Vec<u64>| {
        let total = layer.iter().sum::<u64>().max(1) as f64;
        layer.into_iter().map(|count| count as f64 / total).collect()
    };
    load.into_iter().map(share).collect()
}

/// The rows of an evaluation that an earlier process made.
pub(crate) fn evaluations_of_step(folder: &RunFolder, step: usize) -> Vec<Evaluation> {
    let text = fs::read_to_string(folder.eval_path()).unwrap_or_default();
    let rows = text.lines().filter_map(|line| serde_json::from_str::<Evaluation>(line).ok());
    rows.filter(|row| row.step == step as u64).collect()
}
