//! Learning under top-p, top-k, min-p, penalties and forbidden words: what is learned is the distribution that was drawn from,
//! compared with the sum over all sequences of a tiny policy.

mod common;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};
use common::weights;
use ruminate_data::{Completion, FinishReason, Problem, Request, SamplingParams, Seed, Stop, Task, Verdict};
use ruminate_grpo::loss::Tokens;
use ruminate_grpo::{Config, Error, RouterReplay, TrainerArgs, train};
use ruminate_model::{Batch, Config as Model, Decoder, ParameterVisitor, Routes};
use ruminate_rollout::{Dtype, Engine, EngineConfig, LocalEngine, Logprobs, ScriptedEngine};
use ruminate_testkit as testkit;
use ruminate_train::packing::{Continuation, ROW_LENGTH, pack_completions};
use ruminate_train::{Metrics, Observer, State, drawn_logprobs};

const VOCABULARY: usize = 6;
const PROMPT: [u32; 2] = [2, 3];

fn tiny() -> Decoder {
    let config = Model::from_json(&serde_json::json!({
        "model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 2, "num_attention_heads": 2, "eos_token_id": 1, "initializer_range": 0.4,
        "max_position_embeddings": 32,
    }))
    .expect("valid");
    Decoder::init(&config, &mut Seed::new(7).rng(), &testkit::autodiff_device())
}

fn cases() -> Vec<(SamplingParams, Stop)> {
    let base = SamplingParams { max_new_tokens: 3, ..SamplingParams::default() };
    let plain = Stop::at(&[1]);
    let words = plain.clone().without(vec![vec![4], vec![5, 3]]);
    let penalised =
        SamplingParams { repetition_penalty: 1.6, presence_penalty: 0.5, frequency_penalty: -0.3, ..base };
    vec![
        (base, plain.clone()),
        (SamplingParams { temperature: 0.8, top_p: 0.8, ..base }, plain.clone()),
        (SamplingParams { top_k: 3, ..base }, plain.clone()),
        (SamplingParams { min_p: 0.25, ..base }, plain.clone()),
        (penalised, plain),
        (SamplingParams { temperature: 1.3, top_p: 0.9, top_k: 4, min_p: 0.05, ..penalised }, words),
    ]
}

/// `[V]` after a sequence: scale and offset of each logit by the definitions of penalties and forbidden words. The sign of a
/// logit is a constant of the gradient.
fn changed(logits: &Tensor<1>, ids: &[u32], sampling: &SamplingParams, stop: &Stop) -> Tensor<1> {
    let values = testkit::floats(logits.clone());
    let (mut scales, mut offsets) = (vec![1.0_f32; VOCABULARY], vec![0.0_f32; VOCABULARY]);
    for id in 0..VOCABULARY as u32 {
        let (place, count) = (id as usize, ids.iter().filter(|&&written| written == id).count() as f64);
        if count > 0.0 || PROMPT.contains(&id) {
            let penalty = sampling.repetition_penalty as f32;
            scales[place] = if values[place] > 0.0 { 1.0 / penalty } else { penalty };
        }
        let presence = if count > 0.0 { sampling.presence_penalty } else { 0.0 };
        offsets[place] = (presence + sampling.frequency_penalty * count) as f32;
        if stop.bad_words().iter().any(|word| [ids, &[id]].concat().ends_with(word)) {
            offsets[place] = 1e30;
        }
    }
    let tensor = |values: &[f32]| Tensor::<1>::from_floats(values, &logits.device());
    (logits.clone() * tensor(&scales) - tensor(&offsets)).div_scalar(sampling.temperature)
}

/// `ln p` of the next token after a sequence, with its graph, and the kept set: by definition.
fn step(
    decoder: &Decoder,
    ids: &[u32],
    sampling: &SamplingParams,
    stop: &Stop,
) -> (Tensor<1>, Vec<u32>, Vec<f64>) {
    let whole = [&PROMPT[..], ids].concat();
    let hidden = decoder.forward(&Batch::from_rows(&[whole.as_slice()]), Routes::Choose).hidden;
    let last: Tensor<1> = decoder.logits(hidden).narrow(0, whole.len() - 1, 1).reshape([VOCABULARY]);
    let logits = changed(&last, ids, sampling, stop);
    let p: Vec<f64> =
        testkit::floats(log_softmax(logits.clone(), 0)).iter().map(|&x| f64::from(x).exp()).collect();
    let mut order: Vec<u32> = (0..VOCABULARY as u32).collect();
    order.sort_by(|&a, &b| p[b as usize].total_cmp(&p[a as usize]));
    if sampling.top_k > 0 {
        order.truncate(sampling.top_k);
    }
    let mass: f64 = order.iter().map(|&id| p[id as usize]).sum();
    let mut sum = 0.0;
    let reached = order.iter().position(|&id| {
        sum += p[id as usize] / mass;
        sum >= sampling.top_p - 1e-9
    });
    order.truncate(reached.map_or(order.len(), |last| last + 1));
    let best = p[order[0] as usize];
    order.retain(|&id| p[id as usize] >= sampling.min_p * best && p[id as usize] > 0.0);
    order.sort_unstable();
    let kept: Vec<i32> = order.iter().map(|&id| id as i32).collect();
    let kept = Tensor::<1, Int>::from_data(TensorData::new(kept, [order.len()]), &logits.device());
    (log_softmax(logits.select(0, kept), 0), order, p)
}

/// Every sequence that can be drawn, as the engine would hand it over, and its log-probability with its graph.
fn sequences(decoder: &Decoder, sampling: &SamplingParams, stop: &Stop) -> Vec<(Completion, Tensor<1>)> {
    let nothing = Completion::new(PROMPT.to_vec(), Vec::new(), Vec::new(), FinishReason::Length);
    let zero = Tensor::<1>::zeros([1], &testkit::autodiff_device());
    let (mut open, mut done) = (vec![(nothing, zero)], Vec::new());
    for _ in 0..sampling.max_new_tokens {
        for (before, sum) in std::mem::take(&mut open) {
            let (logprobs, kept, p) = step(decoder, &before.ids, sampling, stop);
            for (place, &id) in kept.iter().enumerate() {
                let mut completion = before.clone();
                completion.ids.push(id);
                completion.logprobs.push(p[id as usize].ln() as f32);
                if sampling.cuts() {
                    completion.kept.push(&kept);
                    completion.kept_mass.push(kept.iter().map(|&id| p[id as usize]).sum::<f64>() as f32);
                }
                let longer = (completion, sum.clone() + logprobs.clone().narrow(0, place, 1));
                if id == 1 { done.push(longer) } else { open.push(longer) }
            }
        }
    }
    done.extend(open);
    done
}

/// Any reward that differs from sequence to sequence.
fn reward(ids: &[u32]) -> f64 {
    ids.iter().enumerate().map(|(place, &id)| f64::from(id * id % 7) * (1.0 + place as f64)).sum::<f64>()
        - 5.0
}

fn gradients(decoder: &Decoder, loss: &Tensor<1>) -> Vec<f32> {
    struct All(burn::tensor::Gradients, Vec<f32>);
    impl ParameterVisitor for All {
        fn visit<const D: usize>(&mut self, _: &str, tensor: &Tensor<D>, _: bool) {
            self.1.extend(testkit::floats(tensor.grad(&self.0).expect("takes part in the loss")));
        }
    }
    let mut all = All(loss.backward(), Vec::new());
    decoder.visit_parameters(&mut all);
    all.1
}

/// The loss on all sequences, each weighted with its probability, has the gradient of minus the expected reward,
/// Σ_y π(y) R(y), of the distribution that is drawn from, differentiated as a whole.
#[test]
fn the_gradient_is_that_of_the_expected_reward_added_up_over_all_sequences() {
    for (sampling, stop) in cases() {
        let decoder = tiny();
        let all = sequences(&decoder, &sampling, &stop);
        let p: Vec<f64> =
            all.iter().map(|(_, logprob)| f64::from(testkit::floats(logprob.clone())[0]).exp()).collect();
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-5 && all.len() > 5, "{} sequences", all.len());
        let expected: Tensor<1> = all
            .iter()
            .map(|(completion, logprob)| logprob.clone().exp().mul_scalar(reward(&completion.ids)))
            .reduce(|a, b| a + b)
            .expect("some");
        let expected = gradients(&decoder, &expected.neg());

        let completions: Vec<&Completion> = all.iter().map(|(completion, _)| completion).collect();
        let packed = pack_completions(&Continuation::of_all(&completions), ROW_LENGTH);
        let hidden = decoder.forward(&packed.batch, Routes::Choose).hidden;
        let logprobs = drawn_logprobs(&decoder, hidden, &packed, &completions, &sampling, &stop).logprobs;
        let over = |value: &dyn Fn(usize) -> Vec<f32>| {
            packed.over_loss_places(&(0..all.len()).map(value).collect::<Vec<_>>())
        };
        let old = over(&|index| completions[index].drawn_logprobs());
        testkit::assert_close(&testkit::floats(logprobs.clone()), &old, 1e-4);
        let tokens = Tokens {
            old,
            advantages: over(&|i| vec![reward(&completions[i].ids) as f32; completions[i].ids.len()]),
            weights: over(&|i| vec![p[i] as f32; completions[i].ids.len()]),
            sequence: packed.over_loss_places(
                &(0..all.len()).map(|i| vec![i as u32; completions[i].ids.len()]).collect::<Vec<_>>(),
            ),
            ..Tokens::default()
        };
        let loss =
            Config::default().policy_loss(Logprobs::Exact).expect("valid").loss(logprobs, &tokens, 0.0);
        let found = gradients(&decoder, &loss.value);
        let largest = expected.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let difference = expected.iter().zip(&found).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(largest > 0.1 && difference < 2e-5 * largest, "{difference} of {largest} under {sampling:?}");

        // The whole softmax has another gradient: what is cut or penalised is no rounding.
        if !sampling.is_whole_distribution() {
            let hidden = decoder.forward(&packed.batch, Routes::Choose).hidden;
            let temperature = sampling.temperature;
            let whole =
                ruminate_train::logprobs::token_logprobs(&decoder, hidden, &packed, temperature).logprobs;
            let weight = Tensor::<1>::from_floats(
                tokens
                    .weights
                    .iter()
                    .zip(&tokens.advantages)
                    .map(|(w, a)| -w * a)
                    .collect::<Vec<_>>()
                    .as_slice(),
                &testkit::autodiff_device(),
            );
            let other = gradients(&decoder, &(whole * weight).sum());
            let apart = expected.iter().zip(&other).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(apart > 0.01 * largest, "{apart} of {largest} under {sampling:?}");
        }
    }
}

#[derive(Default)]
struct Log(Vec<Metrics>);

impl Observer for Log {
    fn step(&mut self, _: usize, metrics: &Metrics) {
        self.0.push(metrics.clone());
    }
}

fn evens(_: &Task, completion: &Completion) -> Verdict {
    let even = completion.ids.iter().filter(|id| *id % 2 == 0).count();
    Verdict::wrong(even as f64 / completion.ids.len() as f64)
}

fn run(
    policy: Decoder,
    config: &Config,
    sampling: SamplingParams,
    stop: &Stop,
    engine: &mut dyn Engine,
) -> (Result<State, Error>, Vec<Metrics>) {
    let optimizer = ruminate_train::Config { learning_rate: 1e-2, ..Default::default() };
    let setup = TrainerArgs {
        config,
        train: &optimizer,
        sampling,
        stop,
        alarms: &ruminate_train::alarms::Config::silent(),
        max_steps: 3,
        seed: Seed::new(5),
    };
    let mut log = Log::default();
    let mut problems = |index: u64| {
        Ok(Problem { task: Task::new("", ""), prompt_ids: vec![2, 3 + u32::from(index % 2 == 1)] })
    };
    let state = State::fresh(policy, &optimizer);
    (train(state, engine, &mut problems, &evens, &setup, &mut log), log.0)
}

#[test]
fn sampler_trainer_and_reference_agree_on_the_cut_policy() {
    let config = Config { num_generations: 8, prompts_per_step: 4, beta: 0.01, ..Config::default() };
    for (sampling, stop) in cases() {
        let sampling = SamplingParams { max_new_tokens: 6, ..sampling };
        let engine = EngineConfig { record_kept: true, ..EngineConfig::default() };
        let (state, rows) = run(tiny(), &config, sampling, &stop, &mut LocalEngine::new(engine));
        let state = state.expect("it trains");
        assert_ne!(weights(&state.policy), weights(&tiny()));
        for row in &rows {
            let get = |name: &str| row.get(name).unwrap_or_else(|| panic!("{name}"));
            assert!(get("sampling/mismatch_kl") < 1e-9, "{sampling:?}: {}", get("sampling/mismatch_kl"));
            assert!(get("sampling/logprob_diff_max") < 1e-4);
            assert_eq!(get("clip_ratio/region_mean"), 0.0, "one update: the ratio is 1");
            let kept = row.get("sampling/kept_mass");
            assert_eq!(kept.is_some(), sampling.cuts());
            assert!(kept.is_none_or(|kept| (0.2..1.0).contains(&kept)), "{kept:?}");
        }
        assert!(rows[0].get("kl").expect("a reference").abs() < 1e-7, "the reference is the policy at first");
        assert!(rows[2].get("kl").expect("a reference") > 0.0);
    }
}

#[test]
fn an_engine_that_does_not_say_what_it_kept_is_refused_and_any_that_does_is_learned_from() {
    // No ratio is clipped: what the engine says of its log-probabilities is made up.
    let config = Config { num_generations: 4, prompts_per_step: 2, epsilon: 10.0, ..Config::default() };
    let sampling = SamplingParams { top_p: 0.9, max_new_tokens: 2, ..SamplingParams::default() };
    let stop = Stop::at(&[1]);
    let answer = |number: usize, request: &Request, sets: bool| {
        let token = 3 + (number % 2) as u32;
        let mut completion =
            Completion::new(request.prompt_ids.clone(), vec![token], vec![-1.5], FinishReason::Length);
        if sets {
            completion.kept.push(&[4, 3]);
            completion.kept_mass = vec![0.5];
        }
        completion
    };
    let mut silent =
        ScriptedEngine::new(Logprobs::Approximate, |n, request: &Request| answer(n, request, true));
    let (refused, _) = run(tiny(), &config, sampling, &stop, &mut silent);
    let message = refused.expect_err("it does not record").to_string();
    assert!(message.contains("`rollout.top_p` is 0.9") && message.contains("expected 1"), "{message}");
    let (refused, _) = run(tiny(), &config, sampling, &stop, &mut LocalEngine::new(EngineConfig::default()));
    assert!(matches!(refused, Err(Error::CutUnseen { key: "top_p", .. })));

    let mut empty =
        ScriptedEngine::new(Logprobs::Approximate, |n, request: &Request| answer(n, request, false))
            .recording_kept();
    let (refused, _) = run(tiny(), &config, sampling, &stop, &mut empty);
    assert!(matches!(refused, Err(Error::KeptSet { .. })), "{:?}", refused.err());

    let mut telling =
        ScriptedEngine::new(Logprobs::Approximate, |n, request: &Request| answer(n, request, true))
            .recording_kept();
    let (state, rows) = run(tiny(), &config, sampling, &stop, &mut telling);
    assert!(state.is_ok() && rows.len() == 3);
    // Among two tokens the policy's own probability of each is p / (p + q).
    assert!(rows[0].get("grad_norm").is_some_and(|norm| norm > 0.0));
}

/// A mixture of experts whose sampler rounds: the trainer takes the sampler's experts, so that what it computes is another
/// loss than with its own router; where the sampler is exact, nothing changes.
#[test]
fn a_rounding_sampler_has_its_experts_replayed_by_default() {
    let policy = || {
        ruminate_model::load(&testkit::fixture_path("model/qwen3_moe"), &testkit::autodiff_device())
            .expect("the fixture loads")
    };
    let loss = |router_replay, dtype| {
        let config = Config { num_generations: 8, prompts_per_step: 4, router_replay, ..Config::default() };
        let sampling = SamplingParams { max_new_tokens: 8, ..SamplingParams::default() };
        let engine = EngineConfig { dtype, record_routing: true, ..EngineConfig::default() };
        let (state, rows) = run(policy(), &config, sampling, &Stop::at(&[1]), &mut LocalEngine::new(engine));
        let disagreement = rows[0].get("sampling/routing_disagreement").expect("recorded");
        (weights(&state.expect("it trains").policy), disagreement)
    };
    let [(auto, apart), (on, _), (off, _)] =
        [RouterReplay::Auto, RouterReplay::On, RouterReplay::Off].map(|mode| loss(mode, Dtype::Int8));
    assert!(apart > 0.0, "int8 changes the experts of some tokens");
    assert!(auto == on && auto != off);
    let [(auto, _), (off, _)] =
        [RouterReplay::Auto, RouterReplay::Off].map(|mode| loss(mode, Dtype::Float32));
    assert!(auto == off);
}
