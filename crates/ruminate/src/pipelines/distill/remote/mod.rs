//! A teacher that is a server of OpenAI's chat protocol (vLLM, llama.cpp's server, SGLang, an API): asked for completions in
//! words by several workers, judged here. What it has answered is kept and not asked again. Only a recipe that names a server
//! brings this module to the network, and only where the feature `remote` was compiled in.

mod answers;
mod chat;
#[cfg(feature = "remote")]
mod client;
mod retry;

use super::traces::Written;
use crate::error::Refusal;
use crate::interrupt;
use crate::recipe::Recipe;
use answers::Answers;
use anyhow::Result;
use chat::Choice;
use retry::{Ask, GaveUp, Reply};
use ruminate_data::{Completion, Group, Outcome, Problem, Seed, Task, Verdict};
use ruminate_env::Grader;
use ruminate_reward::{Attempt, ResponseGroup, shown_address};
use ruminate_rollout::Error as Rollout;
use ruminate_text::Renderer;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server to be asked.
pub(super) struct Server<'a> {
    recipe: &'a Recipe,
    url: &'a str,
    model: &'a str,
    client: client::Client,
}

impl<'a> Server<'a> {
    /// The server of a recipe. Nothing is asked yet.
    ///
    /// # Errors
    /// With exit code 2: the binary cannot ask servers, or the recipe names a variable for its key that is not set.
    pub(super) fn new(recipe: &'a Recipe, url: &'a str) -> Result<Self> {
        let model = recipe.distill.remote_model.as_deref().unwrap_or_default();
        Ok(Self { recipe, url, model, client: client::Client::new(recipe, url)? })
    }

    /// `num_samples` completions of each problem, judged.
    ///
    /// # Errors
    /// With exit code 6 when the server gives no sense in spite of all retries, 130 when interrupted: what it has answered
    /// is kept.
    pub(super) fn sample(&self, judge: &Grader, asked: &[Problem], log: &Path) -> Result<Written> {
        let samples = self.recipe.distill.learning.num_samples;
        let requests = asked.iter().map(|problem| chat::hash(self.recipe, &problem.task)).collect();
        let answers = Answers::open(log, requests, samples)?;
        let open: Vec<usize> = (0..asked.len()).filter(|&index| answers.of(index).len() < samples).collect();
        let next = AtomicUsize::new(0);
        let work = || -> Result<()> {
            loop {
                let Some(&index) = open.get(next.fetch_add(1, Ordering::Relaxed)) else { return Ok(()) };
                while answers.of(index).len() < samples && !answers.failed() {
                    if interrupt::requested() {
                        let (finished, requested) = (answers.count(), asked.len() * samples);
                        return Err(Rollout::Stopped { finished, requested }.into());
                    }
                    let first = answers.of(index).len();
                    let made = self.choices(&asked[index], index, first).inspect_err(|_| answers.fail())?;
                    let room = samples - first;
                    answers.add(index, made.into_iter().take(room));
                }
            }
        };
        let workers = self.recipe.distill.remote_concurrency.min(open.len());
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })?;
        let texts = (0..asked.len()).map(|index| answers.of(index)).collect();
        Ok(self.judged(judge, asked, texts))
    }

    /// The server's choices for the samples of a problem that are still open, from `first` on; at least one. Servers that give
    /// one choice whatever `n` is are asked again.
    fn choices(&self, problem: &Problem, index: usize, first: usize) -> Result<Vec<Choice>> {
        let distill = &self.recipe.distill;
        let seed = Seed::new(self.recipe.seed).child("remote").index(index as u64).index(first as u64);
        let open = distill.learning.num_samples - first;
        let request = chat::request(self.recipe, &problem.task, open, seed);
        retry::ask(&self.client, &request, chat::choices, distill, seed)
            .map_err(|gave_up| self.failed(&gave_up))
    }

    fn failed(&self, GaveUp { why, retries }: &GaveUp) -> anyhow::Error {
        Refusal::Remote(format!(
            "the teacher {} at {} did not answer ({why}), after {retries} retries; what it has answered is kept: run the \
             command again with --resume auto",
            self.model,
            shown_address(self.url)
        ))
        .into()
    }

    /// The answers as groups. Lengths and repetition are counted in the tokens of `judge`'s renderer; what has none in it is
    /// unscored.
    fn judged(&self, judge: &Grader, asked: &[Problem], answers: Vec<Vec<Choice>>) -> Written {
        let attempts = |(problem, answers): (&Problem, &Vec<Choice>)| ResponseGroup {
            task: problem.task.clone(),
            prompt: String::new(), // nothing was put into the teacher's mouth
            attempts: answers.iter().map(|choice| attempt(judge.renderer, &problem.task, choice)).collect(),
        };
        let written: Vec<ResponseGroup> = asked.iter().zip(&answers).map(attempts).collect();
        let ids: Vec<Vec<Vec<u32>>> =
            written.iter().map(|group| group.attempts.iter().map(|a| a.ids.clone()).collect()).collect();
        let mut groups = Vec::with_capacity(asked.len());
        for (task, ((verdicts, ids), answers)) in
            judge.verdicts_of_texts(written).into_iter().zip(ids).zip(&answers).enumerate()
        {
            let readable =
                |(ids, verdict): (&Vec<u32>, Verdict)| if ids.is_empty() { unreadable() } else { verdict };
            let verdicts = ids.iter().zip(verdicts).map(readable).collect();
            let completion = |(ids, choice): (Vec<u32>, &Choice)| {
                let logprobs = vec![f32::NAN; ids.len()];
                Completion::new(asked[task].prompt_ids.clone(), ids, logprobs, choice.finish_reason)
            };
            let completions = ids.into_iter().zip(answers).map(completion).collect();
            groups.push(Group { task, completions, verdicts });
        }
        let texts =
            answers.into_iter().map(|group| group.into_iter().map(|choice| choice.text).collect()).collect();
        let prompts = vec![String::new(); asked.len()];
        Written {
            teacher: format!("{} at {}", self.model, shown_address(self.url)),
            groups,
            prompts,
            texts,
            compute: None,
        }
    }
}

fn attempt(renderer: &Renderer, task: &Task, Choice { text, finish_reason }: &Choice) -> Attempt {
    let prompt = renderer.render(&task.prompt, &task.columns);
    let encoded = prompt.and_then(|prompt| renderer.pair_ids(&prompt, text));
    let ids = encoded.map(|(_, completion)| completion).unwrap_or_default();
    Attempt { text: text.clone(), finish_reason: *finish_reason, ids }
}

fn unreadable() -> Verdict {
    Verdict {
        outcome: Outcome::Unscored,
        score: 0.0,
        extracted: None,
        why: "the student's tokenizer has no tokens for it".to_owned(),
        rewards: Vec::new(),
    }
}

#[cfg(not(feature = "remote"))]
mod client {
    use super::{Ask, Recipe, Refusal, Reply, Result, shown_address};
    use std::convert::Infallible;

    /// No server can be asked.
    pub(super) struct Client(Infallible);

    impl Client {
        pub(super) fn new(_: &Recipe, url: &str) -> Result<Self> {
            Err(Refusal::usage(format!(
                "`distill.teacher` is the server {}, and this binary was built without the feature `remote`, which asks \
                 servers: build it by `cargo xtask --features remote distill ...`",
                shown_address(url)
            )))
        }
    }

    impl Ask for Client {
        fn ask(&self, _: &str) -> Reply {
            match self.0 {}
        }
    }
}
