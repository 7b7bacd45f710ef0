//! Runs that begin with a model folder and a data file: which settings they get, and what is refused.

mod common;

use common::{assert_code, qwen2, rows, rows_of, ruminate, tiny, told};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// So few tokens and steps that a debug build takes a second, without touching what is looked at.
const FEW: [&str; 5] =
    ["max_steps=1", "grpo.prompts_per_step=1", "grpo.num_generations=2", "eval.n=1", "grpo.num_iterations=1"];

fn sets(args: &mut Vec<String>, sets: &[&str]) {
    for set in sets {
        args.extend(["--set".to_owned(), (*set).to_owned()]);
    }
}

fn run(args: &[String]) -> std::process::Output {
    ruminate(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn sums(path: &Path) -> String {
    let lines: Vec<String> =
        (0..40).map(|i| format!("{{\"prompt\": \"What is {i} + 3?\", \"answer\": {}}}", i + 3)).collect();
    fs::write(path, lines.join("\n")).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

fn config(run: &Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("config.json")).expect("a run")).expect("JSON")
}

/// The recipe that `init` writes for a model and rows.
fn derived(model: &str, rows: &str) -> (toml::Table, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, out) = (folder.path().join("data.jsonl"), folder.path().join("recipe.toml"));
    fs::write(&data, rows).expect("written");
    let (data, out) = (data.to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
    let output = ruminate(&["init", "--model", model, "--data", data, "--out", out]);
    assert_code(&output, 0);
    let text = fs::read_to_string(out).expect("a recipe");
    (text.parse().unwrap_or_else(|error| panic!("{error}: {text}")), text)
}

fn key<'a>(table: &'a toml::Table, path: &str) -> Option<&'a toml::Value> {
    let mut keys = path.split('.');
    let first = table.get(keys.next()?)?;
    keys.try_fold(first, |value, key| value.get(key))
}

#[test]
fn a_model_of_its_own_gets_settings_that_fit_it_and_its_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = qwen2(folder.path(), 1024, Some("qwen2_5.jinja"));
    let data = sums(&folder.path().join("sums.jsonl"));
    let out = folder.path().join("out");
    let mut args = words(&format!("train-rl --model {model} --data {data} --out {}", out.display()));
    sets(&mut args, &FEW);
    let output = run(&args);
    assert_code(&output, 0);
    let (told, config) = (told(&output), config(&out));
    for (path, value) in [
        ("/rollout/max_new_tokens", Value::from(96)),
        ("/reward/verifier", "last_number".into()),
        ("/reward/format", 0.0.into()),
        ("/data/prompt", "chat".into()),
        ("/train/learning_rate", 6e-4.into()),
        ("/eval/empty_thought", false.into()),
        ("/eval/num_samples", 1.into()),
        ("/grpo/num_generations", 2.into()),
        ("/data/task", Value::Null),
        // Nothing of the embedded default's.
        ("/train/adam_beta2", 0.999.into()),
        ("/grpo/num_minibatches", 1.into()),
    ] {
        assert_eq!(config.pointer(path), Some(&value), "{path}: {told}");
    }
    assert!(config["data"]["system"].is_string(), "{config}");
    assert!(told.contains("rollout.max_new_tokens = 96, because"), "{told}");
    assert!(told.contains("reward.verifier = \"last_number\", because every answer is a number"), "{told}");
    assert!(!told.contains("grpo.num_generations = 8"), "what is stated is not derived: {told}");
    assert!(told.contains("sums.jsonl: 40 rows"), "{told}");
    assert!(told.contains("judged by `last_number`"), "{told}");
    let validation = rows_of(&out.join("eval.jsonl"))[0]["n"].as_u64().expect("a number");
    assert!(told.contains(&format!("on {validation} held-out problems")), "{told}");
    assert!(told.contains("1. GRPO: 1 steps of 1 problems x 2 completions"), "{told}");
    assert!(told.contains("epochs of"), "{told}");

    // What it wrote down is the same run, by either file.
    for recipe in ["recipe.toml", "config.json"] {
        let recipe = out.join(recipe);
        let again =
            ruminate(&["train-rl", recipe.to_str().expect("UTF-8"), "--out", out.to_str().expect("UTF-8")]);
        assert_code(&again, 0);
        assert!(common::told(&again).contains("is complete"), "{}", common::told(&again));
    }
}

#[test]
fn verifier_form_and_length_follow_from_the_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = qwen2(folder.path(), 2048, Some("qwen2_5.jinja"));
    let story = "Ann has some eggs and sells a part of them at the market every day. ".repeat(4);
    for (row, expected) in [
        (
            format!(r#"{{"question": "{story}", "answer": "3 and 4\n#### 7"}}"#),
            vec![
                ("reward.verifier", "math".into()),
                ("rollout.max_new_tokens", 512.into()),
                ("reward.format", 0.0.into()),
            ],
        ),
        (
            format!(r#"{{"prompt": "{story}", "answer": "7"}}"#),
            vec![("reward.verifier", "last_number".into()), ("rollout.max_new_tokens", 512.into())],
        ),
        (
            r#"{"prompt": "2+2? A) 3 B) 4 C) 5 D) 6", "answer": "B"}"#.to_owned(),
            vec![("reward.verifier", "choice".into()), ("reward.format", 0.0.into())],
        ),
        (
            r#"{"prompt": "the capital of France?", "answer": "Paris"}"#.to_owned(),
            vec![
                ("reward.verifier", "exact".into()),
                ("reward.format", 0.1.into()),
                ("rollout.max_new_tokens", 160.into()),
            ],
        ),
    ] {
        let (table, text) = derived(&model, &format!("{row}\n").repeat(3));
        for (path, value) in expected {
            let value: toml::Value = value;
            assert_eq!(key(&table, path), Some(&value), "{path} for {row}: {text}");
        }
    }
    let (table, text) = derived(&model, "{\"prompt\": \"the capital of France?\", \"answer\": \"Paris\"}\n");
    let system = key(&table, "data.system").and_then(toml::Value::as_str).unwrap_or_default();
    assert!(system.contains("<answer>"), "`exact` reads tags, and nothing else asks for them: {text}");
    let asked = r#"{"prompt": "2+2? Put the answer between <answer> and </answer>.", "answer": "four"}"#;
    assert_eq!(key(&derived(&model, asked).0, "data.system"), None, "the prompt asks itself");
    let brings = r#"{"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "2+2?"}], "answer": "4"}"#;
    assert_eq!(key(&derived(&model, brings).0, "data.system"), None, "the row brings its own");
    let commented = text.lines().filter(|line| line.contains(" = ")).all(|line| {
        line.contains(" # ")
            || line.starts_with("model")
            || line.starts_with("train =")
            || text
                .lines()
                .zip(text.lines().skip(1))
                .any(|(above, own)| own == line && above.starts_with('#'))
    });
    assert!(commented, "a reason for every key: {text}");
}

#[test]
fn what_init_writes_is_the_run_of_the_flags() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = qwen2(folder.path(), 512, Some("qwen2_5.jinja"));
    let data = sums(&folder.path().join("sums.jsonl"));
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let recipe = path("recipe.toml");
    let init = run(&words(&format!("init --model {model} --data {data} --out {recipe}")));
    assert_code(&init, 0);
    assert_eq!(rows(&init.stdout)[0]["command"], "train-rl");
    let written = fs::read(&recipe).expect("a recipe");

    let flags = words(&format!("train-rl --model {model} --data {data} --out {}", path("out")));
    let file = words(&format!("train-rl {recipe} --out {}", path("out")));
    for (mut args, says) in [(flags, "GRPO: 1 steps"), (file, "is complete")] {
        sets(&mut args, &FEW);
        let output = run(&args);
        assert_code(&output, 0);
        assert!(told(&output).contains(says), "{}", told(&output));
    }

    // What free memory decided for a run is decided for it: elsewhere it might have been 16.
    let resolved = folder.path().join("out/config.json");
    let config = fs::read_to_string(&resolved).expect("a run");
    assert!(config.contains("\"max_num_seqs\": 64") || config.contains("\"max_num_seqs\":64"), "{config}");
    let other = config
        .replace("\"max_num_seqs\": 64", "\"max_num_seqs\": 16")
        .replace("\"max_num_seqs\":64", "\"max_num_seqs\":16");
    fs::write(&resolved, other).expect("written");
    let mut flags = words(&format!("train-rl --model {model} --data {data} --out {}", path("out")));
    sets(&mut flags, &FEW);
    let other = run(&flags);
    assert_code(&other, 2);
    assert!(told(&other).contains("another recipe"), "{}", told(&other));

    let again = run(&words(&format!("init --model {model} --data {data} --out {recipe}")));
    assert_code(&again, 2);
    assert!(told(&again).contains("replaces no file"), "{}", told(&again));
    assert_eq!(fs::read(&recipe).expect("still there"), written);

    // Without a model it departs from the embedded default.
    let own = path("own.toml");
    assert_code(&run(&words(&format!("init --data {data} --out {own}"))), 0);
    let text = fs::read_to_string(&own).expect("a recipe");
    assert!(text.contains("extends = \"default\"") && text.contains("train = "), "{text}");
    assert_code(&ruminate(&tiny("train-rl", &path("own"), &[&format!("data.train={data}")])), 0);
    let mut args = tiny("train-rl", "", &[]);
    let own_run = path("own");
    args[2] = &own_run;
    args.insert(1, &own);
    let same = ruminate(&args);
    assert_code(&same, 0);
    assert!(told(&same).contains("is complete"), "{}", told(&same));
}

#[test]
fn sft_gets_a_rate_rows_and_passes_that_fit() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = qwen2(folder.path(), 1024, Some("qwen2_5.jinja"));
    let data = folder.path().join("pairs.jsonl");
    let long = "long ".repeat(60);
    let row = |answer: &str| format!("{{\"prompt\": \"1+1=\", \"completion\": \"{answer}\"}}\n");
    fs::write(&data, row("2").repeat(5) + &row(&long)).expect("written");
    let out = folder.path().join("out");
    let output =
        run(&words(&format!("sft --model {model} --data {} --out {}", data.display(), out.display())));
    assert_code(&output, 0);
    let config = config(&out);
    assert_eq!(config.pointer("/sft/learning_rate"), Some(&3e-3.into()));
    assert_eq!(config.pointer("/sft/num_train_epochs"), Some(&3.0.into()));
    let length = config.pointer("/sft/row_length").and_then(Value::as_u64).expect("a number");
    assert!((305..=512).contains(&length), "{length}: the longest sample has 305 tokens");
    assert_eq!(rows_of(&out.join("metrics.jsonl")).len(), 3, "three passes of six samples");
    assert!(told(&output).contains("3.0 epochs of 6 samples"), "{}", told(&output));
}

#[test]
fn a_rate_that_ruins_a_model_of_its_size_is_refused_where_a_recipe_hands_it_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = qwen2(folder.path(), 512, Some("qwen2_5.jinja"));
    let data = sums(&folder.path().join("sums.jsonl"));
    let recipe = folder.path().join("recipe.toml");
    fs::write(&recipe, "[train]\nlearning_rate = 5e-3\n").expect("written");
    let out = folder.path().join("out");
    let mut args = words(&format!(
        "train-rl {} --model {model} --data {data} --out {}",
        recipe.display(),
        out.display()
    ));
    sets(&mut args, &FEW);
    let refused = run(&args);
    assert_code(&refused, 2);
    assert!(told(&refused).contains("`train.learning_rate` is 5e-3"), "{}", told(&refused));
    assert!(told(&refused).contains("set `train.learning_rate = "), "{}", told(&refused));
    assert!(!out.exists(), "nothing was begun");
    sets(&mut args, &["train.learning_rate=5e-3"]);
    let insisted = run(&args);
    assert_code(&insisted, 0);
    assert!(told(&insisted).contains("`train.learning_rate` is 5e-3"), "{}", told(&insisted));
}

#[test]
fn a_base_model_without_a_template_is_asked_as_r1_zero_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = PathBuf::from(qwen2(folder.path(), 1024, None));
    // Its tokenizer is another than the embedded one, if only by a file.
    let config = fs::read_to_string(model.join("tokenizer_config.json")).expect("a file");
    fs::write(model.join("tokenizer_config.json"), config + "\n").expect("written");
    let row = "{\"prompt\": \"the capital of France?\", \"answer\": \"Paris\"}\n";
    let (table, text) = derived(model.to_str().expect("UTF-8"), row);
    assert_eq!(key(&table, "data.prompt").and_then(toml::Value::as_str), Some("r1"), "{text}");
    assert_eq!(key(&table, "data.system"), None, "R1-Zero's prompt asks for the tags: {text}");
}

#[test]
fn system_message_and_examples_reach_every_prompt() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = qwen2(folder.path(), 1024, Some("qwen2_5.jinja"));
    let data = sums(&folder.path().join("sums.jsonl"));
    let prompts = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let mut args = words(&format!("eval --model {model} --data {data} --out {}", out.display()));
        sets(
            &mut args,
            &["eval.n=2", "eval.num_samples=1", "rollout.max_new_tokens=8", "reward.verifier=last_number"],
        );
        sets(&mut args, more);
        let output = run(&args);
        assert_code(&output, 0);
        let ids = rows_of(&out.join("samples.jsonl"))[0]["prompt_ids"].clone();
        let character =
            |id: u64| if id == 6 { '\n' } else { char::from(u8::try_from(id - 7 + 32).expect("ASCII")) };
        let ids = ids.as_array().expect("a list").iter().map(|id| id.as_u64().expect("an id"));
        ids.map(character).collect::<String>()
    };
    let shots = folder.path().join("shots.jsonl");
    fs::write(&shots, "{\"prompt\": \"What is 0 + 3?\", \"answer\": \"3\"}\n").expect("written");
    let plain = prompts("plain", &["data.system="]);
    assert!(plain.contains("user\nWhat is ") && !plain.contains("Be brief."), "{plain}");
    let told = prompts("system", &["data.system=Be brief."]);
    assert!(told.contains("system\nBe brief."), "{told}");
    let shown = prompts("shots", &["data.system=Be brief.", &format!("data.shots={}", shots.display())]);
    let (before, question) = shown.split_once("assistant\n3").expect("the example's reply");
    assert!(before.contains("system\nBe brief.") && before.contains("user\nWhat is 0 + 3?"), "{shown}");
    assert!(
        question.contains("user\nWhat is ") && !question.contains("0 + 3"),
        "not asked what is shown: {shown}"
    );

    // A conversation says the same with and without the flag.
    let generate = |args: &[&str], input: &str| {
        let base = ["generate", "--model", &model, "--max-new-tokens", "1"];
        let output = common::with_input(&[&base, args].concat(), input);
        assert_code(&output, 0);
        rows(&output.stdout)[0]["prompt_ids"].clone()
    };
    let user = r#"{"role": "user", "content": "hi"}"#;
    let system = r#"{"role": "system", "content": "Be brief."}"#;
    assert_eq!(
        generate(&["--system", "Be brief."], &format!("{{\"prompt\": [{user}]}}\n")),
        generate(&[], &format!("{{\"prompt\": [{system}, {user}]}}\n"))
    );
    assert_eq!(
        generate(&["--system", "Be brief."], "{\"prompt\": \"hi\"}\n"),
        generate(&[], "{\"prompt\": \"Be brief.\\n\\nhi\"}\n")
    );
}

#[test]
fn a_teacher_of_its_own_leaves_its_traces_where_no_student_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = qwen2(folder.path(), 512, Some("qwen2_5.jinja"));
    let data = sums(&folder.path().join("sums.jsonl"));
    let out = folder.path().join("out");
    let mut args = words(&format!("distill --model {model} --data {data} --out {}", out.display()));
    let anything =
        "reward.components=[{ kind = 'regex', subject = 'response', extent = 'part', pattern = '' }]";
    sets(&mut args, &[anything, "distill.prompts=6", "data.system=Be brief."]);
    let output = run(&args);
    assert_code(&output, 0);
    assert!(told(&output).contains("since there is no `distill.student`"), "{}", told(&output));
    assert!(told(&output).contains("is asked 6 problems"), "{}", told(&output));
    let traces = rows_of(&out.join("traces.jsonl"));
    assert!(!traces.is_empty(), "so short a wait for the ending token lets some through");
    assert_eq!(traces[0]["messages"][0]["content"], "Be brief.", "{}", traces[0]);
    assert!(!out.join("final").exists());
}

#[test]
fn flags_that_contradict_a_set_and_files_that_are_not_there_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let recipe = folder.path().join("recipe.toml");
    fs::write(&recipe, "extends = 'default'\n[data]\ntrain = 'mine.jsonl'\n").expect("written");
    let recipe = recipe.to_str().expect("UTF-8");
    for (args, code, says) in [
        (&["train-rl", "--model", "A", "--set", "model=B"][..], 2, "contradict each other"),
        (&["eval", "--data", "a", "--set", "data.eval=b"], 2, "contradict each other"),
        (&["train-rl", "--data", "nowhere.jsonl"], 3, "relative paths are looked for in the current folder"),
        (&["train-rl", recipe], 3, "nor in the recipe's"),
        (&["init", "--data", "nowhere.jsonl"], 3, "nowhere.jsonl"),
    ] {
        let output = ruminate(args);
        assert_code(&output, code);
        assert!(told(&output).contains(says), "{args:?}: {}", told(&output));
    }
    assert!(!Path::new("recipe.toml").exists(), "a refused init leaves nothing");
}

#[test]
fn a_recipe_finds_its_data_beside_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    sums(&folder.path().join("mine.jsonl"));
    let recipe = folder.path().join("recipe.toml");
    fs::write(&recipe, "extends = 'default'\n[data]\ntrain = 'mine.jsonl'\n").expect("written");
    let out = folder.path().join("out");
    let mut args = tiny("train-rl", out.to_str().expect("UTF-8"), &[]);
    args.insert(1, recipe.to_str().expect("UTF-8"));
    let output = ruminate(&args);
    assert_code(&output, 0);
    // What the run says of itself, on the embedded default.
    let told = told(&output);
    assert!(told.contains("mine.jsonl: 40 rows"), "{told}");
    assert!(told.contains("judged by `math` (so says the answers of the first rows"), "{told}");
    assert!(told.contains("held out by the hash of their prompts"), "{told}");
    let validation = rows_of(&out.join("eval.jsonl"))[0]["n"].as_u64().expect("a number");
    assert!(told.contains(&format!("on {validation} held-out problems")), "{told}");
    assert!(!told.contains("settings for"), "the embedded default keeps its own: {told}");
}

#[test]
fn rows_that_leave_nothing_to_learn_or_to_measure_are_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let all = sums(&folder.path().join("sums.jsonl"));
    let (same, long, mmlu) = (path("same.jsonl"), path("long.jsonl"), path("mmlu.jsonl"));
    fs::write(&same, "{\"prompt\": \"1+1=\", \"answer\": 2}\n".repeat(30)).expect("written");
    let row = |length: usize| format!("{{\"prompt\": \"{}\", \"answer\": 2}}\n", "1".repeat(length));
    fs::write(&long, row(90) + &row(100)).expect("written");
    fs::write(&mmlu, "{\"question\": \"2+2?\", \"choices\": [\"3\", \"4\"], \"answer\": 1}\n")
        .expect("written");
    let beyond = path("beyond.jsonl");
    fs::write(&beyond, row(200)).expect("written");
    let train = |file: &str| format!("data.train={file}");
    for (sets, says) in [
        (vec![train(&all), format!("data.eval={all}")], vec!["`data.eval`", "not trained on"]),
        (vec![train(&same)], vec!["all 30 rows have the same prompt"]),
        (
            vec![train(&long)],
            vec!["128 positions", "`rollout.max_new_tokens` = 48", "the shortest 90", "at most 38"],
        ),
        (vec![train(&beyond)], vec!["no `rollout.max_new_tokens` helps", "more positions"]),
        (
            vec![train(&mmlu)],
            vec!["mmlu.jsonl:1:", "may count from 0 or from 1", "`data.columns.answer_index`"],
        ),
    ] {
        let out = path("out");
        let mut args = words(&format!("train-rl --force --out {out}")); // else the doctor speaks first
        for set in &sets {
            args.extend(["--set".to_owned(), set.clone()]);
        }
        let output = run(&args);
        assert_code(&output, 3);
        for part in says {
            assert!(told(&output).contains(part), "{sets:?}: {part:?} in {}", told(&output));
        }
    }
}

#[test]
fn help_is_a_command_too() {
    for args in [&["help"][..], &["help", "train-rl"], &["help", "init"]] {
        assert_code(&ruminate(args), 0);
    }
}
