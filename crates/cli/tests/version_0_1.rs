//! Run folders as version 0.1 left them: they are reported, and their evaluations compared, as those of today.

mod common;

use common::{assert_code, rows, rows_of, ruminate, tiny, told};
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The name of a set in version 0.1.
fn old_set(set: &str) -> String {
    set.replace("validation", "held_out").replace("test", "fresh")
}

/// Rewrites each row of a log.
fn rewrite(log: &Path, old: impl Fn(&mut Map<String, Value>)) {
    let mut rows = rows_of(log);
    for row in &mut rows {
        old(row.as_object_mut().expect("an object"));
    }
    let lines: String = rows.iter().flat_map(|row| [row.to_string(), "\n".to_owned()]).collect();
    fs::write(log, lines).expect("written");
}

/// Gives a row of an evaluation the names of version 0.1: sets, and a key per measure.
fn old_evaluation(row: &mut Map<String, Value>) {
    let set = row["set"].as_str().expect("a set").to_owned();
    row.insert("set".to_owned(), old_set(&set).into());
    let Some(Value::Object(measures)) = row.remove("measures") else { panic!("no measures in {row:?}") };
    let name = |measure: &str| match measure {
        "format" => "well_formed".to_owned(),
        "thought_length" => "thought_length_mean".to_owned(),
        other => other.to_owned(),
    };
    row.extend(measures.into_iter().map(|(measure, value)| (name(&measure), value)));
}

#[test]
fn a_run_of_version_0_1_is_reported_with_todays_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    assert_code(&ruminate(&tiny("train-rl", text(&run), &["max_steps=2", "eval.n=3"])), 0);
    let page = |run: &Path| {
        assert_code(&ruminate(&["report", text(run)]), 0);
        fs::read_to_string(run.join("report.html")).expect("a page")
    };
    let today = page(&run);
    rewrite(&run.join("eval.jsonl"), old_evaluation);
    for entry in fs::read_dir(run.join("samples")).expect("samples") {
        rewrite(&entry.expect("an entry").path(), |row| {
            let set = row["set"].as_str().expect("a set").to_owned();
            row.insert("set".to_owned(), old_set(&set).into());
        });
    }
    let complete = fs::read_to_string(run.join("complete.json")).expect("a completed run");
    let old = complete.replace("\"evaluations\"", "\"reports\"").replace("\"validation", "\"held_out");
    assert_ne!(old, complete);
    fs::write(run.join("complete.json"), old).expect("written");
    let of_old = page(&run);
    assert!(today.contains("validation") && !today.contains("held_out"));
    let first = of_old.lines().zip(today.lines()).find(|(old, new)| old != new);
    assert!(of_old == today, "{first:?}");
}

#[test]
fn an_evaluation_of_version_0_1_is_compared_with_one_of_today() {
    let folder = tempfile::tempdir().expect("a folder");
    let (base, old, new) = (folder.path().join("base"), folder.path().join("old"), folder.path().join("new"));
    assert_code(&ruminate(&tiny("pretrain", text(&base), &[])), 0);
    let model = format!("model={}", base.join("final").display());
    for out in [&old, &new] {
        let output = ruminate(&tiny("eval", text(out), &[&model, "eval.n=3"]));
        assert_code(&output, 0);
    }
    let samples = old.join("samples.jsonl");
    rewrite(&samples, |row| {
        let set = row["set"].as_str().expect("a set").to_owned();
        row.insert("set".to_owned(), old_set(&set).into());
    });
    let compared = ruminate(&["eval", "--compare", text(&old), text(&new)]);
    assert_code(&compared, 0);
    let rows = rows(&compared.stdout);
    assert!(rows.iter().any(|row| row["set"] == "validation"), "{}", told(&compared));
    assert!(
        rows.iter().all(|row| !row["set"].as_str().is_some_and(|set| set.contains("held_out"))),
        "{rows:?}"
    );
}
