//! GRPO by another engine than the one in this process: it learns from what it is given.

mod common;

use burn::module::Module;
use common::{policy, with_config};
use ruminate_data::{Completion, FinishReason, Problem, Request, Score, Task, Verdict};
use ruminate_grpo::{Config, Error, train};
use ruminate_model::Decoder;
use ruminate_rollout::{Engine, Error as Rollout, Logprobs, ScriptedEngine, SpeculationStats};
use ruminate_train::logprobs::score;
use ruminate_train::{Metrics, Observer, State, alarms};

const SEVEN: u32 = 7;

/// The log-probability of a token right after the prompt.
fn logprob(policy: &Decoder, prompt: &[u32], token: u32) -> f32 {
    score(policy, &[(prompt, &[token])], 1.0, 1).expect("it scores")[0][0]
}

#[derive(Default)]
struct Log(Vec<Metrics>);

impl Observer for Log {
    fn step(&mut self, _: usize, metrics: &Metrics) {
        self.0.push(metrics.clone());
    }
}

/// Ten steps in which half of the completions are a seven, which is right.
fn run(engine: &mut dyn Engine) -> (Result<State, Error>, Log) {
    let judge = |_: &Task, completion: &Completion| {
        if completion.ids == [SEVEN] { Verdict::correct(1.0) } else { Verdict::wrong(0.0) }
    };
    run_judged(engine, &judge)
}

fn run_judged(engine: &mut dyn Engine, judge: &(dyn Score + Sync)) -> (Result<State, Error>, Log) {
    let mut log = Log::default();
    let mut problems = |_| Ok(Problem { task: Task::new("", "7"), prompt_ids: vec![2, 3] });
    // What says so writes what another policy would, with the probabilities of the first one.
    let max_mismatch_kl = (engine.logprobs() == Logprobs::Approximate).then_some(f64::INFINITY);
    let config = Config { num_generations: 4, prompts_per_step: 2, max_mismatch_kl, ..Config::default() };
    let ended = with_config(&config, 10, &alarms::Config::silent(), |state, args| {
        train(state, engine, &mut problems, judge, args, &mut log)
    });
    (ended, log)
}

fn answer(request: &Request, token: u32, logprob: f32) -> Completion {
    assert_eq!((request.sampling.max_new_tokens, request.stop.token_ids()), (4, &[1][..]));
    Completion::new(request.prompt_ids.clone(), vec![token], vec![logprob], FinishReason::Length)
}

#[test]
fn a_policy_learns_from_an_engine_that_is_not_its_own() {
    let before = policy().valid();
    let [seven, nine] = [SEVEN, 9].map(|token| logprob(&before, &[2, 3], token));
    let mut engine = ScriptedEngine::new(Logprobs::Approximate, |number, request| {
        if number % 2 == 0 { answer(request, SEVEN, seven) } else { answer(request, 9, nine) }
    });
    let (state, log) = run(&mut engine);
    let after = state.expect("it trains").policy.valid();
    assert_eq!(engine.versions(), (0..10).collect::<Vec<_>>(), "new weights at every step");
    assert_eq!(log.0.len(), 10);
    assert!(log.0.iter().all(|row| row.get("reward") == Some(0.5)));
    let [now, other] = [SEVEN, 9].map(|token| logprob(&after, &[2, 3], token));
    assert!(now > seven + 0.1 && other < nine - 0.1, "{seven} -> {now}, {nine} -> {other}");
}

#[test]
fn log_probabilities_that_ought_to_be_exact_and_are_not_end_the_run() {
    let wrong = |logprobs| {
        ScriptedEngine::new(logprobs, |number: usize, request: &Request| {
            answer(request, if number.is_multiple_of(2) { SEVEN } else { 9 }, -0.1)
        })
    };
    let (ended, log) = run(&mut wrong(Logprobs::Exact));
    assert!(
        matches!(ended, Err(Error::Train(ruminate_train::Error::Mismatch { step: 3, .. }))),
        "{:?}",
        ended.err()
    );
    assert_eq!(log.0.len(), 3);
    assert!(run(&mut wrong(Logprobs::Approximate)).0.is_ok());
}

#[test]
fn what_fails_in_an_engine_ends_the_run_with_its_words() {
    struct Gone;
    impl Engine for Gone {
        fn load_weights(&mut self, _: &Decoder, version: u64) -> Result<(), Rollout> {
            if version == 2 {
                Err(Rollout::Engine { message: "the server has gone".to_owned() })
            } else {
                Ok(())
            }
        }

        fn generate(
            &mut self,
            requests: Vec<Request>,
            sink: &mut dyn ruminate_data::Sink,
        ) -> Result<SpeculationStats, Rollout> {
            ScriptedEngine::new(Logprobs::Approximate, |_: usize, request: &Request| answer(request, 9, -1.0))
                .generate(requests, sink)
        }

        fn logprobs(&self) -> Logprobs {
            Logprobs::Approximate
        }
    }
    let (ended, log) = run(&mut Gone);
    assert_eq!(ended.expect_err("it is gone").to_string(), "`rollout`: the server has gone");
    assert_eq!(log.0.len(), 2);
}

#[test]
fn tokens_that_the_policy_did_not_draw_are_read_and_teach_nothing() {
    // A call, the tool's answer of two tokens, and what the policy makes of it.
    let written = [[SEVEN, 20, 21, 5], [9, 20, 21, 6]];
    let before = policy().valid();
    let run_with = |masked: bool, of_tool: f32| {
        let mut engine = ScriptedEngine::new(Logprobs::Approximate, |number, request: &Request| {
            let ids = written[number % 2].to_vec();
            let prompt = request.prompt_ids.as_slice();
            let mut logprobs = score(&before, &[(prompt, &ids)], 1.0, 1).expect("it scores").remove(0);
            if masked {
                logprobs[1..3].fill(of_tool);
            }
            let mut completion = Completion::new(prompt.to_vec(), ids, logprobs, FinishReason::Length);
            completion.trained = masked.then(|| vec![true, false, false, true]);
            completion
        });
        let judge = |_: &Task, completion: &Completion| {
            if completion.ids[0] == SEVEN { Verdict::correct(1.0) } else { Verdict::wrong(0.0) }
        };
        let (state, log) = run_judged(&mut engine, &judge);
        (state.expect("it trains").policy.valid(), log)
    };
    let (masked, log) = run_with(true, -0.5);
    let row = &log.0[0];
    assert_eq!(
        (row.get("completions/mean_length"), row.get("sampling/absent_logprobs")),
        (Some(2.0), Some(0.0))
    );
    // Whatever the engine says of the tool's tokens, it is not looked at.
    let (same, _) = run_with(true, f32::NAN);
    let all = [2, 3, SEVEN, 20, 21, 5];
    let logprobs = |policy: &Decoder| score(policy, &[(&all[..1], &all[1..])], 1.0, 1).expect("it scores");
    assert_eq!(logprobs(&masked), logprobs(&same));
    let (whole, log) = run_with(false, 0.0);
    assert_eq!(log.0[0].get("completions/mean_length"), Some(4.0));
    assert_ne!(logprobs(&masked), logprobs(&whole));
    let of = |policy: &Decoder, token: usize| logprobs(policy)[0][token];
    assert!(of(&masked, 1) > of(&before, 1), "the first token is learned");
}
