//! SIGKILL at random moments of a run that saves as fast as it can: the claim of the whole crate in one test.

use ruminate_run::{JsonlAppender, Made, RunFolder, checkpoints, truncate_after};
use serde_json::json;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const VICTIM: &str = "RUMINATE_TEST_VICTIM";

/// The victims' folder, entered and swept.
fn claimed(path: &Path) -> RunFolder {
    let text = |text: &str| text.to_owned();
    let made =
        Made { command: text("t"), stage: text("t"), id: text("0"), version: text("1"), files: Vec::new() };
    let mut run = RunFolder::enter(path, &made).expect("the lock died with the last victim");
    run.claim(&made).expect("swept");
    run
}

/// What the victim does until it is killed: resume, then step, log, save, retire.
fn save_until_killed(path: &Path) -> ! {
    let run = claimed(path);
    let resumed = checkpoints::newest(path).expect("list").found.map_or(0, |(c, _)| c.step);
    truncate_after(&run.metrics_path(), |row| row["step"].as_u64() <= Some(resumed)).expect("rewind");
    let mut log = JsonlAppender::open(&run.metrics_path()).expect("open");
    for step in resumed + 1.. {
        let _ = log.append(&json!({"step": step}));
        let writer = checkpoints::create(path, step).expect("create");
        for shard in 0..4 {
            writer.write(&format!("shard-{shard}"), &vec![step as u8; 100_000]).expect("write");
        }
        writer.commit(json!({"step": step})).expect("commit");
        checkpoints::retain(path, NonZeroUsize::MIN).expect("retain");
    }
    unreachable!("the steps do not end")
}

#[test]
fn a_run_killed_at_any_moment_resumes_from_a_checkpoint_that_verifies() {
    if let Some(path) = std::env::var_os(VICTIM) {
        save_until_killed(Path::new(&path));
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut last = 0;
    for round in 0..12_u64 {
        let mut victim = Command::new(std::env::current_exe().expect("own path"))
            .args(["--exact", "a_run_killed_at_any_moment_resumes_from_a_checkpoint_that_verifies"])
            .env(VICTIM, dir.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("start the victim");
        wait_for_step(dir.path(), last + 1);
        sleep(Duration::from_micros(round * 7_919 % 20_011)); // spread over a save, which takes milliseconds
        victim.kill().expect("SIGKILL");
        victim.wait().expect("reap");

        let run = claimed(dir.path());
        let newest = checkpoints::newest(dir.path()).expect("list");
        assert_eq!(newest.skipped, [], "round {round}: a checkpoint under its name is whole");
        let (checkpoint, manifest) = newest.found.expect("one verifies");
        assert!(checkpoint.step > last, "round {round}: went back from {last} to {}", checkpoint.step);
        assert_eq!(manifest.metadata, json!({"step": checkpoint.step}));
        last = checkpoint.step;

        truncate_after(&run.metrics_path(), |row| row["step"].as_u64() <= Some(last)).expect("rewind");
        let log = std::fs::read_to_string(run.metrics_path()).expect("read");
        let steps: Vec<String> = (1..=last).map(|step| format!("{{\"step\":{step}}}")).collect();
        assert_eq!(log.lines().collect::<Vec<_>>(), steps, "round {round}: each step once, in order");
    }
}

fn wait_for_step(run: &Path, step: u64) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while checkpoints::list(run).expect("list").last().is_none_or(|c| c.step < step) {
        assert!(Instant::now() < deadline, "the victim saved nothing in a minute");
        sleep(Duration::from_millis(1));
    }
}
