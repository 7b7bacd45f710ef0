//! Whole runs, tiny: what they leave behind, that they are repeatable, and that an interruption changes nothing.

mod common;

use common::{assert_code, command, qwen2, rows, rows_of, ruminate, timeless_metrics, tiny, told};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn train_rl_leaves_a_whole_run_folder_and_tells_its_story_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let args = tiny("train-rl", run.to_str().expect("UTF-8"), &[]);
    let first = ruminate(&args);
    assert_code(&first, 0);
    for file in [
        "recipe.toml",
        "config.json",
        "metrics.jsonl",
        "eval.jsonl",
        "moe.jsonl",
        "completions/step-000001.jsonl",
        "samples/step-000000.jsonl",
        "tensorboard/events.out.tfevents.ruminate",
        "report.html",
    ] {
        assert!(run.join(file).is_file(), "{file}");
    }
    for file in ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"] {
        assert!(run.join("final").join(file).is_file(), "final/{file}");
    }
    let metrics = rows_of(&run.join("metrics.jsonl"));
    assert_eq!(metrics.len(), 2);
    for key in ["reward", "completions/mean_length", "sampling/mismatch_kl", "moe/load_max", "step_time_s"] {
        assert!(metrics[0].get(key).is_some(), "{key}");
    }
    let evaluations = rows_of(&run.join("eval.jsonl"));
    let validation: Vec<_> = evaluations.iter().filter(|row| row["set"] == "validation").collect();
    assert_eq!(validation.len(), 2, "before and after");
    assert_eq!((&validation[0]["step"], &validation[1]["step"]), (&0.into(), &2.into()));
    assert!(evaluations.iter().any(|row| row["set"] == "validation/empty_thought"));
    let completion = &rows_of(&run.join("completions/step-000001.jsonl"))[0];
    for key in
        ["prompt", "text", "completion_ids", "logprobs", "rewards", "advantage", "verdict", "finish_reason"]
    {
        assert!(completion.get(key).is_some(), "{key}");
    }
    let looked_at = rows_of(&run.join("tokens/step-000002.jsonl"));
    assert_eq!(looked_at.len(), 8, "two groups of four");
    for row in &looked_at {
        let length = |key: &str| row[key].as_array().map_or(0, Vec::len);
        assert!(length("tokens") > 0 && length("tokens") == length("ratio"), "{row}");
        assert_eq!(length("entropy"), length("tokens"));
        assert_eq!(row["experts"][0].as_array().map(Vec::len), Some(length("tokens")));
    }
    let page = fs::read_to_string(run.join("report.html")).expect("a report");
    assert!(page.contains("complete, 2 steps") && page.contains("after (step 2)"));
    assert_eq!(rows(&first.stdout)[0]["run"], run.to_str().expect("UTF-8"));

    let again = ruminate(&args);
    assert_code(&again, 0);
    assert!(told(&again).contains("is complete"), "{}", told(&again));
    let table = |text: String| text.split_once("validation\n").map(|(_, table)| table.to_owned());
    assert_eq!(table(told(&first)), table(told(&again)), "the same table again");
    assert!(table(told(&again)).is_some_and(|table| table.contains("pass@1, greedy")));

    let other = ruminate(&tiny("train-rl", run.to_str().expect("UTF-8"), &["seed=1"]));
    assert_code(&other, 2);
    assert!(told(&other).contains("--out"), "{}", told(&other));
}

#[test]
fn the_number_of_threads_changes_no_metric() {
    let folder = tempfile::tempdir().expect("a folder");
    let metrics = |threads: &str| {
        let run = folder.path().join(threads);
        let set = format!("threads={threads}");
        // Several microbatches a step, so that there is something to share out.
        let sets = [set.as_str(), "grpo.micro_batch_size=3", "pretrain.gradient_accumulation_steps=2"];
        assert_code(&ruminate(&tiny("train-rl", run.to_str().expect("UTF-8"), &sets)), 0);
        timeless_metrics(&run)
    };
    let one = metrics("1");
    assert_eq!(one.len(), 2);
    assert_eq!(one, metrics("2"));
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_resumes_to_the_same_metrics() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let (whole_name, broken_name) = (whole.to_str().expect("UTF-8"), broken.to_str().expect("UTF-8"));
    let sets = ["max_steps=40", "eval.n=2", "alarms.all_wrong=false"];
    assert_code(&ruminate(&tiny("train-rl", whole_name, &sets)), 0);

    let child =
        command(&tiny("train-rl", broken_name, &sets)).stderr(Stdio::piped()).spawn().expect("it starts");
    wait_for_rows(&broken.join("metrics.jsonl"));
    let signalled = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(signalled.is_ok_and(|status| status.success()), "the signal was sent");
    let output = child.wait_with_output().expect("it ends");
    assert_code(&output, 130);
    assert!(told(&output).contains("which is saved; go on with --resume auto"), "{}", told(&output));

    assert_code(&ruminate(&tiny("train-rl", broken_name, &sets)), 2); // neither forgotten nor overwritten
    let changed = ["max_steps=40", "eval.n=2", "alarms.all_wrong=false", "grpo.epsilon=0.3"];
    let changed = [tiny("train-rl", broken_name, &changed), vec!["--resume", "auto"]].concat();
    let refused = ruminate(&changed);
    assert_code(&refused, 2);
    assert!(told(&refused).contains("grpo.epsilon: 0.2, now 0.3"), "{}", told(&refused));
    let recipe = fs::read_to_string(broken.join("recipe.toml")).expect("a recipe");
    assert!(!recipe.contains("grpo.epsilon=0.3"), "what was refused leaves no trace");
    let resumed = ruminate(&[tiny("train-rl", broken_name, &sets), vec!["--resume", "auto"]].concat());
    assert_code(&resumed, 0);
    assert!(told(&resumed).contains("resumed from"), "{}", told(&resumed));
    assert_eq!(timeless_metrics(&broken), timeless_metrics(&whole));
    for log in ["eval.jsonl", "moe.jsonl"] {
        assert_eq!(rows_of(&broken.join(log)), rows_of(&whole.join(log)), "{log}");
    }
    let events = |run: &Path| {
        fs::metadata(run.join("tensorboard/events.out.tfevents.ruminate")).map(|file| file.len())
    };
    assert_eq!(events(&broken).expect("a file"), events(&whole).expect("a file"), "no step twice, none lost");
}

#[test]
fn a_run_saves_and_stops_when_the_pipe_of_its_starter_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let (whole_name, broken_name) = (whole.to_str().expect("UTF-8"), broken.to_str().expect("UTF-8"));
    let sets = ["max_steps=40", "eval.n=2", "alarms.all_wrong=false"];
    assert_code(&ruminate(&tiny("train-rl", whole_name, &sets)), 0);

    let args = [tiny("train-rl", broken_name, &sets), vec!["--resume", "auto", "--stop-at-eof"]].concat();
    let mut child = command(&args).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let pipe = child.stdin.take();
    wait_for_rows(&broken.join("metrics.jsonl"));
    assert!(child.try_wait().expect("a child").is_none(), "it works as long as the pipe is there");
    drop(pipe);
    let output = child.wait_with_output().expect("it ends");
    assert_code(&output, 130);
    assert!(told(&output).contains("standard input has ended"), "{}", told(&output));

    let without = [tiny("train-rl", broken_name, &sets), vec!["--resume", "auto"]].concat();
    assert_code(&command(&without).stdin(Stdio::null()).output().expect("it starts"), 0);
    assert_eq!(timeless_metrics(&broken), timeless_metrics(&whole));
}

#[test]
fn a_run_goes_on_when_nobody_reads_what_it_tells() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let mut child = command(&tiny("train-rl", run.to_str().expect("UTF-8"), &[]))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stderr.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert!(run.join("complete.json").is_file());
}

#[test]
fn a_report_names_what_is_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().to_str().expect("UTF-8");
    assert_code(&ruminate(&["report", run]), 3);
    let log = folder.path().join("metrics.jsonl");
    fs::write(&log, "{\"step\":1,\"loss\":2.5}\n").expect("written");
    let output = ruminate(&["report", run]);
    assert_code(&output, 0);
    let page = rows(&output.stdout)[0]["report"].as_str().expect("a path").to_owned();
    assert!(fs::read_to_string(page).expect("a page").contains("not complete: 1 step so far"));
    fs::write(&log, "{\"step\":1}\nnonsense\n").expect("written");
    let refused = ruminate(&["report", run]);
    assert_code(&refused, 3);
    assert!(told(&refused).contains("metrics.jsonl:2: expected one JSON object"), "{}", told(&refused));
}

/// Waits until a run has made its first step.
fn wait_for_rows(path: &Path) {
    let start = Instant::now();
    while fs::metadata(path).map_or(0, |file| file.len()) == 0 {
        assert!(start.elapsed() < Duration::from_mins(2), "no step within two minutes");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn tasks_of_a_file_are_trained_on_and_validation_by_problem() {
    let folder = tempfile::tempdir().expect("a folder");
    let (tasks, run) = (folder.path().join("my.jsonl"), folder.path().join("run"));
    let lines: Vec<String> =
        (0..60).map(|i| format!("{{\"prompt\": \"{i}+1=\", \"answer\": {}}}", i + 1)).collect();
    fs::write(&tasks, lines.join("\n")).expect("written");
    let set = format!("data.train={}", tasks.display());
    assert_code(&ruminate(&tiny("train-rl", run.to_str().expect("UTF-8"), &[&set, "max_steps=4"])), 0);
    let trained: BTreeSet<String> = (1..=4)
        .flat_map(|step| rows_of(&run.join(format!("completions/step-{step:06}.jsonl"))))
        .map(|row| row["prompt"].as_str().expect("a prompt").to_owned())
        .collect();
    assert_eq!(trained.len(), 16, "four steps of four problems, none twice in an epoch");
    let evaluations = rows_of(&run.join("eval.jsonl"));
    let validation = evaluations[0]["n"].as_u64().expect("a number");
    assert!((1..=4).contains(&validation), "{validation}");
    assert!(!evaluations.iter().any(|row| row["set"] == "test"));
}

#[test]
fn pretrain_sft_and_eval_work_one_after_the_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (corpus, pairs) = (path("corpus.jsonl"), path("pairs.jsonl"));
    fs::write(&corpus, "{\"text\": \"one and one is two\"}\n".repeat(20)).expect("written");
    fs::write(&pairs, "{\"prompt\": \"1+1=\", \"completion\": \"<answer>02</answer>\"}\n".repeat(3))
        .expect("written");

    let pretrained = path("pretrained");
    let set = format!("data.corpus={corpus}");
    assert_code(&ruminate(&tiny("pretrain", &pretrained, &[&set, "pretrain.row_length=16"])), 0);

    let tuned = path("tuned");
    let (model, data) = (format!("model={pretrained}/final"), format!("data.train={pairs}"));
    assert_code(&ruminate(&tiny("sft", &tuned, &[&data, &model])), 0);
    assert_eq!(rows_of(&folder.path().join("tuned/metrics.jsonl")).len(), 2);

    let (measured, model) = (path("measured"), format!("model={tuned}/final"));
    let output = ruminate(&tiny("eval", &measured, &[&model]));
    assert_code(&output, 0);
    let printed = rows(&output.stdout);
    assert_eq!(printed, rows_of(&folder.path().join("measured/eval.jsonl")));
    assert_eq!(printed[0]["set"], "validation");
}

#[test]
fn a_conversation_is_one_sample_where_the_template_marks_the_assistant_else_one_a_turn() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("conversation.jsonl");
    let turns = ["user", "assistant", "user", "assistant"];
    let messages = turns.map(|role| format!(r#"{{"role": "{role}", "content": "{role}s speak"}}"#));
    fs::write(&file, format!("{{\"messages\": [{}]}}\n", messages.join(", "))).expect("written");
    let data = format!("data.train={}", file.display());
    for (template, samples) in [("qwen2_5_training.jinja", 1), ("qwen2_5.jinja", 2)] {
        let folder = folder.path().join(template);
        let model = format!("model={}", qwen2(&folder, 1024, Some(template)));
        let run = folder.join("tuned");
        let mut args = vec!["sft", "--out", run.to_str().expect("UTF-8")];
        for set in [&data, &model, "sft.max_steps=1", "sft.batch_size=1", "sft.row_length=512"] {
            args.extend(["--set", set]);
        }
        assert_code(&ruminate(&args), 0);
        let complete = fs::read(run.join("complete.json")).expect("a completed run");
        let complete: serde_json::Value = serde_json::from_slice(&complete).expect("JSON");
        assert_eq!(complete["summary"]["samples"], samples, "{template}");
    }
}

#[test]
fn a_base_policy_is_made_once_for_its_recipe() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let args = |sets: &[&'static str]| tiny("train-rl", run.to_str().expect("UTF-8"), sets);
    assert_code(&ruminate(&args(&[])), 0);
    let manifest = || fs::read(run.join("base/final/manifest.json")).expect("a base");
    let first = manifest();
    for name in ["complete.json", "metrics.jsonl"] {
        fs::remove_file(run.join(name)).expect("removed");
    }
    let second = ruminate(&args(&["max_steps=1"]));
    assert_code(&second, 0);
    assert!(told(&second).contains("base is complete"), "{}", told(&second));
    assert_eq!(manifest(), first);
    for name in ["complete.json", "metrics.jsonl"] {
        fs::remove_file(run.join(name)).expect("removed");
    }
    assert_code(&ruminate(&args(&["max_steps=1", "pretrain.learning_rate=1e-4"])), 0);
    assert_ne!(manifest(), first, "another recipe makes another base");
}

#[test]
fn distill_trains_its_teacher_first_and_compares_student_and_teacher() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    // What so small a teacher writes is seldom right; a reward for the form alone lets something through.
    let sets = [
        "reward.verifier=format",
        "data.mix={ direct = 1, partial = 0, slip = 0, corrected = 0, correct = 0, untagged = 0 }",
        "pretrain.max_steps=80",
        "pretrain.batch_size=16",
        "pretrain.warmup_steps=5",
        "pretrain.learning_rate=1e-2",
        "distill.pretrain_steps=2",
    ];
    let output = ruminate(&tiny("distill", run.to_str().expect("UTF-8"), &sets));
    assert_code(&output, 0);
    assert!(run.join("teacher/final/model.safetensors").is_file());
    assert!(run.join("student-base/final/model.safetensors").is_file());
    assert!(!rows_of(&run.join("traces.jsonl")).is_empty());
    let story = told(&output);
    assert!(story.contains("student before  student after"), "{story}");
    let config = fs::read_to_string(run.join("final/config.json")).expect("a model folder");
    assert!(config.contains("\"model_type\": \"llama\""), "{config}");
}
