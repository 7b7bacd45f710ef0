//! Tiny decoders and tasks that the tests of this crate share.
#![allow(dead_code, reason = "each test file uses its part")]

use burn::tensor::Device;
use ruminate_data::{Sample, Seed};
use ruminate_model::{Config, Decoder};

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
