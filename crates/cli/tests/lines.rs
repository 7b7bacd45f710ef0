//! The commands over JSON lines, word by word as the contract has them, against what transformers computed.

mod common;

use common::{assert_code, fixture, rows, ruminate, told, with_input};
use safetensors::SafeTensors;
use serde_json::{Value, json};
use std::fs;

#[test]
fn verify_judges_line_by_line_and_exits_0_whatever_the_verdicts() {
    let input = concat!(
        "{\"kind\": \"exact\", \"gold\": \"3\", \"completion\": \"<think></think><answer>03</answer>\"}\n\n",
        "{\"kind\": \"format\", \"completion\": \"3\", \"unknown\": 1}\n",
    );
    let output = with_input(&["verify"], input);
    assert_code(&output, 0);
    let rows = rows(&output.stdout);
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0]["index"], &rows[0]["verdict"]), (&json!(0), &json!("correct")));
    assert_eq!((&rows[1]["index"], &rows[1]["verdict"]), (&json!(2), &json!("wrong")));
    for key in ["index", "verdict", "score", "extracted", "why"] {
        assert!(rows[0].get(key).is_some(), "{key}");
    }
}

#[test]
fn programs_of_lines_are_run_where_that_is_allowed() {
    let input = "{\"kind\": \"code\", \"gold\": \"\", \"tests\": [\"assert f(1) == 2\"], \"completion\": \
                 \"```python\\ndef f(x): return x + 1\\n```\"}\n";
    let refused = with_input(&["verify"], input);
    assert_code(&refused, 3);
    assert!(told(&refused).contains("--allow-code"), "{}", told(&refused));
    let output = with_input(&["verify", "--allow-code"], input);
    if output.status.code() == Some(6) {
        eprintln!("SKIPPED: {}", told(&output));
        return;
    }
    assert_code(&output, 0);
    assert_eq!(rows(&output.stdout)[0]["verdict"], "correct", "{}", told(&output));
    assert!(told(&output).contains("sandbox"), "{}", told(&output));
}

#[test]
fn a_bad_line_exits_3_with_its_number() {
    let output = with_input(&["verify"], "{\"kind\": \"format\", \"completion\": \"\"}\nnonsense\n");
    assert_code(&output, 3);
    assert!(told(&output).contains("<stdin>:2: expected a JSON object"), "{}", told(&output));
}

#[test]
fn generation_by_ids_needs_no_tokenizer_and_repeats_itself() {
    let model = fixture("deepseek_v3_plain");
    let model = model.to_str().expect("UTF-8");
    let input = "{\"prompt_ids\": [3, 4, 5]}\n{\"prompt_ids\": [7]}\n";
    let args = |temperature: &'static str| {
        [
            "generate",
            "--model",
            model,
            "--max-new-tokens",
            "5",
            "--temperature",
            temperature,
            "--num-samples",
            "2",
        ]
    };
    let greedy = with_input(&args("0"), input);
    assert_code(&greedy, 0);
    let rows_of_greedy = rows(&greedy.stdout);
    let order: Vec<(Value, Value)> =
        rows_of_greedy.iter().map(|row| (row["index"].clone(), row["sample"].clone())).collect();
    assert_eq!(order, [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(i, s)| (json!(i), json!(s))));
    for row in &rows_of_greedy {
        assert_eq!(row["completion_ids"].as_array().map(Vec::len), row["logprobs"].as_array().map(Vec::len));
        assert!(["stop", "length"].contains(&row["finish_reason"].as_str().expect("a reason")));
    }
    assert_eq!(rows_of_greedy[0]["completion_ids"], rows_of_greedy[1]["completion_ids"], "greedy is greedy");
    let sampled = with_input(&args("1"), input);
    let samples = rows(&sampled.stdout);
    assert_ne!(
        samples[0]["completion_ids"], samples[1]["completion_ids"],
        "samples have their own randomness"
    );
    assert_eq!(with_input(&args("1"), input).stdout, sampled.stdout);
}

#[test]
fn an_ending_token_is_part_of_its_completion_and_generation_config_says_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["config.json", "model.safetensors"] {
        fs::copy(fixture("qwen2").join(file), folder.path().join(file)).expect("copied");
    }
    let (input, output) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    // Unknown keys are ignored, and blank lines count.
    fs::write(&input, "\n{\"prompt_ids\": [3, 4, 5], \"unknown\": true}\n").expect("written");
    let path = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let (model, input, output) = (path(folder.path()), path(&input), path(&output));
    let generated = |temperature: &str| {
        let flags = ["--max-new-tokens", "8", "--temperature", temperature];
        let files = ["--input", &input, "--output", &output];
        let made = ruminate(&[&["generate", "--model", &model][..], &flags, &files].concat());
        assert_code(&made, 0);
        assert!(made.stdout.is_empty(), "the rows went into the file");
        common::rows_of(output.as_ref()).remove(0)
    };
    let (greedy, sampled) = (generated("0"), generated("1"));
    assert_eq!(greedy["index"], 1);
    assert!(greedy["text"].is_null(), "there is no tokenizer");
    let second = greedy["completion_ids"][1].clone();
    let says = |json: Value| {
        fs::write(folder.path().join("generation_config.json"), json.to_string()).expect("written");
    };
    says(json!({ "eos_token_id": 1, "temperature": 0.01, "top_k": 1, "top_p": 0.1, "max_new_tokens": 2 }));
    assert_eq!(generated("1"), sampled, "its settings of sampling are not ours");
    for ends in [second.clone(), json!([39, second])] {
        says(json!({ "eos_token_id": ends }));
        let ended = generated("0");
        let ids = ended["completion_ids"].as_array().expect("ids");
        assert_eq!((ids.last(), &ended["finish_reason"]), (Some(&second), &json!("stop")), "{ended}");
        assert_eq!(ended["logprobs"].as_array().map(Vec::len), Some(ids.len()));
    }
}

#[test]
fn ids_outside_the_vocabulary_exit_3() {
    let model = fixture("deepseek_v3_plain");
    let output =
        with_input(&["generate", "--model", model.to_str().expect("UTF-8")], "{\"prompt_ids\": [40]}\n");
    assert_code(&output, 3);
    assert!(told(&output).contains("<stdin>:1: token id 40"), "{}", told(&output));
}

#[test]
fn score_agrees_with_transformers() {
    for case in ["deepseek_v3_plain", "llama_tied"] {
        let model = fixture(case);
        let (ids, logprobs, [batch, tokens, vocabulary]) = expected(&model.join("expected.safetensors"));
        let (mut input, mut sums) = (String::new(), Vec::new());
        for row in 0..batch {
            let ids = &ids[row * tokens..(row + 1) * tokens];
            let line = json!({ "prompt_ids": ids[..3], "completion_ids": ids[3..] });
            input = input + &line.to_string() + "\n";
            let at = |t: usize| f64::from(logprobs[(row * tokens + t - 1) * vocabulary + ids[t] as usize]);
            sums.push((3..tokens).map(at).sum::<f64>());
        }
        let output = with_input(&["score", "--model", model.to_str().expect("UTF-8")], &input);
        assert_code(&output, 0);
        let rows = rows(&output.stdout);
        assert_eq!(rows.len(), batch);
        for (row, sum) in rows.iter().zip(sums) {
            assert_eq!(row["logprobs"].as_array().map(Vec::len), Some(tokens - 3));
            let difference = (row["sum"].as_f64().expect("a number") - sum).abs();
            assert!(difference < 2e-4 * (tokens - 3) as f64, "{case}: {} is not {sum}", row["sum"]);
        }
    }
}

#[test]
fn bench_ends_with_one_json_line_and_needs_a_config_only() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(fixture("llama_tied").join("config.json"), folder.path().join("config.json")).expect("copied");
    let model = folder.path().to_str().expect("UTF-8");
    for args in [
        vec![
            "bench",
            "generate",
            "--model",
            model,
            "--batch",
            "2",
            "--prompt-tokens",
            "4",
            "--new-tokens",
            "4",
        ],
        vec!["bench", "train", "--model", model, "--batch", "2", "--tokens", "8", "--steps", "2"],
    ] {
        let output = ruminate(&args);
        assert_code(&output, 0);
        let last = rows(&output.stdout).pop().expect("a line");
        for key in ["tokens_per_s", "step_s", "peak_gib", "device", "dtype"] {
            assert!(last.get(key).is_some(), "{args:?} lacks {key}");
        }
        assert!(last["tokens_per_s"].as_f64().expect("a number") > 0.0);
        let parts = last["parts"].as_array().expect("parts");
        assert!(
            !parts.is_empty() && parts.iter().all(|part| part["gflop"].as_f64() > Some(0.0)),
            "{parts:?}"
        );
    }
}

/// `input_ids`, `logprobs` and the latter's shape.
fn expected(path: &std::path::Path) -> (Vec<u32>, Vec<f32>, [usize; 3]) {
    let bytes = fs::read(path).expect("the fixture is there");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let ids = file.tensor("input_ids").expect("input_ids");
    let ids = ids.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("8 bytes")) as u32);
    let logprobs = file.tensor("logprobs").expect("logprobs");
    let &[batch, tokens, vocabulary] = logprobs.shape() else { panic!("three dimensions") };
    let values = logprobs.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes")));
    (ids.collect(), values.collect(), [batch, tokens, vocabulary])
}
