//! The fleet against doubles: what works, the table of failures row by row, and replies that make no sense.

mod background;
mod cuts;
mod failures;
mod flow;
mod replies;
mod startup;
mod teacher;

use crate::double::{Double, Toy, logprobs};
use crate::{Canary, Config, Error, Event, Fleet, Kind, Push, Setup, Tally, Weights};
use ruminate_data::{Completion, Request, SamplingParams, Seed, Stop};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

const VOCAB: usize = 160;
const END: u32 = 1;

/// Doubles, a fleet of them, and a folder of weights.
struct Scene {
    doubles: Vec<Double>,
    fleet: Fleet,
    folder: TempDir,
}

/// How a scene departs from three sound servers of vLLM.
struct Plan {
    kind: Kind,
    count: usize,
    config: Config,
    /// How requests cut the distribution.
    cuts: Option<SamplingParams>,
    before: fn(&[Double]),
}

impl Default for Plan {
    fn default() -> Self {
        let config =
            Config { patience_s: 5.0, request_timeout_s: 5.0, push_timeout_s: 5.0, ..Config::default() };
        Self { kind: Kind::Vllm, count: 3, config, cuts: None, before: |_| {} }
    }
}

impl Plan {
    fn scene(self) -> Scene {
        let folder = tempfile::tempdir().expect("a folder");
        Toy::write(&folder.path().join("first"), "as it was started").expect("written");
        let start = |_| {
            let brain = Box::new(Toy { vocab_size: VOCAB });
            Double::start(self.kind, brain, VOCAB, &folder.path().join("first")).expect("a port")
        };
        let doubles: Vec<Double> = (0..self.count).map(start).collect();
        (self.before)(&doubles);
        let mut config = self.config;
        if config.servers_file.is_none() {
            config.servers = doubles.iter().map(Double::url).collect();
        }
        let setup = Setup { cuts: self.cuts, ..setup(config, self.kind) };
        let fleet = Fleet::new(setup).expect("a fleet");
        Scene { doubles, fleet, folder }
    }

    /// With the first version of the weights on all servers.
    fn ready(self) -> Scene {
        let mut scene = self.scene();
        scene.publish(0).expect("published");
        scene
    }
}

fn setup(config: Config, kind: Kind) -> Setup {
    let ids = |text: &str| text.bytes().map(u32::from).collect();
    Setup {
        config,
        kind,
        run: "run".to_owned(),
        vocab_size: VOCAB,
        max_tokens: 100,
        dtype: "float32",
        max_canary_kl: 1e-3,
        tokenizer: ["What is 2+2?", "<think>"].map(|text| (text.to_owned(), ids(text))).to_vec(),
        cuts: None,
        experts: None,
        key: None,
        admin_key: None,
        check_address: |_| Ok(()),
        interrupted: Arc::new(|| false),
    }
}

impl Scene {
    fn weights(&self, version: u64) -> PathBuf {
        self.folder.path().join(format!("v{version}"))
    }

    fn push(&self, version: u64) -> Push {
        let folder = self.weights(version);
        Toy::write(&folder, &format!("version {version}")).expect("written");
        let ids = Canary::sequence(&[5; 20], VOCAB);
        let canary = logprobs(&Toy { vocab_size: VOCAB }, &folder, &ids, 1.0).expect("weights");
        let canary = Canary { ids, logprobs: canary };
        Push { version, weights: Weights::Folder(folder), canary }
    }

    fn publish(&mut self, version: u64) -> Result<(), Error> {
        self.fleet.publish(self.push(version))
    }

    fn generate(&mut self, requests: Vec<Request>) -> Result<(Vec<Option<Completion>>, Tally), Error> {
        let mut completions: Vec<Option<Completion>> = vec![None; requests.len()];
        let tally = self.fleet.generate(requests, &mut |request: usize, completion: Completion| {
            assert!(completions[request].replace(completion).is_none(), "handed over twice");
            ControlFlow::Continue(())
        })?;
        Ok((completions, tally))
    }

    /// All completions, each checked against the weights of a version.
    fn sound(&mut self, requests: Vec<Request>, version: u64) -> (Vec<Completion>, Tally) {
        let (completions, tally) = self.generate(requests).expect("completions");
        let completions: Vec<Completion> =
            completions.into_iter().map(|completion| completion.expect("finished")).collect();
        for completion in &completions {
            self.is_of(completion, version);
        }
        (completions, tally)
    }

    /// Whether the log-probabilities are those of a version's weights, and it says so.
    fn is_of(&self, completion: &Completion, version: u64) {
        let whole: Vec<u32> = completion.prompt_ids.iter().chain(&completion.ids).copied().collect();
        let toy = Toy { vocab_size: VOCAB };
        let all = logprobs(&toy, &self.weights(version), &whole, 1.0).expect("weights");
        let expected = &all[completion.prompt_ids.len() - 1..];
        for (found, expected) in completion.logprobs.iter().zip(expected) {
            assert!(found.is_nan() || (found - expected).abs() < 1e-6, "{found} {expected}");
        }
        let tokens: Vec<_> =
            completion.versions.iter().map(|span| (span.version, span.tokens.clone())).collect();
        assert_eq!(tokens, [(version, 0..completion.ids.len())]);
    }

    fn events(&self) -> Vec<Event> {
        self.fleet.take_events()
    }

    /// Servers that were Down, with why.
    fn downs(&self) -> Vec<String> {
        let down = |event| match event {
            Event::Down { why, .. } => Some(why),
            _ => None,
        };
        self.events().into_iter().filter_map(down).collect()
    }
}

/// Groups of requests: so many prompts, each so many times.
fn requests(prompts: u32, samples: u64) -> Vec<Request> {
    let request = |prompt: u32, sample| Request {
        prompt_ids: vec![10 + prompt, 20, 30 + prompt],
        sampling: SamplingParams { max_new_tokens: 24, ..SamplingParams::default() },
        stop: Stop::at(&[END]),
        seed: Seed::new(7).index(u64::from(prompt)).index(sample),
    };
    (0..prompts).flat_map(|prompt| (0..samples).map(move |sample| request(prompt, sample))).collect()
}
