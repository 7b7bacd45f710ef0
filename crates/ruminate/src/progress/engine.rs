//! An engine whose tokens are counted while they are drawn.

use super::Counter;
use ruminate_data::{Completion, Queue, Request, Sink};
use ruminate_model::Decoder;
use ruminate_rollout::{Background, Engine, Error, Logprobs, SpeculationStats};
use std::ops::ControlFlow;

/// Counts the tokens of an engine for a bar. What it generates [beside its caller](Engine::background) is not counted.
pub(crate) struct Counted<'a> {
    engine: &'a mut dyn Engine,
    counter: Counter,
}

impl<'a> Counted<'a> {
    pub(crate) fn new(engine: &'a mut dyn Engine, counter: Counter) -> Self {
        Self { engine, counter }
    }
}

impl Engine for Counted<'_> {
    fn load_weights(&mut self, policy: &Decoder, version: u64) -> Result<(), Error> {
        self.engine.load_weights(policy, version)
    }

    fn unload_weights(&mut self) {
        self.engine.unload_weights();
    }

    fn generate(&mut self, requests: Vec<Request>, sink: &mut dyn Sink) -> Result<SpeculationStats, Error> {
        self.engine.generate(requests, &mut Tokens { sink, counter: &self.counter })
    }

    fn records_kept(&self) -> bool {
        self.engine.records_kept()
    }

    fn logprobs(&self) -> Logprobs {
        self.engine.logprobs()
    }

    fn background(&mut self) -> Result<Option<&mut dyn Background>, Error> {
        self.engine.background()
    }
}

struct Tokens<'a> {
    sink: &'a mut dyn Sink,
    counter: &'a Counter,
}

impl Sink for Tokens<'_> {
    fn token(&mut self, request: usize, token: u32) -> ControlFlow<()> {
        self.counter.token();
        self.sink.token(request, token)
    }

    fn finished(&mut self, request: usize, completion: Completion) -> ControlFlow<()> {
        self.sink.finished(request, completion)
    }

    fn change(&mut self, queue: &mut Queue) {
        self.sink.change(queue);
    }
}
