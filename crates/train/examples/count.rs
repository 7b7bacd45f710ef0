//! Teaches a tiny mixture of experts to count, and asks it what it learned:
//! `cargo run --release -p ruminate-train --example count`

use ruminate_data::{Sample, Seed};
use ruminate_model::Decoder;
use ruminate_train::{Metrics, Observer, State, logprobs, supervised};

struct Print;

impl Observer for Print {
    fn step(&mut self, step: usize, metrics: &Metrics) {
        if step.is_multiple_of(20) {
            eprintln!("step {step:3}  loss {:.4}", metrics.get("loss").unwrap_or(f64::NAN));
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = ruminate_testkit::autodiff_device();
    let architecture =
        ruminate_model::load_config(&ruminate_testkit::fixture_path("model/deepseek_v3_plain"))?;
    let mut config =
        supervised::Config { max_steps: 100, batch_size: 16, row_length: 16, ..Default::default() };
    config.train.learning_rate = 1e-2;

    // After a start, its seven successors.
    let source = |index: u64| {
        let start = (index % 30) as u32;
        let successors: Vec<u32> = (start + 1..=start + 7).collect();
        Sample::completion_only(&[start], &successors)
    };
    let policy = Decoder::init(&architecture, &mut Seed::new(0).rng(), &device);
    let state = supervised::train(
        State::fresh(policy, &config.train),
        &mut |index| Ok(source(index)),
        &config,
        &mut Print,
    )?;

    let scores = logprobs::score(&state.policy, &[(&[3], &[4, 5, 6]), (&[3], &[4, 5, 9])], 1.0, 2)?;
    eprintln!("ln p(4 5 6 | 3) = {:.2}", scores[0].iter().sum::<f32>());
    eprintln!("ln p(4 5 9 | 3) = {:.2}", scores[1].iter().sum::<f32>());
    Ok(())
}
