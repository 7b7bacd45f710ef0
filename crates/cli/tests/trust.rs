//! A recipe is code, a run folder is data: what another person's folder names is not run, not contacted and not opened
//! unless the user says so; and no text of a file steers the terminal.
#![cfg(unix)]

mod common;

use common::{assert_code, command, rows, told};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

/// A folder to run in, with an empty record of what its user trusts.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = command(args);
        command.current_dir(self.folder.path()).env("XDG_STATE_HOME", self.path("state"));
        command.output().expect("the binary starts")
    }

    /// The folder of an evaluation with one completion, as it comes from somewhere else: it has what judging again reads,
    /// and a recipe with these components.
    fn evaluation(&self, components: &Value) -> String {
        let run = self.path("theirs");
        fs::create_dir_all(&run).expect("made");
        let model = self.model();
        let config = json!({
            "model": model,
            "data": { "task": "chain_sum" },
            "reward": { "components": components },
            "command": "eval",
            "versions": { "ruminate": "0.1.0" },
        });
        fs::write(run.join("config.json"), config.to_string()).expect("written");
        let row = json!({
            "set": "validation", "forced": "", "index": 0, "sample": 0,
            "task": { "prompt": "1+1=", "answer": "2" },
            "prompt_ids": [1], "completion_ids": [2], "text": "2", "finish_reason": "stop",
            "verdict": "wrong", "score": 0.0, "why": "", "rewards": {},
        });
        fs::write(run.join("samples.jsonl"), format!("{row}\n")).expect("written");
        "theirs".to_owned()
    }

    /// A tiny model, made once.
    fn model(&self) -> String {
        let model = self.path("model/final");
        if !model.exists() {
            let out = self.path("model").to_str().expect("UTF-8").to_owned();
            assert_code(&self.run(&common::tiny("pretrain", &out, &[])), 0);
        }
        model.to_str().expect("UTF-8").to_owned()
    }

    /// A judge that leaves a proof that it has run.
    fn judge(&self) -> Value {
        json!([{ "kind": "command", "command": ["sh", "-c", format!(
            "echo ran >> {}; while read line; do echo '{{\"score\": 1}}'; done", self.proof().display()
        )] }])
    }

    fn proof(&self) -> PathBuf {
        self.path("proof")
    }
}

#[test]
fn judging_another_persons_run_again_runs_none_of_its_programs() {
    let place = Place::new();
    let run = place.evaluation(&place.judge());
    let refused = place.run(&["eval", "--rescore", &run]);
    assert_code(&refused, 2);
    let text = told(&refused);
    for says in ["`reward.components[0].command` runs programs", "echo ran", "--trust", "theirs/config.json"]
    {
        assert!(text.contains(says), "{says}: {text}");
    }
    assert!(!place.proof().exists(), "nothing has run");

    // Naming its file is no statement of what it says.
    let config = format!("{run}/config.json");
    for args in
        [&["eval", &config, "--rescore", &run][..], &["doctor", &config], &["eval", &config, "--out", "o"]]
    {
        assert_code(&place.run(args), 2);
        assert!(!place.proof().exists(), "{args:?}");
    }

    let trusted = place.run(&["eval", "--rescore", &run, "--trust"]);
    assert_code(&trusted, 0);
    assert!(told(&trusted).contains("runs programs: [\"sh\""), "{}", told(&trusted));
    assert_eq!(fs::read_to_string(place.proof()).expect("it has run"), "ran\n");
    assert_eq!(rows(&trusted.stdout)[0]["pass@1"], 1.0);

    // What this user has had done from here is done again, and said again.
    let again = place.run(&["eval", "--rescore", &run]);
    assert_code(&again, 0);
    assert!(told(&again).contains("runs programs: [\"sh\""), "{}", told(&again));
    // Anything else is not.
    let other = json!([{ "kind": "command", "command": ["sh", "-c", "id"] }]);
    let run = place.evaluation(&other);
    assert_code(&place.run(&["eval", "--rescore", &run]), 2);
}

#[test]
fn a_recipe_of_ones_own_needs_no_flag_and_says_what_it_does() {
    let place = Place::new();
    let run = place.evaluation(&json!([{ "kind": "command", "command": ["sh", "-c", "id > proof"] }]));
    let components = place.judge().as_array().expect("a list")[0]["command"].clone();
    let recipe = format!(
        "model = {:?}\n[data]\ntask = 'chain_sum'\n[[reward.components]]\nkind = 'command'\ncommand = {components}\n",
        place.model()
    );
    fs::write(place.path("mine.toml"), recipe).expect("written");
    let output = place.run(&["eval", "mine.toml", "--rescore", &run]);
    assert_code(&output, 0);
    assert!(told(&output).contains("runs programs: [\"sh\""), "{}", told(&output));
    assert_eq!(fs::read_to_string(place.proof()).expect("it has run"), "ran\n");
    // What the command line states goes before what the folder says.
    let set = place.run(&["eval", "--rescore", &run, "--set", "reward.components=[{ kind = 'exact' }]"]);
    assert_code(&set, 0);
    assert!(!told(&set).contains("runs programs"), "{}", told(&set));
}

#[test]
fn servers_interpreters_and_folders_of_a_run_folder_are_refused_by_their_keys() {
    let place = Place::new();
    for (component, key, what) in [
        (
            json!({ "kind": "http", "url": "http://127.0.0.1:9/?x=S3CRET" }),
            "url",
            "contacts http://127.0.0.1:9/?***",
        ),
        (json!({ "kind": "code", "read": ["/"] }), "read", "lets programs in the sandbox read [\"/\"]"),
        (json!({ "kind": "code", "python": "/tmp/python" }), "python", "runs in the sandbox \"/tmp/python\""),
        (json!({ "kind": "code", "command": ["sh"] }), "command", "runs in the sandbox [\"sh\"]"),
    ] {
        let run = place.evaluation(&json!([component]));
        let refused = place.run(&["eval", "--rescore", &run]);
        assert_code(&refused, 2);
        let text = told(&refused);
        assert!(text.contains(&format!("`reward.components[0].{key}` {what}")), "{text}");
        assert!(!text.contains("S3CRET"), "{text}");
    }
    // Programs that a policy writes run in the sandbox, as ever.
    let run = place.evaluation(&json!([{ "kind": "exact" }]));
    assert_code(&place.run(&["eval", "--rescore", &run]), 0);
}

#[test]
fn a_run_that_this_user_began_is_resumed_without_a_flag() {
    let place = Place::new();
    let command = place.judge().as_array().expect("a list")[0]["command"].clone();
    let component = format!("reward.components=[{{ kind = 'command', command = {command} }}]");
    let args = common::tiny("train-rl", "run", &["train.save_steps=1", &component]);
    assert_code(&place.run(&args), 0);
    // By the recipe that the run has left, with more steps.
    fs::remove_file(place.path("run/complete.json")).expect("removed");
    let resumed = place.run(&["train-rl", "run/recipe.toml", "--out", "run", "--resume", "auto"]);
    assert_code(&resumed, 0);
    assert!(told(&resumed).contains("runs programs"), "{}", told(&resumed));
    // On another machine nothing is known of it.
    fs::remove_dir_all(place.path("state")).expect("removed");
    fs::remove_file(place.path("run/complete.json")).expect("removed");
    let moved = place.run(&["train-rl", "run/recipe.toml", "--out", "run", "--resume", "auto"]);
    assert_code(&moved, 2);
    assert!(told(&moved).contains("run/recipe.toml lies in a run folder"), "{}", told(&moved));
}

/// Only the superuser can give files away; others have no folder of another user to look at.
#[test]
fn a_run_folder_of_another_user_is_never_trusted_silently() {
    let place = Place::new();
    let run = place.evaluation(&place.judge());
    assert_code(&place.run(&["eval", "--rescore", &run, "--trust"]), 0);
    let give = |path: &Path| std::os::unix::fs::chown(path, Some(12_345), None);
    if give(&place.path("theirs/config.json")).is_err() {
        eprintln!(
            "SKIPPED: this user cannot give files to another one, so another user's folder was not tried"
        );
        return;
    }
    let refused = place.run(&["eval", "--rescore", &run]);
    assert_code(&refused, 2);
    assert!(told(&refused).contains("a run folder of another user"), "{}", told(&refused));
    assert_code(&place.run(&["eval", "--rescore", &run, "--trust"]), 0);
}

/// What no output may have: codes that steer a terminal, and those that reorder its text.
fn assert_harmless(output: &Output, what: &str) {
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        let text = String::from_utf8_lossy(bytes);
        let found = text
            .chars()
            .find(|c| (c.is_control() && !"\n\t".contains(*c)) || "\u{202e}\u{2066}".contains(*c));
        assert_eq!(found.filter(|_| name == "stderr"), None, "{what}: {name}: {text:?}");
        assert!(!bytes.contains(&0x1b), "{what}: {name}: {text:?}");
    }
}

#[test]
fn no_text_of_a_file_steers_the_terminal() {
    const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\u{9b}31m\u{202e}\u{8}x";
    let place = Place::new();
    let run = place.evaluation(&json!([{ "kind": "exact" }]));
    let samples = place.path("theirs/samples.jsonl");
    let row = fs::read_to_string(&samples).expect("there");
    let mut row: Value = serde_json::from_str(row.trim()).expect("JSON");
    row["set"] = json!(HOSTILE);
    row["task"]["prompt"] = json!(HOSTILE);
    row["task"]["task"] = json!(HOSTILE);
    row["text"] = json!(HOSTILE);
    fs::write(&samples, format!("{row}\n")).expect("written");
    for args in [&["eval", "--rescore", &run][..], &["eval", "--compare", &run, &run]] {
        let output = place.run(args);
        assert_code(&output, 0);
        assert_harmless(&output, args[1]);
        assert!(told(&output).contains("[2J"), "it is shown: {}", told(&output));
    }

    // Errors that quote files.
    fs::write(&samples, format!("{{\"set\": \"{HOSTILE}\"}}\n{HOSTILE}\n")).expect("written");
    let config = place.path("theirs/config.json");
    let model = PathBuf::from(place.model());
    fs::write(place.path("hostile.toml"), format!("{} = 3\n", json!(HOSTILE))).expect("written");
    let data = place.path(&format!("{}.jsonl", HOSTILE.replace('/', "")));
    fs::write(&data, format!("{{\"prompt\": \"{}\", \"answer\": \"1\"}}\n", "q\\u001b[2J")).expect("written");
    let data = data.to_str().expect("UTF-8").to_owned();
    fs::write(model.join("chat_template.jinja"), format!("{{{{ raise_exception('{HOSTILE}') }}}}"))
        .expect("written");
    let model = model.to_str().expect("UTF-8").to_owned();
    for args in [
        &["eval", "--rescore", &run][..],
        &["eval", "hostile.toml"],
        &["eval", "--model", &model, "--data", &data, "--set", "data.prompt=chat", "--out", "o"],
        &["verify", "--input", &data],
        &["report", &format!("no{HOSTILE}")],
        &["merge", HOSTILE, "out"],
        &["train-rl", "--no-such-flag", HOSTILE],
        &["generate", "--model", &model, "--input", &data],
    ] {
        let output = place.run(args);
        assert_harmless(&output, &format!("{args:?}"));
        assert_ne!(output.status.code(), Some(101), "{args:?}: {}", told(&output));
    }
    fs::write(&config, format!("{{\"command\": \"{HOSTILE}\"")).expect("written");
    let output = place.run(&["eval", "--rescore", &run]);
    assert_code(&output, 2);
    assert_harmless(&output, "config.json");
}
