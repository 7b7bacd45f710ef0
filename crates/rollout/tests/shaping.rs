//! Distributions that are cut, penalised or forced: sequences have the probabilities that full forward passes say, and a
//! completion records what it was drawn from.

mod common;

use common::{Asked, Options, decoder, requests, run};
use ruminate_data::{Completion, Request, SamplingParams, Seed, Stop, ThinkingBudget};
use ruminate_model::{Batch, Config, Decoder, Routes};
use ruminate_rollout::{Engine, EngineConfig, LocalEngine, Speculative};
use ruminate_testkit as testkit;
use std::collections::HashMap;
use std::ops::ControlFlow;

fn tiny() -> Decoder {
    let config = Config::from_json(&serde_json::json!({
        "model_type": "deepseek_v3", "vocab_size": 5, "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 2, "first_k_dense_replace": 1, "num_attention_heads": 2, "kv_lora_rank": 12,
        "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8, "n_routed_experts": 4,
        "num_experts_per_tok": 2, "n_shared_experts": 1, "moe_intermediate_size": 12, "eos_token_id": 1,
        "num_nextn_predict_layers": 1, "initializer_range": 0.4, "max_position_embeddings": 16,
        "q_lora_rank": null, "n_group": 1, "topk_group": 1, "routed_scaling_factor": 1.0,
    }))
    .expect("valid");
    Decoder::init(&config, &mut Seed::new(5).child("weights").rng(), &testkit::device())
}

fn complete(decoder: &Decoder, engine: EngineConfig, requests: &[Request]) -> Vec<Completion> {
    let mut completions = vec![None; requests.len()];
    let mut engine = LocalEngine::of(decoder, engine).expect("weights");
    let mut sink = |request: usize, completion: Completion| {
        completions[request] = Some(completion);
        ControlFlow::Continue(())
    };
    engine.generate(requests.to_vec(), &mut sink).expect("there is memory");
    completions.into_iter().map(|completion| completion.expect("finished")).collect()
}

/// The logits after a sequence, by a full forward pass.
fn logits(decoder: &Decoder, ids: &[u32]) -> Vec<f64> {
    let hidden = decoder.forward(&Batch::from_rows(&[ids]), Routes::Choose).hidden;
    let all = testkit::floats(decoder.logits(hidden));
    let vocabulary = decoder.config().vocab_size;
    all[(ids.len() - 1) * vocabulary..].iter().map(|&x| f64::from(x)).collect()
}

/// The definition, token by token: penalties by their formulas, forbidden words, softmax at the temperature. Then what is
/// left of it.
fn distribution(
    decoder: &Decoder,
    prompt: &[u32],
    ids: &[u32],
    sampling: &SamplingParams,
    bad_words: &[&[u32]],
) -> (Vec<f64>, Vec<f64>) {
    let mut x = logits(decoder, &[prompt, ids].concat());
    for (id, x) in (0_u32..).zip(&mut x) {
        let count = ids.iter().filter(|&&written| written == id).count() as f64;
        if count > 0.0 || prompt.contains(&id) {
            *x = if *x > 0.0 { *x / sampling.repetition_penalty } else { *x * sampling.repetition_penalty };
        }
        *x -= sampling.frequency_penalty * count;
        *x -= if count > 0.0 { sampling.presence_penalty } else { 0.0 };
        if bad_words.iter().any(|word| [ids, &[id]].concat().ends_with(word)) {
            *x = f64::NEG_INFINITY;
        }
    }
    let top = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = x.iter().map(|x| ((x - top) / sampling.temperature).exp()).collect();
    let total: f64 = weights.iter().sum();
    let whole: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
    let mut order: Vec<usize> = (0..whole.len()).collect();
    order.sort_by(|&a, &b| whole[b].total_cmp(&whole[a]));
    if sampling.top_k > 0 {
        order.truncate(sampling.top_k);
    }
    let of_top_k: f64 = order.iter().map(|&id| whole[id]).sum();
    let mut sum = 0.0;
    let reached = order.iter().position(|&id| {
        sum += whole[id] / of_top_k;
        sum >= sampling.top_p - 1e-9
    });
    order.truncate(reached.map_or(order.len(), |last| last + 1));
    order.retain(|&id| whole[id] >= sampling.min_p * whole[order_first(&whole)] && whole[id] > 0.0);
    let left: f64 = order.iter().map(|&id| whole[id]).sum();
    let cut = (0..whole.len()).map(|id| if order.contains(&id) { whole[id] / left } else { 0.0 }).collect();
    (whole, cut)
}

fn order_first(p: &[f64]) -> usize {
    (0..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b])).expect("not empty")
}

fn cases() -> Vec<(SamplingParams, Vec<&'static [u32]>)> {
    let base = SamplingParams { max_new_tokens: 3, ..SamplingParams::default() };
    vec![
        (SamplingParams { min_p: 0.35, ..base }, vec![]),
        (SamplingParams { temperature: 0.8, top_p: 0.85, top_k: 4, min_p: 0.1, ..base }, vec![]),
        (
            SamplingParams {
                repetition_penalty: 1.8,
                presence_penalty: 0.7,
                frequency_penalty: -0.4,
                ..base
            },
            vec![],
        ),
        (
            SamplingParams { top_p: 0.8, repetition_penalty: 1.4, frequency_penalty: 0.9, ..base },
            vec![&[4], &[2, 3]],
        ),
    ]
}

/// Pearson's chi-square over the sequences with at least 5 expected draws, the others as one. With k degrees of freedom it
/// is above k + 2 sqrt(k x) + 2 x with a probability of at most e^-x (Laurent and Massart 2000, lemma 1): with x = 12,
/// 5e-5 for the eight cases. The seeds are fixed besides.
#[test]
fn sequences_are_drawn_with_the_probabilities_of_the_definition() {
    let decoder = tiny();
    let prompt = vec![2_u32, 3];
    let n = 8_000;
    for speculative in [Speculative::None, Speculative::Mtp] {
        for (sampling, bad_words) in cases() {
            let stop = Stop::at(&[1]).without(bad_words.iter().map(|word| word.to_vec()).collect());
            let requests: Vec<Request> = (0..n)
                .map(|i| Request {
                    prompt_ids: prompt.clone(),
                    sampling,
                    stop: stop.clone(),
                    seed: Seed::new(3).index(i),
                })
                .collect();
            let engine = EngineConfig { speculative, max_num_seqs: 500, ..EngineConfig::default() };
            let mut counts: HashMap<Vec<u32>, f64> = HashMap::new();
            for completion in complete(&decoder, engine, &requests) {
                *counts.entry(completion.ids).or_default() += 1.0;
            }
            let (mut open, mut done) = (vec![(Vec::new(), 1.0)], Vec::new());
            for _ in 0..sampling.max_new_tokens {
                for (ids, p) in std::mem::take(&mut open) {
                    let (_, cut) = distribution(&decoder, &prompt, &ids, &sampling, &bad_words);
                    for (id, q) in (0_u32..).zip(cut).filter(|(_, q)| *q > 0.0) {
                        let longer: (Vec<u32>, f64) = ([&ids[..], &[id]].concat(), p * q);
                        if id == 1 { done.push(longer) } else { open.push(longer) }
                    }
                }
            }
            done.extend(open);
            let (mut chi, mut cells, mut rare) = (0.0, 0, (0.0, 0.0));
            for (ids, p) in &done {
                let (expected, found) = (p * n as f64, counts.remove(ids).unwrap_or(0.0));
                if expected < 5.0 {
                    rare = (rare.0 + expected, rare.1 + found);
                } else {
                    chi += (found - expected).powi(2) / expected;
                    cells += 1;
                }
            }
            assert!(counts.is_empty(), "sequences that cannot be: {counts:?}");
            if rare.0 >= 5.0 {
                chi += (rare.1 - rare.0).powi(2) / rare.0;
                cells += 1;
            }
            let free = f64::from(cells - 1);
            assert!(cells > 2, "{cells} sequences are no test");
            assert!(
                chi < free + 2.0 * (12.0 * free).sqrt() + 24.0,
                "chi-square {chi} of {free} degrees of freedom under {sampling:?}, {speculative:?}"
            );
        }
    }
}

#[test]
fn a_completion_records_the_definitions_logprob_kept_mass_and_kept_tokens() {
    let decoder = tiny();
    for speculative in [Speculative::None, Speculative::Mtp] {
        for (sampling, bad_words) in cases() {
            let sampling = SamplingParams { max_new_tokens: 6, ..sampling };
            let stop = Stop::at(&[1]).without(bad_words.iter().map(|word| word.to_vec()).collect());
            let requests: Vec<Request> = (0..30)
                .map(|i| Request {
                    prompt_ids: vec![2, 3, (i % 4) as u32],
                    sampling,
                    stop: stop.clone(),
                    seed: Seed::new(4).index(i),
                })
                .collect();
            let engine = EngineConfig { speculative, record_kept: true, ..EngineConfig::default() };
            for completion in complete(&decoder, engine, &requests) {
                let drawn = completion.drawn_logprobs();
                assert_eq!(completion.kept.len(), if sampling.cuts() { completion.ids.len() } else { 0 });
                for (t, &id) in completion.ids.iter().enumerate() {
                    let before = &completion.ids[..t];
                    let (whole, cut) =
                        distribution(&decoder, &completion.prompt_ids, before, &sampling, &bad_words);
                    let logprob = whole[id as usize].ln() as f32;
                    assert!((completion.logprobs[t] - logprob).abs() < 1e-4, "{sampling:?}");
                    assert!((drawn[t] - cut[id as usize].ln() as f32).abs() < 1e-4, "{sampling:?}");
                    if sampling.cuts() {
                        let kept: Vec<u32> = (0..5).filter(|&id| cut[id as usize] > 0.0).collect();
                        assert_eq!(completion.kept.at(t), kept);
                    }
                }
            }
        }
    }
}

#[test]
fn shaped_requests_sample_the_same_alone_and_in_company() {
    for (name, speculative) in [("qwen3", Speculative::None), ("deepseek_v3_mtp", Speculative::Mtp)] {
        let decoder = decoder(name);
        let engine =
            EngineConfig { speculative, max_num_seqs: 6, record_kept: true, ..EngineConfig::default() };
        let sampling = SamplingParams {
            min_p: 0.02,
            repetition_penalty: 1.2,
            frequency_penalty: 0.3,
            max_new_tokens: 12,
            ..SamplingParams::default()
        };
        let is_open = |_: &[u32], ids: &[u32]| !ids.contains(&9);
        let stop = Stop::at(&[1])
            .without(vec![vec![7], vec![4, 5]])
            .after(&[8, 6])
            .thinking_within(ThinkingBudget::new(5, &[9, 3], is_open));
        let requests: Vec<Request> = requests(12)
            .into_iter()
            .map(|Asked { prompt_ids, seed }| Request { prompt_ids, sampling, stop: stop.clone(), seed })
            .collect();
        let company = complete(&decoder, engine, &requests);
        let mut closed = 0;
        for (request, in_company) in requests.iter().zip(&company) {
            let alone = complete(&decoder, engine, std::slice::from_ref(request)).remove(0);
            assert_eq!((&alone.ids, &alone.trained), (&in_company.ids, &in_company.trained), "{name}");
            assert_eq!(alone.kept, in_company.kept);
            let ids = &in_company.ids;
            assert!(ids.starts_with(&[8, 6]) && !ids.contains(&7), "{ids:?}");
            assert!(!ids.windows(2).any(|pair| pair == [4, 5]), "{ids:?}");
            let trained = in_company.trained.as_ref().expect("some were forced");
            let is_closed = ids.len() > 6 && ids[5..7] == [9, 3] && !ids[..5].contains(&9);
            closed += usize::from(is_closed);
            for (t, &trained) in trained.iter().enumerate() {
                let is_forced = t < 2 || (is_closed && (5..7).contains(&t));
                assert_eq!(trained, !is_forced, "{name}, token {t} of {ids:?}");
                if is_forced {
                    assert_eq!((in_company.logprobs[t], in_company.kept.at(t)), (0.0, &ids[t..=t]));
                }
            }
        }
        assert!(closed > 0, "no thought was closed");
    }
}

#[test]
fn what_is_kept_is_recorded_only_where_it_is_asked_for() {
    let decoder = decoder("qwen3");
    let sampling = SamplingParams { top_p: 0.8, max_new_tokens: 4, ..SamplingParams::default() };
    let options = Options { sampling, engine: EngineConfig::default(), eos_token_ids: vec![1] };
    let (completions, _) = run(&decoder, &requests(4), &options);
    assert!(
        completions.iter().all(|completion| completion.kept.is_empty() && !completion.kept_mass.is_empty())
    );
    let records = |record_kept| {
        LocalEngine::new(EngineConfig { record_kept, ..EngineConfig::default() }).records_kept()
    };
    assert!(records(true) && !records(false));
}
