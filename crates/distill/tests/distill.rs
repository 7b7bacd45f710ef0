//! Teacher to student on token ids: what is sampled depends on the seed alone, and what is kept is what is learned.

use ruminate_data::{Completion, Group, Outcome, Prompt, SamplingParams, Seed, Stop, Task, Verdict};
use ruminate_distill::{Config, Error, SamplingArgs, sample_traces, select, source};
use ruminate_model::{Config as Architecture, Decoder, load_config};
use ruminate_rollout::{self as rollout, EngineConfig, LocalEngine};
use ruminate_testkit as testkit;
use ruminate_train::{Observer, State, logprobs, supervised};
use std::ops::ControlFlow;

/// Token that ends a completion.
const END: u32 = 1;

fn architecture() -> Architecture {
    load_config(&testkit::fixture_path("model/llama_tied")).expect("a fixture")
}

fn fresh(seed: u64) -> Decoder {
    Decoder::init(&architecture(), &mut Seed::new(seed).rng(), &testkit::autodiff_device())
}

fn task(name: u32) -> Task {
    let columns = serde_json::Map::new();
    Task { prompt: Prompt::Text(name.to_string()), answer: String::new(), columns }
}

/// Right is a completion of at least two tokens that are all even, before it ends.
fn score(_: &Task, completion: &Completion) -> Verdict {
    let (_, said) = completion.ids.split_last().expect("a completion has a token");
    let right = said.len() > 1 && said.iter().all(|id| id.is_multiple_of(2));
    let outcome = if right { Outcome::Correct } else { Outcome::Wrong };
    let rewards = vec![("format".to_owned(), 1.0)];
    Verdict { outcome, score: f64::from(u8::from(right)), extracted: None, why: String::new(), rewards }
}

fn sampling() -> SamplingParams {
    SamplingParams { max_new_tokens: 8, ..SamplingParams::default() }
}

/// A fresh model's tokens are about equally likely; a quarter of them end.
fn stop() -> Stop {
    Stop::at(&(END..40).step_by(4).collect::<Vec<u32>>())
}

fn engine(max_num_seqs: usize) -> LocalEngine {
    LocalEngine::new(EngineConfig { max_num_seqs, ..EngineConfig::default() })
}

fn groups(teacher: &Decoder, prompts: &[Vec<u32>], max_num_seqs: usize) -> Result<Vec<Group>, Error> {
    groups_of(teacher, prompts, sampling(), max_num_seqs)
}

fn groups_of(
    teacher: &Decoder,
    prompts: &[Vec<u32>],
    sampling: SamplingParams,
    max_num_seqs: usize,
) -> Result<Vec<Group>, Error> {
    let tasks: Vec<Task> = (0..prompts.len() as u32).map(task).collect();
    let problems: Vec<(&Task, &[u32])> = tasks.iter().zip(prompts.iter().map(Vec::as_slice)).collect();
    let seed = Seed::new(7).child("distill");
    let setup = SamplingArgs { teacher, sampling, stop: &stop(), num_samples: 4, seed };
    let go_on = &mut |_, _, _: &Completion| ControlFlow::Continue(());
    sample_traces(&setup, &mut engine(max_num_seqs), &problems, Vec::new(), &score, go_on)
}

fn prompts() -> Vec<Vec<u32>> {
    (0..16).map(|i| vec![20 + i, 5, i]).collect()
}

#[test]
fn a_completion_depends_on_its_seed_and_not_on_what_is_sampled_beside_it() {
    let teacher = fresh(0);
    let ids = |groups: &[Group]| -> Vec<Vec<u32>> {
        groups.iter().flat_map(|group| group.completions.iter().map(|c| c.ids.clone())).collect()
    };
    let all = groups(&teacher, &prompts(), 64).expect("sampled");
    assert_eq!(all.len(), 16);
    assert!(all.iter().enumerate().all(|(i, group)| group.task == i && group.completions.len() == 4));
    assert!(all.iter().zip(prompts()).all(|(group, prompt)| group.completions[3].prompt_ids == prompt));
    let narrow = groups(&teacher, &prompts(), 3).expect("sampled");
    assert_eq!(ids(&narrow), ids(&all));
    let few = groups(&teacher, &prompts()[..5], 64).expect("sampled");
    assert_eq!(ids(&few), ids(&all[..5]));
}

#[test]
fn a_caller_can_stop_and_learns_how_far_it_got() {
    let teacher = fresh(0);
    let (task, stop, seed) = (task(0), stop(), Seed::new(0));
    let setup = SamplingArgs { teacher: &teacher, sampling: sampling(), stop: &stop, num_samples: 5, seed };
    let mut left = 2;
    let problems = [(&task, &[3, 4][..])];
    let stopped = sample_traces(&setup, &mut engine(1), &problems, Vec::new(), &score, &mut |_, _, _| {
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(
        matches!(stopped, Err(Error::Rollout(rollout::Error::Stopped { finished: 2, requested: 5 }))),
        "{stopped:?}"
    );
}

#[test]
fn what_is_known_is_not_sampled_again_and_changes_nothing_else() {
    let (teacher, tasks) = (fresh(0), [task(0), task(1)]);
    let problems = [(&tasks[0], &[20, 5, 0][..]), (&tasks[1], &[21, 5, 1])];
    let (stop, seed) = (stop(), Seed::new(7));
    let setup = SamplingArgs { teacher: &teacher, sampling: sampling(), stop: &stop, num_samples: 4, seed };
    let mut sampled = Vec::new();
    let mut go = |known| {
        sampled.clear();
        let mut engine = engine(64);
        let groups =
            sample_traces(&setup, &mut engine, &problems, known, &score, &mut |problem, sample, _| {
                sampled.push((problem, sample));
                ControlFlow::Continue(())
            });
        sampled.sort_unstable();
        let groups: Vec<Vec<Completion>> =
            groups.expect("sampled").into_iter().map(|group| group.completions).collect();
        (groups, sampled.clone())
    };
    let (whole, all) = go(Vec::new());
    assert_eq!(all.len(), 8);
    let known = |kept: &[(usize, usize)]| -> Vec<Vec<Option<Completion>>> {
        let of = |problem: usize, group: &[Completion]| {
            let place =
                |(sample, one): (usize, &Completion)| kept.contains(&(problem, sample)).then(|| one.clone());
            group.iter().enumerate().map(place).collect()
        };
        whole.iter().enumerate().map(|(problem, group)| of(problem, group)).collect()
    };
    let (rest, missing) = go(known(&all[..3]));
    assert_eq!((rest, missing), (whole.clone(), all[3..].to_vec()));
    assert_eq!(go(known(&all)), (whole.clone(), Vec::new()));
}

#[test]
fn prompts_that_cannot_be_are_refused_before_sampling() {
    let teacher = fresh(0);
    let empty = groups(&teacher, &[vec![3], vec![]], 4);
    assert!(matches!(empty, Err(Error::EmptyPrompt { problem: 1 })), "{empty:?}");
    let long = groups(&teacher, &[vec![3; 57]], 4);
    assert!(matches!(long, Err(Error::TooLong { problem: 0, length: 57, positions: 64, .. })), "{long:?}");
    let cold = SamplingParams { temperature: f64::NAN, ..sampling() };
    assert!(matches!(groups_of(&teacher, &[vec![3]], cold, 4), Err(Error::Sampling(_))));
}

struct Silent;

impl Observer for Silent {}

#[test]
fn a_student_learns_what_its_teacher_got_right() {
    let groups = groups(&fresh(0), &prompts(), 64).expect("sampled");
    let selection = select(&groups, &Config::default());
    let report = selection.report;
    assert!(report.kept >= 4, "{report:?}");
    assert!(report.wrong > 0, "{report:?}");
    let samples = selection.samples();

    let mut config =
        supervised::Config { max_steps: 60, batch_size: 8, row_length: 32, ..Default::default() };
    config.train.learning_rate = 1e-2;
    let mut source = source(&samples, Seed::new(1)).expect("samples");
    let student = State::fresh(fresh(1), &config.train);
    let mean = |policy: &Decoder| -> f32 {
        let pairs: Vec<(&[u32], &[u32])> = selection
            .traces
            .iter()
            .map(|trace| (trace.completion.prompt_ids.as_slice(), trace.completion.ids.as_slice()))
            .collect();
        let scores = logprobs::score(policy, &pairs, 1.0, 4).expect("they fit");
        let all: Vec<f32> = scores.concat();
        all.iter().sum::<f32>() / all.len() as f32
    };
    let before = mean(&student.policy);
    let trained = supervised::train(student, &mut source, &config, &mut Silent).expect("trained");
    let after = mean(&trained.policy);
    assert!(before < -3.0 && after > -1.0, "ln p a token of the traces: {before} before, {after} after");
    assert_eq!(trained.cursor, 60 * 8);
}
