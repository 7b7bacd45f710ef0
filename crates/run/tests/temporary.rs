//! What lies in a folder while something is written into it, where others may look or write as well.
#![cfg(unix)]

use ruminate_run::{Error, FolderWriter, Made, OutputFile, RunFolder, write_file};
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

fn made() -> Made {
    let text = |text: &str| text.to_owned();
    Made { command: text("t"), stage: text("t"), id: text("0"), version: text("1"), files: Vec::new() }
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().expect("there").permissions().mode() & 0o777
}

/// The permissions that files and folders of this process have where nothing is said about them.
fn usual(folder: &Path) -> (u32, u32) {
    let (file, inner) = (folder.join("usual-file"), folder.join("usual-folder"));
    drop(File::create(&file).expect("made"));
    fs::create_dir(&inner).expect("made");
    let modes = (mode(&file), mode(&inner));
    fs::remove_file(file).expect("removed");
    fs::remove_dir(inner).expect("removed");
    modes
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn what_is_being_written_is_its_owners_alone_and_has_the_usual_permissions_under_its_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let (file, folder) = usual(dir.path());

    let writer = FolderWriter::create(&dir.path().join("final")).expect("created");
    writer.write("weights.bin", b"weights").expect("written");
    assert_eq!(mode(writer.folder()), 0o700);
    writer.commit(json!({})).expect("committed");
    assert_eq!(mode(&dir.path().join("final")), folder);

    let out = dir.path().join("out.jsonl");
    let mut output = OutputFile::create(&out).expect("created");
    writeln!(output, "a line").expect("written");
    let temporary: Vec<PathBuf> =
        entries(dir.path()).into_iter().filter(|path| !path.ends_with("final")).collect();
    assert_eq!(temporary.len(), 1, "{temporary:?}");
    assert_eq!(mode(&temporary[0]), 0o600);
    output.commit().expect("committed");
    assert_eq!(mode(&out), file);

    fs::set_permissions(&out, PermissionsExt::from_mode(0o640)).expect("set");
    OutputFile::create(&out).expect("created").commit().expect("committed");
    assert_eq!(mode(&out), 0o640, "a file that is replaced keeps its permissions");

    let recipe = dir.path().join("recipe.toml");
    write_file(&recipe, b"seed = 0").expect("written");
    assert_eq!(mode(&recipe), file);
    assert_eq!(entries(dir.path()).len(), 3, "nothing else stays");
}

#[test]
fn a_temporary_name_is_not_foreseeable() {
    let dir = tempfile::tempdir().expect("a folder");
    let writers = [0; 2].map(|_| FolderWriter::create(&dir.path().join("final")).expect("created"));
    let names = writers.each_ref().map(|writer| {
        let name = writer.folder().file_name().expect("a name").to_str().expect("UTF-8").to_owned();
        assert!(!name.contains(&std::process::id().to_string()), "{name}");
        name.strip_prefix("final.tmp-").expect("it begins with what it is for").to_owned()
    });
    assert!(names.iter().all(|name| name.len() == 20) && names[0] != names[1], "{names:?}");
}

#[test]
fn a_link_at_a_final_name_is_replaced_and_not_followed() {
    let dir = tempfile::tempdir().expect("a folder");
    let (thesis, link) = (dir.path().join("thesis"), dir.path().join("complete.json"));
    fs::write(&thesis, "mine").expect("written");
    symlink(&thesis, &link).expect("linked");
    write_file(&link, b"{}").expect("written");
    assert_eq!(fs::read_to_string(&thesis).expect("there"), "mine");
    assert!(mode(&link) != 0o777 && !link.symlink_metadata().expect("there").is_symlink());
}

#[test]
fn a_reader_of_a_run_folder_cannot_take_its_lock() {
    let dir = tempfile::tempdir().expect("a folder");
    let lock = dir.path().join(".lock");
    let mut run = RunFolder::enter(dir.path(), &made()).expect("free");
    run.claim(&made()).expect("claimed");
    assert_eq!(mode(&lock), 0o600);
    drop(run);
    // As version 0.1.0 left it.
    fs::set_permissions(&lock, PermissionsExt::from_mode(0o644)).expect("set");
    let mut run = RunFolder::enter(dir.path(), &made()).expect("ours");
    run.claim(&made()).expect("claimed");
    assert_eq!(mode(&lock), 0o600);
}

#[test]
fn a_lock_that_is_a_link_or_a_pipe_is_refused_and_what_it_leads_to_stays() {
    let dir = tempfile::tempdir().expect("a folder");
    let (run, thesis) = (dir.path().join("run"), dir.path().join("thesis"));
    RunFolder::enter(&run, &made()).expect("free").claim(&made()).expect("claimed");
    fs::write(&thesis, "a chapter").expect("written");
    let lock = run.join(".lock");
    fs::remove_file(&lock).expect("removed");
    symlink(&thesis, &lock).expect("linked");
    let error = RunFolder::enter(&run, &made()).expect_err("a link");
    assert!(matches!(error, Error::NotRegular { kind: "a link", .. }), "{error:?}");
    assert_eq!(fs::read_to_string(&thesis).expect("there"), "a chapter");

    fs::remove_file(&lock).expect("removed");
    nix::unistd::mkfifo(&lock, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    // Held open, so that opening it would not fail by itself.
    let _reader = OpenOptions::new().read(true).write(true).open(&lock).expect("opened");
    let error = RunFolder::enter(&run, &made()).expect_err("a pipe");
    assert!(matches!(error, Error::NotRegular { .. }), "{error:?}");
}

#[test]
fn what_interrupted_writes_of_this_and_the_first_version_left_is_swept() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(RunFolder::enter(dir.path(), &made()).expect("free").claim(&made()).expect("claimed"));
    let (ours, others) = (
        ["final.tmp-4242", "complete.json.tmp-4242001", "final.tmp-0aB1cD2eF3gH4iJ5kL6m"],
        ["final.tmp-draft", "notes.tmp-0aB1cD2eF3gH4iJ5kL6m"],
    );
    for name in ours.iter().chain(&others) {
        fs::write(dir.path().join(name), "half").expect("written");
    }
    let mut swept = RunFolder::enter(dir.path(), &made()).expect("ours").claim(&made()).expect("claimed");
    swept.sort();
    let mut expected = ours.map(|name| dir.path().join(name)).to_vec();
    expected.sort();
    assert_eq!(swept, expected);
    for name in others {
        assert!(dir.path().join(name).exists(), "{name}");
    }
}
