//! What is a request's own: its parameters, its end, when it comes and whether it is given up. None of it changes another.

mod common;

use common::{Options, decoder, requests, run};
use ruminate_data::{Completion, FinishReason, Queue, Request, SamplingParams, Sink, Stop};
use ruminate_rollout::{Budget, Engine, EngineConfig, Error, LocalEngine, Logprobs, Speculative};
use ruminate_testkit as testkit;
use std::ops::ControlFlow;

fn options(max_num_seqs: usize) -> Options {
    Options {
        sampling: SamplingParams { temperature: 0.9, max_new_tokens: 12, ..SamplingParams::default() },
        engine: EngineConfig { max_num_seqs, record_routing: true, ..EngineConfig::default() },
        eos_token_ids: vec![1],
    }
}

/// Lets requests join and gives others up, each once so many tokens were drawn.
#[derive(Default)]
struct Server {
    drawn: usize,
    /// Those still to come, the last of them first.
    joining: Vec<(usize, Request)>,
    leaving: Vec<(usize, usize)>,
    left: Vec<usize>,
    numbers: Vec<usize>,
    completions: Vec<(usize, Completion)>,
}

impl Sink for Server {
    fn token(&mut self, request: usize, _: u32) -> ControlFlow<()> {
        assert!(!self.left.contains(&request), "request {request} was given up");
        self.drawn += 1;
        ControlFlow::Continue(())
    }

    fn finished(&mut self, request: usize, completion: Completion) -> ControlFlow<()> {
        self.completions.push((request, completion));
        ControlFlow::Continue(())
    }

    fn change(&mut self, queue: &mut Queue) {
        while self.joining.last().is_some_and(|(at, _)| *at <= self.drawn) {
            let (_, request) = self.joining.pop().expect("there is one");
            self.numbers.push(queue.join(request));
        }
        let (now, later) = self.leaving.iter().partition(|(at, _)| *at <= self.drawn);
        self.leaving = later;
        let now: Vec<(usize, usize)> = now;
        for (_, request) in now {
            queue.cancel(request);
            self.left.push(request);
        }
    }
}

#[test]
fn requests_that_join_and_leave_sample_as_alone_and_so_do_the_others() {
    for (name, speculative) in [
        ("qwen3", Speculative::None),
        ("deepseek_v3_full", Speculative::None),
        ("deepseek_v3_mtp", Speculative::Mtp),
    ] {
        let decoder = decoder(name);
        let mut options = options(6);
        options.engine.speculative = speculative;
        let asked = requests(30);
        let alone: Vec<Completion> =
            asked.iter().map(|one| run(&decoder, std::slice::from_ref(one), &options).0.remove(0)).collect();
        let mut all: Vec<Request> = asked.iter().map(|asked| asked.request(&options)).collect();
        let late = all.split_off(10);
        let times = [1, 1, 2, 9, 30, 30, 31, 50, 60, 70];
        let mut joining: Vec<(usize, Request)> =
            late.into_iter().zip(0..).map(|(request, i)| (times[i / 2], request)).collect();
        joining.reverse();
        // One in a slot, one that waits, one that joined.
        let leaving = vec![(3, 1), (3, 9), (12, 12)];
        let mut server = Server { joining, leaving, ..Server::default() };
        let mut engine = LocalEngine::of(&decoder, options.engine).expect("weights");
        engine.generate(all, &mut server).expect("there is memory");
        assert_eq!(server.numbers, (10..30).collect::<Vec<_>>());
        let mut done: Vec<usize> = server.completions.iter().map(|(request, _)| *request).collect();
        done.sort_unstable();
        assert!(!done.contains(&9) && done.len() >= 27, "{name}: {done:?}");
        for (request, completion) in &server.completions {
            assert_eq!(completion.ids, alone[*request].ids, "{name}, request {request}");
            testkit::assert_close(&completion.logprobs, &alone[*request].logprobs, 1e-5);
            assert_eq!(completion.routing, alone[*request].routing, "{name}");
        }
    }
}

#[test]
fn a_request_that_the_cache_does_not_hold_waits_until_there_is_a_longer_one() {
    let decoder = decoder("qwen3");
    let options = options(4);
    let asked = requests(4);
    let mut long = asked[2].request(&options);
    long.prompt_ids = (0..30).map(|t| 2 + t % 38).collect();
    long.sampling.max_new_tokens = 20;
    let mut engine = LocalEngine::of(&decoder, options.engine).expect("weights");
    let mut alone = Server::default();
    engine.generate(vec![long.clone()], &mut alone).expect("there is memory");
    let mut server = Server { joining: vec![(5, long)], ..Server::default() };
    let first: Vec<Request> = asked.iter().map(|asked| asked.request(&options)).collect();
    engine.generate(first, &mut server).expect("there is memory");
    let (request, completion) = server.completions.last().expect("five of them");
    assert_eq!((*request, server.completions.len()), (4, 5));
    assert_eq!(completion.ids, alone.completions[0].1.ids);
}

#[test]
fn a_request_that_joins_and_fits_no_cache_is_refused_alone() {
    let decoder = decoder("qwen3");
    let mut options = options(4);
    let asked = requests(6);
    let first: Vec<Request> = asked[..5].iter().map(|asked| asked.request(&options)).collect();
    let (alone, _) = run(&decoder, &asked, &options);
    let columns = first.iter().map(|request| request.prompt_ids.len() + 12).max().expect("some");
    // Memory for two sequences of the longest that were handed over.
    let bytes = Budget::new(decoder.config(), &options.engine, 1, columns).expect("no limit").bytes;
    options.engine.kv_cache_memory_gib = Some(2.5 * bytes as f64 / f64::from(1 << 30));
    let mut long = asked[0].request(&options);
    long.sampling.max_new_tokens = 10 * columns;
    // One joins alone, one with another that fits.
    let joining = vec![(20, asked[5].request(&options)), (20, long.clone()), (3, long.clone())];
    let mut server = Server { joining, ..Server::default() };
    let mut engine = LocalEngine::of(&decoder, options.engine).expect("weights");
    engine.generate(first, &mut server).expect("the others go on");
    server.completions.sort_by_key(|(request, _)| *request);
    let ended: Vec<(usize, FinishReason)> =
        server.completions.iter().map(|(request, completion)| (*request, completion.finish_reason)).collect();
    assert_eq!(ended.len(), 8, "{ended:?}");
    for (request, completion) in &server.completions {
        let of_asked = match request {
            5 | 6 => None,
            7 => Some(5),
            _ => Some(*request),
        };
        if let Some(asked) = of_asked {
            assert_eq!(completion.ids, alone[asked].ids, "request {request}");
        } else {
            assert_eq!((completion.finish_reason, completion.ids.len()), (FinishReason::CacheMemory, 0));
            let error = Error::check(*request, completion).expect_err("refused");
            assert_eq!(error, Error::NoRoom { request: *request, prompt: long.prompt_ids.len() });
        }
    }
    // Handed over with the others it is the caller's mistake, found before anything is computed.
    let refused = engine.generate(vec![long], &mut Server::default());
    assert!(matches!(refused, Err(Error::CacheMemory { .. })), "{refused:?}");
}

#[test]
fn each_request_has_its_own_parameters_and_end() {
    let decoder = decoder("qwen3");
    let asked = requests(6);
    let options = options(8);
    let mut requests: Vec<Request> = asked.iter().map(|asked| asked.request(&options)).collect();
    for request in &mut requests {
        request.stop = Stop::default();
    }
    requests[1].sampling = SamplingParams { temperature: 0.0, max_new_tokens: 5, ..options.sampling };
    requests[2].sampling.top_k = 1;
    requests[3].stop = Stop::default().or_when(|ids| ids.len() == 7);
    requests[4].sampling.max_new_tokens = 20;
    let mut engine = LocalEngine::of(&decoder, options.engine).expect("weights");
    let mut alone = Vec::new();
    for request in &requests {
        let mut sink = Server::default();
        engine.generate(vec![request.clone()], &mut sink).expect("there is memory");
        alone.push(sink.completions.remove(0).1);
    }
    let lengths: Vec<usize> = alone.iter().map(|completion| completion.ids.len()).collect();
    assert_eq!(lengths, [12, 5, 12, 7, 20, 12]);
    assert_eq!(alone[3].finish_reason, FinishReason::Stop);
    assert_eq!(alone[4].finish_reason, FinishReason::Length);
    // The most probable token alone is what greedy sampling takes, at any seed.
    let greedy =
        Request { sampling: SamplingParams { temperature: 0.0, ..options.sampling }, ..requests[2].clone() };
    let mut sink = Server::default();
    engine.generate(vec![greedy], &mut sink).expect("there is memory");
    assert_eq!(sink.completions[0].1.ids, alone[2].ids);

    let mut together = Server::default();
    engine.generate(requests, &mut together).expect("there is memory");
    for (request, completion) in together.completions {
        assert_eq!(completion.ids, alone[request].ids, "request {request}");
    }
}

#[test]
fn weights_stay_between_calls_and_an_engine_without_any_says_so() {
    let options = options(8);
    let asked = requests(5);
    let (first, second) = (decoder("qwen3"), decoder("llama_tied"));
    let of = |engine: &mut LocalEngine| -> Result<Vec<Vec<u32>>, Error> {
        let mut sink = Server::default();
        let requests: Vec<Request> = asked.iter().map(|asked| asked.request(&options)).collect();
        engine.generate(requests, &mut sink)?;
        sink.completions.sort_by_key(|(request, _)| *request);
        Ok(sink.completions.into_iter().map(|(_, completion)| completion.ids).collect())
    };
    let mut engine = LocalEngine::new(options.engine);
    assert_eq!(of(&mut engine), Err(Error::NoWeights));
    engine.load_weights(&first, 1).expect("weights");
    let of_first = of(&mut engine).expect("there is memory");
    assert_eq!(of(&mut engine).expect("there is memory"), of_first);
    engine.load_weights(&second, 2).expect("weights");
    assert_ne!(of(&mut engine).expect("there is memory"), of_first);
    engine.unload_weights();
    assert_eq!(of(&mut engine), Err(Error::NoWeights));
    assert_eq!(engine.logprobs(), Logprobs::Exact);
}

#[test]
fn a_completion_says_what_drew_it_and_from_how_much_of_the_distribution() {
    let decoder = decoder("qwen3");
    let asked = requests(6);
    let mut options = options(8);
    for (top_p, top_k) in [(0.8, 0), (1.0, 3), (0.9, 5)] {
        options.sampling = SamplingParams { top_p, top_k, ..options.sampling };
        let requests: Vec<Request> = asked.iter().map(|asked| asked.request(&options)).collect();
        let mut engine = LocalEngine::new(options.engine);
        engine.load_weights(&decoder, 17).expect("weights");
        let mut sink = Server::default();
        engine.generate(requests, &mut sink).expect("there is memory");
        for (_, completion) in &sink.completions {
            let [span] = &completion.versions[..] else { panic!("{:?}", completion.versions) };
            assert_eq!((span.version, span.tokens.clone()), (17, 0..completion.ids.len()));
            assert_eq!(completion.kept_mass.len(), completion.ids.len());
            for (kept, logprob) in completion.kept_mass.iter().zip(&completion.logprobs) {
                // What was drawn is among what was kept; top-p keeps at least p where it cuts alone.
                assert!(*kept <= 1.0 && *kept >= logprob.exp() * 0.999, "{kept}, {logprob}");
                assert!(top_k > 0 || *kept >= 0.8 - 1e-6, "{kept}");
            }
        }
    }
    options.sampling = SamplingParams { top_p: 1.0, top_k: 0, ..options.sampling };
    let (whole, _) = run(&decoder, &asked, &options);
    assert!(whole.iter().all(|completion| completion.kept_mass.is_empty()), "all of it was kept");
}
