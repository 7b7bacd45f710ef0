//! Logs on a working disk, on a full one, and after a crash.

use ruminate_run::{Appended, Error, JsonlAppender, Truncation, truncate_after};
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

fn log(content: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("metrics.jsonl");
    fs::write(&path, content).expect("write");
    (dir, path)
}

fn up_to(step: u64) -> impl Fn(&serde_json::Value) -> bool {
    move |row| row["step"].as_u64().is_some_and(|s| s <= step)
}

#[test]
fn rows_are_lines_and_reopening_appends() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("step-000001.jsonl");
    for step in 1..=2 {
        let mut log = JsonlAppender::open(&path).expect("open");
        assert!(matches!(log.append(&json!({"step": step, "kl": f64::NAN})), Appended::Written));
    }
    let text = fs::read_to_string(&path).expect("read");
    assert_eq!(text, "{\"step\":1,\"kl\":null}\n{\"step\":2,\"kl\":null}\n");
}

#[test]
fn opening_cuts_off_the_partial_line_of_a_crash() {
    let (_dir, path) = log(b"{\"step\":1}\n{\"st");
    let mut log = JsonlAppender::open(&path).expect("open");
    assert!(matches!(log.append(&json!({"step": 2})), Appended::Written));
    assert_eq!(fs::read_to_string(&path).expect("read"), "{\"step\":1}\n{\"step\":2}\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_once_and_the_run_goes_on() {
    let mut log = JsonlAppender::open(std::path::Path::new("/dev/full")).expect("a device opens");
    match log.append(&json!({"step": 1})) {
        Appended::Failed(error) => {
            assert!(error.is_disk_full(), "{error:?}");
            assert!(error.to_string().contains("/dev/full"), "{error}");
        }
        other => panic!("expected the first failure, found {other:?}"),
    }
    for step in 2..=3 {
        assert!(matches!(log.append(&json!({"step": step})), Appended::Lost));
    }
    assert_eq!(log.lost(), 3);
    log.sync().expect("the loss has been told; syncing adds no second failure");
}

#[test]
fn rewinding_keeps_the_wanted_lines_byte_by_byte() {
    // Odd spacing and a float that does not survive re-serialisation in every library: lines must not be touched.
    let (_dir, path) =
        log(b"{\"step\": 1,  \"x\": 0.1e1}\n{\"step\": 2}\n{\"step\": 3}\n{\"step\": 4, \"x\"");
    let truncation = truncate_after(&path, up_to(2)).expect("rewind");
    assert_eq!(truncation, Truncation { kept: 2, dropped: 1, unfinished: 1, ..Default::default() });
    assert_eq!(fs::read(&path).expect("read"), b"{\"step\": 1,  \"x\": 0.1e1}\n{\"step\": 2}\n");
    assert_eq!(truncate_after(&path, up_to(2)).expect("again"), Truncation { kept: 2, ..Default::default() });
}

#[test]
fn a_last_line_without_newline_is_not_trusted_even_when_it_parses() {
    let (_dir, path) = log(b"nonsense\n{\"step\":1}\n{\"step\":1}");
    let truncation = truncate_after(&path, up_to(9)).expect("rewind");
    assert_eq!(truncation, Truncation { kept: 1, dropped: 0, unreadable: 1, unfinished: 1 });
}

#[test]
fn an_absent_log_is_empty_and_stays_absent() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("metrics.jsonl");
    assert_eq!(truncate_after(&path, up_to(1)).expect("nothing to do"), Truncation::default());
    assert!(!path.exists());
}

#[cfg(unix)]
#[test]
fn a_log_that_is_no_regular_file_is_refused_without_being_read() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("metrics.jsonl");
    std::os::unix::fs::symlink("/dev/zero", &path).expect("a link");
    let error = truncate_after(&path, up_to(1)).expect_err("it has no end");
    assert!(matches!(error, Error::NotRegular { .. }), "{error:?}");
    assert!(error.to_string().contains("metrics.jsonl is a link"), "{error}");
}
