//! What a run is made of, as a user changes it under way: files with other content, other keys, keys that do nothing. Every
//! refusal leaves what lies there as it was.

mod common;

use common::{assert_code, rows, rows_of, ruminate, tiny, told};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

/// A folder with two bases of one architecture and other weights, and tasks and pairs to train on.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a folder"));
        for (name, seed) in [("base", "seed=0"), ("other", "seed=1")] {
            assert_code(&ruminate(&tiny("pretrain", &place.path(name), &[seed])), 0);
        }
        place.write_pairs("02");
        place.write_tasks("1");
        place
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.file(name).to_str().expect("UTF-8").to_owned()
    }

    /// Forty pairs of prompts that all differ.
    fn write_pairs(&self, answer: &str) {
        let pair = |i| format!("{{\"prompt\": \"{i}+1=\", \"completion\": \"<answer>{answer}</answer>\"}}\n");
        fs::write(self.file("pairs.jsonl"), (0..40).map(pair).collect::<String>()).expect("written");
    }

    fn write_tasks(&self, added: &str) {
        let task = |i| format!("{{\"prompt\": \"{i}+1=\", \"answer\": \"{i}{added}\"}}\n");
        fs::write(self.file("tasks.jsonl"), (0..60).map(task).collect::<String>()).expect("written");
    }

    /// The weights of the other base under the name of the first.
    fn swap_base(&self) {
        let weights = |base: &str| self.file(base).join("final/model.safetensors");
        fs::copy(weights("other"), weights("base")).expect("copied");
    }

    fn run(&self, command: &str, out: &str, sets: &[&str], flags: &[&str]) -> Output {
        let model = format!("model={}", self.path("base/final"));
        let data = match command {
            "sft" => format!("data.train={}", self.path("pairs.jsonl")),
            "train-rl" => format!("data.train={}", self.path("tasks.jsonl")),
            _ => format!("data.eval={}", self.path("tasks.jsonl")),
        };
        let out = self.path(out);
        ruminate(&[tiny(command, &out, &[&[model.as_str(), &data], sets].concat()), flags.to_vec()].concat())
    }

    /// An interrupted run: two steps of four, as after a kill.
    fn interrupted(&self, command: &str, out: &str, sets: &[&str]) {
        let table = if command == "sft" {
            ["sft.max_steps=4", "sft.save_steps=2"]
        } else {
            ["max_steps=4", "train.save_steps=2"]
        };
        assert_code(&self.run(command, out, &[&table, sets].concat(), &[]), 0);
        for name in ["complete.json", "checkpoints/step-000004/manifest.json"] {
            fs::remove_file(self.file(out).join(name)).expect("removed");
        }
    }
}

/// Every file of a folder with its content, but for what a refused start may sweep away.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.file_name().is_some_and(|name| name == ".lock") => {}
                false => found.push((path.clone(), fs::read(&path).expect("readable"))),
            }
        }
    }
    found.sort();
    found
}

const STEPS: [&str; 2] = ["sft.max_steps=4", "sft.save_steps=2"];

#[test]
fn fine_tuning_on_other_content_is_refused_and_goes_on_where_that_is_allowed() {
    let place = Place::new();
    place.interrupted("sft", "run", &[]);
    place.write_pairs("03");
    let before = contents(&place.file("run"));
    let refused = place.run("sft", "run", &STEPS, &["--resume", "auto"]);
    assert_code(&refused, 2);
    let says = "data.train: content has changed since the checkpoint (sha256 ";
    assert!(told(&refused).contains(says), "{}", told(&refused));
    assert!(told(&refused).contains("--allow-changed"), "{}", told(&refused));
    assert_eq!(contents(&place.file("run")), before);

    let allowed = place.run("sft", "run", &STEPS, &["--resume", "auto", "--allow-changed"]);
    assert_code(&allowed, 0);
    assert!(
        told(&allowed).contains(&format!("warning: changed since the checkpoint: {says}")),
        "{}",
        told(&allowed)
    );
    assert!(told(&allowed).contains("(step 2)"), "{}", told(&allowed));
    // Complete now, with this content alone.
    assert_code(&place.run("sft", "run", &STEPS, &[]), 0);
    place.write_pairs("04");
    let other = place.run("sft", "run", &[&STEPS[..], &["sft.learning_rate=1e-4"]].concat(), &[]);
    assert_code(&other, 2);
    let told = told(&other);
    assert!(told.contains("--out") && told.contains("data.train: content has changed since then"), "{told}");
    assert!(told.contains("sft.learning_rate: 0.003, now 0.0001") && !told.contains("model"), "{told}");
}

#[test]
fn a_checkpoint_of_another_run_leaves_nothing_in_a_new_folder() {
    let place = Place::new();
    place.interrupted("sft", "run", &[]);
    let checkpoint = place.path("run/checkpoints/step-000002");
    for resume in [place.path("run"), checkpoint] {
        let sets = [&STEPS[..], &["sft.learning_rate=1e-4"]].concat();
        let refused = place.run("sft", "elsewhere", &sets, &["--resume", &resume]);
        assert_code(&refused, 2);
        assert!(told(&refused).contains("belongs to another run"), "{}", told(&refused));
        if place.file("elsewhere").exists() {
            assert_eq!(contents(&place.file("elsewhere")), []);
        }
    }
}

#[test]
fn a_file_that_was_moved_is_the_same_input() {
    let place = Place::new();
    place.interrupted("sft", "run", &[]);
    fs::rename(place.file("pairs.jsonl"), place.file("moved.jsonl")).expect("moved");
    let moved = format!("data.train={}", place.path("moved.jsonl"));
    fs::write(place.file("pairs.jsonl"), "").expect("written");
    let resumed = place.run("sft", "run", &[&STEPS[..], &[&moved]].concat(), &["--resume", "auto"]);
    assert_code(&resumed, 0);
    assert!(told(&resumed).contains("(step 2)"), "{}", told(&resumed));
}

#[test]
fn reinforcement_on_other_tasks_or_another_base_is_refused() {
    let place = Place::new();
    let steps = ["max_steps=4", "train.save_steps=2"];
    place.interrupted("train-rl", "run", &[]);
    let before = contents(&place.file("run"));
    place.write_tasks("2");
    let refused = place.run("train-rl", "run", &steps, &["--resume", "auto"]);
    assert_code(&refused, 2);
    assert!(told(&refused).contains("data.train: content has changed"), "{}", told(&refused));
    place.write_tasks("1");
    place.swap_base();
    for flags in [&["--resume", "auto"][..], &["--resume", "auto", "--allow-changed"]] {
        let refused = place.run("train-rl", "run", &steps, flags);
        assert_code(&refused, 2);
        assert!(told(&refused).contains("model: content has changed"), "{}", told(&refused));
    }
    assert_eq!(contents(&place.file("run")), before);
}

#[test]
fn adapters_never_go_on_another_base() {
    let place = Place::new();
    let lora = ["lora.r=2"];
    place.interrupted("sft", "run", &lora);
    let sets = [&STEPS[..], &lora].concat();
    // The checkpoint names the base by its path; the recipe may name another folder with the content of before.
    let copy = place.file("copy");
    fs::create_dir(&copy).expect("made");
    for entry in fs::read_dir(place.file("base/final")).expect("readable") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, copy.join(path.file_name().expect("a name"))).expect("copied");
    }
    place.swap_base();
    let refused = place.run("sft", "run", &sets, &["--resume", "auto", "--allow-changed"]);
    assert_code(&refused, 2);
    assert!(told(&refused).contains("model: content has changed"), "{}", told(&refused));
    let elsewhere = format!("model={}", copy.display());
    let refused = place.run("sft", "run", &[&sets[..], &[&elsewhere]].concat(), &["--resume", "auto"]);
    assert_code(&refused, 2);
    assert!(told(&refused).contains("the checkpoint's adapters belong to the base"), "{}", told(&refused));
}

#[test]
fn an_evaluation_is_measured_again_when_weights_or_problems_have_changed() {
    let place = Place::new();
    let eval = |out: &str| {
        let output = place.run("eval", out, &["eval.empty_thought=false"], &[]);
        assert_code(&output, 0);
        rows(&output.stdout)
    };
    let first = eval("one");
    assert_eq!(eval("one"), first, "the same content");
    let samples = |run: &Path| fs::read(run.join("samples.jsonl")).expect("samples");
    let earlier = samples(&place.file("one"));
    place.swap_base();
    eval("one");
    // Where the second evaluation lies is the folder's affair: nothing but its own samples may be told.
    let fresh = eval("two");
    assert_ne!(samples(&place.file("two")), earlier, "other weights write something else");
    assert_eq!(eval("one"), fresh, "not the figures of the weights before");
    place.write_tasks("2");
    assert_eq!(eval("one"), eval("three"));
}

#[test]
fn a_teacher_that_was_changed_is_told_and_its_traces_are_not_taken_for_its_own() {
    let place = Place::new();
    let teacher = format!("distill.teacher={}", place.path("base/final"));
    let sets = [
        teacher.as_str(),
        "reward.verifier=format",
        "distill.required_rewards=[]",
        "distill.pretrain_steps=1",
    ];
    let out = place.path("run");
    let run = |flags: &[&str]| ruminate(&[tiny("distill", &out, &sets), flags.to_vec()].concat());
    let first = run(&[]);
    // So small a teacher may write nothing that is kept.
    assert!([Some(0), Some(3)].contains(&first.status.code()), "{}", told(&first));
    let complete = place.file("run/complete.json").exists();
    place.swap_base();
    let again = run(if complete { &[] } else { &["--resume", "auto"] });
    if complete {
        assert_code(&again, 2);
        assert!(told(&again).contains("--out"), "{}", told(&again));
    } else {
        assert!(!told(&again).contains("were sampled before"), "{}", told(&again));
    }
}

#[test]
fn what_no_weight_depends_on_does_not_stand_in_the_way() {
    let place = Place::new();
    place.interrupted("train-rl", "run", &[]);
    let sets = [
        "max_steps=4",
        "train.save_steps=1",
        "train.save_total_limit=5",
        "eval.n=3",
        "eval.completions_steps=2",
        "grpo.eval_steps=2",
        "save.dtype=bfloat16",
        "threads=1",
    ];
    let resumed = place.run("train-rl", "run", &sets, &["--resume", "auto"]);
    assert_code(&resumed, 0);
    let told = told(&resumed);
    assert!(
        told.contains("no weight depends on it: eval.n: 4, now 3") && told.contains("(step 2)"),
        "{told}"
    );
    // A completed run was measured with these settings, and no others.
    assert_code(&place.run("train-rl", "run", &sets, &[]), 0);
    assert_code(&place.run("train-rl", "run", &[&sets[..], &["eval.n=2"]].concat(), &[]), 2);
}

#[test]
fn what_a_checkpoint_is_of_no_use_to_is_refused_whatever_the_flag() {
    let place = Place::new();
    place.interrupted("train-rl", "run", &[]);
    let before = contents(&place.file("run"));
    for (set, says) in [
        ("lora.r=4", "cannot change this: lora"),
        ("seed=7", "cannot change this: seed: 0, now 7"),
        ("grpo.beta=0.1", "grpo.beta"),
        ("max_steps=1", "`max_steps` is 1, and "),
    ] {
        let sets = ["max_steps=4", "train.save_steps=2", set];
        let refused = place.run("train-rl", "run", &sets, &["--resume", "auto", "--allow-changed"]);
        assert_code(&refused, 2);
        assert!(told(&refused).contains(says), "{set}: {}", told(&refused));
        assert!(told(&refused).contains("--out"), "{set}: {}", told(&refused));
        assert_eq!(contents(&place.file("run")), before, "{set}");
    }
    let more = ["max_steps=6", "train.save_steps=2", "train.learning_rate=1e-4", "rollout.max_new_tokens=16"];
    assert_code(&place.run("train-rl", "run", &more, &["--resume", "auto"]), 2);
    let more = place.run("train-rl", "run", &more, &["--resume", "auto", "--allow-changed"]);
    assert_code(&more, 0);
    assert!(
        told(&more).contains("warning: changed since the checkpoint: max_steps: 4, now 6"),
        "{}",
        told(&more)
    );
    assert_eq!(rows_of(&place.file("run/metrics.jsonl")).len(), 6);
}

#[test]
fn a_key_that_does_nothing_exits_2_before_anything_is_begun() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    for (args, says) in [
        (&["sft", "--set", "pretrain.eval_steps=5"][..], "`sft.eval_steps` is meant"),
        (&["sft", "--set", "max_steps=5"], "`sft.max_steps` is meant"),
        (&["pretrain", "--set", "data.eval=a.jsonl"], "`data.eval` has no effect under `pretrain` on traces"),
        (&["pretrain", "--set", "pretrain.num_train_epochs=2"], "pretrain.num_train_epochs"),
        (&["train-rl", "--set", "sft.max_steps=5"], "`sft.max_steps` has no effect under `train-rl`"),
        (&["eval", "--set", "train.learning_rate=1"], "`train.learning_rate` has no effect under `eval`"),
    ] {
        let output = ruminate(&[args, &["--out", out.to_str().expect("UTF-8")]].concat());
        assert_code(&output, 2);
        assert!(told(&output).contains(says), "{args:?}: {}", told(&output));
        assert!(!out.exists(), "{args:?}");
    }
    let recipe = folder.path().join("recipe.toml");
    fs::write(&recipe, "extends = \"default\"\nmax_steps = 5\n[sft]\neval_steps = 2\n").expect("written");
    let output = ruminate(&["sft", recipe.to_str().expect("UTF-8")]);
    assert_code(&output, 2);
    assert!(told(&output).contains("`max_steps` has no effect under `sft`"), "{}", told(&output));
}

#[test]
fn fine_tuning_measures_the_loss_of_a_file_and_of_a_share_of_its_own() {
    let place = Place::new();
    let rows = "{\"prompt\": \"99+1=\", \"completion\": \"<answer>02</answer>\"}\n".repeat(3);
    fs::write(place.file("held.jsonl"), rows).expect("written");
    let eval = format!("data.eval={}", place.path("held.jsonl"));
    let steps = ["sft.max_steps=6", "sft.learning_rate=1e-2"];
    let output = place.run("sft", "file", &[&steps[..], &[&eval, "sft.eval_steps=2"]].concat(), &[]);
    assert_code(&output, 0);
    let evaluations = rows_of(&place.file("file/eval.jsonl"));
    let at: Vec<_> = evaluations.iter().map(|row| row["step"].as_u64().expect("a step")).collect();
    assert_eq!(at, [0, 2, 4, 6]);
    for row in &evaluations {
        assert_eq!((&row["set"], &row["n"]), (&"validation".into(), &3.into()));
        let (loss, perplexity) =
            (row["loss"].as_f64().expect("a loss"), row["perplexity"].as_f64().expect("one"));
        assert!((loss.exp() - perplexity).abs() < 1e-9 && row["tokens"].as_u64() > Some(3), "{row}");
    }
    let loss = |row: &serde_json::Value| row["loss"].as_f64().expect("a loss");
    assert!(loss(&evaluations[3]) < loss(&evaluations[0]), "{evaluations:?}");
    assert!(told(&output).contains("loss (nats per token)"), "{}", told(&output));
    let trained = format!("data.eval={}", place.path("pairs.jsonl"));
    let output = place.run("sft", "trained", &[&steps[..], &[&trained]].concat(), &["--force"]);
    assert_code(&output, 0);
    assert!(told(&output).contains("40 of 40 held-out samples are trained on"), "{}", told(&output));
    let again = place.run("sft", "file", &[&steps[..], &[&eval, "sft.eval_steps=2"]].concat(), &[]);
    assert!(told(&again).contains("loss (nats per token)"), "{}", told(&again));

    // Measured or not, training is the same; a share of the training rows is another training set.
    assert_code(&place.run("sft", "plain", &steps, &[]), 0);
    assert_eq!(rows_of(&place.file("plain/eval.jsonl")).len(), 0);
    let weights = |run: &str| fs::read(place.file(run).join("final/model.safetensors")).expect("weights");
    assert_eq!(weights("plain"), weights("file"));
    let share = [&steps[..], &["sft.eval_steps=3", "data.split.validation=0.3"]].concat();
    assert_code(&place.run("sft", "share", &share, &[]), 0);
    let evaluations = rows_of(&place.file("share/eval.jsonl"));
    assert_eq!(evaluations.len(), 3);
    let validation = evaluations[0]["n"].as_u64().expect("a number");
    let complete = fs::read(place.file("share/complete.json")).expect("complete");
    let complete: serde_json::Value = serde_json::from_slice(&complete).expect("JSON");
    assert!(validation > 3 && complete["summary"]["samples"].as_u64() == Some(40 - validation), "{complete}");
    assert_eq!(complete["summary"]["validation"]["after"], evaluations[2]);
}

#[test]
fn pretraining_measures_validation_traces_and_the_end_of_a_corpus() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let steps = ["pretrain.max_steps=3", "pretrain.eval_steps=1"];
    let traces = path("traces");
    assert_code(&ruminate(&tiny("pretrain", &traces, &steps)), 0);
    let evaluations = rows_of(&folder.path().join("traces/eval.jsonl"));
    assert_eq!(evaluations.len(), 4);
    assert!(evaluations.iter().all(|row| row["n"] == 4 && row["loss"].is_number()), "{evaluations:?}");
    let plain = path("plain");
    assert_code(&ruminate(&tiny("pretrain", &plain, &steps[..1])), 0);
    let weights =
        |run: &str| fs::read(folder.path().join(run).join("final/model.safetensors")).expect("weights");
    assert_eq!(weights("plain"), weights("traces"), "a measurement changes nothing");

    fs::write(path("corpus.jsonl"), "{\"text\": \"one and one is two\"}\n".repeat(20)).expect("written");
    let corpus = format!("data.corpus={}", path("corpus.jsonl"));
    for (out, sets, n) in [
        ("share", vec![], 3), // of 24 rows of 16 tokens
        ("file", vec![format!("data.eval={}", path("corpus.jsonl"))], 24),
    ] {
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        let sets = [&steps[..], &[&corpus, "pretrain.row_length=16"], &sets].concat();
        let run = path(out);
        assert_code(&ruminate(&tiny("pretrain", &run, &sets)), 0);
        let evaluations = rows_of(&folder.path().join(out).join("eval.jsonl"));
        assert_eq!((evaluations.len(), &evaluations[0]["n"]), (4, &n.into()), "{out}");
    }
}
