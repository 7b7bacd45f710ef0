//! Folders belong to who made them: what is refused, that a refusal changes nothing, and that clearing and retiring
//! remove only what a run wrote.

use ruminate_run::{
    Error, FolderWriter, Found, Made, OutputFile, RunFolder, checkpoints, clear, inspect, make_parents,
    verify,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn run(command: &str, stage: &str, id: &str) -> Made {
    let text = |text: &str| text.to_owned();
    Made { command: text(command), stage: text(stage), id: text(id), version: text("9.9"), files: Vec::new() }
}

/// Every file and folder below `path`, with the content of the files.
fn snapshot(path: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path).expect("list") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(snapshot(&path));
            found.insert(path, None);
        } else {
            let bytes = fs::read(&path).expect("read");
            found.insert(path, Some(bytes));
        }
    }
    found
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
    fs::write(path, text).expect("write");
}

fn committed(target: &Path) {
    make_parents(target).expect("made");
    let folder = FolderWriter::create(target).expect("create");
    folder.write("weights.bin", b"weights").expect("write");
    folder.write("adapter/weights.bin", b"adapter").expect("write");
    folder.commit(json!({})).expect("commit");
}

#[test]
fn what_is_not_the_runs_is_refused_by_what_it_is_and_stays_as_it_was() {
    let dir = temp();
    let place = |name: &str| dir.path().join(name);
    let marker = serde_json::to_string(&run("train-rl", "base", "abc")).expect("JSON");
    write(&place("stage/run.json"), &marker);
    write(&place("stage/final.tmp-7/part"), "a save that was interrupted");
    let config = r#"{"command": "sft", "versions": {"ruminate": "0.1.0"}, "seed": 0}"#;
    write(&place("old/config.json"), config);
    write(&place("model/config.json"), r#"{"model_type": "llama"}"#);
    write(&place("weights/model.safetensors"), "weights");
    for name in ["a.txt", "b.txt", "notes/c.txt", "d.txt", "e.txt"] {
        write(&place("project").join(name), "mine");
    }
    write(&place("locked/.lock"), "the user's own");
    write(&place("file"), "not a folder");
    write(&place("broken/run.json"), "{");
    for (name, says) in [
        ("stage", "holds the stage base of the train-rl run of recipe abc (ruminate 9.9)"),
        ("old", "holds the sft run of ruminate 0.1.0, which left no run.json"),
        ("model", "is a model folder: config.json lies in it"),
        ("weights", "is a model folder: model.safetensors lies in it"),
        ("project", "has files that no run made: a.txt, b.txt, d.txt and 2 more"),
        ("locked", "has files that no run made: .lock"),
        ("file", "is a file, not a folder"),
        ("broken", "has a run.json that cannot be read"),
    ] {
        let before = snapshot(dir.path());
        let error = RunFolder::enter(&place(name), &run("train-rl", "train-rl", "1")).expect_err(name);
        assert!(matches!(error, Error::NotOurs { .. }), "{name}: {error:?}");
        assert!(error.to_string().contains(says), "{name}: {error}");
        assert_eq!(snapshot(dir.path()), before, "{name}");
    }
}

#[test]
fn a_folder_that_is_entered_and_not_claimed_stays_as_it_was() {
    let dir = temp();
    let (fresh, own) = (dir.path().join("fresh"), dir.path().join("own"));
    let made = run("eval", "eval", "1");
    write(&own.join("run.json"), &serde_json::to_string(&made).expect("JSON"));
    write(&own.join("complete.json.tmp-3"), "{");
    let before = snapshot(dir.path());
    for path in [&fresh, &own] {
        drop(RunFolder::enter(path, &made).expect("ours"));
        assert_eq!(snapshot(dir.path()), before, "{}", path.display());
    }
    let mut claimed = RunFolder::enter(&own, &made).expect("ours");
    assert_eq!(claimed.claim(&made).expect("claimed"), [own.join("complete.json.tmp-3")]);
}

#[test]
fn a_run_that_died_while_it_claimed_its_folder_finds_it_free() {
    let dir = temp();
    assert_eq!(inspect(&dir.path().join("absent")).expect("looked at"), Found::Free);
    write(&dir.path().join(".lock"), "4242\n");
    write(&dir.path().join("run.json.tmp-4242"), "{\"comm");
    assert_eq!(inspect(dir.path()).expect("looked at"), Found::Free);
    let made = run("sft", "sft", "1");
    let mut folder = RunFolder::enter(dir.path(), &made).expect("free");
    assert_eq!(folder.claim(&made).expect("claimed").len(), 1);
    assert_eq!(inspect(dir.path()).expect("looked at"), Found::Run(made));
}

#[test]
fn clearing_removes_what_a_run_wrote_and_nothing_else() {
    let dir = temp();
    let run = dir.path();
    for name in
        ["metrics.jsonl", "complete.json", "completions/step-000001.jsonl", "samples/step-000000.jsonl"]
    {
        write(&run.join(name), "{}");
    }
    committed(&run.join("final"));
    committed(&checkpoints::path(run, 4));
    committed(&checkpoints::path(run, 8));
    let theirs = [
        "notes.txt",
        "final/notes.txt",
        "completions/mine.jsonl",
        "checkpoints/best/weights.bin",
        "checkpoints/step-000004/adapter/mine.txt",
    ];
    for name in theirs {
        write(&run.join(name), "mine");
    }
    let entries = ["complete.json", "metrics.jsonl", "completions", "samples", "final", "checkpoints"];
    clear(run, &entries).expect("cleared");
    let files = snapshot(run).into_iter().filter(|(_, content)| content.is_some());
    let left: Vec<PathBuf> = files.map(|(path, _)| path).collect();
    let mut expected: Vec<PathBuf> = theirs.iter().map(|name| run.join(name)).collect();
    expected.sort();
    assert_eq!(left, expected);
}

#[test]
fn a_replaced_folder_keeps_the_files_that_its_manifest_does_not_list() {
    let dir = temp();
    let target = dir.path().join("final");
    committed(&target);
    write(&target.join("notes.txt"), "mine");
    write(&target.join("new.bin"), "mine, under a name that is to be taken");
    let folder = FolderWriter::create(&target).expect("create");
    folder.write("new.bin", b"new").expect("write");
    folder.commit(json!({"step": 2})).expect("commit");
    verify(&target).expect("whole");
    let content = |name: &str| fs::read_to_string(target.join(name)).expect("there");
    assert_eq!((content("notes.txt"), content("new.bin")), ("mine".into(), "new".into()));
    assert_eq!(content("new.bin.kept"), "mine, under a name that is to be taken");
    assert!(!target.join("weights.bin").exists(), "what it listed is replaced");
}

#[test]
fn a_retired_checkpoint_keeps_what_its_manifest_does_not_list() {
    let dir = temp();
    for step in 1..=3 {
        committed(&checkpoints::path(dir.path(), step));
    }
    let notes = checkpoints::path(dir.path(), 1).join("notes.txt");
    write(&notes, "mine");
    let deleted = checkpoints::retain(dir.path(), NonZeroUsize::MIN).expect("retain");
    assert_eq!(deleted.iter().map(|c| c.step).collect::<Vec<_>>(), [2]);
    assert!(notes.exists() && !notes.with_file_name("weights.bin").exists());
}

#[cfg(unix)]
#[test]
fn a_folder_that_was_deleted_or_put_aside_is_noticed_and_not_made_again() {
    let dir = temp();
    let (path, made) = (dir.path().join("run"), run("sft", "sft", "1"));
    for another in [false, true] {
        let mut folder = RunFolder::enter(&path, &made).expect("free");
        folder.claim(&made).expect("claimed");
        folder.check().expect("there");
        fs::remove_dir_all(&path).expect("removed");
        if another {
            fs::create_dir(&path).expect("made");
        }
        let error = folder.write(&folder.config_path(), b"{}").expect_err("gone");
        assert!(matches!(error, Error::Vanished { .. }), "{error:?}");
        assert_eq!(path.exists(), another);
    }
    assert_eq!(fs::read_dir(&path).expect("list").count(), 0);
}

#[test]
fn a_result_file_is_whole_or_as_it_was() {
    let dir = temp();
    let path = dir.path().join("deep/out.jsonl");
    let mut output = OutputFile::create(&path).expect("opened");
    output.write_all(b"one").expect("written");
    assert!(!path.exists());
    output.commit().expect("committed");
    let mut output = OutputFile::create(&path).expect("opened");
    output.write_all(b"two").expect("written");
    drop(output);
    assert_eq!(fs::read(&path).expect("read"), b"one");
    assert_eq!(fs::read_dir(path.parent().expect("a parent")).expect("list").count(), 1);
    assert!(OutputFile::create(dir.path()).expect_err("refused").to_string().contains("it is a folder"));
}

#[cfg(unix)]
#[test]
fn a_result_file_is_written_through_links() {
    let dir = temp();
    let (file, link) = (dir.path().join("file"), dir.path().join("link"));
    write(&file, "a longer text than the next");
    std::os::unix::fs::symlink("file", &link).expect("a link");
    let mut output = OutputFile::create(&link).expect("opened");
    output.write_all(b"text").expect("written");
    output.commit().expect("committed");
    assert_eq!(fs::read(&file).expect("read"), b"text");
    assert!(link.symlink_metadata().expect("there").is_symlink());
}
