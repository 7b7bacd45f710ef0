//! Two evaluations of eight samples on fifty problems, as rows of `eval.jsonl` and as a table; a coin stands for
//! the policy.
//!
//! `cargo run -p ruminate-eval --example before_after`

use ruminate_data::{Completion, FinishReason, Group, Seed, Verdict};
use ruminate_eval::{evaluate, table};

fn main() -> Result<(), ruminate_eval::Error> {
    let before = evaluate(0, "validation", &evaluation(Seed::new(0), 0.3), None, Seed::new(1))?;
    let after = evaluate(60, "validation", &evaluation(Seed::new(0), 0.9), None, Seed::new(1))?;
    eprint!("{}", table(&[("before", &before), ("after", &after)]));
    for row in [before, after] {
        eprintln!("{}", serde_json::to_string(&row).expect("a report is plain data"));
    }
    Ok(())
}

fn evaluation(seed: Seed, skill: f64) -> Vec<Group> {
    let sample = |task: u64, sibling: u64| {
        let solved = (seed.index(task).index(sibling).value() as f64) < skill * 2f64.powi(64);
        let verdict = if solved {
            Verdict::correct(1.0).with_extracted("4")
        } else {
            Verdict::wrong(0.0).with_extracted("5")
        };
        let verdict = verdict.with_why("a coin was tossed").with_reward("format", 1.0);
        let finish_reason = FinishReason::Stop;
        let (ids, logprobs) = (vec![7; 12], vec![-0.1; 12]);
        (Completion::new(vec![1, 2], ids, logprobs, finish_reason), verdict)
    };
    let group = |task: u64| {
        let (completions, verdicts) = (0..8).map(|sibling| sample(task, sibling)).unzip();
        Group { task: task as usize, completions, verdicts }
    };
    (0..50).map(group).collect()
}
