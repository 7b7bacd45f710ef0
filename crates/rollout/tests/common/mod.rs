//! Requests that the tests of this crate share, and how they are run.
#![allow(dead_code, reason = "each test file takes what it needs")]

use ruminate_data::{Completion, Request, SamplingParams, Seed, Sink, Stop};
use ruminate_model::{Decoder, load};
use ruminate_rollout::{Engine, EngineConfig, Error, LocalEngine, SpeculationStats};
use ruminate_testkit as testkit;
use std::ops::ControlFlow;

/// What the requests of a test have in common.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) sampling: SamplingParams,
    pub(crate) engine: EngineConfig,
    pub(crate) eos_token_ids: Vec<u32>,
}

/// What is a request's own.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) prompt_ids: Vec<u32>,
    pub(crate) seed: Seed,
}

impl Asked {
    pub(crate) fn request(&self, options: &Options) -> Request {
        Request {
            prompt_ids: self.prompt_ids.clone(),
            sampling: options.sampling,
            stop: Stop::at(&options.eos_token_ids),
            seed: self.seed,
        }
    }
}

pub(crate) fn decoder(name: &str) -> Decoder {
    load(&testkit::fixture_path(&format!("model/{name}")), &testkit::device()).expect("the fixture loads")
}

/// Requests with prompts of different length, some shared.
pub(crate) fn requests(count: u64) -> Vec<Asked> {
    (0..count)
        .map(|i| Asked {
            prompt_ids: (0..=i % 5).map(|t| 2 + (7 * (i % 5) + 3 * t) as u32 % 38).collect(),
            seed: Seed::new(11).index(i),
        })
        .collect()
}

pub(crate) fn generate(
    decoder: &Decoder,
    asked: &[Asked],
    options: &Options,
    sink: &mut dyn Sink,
) -> Result<SpeculationStats, Error> {
    let requests = asked.iter().map(|asked| asked.request(options)).collect();
    LocalEngine::of(decoder, options.engine)?.generate(requests, sink)
}

/// Every completion, by request.
pub(crate) fn run(
    decoder: &Decoder,
    asked: &[Asked],
    options: &Options,
) -> (Vec<Completion>, SpeculationStats) {
    let mut completions = vec![None; asked.len()];
    let stats = generate(decoder, asked, options, &mut |request: usize, completion: Completion| {
        assert!(completions[request].replace(completion).is_none(), "finished twice");
        ControlFlow::Continue(())
    });
    let completions = completions.into_iter().map(|completion| completion.expect("every request finishes"));
    (completions.collect(), stats.expect("there is memory"))
}
