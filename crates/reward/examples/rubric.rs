//! The embedded default's reward, `exact` + 0.1 `format`, on a few completions of `7+5=`:
//! `cargo run -p ruminate-reward --example rubric`

use ruminate_data::Task;
use ruminate_reward::{Error, Measure, Response, Rubric, Verifier, by_name, tags};

#[expect(clippy::print_stdout, reason = "an example shows its result")]
fn main() -> Result<(), Error> {
    let thought_length = Measure::new("thought_length", |_, response| {
        let parts = tags::well_formed(response.text, response.opening()).ok()?;
        Some(parts.thought.chars().count() as f64)
    });
    let rubric = Rubric::new(vec![
        (by_name("exact")?, 1.0),
        (by_name("format")?, 0.1),
        (Box::new(thought_length), 0.0), // watched, not paid for
    ])?;

    let task = Task::new("7+5=", "12");
    for text in [
        "<think>7+5=12</think><answer>12</answer>",
        "<answer>12</answer>",
        "<think>7+5=12</think><answer>11</answer><answer>12</answer>",
        "<think><answer>12</answer></think>",
    ] {
        let verdict = rubric.verify(&task, &Response::finished(text));
        println!(
            "{text}\n  {:?}, score {}: {}; {:?}",
            verdict.outcome, verdict.score, verdict.why, verdict.rewards
        );
    }
    Ok(())
}
