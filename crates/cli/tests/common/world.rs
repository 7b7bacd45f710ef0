//! A folder with everything that a wrong `--out` may name: runs, a model, a project of the user, links, data. One tiny
//! training run is the stuff of all of it.

use super::{assert_code, command, ruminate, tiny};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

/// Keys that make a run of the tiny recipe leave checkpoints.
pub(crate) const SAVING: [&str; 2] = ["train.save_steps=1", "pretrain.save_steps=1"];

/// The kinds of what lies there, by their names in the world.
pub(crate) const KINDS: [&str; 14] = [
    "rl",          // a finished run of train-rl, with its base
    "interrupted", // one without `final/` and `complete.json`
    "tuned",       // a finished run of sft
    "evaluation",  // one of eval
    "student",     // one of distill, with its stages
    "old",         // a run of 0.1.0, without run.json
    "model",       // a model folder
    "project",     // files of the user, some named like ours
    "notes",       // a single file of the user
    "broken",      // a run.json that makes no sense
    "data",        // a folder with the data
    "link",        // a link to the model
    "file",        // no folder
    "rl/base",     // a stage
];

/// Files of the user that lie in runs.
pub(crate) const THEIRS: [&str; 8] = [
    "notes.txt",
    "thesis.tmp-12",
    "final/notes.txt",
    "completions/mine.jsonl",
    "checkpoints/best/weights.bin",
    "checkpoints/step-000001/why.txt",
    "tensorboard/mine",
    "base/final/notes.txt",
];

pub(crate) struct World {
    folder: tempfile::TempDir,
}

impl World {
    /// With a run of `train-rl` that takes a few seconds.
    pub(crate) fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().expect("a folder") };
        let at = |name: &str| world.path(name);
        assert_code(&ruminate(&tiny("train-rl", &world.name("rl"), &SAVING)), 0);
        copy(&at("rl/final"), &at("model"));
        for name in THEIRS {
            write(&at("rl").join(name), "mine");
        }
        copy(&at("rl"), &at("interrupted"));
        for name in ["interrupted/complete.json", "interrupted/report.html"] {
            fs::remove_file(at(name)).expect("removed");
        }
        fs::remove_dir_all(at("interrupted/final")).expect("removed");
        for (name, command) in [("tuned", "sft"), ("evaluation", "eval"), ("student", "distill")] {
            copy(&at("rl"), &at(name));
            world.made_by(name, command, command);
        }
        fs::rename(at("student/base"), at("student/student-base")).expect("renamed");
        world.made_by("student/student-base", "distill", "student-base");
        write(&at("student/traces.jsonl"), "{}\n");
        write(&at("evaluation/samples.jsonl"), "{}\n");
        copy(&at("rl"), &at("old"));
        fs::remove_file(at("old/run.json")).expect("removed");
        for name in ["notes.md", "final/thesis.tex", "report.html", "recipe.toml", "metrics.jsonl", "a.tmp-1"]
        {
            write(&at("project").join(name), "mine");
        }
        write(&at("project/config.json"), "{\"mine\": true}");
        write(&at("notes/notes.txt"), "mine");
        write(&at("broken/run.json"), "{\"command\": 3}");
        write(&at("broken/metrics.jsonl"), "{}\n");
        write(
            &at("data/pairs.jsonl"),
            &"{\"prompt\": \"1+1=\", \"completion\": \"<answer>02</answer>\"}\n".repeat(3),
        );
        write(&at("data/corpus.jsonl"), &"{\"text\": \"one and one is two\"}\n".repeat(9));
        write(&at("data/lines.jsonl"), "{\"kind\": \"format\", \"completion\": \"\"}\n");
        write(&at("data/prompts.jsonl"), "{\"prompt_ids\": [3, 4]}\n");
        write(&at("file"), "mine");
        fs::create_dir(at("empty")).expect("made");
        #[cfg(unix)]
        std::os::unix::fs::symlink("model", at("link")).expect("linked");
        world
    }

    /// A world of its own with the same content.
    pub(crate) fn twin(&self) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        copy(self.folder.path(), folder.path());
        Self { folder }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn name(&self, name: &str) -> String {
        self.path(name).to_str().expect("UTF-8").to_owned()
    }

    /// Says in `run.json` that another command made a run.
    fn made_by(&self, name: &str, command: &str, stage: &str) {
        let path = self.path(name).join("run.json");
        let mut made: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).expect("a marker")).expect("JSON");
        made["command"] = command.into();
        made["stage"] = stage.into();
        made["id"] = "another".into();
        fs::write(&path, made.to_string()).expect("written");
    }

    /// The arguments of a command that writes a run folder, on inputs of this world.
    pub(crate) fn args(&self, what: &str, sets: &[&str]) -> Vec<String> {
        let (model, data) = (format!("model={}", self.name("model")), self.name("data"));
        let own: Vec<String> = match what {
            "sft" => vec![model, format!("data.train={data}/pairs.jsonl")],
            "pretrain" => vec![format!("data.corpus={data}/corpus.jsonl"), "pretrain.row_length=16".into()],
            "eval" => vec![model, "eval.empty_thought=false".into()],
            "distill" => vec![format!("distill.teacher={}", self.name("model"))],
            _ => Vec::new(),
        };
        let mut args = vec![what.to_owned()];
        let all = super::TINY.iter().chain(&SAVING).chain(sets).map(|set| (*set).to_owned());
        // A model folder stands in the place of the recipe's table, so it comes last.
        let tables = own.iter().any(|set| set.starts_with("model="));
        for set in all.filter(|set| !(tables && set.starts_with("model."))) {
            args.extend(["--set-if-read".to_owned(), set]);
        }
        for set in own {
            args.extend(["--set".to_owned(), set]);
        }
        args
    }

    /// Runs it with a folder to write into.
    pub(crate) fn run(&self, what: &str, out: &Path, sets: &[&str], flags: &[&str]) -> Output {
        let args = self.args(what, sets);
        let mut process = command(&args.iter().map(String::as_str).collect::<Vec<_>>());
        process
            .arg("--out")
            .arg(out)
            .args(flags)
            .current_dir(self.root())
            .output()
            .expect("the binary starts")
    }
}

/// Every file and link below `path`, by its content.
pub(crate) fn snapshot(path: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![path.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("readable") {
            let entry = entry.expect("an entry");
            let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
            let content = if kind.is_symlink() {
                format!("a link to {}", fs::read_link(&path).expect("a link").display())
            } else if kind.is_dir() {
                open.push(path);
                continue;
            } else if kind.is_file() {
                ruminate_run::sha256_hex(&fs::read(&path).expect("readable"))
            } else {
                "a device or a pipe".to_owned()
            };
            found.insert(path, content);
        }
    }
    found
}

/// Asserts that nothing is there that was not, and all that was, as it was.
pub(crate) fn assert_untouched(before: &BTreeMap<PathBuf, String>, root: &Path, what: &str) {
    let after = snapshot(root);
    let changed: Vec<&PathBuf> =
        before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(changed.is_empty(), "{what}: {changed:?}");
}

pub(crate) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(path, text).expect("written");
}

/// A folder with all that is below it; links stay links.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("readable") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        let kind = path.symlink_metadata().expect("there").file_type();
        if kind.is_dir() {
            copy(&path, &target);
        } else if kind.is_symlink() {
            #[cfg(unix)]
            std::os::unix::fs::symlink(fs::read_link(&path).expect("a link"), &target).expect("linked");
        } else {
            fs::copy(&path, &target).expect("copied");
        }
    }
}
