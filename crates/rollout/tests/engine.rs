//! The engine on tiny random checkpoints: what it samples, and that company changes nothing.

mod common;

use burn::tensor::activation::log_softmax;
use common::{Asked, Options, decoder, generate, requests};
use ruminate_data::{Completion, FinishReason, SamplingParams, Sink};
use ruminate_model::{Batch, Decoder, Routes};
use ruminate_rollout::{Dtype, EngineConfig, Error};
use ruminate_testkit as testkit;
use std::ops::ControlFlow;

fn options(temperature: f64) -> Options {
    Options {
        sampling: SamplingParams { temperature, max_new_tokens: 12, ..SamplingParams::default() },
        engine: EngineConfig { max_num_seqs: 8, record_routing: true, ..EngineConfig::default() },
        eos_token_ids: vec![1],
    }
}

fn run(decoder: &Decoder, requests: &[Asked], options: &Options) -> Vec<Completion> {
    common::run(decoder, requests, options).0
}

#[test]
fn sampler_logprobs_are_the_full_forwards() {
    for (name, temperature) in [("deepseek_v3_full", 0.8), ("qwen3", 1.0), ("deepseek_v3_plain", 0.0)] {
        let decoder = decoder(name);
        let vocabulary = decoder.config().vocab_size;
        for completion in run(&decoder, &requests(40), &options(temperature)) {
            let whole = [completion.prompt_ids.as_slice(), &completion.ids].concat();
            let output = decoder.forward(&Batch::from_rows(&[&whole]), Routes::Choose);
            let divisor = if temperature == 0.0 { 1.0 } else { temperature };
            let logits = decoder.logits(output.hidden).div_scalar(divisor);
            let full = testkit::floats(log_softmax(logits, 1));
            for (i, (&token, &logprob)) in completion.ids.iter().zip(&completion.logprobs).enumerate() {
                let place = completion.prompt_ids.len() + i - 1;
                let expected = full[place * vocabulary + token as usize];
                assert!((logprob - expected).abs() < 1e-4, "{name}: {logprob} instead of {expected}");
            }
            if let Some(routing) = &completion.routing {
                let chosen = routing.experts_per_token;
                for (layer, full) in output.routing.iter().enumerate() {
                    for place in 0..whole.len() - 1 {
                        let start = (place * routing.moe_layers + layer) * chosen;
                        let sampled = &routing.experts[start..start + chosen];
                        assert_eq!(sampled, &full.experts[place * chosen..(place + 1) * chosen], "{name}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_request_samples_the_same_alone_and_in_company() {
    for (name, dtype) in
        [("deepseek_v3_full", Dtype::Float32), ("qwen3", Dtype::Bfloat16), ("qwen3", Dtype::Int8)]
    {
        let decoder = decoder(name);
        let requests = requests(40);
        let mut options = options(1.0);
        options.engine.dtype = dtype;
        let company = run(&decoder, &requests, &options);
        for (request, in_company) in requests.iter().zip(&company) {
            let alone = run(&decoder, std::slice::from_ref(request), &options).remove(0);
            assert_eq!(alone.ids, in_company.ids, "{name}, {dtype}");
            testkit::assert_close(&alone.logprobs, &in_company.logprobs, 1e-5);
        }
    }
}

#[test]
fn rounded_weights_sample_from_nearly_the_policy() {
    let decoder = decoder("qwen3");
    let vocabulary = decoder.config().vocab_size;
    for (dtype, tolerance) in [(Dtype::Bfloat16, 0.03), (Dtype::Int8, 0.1)] {
        let mut options = options(1.0);
        options.engine.dtype = dtype;
        let (mut sum, mut compared) = (0.0_f32, 0);
        for completion in run(&decoder, &requests(20), &options) {
            let whole = [completion.prompt_ids.as_slice(), &completion.ids].concat();
            let output = decoder.forward(&Batch::from_rows(&[&whole]), Routes::Choose);
            let full = testkit::floats(log_softmax(decoder.logits(output.hidden), 1));
            for (i, (&token, &logprob)) in completion.ids.iter().zip(&completion.logprobs).enumerate() {
                let place = completion.prompt_ids.len() + i - 1;
                sum += (logprob - full[place * vocabulary + token as usize]).abs();
                compared += 1;
            }
        }
        let mean = sum / compared as f32;
        assert!(compared > 100 && mean > 1e-6 && mean < tolerance, "{dtype}: {mean}");
    }
}

#[test]
fn completions_end_at_an_ending_token_or_at_the_limit() {
    let completions = run(&decoder("qwen3"), &requests(60), &options(1.0));
    let stopped = completions.iter().filter(|c| c.finish_reason == FinishReason::Stop).count();
    assert!(stopped > 0 && stopped < 60, "both ends occur: {stopped} of 60");
    for completion in completions {
        let ending = completion.ids.iter().position(|&id| id == 1);
        match completion.finish_reason {
            FinishReason::Stop => assert_eq!(ending, Some(completion.ids.len() - 1)),
            FinishReason::Length => assert!(ending.is_none() && completion.ids.len() == 12),
            FinishReason::NotFinite | FinishReason::CacheMemory => panic!("the fixture is whole"),
        }
        assert_eq!(completion.ids.len(), completion.logprobs.len());
    }
}

#[test]
fn stopping_delivers_no_more() {
    let mut delivered = 0;
    generate(&decoder("qwen3"), &requests(40), &options(1.0), &mut |_: usize, _: Completion| {
        delivered += 1;
        if delivered == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .expect("there is memory");
    assert!((3..=8).contains(&delivered), "only what the last step had finished already: {delivered}");
}

/// Keeps the tokens of each request, and which request drew each, until there are so many.
struct Tokens<'a> {
    drawn: Vec<Vec<u32>>,
    order: Vec<usize>,
    most: usize,
    expected: &'a [Completion],
}

impl<'a> Tokens<'a> {
    fn of(requests: usize, most: usize, expected: &'a [Completion]) -> Self {
        Self { drawn: vec![Vec::new(); requests], order: Vec::new(), most, expected }
    }
}

impl Sink for Tokens<'_> {
    fn token(&mut self, request: usize, token: u32) -> ControlFlow<()> {
        self.drawn[request].push(token);
        self.order.push(request);
        if self.order.len() == self.most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn finished(&mut self, request: usize, completion: Completion) -> ControlFlow<()> {
        assert_eq!(self.drawn[request], completion.ids, "all its tokens before it");
        if let Some(expected) = self.expected.get(request) {
            assert_eq!(completion.ids, expected.ids);
        }
        ControlFlow::Continue(())
    }
}

#[test]
fn tokens_are_handed_over_as_they_are_drawn_and_can_end_it() {
    let mut options = options(1.0);
    options.engine.max_num_seqs = 3;
    let decoder = decoder("qwen3");
    let requests = requests(8);
    let expected = run(&decoder, &requests, &options);
    let mut sink = Tokens::of(8, usize::MAX, &expected);
    generate(&decoder, &requests, &options, &mut sink).expect("there is memory");
    assert_eq!(sink.order.len(), expected.iter().map(|completion| completion.ids.len()).sum::<usize>());
    let endless = Options { eos_token_ids: Vec::new(), ..options };
    let mut sink = Tokens::of(1, 2, &[]);
    generate(&decoder, &requests[..1], &endless, &mut sink).expect("there is memory");
    assert_eq!(sink.order.len(), 2);
}

#[test]
fn prompts_in_pieces_and_little_memory_sample_the_same() {
    for name in ["deepseek_v3_full", "qwen3", "qwen3_moe", "llama_tied"] {
        let decoder = decoder(name);
        let mut requests = requests(30);
        // Long prompts among short ones, one of them shared.
        for (i, length) in [(3, 23), (4, 23), (11, 9), (12, 30), (20, 31)] {
            requests[i].prompt_ids = (0..length).map(|t| 2 + (5 * length + 3 * t) % 38).collect();
        }
        let expected = run(&decoder, &requests, &options(1.0));
        for (max_num_batched_tokens, kv_cache_memory_gib) in
            [(1, None), (7, None), (24, Some(3e-5)), (8192, Some(3e-5))]
        {
            let mut options = options(1.0);
            options.engine = EngineConfig { max_num_batched_tokens, kv_cache_memory_gib, ..options.engine };
            for (completion, expected) in run(&decoder, &requests, &options).iter().zip(&expected) {
                assert_eq!(completion.ids, expected.ids, "{name}, {max_num_batched_tokens}");
                testkit::assert_close(&completion.logprobs, &expected.logprobs, 1e-5);
                assert_eq!(completion.routing, expected.routing, "{name}");
            }
        }
    }
}

#[test]
fn others_decode_between_the_pieces_of_a_long_prompt() {
    let decoder = decoder("qwen3");
    let mut requests = requests(2);
    requests[1].prompt_ids = (0..40).map(|t| 2 + t % 38).collect();
    let mut options = Options { eos_token_ids: Vec::new(), ..options(1.0) };
    options.engine.max_num_batched_tokens = 4; // 10 pieces
    let mut sink = Tokens::of(2, usize::MAX, &[]);
    generate(&decoder, &requests, &options, &mut sink).expect("there is memory");
    let order = sink.order;
    let before_the_long_ones_first = order.iter().position(|&request| request == 1).expect("it draws");
    assert!(before_the_long_ones_first >= 9, "{order:?}");
}

#[test]
fn memory_that_does_not_hold_one_sequence_is_refused_before_anything_is_computed() {
    let mut options = options(1.0);
    options.engine.kv_cache_memory_gib = Some(1e-7);
    let refused = generate(&decoder("qwen3"), &requests(3), &options, &mut |_: usize, _: Completion| {
        panic!("nothing is finished")
    });
    let message = match refused {
        Err(error @ Error::CacheMemory { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(message.contains("kv_cache_memory_gib") && message.contains("15 tokens"), "{message}");
}
