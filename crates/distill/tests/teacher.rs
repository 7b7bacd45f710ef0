//! A teacher's logits and opinions at work: what is kept returns bit by bit, students come nearer to their teacher, and an
//! interrupted run goes on as if nothing had been.

use burn::module::Module;
use ruminate_data::{
    Completion, Epochs, FinishReason, Outcome, Problem, Prompt, Request, Sample, SamplingParams, Seed, Stop,
    Task, Verdict,
};
use ruminate_distill::Error;
use ruminate_distill::logits::{
    TeacherSample, TeacherTopK, TopKSpec, from_bytes, logit_loss, teacher_top, to_bytes,
};
use ruminate_distill::on_policy::{self, OnPolicyArgs, Teacher};
use ruminate_model::{Config as Architecture, Decoder, ParameterVisitor, load_config};
use ruminate_rollout::{Dtype, EngineConfig, GroupArgs, LocalEngine, Logprobs, ScriptedEngine};
use ruminate_testkit as testkit;
use ruminate_train::logprobs::score;
use ruminate_train::packing::Packed;
use ruminate_train::{Batch, Metrics, Observer, Scheduler, State, checkpoint, supervised};
use std::num::NonZeroUsize;
use std::ops::Range;

const VOCABULARY: usize = 40;

fn architecture() -> Architecture {
    load_config(&testkit::fixture_path("model/llama_tied")).expect("a fixture")
}

fn fresh(seed: u64) -> Decoder {
    Decoder::init(&architecture(), &mut Seed::new(seed).rng(), &testkit::autodiff_device())
}

/// A decoder with something to say: the fixture's, whose logits are not flat.
fn teacher() -> Decoder {
    ruminate_model::load(&testkit::fixture_path("model/llama_tied"), &testkit::device()).expect("a fixture")
}

fn samples() -> Vec<Sample> {
    (0..12_u32)
        .map(|i| {
            let completion: Vec<u32> = (0..=i % 5).map(|j| (7 * i + 3 * j) % VOCABULARY as u32).collect();
            Sample::completion_only(&[i, 20 + i, 3], &completion)
        })
        .collect()
}

fn config(max_steps: usize) -> supervised::Config {
    let train = ruminate_train::Config {
        learning_rate: 1e-2,
        lr_scheduler_type: Scheduler::Constant, // the same rates however long the run is
        ..Default::default()
    };
    supervised::Config { max_steps, batch_size: 8, row_length: 32, train, ..Default::default() }
}

/// Keeps what it hears, and saves into a folder.
struct Record<'a> {
    metrics: Vec<Metrics>,
    folder: Option<&'a std::path::Path>,
}

impl Observer for Record<'_> {
    fn step(&mut self, _: usize, metrics: &Metrics) {
        self.metrics.push(metrics.clone());
    }

    fn save(&mut self, state: &State) -> Result<(), ruminate_train::Error> {
        let Some(folder) = self.folder else { return Ok(()) };
        let companions = checkpoint::Companions { identity: &serde_json::json!({}), files: &[] };
        // The last step is saved as well.
        let keep_last = NonZeroUsize::new(2).expect("not zero");
        checkpoint::save(folder, state, companions, keep_last).map(drop)
    }
}

impl Record<'_> {
    fn values(&self, name: &str) -> Vec<f64> {
        self.metrics.iter().map(|metrics| metrics.get(name).unwrap_or_else(|| panic!("no {name}"))).collect()
    }
}

fn weights(decoder: &Decoder) -> Vec<f32> {
    struct All(Vec<f32>);
    impl ParameterVisitor for All {
        fn visit<const D: usize>(&mut self, _: &str, tensor: &burn::tensor::Tensor<D>, _: bool) {
            self.0.extend(testkit::floats(tensor.clone()));
        }
    }
    let mut all = All(Vec::new());
    decoder.visit_parameters(&mut all);
    all.0
}

fn run_logits(state: State, tops: &[TeacherTopK], beta: f64, max_steps: usize, record: &mut Record) -> State {
    let samples = samples();
    let mut epochs = Epochs::new(samples.len(), Seed::new(5)).expect("samples");
    let mut batches = |_: &State, indices: Range<u64>, _: &mut dyn Observer| {
        let taught = indices.map(|index| {
            let place = epochs.position(index);
            TeacherSample { sample: &samples[place], top: &tops[place] }
        });
        Ok(Batch::from(taught.collect::<Vec<_>>()))
    };
    let loss = |policy: &Decoder, hidden, packed: &Packed, items: &[&TeacherSample]| {
        logit_loss(policy, hidden, packed, items, beta, 1.0)
    };
    let mut config = config(max_steps);
    config.train.save_steps = 5;
    let check = &mut |_, _: &Metrics| Ok::<_, ruminate_train::Error>(());
    supervised::train_with_loss(state, &mut batches, &loss, check, &config, &ruminate_train::Alone, record)
        .expect("it trains")
}

#[test]
fn what_is_kept_of_a_teacher_returns_bit_by_bit_and_fits_its_samples_alone() {
    let (samples, kept) = (samples(), TopKSpec::new(6, 1.0, VOCABULARY, VOCABULARY));
    let tops = teacher_top(&teacher(), &samples, kept).expect("they fit");
    for (sample, top) in samples.iter().zip(&tops) {
        let places = sample.loss_mask.iter().filter(|trained| **trained).count();
        assert_eq!((top.ids.len(), top.logprobs.len(), top.rest.len()), (6 * places, 6 * places, places));
        for (row, rest) in top.logprobs.chunks(6).zip(&top.rest) {
            let sum: f32 = row.iter().chain([rest]).map(|x| x.exp()).sum();
            assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        }
    }
    let bytes = to_bytes(&tops, kept);
    assert_eq!(from_bytes(&bytes, &samples, kept).expect("just written"), tops);
    let fewer = from_bytes(&bytes, &samples[1..], kept).expect_err("another set");
    assert!(fewer.contains("tensor ids: expected U32"), "{fewer}");
    let narrow = TopKSpec { vocabulary: 3, ..kept };
    assert!(from_bytes(&bytes, &samples, narrow).expect_err("no such token").contains("is no token of 3"));
    assert!(from_bytes(&bytes[..20], &samples, kept).is_err());
    // What is computed beside a sample changes nothing but rounding.
    let alone = teacher_top(&teacher(), &samples[3..4], kept).expect("it fits").remove(0);
    assert_eq!(alone.ids, tops[3].ids);
    testkit::assert_close(&alone.logprobs, &tops[3].logprobs, 1e-5);
}

#[test]
fn a_padded_vocabulary_leaves_each_distribution_whole() {
    assert_eq!(TopKSpec::new(0, 1.0, 40, 40), TopKSpec { count: 40, vocabulary: 40, temperature: 1.0 });
    assert_eq!(TopKSpec::new(64, 1.0, 48, 40).count, 40);
    // The student's padding is a rest always: the teacher needs one, too.
    assert_eq!(TopKSpec::new(0, 1.0, 40, 48), TopKSpec { count: 39, vocabulary: 40, temperature: 1.0 });
    let kept = TopKSpec::new(0, 1.0, 40, 30);
    let tops = teacher_top(&teacher(), &[Sample::completion_only(&[1, 2], &[3])], kept).expect("it fits");
    let sum: f32 = tops[0].logprobs.iter().map(|x| x.exp()).sum();
    assert!((sum - 1.0).abs() < 1e-5 && tops[0].rest[0] == f32::NEG_INFINITY, "{sum}");
}

#[test]
fn a_student_of_logits_comes_near_its_teacher_by_every_divergence() {
    let samples = samples();
    for (top_k, beta) in [(6, 0.0), (6, 0.5), (6, 1.0), (0, 0.0), (0, 0.5)] {
        let kept = TopKSpec::new(top_k, 1.0, VOCABULARY, VOCABULARY);
        let tops = teacher_top(&teacher(), &samples, kept).expect("they fit");
        let config = config(60);
        let mut record = Record { metrics: Vec::new(), folder: None };
        run_logits(State::fresh(fresh(1), &config.train), &tops, beta, 60, &mut record);
        let losses = record.values("loss");
        let (first, last) = (losses[0], losses[59]);
        assert!(last < first / 4.0 && last >= -1e-6, "top {top_k}, beta {beta}: {first} to {last}");
        assert!(record.values("teacher_entropy")[0] > 0.0);
    }
    // It is its own teacher: nothing to learn.
    let kept = TopKSpec::new(6, 1.0, VOCABULARY, VOCABULARY);
    let tops = teacher_top(&fresh(1).valid(), &samples, kept).expect("they fit");
    let mut record = Record { metrics: Vec::new(), folder: None };
    run_logits(State::fresh(fresh(1), &config(1).train), &tops, 0.0, 1, &mut record);
    assert!(record.values("loss")[0].abs() < 1e-5, "{:?}", record.values("loss"));
}

#[test]
fn a_resumed_student_of_logits_equals_an_uninterrupted_one_bit_by_bit() {
    let kept = TopKSpec::new(6, 1.0, VOCABULARY, VOCABULARY);
    let tops = teacher_top(&teacher(), &samples(), kept).expect("they fit");
    let folder = tempfile::tempdir().expect("a folder");
    let (mut whole, mut rest) =
        (Record { metrics: vec![], folder: Some(folder.path()) }, Record { metrics: vec![], folder: None });
    let train = config(9).train;
    let uninterrupted = run_logits(State::fresh(fresh(1), &train), &tops, 0.5, 9, &mut whole);
    let resumed =
        checkpoint::load(&folder.path().join("checkpoints/step-000005"), &train, &testkit::device());
    let resumed = run_logits(resumed.expect("saved").state, &tops, 0.5, 9, &mut rest);
    assert_eq!(whole.values("loss")[5..], rest.values("loss"));
    assert_eq!(weights(&uninterrupted.policy), weights(&resumed.policy));
}

fn problem(index: u64) -> Problem {
    let columns = serde_json::Map::new();
    let task = Task { prompt: Prompt::Text(index.to_string()), answer: String::new(), columns };
    Problem { task, prompt_ids: vec![(index % 30) as u32, 5, 3] }
}

fn judge(_: &Task, _: &Completion) -> Verdict {
    let rewards = Vec::new();
    Verdict { outcome: Outcome::Wrong, score: 0.0, extracted: None, why: String::new(), rewards }
}

fn sampling() -> SamplingParams {
    SamplingParams { max_new_tokens: 6, ..SamplingParams::default() }
}

fn run_on_policy(state: State, max_steps: usize, record: &mut Record) -> Result<State, Error> {
    run_with_limit(state, max_steps, None, Dtype::Float32, record)
}

fn run_with_limit(
    state: State,
    max_steps: usize,
    max_mismatch_kl: Option<f64>,
    dtype: Dtype,
    record: &mut Record,
) -> Result<State, Error> {
    run_with_teacher(state, &teacher(), max_steps, max_mismatch_kl, dtype, record)
}

fn run_with_teacher(
    state: State,
    teacher: &dyn Teacher,
    max_steps: usize,
    max_mismatch_kl: Option<f64>,
    dtype: Dtype,
    record: &mut Record,
) -> Result<State, Error> {
    let (stop, seed) = (Stop::at(&[1]), Seed::new(7));
    let groups = GroupArgs { count: 2, sampling: sampling(), stop: &stop };
    let mut engine = LocalEngine::new(EngineConfig { dtype, ..EngineConfig::default() });
    let mut config = config(max_steps);
    config.batch_size = 32;
    config.train.save_steps = 5;
    let mut problems = |index| Ok(problem(index));
    let args = OnPolicyArgs { teacher, groups, seed, config: &config, max_mismatch_kl };
    on_policy::train(state, &mut engine, &mut problems, &judge, &args, record)
}

#[test]
fn a_student_on_its_own_way_comes_near_its_teacher() {
    let mut record = Record { metrics: Vec::new(), folder: None };
    let state = State::fresh(fresh(1), &config(60).train);
    run_on_policy(state, 60, &mut record).expect("it trains");
    let kl = record.values("reverse_kl");
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (first, last) = (mean(&kl[..5]), mean(&kl[55..]));
    assert!(last < 0.7 * first, "{first} to {last}");
    // On policy the ratio is 1: the loss is the estimate, and sampler and trainer agree.
    let loss = record.values("loss");
    assert!(loss.iter().zip(&kl).all(|(loss, kl)| (loss - kl).abs() < 1e-4), "{loss:?}, {kl:?}");
    assert!(record.values("sampling/mismatch_kl").iter().all(|kl| kl.abs() < 1e-6));
}

#[test]
fn a_mismatch_of_three_steps_above_the_limit_stops_a_student() {
    let fresh = || State::fresh(fresh(1), &config(6).train);
    let given = Some(1e-300);
    for (dtype, limit, steps) in [(Dtype::Float32, given, 3), (Dtype::Int8, None, 6), (Dtype::Int8, given, 3)]
    {
        let mut record = Record { metrics: Vec::new(), folder: None };
        let ended = run_with_limit(fresh(), 6, limit, dtype, &mut record);
        assert_eq!(record.metrics.len(), steps, "{dtype}");
        let raised = matches!(ended, Err(Error::Train(ruminate_train::Error::Mismatch { step: 3, .. })));
        assert_eq!(raised, limit.is_some(), "{dtype}");
    }
}

#[test]
fn a_student_learns_from_what_another_engine_wrote_in_its_place() {
    let (teacher, stop, seed) = (teacher(), Stop::at(&[1]), Seed::new(7));
    let groups = GroupArgs { count: 2, sampling: sampling(), stop: &stop };
    let student = fresh(1).valid();
    let written = [5_u32, 9];
    let mut engine = ScriptedEngine::new(Logprobs::Approximate, |_: usize, request: &Request| {
        let prompt_ids = request.prompt_ids.clone();
        let logprobs = score(&student, &[(&prompt_ids, &written)], 1.0, 1).expect("it scores").remove(0);
        let finish_reason = FinishReason::Length;
        Completion::new(prompt_ids, written.to_vec(), logprobs, finish_reason)
    });
    let mut config = config(12);
    config.batch_size = 32;
    let mut record = Record { metrics: Vec::new(), folder: None };
    let (mut problems, state) = (|index| Ok(problem(index)), State::fresh(fresh(1), &config.train));
    let max_mismatch_kl = Some(f64::INFINITY); // what was written once is of the first student
    let args = OnPolicyArgs { teacher: &teacher, groups, seed, config: &config, max_mismatch_kl };
    let state = on_policy::train(state, &mut engine, &mut problems, &judge, &args, &mut record);
    let after = state.expect("it trains").policy.valid();
    assert_eq!(engine.versions(), (0..12).collect::<Vec<_>>());
    assert!(record.values("completions/mean_length").iter().all(|&length| length == 2.0));
    // The first of the only two tokens that were written moves to where its teacher has it.
    let prompt = problem(0).prompt_ids;
    let of = |model: &Decoder| score(model, &[(&prompt, &written)], 1.0, 1).expect("it scores").remove(0);
    let (before, after, aim) = (of(&student), of(&after), of(&teacher));
    let [before, after, aim] = [before[0], after[0], aim[0]];
    assert!(
        (aim - before).abs() > 0.2 && (after - before) / (aim - before) > 0.2,
        "{before} -> {after}, teacher {aim}"
    );
}

/// A teacher elsewhere: it answers so often, and is gone then.
#[derive(Debug)]
struct Elsewhere {
    model: Decoder,
    answers: std::cell::Cell<usize>,
}

impl Teacher for Elsewhere {
    fn positions(&self) -> usize {
        self.model.positions()
    }

    fn score(&self, pairs: &[(&[u32], &[u32])], temperature: f64) -> Result<Vec<Vec<f32>>, Error> {
        let left = self.answers.get().checked_sub(1).ok_or(Error::Teacher("it is gone".to_owned()))?;
        self.answers.set(left);
        Teacher::score(&self.model, pairs, temperature)
    }
}

#[test]
fn a_teacher_elsewhere_teaches_the_same_and_one_that_is_gone_leaves_a_checkpoint() {
    let begin = || State::fresh(fresh(1), &config(8).train);
    let mut whole = Record { metrics: Vec::new(), folder: None };
    let expected = run_on_policy(begin(), 8, &mut whole).expect("it trains");

    let folder = tempfile::tempdir().expect("a folder");
    let elsewhere = Elsewhere { model: teacher(), answers: std::cell::Cell::new(3) };
    let mut record = Record { metrics: Vec::new(), folder: Some(folder.path()) };
    let ended = run_with_teacher(begin(), &elsewhere, 8, None, Dtype::Float32, &mut record);
    assert_eq!(ended.expect_err("it is gone").to_string(), "it is gone");

    elsewhere.answers.set(100);
    let saved = folder.path().join("checkpoints/step-000003");
    let saved = checkpoint::load(&saved, &config(8).train, &testkit::device()).expect("saved").state;
    let mut rest = Record { metrics: Vec::new(), folder: None };
    let state = run_with_teacher(saved, &elsewhere, 8, None, Dtype::Float32, &mut rest).expect("it trains");
    assert_eq!(weights(&state.policy), weights(&expected.policy));
}

#[test]
fn a_resumed_student_on_its_own_way_equals_an_uninterrupted_one_bit_by_bit() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut whole, mut rest) =
        (Record { metrics: vec![], folder: Some(folder.path()) }, Record { metrics: vec![], folder: None });
    let train = config(8).train;
    let uninterrupted = run_on_policy(State::fresh(fresh(1), &train), 8, &mut whole).expect("it trains");
    let resumed =
        checkpoint::load(&folder.path().join("checkpoints/step-000005"), &train, &testkit::device());
    let resumed = run_on_policy(resumed.expect("saved").state, 8, &mut rest).expect("it trains");
    for name in ["loss", "reverse_kl", "completions/mean_length"] {
        assert_eq!(whole.values(name)[5..], rest.values(name), "{name}");
    }
    assert_eq!(weights(&uninterrupted.policy), weights(&resumed.policy));
}

#[test]
fn sampling_that_is_not_the_students_own_is_refused_before_any_work() {
    let config = config(1);
    let with = |spoil: fn(&mut SamplingParams), num_samples| {
        let mut sampling = sampling();
        spoil(&mut sampling);
        on_policy::validate(&sampling, num_samples, &config)
    };
    assert!(with(|_| (), 2).is_ok());
    for (spoil, expected) in [
        ((|s| s.temperature = 0.0) as fn(&mut SamplingParams), "temperature"),
        (|s| s.top_p = 0.9, "top_p"),
        (|s| s.top_k = 5, "top_k"),
    ] {
        let refused = with(spoil, 2);
        assert!(matches!(refused, Err(Error::NotThePolicy { key }) if key == expected), "{refused:?}");
    }
    assert!(matches!(with(|_| (), 3), Err(Error::UnevenBatch { batch_size: 8, num_samples: 3 })));
}
