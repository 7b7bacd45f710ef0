//! Files that the user names for a result: replaced whole or not at all, written through where they are no regular
//! files, and never a file that something else needs. Paths that are not UTF-8.

mod common;

use common::world::{World, assert_untouched, snapshot, write};
use common::{assert_code, fixture, rows, told};
use std::fs;
use std::path::Path;
use std::process::Output;

/// Every command that writes a file, on inputs of the world.
fn write_to(world: &World, command: &str, out: &Path) -> Output {
    let model = fixture("llama_tied");
    let (model, lines, prompts) = (
        model.to_str().expect("UTF-8").to_owned(),
        world.name("data/lines.jsonl"),
        world.name("data/prompts.jsonl"),
    );
    let run = world.name("rl");
    let (args, flag): (Vec<&str>, &str) = match command {
        "verify" => (vec!["verify", "--input", &lines], "--output"),
        "generate" => {
            (vec!["generate", "--model", &model, "--max-new-tokens", "2", "--input", &prompts], "--output")
        }
        "score" => (vec!["score", "--model", &model, "--input", &prompts], "--output"),
        _ => (vec!["report", &run], "--out"),
    };
    common::command(&args).arg(flag).arg(out).output().expect("the binary starts")
}

const COMMANDS: [&str; 4] = ["verify", "generate", "score", "report"];

/// A world in which `score` can read what `generate` reads.
fn world() -> World {
    let world = World::new();
    let row = r#"{"prompt_ids": [3, 4], "completion_ids": [5], "kind": "format", "completion": ""}"#;
    write(&world.path("data/prompts.jsonl"), &format!("{row}\n"));
    world
}

#[test]
fn a_result_is_never_written_over_a_run_a_model_an_input_or_a_folder() {
    let world = world();
    let before = snapshot(world.root());
    for command in COMMANDS {
        for (out, says) in [
            ("rl/metrics.jsonl", "belongs to the run folder"),
            ("rl/run.json", "belongs to the run folder"),
            ("rl/checkpoints/step-000001/model.safetensors", "belongs to the"),
            ("rl/final/config.json", "belongs to the"),
            ("old/eval.jsonl", "belongs to the run folder"),
            ("model/tokenizer.json", "belongs to the model folder"),
            ("link/config.json", "belongs to the model folder"),
            ("rl", "is a folder"),
            ("project", "is a folder"),
            ("link", "is a folder"),
        ] {
            let output = write_to(&world, command, &world.path(out));
            let case = format!("{command} {out}: {}", told(&output));
            assert_eq!(output.status.code(), Some(2), "{case}");
            assert!(told(&output).contains(says), "{case}");
            assert_untouched(&before, world.root(), &case);
        }
    }
    for (command, input) in [("verify", "lines"), ("generate", "prompts"), ("score", "prompts")] {
        let file = world.path(&format!("data/{input}.jsonl"));
        let output = write_to(&world, command, &file);
        assert_code(&output, 2);
        assert!(told(&output).contains("is the file that --input reads"), "{}", told(&output));
        assert_untouched(&before, world.root(), command);
    }
}

#[test]
fn a_result_file_appears_whole_or_stays_as_it_was() {
    let world = world();
    for command in COMMANDS {
        for out in ["file", "new/deep/file"] {
            let path = world.path(out);
            assert_code(&write_to(&world, command, &path), 0);
            let text = fs::read_to_string(&path).expect("written");
            assert!(text.len() > 10 && text != "mine", "{command}: {text}");
            let beside = fs::read_dir(path.parent().expect("a parent")).expect("readable");
            let left = beside.filter(|entry| {
                entry.as_ref().expect("an entry").file_name().to_string_lossy().contains(".tmp-")
            });
            assert_eq!(left.count(), 0, "{command}");
        }
    }
    // A line that cannot be read comes after one that can.
    fs::write(world.path("file"), "mine").expect("written");
    write(&world.path("data/lines.jsonl"), "{\"kind\": \"format\", \"completion\": \"\"}\nnonsense\n");
    assert_code(&write_to(&world, "verify", &world.path("file")), 3);
    assert_eq!(fs::read_to_string(world.path("file")).expect("there"), "mine");
}

#[cfg(unix)]
#[test]
fn devices_pipes_and_links_are_written_through() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let world = world();
    symlink("/dev/null", world.path("null")).expect("linked");
    symlink("file", world.path("to-file")).expect("linked");
    symlink("absent", world.path("to-nothing")).expect("linked");
    let pipe = world.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success()));
    for command in COMMANDS {
        assert_code(&write_to(&world, command, &world.path("null")), 0);
        for (link, file) in [("to-file", "file"), ("to-nothing", "absent")] {
            assert_code(&write_to(&world, command, &world.path(link)), 0);
            assert!(fs::metadata(world.path(file)).expect("written").len() > 10, "{command}");
        }
        for link in ["null", "to-file", "to-nothing"] {
            assert!(world.path(link).symlink_metadata().expect("there").is_symlink(), "{command} {link}");
        }
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).expect("readable")
        });
        assert_code(&write_to(&world, command, &pipe), 0);
        assert!(reader.join().expect("read").len() > 10, "{command}");
        assert!(pipe.metadata().expect("there").file_type().is_fifo(), "{command}");
        fs::remove_file(world.path("absent")).expect("removed");
    }
    let full = write_to(&world, "report", Path::new("/dev/full"));
    assert_code(&full, 7);
    assert!(Path::new("/dev/full").metadata().expect("there").file_type().is_char_device());
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_that_is_not_utf_8_works_in_every_command() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let world = world();
    let odd = |name: &[u8]| world.root().join(OsStr::from_bytes(name));
    for command in ["pretrain", "sft", "eval", "train-rl"] {
        let out = odd(&[command.as_bytes(), b"-\xff"].concat());
        let output = world.run(command, &out, &["eval.empty_thought=false"], &[]);
        assert_code(&output, 0);
        assert!(out.join("complete.json").is_file(), "{command}");
        let again = world.run(command, &out, &["eval.empty_thought=false"], &[]);
        assert_code(&again, 0);
        assert_eq!(again.stdout, output.stdout);
        if command != "eval" {
            assert!(rows(&output.stdout)[0]["run"].as_str().is_some_and(|run| run.ends_with("-\u{fffd}")));
        }
    }
    let lora = world.run("train-rl", &odd(b"lora-\xff"), &["lora.r=2"], &[]);
    assert_code(&lora, 2);
    assert!(told(&lora).contains("not UTF-8") && !odd(b"lora-\xff").exists(), "{}", told(&lora));
    for command in COMMANDS {
        let out = odd(b"file-\xff.html");
        assert_code(&write_to(&world, command, &out), 0);
        assert!(fs::metadata(&out).expect("written").len() > 10, "{command}");
    }
    // As inputs.
    let (model, run, prompts) = (odd(b"model-\xff"), odd(b"train-rl-\xff"), odd(b"prompts-\xff"));
    common::world::copy(&world.path("model"), &model);
    fs::copy(world.path("data/prompts.jsonl"), &prompts).expect("copied");
    let made = odd(b"made-\xff");
    for (args, paths) in [
        (
            vec!["generate", "--max-new-tokens", "1", "--model"],
            vec![model.as_path(), Path::new("--input"), &prompts],
        ),
        (vec!["score", "--model"], vec![&model, Path::new("--input"), &prompts]),
        (vec!["verify", "--input"], vec![&prompts]),
        (vec!["report"], vec![&run]),
    ] {
        let output = common::command(&args).args(paths).output().expect("the binary starts");
        assert_code(&output, 0);
    }
    for (args, paths) in [
        (vec!["merge"], vec![model.as_path(), &made]),
        (vec!["import"], vec![&prompts, &made]),
        (vec!["eval", "--rescore"], vec![&model]),
        (vec!["train-rl"], vec![&odd(b"recipe-\xff.toml")]),
        (vec!["train-rl", "--resume"], vec![&odd(b"nope-\xff")]),
    ] {
        let output = common::command(&args).args(paths).output().expect("the binary starts");
        assert!(matches!(output.status.code(), Some(2 | 3)), "{args:?}: {}", told(&output));
    }
}

#[test]
fn a_report_does_not_replace_a_page_that_it_did_not_write() {
    let world = world();
    fs::write(world.path("project/metrics.jsonl"), "{\"step\": 1, \"loss\": 2.5}\n").expect("written");
    fs::write(world.path("project/config.json"), "{}").expect("written");
    let before = snapshot(world.root());
    let refused = common::ruminate(&["report", &world.name("project")]);
    assert_code(&refused, 2);
    assert!(told(&refused).contains("was not made by `ruminate report`"), "{}", told(&refused));
    assert_untouched(&before, world.root(), "report");
    fs::remove_file(world.path("project/report.html")).expect("removed");
    for _ in 0..2 {
        assert_code(&common::ruminate(&["report", &world.name("project")]), 0);
    }
}
