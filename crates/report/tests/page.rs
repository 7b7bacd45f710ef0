//! The page as a whole: of a run, of a run that has only begun, of a pipeline, and of hostile ones.

mod common;

use common::{Folder, HOSTILE};
use ruminate_report::{Error, html, read};

#[test]
fn a_whole_run_becomes_one_page_that_asks_nobody() {
    let folder = Folder::new();
    folder.run("", "1+1=", "because");
    let page = html(&read(folder.path()).expect("a run"));
    for part in ["pass@1", "Reward", "Entropy", "Where the tokens went", "Before and after", "Token by token"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.contains("before (step 0)") && page.contains("after (step 20)"), "the table");
    assert!(page.contains("<b>75.0</b>") && page.contains("70.0–80.0"), "a share with its interval");
    assert!(
        page.contains("0 at every step, and not drawn: KL to the reference"),
        "a metric that says nothing"
    );
    for asks in ["http:", "https:", "src=", "href=", "url(", "@import", "fetch(", "XMLHttpRequest"] {
        assert!(!page.contains(asks), "{asks}");
    }
    assert!(page.len() < 200_000, "{}", page.len());
    assert_eq!(page, html(&read(folder.path()).expect("a run")), "the same folder, the same page");
}

#[test]
fn a_run_that_has_just_begun_has_a_page_of_what_is_there() {
    let folder = Folder::new();
    folder.write("metrics.jsonl", "{\"step\":1,\"loss\":2.5}\n{\"step\":2,\"lo");
    let page = html(&read(folder.path()).expect("a run"));
    assert!(page.contains("not complete: 1 step so far"));
    assert!(page.contains("config.json is not there"));
    for absent in ["Before and after", "Token by token", "<h2>Results"] {
        assert!(!page.contains(absent), "{absent}");
    }
    folder.write("metrics.jsonl", "");
    assert!(html(&read(folder.path()).expect("a run")).contains("</html>"));
}

#[test]
fn alarms_stand_at_the_top_of_the_page() {
    let folder = Folder::new();
    folder.run("", "1+1=", "");
    assert!(!html(&read(folder.path()).expect("a run")).contains(">Alarms<"));
    let alarm = |name: &str, advice: &str| serde_json::json!([{ "name": name, "metric": "x", "value": 1.0, "advice": advice }]);
    let row = serde_json::json!({ "step": 21, "reward": null, "alarms": alarm("all_equal", HOSTILE) });
    folder.append("metrics.jsonl", &format!("{row}\n"));
    let row = serde_json::json!({ "step": 20, "set": "validation", "pass@1": 0.1, "pass@1_ci": [0.0, 0.2],
        "alarms": alarm("validation", "worse than before") });
    folder.append("eval.jsonl", &format!("{row}\n"));
    let report = read(folder.path()).expect("a run");
    let steps: Vec<(u64, &str)> = report.runs[0]
        .alarms
        .iter()
        .map(|alarm| (alarm.step.unwrap_or_default(), alarm.name.as_str()))
        .collect();
    assert_eq!(steps, [(20, "validation"), (21, "all_equal")]);
    let page = html(&report);
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}"));
    assert!(at(">Alarms<") < at("worse than before") && at("worse than before") < at("<dl class=\"tiles\">"));
    assert!(page.contains("<b>step 21, all_equal</b>") && !page.contains("<img src=x"));
    folder.write("metrics.jsonl", "{\"step\":1,\"alarms\":3}\n");
    let error = read(folder.path()).expect_err("damaged").to_string();
    assert!(error.contains("metrics.jsonl:1: expected `alarms` to be a list"), "{error}");
}

#[test]
fn an_evaluation_that_measured_nothing_is_a_gap() {
    let folder = Folder::new();
    folder.run("", "1+1=", "");
    let row = serde_json::json!({ "step": 20, "set": "test", "n": 4, "pass@1": null, "pass@1_ci": null, "pass@8": null,
        "truncated": 1.0, "unscored": 0 });
    folder.append("eval.jsonl", &format!("{row}\n"));
    assert!(html(&read(folder.path()).expect("a run")).contains("<td class=\"none\">–</td>"));
}

#[test]
fn the_small_validation_is_drawn_with_its_best_step() {
    let folder = Folder::new();
    folder.run("", "1+1=", "");
    let row = |step: u32, pass: Option<f64>, is_best: bool| {
        let row = serde_json::json!({ "step": step, "n": 16, "pass@1": pass, "reward": pass, "completion_length_mean": 9.0,
            "truncated": 0.0, "unscored": 0, "is_best": is_best, "patience_counter": 0 });
        format!("{row}\n")
    };
    let title = "Validation while it learns";
    folder.write("validation.jsonl", &row(5, Some(0.25), true));
    assert!(!html(&read(folder.path()).expect("a run")).contains(title), "one point is no curve");
    folder.append(
        "validation.jsonl",
        &(row(10, Some(0.5), true) + &row(15, None, false) + &row(20, Some(0.375), false)),
    );
    let page = html(&read(folder.path()).expect("a run"));
    assert!(page.contains(title) && page.contains("The same 16 problems"));
    assert!(page.contains("The best by its measure came after step 10."));
    assert!(page.contains("\"x\":[5,10,20],\"y\":[0.25,0.5,0.375]"), "the points that were scored");
    folder.write("validation.jsonl", "{\"step\": 1}\n");
    let error = read(folder.path()).expect_err("a row without its numbers").to_string();
    assert!(error.contains("validation.jsonl"), "{error}");
}

#[test]
fn the_drawn_limit_of_the_mismatch_is_the_one_that_ends_a_run() {
    let folder = Folder::new();
    let row = |step: u32| format!("{{\"step\":{step},\"reward\":0.5,\"sampling/mismatch_kl\":0.01}}\n");
    folder.write("metrics.jsonl", &(row(1) + &row(2)));
    let drawn = |config: serde_json::Value| {
        folder.write("config.json", &config.to_string());
        let page = html(&read(folder.path()).expect("a run"));
        let limit = page.split("<span class=\"limit\" style=\"top:").nth(1);
        limit.map(|rest| rest.split('%').next().expect("a height").to_owned())
    };
    let exact =
        drawn(serde_json::json!({ "grpo": { "max_mismatch_kl": null }, "rollout": { "dtype": "float32" } }));
    let rounded =
        drawn(serde_json::json!({ "grpo": { "max_mismatch_kl": null }, "rollout": { "dtype": "int8" } }));
    assert!(exact.is_some() && rounded.is_some() && exact != rounded, "{exact:?} {rounded:?}");
    let ahead = serde_json::json!({ "max_mismatch_kl": null, "max_staleness": 2 });
    assert_eq!(drawn(serde_json::json!({ "grpo": ahead })), None);
    let given = serde_json::json!({ "max_mismatch_kl": 1e-3, "max_staleness": 2 });
    assert_eq!(drawn(serde_json::json!({ "grpo": given })), exact);
}

#[test]
fn the_age_of_weights_is_drawn_where_sampling_ran_ahead() {
    let folder = Folder::new();
    let title = "Age of the weights behind a token";
    folder.write("metrics.jsonl", "{\"step\":1,\"reward\":0.5}\n");
    assert!(!html(&read(folder.path()).expect("a run")).contains(title));
    let row = |step: u32| {
        format!("{{\"step\":{step},\"reward\":0.5,\"staleness/mean\":0.5,\"staleness/max\":2}}\n")
    };
    folder.write("metrics.jsonl", &(row(1) + &row(2)));
    assert!(html(&read(folder.path()).expect("a run")).contains(title));
}

#[test]
fn a_pipeline_has_a_row_a_stage() {
    let folder = Folder::new();
    for stage in ["10-r1", "2-zero", "1-base"] {
        folder.run(stage, "1+1=", "");
    }
    folder.write("notes.txt", "no run");
    let report = read(folder.path()).expect("runs");
    let names: Vec<&str> = report.runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["1-base", "2-zero", "10-r1"]);
    let page = html(&report);
    let row = |name: &str| page.find(&format!("<th scope=\"row\">{name}</th>")).expect(name);
    assert!(row("1-base") < row("2-zero") && row("2-zero") < row("10-r1"));
    assert!(page.contains("3 runs"));
}

#[test]
fn a_pipeline_with_a_graph_has_its_stages_in_the_order_of_the_graph() {
    let folder = Folder::new();
    for stage in ["base", "dev1", "dev1/base", "eval-zero", "other", "zero"] {
        folder.run(stage, "1+1=", "");
    }
    let names = || -> Vec<String> {
        read(folder.path()).expect("runs").runs.into_iter().map(|run| run.name).collect()
    };
    folder.write(
        "graph.json",
        r#"{"order": ["zero", "cold-start", "dev1", "base", "eval-zero"], "stages": {}}"#,
    );
    assert_eq!(names(), ["zero", "dev1", "dev1/base", "base", "eval-zero", "other"], "unknown ones are last");
    folder.write("graph.json", r#"{"stages": {}}"#);
    assert_eq!(names()[0], "base", "without an order by name");
    folder.write("graph.json", r#"{"order": 3}"#);
    let error = read(folder.path()).expect_err("damaged");
    assert!(error.to_string().contains("graph.json"), "{error}");
}

#[test]
fn a_supervised_run_shows_the_loss_of_its_validation_samples() {
    let folder = Folder::new();
    folder.write("metrics.jsonl", "{\"step\":1,\"loss\":2.5}\n{\"step\":2,\"loss\":1.5}\n");
    let row = |step: u32, loss: f64| {
        let row = serde_json::json!({ "step": step, "set": "validation", "n": 7, "loss": loss, "tokens": 70, "perplexity": loss.exp() });
        row.to_string() + "\n"
    };
    folder.write("eval.jsonl", &(row(0, 2.25) + &row(2, 1.75)));
    let page = html(&read(folder.path()).expect("a run"));
    assert!(page.contains("loss, validation") && page.contains("2.25") && page.contains("1.75"), "{page}");
    assert!(page.contains("loss, nats per token") && page.contains("samples"));
    assert!(!page.contains("pass@1 in %"), "no problem was asked");
}

#[test]
fn what_a_policy_wrote_never_becomes_markup() {
    let folder = Folder::new();
    folder.run("", HOSTILE, HOSTILE);
    let config = serde_json::json!({ "command": HOSTILE, "data": { "task": HOSTILE }, "device": HOSTILE });
    folder.write("config.json", &config.to_string());
    folder.append("metrics.jsonl", &(serde_json::json!({ "step": 21, HOSTILE: 1.5 }).to_string() + "\n"));
    let row = serde_json::json!({ "step": 21, "set": HOSTILE, "pass@1": 0.5, "pass@1_ci": [0.4, 0.6] });
    folder.append("eval.jsonl", &(row.to_string() + "\n"));
    let page = html(&read(folder.path()).expect("a run"));
    assert!(!page.contains("<img"), "an element that was never ours");
    assert!(page.contains("&lt;img"), "it is there as text");
    let ours = page.matches("<script").count();
    assert_eq!(page.matches("</script").count(), ours, "as many script elements as we opened");
    assert!(!page.contains('\u{202e}') && !page.contains('\0') && !page.contains('\x1b'));
}

#[test]
fn a_huge_row_makes_a_page_of_bounded_size() {
    let folder = Folder::new();
    folder.run("", "1+1=", &"why ".repeat(250_000));
    let text = "<b>&".repeat(250_000);
    let samples: String = (0..12)
        .map(|index| {
            let row = serde_json::json!({ "step": 0, "set": "validation", "index": index, "prompt": text, "answer": text,
                "text": text, "verdict": "wrong", "why": text });
            row.to_string() + "\n"
        })
        .collect();
    folder.write("samples/step-000000.jsonl", &samples);
    let row = serde_json::json!({ "step": 20, "set": text, "pass@1": 0.5 });
    folder.append("eval.jsonl", &(row.to_string() + "\n"));
    let names: serde_json::Map<_, _> =
        (0..1000).map(|i| (format!("{i}{}", "x".repeat(1000)), 1.into())).collect();
    let mut row = serde_json::Value::Object(names);
    row["step"] = 21.into();
    folder.append("metrics.jsonl", &(row.to_string() + "\n"));
    let load = serde_json::json!({ "step": 21, "load": vec![vec![1; 300]; 1000] });
    folder.append("moe.jsonl", &(load.to_string() + "\n"));
    assert!(html(&read(folder.path()).expect("a run")).len() < 1_500_000);
}

#[test]
fn a_damaged_folder_is_refused_by_path_and_line() {
    for (file, content, problem) in [
        ("metrics.jsonl", "{\"step\":1}\n{]\n", "metrics.jsonl:2: expected one JSON object"),
        ("eval.jsonl", "{\"step\":1}\n", "eval.jsonl:1: expected a text `set`"),
        (
            "eval.jsonl",
            "{\"step\":1,\"set\":\"a\",\"pass@1_ci\":[0]}\n",
            "eval.jsonl:1: expected `pass@1_ci` to be two",
        ),
        ("moe.jsonl", "{\"step\":1,\"load\":[[-1]]}\n", "moe.jsonl:1: expected"),
        ("completions/step-000001.jsonl", "\n{\"step\":1}\n", "step-000001.jsonl:2: expected"),
        ("tokens/step-000001.jsonl", "{\"step\":1}\n", "step-000001.jsonl:1: expected"),
        ("samples/step-000000.jsonl", "[]\n", "step-000000.jsonl:1: expected one JSON object, found a"),
        ("config.json", "{\n\"seed\": }", "config.json:2: expected one JSON object"),
        ("config.json", "[1]", "config.json:1: expected one JSON object"),
    ] {
        let folder = Folder::new();
        folder.run("", "1+1=", "");
        folder.write(file, content);
        let error = read(folder.path()).expect_err(file).to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn a_folder_without_runs_is_refused() {
    let folder = Folder::new();
    assert!(matches!(read(folder.path()), Err(Error::NoRun { .. })));
    assert!(matches!(read(&folder.path().join("nowhere")), Err(Error::Read { .. })));
}
