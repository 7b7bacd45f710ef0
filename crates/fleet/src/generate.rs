//! Requests in, completions out: each is sent to a server that is Ready, and an answer that cannot be used is asked for again.
//! No two samples of one request are raced, and none is dropped for being slow: the first to finish would be the shorter.

use crate::assigned::Assigned;
use crate::dialect::Ask;
use crate::fleet::{Fleet, LOOK, Wait};
use crate::http::Failure;
use crate::parts::{Part, Span, completed};
use crate::reply::{Answer, Finish};
use crate::request::check;
use crate::server::Server;
use crate::{Error, Event, Push, Target};
use ruminate_data::{Completion, FinishReason, Queue, Request, Sink};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Share of an answer's tokens that may lack a log-probability; they weigh nothing.
const MOST_ABSENT: f64 = 0.01;

/// Deadlines of one request that may pass.
const LATE: usize = 2;

/// Behind its deadline a thread that has said nothing is not waited for.
const GRACE: Duration = Duration::from_secs(30);

/// A request's thread reads and writes one connection; large things are on the heap.
const STACK: usize = 512 << 10;

/// What a call of [`Fleet::generate`] took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Completions that were handed over, lost ones aside.
    pub completions: usize,
    /// Tokens of theirs.
    pub tokens: usize,
    /// Tokens of theirs without a log-probability.
    pub absent: usize,
    /// Answers that could not be used, and were asked for again.
    pub again: usize,
    /// Answers of other weights than the current, dropped.
    pub stale: usize,
    /// Deadlines that passed.
    pub late: usize,
    /// Completions that were put together from more than one answer, after an abort.
    pub continued: usize,
    /// Requests that were given up.
    pub lost: usize,
}

/// A completion that is not finished.
struct Job {
    number: usize,
    group: usize,
    request: Arc<Request>,
    attempt: u64,
    /// Answers that could not be used; and of those, deadlines.
    retries: usize,
    late: usize,
    /// Answers that an abort cut short: the beginning of the completion.
    parts: Vec<Part>,
    not_before: Instant,
}

impl Job {
    /// Tokens that it has.
    fn begun(&self) -> usize {
        self.parts.iter().map(|part| part.answer.ids.len()).sum()
    }
}

struct Flight {
    job: Job,
    server: Arc<Server>,
    /// The weights that were current when it was sent.
    target: Arc<Target>,
    /// Whether its answer says by token which weights sampled it.
    says_versions: bool,
    id: String,
    tokens: usize,
    started: Instant,
    deadline: Duration,
}

type Landed = (u64, Result<Answer, Failure>);

pub(crate) struct Run<'a> {
    fleet: &'a mut Fleet,
    target: Arc<Target>,
    /// Labels of the weights that were current in this run, with their versions.
    labels: BTreeMap<String, u64>,
    waiting: VecDeque<Job>,
    flights: BTreeMap<u64, Flight>,
    launched: u64,
    assigned: Assigned,
    cancelled: BTreeSet<usize>,
    numbered: usize,
    groups: usize,
    last_prompt: Vec<u32>,
    /// Tokens per second of the slowest completion so far.
    slowest: Option<f64>,
    /// Since an answer could last be used, as far as none was in flight.
    wait: Wait,
    sender: Sender<Landed>,
    landed: Receiver<Landed>,
    tally: Tally,
}

impl Fleet {
    /// Generates a completion for each request, and for those that join, and hands each over when it is finished: tokens
    /// first, then the completion. Requests that follow each other with the same prompt are a group, and go to one server.
    ///
    /// A request that no server could answer gives a completion without tokens.
    ///
    /// # Errors
    /// [`Error::Sampling`] for parameters that change what log-probabilities mean; [`Error::Request`] when a server refuses one;
    /// [`Error::NoServer`] and [`Error::Mismatch`] when no server is left. Completions that were handed over stand.
    pub fn generate(&mut self, requests: Vec<Request>, sink: &mut dyn Sink) -> Result<Tally, Error> {
        let mut run = self.run()?;
        for request in requests {
            run.join(request)?;
        }
        let outcome = run.go(sink);
        run.abort();
        outcome.map(|()| run.tally)
    }

    /// A run without requests.
    pub(crate) fn run(&mut self) -> Result<Run<'_>, Error> {
        let Some(target) = self.shared.target() else {
            return Err(Error::Sampling(
                "the servers have no weights; expected a push before requests".to_owned(),
            ));
        };
        let (sender, landed) = channel();
        Ok(Run {
            fleet: self,
            labels: BTreeMap::from([(target.label.clone(), target.push.version)]),
            target,
            waiting: VecDeque::new(),
            flights: BTreeMap::new(),
            launched: 0,
            assigned: Assigned::default(),
            cancelled: BTreeSet::new(),
            numbered: 0,
            groups: 0,
            last_prompt: Vec::new(),
            slowest: None,
            wait: Wait::begin(),
            sender,
            landed,
            tally: Tally::default(),
        })
    }
}

impl Run<'_> {
    pub(crate) fn join(&mut self, request: Request) -> Result<(), Error> {
        check(&request, &self.fleet.shared.setup)?;
        if self.numbered == 0 || request.prompt_ids != self.last_prompt {
            self.groups += 1;
            self.last_prompt.clone_from(&request.prompt_ids);
        }
        self.waiting.push_back(Job {
            number: self.numbered,
            group: self.groups,
            request: Arc::new(request),
            attempt: 0,
            retries: 0,
            late: 0,
            parts: Vec::new(),
            not_before: Instant::now(),
        });
        self.numbered += 1;
        Ok(())
    }

    fn go(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        loop {
            let mut queue = Queue::after(self.numbered);
            sink.change(&mut queue);
            let (joined, left) = queue.take();
            for request in joined {
                self.join(request)?;
            }
            self.cancelled.extend(left);
            self.waiting.retain(|job| !self.cancelled.contains(&job.number));
            self.flights.retain(|_, flight| {
                let stays = !self.cancelled.contains(&flight.job.number);
                if !stays {
                    self.assigned.remove(flight.server.number, flight.tokens);
                }
                stays
            });
            if self.is_idle() || self.turn(sink)?.is_break() {
                return Ok(());
            }
        }
    }

    /// Whether nothing waits and nothing is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.flights.is_empty()
    }

    /// Sends what waits, and takes in an answer if one comes soon.
    pub(crate) fn turn(&mut self, sink: &mut dyn Sink) -> Result<ControlFlow<()>, Error> {
        self.fleet.look()?;
        self.launch();
        self.wait.look(self.flights.is_empty());
        if self.flights.is_empty() {
            self.fleet.give_up(self.wait.time)?;
        }
        let landed = match self.landed.recv_timeout(LOOK) {
            Ok(landed) => Some(landed),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => self.overdue(),
        };
        match landed {
            Some((flight, result)) => self.land(flight, result, sink),
            None => Ok(ControlFlow::Continue(())),
        }
    }

    /// Puts other weights into the servers. What is running is cut short, and goes on behind its beginning with these. Returns what
    /// was done with those before.
    pub(crate) fn renew(&mut self, push: Push) -> Result<Tally, Error> {
        if self.target.adapter().is_some() {
            // Nothing pauses for adapters: the old ones stay beside the new.
            self.cut_short();
        }
        self.fleet.publish(push)?;
        if let Some(target) = self.fleet.shared.target() {
            self.labels.insert(target.label.clone(), target.push.version);
            self.target = target;
        }
        self.wait = Wait::begin();
        Ok(std::mem::take(&mut self.tally))
    }

    /// Sends what waits to servers that are free.
    fn launch(&mut self) {
        let most = self.fleet.shared.setup.config.max_requests;
        for _ in 0..self.waiting.len() {
            let Some(job) = self.waiting.pop_front() else { return };
            let chosen = if job.not_before > Instant::now() {
                None
            } else {
                self.assigned.choose(job.group, &self.fleet.servers, most)
            };
            let Some((server, facts)) = chosen else {
                self.waiting.push_back(job);
                continue;
            };
            let ask = self.ask(&job);
            let tokens = ask.prompt.len() + ask.max_tokens;
            let deadline = self.deadline(ask.max_tokens);
            let flight = Flight {
                job,
                server: Arc::clone(&server),
                target: Arc::clone(&self.target),
                says_versions: facts.has_token_route,
                id: ask.id.clone(),
                tokens,
                started: Instant::now(),
                deadline,
            };
            let (number, sender, target) = (self.launched, self.sender.clone(), Arc::clone(&self.target));
            let dialect = self.fleet.shared.dialect;
            let begun = std::thread::Builder::new().stack_size(STACK).spawn(move || {
                let asked = || dialect.generate(&server.client, &facts, &target, &ask, deadline);
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(asked));
                let result =
                    result.unwrap_or_else(|_| Err(Failure::Broken("the client panicked".to_owned())));
                let _ = sender.send((number, result)); // fails where the caller has left
            });
            if begun.is_err() {
                // No thread to be had now.
                self.waiting.push_front(flight.job);
                return;
            }
            self.launched += 1;
            self.assigned.add(flight.server.number, tokens);
            self.flights.insert(number, flight);
        }
    }

    fn ask(&self, job: &Job) -> Ask {
        let (setup, request) = (&self.fleet.shared.setup, &job.request);
        let begun = job.begun();
        let parts = job.parts.iter().flat_map(|part| &part.answer.ids);
        // The first attempt has the request's own randomness; another must not repeat it.
        let seed = match job.attempt {
            0 => request.seed,
            attempt => request.seed.child("again").index(attempt),
        };
        Ask {
            id: format!("{}-{}-{}", self.target.label, seed.value(), job.number),
            prompt: request.prompt_ids.iter().chain(parts).copied().collect(),
            max_tokens: request.sampling.max_new_tokens - begun,
            sampling: request.sampling,
            seed: seed.value(),
            stop_ids: request.stop.token_ids().to_vec(),
            vocab_size: setup.vocab_size,
            experts: setup.experts.clone(),
        }
    }

    /// 60 s and what the slowest completion so far would take for so many tokens, but at least the recipe's.
    fn deadline(&self, max_tokens: usize) -> Duration {
        let least = self.fleet.shared.setup.config.request_timeout_s;
        let slow = self.slowest.map_or(0.0, |rate| 60.0 + max_tokens as f64 / rate);
        Duration::from_secs_f64(least.max(slow).min(1e6))
    }

    /// A flight whose thread should have said something.
    fn overdue(&self) -> Option<Landed> {
        let late = |flight: &Flight| flight.started.elapsed() > flight.deadline + GRACE;
        let (number, _) = self.flights.iter().find(|(_, flight)| late(flight))?;
        Some((*number, Err(Failure::Late)))
    }

    fn land(
        &mut self,
        flight: u64,
        result: Result<Answer, Failure>,
        sink: &mut dyn Sink,
    ) -> Result<ControlFlow<()>, Error> {
        // One that is not known was given up.
        let Some(flight) = self.flights.remove(&flight) else {
            return Ok(ControlFlow::Continue(()));
        };
        let Flight { mut job, server, target, says_versions, id, tokens, started, .. } = flight;
        self.assigned.remove(server.number, tokens);
        let shared = Arc::clone(&self.fleet.shared);
        let answer = match result {
            Ok(answer) => answer,
            Err(failure) => {
                match &failure {
                    Failure::Busy(pause) => {
                        let jitter = 1.0 + shared.jitter(job.number as u64, self.launched) / 2.0;
                        let pause = pause.unwrap_or(Duration::from_millis(250)).mul_f64(jitter);
                        server.is_busy_for(pause.min(shared.longest_backoff));
                        self.tally.again += 1;
                        self.waiting.push_back(job); // the same request: nothing was sampled
                        return Ok(ControlFlow::Continue(()));
                    }
                    Failure::Missing(_) => {
                        // The name of the weights is not there: it was started again.
                        self.tally.stale += 1;
                        server.gave_stale("(none of that name)", &shared);
                        self.waiting.push_back(job);
                        return Ok(ControlFlow::Continue(()));
                    }
                    Failure::Refused(status, said) => {
                        let (server, message) = (server.url.clone(), said.clone());
                        return Err(Error::Request { server, status: *status, message });
                    }
                    Failure::Late => {
                        self.tally.late += 1;
                        job.late += 1;
                        self.stop(&server, vec![id]);
                    }
                    Failure::Broken(_) => job.retries += 1,
                    // Its own fault, not the request's.
                    Failure::Unreachable(_) => {}
                }
                server.failed(&failure, &shared);
                return Ok(self.again(job, &failure.message(), sink));
            }
        };
        let versions = match self.versions(&answer, &target, says_versions) {
            Ok(versions) => versions,
            Err(found) => {
                self.tally.stale += 1;
                self.wait.time += started.elapsed(); // time that came to nothing
                server.gave_stale(&found, &shared);
                job.attempt += 1;
                self.waiting.push_back(job);
                return Ok(ControlFlow::Continue(()));
            }
        };
        let absent = answer.logprobs.iter().filter(|number| number.is_nan()).count();
        if absent as f64 > MOST_ABSENT * answer.ids.len() as f64 {
            server.gave_absent(&shared);
            job.retries += 1;
            let why = format!("{absent} of {} tokens without a log-probability", answer.ids.len());
            return Ok(self.again(job, &why, sink));
        }
        server.worked();
        self.wait = Wait::begin();
        if answer.finish == Finish::Abort {
            // What it has stays; the rest is asked for behind it.
            job.attempt += 1;
            if !answer.ids.is_empty() {
                self.tally.continued += usize::from(job.parts.is_empty());
                job.parts.push(Part { answer, versions });
            }
            if job.begun() < job.request.sampling.max_new_tokens {
                job.not_before = Instant::now() + LOOK;
                self.waiting.push_back(job);
                return Ok(ControlFlow::Continue(()));
            }
        } else {
            let rate = answer.ids.len() as f64 / started.elapsed().as_secs_f64().max(1e-3);
            if answer.ids.len() >= 16 {
                self.slowest = Some(self.slowest.map_or(rate, |slowest| slowest.min(rate)));
            }
            job.parts.push(Part { answer, versions });
        }
        Ok(self.hand_over(job, sink))
    }

    /// Versions of the weights that sampled an answer, by span; none where the server does not say. Adapters are named by the
    /// request.
    ///
    /// # Errors
    /// The label of other weights than those since the request was sent.
    fn versions(&self, answer: &Answer, target: &Target, by_token: bool) -> Result<Vec<Span>, String> {
        let sent = target.push.version;
        if target.adapter().is_some() {
            return Ok(vec![(sent, 0..answer.ids.len())]);
        }
        let of = |(label, tokens): &(String, Range<usize>)| match self.labels.get(label) {
            // What was read behind the answer may be newer than what sampled it.
            Some(version) if *version >= sent => Ok((if by_token { *version } else { sent }, tokens.clone())),
            _ => Err(label.clone()),
        };
        answer.versions.iter().flatten().map(of).collect()
    }

    /// Asks again for a fresh sample, or gives the request up.
    fn again(&mut self, mut job: Job, why: &str, sink: &mut dyn Sink) -> ControlFlow<()> {
        if job.late >= LATE || job.retries > self.fleet.shared.setup.config.max_retries {
            self.tally.lost += 1;
            let (request, why) = (job.number, why.to_owned());
            self.fleet.shared.tell(Event::Lost { request, why });
            let completion =
                Completion::new(job.request.prompt_ids.clone(), Vec::new(), Vec::new(), FinishReason::Length);
            return sink.finished(job.number, completion);
        }
        self.tally.again += 1;
        job.attempt += 1;
        job.parts.clear();
        self.waiting.push_back(job);
        ControlFlow::Continue(())
    }

    fn hand_over(&mut self, job: Job, sink: &mut dyn Sink) -> ControlFlow<()> {
        let Job { number, request, parts, .. } = job;
        let completion = completed(parts, &request, self.fleet.shared.setup.experts.as_ref());
        self.tally.completions += 1;
        self.tally.tokens += completion.ids.len();
        self.tally.absent += completion.logprobs.iter().filter(|number| number.is_nan()).count();
        for &token in &completion.ids {
            sink.token(number, token)?;
        }
        sink.finished(number, completion)
    }

    /// Gives up what is in flight, and tells the servers.
    pub(crate) fn abort(&mut self) {
        self.cut_short();
        self.flights.clear();
    }

    /// Tells servers to stop working on what is in flight, and to answer with what they have.
    fn cut_short(&self) {
        let mut by_server: BTreeMap<usize, (&Arc<Server>, Vec<String>)> = BTreeMap::new();
        for Flight { server, id, .. } in self.flights.values() {
            by_server.entry(server.number).or_insert_with(|| (server, Vec::new())).1.push(id.clone());
        }
        for (server, ids) in by_server.into_values() {
            self.stop(server, ids);
        }
    }

    fn stop(&self, server: &Arc<Server>, ids: Vec<String>) {
        let (server, dialect) = (Arc::clone(server), self.fleet.shared.dialect);
        // If no thread is to be had, the server works on for nothing.
        let _ = std::thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || dialect.abort(&server.client, &ids, Duration::from_secs(5)));
    }
}
