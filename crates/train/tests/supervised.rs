//! The supervised trainer on tiny decoders: it learns, it resumes, it balances, and how a step is cut into
//! microbatches and rows changes nothing.

mod common;

use common::{counting, decoder, parameters};
use ruminate_data::Sample;
use ruminate_testkit as testkit;
use ruminate_train::{Metrics, Observer, State, supervised};

/// Keeps what it hears.
#[derive(Default)]
struct Record {
    metrics: Vec<Metrics>,
    evaluated: Vec<usize>,
    warnings: Vec<String>,
}

impl Observer for Record {
    fn step(&mut self, _: usize, metrics: &Metrics) {
        self.metrics.push(metrics.clone());
    }

    fn evaluate(&mut self, step: usize, policy: &ruminate_model::Decoder) {
        assert!(!policy.device().is_autodiff(), "evaluation tracks nothing");
        self.evaluated.push(step);
    }

    fn warn(&mut self, message: &str) {
        self.warnings.push(message.to_owned());
    }
}

impl Record {
    fn values(&self, name: &str) -> Vec<f64> {
        self.metrics.iter().map(|metrics| metrics.get(name).unwrap_or_else(|| panic!("no {name}"))).collect()
    }
}

fn config(max_steps: usize) -> supervised::Config {
    supervised::Config {
        max_steps,
        batch_size: 8,
        row_length: 16,
        train: ruminate_train::Config {
            learning_rate: 1e-2,
            warmup_steps: 2,
            weight_decay: 0.01,
            ..ruminate_train::Config::default()
        },
        ..supervised::Config::default()
    }
}

fn run(fixture: &str, config: &supervised::Config) -> (State, Record) {
    let state = State::fresh(decoder(fixture, &testkit::autodiff_device()), &config.train);
    let mut record = Record::default();
    let state = supervised::train(state, &mut counting, config, &mut record).expect("it trains");
    (state, record)
}

#[test]
fn every_family_of_decoder_learns_a_small_task() {
    for fixture in ["deepseek_v3_mtp", "deepseek_v3_full", "llama_tied", "qwen3_moe"] {
        let (_, record) = run(fixture, &config(120));
        let loss = record.values("loss");
        let (first, last) = (loss[0], loss[loss.len() - 1]);
        println!("{fixture}: {first} -> {last}");
        assert!(last < first / 8.0, "{fixture}: loss {first} -> {last}");
    }
}

#[test]
fn splitting_a_step_into_microbatches_changes_nothing() {
    let whole = config(3);
    let split = supervised::Config { gradient_accumulation_steps: 3, ..whole.clone() };
    for fixture in ["deepseek_v3_mtp", "llama_untied"] {
        let (a, whole) = run(fixture, &whole);
        let (b, split) = run(fixture, &split);
        for name in ["loss", "grad_norm"] {
            for (a, b) in whole.values(name).iter().zip(split.values(name)) {
                assert!((a - b).abs() < 1e-4 * a.abs().max(1.0), "{fixture} {name}: {a} and {b}");
            }
        }
        assert_eq!(a.num_tokens, b.num_tokens);
    }
}
