//! Speculation against the plain engine and against probabilities that were added up: it may change how fast tokens come,
//! and not which.

mod common;

use burn::tensor::activation::log_softmax;
use common::{Asked, Options, decoder, generate, requests, run};
use ruminate_data::{Completion, SamplingParams, Seed};
use ruminate_model::{Batch, Config, Decoder, Routes};
use ruminate_rollout::{EngineConfig, Error, SpeculationStats, Speculative};
use ruminate_testkit as testkit;
use std::collections::HashMap;

fn options(sampling: SamplingParams) -> Options {
    let engine = EngineConfig {
        speculative: Speculative::Mtp,
        max_num_seqs: 8,
        record_routing: true,
        ..EngineConfig::default()
    };
    Options { sampling, engine, eos_token_ids: vec![1] }
}

fn plain(options: &Options) -> Options {
    let engine = EngineConfig { speculative: Speculative::None, ..options.engine };
    Options { engine, ..options.clone() }
}

#[test]
fn greedy_completions_are_token_for_token_the_plain_ones() {
    let decoder = decoder("deepseek_v3_mtp");
    let requests = requests(40);
    for max_num_batched_tokens in [2, 8192] {
        let sampling = SamplingParams { temperature: 0.0, max_new_tokens: 24, ..SamplingParams::default() };
        let mut options = Options { eos_token_ids: vec![7], ..options(sampling) };
        options.engine.max_num_batched_tokens = max_num_batched_tokens;
        let (guessed, tally) = run(&decoder, &requests, &options);
        let (expected, none) = run(&decoder, &requests, &plain(&options));
        for (guessed, expected) in guessed.iter().zip(&expected) {
            assert_eq!(guessed.ids, expected.ids);
            testkit::assert_close(&guessed.logprobs, &expected.logprobs, 1e-4);
            assert_eq!(guessed.routing, expected.routing);
            assert_eq!(guessed.finish_reason, expected.finish_reason);
        }
        assert!(tally.accepted > 0 && tally.accepted < tally.drafted, "both ends occur: {tally:?}");
        assert_eq!((none, none.acceptance()), (SpeculationStats::default(), None));
    }
}

#[test]
fn a_request_samples_the_same_alone_and_in_company() {
    let decoder = decoder("deepseek_v3_mtp");
    let requests = requests(40);
    let options =
        options(SamplingParams { temperature: 0.8, max_new_tokens: 12, ..SamplingParams::default() });
    let (company, _) = run(&decoder, &requests, &options);
    for (request, in_company) in requests.iter().zip(&company) {
        let (alone, _) = run(&decoder, std::slice::from_ref(request), &options);
        assert_eq!(alone[0].ids, in_company.ids);
        testkit::assert_close(&alone[0].logprobs, &in_company.logprobs, 1e-5);
    }
}

#[test]
fn logprobs_and_experts_are_the_full_forwards() {
    let decoder = decoder("deepseek_v3_mtp");
    let vocabulary = decoder.config().vocab_size;
    let sampling =
        SamplingParams { temperature: 0.8, top_p: 0.95, max_new_tokens: 12, ..SamplingParams::default() };
    let (completions, tally) = run(&decoder, &requests(40), &options(sampling));
    assert!(tally.accepted > 20 && tally.drafted - tally.accepted > 20, "{tally:?}");
    for completion in completions {
        let whole = [completion.prompt_ids.as_slice(), &completion.ids].concat();
        let output = decoder.forward(&Batch::from_rows(&[&whole]), Routes::Choose);
        let logits = decoder.logits(output.hidden).div_scalar(sampling.temperature);
        let full = testkit::floats(log_softmax(logits, 1));
        for (i, (&token, &logprob)) in completion.ids.iter().zip(&completion.logprobs).enumerate() {
            let expected = full[(completion.prompt_ids.len() + i - 1) * vocabulary + token as usize];
            assert!((logprob - expected).abs() < 1e-4, "{logprob} instead of {expected}");
        }
        let routing = completion.routing.expect("recorded");
        let chosen = routing.experts_per_token;
        let expected = &output.routing[0].experts[..(whole.len() - 1) * chosen];
        assert_eq!(routing.experts, expected, "one MoE layer, the last token left out");
    }
}

/// Four tokens of a vocabulary of four, one of which ends: every sequence's probability is a product of rows of full
/// forward passes. By Bernstein's inequality a frequency of n draws is off by `sqrt(2 p (1 - p) L / n) + 2 L / (3 n)` or
/// more with a probability of at most 2 exp(-L): with L = 30 and fewer than 200 sequences, 4e-11 for the whole test. The
/// seeds are fixed besides.
#[test]
fn sequences_have_the_frequencies_that_the_full_forward_says() {
    let config = Config::from_json(&serde_json::json!({
        "model_type": "deepseek_v3", "vocab_size": 4, "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 2, "first_k_dense_replace": 1, "num_attention_heads": 2, "kv_lora_rank": 12,
        "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8, "n_routed_experts": 4,
        "num_experts_per_tok": 2, "n_shared_experts": 1, "moe_intermediate_size": 12, "eos_token_id": 1,
        "num_nextn_predict_layers": 1, "initializer_range": 0.4, "max_position_embeddings": 16,
        "q_lora_rank": null, "n_group": 1, "topk_group": 1, "routed_scaling_factor": 1.0,
    }))
    .expect("valid");
    let decoder = Decoder::init(&config, &mut Seed::new(5).child("weights").rng(), &testkit::device());
    let prompt = vec![2_u32, 3];
    let n = 40_000;
    let requests: Vec<Asked> =
        (0..n).map(|i| Asked { prompt_ids: prompt.clone(), seed: Seed::new(3).index(i) }).collect();
    for (temperature, top_p, top_k) in [(1.0, 1.0, 0), (0.7, 0.9, 3)] {
        let sampling =
            SamplingParams { temperature, top_p, top_k, max_new_tokens: 4, ..SamplingParams::default() };
        let mut options = options(sampling);
        options.engine.max_num_seqs = 500;
        let (completions, tally) = run(&decoder, &requests, &options);
        let acceptance = tally.acceptance().expect("guesses");
        assert!(
            (0.1..0.95).contains(&acceptance),
            "guesses are neither always right nor never: {acceptance}"
        );
        let mut counts: HashMap<Vec<u32>, u64> = HashMap::new();
        for completion in completions {
            *counts.entry(completion.ids).or_default() += 1;
        }
        let mut total = 0.0;
        for (sequence, p) in sequences(&decoder, &prompt, &sampling) {
            let found = counts.remove(&sequence).unwrap_or(0) as f64 / n as f64;
            let (l, n) = (30.0, n as f64);
            let bound = (2.0 * p * (1.0 - p) * l / n).sqrt() + 2.0 * l / (3.0 * n);
            assert!((found - p).abs() < bound, "{sequence:?}: {found} instead of {p}, at most {bound} off");
            total += p;
        }
        assert!((total - 1.0).abs() < 1e-5 && counts.is_empty(), "no other sequence was drawn: {counts:?}");
    }
}

/// All sequences after the prompt, with their probabilities.
fn sequences(decoder: &Decoder, prompt: &[u32], sampling: &SamplingParams) -> Vec<(Vec<u32>, f64)> {
    let (mut open, mut done) = (vec![(Vec::new(), 1.0)], Vec::new());
    for _ in 0..sampling.max_new_tokens {
        let rows: Vec<Vec<u32>> = open.iter().map(|(ids, _)| [prompt, ids.as_slice()].concat()).collect();
        let hidden = decoder.forward(&Batch::from_rows(&rows), Routes::Choose).hidden;
        let logits = testkit::floats(decoder.logits(hidden));
        let (length, vocabulary) = (rows[0].len(), decoder.config().vocab_size);
        let mut longer = Vec::new();
        for (row, (ids, p)) in open.into_iter().enumerate() {
            let last = ((row + 1) * length - 1) * vocabulary;
            for (token, q) in distribution(&logits[last..last + vocabulary], sampling).into_iter().enumerate()
            {
                let ids: Vec<u32> = ids.iter().copied().chain([token as u32]).collect();
                if token == 1 { done.push((ids, p * q)) } else { longer.push((ids, p * q)) }
            }
        }
        open = longer;
    }
    done.extend(open);
    done
}

/// Softmax at a temperature, the top k of it, then the fewest of these whose share reaches p.
fn distribution(logits: &[f32], sampling: &SamplingParams) -> Vec<f64> {
    let mut p: Vec<f64> =
        logits.iter().map(|&logit| (f64::from(logit) / sampling.temperature).exp()).collect();
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[b].total_cmp(&p[a]));
    if sampling.top_k > 0 {
        order.truncate(sampling.top_k);
    }
    let mass: f64 = order.iter().map(|&token| p[token]).sum();
    let mut sum = 0.0;
    let last = order.iter().position(|&token| {
        sum += p[token] / mass;
        sum >= sampling.top_p - 1e-12
    });
    order.truncate(last.map_or(order.len(), |last| last + 1));
    let total: f64 = order.iter().map(|&token| p[token]).sum();
    for (token, p) in p.iter_mut().enumerate() {
        *p = if order.contains(&token) { *p / total } else { 0.0 };
    }
    p
}

#[test]
fn a_model_without_the_module_is_refused() {
    let options = options(SamplingParams { max_new_tokens: 4, ..SamplingParams::default() });
    let refused = generate(&decoder("qwen3"), &requests(2), &options, &mut |_: usize, _: Completion| {
        panic!("nothing is finished")
    });
    assert_eq!(refused, Err(Error::NoModule));
}
