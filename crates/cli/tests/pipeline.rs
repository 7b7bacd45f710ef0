//! What a pipeline strings together, as a user does it: a mixture of tasks, an evaluation that is judged again and
//! compared, traces without a student, and a student that reads them.

mod common;

use common::{assert_code, rows, rows_of, ruminate, small_llama, told};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// Two kinds of tasks, whose traces think in two languages; the model is left out.
const RECIPE: &str = r#"
    [data]
    tasks = [
        { task = "gcd", params = { wording = "bare", max_value = 9, min_value = 2 } },
        { task = "spell_backward", params = { wording = "bare", min_word_len = 3, max_word_len = 4 } },
    ]
    mix = { direct = 1, partial = 0, slip = 0, corrected = 1, correct = 0, untagged = 0, languages = { en = 1, de = 1 }, mixed = 1 }
    [pretrain]
    max_steps = 60
    batch_size = 16
    row_length = 96
    learning_rate = 1e-2
    warmup_steps = 5
    [rollout]
    max_new_tokens = 24
    [eval]
    n = 8
    num_samples = 4
    settings = "r1"
    empty_thought = false
    self_check = ["wait", "halt"]
    languages = ["en", "de"]
"#;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.file(name).to_str().expect("UTF-8").to_owned()
    }

    fn run(&self, command: &str, out: &str, sets: &[&str]) -> std::process::Output {
        let (recipe, out) = (self.path("recipe.toml"), self.path(out));
        let mut args = vec![command, &recipe, "--out", &out];
        for set in sets {
            args.extend(["--set", set]);
        }
        ruminate(&args)
    }

    /// The base, pretrained.
    fn with_base() -> (Self, String) {
        let place = Self { folder: tempfile::tempdir().expect("a folder") };
        fs::write(place.path("recipe.toml"), [RECIPE, &small_llama("model", 16)].concat()).expect("written");
        assert_code(&place.run("pretrain", "base", &[]), 0);
        let model = format!("model={}", place.path("base/final"));
        (place, model)
    }
}

#[test]
fn an_evaluation_keeps_its_samples_to_be_judged_again_and_compared() {
    let (place, model) = Place::with_base();
    let output = place.run("eval", "one", &[&model]);
    assert_code(&output, 0);
    let told_rows = rows(&output.stdout);
    assert_eq!(told_rows, rows_of(&place.file("one/eval.jsonl")));
    let row = &told_rows[0];
    assert!(
        row["tasks"]["gcd"]["n"].as_u64() > Some(0) && row["tasks"]["spell_backward"].is_object(),
        "{row}"
    );
    assert!(
        row["measures"]["self_check"].is_number() && row["measures"]["language_mixed"].is_number(),
        "{row}"
    );
    assert!(told(&output).contains("pass@1 by task"), "{}", told(&output));
    let samples = rows_of(&place.file("one/samples.jsonl"));
    // Two sets of eight problems, four samples and a greedy completion of each.
    assert_eq!(samples.len(), 2 * 8 * 5);
    assert!(samples[0]["task"]["answer"].is_string() && samples[0]["verdict"].is_string());

    let run = place.path("one");
    let again = ruminate(&["eval", "--rescore", &run]);
    assert_code(&again, 0);
    assert_eq!(rows(&again.stdout), told_rows);
    let otherwise = ruminate(&["eval", "--rescore", &run, "--set", "reward.verifier=format"]);
    assert_code(&otherwise, 0);
    assert_eq!(rows(&otherwise.stdout)[0]["n"], row["n"]);

    // Completed: told again, nothing is sampled.
    let second = place.run("eval", "one", &[&model]);
    assert_eq!(rows(&second.stdout), told_rows);

    let (one, other) = (place.path("one"), place.path("other"));
    assert_code(&place.run("eval", "other", &[&model, "eval.temperature=1.5"]), 0);
    let compared = ruminate(&["eval", "--compare", &one, &other]);
    assert_code(&compared, 0);
    let compared = rows(&compared.stdout);
    assert_eq!((compared[0]["set"].as_str(), compared[0]["n"].as_u64()), (Some("validation"), Some(8)));
    assert_eq!(compared[0]["a"], row["pass@1"]);
    assert!(compared[0]["p"].as_f64().is_some_and(|p| p > 0.0 && p <= 1.0));
    let itself = rows(&ruminate(&["eval", "--compare", &one, &one]).stdout);
    assert_eq!((itself[0]["difference"].as_f64(), itself[0]["p"].as_f64()), (Some(0.0), Some(1.0)));
    assert_code(&ruminate(&["eval", "--compare", &one, &place.path("base")]), 3);
}

#[test]
fn traces_without_a_student_are_what_sft_reads() {
    let (place, model) = Place::with_base();
    let teacher = format!("distill.teacher={}", place.path("base/final"));
    // What so small a teacher writes is seldom right; the form alone lets something through.
    let sets = [teacher.as_str(), "reward.verifier=format", "distill.prompts=24"];
    let output = place.run("distill", "traces", &sets);
    assert_code(&output, 0);
    assert!(!place.file("traces/final").exists());
    let traces = rows_of(&place.file("traces/traces.jsonl"));
    for trace in &traces {
        let roles: Vec<_> =
            trace["messages"].as_array().expect("a list").iter().map(|m| &m["role"]).collect();
        assert_eq!(roles, ["user", "assistant"]);
        assert_eq!((&trace["verdict"], trace["seed"].as_u64()), (&Value::from("correct"), Some(0)));
        assert!(trace["teacher"].as_str().is_some_and(|teacher| teacher.ends_with("base/final")), "{trace}");
    }
    let complete: Value =
        serde_json::from_slice(&fs::read(place.path("traces/complete.json")).expect("complete"))
            .expect("JSON");
    assert_eq!(complete["summary"]["traces"]["kept"].as_u64(), Some(traces.len() as u64));
    assert_code(&place.run("distill", "traces", &sets), 0);

    let train = format!("data.train={}", place.path("traces/traces.jsonl"));
    let sft = [model.as_str(), &train, "sft.num_train_epochs=2", "sft.batch_size=8", "sft.row_length=96"];
    let output = place.run("sft", "student", &sft);
    assert_code(&output, 0);
    let steps = rows_of(&place.file("student/metrics.jsonl")).len();
    assert_eq!(steps, (2 * traces.len()).div_ceil(8));
    assert!(place.file("student/final/model.safetensors").is_file());
}

#[test]
fn a_known_evaluation_set_is_measured_alone() {
    let (place, model) = Place::with_base();
    let set = place.path("math.jsonl");
    let row = |problem: &str, level: usize| {
        format!(r#"{{"problem": "{problem}", "answer": "3", "subject": "Algebra", "level": {level}}}"#)
    };
    fs::write(&set, format!("{}\n{}\n", row("1+2", 1), row("9-6", 2))).expect("written");
    let data = format!("data.eval={set}");
    let output = place.run("eval", "math", &[&model, &data]);
    assert_code(&output, 0);
    let row = &rows(&output.stdout)[0];
    assert_eq!(row["n"], 2, "{row}");
    assert!(row["difficulties"]["1"].is_object() && row["difficulties"]["2"].is_object(), "{row}");
    let sample = &rows_of(&place.file("math/samples.jsonl"))[0];
    assert!(sample["rewards"]["math"].is_number(), "judged by the kind of its layout: {sample}");
}
