//! Files as hostile folders have them: pipes, devices, links.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![cfg(unix)]

use ruminate_files::{Error, open_regular, read, read_optional};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn refused(folder: &Path, name: &str) -> Error {
    read(folder, name, 100).unwrap_err()
}

#[test]
fn a_file_is_read_up_to_its_limit() {
    let folder = folder();
    fs::write(folder.path().join("a"), [b'a'; 100]).unwrap();
    fs::write(folder.path().join("b"), [b'a'; 101]).unwrap();
    assert_eq!(read(folder.path(), "a", 100).unwrap().len(), 100);
    assert!(matches!(refused(folder.path(), "b"), Error::Size { bytes: 101, limit: 100, .. }));
    assert!(matches!(refused(folder.path(), "c"), Error::Read { .. }));
    assert!(read_optional(folder.path(), "c", 100).unwrap().is_none());
    assert!(read_optional(folder.path(), "a/b", 100).unwrap().is_none());
}

/// Opening a pipe that has no writer waits for one.
#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let folder = folder();
    let pipe = folder.path().join("pipe");
    if !Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no mkfifo here");
        return;
    }
    symlink(&pipe, folder.path().join("link")).unwrap();
    for name in ["pipe", "link"] {
        assert!(matches!(refused(folder.path(), name), Error::NotRegular { found: "a pipe", .. }));
        assert!(matches!(open_regular(&folder.path().join(name)).unwrap_err(), Error::NotRegular { .. }));
    }
}

#[test]
fn devices_and_folders_are_refused() {
    let folder = folder();
    fs::create_dir(folder.path().join("within")).unwrap();
    symlink("/dev/zero", folder.path().join("zero")).unwrap();
    assert!(matches!(refused(folder.path(), "within"), Error::NotRegular { found: "a folder", .. }));
    assert!(matches!(refused(folder.path(), "zero"), Error::NotRegular { found: "a device", .. }));
    assert!(matches!(
        open_regular(Path::new("/dev/zero")).unwrap_err(),
        Error::NotRegular { found: "a device", .. }
    ));
}

#[test]
fn a_link_out_of_the_folder_is_named_with_its_target() {
    let (folder, other) = (folder(), folder());
    let secret = other.path().join("netrc");
    fs::write(&secret, "password").unwrap();
    symlink(&secret, folder.path().join("chat_template.jinja")).unwrap();
    symlink("chat_template.jinja", folder.path().join("again")).unwrap();
    symlink("nothing", folder.path().join("dangling")).unwrap();
    fs::create_dir(folder.path().join("blobs")).unwrap();
    symlink(other.path(), folder.path().join("additional")).unwrap();
    for name in ["chat_template.jinja", "again", "additional/netrc"] {
        let error = refused(folder.path(), name);
        assert!(matches!(&error, Error::Outside { .. }), "{name}: {error}");
        assert!(error.to_string().contains("netrc; put a copy"), "{error}");
    }
    assert!(matches!(read_optional(folder.path(), "dangling", 100).unwrap_err(), Error::Read { .. }));
}

#[test]
fn links_within_the_folder_and_into_the_blobs_of_its_cache_are_followed() {
    let cache = folder();
    let model = cache.path().join("models--org--name");
    let snapshot = model.join("snapshots/0123abc");
    fs::create_dir_all(snapshot.join("onnx")).unwrap();
    fs::create_dir_all(model.join("blobs")).unwrap();
    fs::write(model.join("blobs/9f86d0"), "{}").unwrap();
    fs::write(cache.path().join("token"), "hf_x").unwrap();
    symlink("../../blobs/9f86d0", snapshot.join("tokenizer.json")).unwrap();
    symlink("../../../blobs/9f86d0", snapshot.join("onnx/tokenizer.json")).unwrap();
    symlink("tokenizer.json", snapshot.join("same.json")).unwrap();
    symlink("../../../token", snapshot.join("chat_template.jinja")).unwrap();
    for (folder, name) in [
        (snapshot.clone(), "tokenizer.json"),
        (snapshot.clone(), "same.json"),
        (snapshot.join("onnx"), "tokenizer.json"),
    ] {
        assert_eq!(read(&folder, name, 100).unwrap(), b"{}");
    }
    assert!(matches!(refused(&snapshot, "chat_template.jinja"), Error::Outside { .. }));

    // The whole folder may be reached through a link.
    let short = cache.path().join("model");
    symlink(&snapshot, &short).unwrap();
    assert_eq!(read(&short, "tokenizer.json", 100).unwrap(), b"{}");

    // Blobs that lead elsewhere are no cache.
    fs::remove_dir_all(model.join("blobs")).unwrap();
    symlink("../..", model.join("blobs")).unwrap();
    symlink("../../blobs/token", snapshot.join("vocab.json")).unwrap();
    assert!(read(&snapshot, "vocab.json", 100).is_err());
}
