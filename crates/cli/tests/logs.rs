//! What a run does when its folder is tampered with: logs cut or replaced, the folder gone, a checkpoint that is not
//! there.

mod common;

use common::world::{World, assert_untouched, copy, snapshot};
use common::{assert_code, command, rows_of, told};
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn rows_that_are_missing_are_told_on_resume_with_their_steps() {
    let world = World::new();
    let sets = ["max_steps=6", "grpo.eval_steps=2", "train.save_steps=6"];
    assert_code(&world.run("train-rl", &world.path("whole"), &sets, &[]), 0);
    fs::remove_file(world.path("whole/complete.json")).expect("removed");
    let lines = |log: &str| -> Vec<String> {
        let text = fs::read_to_string(world.path("whole").join(log)).expect("a log");
        text.lines().map(|line| format!("{line}\n")).collect()
    };
    let (metrics, eval) = (lines("metrics.jsonl"), lines("eval.jsonl"));
    let of_step = |step: u64| {
        let rows = eval.iter().filter(move |line| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["step"].as_u64() != Some(step)
        });
        rows.cloned().collect::<String>()
    };
    let garbage = [&metrics[..3], &["nonsense\n".to_owned(), "\0\0\n".to_owned()], &metrics[3..]].concat();
    let cases: [(&str, Option<String>, Option<&str>); 8] = [
        ("metrics.jsonl", None, Some("metrics.jsonl: the rows of steps 1-6 are missing")),
        (
            "metrics.jsonl",
            Some(metrics[..4].concat()),
            Some("metrics.jsonl: the rows of steps 5-6 are missing"),
        ),
        (
            "metrics.jsonl",
            Some([&metrics[..1], &metrics[2..3], &metrics[4..]].concat().concat()),
            Some("metrics.jsonl: the rows of steps 2, 4 are missing"),
        ),
        (
            "metrics.jsonl",
            Some(garbage.concat()),
            Some("metrics.jsonl: 2 lines were not JSON and are removed"),
        ),
        ("eval.jsonl", Some(of_step(2)), Some("eval.jsonl: the row of step 2 is missing")),
        ("eval.jsonl", None, Some("eval.jsonl: the rows of steps 0, 2, 4 are missing")),
        ("moe.jsonl", None, Some("moe.jsonl: the rows of steps 1-6 are missing")),
        // What a kill leaves is no hole.
        ("metrics.jsonl", Some(metrics.concat() + "{\"step\":7,\"re"), None),
    ];
    for (at, (log, content, says)) in cases.into_iter().enumerate() {
        let run = world.path(&format!("run-{at}"));
        copy(&world.path("whole"), &run);
        match content {
            Some(text) => fs::write(run.join(log), text).expect("written"),
            None => fs::remove_file(run.join(log)).expect("removed"),
        }
        let output = world.run("train-rl", &run, &sets, &["--resume", "auto"]);
        assert_code(&output, 0);
        let told = told(&output);
        match says {
            Some(says) => assert!(told.contains("warning: ") && told.contains(says), "{log}: {told}"),
            None => assert!(!told.contains(&format!("{log}: ")), "{log}: {told}"),
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_that_is_a_link_or_a_device_ends_the_run_before_its_first_step() {
    let world = World::new();
    for (log, target) in
        [("metrics.jsonl", "/dev/full"), ("eval.jsonl", "/dev/zero"), ("moe.jsonl", "../notes/notes.txt")]
    {
        let path = world.path("interrupted").join(log);
        let row = fs::read(&path).expect("a log");
        fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink(target, &path).expect("linked");
        let before = snapshot(&world.path("interrupted/checkpoints"));
        let output = world.run("train-rl", &world.path("interrupted"), &[], &["--resume", "auto"]);
        assert_code(&output, 7);
        assert!(
            told(&output).contains(&format!("{log} is a link; expected a regular file")),
            "{}",
            told(&output)
        );
        assert_untouched(&before, &world.path("interrupted/checkpoints"), log);
        fs::remove_file(&path).expect("removed");
        fs::write(&path, row).expect("written");
    }
    assert_eq!(fs::read_to_string(world.path("notes/notes.txt")).expect("there"), "mine");
}

#[cfg(unix)]
#[test]
fn a_folder_that_goes_away_stops_its_run_and_does_not_come_back() {
    let world = World::new();
    for aside in [false, true] {
        let out = world.path("run");
        let args = world.args("train-rl", &["max_steps=5000", "eval.n=2", "train.save_steps=5000"]);
        let child = command(&args.iter().map(String::as_str).collect::<Vec<_>>())
            .arg("--out")
            .arg(&out)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let start = Instant::now();
        while fs::metadata(out.join("metrics.jsonl")).map_or(0, |file| file.len()) == 0 {
            assert!(start.elapsed() < Duration::from_mins(2), "no step within two minutes");
            std::thread::sleep(Duration::from_millis(5));
        }
        if aside {
            fs::rename(&out, world.path("aside")).expect("moved");
            fs::create_dir(&out).expect("made");
        } else {
            // Files may come while it is being removed.
            while fs::remove_dir_all(&out).is_err() {}
        }
        let output = child.wait_with_output().expect("it ends");
        assert_code(&output, 7);
        assert!(told(&output).contains("run is gone: it was moved or deleted"), "{}", told(&output));
        if aside {
            assert_eq!(fs::read_dir(&out).expect("there").count(), 0, "nothing is written to another folder");
            assert!(!rows_of(&world.path("aside/metrics.jsonl")).is_empty());
        } else {
            assert!(!out.exists(), "it is not made again");
        }
    }
}

#[test]
fn to_resume_from_nowhere_is_refused_by_that() {
    let world = World::new();
    let before = snapshot(world.root());
    for command in ["train-rl", "pretrain", "sft", "distill"] {
        for out in ["new", "interrupted"] {
            let output = world.run(command, &world.path(out), &[], &["--resume", "nope"]);
            assert_code(&output, 2);
            assert!(told(&output).contains("--resume nope: no such folder"), "{}", told(&output));
            assert_untouched(&before, world.root(), command);
        }
    }
}
