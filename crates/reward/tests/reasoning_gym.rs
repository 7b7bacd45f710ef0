//! The adapter for reasoning-gym (`integrations/python`) as a `command`, with a package of that name made here: what
//! it says of answers, and that nothing that a scorer is handed is run. Where there is no Python, it says so and passes.
#![cfg(unix)]

use ruminate_data::{Outcome, Task, Verdict};
use ruminate_reward::{CommandOptions, CommandReward, Response, Verifier};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;

const ADAPTER: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../integrations/python/reasoning_gym_judge.py");

/// A stand-in with the one function that the adapter uses: one scorer compares, one evaluates, one hangs.
const PACKAGE: &str = "\
def get_score_answer_fn(name):
    import time
    if name == 'sum':
        return lambda answer, entry: 1.0 if answer == entry['answer'] else 0.25 * answer.isdigit()
    if name == 'list':
        return lambda answer, entry: float(eval(answer) == eval(entry['answer']))
    if name == 'pair':
        return lambda answer, entry: float(entry['metadata']['at'] == (1, 2) and answer == entry['answer'])
    if name == 'slow':
        return lambda answer, entry: time.sleep(60) if answer == 'slow' else 1.0
    raise ValueError(f'{name} is not there')
";

fn adapter(folder: &Path) -> Option<CommandReward> {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no python3");
        return None;
    }
    let write = |file: &str, text: &str| {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    };
    write("reasoning_gym/__init__.py", "");
    write("reasoning_gym/factory.py", PACKAGE);
    write("sympy/__init__.py", "from . import parsing\n");
    write("sympy/parsing/__init__.py", "from . import sympy_parser\n");
    write("sympy/parsing/sympy_parser.py", "def parse_expr(text): return text\n");
    let script = format!("PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={} exec python3 {ADAPTER}", folder.display());
    let command = ["sh", "-c", script.as_str()].map(str::to_owned).to_vec();
    Some(
        CommandReward::new("reasoning_gym", CommandOptions { command, ..CommandOptions::default() })
            .expect("options"),
    )
}

fn judged(reward: &CommandReward, dataset: &str, gold: &str, completion: &str) -> Verdict {
    let metadata = json!({"source_dataset": dataset, "at": [1, 2]});
    reward.verify(&Task::new("q", gold).with_column("metadata", metadata), &Response::finished(completion))
}

#[test]
fn scores_are_the_scorers_and_no_answer_is_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(reward) = adapter(folder.path()) else { return };
    let ran = folder.path().join("ran");
    let attack = format!("__import__('pathlib').Path({:?}).touch()", ran.display().to_string());
    for (dataset, gold, completion, outcome, score) in [
        ("sum", "7", "<think>3+4</think><answer>7</answer>", Outcome::Correct, 1.0),
        ("sum", "7", "7", Outcome::Correct, 1.0),
        ("sum", "7", "<answer>8</answer>", Outcome::Wrong, 0.25),
        ("sum", "7", "<answer>7</answer><answer>8</answer>", Outcome::Wrong, 0.0),
        ("sum", "7", "<think>7", Outcome::Wrong, 0.0),
        ("sum", "7", "", Outcome::Wrong, 0.0),
        ("list", "[1, 2]", "[1,2]", Outcome::Correct, 1.0),
        ("list", "[1, 2]", attack.as_str(), Outcome::Wrong, 0.0),
        ("list", "[1, 2]", "[1]*10**9", Outcome::Wrong, 0.0),
        ("list", "[1, 2]", "9**9**9**9", Outcome::Wrong, 0.0),
        ("list", "?", "[1]", Outcome::Unscored, 0.0),
        ("pair", "x", "x", Outcome::Correct, 1.0),
        ("slow", "x", "slow", Outcome::Wrong, 0.0),
        ("unheard", "x", "x", Outcome::Unscored, 0.0),
    ] {
        let verdict = judged(&reward, dataset, gold, completion);
        assert_eq!(
            (verdict.outcome, verdict.score),
            (outcome, score),
            "{dataset} {completion}: {}",
            verdict.why
        );
    }
    assert!(!ran.exists());
}
