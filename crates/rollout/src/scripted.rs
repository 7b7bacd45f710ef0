//! An engine that answers from a function: for tests of what samples, which then need no model to agree with.

use crate::{Engine, Error, Logprobs, SpeculationStats};
use ruminate_data::{Completion, Queue, Request, Sink};
use ruminate_model::Decoder;
use std::collections::{BTreeSet, VecDeque};

/// Answers every request with what a function returns for it.
pub struct ScriptedEngine<F> {
    answer: F,
    logprobs: Logprobs,
    versions: Vec<u64>,
    records_kept: bool,
}

impl<F: FnMut(usize, &Request) -> Completion> ScriptedEngine<F> {
    /// An engine that answers with `answer`, which gets the request and its number. Its log-probabilities count as
    /// `logprobs` says.
    pub fn new(logprobs: Logprobs, answer: F) -> Self {
        Self { answer, logprobs, versions: Vec::new(), records_kept: false }
    }

    /// The same as an engine whose completions carry what was kept of the distribution.
    #[must_use]
    pub fn recording_kept(self) -> Self {
        Self { records_kept: true, ..self }
    }

    /// The versions of the weights that it was given, in order.
    pub fn versions(&self) -> &[u64] {
        &self.versions
    }
}

impl<F: FnMut(usize, &Request) -> Completion> Engine for ScriptedEngine<F> {
    fn load_weights(&mut self, _: &Decoder, version: u64) -> Result<(), Error> {
        self.versions.push(version);
        Ok(())
    }

    fn generate(&mut self, requests: Vec<Request>, sink: &mut dyn Sink) -> Result<SpeculationStats, Error> {
        let mut number = requests.len();
        let mut waiting: VecDeque<(usize, Request)> = requests.into_iter().enumerate().collect();
        let mut cancelled = BTreeSet::new();
        loop {
            let mut queue = Queue::after(number);
            sink.change(&mut queue);
            let (joined, left) = queue.take();
            cancelled.extend(left);
            for request in joined {
                waiting.push_back((number, request));
                number += 1;
            }
            let Some((number, request)) = waiting.pop_front() else { break };
            if cancelled.contains(&number) {
                continue;
            }
            let completion = (self.answer)(number, &request);
            let goes_on = completion.ids.iter().all(|&token| sink.token(number, token).is_continue());
            if !goes_on || sink.finished(number, completion).is_break() {
                break;
            }
        }
        Ok(SpeculationStats::default())
    }

    fn records_kept(&self) -> bool {
        self.records_kept
    }

    fn logprobs(&self) -> Logprobs {
        self.logprobs
    }
}
