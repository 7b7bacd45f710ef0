//! Real faults on real files: what the crate promises when the disk, another run or a crash interferes.

use ruminate_run::{
    Artifact, Best, Completed, Corrupt, Error, Fault, FolderWriter, JsonlAppender, Made, RunFolder, Status,
    checkpoints,
};
use ruminate_run::{make_parents, verify, write_file};
use serde_json::json;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn temp() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn made() -> Made {
    let text = |text: &str| text.to_owned();
    Made { command: text("t"), stage: text("t"), id: text("0"), version: text("1"), files: Vec::new() }
}

/// Enters and claims a folder; with what was swept.
fn claimed(path: &Path) -> (RunFolder, Vec<PathBuf>) {
    let mut run = RunFolder::enter(path, &made()).expect("ours");
    let leftovers = run.claim(&made()).expect("claimed");
    (run, leftovers)
}

/// A committed folder of two files, one in a subfolder.
fn committed(target: &Path, step: u64) {
    make_parents(target).expect("made");
    let folder = FolderWriter::create(target).expect("create");
    folder.write("weights.bin", &[7; 1000]).expect("write");
    folder.write("optimizer/state.bin", b"moments").expect("write");
    folder.commit(json!({"step": step})).expect("commit");
}

fn fault(folder: &Path) -> Fault {
    match verify(folder) {
        Err(Error::Corrupt(Corrupt { folder: named, fault })) => {
            assert_eq!(named, folder);
            fault
        }
        other => panic!("expected a broken folder, found {other:?}"),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("list")
        .map(|entry| entry.expect("entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_committed_folder_verifies_and_tells_its_metadata() {
    let dir = temp();
    let target = dir.path().join("deep/er/step-000001");
    committed(&target, 1);
    let manifest = verify(&target).expect("intact");
    assert_eq!(manifest.metadata, json!({"step": 1}));
    assert_eq!(manifest.files.keys().collect::<Vec<_>>(), ["optimizer/state.bin", "weights.bin"]);
    assert_eq!(manifest.files["weights.bin"].bytes, 1000);
    assert_eq!(names(target.parent().expect("parent")), ["step-000001"], "no temporary name remains");
}

#[test]
fn a_truncated_file_is_named_with_both_sizes() {
    let dir = temp();
    let target = dir.path().join("c");
    committed(&target, 1);
    let file = fs::OpenOptions::new().write(true).open(target.join("weights.bin")).expect("open");
    file.set_len(999).expect("truncate");
    assert_eq!(fault(&target), Fault::Truncated { file: "weights.bin".into(), expected: 1000, found: 999 });
}

#[test]
fn a_flipped_bit_and_an_appended_byte_are_named() {
    let dir = temp();
    for damage in [|b: &mut Vec<u8>| b[500] ^= 4, |b: &mut Vec<u8>| b.push(7)] {
        let target = dir.path().join("c");
        committed(&target, 1);
        let mut bytes = fs::read(target.join("weights.bin")).expect("read");
        damage(&mut bytes);
        fs::write(target.join("weights.bin"), bytes).expect("write");
        assert_eq!(fault(&target), Fault::Changed { file: "weights.bin".into() });
    }
}

#[test]
fn a_missing_file_is_named() {
    let dir = temp();
    let target = dir.path().join("c");
    committed(&target, 1);
    fs::remove_file(target.join("optimizer/state.bin")).expect("remove");
    assert_eq!(fault(&target), Fault::Missing { file: "optimizer/state.bin".into() });
}

#[test]
fn a_folder_without_manifest_is_not_complete() {
    let dir = temp();
    let target = dir.path().join("c");
    assert_eq!(fault(&target), Fault::NoManifest);
    committed(&target, 1);
    fs::remove_file(target.join("manifest.json")).expect("remove");
    assert_eq!(fault(&target), Fault::NoManifest);
}

#[test]
fn a_writer_dropped_at_any_stage_leaves_nothing() {
    for files in 0..3 {
        let dir = temp();
        let writer = FolderWriter::create(&dir.path().join("step-000001")).expect("create");
        for k in 0..files {
            writer.write(&format!("shard-{k}"), b"bytes").expect("write");
        }
        drop(writer);
        assert_eq!(names(dir.path()), [""; 0], "after {files} files");
    }
}

#[test]
fn a_crash_at_any_stage_is_swept_and_told_on_the_next_open() {
    for files in 0..3 {
        let dir = temp();
        drop(claimed(dir.path()));
        committed(&checkpoints::path(dir.path(), 1), 1);
        let writer = checkpoints::create(dir.path(), 2).expect("create");
        for k in 0..files {
            writer.write(&format!("shard-{k}"), b"bytes").expect("write");
        }
        let leftover = writer.folder().to_owned();
        std::mem::forget(writer); // what SIGKILL leaves: no drop runs

        let (_run, leftovers) = claimed(dir.path());
        assert_eq!(leftovers, [leftover]);
        assert_eq!(names(&dir.path().join("checkpoints")), ["step-000001"]);
        let newest = checkpoints::newest(dir.path()).expect("list");
        assert_eq!(newest.found.expect("one verifies").0.step, 1);
    }
}

#[test]
fn a_crash_between_the_renames_of_a_replacement_gives_the_old_folder_back() {
    let dir = temp();
    drop(claimed(dir.path()));
    committed(&dir.path().join("final"), 1);
    fs::rename(dir.path().join("final"), dir.path().join("final.old-4242")).expect("rename");
    fs::create_dir(dir.path().join("final.tmp-4242")).expect("mkdir");

    let (run, leftovers) = claimed(dir.path());
    assert_eq!(leftovers.len(), 2);
    assert_eq!(verify(&run.final_path()).expect("restored").metadata, json!({"step": 1}));
}

#[test]
fn sweeping_leaves_foreign_files_and_inner_run_folders_alone() {
    let dir = temp();
    drop(claimed(dir.path()));
    let (base, _) = claimed(&dir.path().join("base"));
    fs::create_dir(base.path().join("final.tmp-1")).expect("mkdir"); // a save in progress, for all we know
    for name in ["notes.tmp", "notes.tmp-12", "thesis.old-7", "final.bak-1"] {
        fs::write(dir.path().join(name), "mine").expect("write");
    }
    fs::create_dir_all(dir.path().join("checkpoints/best.tmp-3")).expect("mkdir");
    let before = names(dir.path());
    let (_run, leftovers) = claimed(dir.path());
    assert!(leftovers.is_empty(), "{leftovers:?}");
    assert_eq!(names(dir.path()), before);
    assert!(base.path().join("final.tmp-1").exists() && dir.path().join("checkpoints/best.tmp-3").exists());
}

#[test]
fn committing_over_a_folder_replaces_it_whole() {
    let dir = temp();
    let target = dir.path().join("final");
    committed(&target, 1);
    let writer = FolderWriter::create(&target).expect("create");
    writer.write("only.bin", b"new").expect("write");
    assert_eq!(verify(&target).expect("old until commit").metadata, json!({"step": 1}));
    writer.commit(json!({"step": 2})).expect("commit");
    assert_eq!(names(&target), ["manifest.json", "only.bin"]);
    assert_eq!(verify(&target).expect("new").metadata, json!({"step": 2}));
    assert_eq!(names(dir.path()), ["final"]);
}

#[test]
fn a_second_run_on_a_folder_is_refused_by_name_until_the_first_ends() {
    let dir = temp();
    let (first, _) = claimed(dir.path());
    let error = RunFolder::enter(dir.path(), &made()).expect_err("it is held");
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    match error {
        Error::Locked { path, holder } => {
            assert_eq!(path, dir.path());
            assert_eq!(holder, Some(std::process::id()));
        }
        other => panic!("expected Locked, found {other:?}"),
    }
    drop(first);
    RunFolder::enter(dir.path(), &made()).expect("free again");
}

#[test]
fn a_folder_is_fresh_then_started_then_complete() {
    let dir = temp();
    let (run, _) = claimed(dir.path());
    assert_eq!(run.status().expect("readable"), Status::Fresh);
    write_file(&run.recipe_path(), b"seed = 0").expect("write");
    assert_eq!(run.status().expect("readable"), Status::Started);

    let completed =
        Completed { recipe_sha256: "ab".into(), summary: json!({"pass@1": 0.98}), leaves: Artifact::Model };
    let premature = run.complete(&completed);
    assert!(matches!(premature, Err(Error::Corrupt(_))), "no final/ yet: {premature:?}");
    committed(&run.final_path(), 9);
    run.complete(&completed).expect("final verifies");
    assert_eq!(run.status().expect("readable"), Status::Complete(completed));

    fs::remove_file(run.final_path().join("weights.bin")).expect("remove");
    assert!(matches!(run.status(), Err(Error::Corrupt(_))), "complete, yet final/ is damaged");
}

#[test]
fn a_damaged_completion_mark_is_told_as_broken() {
    let dir = temp();
    let (run, _) = claimed(dir.path());
    fs::write(dir.path().join("complete.json"), "{\"recipe").expect("write");
    let error = run.status().expect_err("half a mark");
    assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
    assert!(error.to_string().contains("complete.json"), "{error}");
}

#[test]
fn the_newest_checkpoint_that_verifies_is_found_and_broken_ones_are_told() {
    let dir = temp();
    for step in [5, 10, 15, 20] {
        committed(&checkpoints::path(dir.path(), step), step);
    }
    fs::remove_file(checkpoints::path(dir.path(), 20).join("weights.bin")).expect("remove");
    fs::write(checkpoints::path(dir.path(), 15).join("weights.bin"), [0; 1000]).expect("write");
    let newest = checkpoints::newest(dir.path()).expect("list");
    let (checkpoint, manifest) = newest.found.expect("10 is intact");
    assert_eq!((checkpoint.step, &manifest.metadata), (10, &json!({"step": 10})));
    let skipped: Vec<PathBuf> = newest.skipped.into_iter().map(|broken| broken.folder).collect();
    assert_eq!(skipped, [checkpoints::path(dir.path(), 20), checkpoints::path(dir.path(), 15)]);
}

#[test]
fn a_run_without_checkpoints_has_no_newest() {
    let dir = temp();
    let newest = checkpoints::newest(dir.path()).expect("nothing to list");
    assert!(newest.found.is_none() && newest.skipped.is_empty());
}

#[test]
fn retention_keeps_the_last_and_deletes_the_older() {
    let dir = temp();
    for step in 1..=4 {
        committed(&checkpoints::path(dir.path(), step), step);
    }
    let deleted = checkpoints::retain(dir.path(), NonZeroUsize::new(2).expect("two")).expect("retain");
    assert_eq!(deleted.iter().map(|c| c.step).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(names(&dir.path().join("checkpoints")), ["step-000003", "step-000004"]);
}

#[test]
fn a_broken_newest_checkpoint_never_costs_the_good_one_before_it() {
    let dir = temp();
    for step in 1..=2 {
        committed(&checkpoints::path(dir.path(), step), step);
    }
    fs::remove_file(checkpoints::path(dir.path(), 2).join("weights.bin")).expect("remove");
    assert_eq!(checkpoints::retain(dir.path(), NonZeroUsize::MIN).expect("retain"), []);
    assert_eq!(checkpoints::newest(dir.path()).expect("list").found.expect("step 1").0.step, 1);
}

#[test]
fn a_failed_file_write_keeps_the_old_content_and_no_temporary() {
    let dir = temp();
    let path = dir.path().join("recipe.toml");
    // A folder of that name: the rename fails.
    fs::create_dir(&path).expect("mkdir");
    fs::write(path.join("old"), "old").expect("write");
    assert!(matches!(write_file(&path, b"new"), Err(Error::Disk { .. })));
    assert_eq!((names(dir.path()), names(&path)), (vec!["recipe.toml".into()], vec!["old".into()]));
    fs::remove_dir_all(&path).expect("removed");
    write_file(&path, b"new").expect("write");
    assert_eq!(fs::read(&path).expect("read"), b"new");
    assert_eq!(names(dir.path()), ["recipe.toml"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_during_a_save_is_told_as_full_and_the_last_checkpoint_stays() {
    let dir = temp();
    committed(&checkpoints::path(dir.path(), 1), 1);
    let writer = checkpoints::create(dir.path(), 2).expect("create");
    writer.write("shard-0", b"fits").expect("write");
    let full = writer.path("shard-1").expect("create");
    std::os::unix::fs::symlink("/dev/full", full).expect("symlink");
    let error = writer.write("shard-1", b"does not fit").expect_err("no space left");
    assert!(error.is_disk_full(), "{error:?}");
    assert!(error.to_string().contains("shard-1"), "{error}");
    drop(writer);
    assert_eq!(names(&dir.path().join("checkpoints")), ["step-000001"]);
    verify(&checkpoints::path(dir.path(), 1)).expect("intact");
}

#[test]
#[should_panic(expected = "cannot name a file")]
fn a_file_that_would_leave_the_folder_is_a_programming_error() {
    let dir = temp();
    let writer = FolderWriter::create(&dir.path().join("c")).expect("create");
    let _ = writer.write("../outside", b"");
}

#[test]
fn the_best_checkpoint_outlives_newer_ones_until_another_is_better() {
    let dir = temp();
    let (run, _) = claimed(&dir.path().join("run"));
    let steps = || checkpoints::list(run.path()).expect("list").iter().map(|c| c.step).collect::<Vec<_>>();
    assert_eq!(Best::read(run.path()).expect("none"), None);
    for step in 1..=5 {
        committed(&checkpoints::path(run.path(), step), step);
        checkpoints::retain(run.path(), NonZeroUsize::new(2).expect("two")).expect("retain");
        if step == 2 || step == 5 {
            Best { step, metric: "pass@1".into(), value: 0.5 }.write(&run).expect("written");
        }
        let kept: &[u64] = [&[1][..], &[1, 2], &[2, 3], &[2, 3, 4], &[2, 4, 5]][step as usize - 1];
        assert_eq!(steps(), kept, "after step {step}");
    }
    checkpoints::retain(run.path(), NonZeroUsize::new(2).expect("two")).expect("retain");
    assert_eq!(steps(), [4, 5], "the best one is among the newest");
    assert_eq!(
        Best::read(run.path()).expect("read").expect("there").checkpoint(run.path()),
        checkpoints::path(run.path(), 5)
    );
    fs::write(run.path().join("best.json"), "{").expect("written");
    let broken = Best::read(run.path()).expect_err("malformed").to_string();
    assert!(broken.contains("best.json does not parse"), "{broken}");
    assert!(checkpoints::retain(run.path(), NonZeroUsize::MIN).is_ok(), "no reason to end a run");
}

#[test]
fn a_reopened_run_is_one_that_was_begun() {
    let dir = temp();
    let (run, _) = claimed(&dir.path().join("run"));
    let completed = Completed { recipe_sha256: "0".into(), summary: json!({}), leaves: Artifact::Files };
    run.complete(&completed).expect("complete");
    assert_eq!(run.status().expect("read"), Status::Complete(completed));
    fs::write(run.path().join("metrics.jsonl"), "{}").expect("written");
    run.reopen().expect("reopened");
    assert_eq!(run.status().expect("read"), Status::Started);
    run.reopen().expect("nothing to take away");
}

/// A run whose folder is moved away between a check and a write must not bring it back.
#[test]
fn a_write_does_not_make_the_run_folder_again() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("run");
    let run = RunFolder::enter(&path, &made()).expect("entered");
    fs::rename(&path, place.path().join("aside")).expect("moved");
    for written in [
        write_file(&run.config_path(), b"{}"),
        write_file(&run.samples_path(1), b"{}"),
        FolderWriter::create(&run.final_path()).map(drop),
        checkpoints::create(run.path(), 1).map(drop),
        JsonlAppender::open(&run.metrics_path()).map(drop),
    ] {
        assert!(matches!(&written, Err(Error::Disk { .. })), "{written:?}");
        let told = run.or_vanished(written);
        assert!(matches!(told, Err(Error::Vanished { .. })), "{told:?}");
    }
    assert!(matches!(run.inner("logits"), Err(Error::Vanished { .. })));
    assert!(!path.exists(), "it is not made again");
}
