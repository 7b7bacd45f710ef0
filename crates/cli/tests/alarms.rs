//! Runs that learn nothing: what is raised, where it can be read, and what ends a run. And evaluations that measure nothing.

mod common;

use common::{assert_code, rows, rows_of, ruminate, timeless_metrics, tiny, told};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The steps whose rows have an alarm of that name, with its advice.
fn raised(run: &Path, name: &str) -> Vec<(u64, String)> {
    let rows = rows_of(&run.join("metrics.jsonl"));
    let of_row = |row: &Value| {
        let alarm = row["alarms"].as_array()?.iter().find(|alarm| alarm["name"] == name)?;
        for key in ["metric", "value"] {
            assert!(!alarm[key].is_null(), "{key} of {alarm}");
        }
        Some((row["step"].as_u64()?, alarm["advice"].as_str()?.to_owned()))
    };
    rows.iter().filter_map(of_row).collect()
}

#[test]
fn a_run_that_learns_nothing_is_told_in_every_place_with_the_reason_and_can_be_silenced() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    // What hardly trained weights write is never right: all rewards are 0.
    let sets = ["max_steps=6", "eval.n=2", "reward.format=0"];
    let output = ruminate(&tiny("train-rl", text(&run), &sets));
    assert_code(&output, 0);

    let alarms = raised(&run, "all_equal");
    let [(3, advice)] = &alarms[..] else { panic!("once, at the third step: {alarms:?}") };
    for part in ["no completion was right", "most frequent reason: ", "no <answer>"] {
        assert!(advice.contains(part), "{part} in {advice}");
    }
    assert!(raised(&run, "unscored").is_empty() && raised(&run, "judge").is_empty());
    let shown = told(&output);
    assert_eq!(shown.matches("alarm at step 3: all groups have equal rewards").count(), 2, "{shown}");
    assert!(shown.contains("(alarms.all_equal)"), "{shown}");
    let complete: Value =
        serde_json::from_slice(&fs::read(run.join("complete.json")).expect("a completed run")).expect("JSON");
    let kept = &complete["summary"]["alarms"];
    assert!(
        kept.as_array()
            .expect("a list")
            .iter()
            .any(|alarm| alarm["name"] == "all_equal" && alarm["step"] == 3)
    );
    let page = fs::read_to_string(run.join("report.html")).expect("a report");
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}"));
    assert!(at("<b>step 3, all_equal</b>") < at("<h2>Results"));
    let again = ruminate(&tiny("train-rl", text(&run), &sets));
    assert_code(&again, 0);
    assert!(told(&again).contains("alarm at step 3"), "a completed run repeats it: {}", told(&again));

    let silent = folder.path().join("silent");
    let sets = [&sets[..], &["alarms.all_equal=false", "alarms.clipped=false"]].concat();
    let output = ruminate(&tiny("train-rl", text(&silent), &sets));
    assert_code(&output, 0);
    assert!(!told(&output).contains("alarm at step"), "{}", told(&output));
    let without = |run: &Path| -> Vec<Value> {
        let mut rows = timeless_metrics(run);
        for row in &mut rows {
            row.as_object_mut().expect("an object").remove("alarms");
        }
        rows
    };
    assert_eq!(timeless_metrics(&silent), without(&run), "an alarm changes nothing of the run");
}

#[test]
fn a_run_without_a_right_completion_ends_with_exit_8_and_a_resumed_one_at_the_same_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let sets = ["max_steps=6", "eval.n=1", "reward.format=0", "train.save_steps=3", "alarms.all_wrong=5"];
    let ended = ruminate(&tiny("train-rl", text(&run), &sets));
    assert_code(&ended, 8);
    let message = told(&ended);
    for part in [
        "step 5: for 5 steps in a row every group had equal rewards",
        "none of a step's 16 completions was right",
        "most frequent reason: no <answer>",
        "(`alarms.all_wrong`",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let [(5, advice)] = &raised(&run, "all_wrong")[..] else { panic!("{message}") };
    assert!(advice.contains("which ends the run; most frequent reason: no <answer>"), "{advice}");

    // The three steps before the checkpoint count.
    let again = [tiny("train-rl", text(&run), &sets), vec!["--resume", "auto"]].concat();
    let ended = ruminate(&again);
    assert_code(&ended, 8);
    assert!(
        told(&ended).contains("(step 3)") && told(&ended).contains("step 5: for 5 steps"),
        "{}",
        told(&ended)
    );
    let without = [again, vec!["--set", "alarms.all_wrong=false"]].concat();
    assert_code(&ruminate(&without), 0);
    assert_eq!(rows_of(&run.join("metrics.jsonl")).len(), 6);
}

#[test]
fn a_limit_that_cannot_be_is_refused_with_its_key() {
    for (set, says) in [
        ("alarms.all_equal=0", "all_equal"),
        ("alarms.clipped=2", "clipped"),
        ("alarms.entropy=true", "false to silence"),
        ("alarms.al_equal=3", "did you mean `alarms.all_equal`?"),
    ] {
        let output = ruminate(&["train-rl", "--set", set]);
        assert_code(&output, 2);
        assert!(told(&output).contains(says), "{set}: {}", told(&output));
    }
}

/// A judge that counts what it judges, and ends for good once it has judged as many as the file `until` says.
struct Judge {
    folder: PathBuf,
}

impl Judge {
    fn new(folder: &Path) -> Self {
        let judge = Self { folder: folder.to_owned() };
        judge.lives_until(u64::MAX);
        judge
    }

    fn lives_until(&self, count: u64) {
        fs::write(self.folder.join("count"), "0").expect("written");
        fs::write(self.folder.join("until"), count.to_string()).expect("written");
    }

    fn judged(&self) -> u64 {
        fs::read_to_string(self.folder.join("count")).expect("a count").trim().parse().expect("a number")
    }

    /// As an override: a component whose score is that of the completion's length.
    fn set(&self) -> String {
        let folder = self.folder.display();
        let script = format!(
            "while read -r line; do n=$(cat {folder}/count); [ $n -ge $(cat {folder}/until) ] && exit 1; echo $((n + 1)) > \
             {folder}/count; said=${{line#*completion}}; echo \"{{\\\"score\\\": 0.$((${{#said}} % 10))}}\"; done"
        );
        format!("reward.components=[{{ kind = \"command\", command = [\"sh\", \"-c\", '''{script}'''] }}]")
    }
}

/// The bytes of every file of a folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = fs::read(&path).expect("a file");
            found.insert(path, bytes);
        }
    }
    found
}

#[cfg(unix)]
#[test]
fn a_judge_that_dies_ends_the_run_with_exit_8_and_the_steps_without_verdicts_do_not_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let judge = Judge::new(folder.path());
    let reward = judge.set();
    let sets = [reward.as_str(), "max_steps=9", "eval.n=1", "train.save_steps=3", "train.save_total_limit=2"];
    assert_code(&ruminate(&tiny("train-rl", text(&whole), &sets)), 0);
    // The doctor asks once. The evaluations before and after judge the same number; a step judges four problems four times.
    let before = (judge.judged() - 1 - 9 * 16) / 2;

    judge.lives_until(1 + before + 4 * 16);
    let ended = ruminate(&tiny("train-rl", text(&broken), &sets));
    assert_code(&ended, 8);
    let message = told(&ended);
    for part in [
        "step 7: 16 of 16 completions could not be scored",
        "for 3 steps in a row",
        "most frequent reason: ",
        "has failed 4 times in a row",
        "--resume auto",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let metrics = rows_of(&broken.join("metrics.jsonl"));
    assert_eq!(metrics.len(), 7);
    for row in &metrics[4..] {
        for name in ["reward", "reward_std", "correct", "frac_reward_zero_std"] {
            assert!(row.get(name).is_some_and(Value::is_null), "{name} of {row}");
        }
        assert_eq!(row["unscored"], 16.0);
    }
    assert!(metrics[3]["reward"].is_number());
    let [(7, advice)] = &raised(&broken, "unscored")[..] else { panic!("{metrics:?}") };
    assert!(advice.contains("has failed 4 times in a row"), "{advice}");

    // Saved when the verdicts stayed away, and neither replaced nor rotated away since.
    let checkpoints = broken.join("checkpoints");
    let names =
        |folder: &Path| files(folder).into_keys().filter(|path| path.ends_with("manifest.json")).count();
    assert_eq!(names(&checkpoints), 2);
    for step in ["step-000003", "step-000004"] {
        assert!(checkpoints.join(step).join("manifest.json").is_file(), "{step}");
    }
    let saved = files(&checkpoints);

    // With the judge still gone the run ends the same way, and the checkpoints are what they were.
    let again = [tiny("train-rl", text(&broken), &sets), vec!["--resume", "auto"]].concat();
    let refused = ruminate(&again);
    assert_code(&refused, 2);
    assert!(told(&refused).contains("reward_command"), "{}", told(&refused));
    let again = [again, vec!["--force"]].concat();
    let ended = ruminate(&again);
    assert_code(&ended, 8);
    assert!(told(&ended).contains("(step 4)"), "{}", told(&ended));
    assert_eq!(files(&checkpoints), saved);
    let page = ruminate(&["report", text(&broken)]);
    assert_code(&page, 0);
    let page = fs::read_to_string(broken.join("report.html")).expect("a report");
    assert!(page.contains("<b>step 7, unscored</b>") && page.contains("not complete"));

    judge.lives_until(u64::MAX);
    assert_code(&ruminate(&again), 0);
    assert_eq!(timeless_metrics(&broken), timeless_metrics(&whole));
    assert_eq!(rows_of(&broken.join("eval.jsonl")), rows_of(&whole.join("eval.jsonl")));
    assert_eq!(
        fs::read(broken.join("final/model.safetensors")).expect("a model"),
        fs::read(whole.join("final/model.safetensors")).expect("a model")
    );
}

#[cfg(unix)]
#[test]
fn an_absurd_reward_is_named_as_the_reward() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let script = "while read -r line; do echo '{\"score\": 1e308}'; done";
    let reward =
        format!("reward.components=[{{ kind = \"command\", command = [\"sh\", \"-c\", '''{script}'''] }}]");
    let output = ruminate(&tiny("train-rl", text(&run), &[&reward, "eval.n=1"]));
    assert_code(&output, 5);
    let message = told(&output);
    assert!(message.contains("step 1: a completion has the reward 1e308"), "{message}");
    assert!(message.contains("`command`") && message.contains("[reward]"), "{message}");
    assert!(!message.contains("learning_rate"), "{message}");
}

#[test]
fn an_evaluation_whose_completions_are_all_cut_off_has_no_figure() {
    let folder = tempfile::tempdir().expect("a folder");
    let (base, measured) = (folder.path().join("base"), folder.path().join("measured"));
    assert_code(&ruminate(&tiny("pretrain", text(&base), &[])), 0);
    let model = format!("model={}", base.join("final").display());
    // The doctor would refuse a limit that no answer keeps.
    let evaluate = ["eval", "--force", "--out", text(&measured), "--set", &model];
    let sets = ["rollout.max_new_tokens=1", "eval.n=3", "eval.num_samples=2", "eval.empty_thought=false"];
    let args: Vec<&str> = evaluate.into_iter().chain(sets.iter().flat_map(|set| ["--set", set])).collect();
    let output = ruminate(&args);
    assert_code(&output, 0);
    let row = &rows(&output.stdout)[0];
    assert_eq!(row["truncated"], 1.0);
    assert!(row["pass@1"].is_null() && row["pass@1_ci"].is_null() && row["pass@2"].is_null(), "{row}");
    let shown = told(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        shown.contains(
            "nothing was measured: every completion was cut off at 1 tokens; raise `rollout.max_new_tokens`"
        ),
        "{shown}"
    );
    assert!(shown.contains("pass@1, sampled not measured"), "{shown}");
}
