//! What an engine is asked for and what it hands back: requests, and the sink of their tokens and completions. No tensor
//! and no decoder: a client of a remote server speaks the same types.

use crate::{Completion, Seed};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Debug, Formatter};
use std::ops::ControlFlow;
use std::sync::Arc;

/// What shapes the distribution of a completion's tokens, and how long it may become. Names and meaning are those of
/// transformers' generation parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingParams {
    /// Divides the logits, not negative; 0 is greedy.
    pub temperature: f64,
    /// Samples from the most probable tokens whose probabilities reach this sum, above 0 and at most 1. 1 keeps all.
    pub top_p: f64,
    /// Samples from so many of the most probable tokens. 0 keeps all.
    pub top_k: usize,
    /// Longest completion in tokens, its ending token included; from 1.
    pub max_new_tokens: usize,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self { temperature: 1.0, top_p: 1.0, top_k: 0, max_new_tokens: 512 }
    }
}

/// A parameter of sampling, or of an engine, out of range.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
#[error("{key} is {found}; expected {expected}")]
pub struct SamplingError {
    /// The parameter.
    pub key: &'static str,
    /// Its value.
    pub found: f64,
    /// Its range.
    pub expected: &'static str,
}

impl SamplingParams {
    /// Checks the ranges.
    ///
    /// # Errors
    /// Names the first parameter out of range.
    pub fn validate(&self) -> Result<(), SamplingError> {
        let error = |key, found, expected| Err(SamplingError { key, found, expected });
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return error("temperature", self.temperature, "a number of at least 0 (0 is greedy)");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return error("top_p", self.top_p, "a number above 0 and at most 1");
        }
        if self.max_new_tokens == 0 {
            return error("max_new_tokens", 0.0, "at least 1");
        }
        Ok(())
    }

    /// Whether nothing is cut off the distribution, and it is not greedy: what is sampled then is the policy's own.
    pub fn is_whole_distribution(&self) -> bool {
        self.temperature > 0.0 && self.top_p >= 1.0 && self.top_k == 0
    }
}

/// What ends a completion before its longest length: an ending token, or a test of the tokens so far.
#[derive(Clone, Default)]
pub struct Stop {
    token_ids: Arc<[u32]>,
    test: Option<StopTest>,
}

/// Whether a completion of these tokens is at its end.
type StopTest = Arc<dyn Fn(&[u32]) -> bool + Send + Sync>;

impl Stop {
    /// Ends at the first of these tokens, which is then the completion's last.
    pub fn at(token_ids: &[u32]) -> Self {
        Self { token_ids: token_ids.into(), test: None }
    }

    /// Ends, besides, where `test` holds of the completion's tokens so far. It is asked after each token.
    #[must_use]
    pub fn or_when(self, test: impl Fn(&[u32]) -> bool + Send + Sync + 'static) -> Self {
        Self { test: Some(Arc::new(test)), ..self }
    }

    /// The ending tokens.
    pub fn token_ids(&self) -> &[u32] {
        &self.token_ids
    }

    /// Whether there is a test besides the ending tokens, which an engine elsewhere cannot ask.
    pub fn has_test(&self) -> bool {
        self.test.is_some()
    }

    /// Whether a completion of these tokens is at its end.
    pub fn ends(&self, ids: &[u32]) -> bool {
        ids.last().is_some_and(|last| self.token_ids.contains(last))
            || self.test.as_ref().is_some_and(|test| test(ids))
    }
}

impl Debug for Stop {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.debug_struct("Stop").field("token_ids", &self.token_ids).field("test", &self.has_test()).finish()
    }
}

/// One completion to generate.
#[derive(Clone, Debug)]
pub struct Request {
    /// The prompt; at least one token.
    pub prompt_ids: Vec<u32>,
    /// How its tokens are drawn.
    pub sampling: SamplingParams,
    /// What ends it.
    pub stop: Stop,
    /// The completion's own randomness.
    pub seed: Seed,
}

/// Who gets what an engine generates. Requests are numbered from 0 in the order in which they were handed over, those that
/// join included. After a break no more is generated, and requests that are not finished give no completion.
///
/// A closure over a request's number and its completion is a sink.
pub trait Sink {
    /// A token of a request was drawn; also the one that ends it, before [`finished`](Self::finished).
    fn token(&mut self, request: usize, token: u32) -> ControlFlow<()> {
        let _ = (request, token);
        ControlFlow::Continue(())
    }

    /// A request is finished.
    fn finished(&mut self, request: usize, completion: Completion) -> ControlFlow<()>;

    /// Asked between two steps of decoding: which requests join, and which are given up.
    fn change(&mut self, queue: &mut Queue) {
        let _ = queue;
    }
}

impl<F: FnMut(usize, Completion) -> ControlFlow<()>> Sink for F {
    fn finished(&mut self, request: usize, completion: Completion) -> ControlFlow<()> {
        self(request, completion)
    }
}

/// Changes of what an engine has to do while it generates.
#[derive(Debug, Default)]
pub struct Queue {
    handed_over: usize,
    joined: Vec<Request>,
    cancelled: Vec<usize>,
}

impl Queue {
    /// Of an engine that was handed so many requests.
    pub fn after(handed_over: usize) -> Self {
        Self { handed_over, joined: Vec::new(), cancelled: Vec::new() }
    }

    /// Adds a request behind those that wait, and returns its number.
    pub fn join(&mut self, request: Request) -> usize {
        self.joined.push(request);
        self.handed_over += 1;
        self.handed_over - 1
    }

    /// Gives a request up: it draws no more tokens and gives no completion. One that is finished stays so.
    pub fn cancel(&mut self, request: usize) {
        self.cancelled.push(request);
    }

    /// Requests that joined, in order, and the numbers of those that were given up; both are taken out.
    pub fn take(&mut self) -> (Vec<Request>, Vec<usize>) {
        (std::mem::take(&mut self.joined), std::mem::take(&mut self.cancelled))
    }
}

#[cfg(test)]
mod tests {
    use super::{Queue, Request, SamplingParams, Stop};
    use crate::Seed;

    #[test]
    fn a_completion_ends_at_an_ending_token_or_where_the_test_holds() {
        let stop = Stop::at(&[1, 9]).or_when(|ids| ids.ends_with(&[4, 5]));
        for (ids, ends) in
            [(&[1][..], true), (&[3, 9], true), (&[9, 3], false), (&[4, 5], true), (&[], false)]
        {
            assert_eq!(stop.ends(ids), ends, "{ids:?}");
        }
        assert!(!Stop::default().ends(&[1]));
        assert!(stop.has_test() && !Stop::at(&[1]).has_test());
    }

    #[test]
    fn those_that_join_are_numbered_after_those_before() {
        let request = || Request {
            prompt_ids: vec![3],
            sampling: SamplingParams::default(),
            stop: Stop::default(),
            seed: Seed::new(0),
        };
        let mut queue = Queue::after(4);
        assert_eq!((queue.join(request()), queue.join(request())), (4, 5));
        queue.cancel(2);
        let (joined, cancelled) = queue.take();
        assert_eq!((joined.len(), cancelled), (2, vec![2]));
        assert_eq!(queue.join(request()), 6);
    }

    #[test]
    fn a_parameter_out_of_range_is_refused_by_its_name() {
        let default = SamplingParams::default();
        assert_eq!(default.validate(), Ok(()));
        for (key, params) in [
            ("temperature", SamplingParams { temperature: f64::NAN, ..default }),
            ("top_p", SamplingParams { top_p: 0.0, ..default }),
            ("max_new_tokens", SamplingParams { max_new_tokens: 0, ..default }),
        ] {
            assert_eq!(params.validate().expect_err(key).key, key);
        }
        assert!(default.is_whole_distribution());
        assert!(!SamplingParams { temperature: 0.0, ..default }.is_whole_distribution());
        assert!(!SamplingParams { top_k: 1, ..default }.is_whole_distribution());
    }
}
