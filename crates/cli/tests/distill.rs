//! Distillation beyond traces, as a user runs it: by logits that are computed once, and on the student's own way; gone on with
//! after a crash, and refused where teacher and student do not speak the same tokens.

mod common;

use common::served::{self, Ties};
use common::{assert_code, command, qwen2, rows_of, ruminate, small_llama, timeless_metrics, told};
use ruminate_fleet::Kind;
use ruminate_fleet::double::Double;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

/// A teacher and a student on short sums, their models left out.
const RECIPE: &str = r#"
    [data]
    task = "chain_sum"
    params = { terms = 3, first_max = 15, term_max = 9, total_max = 19, pad = 2 }
    [pretrain]
    max_steps = 80
    batch_size = 16
    row_length = 64
    learning_rate = 1e-2
    [reward]
    verifier = "format" # what so small a teacher writes is seldom right
    [rollout]
    max_new_tokens = 24
    [eval]
    n = 6
    num_samples = 2
    completions_steps = 1
    empty_thought = false
    [distill]
    prompts = 16
    num_samples = 2
    top_k = 8
    [sft]
    max_steps = 6
    batch_size = 8
    row_length = 64
    learning_rate = 3e-3
    save_steps = 2
    save_total_limit = 9
"#;

struct Place {
    folder: tempfile::TempDir,
    teacher: String,
}

impl Place {
    /// With a teacher, pretrained.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let recipe = [RECIPE, &small_llama("model", 16), &small_llama("distill.student", 8)].concat();
        fs::write(folder.path().join("recipe.toml"), recipe).expect("written");
        let place = Self { folder, teacher: String::new() };
        assert_code(&place.run("pretrain", "teacher", &[], &[]), 0);
        let teacher = format!("distill.teacher={}", place.file("teacher/final").display());
        Self { teacher, ..place }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, what: &str, out: &str, sets: &[&str], flags: &[&str]) -> Output {
        let (recipe, out) = (self.file("recipe.toml"), self.file(out));
        let mut process = command(&[what]);
        process.arg(recipe).arg("--out").arg(out);
        for set in sets {
            process.args(["--set", set]);
        }
        process.args(flags).output().expect("the binary starts")
    }

    fn distill(&self, out: &str, sets: &[&str], flags: &[&str]) -> Output {
        self.run("distill", out, &[&[self.teacher.as_str()], sets].concat(), flags)
    }

    /// A run as it lies there when the process was killed after its second checkpoint.
    fn killed(&self, whole: &str, broken: &str) {
        let (from, to) = (self.file(whole), self.file(broken));
        copy(&from, &to);
        fs::remove_file(to.join("complete.json")).expect("removed");
        fs::remove_dir_all(to.join("final")).expect("removed");
        fs::remove_dir_all(to.join("checkpoints/step-000006")).expect("removed");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("readable") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() { copy(&path, &target) } else { fs::copy(&path, &target).map(drop).expect("copied") }
    }
}

#[test]
fn students_of_logits_and_on_their_own_way_go_on_after_a_crash_bit_by_bit() {
    let place = Place::new();
    for (method, measure) in [("logits", "teacher_entropy"), ("on_policy", "reverse_kl")] {
        let method_set = format!("distill.method={method}");
        let sets = [method_set.as_str(), "distill.beta=0.5"];
        let whole = place.distill(method, &sets, &[]);
        assert_code(&whole, 0);
        let metrics = timeless_metrics(&place.file(method));
        assert_eq!(metrics.len(), 6);
        assert!(metrics.iter().all(|row| row["loss"].is_number() && row[measure].is_number()), "{metrics:?}");

        let broken = format!("{method}-broken");
        place.killed(method, &broken);
        assert_code(&place.distill(&broken, &sets, &[]), 2); // neither forgotten nor overwritten
        let resumed = place.distill(&broken, &sets, &["--resume", "auto"]);
        assert_code(&resumed, 0);
        assert!(told(&resumed).contains("(step 4)"), "{}", told(&resumed));
        assert_eq!(timeless_metrics(&place.file(&broken)), metrics, "{method}");
        let weights = |run: &str| fs::read(place.file(run).join("final/model.safetensors")).expect("a model");
        assert_eq!(weights(&broken), weights(method), "{method}");
    }
    // Who judges on the way shows what it judged.
    let completions = rows_of(&place.file("on_policy/completions/step-000003.jsonl"));
    assert_eq!(completions.len(), 8);
    assert!(completions[0]["advantage"].is_number() && completions[0]["verdict"].is_string());
}

/// Keys of a run whose teacher is a double of a server.
fn on_server(double: &Double) -> [String; 3] {
    [
        format!("distill.teacher={}/v1", double.url()),
        "distill.method=on_policy".to_owned(),
        "distill.remote_model=policy".to_owned(),
    ]
}

#[test]
fn a_teacher_on_a_server_teaches_what_it_teaches_from_its_folder() {
    let place = Place::new();
    assert_code(&place.distill("folder", &["distill.method=on_policy"], &[]), 0);
    let double = served::start(Kind::Vllm, Ties::Allowed, &place.file("teacher/final"));
    let keys = on_server(&double);
    let sets: Vec<&str> = keys.iter().map(String::as_str).collect();
    let output = place.run("distill", "server", &sets, &[]);
    assert_code(&output, 0);
    assert!(told(&output).contains("gives the canary's tokens -"), "{}", told(&output));
    let of = |run: &str| timeless_metrics(&place.file(run));
    let (folder, server) = (of("folder"), of("server"));
    assert_eq!(server.len(), 6);
    // The same numbers but for the order of sums: the first step's are those of the same completions.
    for name in ["reverse_kl", "loss", "completions/mean_length"] {
        let [folder, server] = [&folder, &server].map(|rows| rows[0][name].as_f64().expect("a number"));
        assert!((folder - server).abs() < 1e-4, "{name}: {folder} {server}");
    }
    let script = double.script();
    assert!(script.prompts.is_empty() && script.pauses == 0, "it samples nothing and gets no weights");
}

#[test]
fn a_teacher_that_goes_leaves_a_checkpoint_and_teaches_on_when_it_is_back() {
    let place = Place::new();
    let double = served::start(Kind::Vllm, Ties::Allowed, &place.file("teacher/final"));
    let keys = on_server(&double);
    let more = ["distill.remote_max_retries=1", "distill.remote_backoff_ms=1", "sft.save_steps=0"];
    let sets: Vec<&str> = keys.iter().map(String::as_str).chain(more).collect();
    // Hello takes one score; a step takes eight: in the third its answers make no sense any more.
    double.script().sound_scores = Some(1 + 2 * 8 + 3);
    let output = place.run("distill", "gone", &sets, &[]);
    assert_code(&output, 6);
    let said = told(&output);
    assert!(said.contains("did not answer") && said.contains("--resume auto"), "{said}");
    assert!(place.file("gone/checkpoints/step-000002").is_dir());
    double.script().sound_scores = None;
    assert_code(&place.run("distill", "gone", &sets, &["--resume", "auto"]), 0);
    assert_eq!(timeless_metrics(&place.file("gone")).len(), 6);
}

#[test]
fn what_does_not_go_with_a_teacher_on_a_server_is_refused_by_its_key() {
    let place = Place::new();
    let double = served::start(Kind::Vllm, Ties::Allowed, &place.file("teacher/final"));
    let keys = on_server(&double);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for (set, says) in [
        ("rollout.temperature=0.7", "`rollout.temperature` is 0.7"),
        ("rollout.top_p=0.9", "rollout.top_p"),
        ("distill.method=logits", "not of all others"),
        ("distill.remote_model=other", "it serves [\"policy\"] and not \"other\""),
        ("distill.remote_engine=trt", "sglang"),
    ] {
        let output = place.run("distill", "refused", &[&keys[..], &[set]].concat(), &[]);
        assert_code(&output, 2);
        assert!(told(&output).contains(says), "{says}: {}", told(&output));
    }
}

#[test]
fn a_student_whose_sampler_and_trainer_disagree_exits_8_as_under_train_rl() {
    let place = Place::new();
    // Both agree to f32's rounding, which is too much for this limit at every step.
    let sets = ["distill.method=on_policy", "distill.max_mismatch_kl=1e-300"];
    let stopped = place.distill("disagree", &sets, &[]);
    assert_code(&stopped, 8);
    assert!(told(&stopped).contains("step 3: the sampler's and the trainer's"), "{}", told(&stopped));
    assert_eq!(timeless_metrics(&place.file("disagree")).len(), 3, "the step that raised it is told");
    // What was told to round is to differ, by less than wrong weights would.
    assert_code(&place.distill("rounded", &[sets[0], "rollout.dtype=int8"], &[]), 0);
}

#[test]
fn traces_that_were_sampled_before_a_crash_are_not_sampled_again() {
    let place = Place::new();
    assert_code(&place.distill("whole", &[], &[]), 0);
    let of = |run: &str, file: &str| fs::read(place.file(run).join(file)).expect("written");
    let log = of("whole", "sampled.jsonl");
    assert_eq!(rows_of(&place.file("whole/sampled.jsonl")).len(), 32);
    // Killed in the middle of a line, and after the last.
    for cut in [log.len() / 2, log.len()] {
        let broken = format!("broken-{cut}");
        fs::create_dir(place.file(&broken)).expect("made");
        fs::write(place.file(&broken).join("run.json"), of("whole", "run.json")).expect("written");
        fs::write(place.file(&broken).join("sampled.jsonl"), &log[..cut]).expect("written");
        let lines = log[..cut].split(|&byte| byte == b'\n').count() - 1;
        let resumed = place.distill(&broken, &[], &["--resume", "auto"]);
        assert_code(&resumed, 0);
        let told = told(&resumed);
        assert!(told.contains(&format!("{lines} of 32 traces were sampled before")), "{told}");
        assert_eq!(of(&broken, "traces.jsonl"), of("whole", "traces.jsonl"));
        assert_eq!(of(&broken, "final/model.safetensors"), of("whole", "final/model.safetensors"));
        assert_eq!(rows_of(&place.file(&broken).join("sampled.jsonl")).len(), 32);
    }
}

#[test]
fn a_teacher_is_asked_once_about_its_traces() {
    let place = Place::new();
    let sets = ["distill.method=logits"];
    assert_code(&place.distill("run", &sets, &[]), 0);
    let names = |run: &str| -> Vec<String> {
        let entries = fs::read_dir(place.file(run).join("logits")).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    };
    let kept = names("run");
    assert_eq!(kept.len(), 1);
    assert!(!rows_of(&place.file("run/traces.jsonl")).is_empty());
    // The same teacher and traces in another run: the same file, to the bit.
    assert_code(&place.distill("again", &sets, &[]), 0);
    assert_eq!(names("again"), kept);
    assert_code(&place.distill("sharper", &[sets[0], "distill.temperature=2.0"], &[]), 0);
    assert_ne!(names("sharper"), kept);
}

#[test]
fn tokenizers_that_differ_exit_2_before_any_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let student = qwen2(folder.path(), 96, None);
    let tokenizer = Path::new(&student).join("tokenizer.json");
    let text = fs::read_to_string(&tokenizer).expect("a tokenizer");
    fs::write(&tokenizer, text.replacen("\"z\"", "\"\u{e4}\"", 1)).expect("written");
    let student = format!("distill.student={student}");
    let out = folder.path().join("distilled");
    for method in ["logits", "on_policy"] {
        let method = format!("distill.method={method}");
        let args = ["distill", "--out", out.to_str().expect("UTF-8"), "--set", &student, "--set", &method];
        let output = ruminate(&args);
        assert_code(&output, 2);
        let told = told(&output);
        assert!(told.contains("their tokenizers differ") && told.contains("\"z\""), "{told}");
        assert!(!out.exists(), "nothing was begun");
    }
}

#[test]
fn what_no_student_can_learn_exits_2() {
    for (sets, says) in [
        (&["distill.method=on_policy", "rollout.top_p=0.9"][..], "rollout.top_p"),
        (&["distill.method=on_policy", "distill.num_samples=5"], "whole problems"),
        (&["distill.method=logits", "distill.beta=2"], "beta"),
        (&["distill.method=letters"], "on_policy"),
    ] {
        let mut args = vec!["distill"];
        for set in sets {
            args.extend(["--set", set]);
        }
        let output = ruminate(&args);
        assert_code(&output, 2);
        assert!(told(&output).contains(says), "{sets:?}: {}", told(&output));
    }
}

#[test]
fn a_server_as_teacher_needs_its_feature() {
    if cfg!(feature = "remote") {
        return; // then `remote.rs` asks one
    }
    let sets = ["--set", "distill.teacher=http://127.0.0.1:9/v1", "--set", "distill.remote_model=m"];
    let output = ruminate(&[&["distill"], &sets[..]].concat());
    assert_code(&output, 2);
    assert!(told(&output).contains("cargo xtask --features remote"), "{}", told(&output));
}

/// As `recipes.rs` runs those of `train-rl`: a step of each method, with a small teacher and student.
#[test]
fn the_recipe_for_checkpoints_runs_a_step_by_every_method() {
    let place = Place::new();
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let recipe = recipes.join("smollm2-sums-distill.toml");
    // It names its files as seen from the root of the repository, and a chat template that the small teacher lacks.
    let data = |name: &str| recipes.join(format!("data/sums-{name}.jsonl")).display().to_string();
    let (train, eval) = (format!("data.train={}", data("train")), format!("data.eval={}", data("held-out")));
    for method in ["traces", "logits", "on_policy"] {
        let method_set = format!("distill.method={method}");
        let mut process = command(&["distill"]);
        process.arg(&recipe).arg("--out").arg(place.file(method));
        for set in [
            place.teacher.as_str(),
            &train,
            &eval,
            &method_set,
            "data.prompt=bare",
            "reward.verifier=format",
            "rollout.max_new_tokens=32",
            "distill.student.hidden_size=8",
            "distill.student.intermediate_size=8",
            "distill.student.num_hidden_layers=1",
            "sft.max_steps=1",
            "eval.n=1",
        ] {
            process.args(["--set", set]);
        }
        assert_code(&process.output().expect("the binary starts"), 0);
        assert!(place.file(method).join("final/model.safetensors").is_file());
        assert_eq!(rows_of(&place.file(method).join("metrics.jsonl")).len(), 1);
    }
}
