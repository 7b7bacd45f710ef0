//! A fleet of two scripted servers: weights are pushed and proven, a server dies, and the completions are those of the other.
//!
//! `cargo run -p ruminate-fleet --features double --example fleet`

use ruminate_data::{Completion, Request, SamplingParams, Seed, Stop};
use ruminate_fleet::double::{Double, Toy, logprobs};
use ruminate_fleet::{Canary, Config, Fleet, Kind, Push, Setup, Weights};
use std::ops::ControlFlow;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // What a trainer does at each step: a folder of weights, and its own numbers for the canary.
    let toy = Toy { vocab_size: 64 };
    let folder = std::env::temp_dir().join(format!("ruminate-fleet-{}", std::process::id()));
    Toy::write(&folder, "step 1")?;
    let ids = Canary::sequence(&[5, 6, 7], toy.vocab_size);
    let canary = Canary { logprobs: logprobs(&toy, &folder, &ids, 1.0).ok_or("no weights")?, ids };

    let doubles = [0, 1].map(|_| Double::start(Kind::Vllm, Box::new(toy), toy.vocab_size, &folder));
    let [first, second] = doubles;
    let (first, second) = (first?, second?);
    let config = Config { servers: vec![first.url(), second.url()], ..Config::default() };
    let mut fleet = Fleet::new(Setup {
        config,
        kind: Kind::Vllm,
        run: "example".to_owned(),
        vocab_size: toy.vocab_size,
        max_tokens: 32,
        dtype: "float32",
        max_canary_kl: 1e-3,
        tokenizer: Vec::new(),
        cuts: None,
        experts: None,
        key: None,
        admin_key: None,
        check_address: |_| Ok(()),
        interrupted: Arc::new(|| false),
    })?;
    fleet.publish(Push { version: 1, weights: Weights::Folder(folder.clone()), canary })?;
    first.die();

    let request = |sample| Request {
        prompt_ids: vec![5, 6],
        sampling: SamplingParams { max_new_tokens: 8, ..SamplingParams::default() },
        stop: Stop::at(&[1]),
        seed: Seed::new(0).index(sample),
    };
    let mut completions = Vec::new();
    let tally = fleet.generate((0..4).map(request).collect(), &mut |_: usize, completion: Completion| {
        completions.push(completion);
        ControlFlow::Continue(())
    })?;
    assert_eq!(completions.len(), 4);
    assert!(completions.iter().all(|completion| completion.versions[0].version == 1));
    let events = fleet.take_events();
    std::fs::remove_dir_all(&folder)?;
    eprintln!("{tally:?}\n{events:#?}");
    Ok(())
}
