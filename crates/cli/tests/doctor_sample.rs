//! `doctor --sample`: the first step of a run, and what its completions show. Six recipes that cannot learn, each by the name
//! of its cause, and one that can.

mod common;

use common::{assert_code, qwen2, rows, rows_of, ruminate, told};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Output;

/// A tiny random model that writes any printable character, with sums that it does not solve.
struct Place {
    folder: tempfile::TempDir,
    model: String,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let model = qwen2(folder.path(), 256, Some("qwen2_5.jinja"));
        let row = |i: u32| {
            let answer = (100_000 + i).to_string();
            json!({ "prompt": format!("What is {i} plus 100000?"), "answer": answer }).to_string()
        };
        let lines: Vec<String> = (0..60).map(row).collect();
        fs::write(folder.path().join("sums.jsonl"), lines.join("\n")).expect("written");
        Self { folder, model }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// A command on four problems with eight completions each, which end at the first letter.
    fn run(&self, command: &[&str], sets: &[&str]) -> Output {
        let letters: Vec<String> = ('a'..='z').chain('A'..='Z').map(|letter| format!("{letter:?}")).collect();
        let good = [
            format!("model={}", self.model),
            format!("data.train={}", self.path("sums.jsonl")),
            format!("rollout.stop=[{}]", letters.join(",").replace('\'', "\"")),
            "rollout.max_new_tokens=40".to_owned(),
            "reward.verifier=last_number".to_owned(),
            "reward.format=0".to_owned(),
            "train.learning_rate=1e-3".to_owned(),
            "grpo.prompts_per_step=4".to_owned(),
            "grpo.num_generations=8".to_owned(),
            "grpo.num_minibatches=1".to_owned(),
            "max_steps=3".to_owned(),
            "eval.n=2".to_owned(),
            "eval.num_samples=1".to_owned(),
        ];
        let mut args = command.to_vec();
        let key = |set: &str| set.split('=').next().unwrap_or_default().to_owned();
        // What a case says stands in the place of what suits the model.
        let components = sets.iter().any(|set| key(set) == "reward.components");
        let replaced = |set: &&String| {
            sets.iter().any(|other| key(other) == key(set)) || (components && set.starts_with("reward."))
        };
        for set in good.iter().filter(|set| !replaced(set)) {
            args.extend(["--set", set]);
        }
        for set in sets {
            args.extend(["--set", set]);
        }
        ruminate(&args)
    }

    fn sample(&self, sets: &[&str]) -> Output {
        self.run(&["doctor", "--sample", "--out", &self.path("sampled")], sets)
    }
}

fn names(output: &Output, severity: &str) -> Vec<String> {
    let findings = rows(&output.stdout);
    let of = findings.iter().filter(|finding| finding["severity"] == severity);
    of.map(|finding| finding["name"].as_str().expect("a name").to_owned()).collect()
}

fn found(output: &Output, name: &str) -> String {
    let findings = rows(&output.stdout);
    let finding = findings.iter().find(|finding| finding["name"] == name);
    finding.unwrap_or_else(|| panic!("{name}: {}", told(output)))["found"]
        .as_str()
        .expect("a text")
        .to_owned()
}

/// A component that judges by a shell script, which gets a request a line.
#[cfg(unix)]
fn command(script: &str) -> String {
    format!("reward.components=[{{ kind = \"command\", command = [\"sh\", \"-c\", '''{script}'''] }}]")
}

/// One that finds a pattern in the response.
fn pattern(pattern: &str) -> String {
    format!(
        "reward.components=[{{ kind = \"regex\", subject = \"response\", extent = \"part\", pattern = '''{pattern}''' }}]"
    )
}

#[cfg(unix)]
#[test]
fn each_recipe_that_cannot_learn_is_severe_by_the_name_of_its_cause() {
    let place = Place::new();
    // One verdict for the static half, one for the sampling one, and then no more.
    let count = place.path("count");
    let dies = command(&format!(
        "while read -r line; do n=$(cat {count} 2>/dev/null || echo 0); [ $n -ge 2 ] && exit 1; echo $((n + 1)) > {count}; echo \
         \"{{\\\"score\\\": 1}}\"; done"
    ));
    let by_prompt = command(
        "while read -r line; do case \"$line\" in *\"2 plus\"*|*\"4 plus\"*|*\"6 plus\"*|*\"8 plus\"*|*\"0 plus\"*) echo \"{\\\"score\\\": 1}\";; *) echo \"{\\\"score\\\": 0}\";; esac; done",
    );
    let easy = pattern(".*");
    let exact = ["reward.verifier=exact", "reward.format=0.1"];
    let cases: [(&str, &[&str], &str); 6] = [
        ("unscored", &[&dies], "could not be scored"),
        ("cut_off", &["rollout.stop=[]", "rollout.temperature=0.01"], "were cut off at 40 tokens"),
        ("format_seen", &exact, "have an answer in <answer>"),
        ("too_hard", &[], "none of 32 completions is right"),
        ("too_easy", &[&easy], "all 32 completions are right"),
        ("dead_groups", &[&by_prompt], "100 % of the groups have equal rewards"),
    ];
    for (name, sets, says) in cases {
        let output = place.sample(sets);
        assert_code(&output, 2);
        assert_eq!(names(&output, "severe"), [name], "{}", told(&output));
        assert!(found(&output, name).contains(says), "{name}: {}", found(&output, name));
    }
    assert!(!Path::new(&place.path("sampled")).exists(), "nothing is written");
}

#[test]
fn a_recipe_that_can_learn_is_shown_with_the_numbers_of_its_first_step() {
    let place = Place::new();
    let sets = [pattern("[a-m]")];
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    let output = place.sample(&sets);
    assert_code(&output, 0);
    assert_eq!(names(&output, "severe"), [""; 0], "{}", told(&output));
    let notes = names(&output, "note");
    for name in ["sampled", "cut_off", "dead_groups", "gradient", "time"] {
        assert!(
            notes.iter().any(|note| note == name) || names(&output, "warning").iter().any(|w| w == name),
            "{name}"
        );
    }
    assert_eq!(notes.iter().filter(|note| *note == "completion").count(), 3);
    assert!(found(&output, "dead_groups").contains("pass@8"), "{}", found(&output, "dead_groups"));
    assert!(
        found(&output, "time").contains("for the 3 steps and the evaluations"),
        "{}",
        found(&output, "time")
    );
    let shown = found(&output, "completion");
    assert!(shown.contains(" 100000?"), "{shown}");
    assert!(shown.contains("correct") || shown.contains("wrong"), "{shown}");
    // They are the numbers of the run's own first step.
    let run = place.path("trained");
    assert_code(&place.run(&["train-rl", "--out", &run], &sets), 0);
    let first: Value = rows_of(&Path::new(&run).join("metrics.jsonl")).remove(0);
    let reward = first["reward"].as_f64().expect("a number");
    assert!(
        found(&output, "sampled").contains(&format!("reward {reward:.3}")),
        "{}",
        found(&output, "sampled")
    );
}

#[test]
fn what_cannot_be_sampled_is_said() {
    let place = Place::new();
    // A run would be refused before its first step.
    let refused = place.sample(&["rollout.temperature=0"]);
    assert_code(&refused, 2);
    assert_eq!(names(&refused, "severe"), ["temperature"]);
    assert!(found(&refused, "sample").contains("refused for `temperature`"));
    // The base of a table is made by the run.
    let output = ruminate(&["doctor", "--sample", "--out", &place.path("none")]);
    assert_code(&output, 0);
    assert!(found(&output, "sample").contains("`model` is a table"), "{}", told(&output));
    let eval = ruminate(&["doctor", "--sample", "--for", "eval", "--set", &format!("model={}", place.model)]);
    assert_code(&eval, 2);
    assert!(told(&eval).contains("--sample takes the first step of `train-rl`"), "{}", told(&eval));
    let forced = place.run(&["doctor", "--force"], &[]);
    assert!(told(&forced).contains("--force has no effect"), "{}", told(&forced));
}
