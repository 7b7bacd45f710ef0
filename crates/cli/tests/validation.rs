//! Small validations during training: the best checkpoint, the early end, a finished run that is extended, and what the
//! recipe's logger gets of it all.
#![cfg(unix)]

mod common;

use common::{assert_code, rows, rows_of, ruminate, timeless_metrics, tiny, told};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

/// The more small letters a completion has, the better.
const LETTERS: &str = r#"reward.components=[{ kind = "command", command = ["sh", "-c",
'while read -r l; do n=$(printf %s "${l##*completion}" | tr -cd a-z | wc -c); echo "{\"score\": $n}"; done'] }]"#;

/// Small validations of every second step, and rates that change what is written.
const VALIDATED: [&str; 6] = [
    "eval.validation_steps=2",
    "eval.validation_n=3",
    "eval.metric_for_best_model=reward",
    "train.learning_rate=1e-2",
    "train.lr_scheduler_type=constant",
    "train.save_total_limit=1",
];

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, name: &str, sets: &[&str], flags: &[&str]) -> Output {
        let out = self.path(name);
        let sets = [&VALIDATED[..], &[LETTERS], sets].concat();
        ruminate(&[tiny("train-rl", text(&out), &sets), flags.to_vec()].concat())
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .expect("JSON")
}

fn assert_same(run: &Path, whole: &Path) {
    assert_eq!(timeless_metrics(run), timeless_metrics(whole));
    let model = |run: &Path| fs::read(run.join("final/model.safetensors")).expect("a model");
    assert_eq!(model(run), model(whole));
}

#[test]
fn a_run_keeps_its_best_checkpoint_stops_early_and_is_extended_to_the_whole() {
    let place = Place::new();
    let whole = place.run("whole", &["max_steps=6"], &[]);
    assert_code(&whole, 0);
    assert!(
        told(&whole).contains("validate every 2 steps on 3 of these problems, 1 sample each (9.4 % more"),
        "{}",
        told(&whole)
    );
    let whole = place.path("whole");
    let validations = rows_of(&whole.join("validation.jsonl"));
    assert_eq!(
        validations.iter().map(|row| row["step"].as_u64()).collect::<Vec<_>>(),
        [0, 2, 4, 6].map(Some)
    );
    let best =
        validations.iter().rfind(|row| row["is_best"] == true).expect("the first is the best at least");
    assert!(best["step"] != 0, "no step is better than the first: {validations:?}");
    let named = json(&whole.join("best.json"));
    assert_eq!(
        (&named["step"], &named["metric"], &named["value"]),
        (&best["step"], &"reward".into(), &best["reward"])
    );
    assert_eq!(json(&whole.join("complete.json"))["summary"]["best"], named);
    let best = whole.join(format!("checkpoints/step-{:06}", named["step"].as_u64().expect("a step")));
    assert!(best.join("manifest.json").is_file() && whole.join("checkpoints/step-000006").is_dir());

    // It is a model folder, which is taken where it is asked for.
    let prompt = place.path("prompts.jsonl");
    fs::write(&prompt, "{\"prompt\": \"1+1=\"}\n").expect("written");
    let generated = |arguments: &[&str]| {
        let output =
            ruminate(&[&["generate", "--input", text(&prompt), "--max-new-tokens", "4"], arguments].concat());
        assert_code(&output, 0);
        rows(&output.stdout)
    };
    let asked = generated(&["--model", text(&whole), "--checkpoint", "best"]);
    assert_eq!(asked, generated(&["--model", text(&best)]));
    assert_eq!(
        generated(&["--model", text(&whole), "--checkpoint", "last"]),
        generated(&["--model", text(&whole.join("final"))])
    );
    let refused = ruminate(&["generate", "--model", text(&whole.join("final")), "--checkpoint", "best"]);
    assert_code(&refused, 3);

    // A rise of a thousand does not come: patience is over after two validations.
    let patience = ["max_steps=6", "eval.early_stopping_patience=2", "eval.early_stopping_threshold=1000"];
    let stopped = place.run("stopped", &patience, &[]);
    assert_code(&stopped, 0);
    assert!(told(&stopped).contains("stopped early after step 4"), "{}", told(&stopped));
    let run = place.path("stopped");
    let complete = json(&run.join("complete.json"));
    assert_eq!(complete["summary"]["stopped_early"]["step"], 4);
    assert_eq!(rows_of(&run.join("validation.jsonl")).last().expect("rows")["stopped"], true);
    assert_eq!(rows_of(&run.join("metrics.jsonl")).len(), 4);
    let sets: Vec<Value> = rows_of(&run.join("eval.jsonl"))
        .into_iter()
        .filter(|row| row["step"] == 4)
        .map(|row| row["set"].clone())
        .collect();
    assert!(sets.contains(&"test".into()), "it is measured as after a last step: {sets:?}");
    // Run again it prints what it said, resumed without the rule it is the whole run.
    assert_code(&place.run("stopped", &patience, &[]), 0);
    assert_code(&place.run("stopped", &["max_steps=6"], &[]), 2);
    let extended = place.run("stopped", &["max_steps=6"], &["--resume", "auto"]);
    assert_code(&extended, 0);
    assert_same(&run, &whole);
    assert_eq!(rows_of(&run.join("validation.jsonl")).last(), validations.last());
    assert_eq!(json(&run.join("best.json")), named);
}

#[test]
fn a_finished_run_is_extended_in_its_folder_and_says_what_becomes_of_the_rate() {
    let place = Place::new();
    assert_code(&place.run("whole", &["max_steps=5"], &[]), 0);
    assert_code(&place.run("run", &["max_steps=3"], &[]), 0);
    let refused = place.run("run", &["max_steps=5"], &[]);
    assert_code(&refused, 2);
    assert!(told(&refused).contains("extend it with --resume auto"), "{}", told(&refused));
    assert!(place.path("run/complete.json").is_file());
    for other in [&["max_steps=5", "seed=3"][..], &["max_steps=2"], &["max_steps=5", "grpo.beta=0.1"]] {
        assert_code(&place.run("run", other, &["--resume", "auto"]), 2);
        assert!(place.path("run/complete.json").is_file(), "{other:?}");
    }
    let extended = place.run("run", &["max_steps=5"], &["--resume", "auto"]);
    assert_code(&extended, 0);
    assert!(told(&extended).contains("max_steps: 3, now 5: the run is extended"), "{}", told(&extended));
    assert!(!told(&extended).contains("learning rate goes on as"), "it is constant");
    assert_same(&place.path("run"), &place.path("whole"));
    let linear = ["max_steps=3", "train.lr_scheduler_type=linear"];
    assert_code(&place.run("linear", &linear, &[]), 0);
    let linear = place.run("linear", &["max_steps=6", linear[1]], &["--resume", "auto"]);
    assert_code(&linear, 0);
    assert!(
        told(&linear).contains("8.57e-3 at the next update, 0.00e0 in the shorter run"),
        "{}",
        told(&linear)
    );
}

#[test]
fn epochs_pools_and_dynamic_sampling_of_a_file_are_the_same_in_two_parts() {
    let place = Place::new();
    let row =
        |i: i32| format!("{{\"prompt\": \"{i}+1=\", \"answer\": \"{}\", \"kind\": \"exact\"}}\n", i + 1);
    let rows = (0..12).map(row).collect::<Vec<_>>().concat();
    fs::write(place.path("tasks.jsonl"), rows).expect("written");
    let data = format!("data.train={}", text(&place.path("tasks.jsonl")));
    let sets = |epochs: &'static str| -> Vec<String> {
        let mut sets: Vec<String> = VALIDATED.iter().map(ToString::to_string).collect();
        sets.extend(
            [&data, epochs, "max_steps=", "grpo.pools={ easy_fraction = 0.25 }", "eval.validation_steps=0"]
                .map(str::to_owned),
        );
        sets.extend(
            ["grpo.filter_groups=true", "grpo.max_num_gen_batches=2", "data.split.validation=0.4", LETTERS]
                .map(str::to_owned),
        );
        sets.push("eval.completions_steps=1".to_owned());
        sets
    };
    let run = |name: &str, epochs: &'static str, flags: &[&str]| {
        let sets = sets(epochs);
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        let out = place.path(name);
        ruminate(&[tiny("train-rl", text(&out), &sets), flags.to_vec()].concat())
    };
    let whole = run("whole", "num_train_epochs=3", &[]);
    assert_code(&whole, 0);
    assert!(told(&whole).contains("(`num_train_epochs` = 3)"), "{}", told(&whole));
    let metrics = rows_of(&place.path("whole/metrics.jsonl"));
    let steps = json(&place.path("whole/config.json"))["max_steps"].as_u64().expect("steps");
    assert_eq!(metrics.len() as u64, steps, "the steps that epochs come to");
    assert!(
        metrics
            .iter()
            .all(|row| row["pools/normal"].is_number() && row["filter_groups/num_gen_batches"].is_number())
    );
    let rows: Vec<Value> = fs::read_dir(place.path("whole/completions"))
        .expect("completions of every step")
        .flat_map(|entry| rows_of(&entry.expect("a file").path()))
        .collect();
    let (mut prompts, mut asked) = (BTreeMap::new(), BTreeSet::new());
    for row in &rows {
        let index = row["index"].as_u64().expect("an index");
        assert_eq!(
            prompts.entry(index).or_insert(&row["prompt"]),
            &&row["prompt"],
            "rows name their problem"
        );
        asked.insert((row["step"].as_u64(), index));
    }
    assert!(asked.len() > prompts.len(), "no problem was asked again");
    assert_code(&run("parts", "num_train_epochs=1", &[]), 0);
    assert!((rows_of(&place.path("parts/metrics.jsonl")).len() as u64) < steps);
    assert_code(&run("parts", "num_train_epochs=3", &["--resume", "auto"]), 0);
    assert_same(&place.path("parts"), &place.path("whole"));
    let both = place.run("both", &["num_train_epochs=1", "max_steps=3"], &[]);
    assert_code(&both, 2);
    let family = ruminate(&["train-rl", "--out", text(&place.path("family")), "--set", "num_train_epochs=1"]);
    assert_code(&family, 2);
    assert!(told(&family).contains("of a family, whose problems have no end"), "{}", told(&family));
}

#[test]
fn families_by_their_pass_rates_are_the_same_in_two_parts() {
    let place = Place::new();
    let levels = "data.tasks=[{ task = 'chain_sum', name = 'short', params = { terms = 2, total_max = 19 } }, \
                  { task = 'chain_sum', name = 'long', params = { terms = 4, total_max = 19 } }]";
    let sets = |steps| [levels, "grpo.pools={ hard_fraction = 0.5 }", "eval.validation_steps=0", steps];
    assert_code(&place.run("whole", &sets("max_steps=4"), &[]), 0);
    let metrics = rows_of(&place.path("whole/metrics.jsonl"));
    let shares = |row: &Value| ["easy", "normal", "hard"].map(|pool| row[format!("pools/{pool}")].as_f64());
    assert!(metrics.iter().all(|row| shares(row).into_iter().flatten().sum::<f64>() == 1.0), "{metrics:?}");
    assert_code(&place.run("parts", &sets("max_steps=2"), &[]), 0);
    assert_code(&place.run("parts", &sets("max_steps=4"), &["--resume", "auto"]), 0);
    assert_same(&place.path("parts"), &place.path("whole"));
    let one = place.run("one", &["grpo.pools={}"], &[]);
    assert_code(&one, 2);
    assert!(told(&one).contains("once for each difficulty"), "{}", told(&one));
}

#[test]
fn a_logger_gets_every_row_and_a_folders_own_recipe_starts_none() {
    let place = Place::new();
    let log = format!("log.command=[\"sh\", \"-c\", \"cat > '{}'\"]", place.path("rows").display());
    assert_code(&place.run("run", &[&log, "train.lr_scheduler_type=linear"], &[]), 0);
    let logged = rows_of(&place.path("rows"));
    let kinds = |kind: &str| logged.iter().filter(|row| row["kind"] == kind).cloned().collect::<Vec<Value>>();
    assert_eq!((kinds("start").len(), kinds("metrics").len(), kinds("end").len()), (1, 2, 1));
    assert_eq!(kinds("eval").len(), rows_of(&place.path("run/eval.jsonl")).len());
    assert_eq!(kinds("validation").len(), rows_of(&place.path("run/validation.jsonl")).len());
    assert_eq!((&logged[0]["name"], &logged[0]["config"]["max_steps"]), (&"run".into(), &2.into()));
    assert_eq!(logged.last().expect("rows")["complete"], true);
    // It changes nothing, and one that dies ends nothing.
    assert_code(&place.run("plain", &["train.lr_scheduler_type=linear"], &[]), 0);
    assert_same(&place.path("run"), &place.path("plain"));
    let dead = place.run("dead", &["log.command=[\"false\"]", "train.lr_scheduler_type=linear"], &[]);
    assert_code(&dead, 0);
    assert_same(&place.path("dead"), &place.path("plain"));
    // The folder came from somewhere else: it was not run here.
    let config = place.path("run/config.json");
    let refused = common::command(&["train-rl", text(&config), "--out", text(&place.path("again"))])
        .env("XDG_STATE_HOME", place.path("state"))
        .output()
        .expect("the binary starts");
    assert_code(&refused, 2);
    assert!(told(&refused).contains("log.command"), "{}", told(&refused));
    // Numbers as a table.
    assert_code(&ruminate(&["report", text(&place.path("run")), "--csv"]), 0);
    let table = fs::read_to_string(place.path("run/metrics.csv")).expect("a table");
    assert!(table.starts_with("step,") && table.lines().count() == 3, "{table}");
}
