//! Gradients that wait, and those of several processes: a step takes their sum.

mod common;

use burn::tensor::Tensor;
use common::decoder;
use ruminate_data::Sample;
use ruminate_model::{Decoder, ParameterVisitor, Routes};
use ruminate_testkit as testkit;
use ruminate_train::logprobs::token_logprobs;
use ruminate_train::packing::{Packed, Sequence, one_a_row};
use ruminate_train::{Config, DecoderOptimizer, Error, Gradients, Ranks, RouterTraining, accumulate};
use std::num::NonZeroUsize;
use std::sync::{Barrier, Mutex};
use std::thread;

fn microbatches() -> Vec<Packed> {
    let samples = [(&[1_u32, 2][..], &[3_u32, 4, 9][..]), (&[5], &[6, 7, 8, 9])];
    let packed = |(prompt, completion)| {
        let sample = Sample::completion_only(prompt, completion);
        one_a_row(&[Sequence::from(&sample)])
    };
    samples.into_iter().map(packed).collect()
}

/// The gradients of some microbatches of two, without a step.
fn forward_backward(policy: &Decoder, microbatches: &[Packed]) -> Gradients {
    let one = NonZeroUsize::MIN;
    let (gradients, _) = accumulate(policy, microbatches, RouterTraining::Update, one, |policy, packed| {
        let hidden = policy.forward(&packed.batch, Routes::Choose).hidden;
        let loss = token_logprobs(policy, hidden, packed, 1.0).logprobs.mean().neg().div_scalar(2.0);
        Some((loss.into(), ()))
    });
    gradients
}

/// The weights after a step by these gradients.
fn stepped(policy: Decoder, gradients: Gradients) -> Vec<f32> {
    struct All(Vec<f32>);
    impl ParameterVisitor for All {
        fn visit<const D: usize>(&mut self, _: &str, tensor: &Tensor<D>, _: bool) {
            self.0.extend(testkit::floats(tensor.clone()));
        }
    }
    let config = Config::default();
    let mut optimizer = DecoderOptimizer::new(config.new_optimizer());
    let (policy, report) = optimizer.step(policy, gradients, config.step_params(1e-2));
    assert!(report.grad_norm > 0.0);
    let mut all = All(Vec::new());
    policy.visit_parameters(&mut all);
    all.0
}

fn policy() -> Decoder {
    decoder("deepseek_v3_plain", &testkit::autodiff_device())
}

#[test]
fn gradients_that_wait_for_others_give_the_step_of_all_at_once() {
    let (policy, microbatches) = (policy(), microbatches());
    let whole = forward_backward(&policy, &microbatches);
    let mut waiting = forward_backward(&policy, &microbatches[..1]);
    waiting.merge(forward_backward(&policy, &microbatches[1..]));
    assert_eq!(waiting.loss(), whole.loss());
    assert_eq!(stepped(policy.clone(), waiting), stepped(policy, whole));
}

/// A process of two in one: each waits until both have come, and gets the sum in the order of their numbers.
#[derive(Debug)]
struct Pair<'a> {
    rank: usize,
    meeting: &'a Meeting,
}

#[derive(Debug)]
struct Meeting {
    all_are_here: Barrier,
    brought: Mutex<[Option<Gradients>; 2]>,
    /// The sum, once for each.
    sums: Mutex<Vec<Gradients>>,
}

impl Ranks for Pair<'_> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        2
    }

    fn sum(&self, gradients: Gradients) -> Result<Gradients, Error> {
        self.meeting.brought.lock().expect("no panic")[self.rank] = Some(gradients);
        if self.meeting.all_are_here.wait().is_leader() {
            let brought = std::mem::take(&mut *self.meeting.brought.lock().expect("no panic"));
            let mut sum = Gradients::new(RouterTraining::Update);
            brought.into_iter().flatten().for_each(|gradients| sum.merge(gradients));
            *self.meeting.sums.lock().expect("no panic") = vec![sum.clone(), sum];
        }
        self.meeting.all_are_here.wait();
        Ok(self.meeting.sums.lock().expect("no panic").pop().expect("one for each"))
    }
}

#[test]
fn two_processes_take_the_step_of_one_that_has_the_microbatches_of_both() {
    let (policy, microbatches) = (policy(), microbatches());
    let meeting = Meeting {
        all_are_here: Barrier::new(2),
        brought: Mutex::new([None, None]),
        sums: Mutex::new(Vec::new()),
    };
    let of_rank = |rank: usize| {
        let ranks = Pair { rank, meeting: &meeting };
        let own = forward_backward(&policy, &microbatches[rank..=rank]);
        stepped(policy.clone(), ranks.sum(own).expect("both are here"))
    };
    let [first, second] = thread::scope(|scope| {
        let of_rank = &of_rank;
        [0, 1].map(|rank| scope.spawn(move || of_rank(rank))).map(|thread| thread.join().expect("no panic"))
    });
    assert_eq!(first, second);
    assert_eq!(first, stepped(policy.clone(), forward_backward(&policy, &microbatches)));
}
