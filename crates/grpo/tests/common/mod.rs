//! What tests of this crate share.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod simulated;

use burn::tensor::Tensor;
use ruminate_data::{SamplingParams, Seed, Stop};
use ruminate_grpo::{Config, TrainerArgs};
use ruminate_model::{Decoder, ParameterVisitor, load};
use ruminate_testkit as testkit;
use ruminate_train::{State, alarms};

/// A policy that learns.
pub(crate) fn policy() -> Decoder {
    load(&testkit::fixture_path("model/llama_tied"), &testkit::autodiff_device()).expect("the fixture loads")
}

/// Hands `run` a fresh state of [`policy`] and what a trainer of so many steps needs: two groups of four short
/// completions per step.
pub(crate) fn with_args<T>(
    max_steps: usize,
    alarms: &alarms::Config,
    run: impl FnOnce(State, &TrainerArgs) -> T,
) -> T {
    with_config(
        &Config { num_generations: 4, prompts_per_step: 2, ..Config::default() },
        max_steps,
        alarms,
        run,
    )
}

/// The same with other settings.
pub(crate) fn with_config<T>(
    config: &Config,
    max_steps: usize,
    alarms: &alarms::Config,
    run: impl FnOnce(State, &TrainerArgs) -> T,
) -> T {
    let optimizer = ruminate_train::Config { learning_rate: 1e-2, ..Default::default() };
    let args = TrainerArgs {
        config,
        train: &optimizer,
        sampling: SamplingParams { max_new_tokens: 4, ..SamplingParams::default() },
        stop: &Stop::at(&[1]),
        alarms,
        max_steps,
        seed: Seed::new(5),
    };
    run(State::fresh(policy(), &optimizer), &args)
}

/// Every number of a decoder, parameter by parameter.
pub(crate) fn weights(decoder: &Decoder) -> Vec<f32> {
    struct All(Vec<f32>);
    impl ParameterVisitor for All {
        fn visit<const D: usize>(&mut self, _: &str, tensor: &Tensor<D>, _: bool) {
            self.0.extend(testkit::floats(tensor.clone()));
        }
    }
    let mut all = All(Vec::new());
    decoder.visit_parameters(&mut all);
    all.0
}
