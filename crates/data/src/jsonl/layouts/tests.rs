//! Claims about layouts: what each of them becomes, and what is refused by the name of its own column.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::jsonl::{AnswerColumn, BadLines, Columns, TaskFormat, parse_task, tasks};
use crate::{Error, Prompt};
use serde_json::{Value, json};
use std::fs;

#[test]
fn known_layouts_become_tasks() {
    for (row, prompt, answer, kind, task, difficulty) in [
        (
            r#"{"question": "6 eggs a day?", "answer": "3 + 3 = <<3+3=6>>6\n#### 1,006"}"#,
            "6 eggs a day?",
            "1,006",
            Some("math"),
            None,
            None,
        ),
        (
            r#"{"problem": "Convert $(0,3)$.", "solution": "long", "answer": "\\left( 3, \\frac{\\pi}{2} \\right)",
                "subject": "Precalculus", "level": 2, "unique_id": "test/807.json"}"#,
            "Convert $(0,3)$.",
            "\\left( 3, \\frac{\\pi}{2} \\right)",
            Some("math"),
            Some("Precalculus".into()),
            Some(2.into()),
        ),
        (
            r#"{"id": 60, "problem": "Aya walks", "answer": "204"}"#,
            "Aya walks",
            "204",
            Some("math"),
            None,
            None,
        ),
        (
            r#"{"ID": "2024-II-4", "Problem": "Let", "Solution": "s", "Answer": 33}"#,
            "Let",
            "33",
            Some("math"),
            None,
            None,
        ),
        (
            r#"{"problem": "p", "solution": "So it is $\\boxed{\\frac{1}{2}}$, and not $\\boxed{1$.", "type": "Algebra"}"#,
            "p",
            "\\frac{1}{2}",
            Some("math"),
            Some("Algebra".into()),
            None,
        ),
        (r#"{"prompt": "p", "problem": "q", "answer": "a"}"#, "p", "a", None, None, None),
        (r#"{"question": "q", "answer": "4"}"#, "q", "4", None, None, None),
        (
            r#"{"problem": "q", "solution": null, "answer": null, "expected_answer": "7"}"#,
            "q",
            "7",
            Some("math"),
            None,
            None,
        ),
        (r#"{"question": "q", "answer": true, "passage": "t"}"#, "t\n\nq", "true", None, None, None),
        (r#"{"instruction": "add", "input": "1 2", "target": 3}"#, "add\n\n1 2", "3", None, None, None),
        (
            r#"{"problem": "q", "verification_info": "{\"answer\": {\"value\": \"5\"}}", "task_type": "verifiable_math"}"#,
            "q",
            "5",
            Some("math"),
            None,
            None,
        ),
    ] {
        let made = parse_task(row).unwrap();
        assert_eq!((made.prompt.text().as_str(), made.answer.as_str()), (prompt, answer), "{row}");
        let column = |name: &str| made.columns.get(name).cloned();
        assert_eq!(column("kind").as_ref().and_then(|kind| kind.as_str()), kind, "{row}");
        assert_eq!((column("task"), column("difficulty")), (task, difficulty), "{row}");
    }
}

#[test]
fn what_lacks_something_is_refused_by_the_name_of_its_column() {
    for (row, says) in [
        (r#"{"problem": "q"}"#, "expected a column `answer` (or `solution`)"),
        (
            r#"{"problem": "q", "answer": null}"#,
            "`answer` to be a text, a number or a list of them, found null",
        ),
        (
            r#"{"problem": "q", "answer": {"a": 1}}"#,
            "`answer` to be a text, a number or a list of them, found an object of `a`",
        ),
        (r#"{"problem": "q", "answer": []}"#, "found an empty list"),
        (r#"{"problem": "q", "answer": [["1"]]}"#, "found a list of other things"),
        (r#"{"problem": "q", "answer": " "}"#, "`answer` to be an answer, found an empty text"),
        (r#"{"problem": "q", "answer": "Not found"}"#, "found \"Not found\", which stands for none"),
        (
            r#"{"prompt": "q", "reward_model": {"ground_truth": ""}}"#,
            "`reward_model.ground_truth` to be an answer",
        ),
        (r#"{"question": 3, "answer": "4"}"#, "`question` to be a text or a list of messages"),
        (r#"{"messages": [{"role": "user"}], "answer": "4"}"#, "`messages[0]` to be a message"),
    ] {
        let refused = parse_task(row).unwrap_err().to_string();
        assert!(refused.contains(says), "{row}: {refused}");
    }
    let long = format!(r#"{{"problem": "Prove it.", "solution": "{}"}}"#, "because ".repeat(40));
    assert!(parse_task(&long).unwrap_err().to_string().contains("`solution` without a box"));
}

#[test]
fn several_accepted_answers_stay_together() {
    for row in [
        r#"{"question": "q", "answer": ["42", "43"]}"#,
        r#"{"question": "q", "golden_answers": ["42", "43"]}"#,
        r#"{"question": "q", "answers": {"text": ["42", "43"], "answer_start": [1, 2]}}"#,
        r#"{"question": "q", "answer": {"value": "42", "aliases": ["43", "42"]}}"#,
        r#"{"prompt": "q", "reward_model": {"ground_truth": "[\"42\", \"43\"]"}}"#,
    ] {
        let task = parse_task(row).unwrap();
        assert_eq!((task.answer.as_str(), &task.columns["answers"]), ("42", &json!(["42", "43"])), "{row}");
    }
    let one = parse_task(r#"{"problem": "q", "answer": [123456789012345678901234567890]}"#).unwrap();
    assert_eq!((one.answer.as_str(), one.columns.get("answers")), ("123456789012345678901234567890", None));
}

#[test]
fn what_is_judged_by_something_else_needs_no_answer() {
    let countdown = parse_task(r#"{"nums": [44, 19, 35], "target": 98}"#).unwrap();
    assert!(countdown.prompt.text().starts_with("Make 98 from the numbers 44, 19, 35 "), "{countdown:?}");
    assert_eq!(countdown.columns["kind"], "countdown");
    let nested =
        r#"{"prompt": "q", "reward_model": {"ground_truth": {"target": 98, "numbers": [44, 19, 35]}}}"#;
    let nested = parse_task(nested).unwrap();
    assert_eq!((nested.columns["kind"].as_str(), &nested.columns["target"]), (Some("countdown"), &json!(98)));
    let gym = r#"{"question": "q", "answer": "1+2", "metadata": {"source_dataset": "countdown", "numbers": [1, 2], "target": 3}}"#;
    assert_eq!(parse_task(gym).unwrap().columns["numbers"], json!([1, 2]));
    for row in [
        r#"{"text": "add two", "code": "def add..", "test_list": ["assert add(1, 2) == 3"]}"#,
        r#"{"prompt": "def f(", "test": "def check(c): ...", "entry_point": "f"}"#,
        r#"{"question_content": "q", "public_test_cases": "[]", "starter_code": ""}"#,
        r#"{"prompt": "q", "verification_info": "{\"test_cases\": [{\"input\": \"1\", \"output\": \"2\"}]}"}"#,
        r#"{"prompt": "Write.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}"#,
    ] {
        assert_eq!(parse_task(row).unwrap().answer, "", "{row}");
    }
    let lenient = TaskFormat { answer: AnswerColumn::Optional, ..TaskFormat::default() };
    for row in
        [r#"{"prompt": "p"}"#, r#"{"prompt": "p", "answer": ""}"#, r#"{"prompt": "p", "answer": null}"#]
    {
        assert_eq!(lenient.parse(row).unwrap().answer, "", "{row}");
    }
    let half = parse_task(r#"{"prompt": "p", "nums": [1, 2], "target": 3, "answer": 3.50}"#).unwrap();
    assert_eq!(half.answer, "3.50");
}

#[test]
fn conversations_end_with_the_question() {
    let turns =
        r#"[{"from": "human", "value": "q"}, {"from": "assistant", "ground_truth": {"value": "42"}}]"#;
    let rlvr = r#"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "so 42"}], "ground_truth": "42"}"#;
    for row in [turns, rlvr] {
        let task = parse_task(row).unwrap();
        let Prompt::Messages(messages) = &task.prompt else { panic!("{task:?}") };
        assert_eq!((messages.len(), messages[0].role(), messages[0].text().as_str()), (1, "user", "q"));
        assert_eq!(task.answer, "42");
    }
}

#[test]
fn columns_are_found_by_their_paths() {
    let format = |columns: &[(&str, &str)]| TaskFormat {
        columns: Columns(
            columns.iter().map(|(name, path)| ((*name).to_owned(), (*path).to_owned())).collect(),
        ),
        ..TaskFormat::default()
    };
    let row = r#"{"ask": {"turns": [{"text": "q"}]}, "gold.x": 1.10, "info": "{\"a\": [0.1234567890123456789]}", "opts": ["u", "v"], "z": 1}"#;
    let task = format(&[("prompt", "ask.turns.0.text"), ("answer", "info.a.0")]).parse(row).unwrap();
    assert_eq!((task.prompt.text().as_str(), task.answer.as_str()), ("q", "0.1234567890123456789"));
    let task = format(&[("prompt", "ask.turns.0.text"), ("answer_index", "z"), ("choices", "opts")])
        .parse(row)
        .unwrap();
    assert_eq!((task.answer.as_str(), task.prompt.text().as_str()), ("B", "q\n\nA) u\nB) v"));
    let task =
        format(&[("prompt", "ask.turns.0.text"), ("answer", "gold.x"), ("note", "z")]).parse(row).unwrap();
    assert_eq!((task.answer.as_str(), &task.columns["note"]), ("1.1", &json!(1)));
    assert!(!task.columns.contains_key("z"), "renamed: {task:?}");
    assert_eq!(
        format(&[("prompt", "ask.turns.0.text"), ("answer", "info.a")]).parse(row).unwrap().answer,
        "0.1234567890123456789"
    );
    for (path, found) in [
        ("info.b", "found `a`"),
        ("opts.5", "found a list of 2 without `5`"),
        ("z.y", "found a number in place of `y`"),
        ("nowhere", "found `ask`, `gold.x`"),
    ] {
        let refused = format(&[("answer", path)]).parse(row).unwrap_err().to_string();
        assert!(refused.contains(&format!("a value at `{path}` (data.columns.answer)")), "{refused}");
        assert!(refused.contains(found), "{refused}");
    }
}

#[test]
fn numbers_of_choices_count_as_the_whole_file_says() {
    let file = |answers: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let row =
            |answer: &&str| format!(r#"{{"question": "q", "choices": ["u", "v", "w"], "answer": {answer}}}"#);
        fs::write(&path, answers.iter().map(row).collect::<Vec<_>>().join("\n")).unwrap();
        let letters = |read: crate::jsonl::Rows<crate::Task>| {
            read.rows.into_iter().map(|row| row.value.answer).collect::<Vec<_>>()
        };
        tasks(&path, BadLines::Skip).map(letters).map_err(|error| error.to_string())
    };
    assert_eq!(file(&["1", "0", "\"C\""]).unwrap(), ["B", "A", "C"]);
    assert_eq!(file(&["1", "3"]).unwrap(), ["A", "C"]);
    for (answers, line, says) in [
        (
            &["\"A\"", "2"][..],
            2,
            "2 of 3 choices, which may count from 0 or from 1; if numbers count from 0, set `data.columns.answer_index`",
        ),
        (&["0", "1", "3"], 3, "where another row has 0"),
    ] {
        let refused = file(answers).unwrap_err();
        assert!(refused.contains(&format!("a.jsonl:{line}: ")) && refused.contains(says), "{refused}");
    }
}

/// `fixtures/data/layouts.jsonl`: names of files with their first line, and whether they are read.
#[test]
fn the_files_of_the_fixture_are_read_or_refused_as_it_says() {
    let path = ruminate_testkit::fixture_path("data/layouts.jsonl");
    let folder = tempfile::tempdir().unwrap();
    let (mut read, mut refused, mut wrong) = (0, 0, Vec::new());
    for case in fs::read_to_string(path).unwrap().lines() {
        let case: Value = serde_json::from_str(case).unwrap();
        let name = case["file"].as_str().unwrap();
        let first = case["first_line"].as_str().unwrap();
        let bytes: Vec<u8> = match name {
            "utf16.jsonl" => {
                let text = "{\"problem\": \"q\", \"answer\": \"42\"}\n";
                [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
            }
            "bom_crlf.jsonl" => format!("{first}\r\n\r\n{first}\r\n").into(),
            "no_final_newline.jsonl" => first.into(),
            _ => format!("{first}\n").into(),
        };
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        match (tasks(&path, BadLines::Refuse), case["expected"].as_str().unwrap()) {
            (Ok(_), "read") => read += 1,
            // A refusal says where and what to do, not that JSON is wrong somewhere.
            (Err(Error::Jsonl { .. } | Error::Format { .. }), "refused clearly") => refused += 1,
            (result, _) => wrong.push(format!("{name}: {result:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!((read, refused), (23, 4));
}
