//! Folders belong to who made them: every command against every kind of folder, with the exit code, what is said, and
//! not a byte changed.

mod common;

use common::world::{World, assert_untouched, snapshot, write};
use common::{assert_code, rows, rows_of, told};
use std::fs;
use std::path::Path;

/// What a folder holds, as a command that did not make it is told.
const HOLDS: [(&str, &str); 12] = [
    ("rl", "holds the train-rl run of recipe"),
    ("interrupted", "holds the train-rl run of recipe"),
    ("tuned", "holds the sft run of recipe another"),
    ("evaluation", "holds the eval run of recipe another"),
    ("student", "holds the distill run of recipe another"),
    ("old", "holds the train-rl run of ruminate"),
    ("rl/base", "holds the stage base of the train-rl run of recipe"),
    ("project", "has files that no run made: a.tmp-1, config.json, final and 4 more"),
    ("notes", "has files that no run made: notes.txt"),
    ("broken", "has a run.json that cannot be read"),
    ("file", "is a file, not a folder"),
    ("/dev/null", "is a device or a pipe, not a folder"),
];

#[test]
fn every_command_refuses_every_folder_that_it_did_not_make() {
    let world = World::new();
    let before = snapshot(world.root());
    for command in ["train-rl", "pretrain", "sft", "eval", "distill"] {
        for (kind, holds) in HOLDS {
            let says = match (command, kind) {
                ("train-rl", "rl" | "old") | ("sft", "tuned") | ("distill", "student") => {
                    "it is complete, and of another recipe"
                }
                ("train-rl", "interrupted") => "go on with --resume auto",
                ("eval", "evaluation") => continue, // another number: below
                _ => holds,
            };
            for resume in [&[][..], &["--resume", "auto"]] {
                if says.contains("--resume") && !resume.is_empty() {
                    continue; // then it goes on
                }
                // Joining an absolute path gives that path.
                let output = world.run(command, &world.path(kind), &["seed=5"], resume);
                let case = format!("{command} {kind} {resume:?}: {}", told(&output));
                assert_eq!(output.status.code(), Some(2), "{case}");
                assert!(told(&output).contains(says) && told(&output).contains("--out"), "{case}");
                assert!(output.stdout.is_empty(), "{case}");
                assert_untouched(&before, world.root(), &case);
            }
        }
        // What is an input is refused as one.
        for (kind, says) in
            [("model", "model"), ("link", "model"), ("model/below/it", "lies below"), (".", "lies above")]
        {
            if command == "pretrain" || (command == "train-rl" && kind != "model") {
                continue; // they take no folder
            }
            let sets = [format!("model={}", world.name("model"))];
            let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
            let output = world.run(command, &world.path(kind), &sets, &[]);
            let case = format!("{command} {kind}: {}", told(&output));
            assert_eq!(output.status.code(), Some(2), "{case}");
            assert!(told(&output).contains(says), "{case}");
            assert_untouched(&before, world.root(), &case);
        }
    }
    for (data, key) in [("sft", "data.train"), ("pretrain", "data.corpus")] {
        let output = world.run(data, &world.path("data"), &[], &[]);
        assert_code(&output, 2);
        assert!(told(&output).contains(&format!("lies above `{key}`")), "{}", told(&output));
        assert_untouched(&before, world.root(), data);
    }
    for command in ["import", "merge"] {
        for (kind, _) in HOLDS {
            let (input, out) = (world.name("model"), world.path(kind));
            let output = common::ruminate(&[command, &input, out.to_str().expect("UTF-8")]);
            assert_code(&output, 2);
            assert!(told(&output).contains("exists already"), "{command} {kind}: {}", told(&output));
            assert_untouched(&before, world.root(), kind);
        }
    }
}

#[test]
fn a_stage_that_another_made_is_refused_before_its_run_begins() {
    let world = World::new();
    let project = world.path("project");
    for (command, stage, sets) in
        [("train-rl", "base", &[][..]), ("distill", "student-base", &["distill.pretrain_steps=1"])]
    {
        let out = world.path(&format!("new-{command}"));
        common::world::copy(&project, &out.join(stage));
        fs::write(out.join("run.json"), marker(command)).expect("written");
        let before = snapshot(world.root());
        let output = world.run(command, &out, sets, &[]);
        assert_code(&output, 2);
        assert!(told(&output).contains(&format!("{stage} has files that no run made")), "{}", told(&output));
        assert_untouched(&before, world.root(), command);
    }
}

fn marker(command: &str) -> String {
    format!(r#"{{"command": "{command}", "stage": "{command}", "id": "0", "version": "0.1.0", "files": []}}"#)
}

#[test]
fn a_run_says_who_made_it_and_a_base_that_is_made_again_keeps_what_others_put_there() {
    let world = World::new();
    let made: serde_json::Value =
        serde_json::from_slice(&fs::read(world.path("rl/run.json")).expect("a marker")).expect("JSON");
    assert_eq!((&made["command"], &made["stage"]), (&"train-rl".into(), &"train-rl".into()));
    assert_eq!(made["version"], env!("CARGO_PKG_VERSION"));
    assert!(made["id"].as_str().is_some_and(|id| id.len() == 16), "{made}");
    assert!(made["files"].as_array().is_some_and(|files| files.contains(&"checkpoints".into())), "{made}");

    // Another base, for a run that is begun again.
    for name in ["complete.json", "metrics.jsonl"] {
        fs::remove_file(world.path("rl").join(name)).expect("removed");
    }
    for name in
        ["completions/mine.jsonl", "notes.txt", "checkpoints/keep.bin", "checkpoints/step-000002/why.txt"]
    {
        write(&world.path("rl/base").join(name), "mine");
    }
    let weights = fs::read(world.path("rl/base/final/model.safetensors")).expect("a base");
    let sets = ["pretrain.learning_rate=1e-4", "max_steps=1"];
    assert_code(&world.run("train-rl", &world.path("rl"), &sets, &[]), 0);
    assert_ne!(fs::read(world.path("rl/base/final/model.safetensors")).expect("a base"), weights);
    let theirs = ["final/notes.txt", "completions/mine.jsonl", "notes.txt", "checkpoints/keep.bin"];
    for name in theirs.iter().chain(&["checkpoints/step-000002/why.txt"]) {
        assert_eq!(fs::read_to_string(world.path("rl/base").join(name)).expect(name), "mine");
    }
    for name in common::world::THEIRS {
        assert_eq!(fs::read_to_string(world.path("rl").join(name)).expect(name), "mine");
    }
    ruminate_run::verify(&world.path("rl/base/final")).expect("whole");
}

#[test]
fn a_run_is_resumed_by_its_own_recipe_and_a_run_without_a_marker_by_its_command() {
    let world = World::new();
    for (run, recipe) in [("interrupted", "interrupted/recipe.toml"), ("old", "old/config.json")] {
        let _ = fs::remove_file(world.path(run).join("complete.json"));
        let (out, recipe) = (world.name(run), world.name(recipe));
        let output = common::ruminate(&["train-rl", &recipe, "--out", &out, "--resume", "auto"]);
        assert_code(&output, 0);
        assert!(
            world.path(run).join("run.json").is_file() && world.path(run).join("complete.json").is_file()
        );
        assert_eq!(rows_of(&world.path(run).join("metrics.jsonl")).len(), 2);
    }
}

#[test]
fn a_second_evaluation_never_removes_the_first() {
    let world = World::new();
    let folders = || -> Vec<String> {
        let entries = fs::read_dir(world.path("runs")).expect("runs");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let eval = |sets: &[&str]| {
        let args = world.args("eval", sets);
        let mut process = common::command(&args.iter().map(String::as_str).collect::<Vec<_>>());
        process.current_dir(world.root()).output().expect("the binary starts")
    };
    let first = eval(&[]);
    assert_code(&first, 0);
    assert_eq!(folders(), ["eval-model-chain_sum-seed0"]);
    assert!(told(&first).contains("runs/eval-model-chain_sum-seed0"), "{}", told(&first));
    let before = snapshot(&world.path("runs"));
    let second = eval(&["eval.temperature=0.5"]);
    assert_code(&second, 0);
    assert_eq!(folders(), ["eval-model-chain_sum-seed0", "eval-model-chain_sum-seed0-2"]);
    assert!(told(&second).contains("holds another evaluation, which stays"), "{}", told(&second));
    let after = snapshot(&world.path("runs"));
    assert!(before.iter().all(|(path, content)| after.get(path) == Some(content)), "the first one stays");
    // The same ones again: their tables, their rows, no new folder.
    for (sets, output) in [(&[][..], &first), (&["eval.temperature=0.5"], &second)] {
        let again = eval(sets);
        assert_code(&again, 0);
        assert!(told(&again).contains("is complete; here is what it said"), "{}", told(&again));
        assert_eq!(again.stdout, output.stdout);
        assert_untouched(&after, &world.path("runs"), "again");
    }
    let (one, two) =
        (world.name("runs/eval-model-chain_sum-seed0"), world.name("runs/eval-model-chain_sum-seed0-2"));
    let compared = common::ruminate(&["eval", "--compare", &one, &two]);
    assert_code(&compared, 0);
    assert!(rows(&compared.stdout)[0]["difference"].is_number());
    // A folder that is named goes the same way.
    let named = world.run("eval", Path::new("evaluation"), &[], &[]);
    assert_code(&named, 0);
    assert_eq!(rows(&named.stdout), rows_of(&world.path("evaluation-2/eval.jsonl")));
}

#[test]
fn what_has_no_samples_says_what_it_is() {
    let world = World::new();
    let before = snapshot(world.root());
    for (run, says) in [
        ("rl", "rl has no samples.jsonl, it holds the train-rl run of recipe"),
        ("model", "it is a model folder"),
        ("absent", "it is not there"),
    ] {
        let run = world.name(run);
        for args in [&["eval", "--rescore", &run][..], &["eval", "--compare", &run, &run]] {
            let output = common::ruminate(args);
            assert_code(&output, 3);
            assert!(told(&output).contains(says), "{args:?}: {}", told(&output));
            assert!(told(&output).contains("`ruminate eval --set model=DIR`"), "{}", told(&output));
        }
    }
    for (run, says) in [("rl", "its model is in"), ("interrupted", "it has left no model")] {
        let run = world.name(run);
        let output = common::ruminate(&["generate", "--model", &run]);
        assert_code(&output, 3);
        assert!(told(&output).contains(says), "{}", told(&output));
        let set = format!("model={run}");
        let output = common::ruminate(&["eval", "--set", &set]);
        assert_code(&output, 3);
        assert!(told(&output).contains(says), "{}", told(&output));
    }
    assert_untouched(&before, world.root(), "nothing is written");
}

#[test]
fn a_folder_whose_teacher_comes_first_is_its_runs_from_the_beginning() {
    let world = World::new();
    let out = world.path("distilled");
    let args = world.args("distill", &["distill.teacher=", "max_steps=2"]);
    // The teacher's key comes last in these arguments; without it the teacher is trained in OUT.
    let args: Vec<&str> = args[..args.len() - 2].iter().map(String::as_str).collect();
    let run = || common::command(&args).arg("--out").arg(&out).output().expect("the binary starts");
    let first = run();
    assert!(told(&first).contains("training it first"), "{}", told(&first));
    assert!(out.join("teacher/complete.json").is_file(), "{}", told(&first));
    let made = fs::read_to_string(out.join("run.json")).expect("a marker");
    assert!(made.contains("\"distill\""), "{made}");
    // So small a teacher is seldom right, and then there is nothing to learn.
    let second = run();
    assert_eq!(second.status.code(), first.status.code(), "{}", told(&second));
    assert!(!told(&second).contains("no run made"), "{}", told(&second));
}

#[test]
fn a_teacher_that_was_trained_on_another_task_is_a_warning() {
    let world = World::new();
    common::world::copy(&world.path("rl"), &world.path("runs/train-rl-seed0"));
    let distill = |task: &str| {
        let args = world.args("distill", &[task, "distill.student=", "distill.prompts=1"]);
        let args: Vec<&str> = args[..args.len() - 2].iter().map(String::as_str).collect();
        let mut process = common::command(&args);
        told(&process.current_dir(world.root()).output().expect("the binary starts"))
    };
    let other = distill("data={ task = 'gcd', params = { wording = 'bare', max_value = 9, min_value = 2 } }");
    assert!(
        other.contains("warning: the teacher in runs/train-rl-seed0 was trained on `data.task` = chain_sum"),
        "{other}"
    );
    assert!(other.contains("and is asked `data.task` = gcd here"), "{other}");
    let same = distill("seed=0");
    assert!(
        same.contains("teacher: runs/train-rl-seed0/final") && !same.contains("was trained on"),
        "{same}"
    );
}
