//! A server that says how probable its model finds given tokens: a teacher. It samples nothing for us and gets no weights, so
//! there are no numbers of ours to compare its with; what can be checked is checked before the first step.

use crate::dialect::{Dialect, Facts};
use crate::http::{Client, Failure, Secret};
use crate::{Canary, Error, Kind, Push, Target, Weights};
use ruminate_data::Seed;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Share of a sequence's tokens that may lack a log-probability; they teach nothing.
const MOST_ABSENT: f64 = 0.01;

/// The longest pause before a teacher is asked again.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Between two looks at whether the wait should end.
const LOOK: Duration = Duration::from_millis(50);

/// What a teacher is, and what is asked of it.
#[derive(Clone)]
pub struct TeacherSetup {
    /// Its address, without a path.
    pub url: String,
    /// Which words it understands.
    pub kind: Kind,
    /// The name of its model; without it the one that it serves.
    pub model: Option<String>,
    /// Its key.
    pub key: Option<Secret>,
    /// Most tokens of a prompt with its completion.
    pub max_tokens: usize,
    /// Texts with their ids, without special tokens, as the student's tokenizer has them.
    pub tokenizer: Vec<(String, Vec<u32>)>,
    /// A sequence that it has to score before the first step; the student's last id is among them.
    pub canary: Vec<u32>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How often it is asked again, and the pause before the first time, which doubles.
    pub max_retries: usize,
    /// The pause before the first further attempt.
    pub backoff: Duration,
    /// Requests at once, from 1.
    pub concurrency: usize,
    /// Whether waits should end.
    pub interrupted: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl std::fmt::Debug for TeacherSetup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TeacherSetup")
            .field("url", &self.url)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// A teacher that has passed its checks.
pub struct Teacher {
    setup: TeacherSetup,
    client: Client,
    dialect: &'static dyn Dialect,
    facts: Facts,
    target: Target,
    /// Mean log-probability of the canary's tokens.
    canary: f64,
}

impl std::fmt::Debug for Teacher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Teacher")
            .field("setup", &self.setup)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

impl Teacher {
    /// Asks a server what it is, and refuses what cannot teach: another tokenizer, too few tokens, no log-probabilities of given
    /// tokens.
    ///
    /// # Errors
    /// [`Error::Refused`] with what the server lacks, [`Error::Teacher`] where it cannot be reached, [`Error::Stopped`].
    pub fn hello(setup: TeacherSetup) -> Result<Self, Error> {
        let client = Client::with(&setup.url, setup.concurrency, setup.key.clone(), None);
        let dialect = setup.kind.dialect();
        let push = Push {
            version: 0,
            weights: Weights::Folder(PathBuf::new()),
            canary: Canary { ids: Vec::new(), logprobs: Vec::new() },
        };
        let target = Target { push, label: "teacher".to_owned() };
        let (facts, canary) = (Facts::default(), 0.0);
        let mut teacher = Self { setup, client, dialect, facts, target, canary };
        let name = teacher.setup.model.clone();
        let hello = || dialect.hello_of_teacher(&teacher.client, name.as_deref(), teacher.setup.timeout);
        teacher.facts = teacher.patiently(0, hello)?;
        teacher.check_length()?;
        teacher.check_tokenizer()?;
        let scores = teacher.scored(0, &teacher.setup.canary);
        let scores = scores.map_err(|error| match error {
            Error::Refused { server, message } => {
                let message = format!(
                    "it gives no log-probabilities of given tokens ({message}); expected vLLM's `prompt_logprobs` or SGLang's \
                     `logprob_start_len`, of a model with the student's vocabulary"
                );
                Error::Refused { server, message }
            }
            other => other,
        })?;
        teacher.canary = scores.iter().copied().map(f64::from).sum::<f64>() / scores.len().max(1) as f64;
        Ok(teacher)
    }

    /// Tokens of the longest sequence that it scores, where it says so. One more is sampled behind it, and dropped.
    pub fn max_len(&self) -> Option<usize> {
        self.facts.max_len.map(|length| length.saturating_sub(1))
    }

    /// Mean log-probability that it gives the tokens of the canary, in nats.
    pub fn canary_logprob(&self) -> f64 {
        self.canary
    }

    /// Log-probabilities in nats at temperature 1 of all tokens of each sequence but the first; NaN where the server has none.
    ///
    /// # Errors
    /// [`Error::Teacher`] when it gives no sense in spite of all retries, [`Error::Refused`] when it will not, [`Error::Stopped`].
    pub fn score(&self, sequences: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, Error> {
        let (next, fails) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || -> Result<Vec<(usize, Vec<f32>)>, Error> {
            let mut scored = Vec::new();
            while !fails.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(ids) = sequences.get(index) else { break };
                let scores = self.scored(index as u64, ids);
                scored.push((index, scores.inspect_err(|_| fails.store(true, Ordering::Relaxed))?));
            }
            Ok(scored)
        };
        let workers = self.setup.concurrency.clamp(1, sequences.len().max(1));
        let scored = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            let joined = workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            joined.collect::<Vec<_>>()
        });
        let mut all = vec![Vec::new(); sequences.len()];
        for of_worker in scored {
            for (index, scores) in of_worker? {
                all[index] = scores;
            }
        }
        Ok(all)
    }

    fn scored(&self, number: u64, ids: &[u32]) -> Result<Vec<f32>, Error> {
        self.patiently(number, || {
            let (facts, target) = (&self.facts, &self.target);
            let scores = self.dialect.score(&self.client, facts, target, ids, self.setup.timeout)?;
            let absent = scores.iter().filter(|score| score.is_nan()).count();
            if absent as f64 > MOST_ABSENT * scores.len() as f64 {
                let of = scores.len();
                return Err(Failure::Broken(format!("{absent} of {of} tokens without a log-probability")));
            }
            Ok(scores)
        })
    }

    fn check_length(&self) -> Result<(), Error> {
        let needed = self.setup.max_tokens + 1;
        match self.facts.max_len.filter(|found| *found < needed) {
            None => Ok(()),
            Some(found) => Err(self.refused(format!(
                "it takes {found} tokens, and prompt and completion have up to {}, with one behind them; start it with a \
                 larger --max-model-len",
                self.setup.max_tokens
            ))),
        }
    }

    fn check_tokenizer(&self) -> Result<(), Error> {
        for (number, (text, ours)) in self.setup.tokenizer.iter().enumerate() {
            let asked = || self.dialect.tokenize(&self.client, &self.facts, text, self.setup.timeout);
            let theirs = self.patiently(number as u64, asked)?;
            if let Some(theirs) = theirs.filter(|theirs| theirs != ours) {
                return Err(self.refused(format!(
                    "its tokenizer reads {text:?} as {theirs:?}, the student's as {ours:?}; expected a teacher with the \
                     student's tokenizer, or `method = \"traces\"`"
                )));
            }
        }
        Ok(())
    }

    /// The first answer that makes sense, asked for again after pauses that double.
    fn patiently<T>(&self, number: u64, ask: impl Fn() -> Result<T, Failure>) -> Result<T, Error> {
        let mut backoff = self.setup.backoff;
        let mut retries = 0;
        loop {
            let failure = match ask() {
                Ok(answer) => return Ok(answer),
                Err(Failure::Refused(status, said)) => {
                    return Err(self.refused(format!("status {status}: {said}")));
                }
                Err(Failure::Missing(said)) => return Err(self.refused(format!("status 404: {said}"))),
                Err(failure) => failure,
            };
            if retries == self.setup.max_retries {
                let (server, message) = (self.setup.url.clone(), failure.message());
                return Err(Error::Teacher { server, message, retries });
            }
            let pause = match &failure {
                Failure::Busy(Some(pause)) => *pause,
                _ => backoff,
            };
            // Up to half as long again, so that not all come back at once.
            let jitter =
                (Seed::new(number).index(retries as u64).value() >> 11) as f64 / (1_u64 << 54) as f64;
            self.pause(pause.min(LONGEST_PAUSE).mul_f64(1.0 + jitter))?;
            backoff = backoff.saturating_mul(2);
            retries += 1;
        }
    }

    fn pause(&self, pause: Duration) -> Result<(), Error> {
        let started = Instant::now();
        loop {
            if (self.setup.interrupted)() {
                return Err(Error::Stopped);
            }
            match pause.checked_sub(started.elapsed()) {
                Some(left) if !left.is_zero() => std::thread::sleep(left.min(LOOK)),
                _ => return Ok(()),
            }
        }
    }

    fn refused(&self, message: String) -> Error {
        Error::Refused { server: self.setup.url.clone(), message }
    }
}
