//! What the doctor finds in recipes that cannot learn or cannot fit, by name, before anything is sampled; and that it finds
//! nothing severe in ours.

mod common;

use common::{assert_code, ruminate, told};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder that a checkpoint of somewhere else would be: a byte-level tokenizer, a chat template, no weights, which the
/// doctor does not read.
struct Place {
    folder: tempfile::TempDir,
}

/// SmolLM2-135M's sizes.
const OF_135M: [(&str, u64); 6] = [
    ("hidden_size", 576),
    ("num_hidden_layers", 30),
    ("num_attention_heads", 9),
    ("num_key_value_heads", 3),
    ("intermediate_size", 1536),
    ("vocab_size", 49_152),
];

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder") };
        place.model(&[]);
        let rows: Vec<(String, String)> =
            (0..60).map(|i| (format!("What is {i} plus 7?"), (i + 7).to_string())).collect();
        place.rows("sums.jsonl", &rows);
        place
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Writes the model's configuration with these departures.
    fn model(&self, departures: &[(&str, Value)]) {
        let folder = self.folder.path().join("model");
        fs::create_dir_all(&folder).expect("made");
        let fixtures = ruminate_testkit::fixture_path("text");
        fs::copy(fixtures.join("byte_level/tokenizer.json"), folder.join("tokenizer.json")).expect("copied");
        fs::copy(fixtures.join("templates/qwen2_5.jinja"), folder.join("chat_template.jinja"))
            .expect("copied");
        fs::write(folder.join("tokenizer_config.json"), "{}").expect("written");
        let mut config = json!({
            "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 2048, "hidden_size": 64,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128,
            "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
            "tie_word_embeddings": true, "bos_token_id": 0, "eos_token_id": 1, "torch_dtype": "float32",
        });
        for (key, value) in departures {
            config[*key] = value.clone();
        }
        fs::write(folder.join("config.json"), config.to_string()).expect("written");
    }

    fn rows(&self, name: &str, rows: &[(String, String)]) {
        let lines =
            rows.iter().map(|(prompt, answer)| json!({ "prompt": prompt, "answer": answer }).to_string());
        fs::write(self.folder.path().join(name), lines.collect::<Vec<_>>().join("\n")).expect("written");
    }

    /// A command on a recipe that suits the model, with these departures.
    fn run(&self, command: &[&str], sets: &[&str]) -> Output {
        let good = [
            format!("model={}", self.path("model")),
            format!("data.train={}", self.path("sums.jsonl")),
            "reward.verifier=last_number".to_owned(),
            "reward.format=0".to_owned(),
            "rollout.max_new_tokens=256".to_owned(),
            "train.learning_rate=2e-4".to_owned(),
            "sft.learning_rate=1e-3".to_owned(),
            "rollout.max_num_seqs=16".to_owned(),
        ];
        let mut args = command.to_vec();
        // A command refuses keys that it does not read.
        for set in &good {
            args.extend(["--set-if-read", set]);
        }
        for set in sets {
            args.extend(["--set", set]);
        }
        ruminate(&args)
    }

    fn doctor(&self, sets: &[&str]) -> Output {
        self.run(&["doctor"], sets)
    }
}

/// The findings of that severity, by name.
fn names(output: &Output, severity: &str) -> Vec<String> {
    let findings = common::rows(&output.stdout);
    let of = findings.iter().filter(|finding| finding["severity"] == severity);
    of.map(|finding| finding["name"].as_str().expect("a name").to_owned()).collect()
}

/// Asserts that this is the one severe finding, and that its advice names a key.
fn assert_severe(output: &Output, name: &str, says: &str) {
    assert_code(output, 2);
    assert_eq!(names(output, "severe"), [name], "{}", told(output));
    let findings = common::rows(&output.stdout);
    let finding = findings.iter().find(|finding| finding["severity"] == "severe").expect("severe");
    assert!(finding.to_string().contains(says), "{finding}");
    assert!(finding["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{finding}");
}

#[test]
fn a_recipe_that_can_learn_is_shown_with_its_prompt_gold_and_numbers() {
    let place = Place::new();
    let output = place.doctor(&[]);
    assert_code(&output, 0);
    assert_eq!(names(&output, "severe"), [""; 0]);
    let findings = common::rows(&output.stdout);
    let found = |name: &str| {
        let finding = findings.iter().find(|finding| finding["name"] == name);
        finding.map_or(String::new(), |finding| finding["found"].as_str().expect("a text").to_owned())
    };
    assert!(
        found("prompt").contains("What is 0 plus 7?") && found("prompt").contains("<|im_start|>"),
        "{findings:?}"
    );
    assert!(found("gold").contains("correct by `last_number`"), "{findings:?}");
    assert!(found("batch").contains("epochs of"), "{findings:?}");
    assert!(found("memory").contains("about") && found("disk").contains("free"), "{findings:?}");
    assert!(found("learning_rate").contains("known to work"), "{findings:?}");
    assert!(found("positions").contains("tokens"), "{findings:?}");
}

#[test]
fn what_cannot_learn_is_severe_by_the_name_of_its_check() {
    let place = Place::new();
    place.rows(
        "text.jsonl",
        &(0..40).map(|i| (format!("Capital {i}?"), format!("City{i}x"))).collect::<Vec<_>>(),
    );
    let conflicts: Vec<(String, String)> =
        (0..40).map(|i| (format!("What is {} plus 7?", i % 30), (i + 7).to_string())).collect();
    place.rows("conflicts.jsonl", &conflicts);
    let long: Vec<(String, String)> =
        (0..40).map(|i| (format!("{i} {}", "how much is that? ".repeat(400)), "3".to_owned())).collect();
    place.rows("long.jsonl", &long);
    place.rows("same.jsonl", &vec![("What is 1 plus 7?".to_owned(), "8".to_owned()); 30]);
    let data = |name: &str| format!("data.train={}", place.path(name));
    let same = data("same.jsonl");
    let eval = format!("data.eval={}", place.path("sums.jsonl"));
    let (text, conflicts, long) = (data("text.jsonl"), data("conflicts.jsonl"), data("long.jsonl"));
    let dead = "reward.components=[{ kind = \"command\", command = [\"false\"] }]";
    let cases: [(&[&str], &str, &str); 17] = [
        (&["train.learning_rate=5"], "learning_rate", "train.learning_rate"),
        (&["rollout.max_new_tokens=1"], "max_new_tokens", "rollout.max_new_tokens"),
        (&["reward.format=0.1"], "format", "reward.format"),
        (&[&text], "golds", "reward.verifier"),
        (&["grpo.num_generations=1"], "num_generations", "at least 2"),
        (&["grpo.prompts_per_step=7", "grpo.num_minibatches=2"], "groups", "grpo.num_minibatches"),
        (&[&long], "positions", "more positions"),
        (&["rollout.max_new_tokens=2048"], "positions", "rollout.max_new_tokens"),
        (&[&eval], "overlap", "data.eval"),
        (&[&conflicts], "conflicts", "lines"),
        (&[dead, "reward.format=0.1"], "recipe", "no effect beside"),
        (&["rollout.temperature=0"], "temperature", "rollout.temperature"),
        (&["lora.r=65"], "lora_rank", "lora.r"),
        (&["lora.r=4", "train.optimizer=muon"], "optimizer", "train.optimizer"),
        (&["reward.verifier=exact", "data.system=\"\""], "answer_tags", "data.system"),
        (&["data.train=absent.jsonl"], "data", "absent.jsonl"),
        (&[&same], "split", "the same prompt"),
    ];
    for (sets, name, says) in cases {
        let output = place.doctor(sets);
        assert_severe(&output, name, says);
    }
}

#[test]
fn the_rate_of_a_toy_is_severe_for_135m_parameters_and_fits_the_toy() {
    let place = Place::new();
    place.model(&OF_135M.map(|(key, value)| (key, json!(value))));
    let output = place.doctor(&["train.learning_rate=6e-4"]);
    assert_severe(&output, "learning_rate", "train.learning_rate = 2e-5");
    assert!(names(&place.doctor(&["train.learning_rate=2e-5"]), "severe").is_empty());
    assert_code(&ruminate(&["doctor"]), 0);
}

#[test]
fn an_ending_token_beyond_the_vocabulary_is_severe_and_the_run_exits_3() {
    let place = Place::new();
    place.model(&[("eos_token_id", json!(2048))]);
    let output = place.doctor(&[]);
    assert_code(&output, 2);
    assert!(names(&output, "severe").contains(&"eos_token_id".to_owned()), "{}", told(&output));
    let out = place.path("run");
    assert_code(&place.run(&["train-rl", "--out", &out], &[]), 3);
    assert!(!Path::new(&out).exists(), "nothing was begun");
}

#[test]
fn a_dead_reward_command_is_found_by_asking_it_once() {
    let place = Place::new();
    let reward =
        |command: &str| format!("reward={{ components = [{{ kind = \"command\", command = {command} }}] }}");
    let doctor = |command: &str| {
        // Without the short form of the good recipe, which would contradict `components`.
        let sets = [
            format!("model={}", place.path("model")),
            format!("data.train={}", place.path("sums.jsonl")),
            "train.learning_rate=2e-4".to_owned(),
            "rollout.max_new_tokens=256".to_owned(),
            reward(command),
        ];
        let mut args = vec!["doctor"];
        for set in &sets {
            args.extend(["--set", set]);
        }
        ruminate(&args)
    };
    for command in
        ["[\"false\"]", "[\"/no/such/program\"]", "[\"sh\", \"-c\", \"echo not-an-answer; sleep 9\"]"]
    {
        assert_severe(&doctor(command), "reward_command", "reward.components");
    }
    let alive = "[\"sh\", \"-c\", \"while read -r line; do id=${line#*:}; echo \\\"{\\\\\\\"id\\\\\\\": ${id%%,*}, \\\\\\\"score\\\\\\\": 1}\\\"; done\"]";
    let output = doctor(alive);
    assert_code(&output, 0);
    assert!(names(&output, "note").contains(&"reward_command".to_owned()), "{}", told(&output));
}

#[test]
fn a_recipe_is_examined_for_its_command() {
    let place = Place::new();
    let turns = |i: usize| {
        json!({ "messages": [
            { "role": "user", "content": format!("What is {i} plus 7?") },
            { "role": "assistant", "content": format!("It is {}.", i + 7) },
        ] })
    };
    let rows: Vec<String> = (0..40).map(|i| turns(i % 30).to_string()).collect();
    fs::write(place.path("chats.jsonl"), rows.join("\n")).expect("written");
    let chats = format!("data.train={}", place.path("chats.jsonl"));
    let sft = |sets: &[&str]| place.run(&["doctor", "--for", "sft"], &[&[chats.as_str()], sets].concat());
    let fits = sft(&[]);
    assert_code(&fits, 0);
    assert!(names(&fits, "warning").contains(&"duplicates".to_owned()), "{}", told(&fits));
    assert_severe(&sft(&["sft.learning_rate=0.5"]), "learning_rate", "sft.learning_rate");
    let uneven = sft(&["sft.batch_size=2", "sft.gradient_accumulation_steps=4"]);
    assert_code(&uneven, 0);
    assert!(names(&uneven, "warning").contains(&"groups".to_owned()), "{}", told(&uneven));
    // An evaluation may want to know whether a model writes tags that are not asked for.
    let eval = place.run(&["doctor", "--for", "eval"], &["reward.verifier=exact", "data.system=\"\""]);
    assert_code(&eval, 0);
    assert!(names(&eval, "warning").contains(&"answer_tags".to_owned()), "{}", told(&eval));
    assert_code(&ruminate(&["doctor", "--for", "serve"]), 2);
}

#[test]
fn a_severe_finding_refuses_the_run_before_its_folder_and_force_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let path = out.to_str().expect("UTF-8");
    let args = common::tiny("train-rl", path, &["grpo.prompts_per_step=3", "grpo.num_minibatches=2"]);
    let refused = ruminate(&args);
    assert_code(&refused, 2);
    let text = told(&refused);
    assert!(text.contains("`grpo.num_minibatches` to 1") && text.contains("--force"), "{text}");
    assert!(!out.exists(), "nothing was begun");
    assert!(refused.stdout.is_empty(), "standard output is for results");
    let forced = ruminate(&[&args[..], &["--force"]].concat());
    assert_code(&forced, 0);
    assert!(told(&forced).contains("warning: groups: "), "{}", told(&forced));
    assert!(out.join("final").is_dir());
}

#[test]
fn a_stated_rate_is_a_warning_before_a_run_unless_it_is_a_slip() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |rate: &str, name: &str| {
        let out = folder.path().join(name);
        let set = format!("train.learning_rate={rate}");
        ruminate(&common::tiny("train-rl", out.to_str().expect("UTF-8"), &[&set]))
    };
    let stated = run("3e-3", "stated");
    assert_code(&stated, 0);
    assert!(told(&stated).contains("warning: learning_rate: "), "{}", told(&stated));
    let slip = run("5", "slip");
    assert_code(&slip, 2);
    assert!(told(&slip).contains("train.learning_rate = 6e-4"), "{}", told(&slip));
}

#[test]
fn a_warm_up_as_long_as_the_run_is_a_warning() {
    let output = ruminate(&["doctor", "--set", "train.warmup_steps=10000", "--set", "max_steps=1"]);
    assert_code(&output, 0);
    assert!(names(&output, "warning").contains(&"warmup_steps".to_owned()), "{}", told(&output));
}

#[test]
fn a_plan_of_terabytes_exits_9_with_the_key_to_lower() {
    let place = Place::new();
    let mut departures = OF_135M.map(|(key, value)| (key, json!(value))).to_vec();
    departures.push(("max_position_embeddings", json!(8192)));
    place.model(&departures);
    let sets = [
        "train.learning_rate=2e-5",
        "grpo.prompts_per_step=256",
        "grpo.num_generations=64",
        "rollout.max_num_seqs=16384",
        "rollout.max_new_tokens=4096",
    ];
    assert_severe(&place.doctor(&sets), "memory", "rollout.max_num_seqs");
    let out = place.path("run");
    let run = place.run(&["train-rl", "--out", &out], &sets);
    assert_code(&run, 9);
    let text = told(&run);
    assert!(text.contains("GiB") && text.contains("`rollout.max_num_seqs`"), "{text}");
    assert!(!Path::new(&out).exists(), "nothing was begun");
}

#[test]
fn tasks_beyond_the_positions_are_refused_with_the_sum_also_when_forced() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, force) in [("a", &[][..]), ("b", &["--force"])] {
        let out = folder.path().join(name);
        let args = common::tiny("train-rl", out.to_str().expect("UTF-8"), &["rollout.max_new_tokens=5000"]);
        let output = ruminate(&[&args[..], force].concat());
        assert_code(&output, 2);
        let text = told(&output);
        assert!(text.contains("5000") && text.contains("128 positions"), "{text}");
        assert!(!out.exists(), "nothing was begun");
    }
    // The student of a distillation has positions, too.
    let out = folder.path().join("c");
    let student = "distill.student.max_position_embeddings=20";
    let output = ruminate(&common::tiny("distill", out.to_str().expect("UTF-8"), &[student]));
    assert_code(&output, 2);
    assert!(told(&output).contains("20 positions"), "{}", told(&output));
}

#[test]
fn more_threads_than_cores_are_not_used_and_that_is_said() {
    let output = ruminate(&["doctor", "--set", "threads=1000"]);
    assert_code(&output, 0);
    assert!(told(&output).contains("`threads` is 1000"), "{}", told(&output));
}

#[test]
fn flags_without_effect_on_the_doctor_are_refused() {
    for flag in [&["--force"][..], &["--stop-at-eof"], &["--resume", "auto"]] {
        let output = ruminate(&[&["doctor"], flag].concat());
        assert_code(&output, 2);
        assert!(told(&output).contains(flag[0]), "{}", told(&output));
    }
}

/// Our recipes by the commands that they are for; `data` files that are not in the repository are left out.
#[test]
fn our_recipes_have_no_severe_finding() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let recipes: [(&str, &[&str]); 24] = [
        ("default.toml", &["train-rl", "distill", "pretrain"]),
        ("ci.toml", &["train-rl", "distill", "pretrain"]),
        ("qwen2.5-0.5b-countdown.toml", &["train-rl"]),
        ("smollm2-sums.toml", &["train-rl", "eval"]),
        ("smollm2-sums-lora.toml", &["train-rl", "eval"]),
        ("smollm2-sums-distill.toml", &["distill"]),
        ("ci-r1/all.toml", &["pretrain", "train-rl", "distill", "eval"]),
        ("r1-tiny/base.toml", &["pretrain"]),
        ("r1-tiny/common.toml", &["train-rl", "distill", "eval"]),
        ("r1-tiny/moe.toml", &["pretrain", "train-rl", "distill", "eval"]),
        ("r1-tiny/llama-base.toml", &["pretrain", "train-rl"]),
        ("r1-tiny/qwen-base.toml", &["pretrain", "train-rl"]),
        ("r1-tiny/zero.toml", &["train-rl"]),
        ("r1-tiny/reasoning.toml", &["train-rl"]),
        ("r1-tiny/cold-start.toml", &["distill"]),
        ("r1-tiny/rejection.toml", &["distill"]),
        ("r1-tiny/traces.toml", &["distill"]),
        ("r1-tiny/dev1.toml", &["train-rl"]),
        ("r1-tiny/dev2.toml", &["train-rl"]),
        ("r1-tiny/dev3.toml", &["train-rl"]),
        ("r1-tiny/r1.toml", &["train-rl"]),
        ("r1-tiny/student.toml", &["train-rl"]),
        ("r1-tiny/control.toml", &["train-rl"]),
        ("r1-tiny/eval.toml", &["eval"]),
    ];
    // Of these the data is the user's.
    let without_data = ["gsm8k.toml", "gsm-symbolic.toml", "lora-24gb.toml"];
    let all: usize = ["recipes", "recipes/ci-r1", "recipes/r1-tiny"]
        .iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).expect("a folder"))
        .filter(|entry| {
            let name: PathBuf = entry.as_ref().expect("an entry").file_name().into();
            name.extension().is_some_and(|extension| extension == "toml") && name.as_os_str() != "graph.toml"
        })
        .count();
    assert_eq!(all, recipes.len() + without_data.len(), "a recipe that this test does not examine");
    for (recipe, commands) in recipes {
        for command in commands {
            let output = Command::new(env!("CARGO_BIN_EXE_ruminate"))
                .current_dir(&root)
                .args(["doctor", "--for", command, &format!("recipes/{recipe}")])
                .output()
                .expect("the binary starts");
            assert_eq!(output.status.code(), Some(0), "{recipe} for {command}: {}", told(&output));
            assert_eq!(names(&output, "severe"), [""; 0], "{recipe} for {command}: {}", told(&output));
        }
    }
}

/// The limit is the process's, so that other programs of the machine keep their memory.
#[cfg(target_os = "linux")]
fn with_address_space(kib: u64, args: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {kib}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_ruminate")]);
    command.args(args).output().expect("sh starts")
}

#[cfg(target_os = "linux")]
#[test]
fn memory_that_runs_out_exits_9_with_the_plan() {
    const KIB: u64 = 900_000;

    let folder = tempfile::tempdir().expect("a folder");
    let model = common::qwen2(folder.path(), 4096, None);
    let out = folder.path().join("out");
    let (model, path) = (format!("model={model}"), out.to_str().expect("UTF-8"));
    // 2,048 sequences of 4,000 tokens.
    let sets = [
        model.as_str(),
        "rollout.max_new_tokens=4000",
        "rollout.max_num_seqs=2048",
        "eval.n=16",
        "eval.num_samples=128",
        "max_steps=1",
    ];
    let mut args = vec!["train-rl", "--out", path];
    for set in sets {
        args.extend(["--set", set]);
    }
    let refused = with_address_space(KIB / 2, &args);
    assert_code(&refused, 9);
    assert!(told(&refused).contains("ulimit -v"), "{}", told(&refused));
    assert!(!out.exists(), "nothing was begun");
    args.push("--force");
    let ended = with_address_space(KIB / 2, &args);
    assert_code(&ended, 9);
    let text = told(&ended);
    assert!(
        text.contains("out of memory") && text.contains("planned were") && text.contains("rollout."),
        "{text}"
    );
}
