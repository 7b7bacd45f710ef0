//! A reward of one's own beside those of the crate: `cargo run -p ruminate-reward --example own_verifier`

use ruminate_data::{Outcome, Task, Verdict};
use ruminate_reward::{Error, Response, Rubric, Verifier, by_name};

/// Pays for answers that are short.
struct Brief;

impl Verifier for Brief {
    fn name(&self) -> &'static str {
        "brief"
    }

    fn verify(&self, _task: &Task, response: &Response<'_>) -> Verdict {
        let words = response.text.split_whitespace().count();
        let outcome = if words < 10 { Outcome::Correct } else { Outcome::Wrong };
        let score = 1.0 / words.max(1) as f64;
        Verdict::new(outcome, score).with_why(format!("{words} words"))
    }
}

#[expect(clippy::print_stdout, reason = "an example shows its result")]
fn main() -> Result<(), Error> {
    let rubric = Rubric::new(vec![(by_name("last_number")?, 1.0), (Box::new(Brief), 0.2)])?;
    let task = Task::new("7+5=", "12");
    let verdict = rubric.verify(&task, &Response::finished("It is 12."));
    println!("{:?}, score {:.3}: {}; {:?}", verdict.outcome, verdict.score, verdict.why, verdict.rewards);
    Ok(())
}
