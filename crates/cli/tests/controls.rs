//! What controls completions, from the command line and from recipes: stop texts, forbidden words, a forced beginning, a
//! thinking budget, penalties, and a distribution that is cut.

mod common;

use common::{assert_code, qwen2, rows, rows_of, ruminate, tiny, told, with_input};
use serde_json::{Value, json};

fn generate(model: &str, more: &[&str]) -> Vec<Value> {
    let args =
        [&["generate", "--model", model, "--max-new-tokens", "60", "--num-samples", "12"], more].concat();
    let output = with_input(&args, "{\"prompt\": \"1+1=\"}\n");
    assert_code(&output, 0);
    rows(&output.stdout)
}

fn text(row: &Value) -> &str {
    row["text"].as_str().expect("a text")
}

#[test]
fn generate_and_chat_take_texts_that_end_forbid_begin_and_close() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = qwen2(folder.path(), 256, Some("qwen2_5.jinja"));
    let plain = generate(&model, &[]);
    let with_o = plain.iter().filter(|row| text(row).contains('o')).count();
    assert!((1..plain.len()).contains(&with_o), "{with_o} of {}", plain.len());
    assert!(plain.iter().all(|row| row.get("trained").is_none()));

    let stopped = generate(&model, &["--stop", "o", "--stop", "zq"]);
    for (stopped, plain) in stopped.iter().zip(&plain) {
        let whole = text(plain);
        let expected = whole.find('o').map_or(whole, |at| &whole[..=at]);
        assert_eq!(text(stopped), expected, "the same draws, as far as they go");
        assert!(!whole.contains('o') || stopped["finish_reason"] == "stop", "{stopped}");
    }
    let without = generate(&model, &["--bad-word", "o"]);
    assert!(without.iter().all(|row| !text(row).contains('o')) && without != plain);
    let kept = generate(&model, &["--min-p", "1"]);
    assert!(
        kept.iter().all(|row| row["completion_ids"] == kept[0]["completion_ids"]),
        "the best token alone"
    );
    let penalised = generate(&model, &["--frequency-penalty", "2", "--presence-penalty", "-0.5"]);
    assert_ne!(penalised, plain);

    let forced = ["--thought-prefix", "<think>", "--thinking-budget", "20", "--thought-end", ".</think>"];
    let mut closed = 0;
    for row in generate(&model, &forced) {
        assert!(text(&row).starts_with("<think>"), "{row}");
        let trained = row["trained"].as_array().expect("the beginning is forced");
        let not_drawn: Vec<usize> = (0..trained.len()).filter(|&token| trained[token] == false).collect();
        // A tag is a token: the thought's end are two.
        if not_drawn == [0, 20, 21] {
            assert!(text(&row).contains(".</think>"));
            closed += 1;
        } else {
            assert_eq!(not_drawn, [0], "{row}");
        }
    }
    assert!(closed > 0);
    let chat =
        ["generate", "--chat", "--model", &model, "--max-new-tokens", "30", "--thought-prefix", "<think>"];
    let answered = with_input(&chat, "1+1=\n");
    assert_code(&answered, 0);
    assert!(answered.stdout.starts_with(b"<think>"), "{:?}", String::from_utf8_lossy(&answered.stdout));
}

#[test]
fn controls_that_cannot_be_are_refused_by_their_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = qwen2(folder.path(), 256, None);
    for (flags, says) in [
        (&["--stop", ""][..], "`stop` is an empty text"),
        (&["--min-p", "1.5"], "min_p is 1.5"),
        (&["--repetition-penalty", "0"], "repetition_penalty is 0"),
        (&["--thinking-budget", "60", "--max-new-tokens", "60"], "raise `max_new_tokens`"),
        (&["--thinking-budget", "5", "--thought-end", "so"], "`thought_end` is \"so\""),
    ] {
        for chat in [&[][..], &["--chat"]] {
            let refused = with_input(&[&["generate", "--model", &model], flags, chat].concat(), "");
            assert_code(&refused, 2);
            assert!(told(&refused).contains(says), "{flags:?}: {}", told(&refused));
        }
    }
    let row = with_input(
        &["generate", "--model", &model],
        &format!("{}\n", json!({ "prompt": "1", "stop": ["a"] })),
    );
    assert_code(&row, 3);
    assert!(told(&row).contains("the flag --stop"), "{}", told(&row));
    let server = ruminate(&[
        "distill",
        "--set",
        "distill.teacher=http://127.0.0.1:9/v1",
        "--set",
        "distill.remote_model=m",
        "--set",
        "rollout.stop=['a']",
    ]);
    assert_code(&server, 2);
    assert!(told(&server).contains("`rollout.stop` is not asked of a server"), "{}", told(&server));
}

#[test]
fn reinforcement_learns_under_every_control() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let sets = [
        "rollout.top_p=0.95",
        "rollout.top_k=30",
        "rollout.min_p=0.01",
        "rollout.repetition_penalty=1.1",
        "rollout.presence_penalty=0.1",
        "rollout.stop=['</answer>']",
        "rollout.bad_words=['#', '==']",
        "rollout.thought_prefix=<think>",
        "rollout.thinking_budget=6",
        "grpo.beta=0.01",
    ];
    let run = ruminate(&tiny("train-rl", out.to_str().expect("UTF-8"), &sets));
    assert_code(&run, 0);
    let metrics = rows_of(&out.join("metrics.jsonl"));
    assert!(!metrics.is_empty());
    for row in &metrics {
        let number = |key: &str| row[key].as_f64().unwrap_or_else(|| panic!("{key}: {row}"));
        assert!(number("sampling/mismatch_kl") < 1e-6, "{row}");
        assert!((0.1..1.0).contains(&number("sampling/kept_mass")), "{row}");
        assert!(number("kl").is_finite());
    }
    let completions = rows_of(&out.join("completions/step-000001.jsonl"));
    for row in &completions {
        let text = text(row);
        assert!(text.starts_with("<think>") && !text.contains('#') && !text.contains("=="), "{text:?}");
        assert!(text.find("</answer>").is_none_or(|at| at + 9 == text.len()), "{text:?}");
    }
    let samples = rows_of(&out.join("samples/step-000000.jsonl"));
    assert!(samples.iter().all(|row| text(row).starts_with("<think>")), "evaluations begin in the same way");
}
