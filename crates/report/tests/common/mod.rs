//! A run folder as a training leaves it, small.

use serde_json::json;
use std::fs;
use std::path::Path;

/// What an attacker of the page might have a policy write.
pub(crate) const HOSTILE: &str =
    "</script><img src=x onerror=alert(1)>\"'><script>alert(2)</script>\0\x1b[2J\u{202e}\u{2028}<!--";

/// A temporary folder.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, content).expect("written");
    }

    pub(crate) fn append(&self, name: &str, content: &str) {
        let old = fs::read_to_string(self.path().join(name)).expect("it is there");
        self.write(name, &(old + content));
    }

    /// A run of 20 steps in the folder of that name; `text` is what prompts and completions hold.
    pub(crate) fn run(&self, name: &str, text: &str, why: &str) {
        let write = |file: &str, rows: Vec<serde_json::Value>| {
            let lines: String = rows.iter().map(|row| row.to_string() + "\n").collect();
            self.write(format!("{name}/{file}").trim_start_matches('/'), &lines);
        };
        let metrics = (1..=20).map(|step| {
            let reward = f64::from(step) / 20.0;
            json!({ "step": step, "reward": reward, "entropy": 1.0 - reward, "kl": 0.0, "grad_norm": 0.3,
                "sampling/mismatch_kl": 1e-12, "rewards/format/mean": reward, "step_time_s": 1.5, "odd": 3 })
        });
        write("metrics.jsonl", metrics.collect());
        let evaluation = |step: u32, pass: f64| {
            json!({ "step": step, "set": "validation", "n": 40, "pass@1": pass, "pass@1_ci": [pass - 0.05, pass + 0.05],
                "pass@8": 0.9, "completion_length_mean": 12.5, "truncated": 0.0, "unscored": 0 })
        };
        write("eval.jsonl", vec![evaluation(0, 0.25), evaluation(20, 0.75)]);
        let load = (1..=20).map(|step| json!({ "step": step, "load": [[5, 5, 1, 1], [3, 3, 3, 3]] }));
        write("moe.jsonl", load.collect());
        for step in [0, 20] {
            let sample = json!({ "step": step, "set": "validation", "index": 0, "prompt": text, "answer": "2",
                "text": format!("<think>{text}</think><answer>2</answer>"), "verdict": "correct", "why": why });
            write(&format!("samples/step-{step:06}.jsonl"), vec![sample]);
        }
        let completion = json!({ "step": 1, "index": 3, "sample": 0, "prompt": text, "text": text, "logprobs": [-0.5, null],
            "advantage": 0.5, "verdict": "wrong", "why": why, "finish_reason": "stop" });
        write("completions/step-000001.jsonl", vec![completion]);
        let tokens = json!({ "step": 1, "index": 3, "sample": 0, "tokens": [text, "2"], "ratio": [1.1, 0.9],
            "entropy": [0.2, 0.3], "experts": [[[0, 1], [2, 3]]] });
        write("tokens/step-000001.jsonl", vec![tokens]);
        let config =
            json!({ "command": "train-rl", "seed": 0, "data": { "task": "chain_sum" }, "device": "flex" });
        self.write(format!("{name}/config.json").trim_start_matches('/'), &config.to_string());
    }
}
