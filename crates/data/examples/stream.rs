//! Problems, a training trace of one, and an evaluation set that no training stream can meet.
//!
//! `cargo run -p ruminate-data --example stream`
#![allow(clippy::print_stdout, reason = "an example talks to people")]

use ruminate_data::procedural::{ChainSum, Stream, by_name};
use ruminate_data::split::{Shares, Split};
use ruminate_data::traces::{TraceMix, Traces};
use ruminate_data::{Error, Seed};
use serde_json::json;
use std::sync::Arc;

fn main() -> Result<(), Error> {
    let (seed, shares) = (Seed::new(0), Shares::default());

    // A family by its name in recipes, with one parameter that departs from the defaults.
    let countdown = by_name("countdown", &json!({ "max_numbers": 4 }))?;
    let task = Stream::new(countdown, Split::Train, shares, seed)?.task(0)?;
    println!("{}\n  one solution: {}", task.prompt.text(), task.answer);

    // Attempts to pretrain on: most guess, some show their steps, some make a mistake.
    let chain_sum = Arc::new(ChainSum::tiny());
    let traces = Traces::new(chain_sum.clone(), TraceMix::default(), shares, seed)?;
    for index in 0..8 {
        let trace = traces.trace(index)?;
        println!("{} {}  ({:?})", trace.prompt, trace.completion, trace.kind);
    }

    let validation = Stream::new(chain_sum, Split::Validation, shares, seed)?.distinct(256)?;
    println!("{} held-out problems, the first is {}", validation.len(), validation[0].prompt.text());
    Ok(())
}
