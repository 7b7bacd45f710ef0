//! A teacher that is a server of OpenAI's chat protocol (vLLM, llama.cpp's server, SGLang, an API): asked for completions in
//! words, judged here. What it has answered lies in `remote.jsonl` and is not asked again. Only a recipe that names a server
//! brings this module to the network, and only where the feature `remote` was compiled in.

use super::traces::{Written, messages};
use crate::exit::Refusal;
use crate::interrupt;
use crate::language::Language;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::scoring::Judge;
use anyhow::Result;
use ruminate_data::{Completion, FinishReason, Group, Outcome, Seed, Verdict};
use ruminate_grpo::Problem;
use ruminate_reward::{Attempt, Attempts};
use ruminate_rollout::Error as Rollout;
use ruminate_run::{Appended, JsonlAppender, sha256_hex};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[cfg(not(feature = "remote"))]
mod client {
    use super::{Ask, Recipe, Refusal, Reply, Result};
    use std::convert::Infallible;

    /// No server can be asked.
    pub(super) struct Client(Infallible);

    impl Client {
        pub(super) fn new(_: &Recipe, url: &str) -> Result<Self> {
            Err(Refusal::usage(format!(
                "`distill.teacher` is the server {url}, and this binary was built without the feature `remote`, which asks \
                 servers: build it by `cargo xtask --features remote distill ...`"
            )))
        }
    }

    impl Ask for Client {
        fn ask(&self, _: &str) -> Reply {
            match self.0 {}
        }
    }
}

#[cfg(feature = "remote")]
mod client;

/// What a server gave to one request.
#[cfg_attr(not(feature = "remote"), allow(dead_code, reason = "nobody is asked without the feature"))]
enum Reply {
    /// The body of an answer with status 200.
    Body(String),
    /// None, and why. After a pause there may be one.
    Later { why: String, pause: Option<Duration> },
    /// None, and asking again will not help.
    Never(String),
}

/// Posts a request's body to the server.
trait Ask: Sync {
    fn ask(&self, body: &str) -> Reply;
}

/// An answer: a row of `remote.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Answer {
    /// Hash of what was asked.
    request: String,
    /// Index of the training problem.
    index: usize,
    /// Which of the problem's samples.
    sample: usize,
    text: String,
    finish_reason: FinishReason,
}

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
    pub(super) fn sample(&self, judge: &Judge, asked: &[Problem], log: &Path) -> Result<Written> {
        let samples = self.recipe.distill.learning.num_samples;
        let answers = Answers::open(log, asked.len(), samples, |index| self.hash(&asked[index]))?;
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
                    answers.add(index, made.into_iter().take(room), &self.hash(&asked[index]));
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

    /// What is asked, without the server's address and the number of choices: they decide no answer.
    fn question(&self, problem: &Problem) -> Value {
        let sampling = self.recipe.rollout;
        let mut question = json!({
            "model": self.model,
            "messages": messages(&problem.task.prompt),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
        });
        if sampling.top_k > 0 {
            question["top_k"] = sampling.top_k.into(); // not OpenAI's; vLLM and llama.cpp know it
        }
        question
    }

    fn hash(&self, problem: &Problem) -> String {
        let question = json!({ "question": self.question(problem), "seed": self.recipe.seed });
        sha256_hex(question.to_string().as_bytes())
    }

    /// The server's choices for the samples of a problem that are still open, from `first` on; at least one. Servers that give
    /// one choice whatever `n` is are asked again.
    fn choices(&self, problem: &Problem, index: usize, first: usize) -> Result<Vec<(String, FinishReason)>> {
        let distill = &self.recipe.distill;
        let seed = Seed::new(self.recipe.seed).child("remote").index(index as u64).index(first as u64);
        let mut body = self.question(problem);
        body["n"] = (distill.learning.num_samples - first).into();
        body["seed"] = (seed.value() & 0x7fff_ffff).into(); // what every server takes for one
        let body = body.to_string();
        let mut backoff = Duration::from_millis(distill.remote_backoff_ms);
        for attempt in 0_u64.. {
            let (why, pause) = match self.client.ask(&body) {
                Reply::Body(body) => match choices(&body) {
                    Ok(choices) => return Ok(choices),
                    Err(why) => (why, None),
                },
                Reply::Later { why, pause } => (why, pause),
                Reply::Never(why) => return Err(self.failed(&why, attempt)),
            };
            if attempt as usize == distill.remote_max_retries {
                return Err(self.failed(&why, attempt));
            }
            // Up to half as long again, so that not all come back at once.
            let jitter = (seed.index(attempt).value() >> 11) as f64 / (1_u64 << 54) as f64;
            wait(pause.unwrap_or(backoff).mul_f64(1.0 + jitter));
            backoff *= 2;
        }
        unreachable!("attempts are counted")
    }

    fn failed(&self, why: &str, retries: u64) -> anyhow::Error {
        Refusal::Remote(format!(
            "the teacher {} at {} did not answer ({why}), after {retries} retries; what it has answered is kept: run the \
             command again with --resume auto",
            self.model, self.url
        ))
        .into()
    }

    /// The answers as groups. Lengths and repetition are counted in the tokens of `judge`'s language; what has none in it is
    /// unscored.
    fn judged(&self, judge: &Judge, asked: &[Problem], answers: Vec<Vec<(String, FinishReason)>>) -> Written {
        let attempts = |(problem, answers): (&Problem, &Vec<(String, FinishReason)>)| Attempts {
            task: problem.task.clone(),
            prompt: String::new(), // nothing was put into the teacher's mouth
            attempts: answers.iter().map(|answer| attempt(judge.language, answer)).collect(),
        };
        let written: Vec<Attempts> = asked.iter().zip(&answers).map(attempts).collect();
        let ids: Vec<Vec<Vec<u32>>> =
            written.iter().map(|group| group.attempts.iter().map(|a| a.ids.clone()).collect()).collect();
        let mut groups = Vec::with_capacity(asked.len());
        for (task, ((verdicts, ids), answers)) in
            judge.judged(written).into_iter().zip(ids).zip(&answers).enumerate()
        {
            let readable =
                |(ids, verdict): (&Vec<u32>, Verdict)| if ids.is_empty() { unreadable() } else { verdict };
            let verdicts = ids.iter().zip(verdicts).map(readable).collect();
            let completion = |(ids, (_, finish_reason)): (Vec<u32>, &(String, FinishReason))| Completion {
                prompt_ids: asked[task].prompt_ids.clone(),
                logprobs: vec![f32::NAN; ids.len()],
                ids,
                finish_reason: *finish_reason,
                routing: None,
            };
            let completions = ids.into_iter().zip(answers).map(completion).collect();
            groups.push(Group { task, completions, verdicts });
        }
        let texts =
            answers.into_iter().map(|group| group.into_iter().map(|(text, _)| text).collect()).collect();
        Written { teacher: format!("{} at {}", self.model, self.url), groups, texts, compute: None }
    }
}

fn attempt(language: &Language, (text, finish_reason): &(String, FinishReason)) -> Attempt {
    let ids = language.completion_ids(text).unwrap_or_default();
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

/// The choices of an answer. A thought that the server tells apart comes back into its tags, as R1 writes it.
fn choices(body: &str) -> Result<Vec<(String, FinishReason)>, String> {
    let answer: Value = serde_json::from_str(body).map_err(|error| format!("no JSON: {error}"))?;
    let list = answer["choices"].as_array().filter(|list| !list.is_empty()).ok_or("no `choices` in it")?;
    list.iter()
        .map(|choice| {
            let message = choice["message"].as_object().ok_or("a choice without `message`")?;
            let text = |key: &str| message.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
            let content = text("content").unwrap_or_default();
            let text = match text("reasoning_content").or_else(|| text("reasoning")) {
                Some(thought) => format!("<think>\n{}\n</think>\n\n{}", thought.trim(), content.trim_start()),
                None => content.to_owned(),
            };
            // Whatever else ends an answer (a filter, a tool), it did not end by itself.
            let stopped = choice["finish_reason"] == "stop";
            Ok((text, if stopped { FinishReason::Stop } else { FinishReason::Length }))
        })
        .collect()
}

/// Sleeps, unless somebody wants to stop.
fn wait(pause: Duration) {
    const STEP: Duration = Duration::from_millis(100);
    let mut left = pause;
    while !left.is_zero() && !interrupt::requested() {
        let now = left.min(STEP);
        std::thread::sleep(now);
        left -= now;
    }
}

/// What has been answered, in memory and in the log.
struct Answers {
    state: Mutex<State>,
}

struct State {
    by_problem: Vec<Vec<(String, FinishReason)>>,
    log: JsonlAppender,
    progress: Progress,
    count: usize,
    failed: bool,
}

impl Answers {
    /// With those of the log that are answers to what is asked now.
    fn open(path: &Path, problems: usize, samples: usize, hash: impl Fn(usize) -> String) -> Result<Self> {
        let log = JsonlAppender::open(path)?;
        let mut by_problem: Vec<Vec<(String, FinishReason)>> = vec![Vec::new(); problems];
        let hashes: Vec<String> = (0..problems).map(hash).collect();
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let rows = text.lines().filter_map(|line| serde_json::from_str::<Answer>(line).ok());
        for Answer { request, index, sample, text, finish_reason } in rows {
            let fits = hashes.get(index).is_some_and(|hash| *hash == request);
            if let Some(known) = by_problem.get_mut(index).filter(|known| fits && known.len() == sample) {
                known.push((text, finish_reason));
            }
        }
        for answers in &mut by_problem {
            answers.truncate(samples);
        }
        let count: usize = by_problem.iter().map(Vec::len).sum();
        if count > 0 {
            eprintln!("{count} of {} traces were sampled before", problems * samples);
        }
        let progress = Progress::new("traces", (problems * samples) as u64, count as u64);
        Ok(Self { state: Mutex::new(State { by_problem, log, progress, count, failed: false }) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic of another worker will be raised when the scope ends.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, index: usize) -> Vec<(String, FinishReason)> {
        self.lock().by_problem[index].clone()
    }

    fn count(&self) -> usize {
        self.lock().count
    }

    /// Whether a worker has given up.
    fn failed(&self) -> bool {
        self.lock().failed
    }

    fn fail(&self) {
        self.lock().failed = true;
    }

    fn add(&self, index: usize, made: impl Iterator<Item = (String, FinishReason)>, request: &str) {
        let mut state = self.lock();
        for (text, finish_reason) in made {
            let sample = state.by_problem[index].len();
            let row = Answer { request: request.to_owned(), index, sample, text, finish_reason };
            if let Appended::Failed(error) = state.log.append(&row) {
                state.progress.say(&format!("warning: {error}; what is lost would be asked again"));
            }
            state.by_problem[index].push((row.text, finish_reason));
            state.count += 1;
        }
        let count = state.count as u64;
        state.progress.at(count, "");
    }
}

#[cfg(test)]
mod tests {
    use super::choices;
    use ruminate_data::FinishReason::{Length, Stop};

    #[test]
    fn an_answer_is_read_as_servers_give_it() {
        let one =
            |choice: &str| choices(&format!(r#"{{"choices": [{choice}]}}"#)).expect("an answer").remove(0);
        let plain = one(r#"{"message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}"#);
        assert_eq!(plain, ("4".to_owned(), Stop));
        let thought = one(
            r#"{"message": {"reasoning_content": "2 and 2\n", "content": "\n\n4"}, "finish_reason": "stop"}"#,
        );
        assert_eq!(thought, ("<think>\n2 and 2\n</think>\n\n4".to_owned(), Stop));
        let cut = one(r#"{"message": {"reasoning": "2 and", "content": null}, "finish_reason": "length"}"#);
        assert_eq!(cut, ("<think>\n2 and\n</think>\n\n".to_owned(), Length));
        let filtered = one(r#"{"message": {"content": "4"}, "finish_reason": "content_filter"}"#);
        assert_eq!(filtered.1, Length);
    }

    #[test]
    fn nonsense_is_no_answer() {
        for (body, says) in [
            ("<html>", "no JSON"),
            ("{}", "no `choices`"),
            (r#"{"choices": []}"#, "no `choices`"),
            (r#"{"choices": [{"text": "4"}]}"#, "without `message`"),
        ] {
            let why = choices(body).expect_err(body);
            assert!(why.contains(says), "{why}");
        }
    }
}
