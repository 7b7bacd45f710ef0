//! GRPO on a tiny mixture of experts: its metamorphic properties, its gradient, and that it learns.

mod common;

use burn::module::Module;
use burn::tensor::Tensor;
use common::weights;
use ruminate_data::{
    Completion, FinishReason, Group, Outcome, Problem, Prompt, SamplingParams, Score, Seed, Stop, Task,
    Verdict,
};
use ruminate_grpo::loss::Tokens;
use ruminate_grpo::{Aggregation, Config, Error, RouterReplay, TrainerArgs, train};
use ruminate_model::{Batch, Config as Model, Decoder, ParameterMapper, Routes, lora};
use ruminate_rollout::{
    Dtype, EngineConfig, GroupArgs, LocalEngine, Logprobs, Speculative, generate_grouped,
};
use ruminate_testkit as testkit;
use ruminate_train::logprobs::token_logprobs;
use ruminate_train::packing::{Sequence, one_a_row};
use ruminate_train::{Metrics, Observer, State};
use std::ops::ControlFlow;
use std::path::Path;

fn tiny(seed: u64) -> Decoder {
    with_modules(seed, 0)
}

fn with_modules(seed: u64, module: usize) -> Decoder {
    let config = Model::from_json(&serde_json::json!({
        "model_type": "deepseek_v3", "vocab_size": 12, "hidden_size": 16, "intermediate_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 2, "q_lora_rank": null, "kv_lora_rank": 8,
        "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "n_routed_experts": 4,
        "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
        "first_k_dense_replace": 1, "eos_token_id": 1, "initializer_range": 0.3,
        "num_nextn_predict_layers": module, "n_group": 1, "topk_group": 1, "routed_scaling_factor": 1.0,
    }));
    Decoder::init(
        &config.expect("a valid architecture"),
        &mut Seed::new(seed).rng(),
        &testkit::autodiff_device(),
    )
}

fn task() -> Task {
    Task { prompt: Prompt::Text(String::new()), answer: String::new(), columns: serde_json::Map::new() }
}

fn problem(index: u64) -> Problem {
    Problem { task: task(), prompt_ids: vec![2, 3 + (index % 4) as u32] }
}

/// Rewards the share of 7s in a completion.
fn share_of_sevens(_: &Task, completion: &Completion) -> Verdict {
    let sevens = completion.ids.iter().filter(|&&id| id == 7).count();
    let score = sevens as f64 / completion.ids.len() as f64;
    let outcome = if score > 0.5 { Outcome::Correct } else { Outcome::Wrong };
    let rewards = vec![("sevens".to_owned(), score)];
    Verdict { outcome, score, extracted: None, why: String::new(), rewards }
}

#[derive(Default)]
struct Log {
    rows: Vec<Metrics>,
    groups: Vec<Group>,
    advantages: Vec<Vec<f64>>,
}

impl Observer for Log {
    fn step(&mut self, _: usize, metrics: &Metrics) {
        self.rows.push(metrics.clone());
    }

    fn groups(&mut self, _: usize, groups: &[Group], advantages: &[Vec<f64>]) {
        self.groups = groups.to_vec();
        self.advantages = advantages.to_vec();
    }
}

struct Run {
    policy: Decoder,
    config: Config,
    learning_rate: f64,
    steps: usize,
    engine: EngineConfig,
}

impl Default for Run {
    fn default() -> Self {
        let config =
            Config { num_generations: 8, prompts_per_step: 8, micro_batch_size: 24, ..Config::default() };
        let engine = EngineConfig { record_routing: true, ..EngineConfig::default() };
        Self { policy: tiny(3), config, learning_rate: 1e-2, steps: 1, engine }
    }
}

impl Run {
    fn go(&self, score: &(dyn Score + Sync)) -> (State, Log) {
        let mut log = Log::default();
        let state = self.attempt(score, &mut log).expect("it trains");
        (state, log)
    }

    fn attempt(&self, score: &(dyn Score + Sync), log: &mut Log) -> Result<State, Error> {
        let optimizer = ruminate_train::Config {
            learning_rate: self.learning_rate,
            lr_scheduler_type: ruminate_train::Scheduler::Constant,
            ..Default::default()
        };
        let setup = TrainerArgs {
            config: &self.config,
            train: &optimizer,
            sampling: sampling(),
            stop: &Stop::at(&[1]),
            alarms: &ruminate_train::alarms::Config::default(),
            max_steps: self.steps,
            seed: Seed::new(5),
        };
        let state = State::fresh(self.policy.clone(), &optimizer);
        let mut engine = LocalEngine::new(self.engine);
        let mut problems = |index| Ok(problem(index));
        train(state, &mut engine, &mut problems, score, &setup, log)
    }
}

fn sampling() -> SamplingParams {
    SamplingParams { max_new_tokens: 8, ..SamplingParams::default() }
}

/// Weights in which two decoders differ.
fn moved(a: &Decoder, b: &Decoder) -> usize {
    let (a, b) = (weights(a), weights(b));
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).filter(|(a, b)| *a != b).count()
}

#[test]
fn reward_rises_and_the_log_explains_it() {
    let (_, log) = Run { steps: 25, ..Run::default() }.go(&share_of_sevens);
    let reward = |row: &Metrics| row.get("reward").expect("a reward");
    let (first, last) = (reward(&log.rows[0]), reward(&log.rows[24]));
    assert!(first < 0.3 && last > 0.8, "reward {first:.2} -> {last:.2}");
    for row in &log.rows {
        assert_eq!(row.get("reward"), row.get("rewards/sevens/mean"));
        assert!(row.get("sampling/mismatch_kl").expect("measured every step") < 1e-6);
        assert!(row.get("sampling/logprob_diff_max").expect("measured every step") < 1e-3);
        assert!(row.get("moe/load_max").is_some());
    }
}

#[test]
fn a_sampler_that_rounds_is_measured_and_learnt_from_not_stopped() {
    for dtype in [Dtype::Bfloat16, Dtype::Int8] {
        let (_, log) =
            Run { steps: 25, engine: EngineConfig { dtype, ..Run::default().engine }, ..Run::default() }
                .go(&share_of_sevens);
        let of = |row: usize, key: &str| log.rows[row].get(key).expect(key);
        assert!(of(24, "reward") > of(0, "reward") + 0.4, "{dtype}");
        for row in 0..25 {
            let kl = of(row, "sampling/mismatch_kl");
            assert!(kl > 1e-15 && kl < 1e-2, "{dtype}: {kl}");
        }
    }
}

#[test]
fn a_limit_of_the_recipe_counts_for_a_sampler_that_rounds_too() {
    let config = Config { max_mismatch_kl: Some(1e-15), ..Run::default().config };
    let engine = EngineConfig { dtype: Dtype::Int8, ..Run::default().engine };
    let run = Run { config, steps: 25, engine, ..Run::default() };
    let ended = run.attempt(&share_of_sevens, &mut Log::default()).map(|_| ());
    assert!(
        matches!(ended, Err(Error::Train(ruminate_train::Error::Mismatch { step: 3, .. }))),
        "three steps, then the end: {ended:?}"
    );
}

#[test]
fn groups_judged_while_others_are_sampled_are_those_of_sampling_first_and_judging_then() {
    let run = Run { engine: EngineConfig { max_num_seqs: 5, ..Run::default().engine }, ..Run::default() };
    let (_, log) = run.go(&InParts);
    let prompts: Vec<Vec<u32>> = (0..8).map(|index| problem(index).prompt_ids).collect();
    let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
    let seed = Seed::new(5).child("rollout").index(0);
    let seed_of = |problem: usize| seed.index(problem as u64);
    let policy = run.policy.valid();
    let mut engine = LocalEngine::of(&policy, run.engine).expect("it guesses nothing");
    let args = GroupArgs { count: 8, sampling: sampling(), stop: &Stop::at(&[1]) };
    let sampled = generate_grouped(&mut engine, &prompts, args, seed_of, || ControlFlow::Continue(()));
    let sampled = sampled.expect("it is not stopped");
    let task = task();
    let written: Vec<(&Task, &[Completion])> =
        sampled.iter().map(|completions| (&task, completions.as_slice())).collect();
    let verdicts = InParts.score(&written);
    assert_eq!(log.groups.len(), 8);
    for (index, group) in log.groups.iter().enumerate() {
        assert_eq!((group.task, &group.completions), (index, &sampled[index]));
        assert_eq!(group.verdicts, verdicts[index]);
    }
}

#[test]
fn guessing_ahead_agrees_with_the_trainer_and_learns() {
    let (policy, speculative) = (with_modules(3, 1), Speculative::Mtp);
    let engine = EngineConfig { speculative, ..Run::default().engine };
    let (_, log) = Run { policy, engine, steps: 25, ..Run::default() }.go(&share_of_sevens);
    let of = |row: usize, key: &str| log.rows[row].get(key).expect(key);
    assert!(of(24, "reward") > of(0, "reward") + 0.4);
    for row in 0..25 {
        assert!(of(row, "sampling/mismatch_kl") < 1e-6);
        assert!((0.05..=1.0).contains(&of(row, "sampling/acceptance")));
    }
    let (_, log) = Run::default().go(&share_of_sevens);
    assert_eq!(log.rows[0].get("sampling/acceptance"), None, "nobody has guessed");
}

#[test]
fn equal_rewards_leave_the_policy_as_it_was() {
    let same = |_: &Task, _: &Completion| Verdict { score: 0.1, ..share_of_sevens(&task(), &completion()) };
    let (state, log) = Run::default().go(&same);
    assert!(log.advantages.concat().iter().all(|&advantage| advantage == 0.0));
    assert_eq!(log.rows[0].get("frac_reward_zero_std"), Some(1.0));
    assert_eq!(moved(&state.policy, &tiny(3)), 0);
}

/// A sum that says nothing over a part that does.
struct InParts;

impl Score for InParts {
    fn score(&self, groups: &[(&Task, &[Completion])]) -> Vec<Vec<Verdict>> {
        let verdict = |task: &Task, completion: &Completion| Verdict {
            score: 0.0,
            ..share_of_sevens(task, completion)
        };
        groups.iter().map(|(task, group)| group.iter().map(|one| verdict(task, one)).collect()).collect()
    }

    fn weights(&self) -> Vec<(String, f64)> {
        vec![("sevens".to_owned(), 2.0), ("not_reported".to_owned(), 0.0)]
    }
}

#[test]
fn parts_are_normalised_before_they_are_summed_where_the_recipe_says_so() {
    let (state, _) = Run::default().go(&InParts);
    assert_eq!(moved(&state.policy, &tiny(3)), 0, "the sums are equal");
    let config =
        Config { multi_objective_aggregation: Aggregation::NormalizeThenSum, ..Run::default().config };
    let (state, log) = Run { config, ..Run::default() }.go(&InParts);
    assert!(moved(&state.policy, &tiny(3)) > 0);
    let best = |group: &Group| {
        group.verdicts.iter().filter_map(|verdict| verdict.reward("sevens")).fold(0.0, f64::max)
    };
    for (group, advantages) in log.groups.iter().zip(&log.advantages) {
        for (verdict, advantage) in group.verdicts.iter().zip(advantages) {
            assert!(verdict.reward("sevens") < Some(best(group)) || *advantage >= 0.0, "{advantages:?}");
        }
    }
}

#[test]
fn unscored_completions_are_counted_and_teach_nothing() {
    let unscored = |task: &Task, completion: &Completion| Verdict {
        outcome: Outcome::Unscored,
        score: 0.0,
        ..share_of_sevens(task, completion)
    };
    let (state, log) = Run::default().go(&unscored);
    assert_eq!(log.rows[0].get("unscored"), Some(64.0));
    assert_eq!(moved(&state.policy, &tiny(3)), 0);
}

#[test]
fn microbatches_and_replay_change_nothing_on_policy() {
    let base = Run::default();
    let whole = base.go(&share_of_sevens).0;
    let split = Run { config: Config { micro_batch_size: 5, ..base.config.clone() }, ..Run::default() };
    let replayed =
        Run { config: Config { router_replay: RouterReplay::On, ..base.config.clone() }, ..Run::default() };
    for other in [split, replayed] {
        let other = other.go(&share_of_sevens).0;
        // One Adam step of 1e-2: equal gradients up to rounding give equal weights but where they are near 0.
        let (a, b) = (weights(&whole.policy), weights(&other.policy));
        let close = a.iter().zip(&b).filter(|(a, b)| (*a - *b).abs() < 1e-4).count();
        assert!(close as f64 > 0.995 * a.len() as f64, "{close} of {}", a.len());
    }
}

#[test]
fn a_reference_that_is_the_policy_has_no_divergence_at_first() {
    let run = Run { config: Config { beta: 0.1, ..Run::default().config }, steps: 3, ..Run::default() };
    let (state, log) = run.go(&share_of_sevens);
    assert!(log.rows[0].get("kl").expect("kl").abs() < 1e-8);
    assert!(log.rows[2].get("kl").expect("kl") > 1e-5, "the policy has moved away");
    assert!(state.models.contains_key("reference"));
}

#[test]
fn under_adapters_the_reference_is_the_base_with_them_off_and_no_copy() {
    let recipe = lora::Config { r: 4, ..lora::Config::default() };
    let base = tiny(3);
    let policy = base
        .clone()
        .with_adapters(&recipe, Path::new("base"), &mut Seed::new(1).rng())
        .expect("all linear maps");
    let config = Config { beta: 0.1, ..Run::default().config };
    let (state, log) = Run { policy, config, steps: 3, ..Run::default() }.go(&share_of_sevens);
    assert!(state.models.is_empty());
    let kl = |step: usize| log.rows[step].get("kl").expect("measured");
    assert!(kl(0).abs() < 1e-9 && kl(1) > 1e-6 && kl(2) > kl(1), "{} {} {}", kl(0), kl(1), kl(2));
    assert_eq!(moved(&state.policy.without_adapters(), &base), 0, "the base keeps every bit");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run =
        || Run { steps: 3, config: Config { num_minibatches: 2, ..Run::default().config }, ..Run::default() };
    let (first, second) = (run().go(&share_of_sevens), run().go(&share_of_sevens));
    assert_eq!(moved(&first.0.policy, &second.0.policy), 0);
    let timeless = |log: &Log| {
        let keep = |row: &Metrics| -> Vec<(String, f64)> {
            row.iter()
                .filter(|(name, _)| !name.ends_with("_time_s"))
                .map(|(n, v)| (n.to_owned(), v))
                .collect()
        };
        log.rows.iter().map(keep).collect::<Vec<_>>()
    };
    assert_eq!(timeless(&first.1), timeless(&second.1));
}

fn completion() -> Completion {
    Completion::new(vec![2, 3], vec![7, 4, 9, 7, 1], vec![-2.0, -1.5, -2.5, -1.0, -3.0], FinishReason::Stop)
}

/// The GRPO loss of one completion under the tiny model, as a function of its weights.
fn tiny_loss(decoder: &Decoder, replay: &[Vec<u16>]) -> Tensor<1> {
    let completion = completion();
    let sample = ruminate_data::Sample::completion_only(&completion.prompt_ids, &completion.ids);
    let packed = one_a_row(&[Sequence::from(&sample)]);
    let hidden = decoder.forward(&packed.batch, Routes::Replay(replay)).hidden;
    let logprobs = token_logprobs(decoder, hidden, &packed, 1.0).logprobs;
    let tokens = Tokens {
        // Ratios near 1, within the clip, so that the loss is smooth there.
        old: testkit::floats(logprobs.clone().detach().inner())
            .iter()
            .map(|logprob| logprob - 0.05)
            .collect(),
        reference: completion.logprobs,
        advantages: vec![0.7; 5],
        weights: vec![0.2; 5],
        sequence: vec![0; 5],
        ..Tokens::default()
    };
    OLD.with(|old| {
        let mut old = old.borrow_mut();
        let tokens = Tokens { old: old.get_or_insert(tokens.old.clone()).clone(), ..tokens };
        let loss = Config::default().policy_loss(Logprobs::Exact).expect("valid");
        loss.loss(logprobs, &tokens, 0.1).value
    })
}

thread_local! {
    /// The sampler's log-probabilities, fixed at the unperturbed weights.
    static OLD: std::cell::RefCell<Option<Vec<f32>>> = const { std::cell::RefCell::new(None) };
}

#[test]
fn the_gradient_through_a_tiny_model_equals_finite_differences() {
    struct Nudge {
        direction: Vec<f32>,
        step: f32,
        seen: usize,
    }
    impl ParameterMapper for Nudge {
        fn map<const D: usize>(&mut self, _: &str, tensor: Tensor<D>) -> Tensor<D> {
            let shape = tensor.dims();
            let count = shape.iter().product::<usize>();
            let part = &self.direction[self.seen..self.seen + count];
            self.seen += count;
            let nudge = Tensor::<1>::from_floats(part, &tensor.device()).reshape(shape).mul_scalar(self.step);
            tensor + nudge
        }
    }
    struct Directional<'a> {
        direction: &'a [f32],
        gradients: burn::tensor::Gradients,
        seen: usize,
        sum: f64,
    }
    impl ruminate_model::ParameterVisitor for Directional<'_> {
        fn visit<const D: usize>(&mut self, _: &str, tensor: &Tensor<D>, _: bool) {
            let count = tensor.dims().iter().product::<usize>();
            let part = &self.direction[self.seen..self.seen + count];
            self.seen += count;
            let Some(gradient) = tensor.grad(&self.gradients) else { return };
            let products = testkit::floats(gradient).into_iter().zip(part);
            self.sum += products.map(|(g, &d)| f64::from(g) * f64::from(d)).sum::<f64>();
        }
    }

    let decoder = tiny(9);
    let completion = completion();
    let whole = [completion.prompt_ids.as_slice(), &completion.ids].concat();
    // The router's choice is held: it is not differentiable.
    let output = decoder.forward(&Batch::from_rows(&[whole]), Routes::Choose);
    let replay: Vec<Vec<u16>> = output.routing.into_iter().map(|layer| layer.experts).collect();
    let value = tiny_loss(&decoder, &replay);

    let count = weights(&decoder).len();
    let mut rng = Seed::new(1).rng();
    let direction: Vec<f32> =
        (0..count).map(|_| rand::RngExt::random_range(&mut rng, -1.0_f32..1.0)).collect();
    let gradients = value.backward();
    let mut along = Directional { direction: &direction, gradients, seen: 0, sum: 0.0 };
    decoder.visit_parameters(&mut along);

    let at = |step: f32| {
        let nudged =
            decoder.clone().map_parameters(&mut Nudge { direction: direction.clone(), step, seen: 0 });
        f64::from(tiny_loss(&nudged, &replay).into_scalar::<f32>())
    };
    let step = 2e-3_f32;
    let numeric = (at(step) - at(-step)) / (2.0 * f64::from(step));
    let relative = (along.sum - numeric).abs() / numeric.abs().max(1e-6);
    assert!(relative < 2e-2, "backward {} against finite difference {numeric}", along.sum);
}
