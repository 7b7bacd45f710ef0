//! One server and what is known of it: Down, Stale, Updating or Ready. Only a hello, a push and a canary make it Ready, and
//! only Ready servers get work.

use crate::canary::{Comparison, score_of_samples};
use crate::dialect::Facts;
use crate::fleet::Shared;
use crate::http::{Client, Failure};
use crate::{Event, Target};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row after which a server is Down.
const FAILURES: u32 = 3;

/// The longest pause before a server that is Down is tried again.
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);

/// For calls that compute nothing.
const QUICK: Duration = Duration::from_secs(30);

/// A server of the fleet.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) number: usize,
    pub(crate) url: String,
    pub(crate) client: Client,
    status: Mutex<Status>,
    /// Whether a thread is at work on making it Ready.
    tended: AtomicBool,
}

#[derive(Debug)]
struct Status {
    state: State,
    facts: Option<Arc<Facts>>,
    /// Whether its log-probabilities were seen to be those of the distribution that is sampled from.
    mode_is_proven: bool,
    /// In a row, since the last answer that could be used.
    failures: u32,
    absent: u32,
    stale: u32,
    /// How often it was Down, since it was last of use.
    downs: u32,
    fault: Option<Fault>,
    busy_until: Option<Instant>,
    /// No address of the fleet names it any more.
    left: bool,
}

/// What a server can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not to be asked before this.
    Down(Instant),
    /// It answers, with other weights than the current.
    Stale,
    /// Weights are on their way, or are being proven.
    Updating,
    /// It has the current weights, and its numbers are the trainer's.
    Ready,
}

/// Why a server is of no use.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    /// It is another model, tokenizer or mode than this run's.
    Refused(String),
    /// Its numbers are not the trainer's.
    Mismatch(String),
    /// It is not there, or fails.
    Failed(String),
}

impl Fault {
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Refused(message) | Self::Mismatch(message) | Self::Failed(message) => message,
        }
    }

    fn of(failure: &Failure, doing: &str) -> Self {
        let message = format!("{doing}: {}", failure.message());
        match failure {
            Failure::Refused(..) => Self::Refused(message),
            _ => Self::Failed(message),
        }
    }
}

impl Server {
    pub(crate) fn new(number: usize, url: String, client: Client) -> Self {
        let status = Status {
            state: State::Down(Instant::now()),
            facts: None,
            mode_is_proven: false,
            failures: 0,
            absent: 0,
            stale: 0,
            downs: 0,
            fault: None,
            busy_until: None,
            left: false,
        };
        Self { number, url, client, status: Mutex::new(status), tended: AtomicBool::new(false) }
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> State {
        self.status().state
    }

    pub(crate) fn fault(&self) -> Option<Fault> {
        self.status().fault.clone()
    }

    /// What it said of itself, if it may get work now.
    pub(crate) fn usable(&self) -> Option<Arc<Facts>> {
        let status = self.status();
        let free = status.busy_until.is_none_or(|until| until <= Instant::now());
        status.facts.clone().filter(|_| status.state == State::Ready && free && !status.left)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.state() == State::Ready
    }

    pub(crate) fn is_tended(&self) -> bool {
        self.tended.load(Ordering::Acquire)
    }

    pub(crate) fn leave(&self) {
        self.status().left = true;
    }

    /// New weights are current: what it has is not.
    pub(crate) fn outdate(&self) {
        let mut status = self.status();
        if matches!(status.state, State::Ready | State::Updating) {
            status.state = State::Stale;
        }
        // One that is Down is tried at once: nothing is gained by waiting before a step.
        if matches!(status.state, State::Down(_)) {
            status.state = State::Down(Instant::now());
        }
    }

    /// An answer could be used.
    pub(crate) fn worked(&self) {
        let mut status = self.status();
        (status.failures, status.absent, status.stale, status.downs) = (0, 0, 0, 0);
        status.fault = None;
    }

    /// It wants to be left alone for a while.
    pub(crate) fn is_busy_for(&self, pause: Duration) {
        self.status().busy_until = Some(Instant::now() + pause);
    }

    /// An answer had too many tokens without a log-probability.
    pub(crate) fn gave_absent(&self, shared: &Shared) {
        let mut status = self.status();
        status.absent += 1;
        if status.absent >= FAILURES {
            let why = "three answers in a row without log-probabilities (NaN)".to_owned();
            self.down(status, Fault::Failed(why), shared);
        }
    }

    /// An answer was sampled by other weights than the current.
    pub(crate) fn gave_stale(&self, found: &str, shared: &Shared) {
        let mut status = self.status();
        if status.state != State::Ready {
            return; // known already, by another answer
        }
        status.stale += 1;
        if status.stale >= FAILURES {
            let why = format!("it names the weights {found:?} again and again, whatever is pushed");
            self.down(status, Fault::Failed(why), shared);
            return;
        }
        // It may have been started again, as something else.
        status.state = State::Stale;
        status.facts = None;
        status.mode_is_proven = false;
        shared.tell(Event::Stale { server: self.url.clone(), found: found.to_owned() });
    }

    /// A request failed. A connection that broke, or a deadline that passed, is enough to be Down.
    pub(crate) fn failed(&self, failure: &Failure, shared: &Shared) {
        let mut status = self.status();
        status.failures += 1;
        let at_once = matches!(failure, Failure::Unreachable(_) | Failure::Late);
        if (at_once || status.failures >= FAILURES) && status.state == State::Ready {
            self.down(status, Fault::of(failure, "sampling"), shared);
        }
    }

    fn down(&self, mut status: MutexGuard<'_, Status>, fault: Fault, shared: &Shared) {
        let backoff = Duration::from_secs(1 << status.downs.min(6)).min(LONGEST_BACKOFF);
        // Up to half as long again, so that not all come back at once.
        let jitter = shared.jitter(self.number as u64, u64::from(status.downs));
        let backoff = backoff.min(shared.longest_backoff).mul_f64(1.0 + jitter / 2.0);
        status.downs = status.downs.saturating_add(1);
        status.state = State::Down(Instant::now() + backoff);
        (status.failures, status.absent, status.stale) = (0, 0, 0);
        (status.facts, status.mode_is_proven) = (None, false);
        let why = fault.message().to_owned();
        let is_new = status.fault.as_ref() != Some(&fault);
        status.fault = Some(fault);
        drop(status);
        if is_new {
            shared.tell(Event::Down { server: self.url.clone(), why, retry_s: backoff.as_secs_f64() });
        }
    }

    /// Starts a thread that makes it Ready, where it is time for that and none is at work.
    pub(crate) fn tend(self: &Arc<Self>, shared: &Arc<Shared>) {
        let Some(target) = shared.target() else { return };
        let is_due = {
            let status = self.status();
            let due = match status.state {
                State::Down(until) => until <= Instant::now(),
                State::Stale => true,
                State::Updating | State::Ready => false,
            };
            due && !status.left
        };
        if !is_due || self.tended.swap(true, Ordering::AcqRel) {
            return;
        }
        let (server, shared) = (Arc::clone(self), Arc::clone(shared));
        let name = format!("fleet {}", self.number);
        let begun = std::thread::Builder::new().name(name).spawn(move || {
            let made = || server.make_ready(&target, &shared);
            let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(made));
            let panicked = || Err(Fault::Failed("the client panicked".to_owned()));
            match made.unwrap_or_else(|_| panicked()) {
                Ok(event) => server.proven(&target, event, &shared),
                Err(fault) => server.down(server.status(), fault, &shared),
            }
            server.tended.store(false, Ordering::Release);
        });
        if begun.is_err() {
            self.tended.store(false, Ordering::Release); // no thread to be had now; it is tried again
        }
    }

    fn proven(&self, target: &Target, event: Event, shared: &Shared) {
        let mut status = self.status();
        let is_current = shared.target().is_some_and(|current| current.label == target.label);
        status.state = if is_current { State::Ready } else { State::Stale };
        status.fault = None;
        drop(status);
        shared.tell(event);
    }

    /// Hello where it is due, push, canary.
    fn make_ready(&self, target: &Target, shared: &Shared) -> Result<Event, Fault> {
        let started = Instant::now();
        let known = self.status().facts.clone();
        let facts = if let Some(facts) = known {
            facts
        } else {
            let facts = Arc::new(self.hello(shared)?);
            self.status().facts = Some(Arc::clone(&facts));
            facts
        };
        self.status().state = State::Updating;
        let mut comparison = self.push(&facts, target, shared)?;
        if !comparison.is_within(shared.setup.max_canary_kl) {
            // What a push left half done, the next may mend.
            comparison = self.push(&facts, target, shared)?;
        }
        if !comparison.is_within(shared.setup.max_canary_kl) {
            return Err(Fault::Mismatch(comparison.refusal(shared.setup.max_canary_kl)));
        }
        if !self.status().mode_is_proven {
            self.prove_mode(&facts, target, shared)?;
            self.status().mode_is_proven = true;
        }
        Ok(Event::Ready {
            server: self.url.clone(),
            version: target.push.version,
            canary_kl: comparison.kl,
            canary_max: comparison.max,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    fn push(&self, facts: &Facts, target: &Target, shared: &Shared) -> Result<Comparison, Fault> {
        let (dialect, deadline) = (shared.dialect, shared.push_deadline);
        let failed = |failure: Failure| match failure {
            // A folder that this server cannot read is no word on what it is.
            Failure::Refused(..) => Fault::Failed(format!("push: {}", failure.message())),
            failure => Fault::of(&failure, "push"),
        };
        dialect.push(&self.client, target, deadline).map_err(failed)?;
        let canary = &target.push.canary;
        let scores = dialect.score(&self.client, facts, target, &canary.ids, deadline);
        Ok(Comparison::of(&scores.map_err(|failure| Fault::of(&failure, "canary"))?, &canary.logprobs))
    }

    /// Whether the server is what the run needs, as far as it says.
    fn hello(&self, shared: &Shared) -> Result<Facts, Fault> {
        let facts =
            shared.dialect.hello(&self.client, QUICK).map_err(|failure| Fault::of(&failure, "hello"))?;
        let setup = &shared.setup;
        if let Some(found) = facts.max_len.filter(|found| *found < setup.max_tokens) {
            return Err(Fault::Refused(format!(
                "it takes {found} tokens, and prompt and completion have up to {}; start it with a larger --max-model-len",
                setup.max_tokens
            )));
        }
        if let Some(found) = facts.vocab_size.filter(|found| *found != setup.vocab_size) {
            return Err(Fault::Refused(format!(
                "its model has {found} token ids, the policy {}; start it on the policy's folder",
                setup.vocab_size
            )));
        }
        if let Some(found) = facts.dtype.as_deref().filter(|found| *found != setup.dtype) {
            return Err(Fault::Refused(format!(
                "it computes in {found}, `rollout.dtype` is {}; start it with --dtype {} or change the key",
                setup.dtype, setup.dtype
            )));
        }
        if let Some(found) = facts.logprobs_mode.as_deref().filter(|found| *found != "processed_logprobs") {
            return Err(Fault::Refused(format!(
                "its log-probabilities are {found}; start it with --logprobs-mode processed_logprobs"
            )));
        }
        if setup.cuts.is_some() && facts.returns_masks == Some(false) {
            return Err(Fault::Refused(
                "it does not say what `rollout.top_p`, `top_k` and `min_p` keep; start it with --return-sampling-mask (vLLM 0.28 \
                 and later), or sample from the whole distribution"
                    .to_owned(),
            ));
        }
        if setup.cuts.is_none() && facts.returns_masks == Some(true) {
            return Err(Fault::Refused(
                "it returns sampling masks, and takes no request without a top-k; start it without --return-sampling-mask"
                    .to_owned(),
            ));
        }
        for (text, ours) in &setup.tokenizer {
            let theirs = shared
                .dialect
                .tokenize(&self.client, &facts, text, QUICK)
                .map_err(|failure| Fault::of(&failure, "tokenizer"))?;
            if let Some(theirs) = theirs.filter(|theirs| theirs != ours) {
                return Err(Fault::Refused(format!(
                    "its tokenizer reads {text:?} as {theirs:?}, the policy's as {ours:?}; start it on the policy's folder"
                )));
            }
        }
        Ok(facts)
    }

    /// Whether log-probabilities are those after the temperature, which no label proves.
    fn prove_mode(&self, facts: &Facts, target: &Target, shared: &Shared) -> Result<(), Fault> {
        let failed = |failure: Failure| Fault::of(&failure, "log-probabilities");
        let ask = shared.mode_ask(target);
        let answer = shared.dialect.generate(&self.client, facts, target, &ask, shared.push_deadline);
        let answer = answer.map_err(failed)?;
        let whole: Vec<u32> = ask.prompt.iter().chain(&answer.ids).copied().collect();
        let scores = shared.dialect.score(&self.client, facts, target, &whole, shared.push_deadline);
        let raw = scores.map_err(failed)?;
        if score_of_samples(&answer.logprobs, &raw[ask.prompt.len() - 1..]) {
            return Ok(());
        }
        Err(Fault::Refused(
            "at temperature 0.5 its log-probabilities are those before the temperature; start vLLM with --logprobs-mode \
             processed_logprobs, SGLang without SGLANG_RETURN_ORIGINAL_LOGPROB"
                .to_owned(),
        ))
    }
}
