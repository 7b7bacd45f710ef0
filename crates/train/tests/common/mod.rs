//! Tiny decoders and tasks that the tests of this crate share.
#![allow(dead_code, reason = "each test file uses its part")]

use burn::tensor::{Device, Tensor};
use ruminate_data::{Sample, Seed};
use ruminate_model::{Config, Decoder, ParameterVisitor};
use ruminate_testkit as testkit;
use ruminate_train::{Metrics, Observer, State, supervised};
use std::collections::BTreeMap;

/// A decoder with fresh weights, of a fixture's architecture.
pub(crate) fn decoder(fixture: &str, device: &Device) -> Decoder {
    let json = ruminate_testkit::json(&format!("model/{fixture}/config.json"));
    let mut config = Config::from_json(&json).expect("fixtures are valid");
    config.initializer_range = 0.1;
    Decoder::init(&config, &mut Seed::new(7).rng(), device)
}

/// Sequences of different length that count upwards from a start given in the prompt: easy to learn.
pub(crate) fn counting(index: u64) -> Sample {
    let start = (index * 5 % 17) as u32;
    let length = 3 + (index % 5) as u32;
    let prompt = [39, start];
    let completion: Vec<u32> = (1..=length).map(|i| start + i).collect();
    Sample::completion_only(&prompt, &completion)
}

/// Trains on what counts upwards; the losses of the steps besides.
pub(crate) fn train(state: State, config: &supervised::Config) -> (State, Vec<f64>) {
    #[derive(Default)]
    struct Losses(Vec<f64>);
    impl Observer for Losses {
        fn step(&mut self, _: usize, metrics: &Metrics) {
            self.0.extend(metrics.get("loss"));
        }
    }
    let mut losses = Losses::default();
    let state =
        supervised::train(state, &mut |index| Ok(counting(index)), config, &mut losses).expect("it trains");
    (state, losses.0)
}

/// Every parameter's values by name.
pub(crate) fn parameters(decoder: &Decoder) -> BTreeMap<String, Vec<f32>> {
    #[derive(Default)]
    struct Collect(BTreeMap<String, Vec<f32>>);
    impl ParameterVisitor for Collect {
        fn visit<const D: usize>(&mut self, name: &str, tensor: &Tensor<D>, _: bool) {
            self.0.insert(name.to_owned(), testkit::floats(tensor.clone().detach()));
        }
    }
    let mut collect = Collect::default();
    decoder.visit_parameters(&mut collect);
    collect.0
}
