//! What an engine is asked for and what it hands back: requests, and the sink of their tokens and completions. No tensor
//! and no decoder: a client of a remote server speaks the same types.

use crate::{Completion, Seed, Stop};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

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
    /// Samples from tokens with at least this share of the most probable token's probability, from 0 to 1. 0 keeps all.
    pub min_p: f64,
    /// Divides positive logits, and multiplies others, of tokens that the prompt or the completion has; above 0. 1 changes
    /// nothing.
    pub repetition_penalty: f64,
    /// Is taken off the logits of tokens that the completion has, from -2 to 2. 0 changes nothing.
    pub presence_penalty: f64,
    /// Is taken off a token's logit as often as the completion has it, from -2 to 2. 0 changes nothing.
    pub frequency_penalty: f64,
    /// Longest completion in tokens, its ending token included; from 1.
    pub max_new_tokens: usize,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            max_new_tokens: 512,
        }
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
        if !(0.0..=1.0).contains(&self.min_p) {
            return error("min_p", self.min_p, "a number from 0 to 1");
        }
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite()) {
            return error(
                "repetition_penalty",
                self.repetition_penalty,
                "a number above 0 (1 changes nothing)",
            );
        }
        for (key, penalty) in
            [("presence_penalty", self.presence_penalty), ("frequency_penalty", self.frequency_penalty)]
        {
            if !(-2.0..=2.0).contains(&penalty) {
                return error(key, penalty, "a number from -2 to 2 (0 changes nothing)");
            }
        }
        if self.max_new_tokens == 0 {
            return error("max_new_tokens", 0.0, "at least 1");
        }
        Ok(())
    }

    /// Whether tokens are cut off the distribution: by top-p, top-k or min-p. Greedy sampling cuts nothing, it draws nothing.
    pub fn cuts(&self) -> bool {
        self.temperature > 0.0 && (self.top_p < 1.0 || self.top_k > 0 || self.min_p > 0.0)
    }

    /// The first of top-p, top-k and min-p that cuts tokens off: its name, its value, and the value that cuts nothing.
    pub fn first_cut(&self) -> Option<(&'static str, f64, f64)> {
        match self {
            _ if !self.cuts() => None,
            _ if self.top_p < 1.0 => Some(("top_p", self.top_p, 1.0)),
            _ if self.top_k > 0 => Some(("top_k", self.top_k as f64, 0.0)),
            _ => Some(("min_p", self.min_p, 0.0)),
        }
    }

    /// Whether logits are changed by what was written.
    pub fn penalises(&self) -> bool {
        self.repetition_penalty != 1.0 || self.presence_penalty != 0.0 || self.frequency_penalty != 0.0
    }

    /// Whether nothing is cut off the distribution or penalised, and it is not greedy: what is sampled then is the policy's
    /// own.
    pub fn is_whole_distribution(&self) -> bool {
        self.temperature > 0.0 && !self.cuts() && !self.penalises()
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
    use super::{Queue, Request, SamplingParams};
    use crate::{Seed, Stop};

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
            ("min_p", SamplingParams { min_p: 1.5, ..default }),
            ("repetition_penalty", SamplingParams { repetition_penalty: 0.0, ..default }),
            ("presence_penalty", SamplingParams { presence_penalty: f64::NAN, ..default }),
            ("frequency_penalty", SamplingParams { frequency_penalty: -2.5, ..default }),
            ("max_new_tokens", SamplingParams { max_new_tokens: 0, ..default }),
        ] {
            assert_eq!(params.validate().expect_err(key).key, key);
        }
        assert!(default.is_whole_distribution());
        assert!(!SamplingParams { temperature: 0.0, ..default }.is_whole_distribution());
        assert!(!SamplingParams { top_k: 1, ..default }.is_whole_distribution());
        let (cut, penalised) =
            (SamplingParams { min_p: 0.1, ..default }, SamplingParams { frequency_penalty: 0.1, ..default });
        assert!(cut.cuts() && !cut.penalises() && !cut.is_whole_distribution());
        assert!(penalised.penalises() && !penalised.cuts() && !penalised.is_whole_distribution());
        assert!(!SamplingParams { temperature: 0.0, ..cut }.cuts());
    }
}
