//! Claims about reading and writing JSON lines.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{BadLines, MAX_LINE_BYTES, Row, Rows, parse_object, parse_task, read, tasks, write};
use crate::{Error, Message, Prompt, Task};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use serde_json::{Map, Value, json};
use std::io::{BufReader, Read, repeat};
use std::path::Path;

fn strict(bytes: &[u8]) -> Result<Vec<Row<Task>>, Error> {
    read(bytes, Path::new("my.jsonl"), BadLines::Refuse, parse_task).map(|read| read.rows)
}

fn lenient(bytes: &[u8]) -> Rows<Task> {
    read(bytes, Path::new("my.jsonl"), BadLines::Skip, parse_task).unwrap()
}

fn task(line: &str) -> Task {
    strict(line.as_bytes()).unwrap().remove(0).value
}

#[test]
fn mark_crlf_and_blank_lines_are_no_errors_and_lines_keep_their_numbers() {
    let text =
        "\u{feff}{\"prompt\":\"1+1=\",\"answer\":\"2\"}\r\n\r\n  \n{\"prompt\":\"1+2=\",\"answer\":\"3\"}";
    let rows = strict(text.as_bytes()).unwrap();
    assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [1, 4]);
    assert_eq!(rows[1].value.prompt, Prompt::Text("1+2=".to_owned()));
    assert_eq!(rows[1].value.answer, "3");
}

#[test]
fn other_columns_are_kept_in_order() {
    let task = task(r#"{"z":[1,2],"prompt":"p","solution":"s","kind":"countdown","target":24,"a":null}"#);
    assert_eq!(task.answer, "s");
    assert_eq!(task.columns.keys().collect::<Vec<_>>(), ["z", "kind", "target", "a"]);
    assert_eq!(task.columns["target"], 24);
}

#[test]
fn a_worked_solution_beside_an_answer_stays_a_column() {
    let task = task(r#"{"prompt":"p","solution":"first ... so 3","answer":"3"}"#);
    assert_eq!((task.answer.as_str(), &task.columns["solution"]), ("3", &json!("first ... so 3")));
}

#[test]
fn gsm8k_s_question_is_a_prompt_unless_there_is_one() {
    let task = |text: &str| parse_task(text).unwrap();
    let gsm8k = task(r#"{"question":"q","answer":"6*7=<<6*7=42>>42\n#### 42"}"#);
    assert_eq!((gsm8k.prompt, gsm8k.answer.as_str()), (Prompt::Text("q".to_owned()), "42"));
    let both = task(r#"{"prompt":"p","question":"q","answer":"1"}"#);
    assert_eq!((both.prompt, &both.columns["question"]), (Prompt::Text("p".to_owned()), &json!("q")));
}

#[test]
fn a_number_for_an_answer_becomes_its_text_digit_by_digit() {
    for number in ["72", "-3", "0.1234567890123456789", "123456789012345678901234567890", "1e3", "2.50", "-0"]
    {
        assert_eq!(task(&format!("{{\"prompt\":\"p\",\"answer\":{number}}}")).answer, number);
    }
}

#[test]
fn a_prompt_can_be_messages() {
    let task =
        task(r#"{"prompt":[{"role":"system","content":"s"},{"role":"user","content":"u"}],"answer":"a"}"#);
    let message = |role: &str, content: &str| Message::new(role, content);
    assert_eq!(task.prompt, Prompt::Messages(vec![message("system", "s"), message("user", "u")]));
}

#[test]
fn a_bad_line_is_named_with_what_was_expected_and_found() {
    let good = "{\"prompt\":\"p\",\"answer\":\"a\"}";
    for (bad, expected, found) in [
        ("{\"prompt\":\"p\"", "one JSON object", "bad JSON at column 13 (EOF while parsing an object)"),
        ("[1]", "one JSON object", "a list"),
        ("\"text\"", "one JSON object", "a text"),
        ("{\"answer\":\"a\",\"asked\":\"q\"}", "a column `prompt` (or `question`)", "`answer`, `asked`"),
        ("{}", "a column `prompt`", "no columns"),
        ("{\"prompt\":\"p\",\"golds\":1}", "a column `answer` (or `solution`)", "`prompt`, `golds`"),
        ("{\"prompt\":3,\"answer\":\"a\"}", "`prompt` to be", "a number"),
        ("{\"prompt\":\"\",\"answer\":\"a\"}", "`prompt` to be", "an empty text"),
        ("{\"prompt\":[],\"answer\":\"a\"}", "`prompt` to be", "an empty list"),
        ("{\"prompt\":[{\"role\":\"user\"}],\"answer\":\"a\"}", "`prompt[0]` to be a message", "`content`"),
        ("{\"prompt\":\"p\",\"answer\":null}", "`answer` to be a text, a number", "null"),
        (
            "{\"prompt\":\"p\",\"solution\":[[]]}",
            "`solution` to be a text, a number",
            "a list of other things",
        ),
        ("{\"prompt\":\"p\",\"answer\":NaN}", "one JSON object", "bad JSON at column 24 (expected value)"),
    ] {
        let message = strict(format!("{good}\n\n{bad}\n{good}").as_bytes()).unwrap_err().to_string();
        assert!(message.starts_with("my.jsonl:3: expected "), "{message}");
        assert!(message.contains(expected) && message.contains(found), "{message}");

        let read = lenient(format!("{good}\n\n{bad}\n{good}").as_bytes());
        assert_eq!(read.rows.iter().map(|row| row.line).collect::<Vec<_>>(), [1, 4]);
        assert_eq!((read.skipped, read.first_skipped.unwrap().to_string()), (1, message));
    }
}

#[test]
fn bytes_that_are_not_utf8_are_named_by_column() {
    let text = b"{\"prompt\":\"p\",\"answer\":\"a\"}\n{\"prompt\":\"\xff\"}\n";
    assert_eq!(
        strict(text).unwrap_err().to_string(),
        "my.jsonl:2: expected UTF-8, found byte 0xff at column 12, which is not"
    );
    assert_eq!((lenient(text).rows.len(), lenient(text).skipped), (1, 1));
}

#[test]
fn a_line_of_a_gigabyte_is_refused_after_16_mib_and_skipped_without_being_held() {
    let good = b"\n{\"prompt\":\"p\",\"answer\":\"a\"}\n";
    let endless = || BufReader::with_capacity(1 << 20, repeat(b'x'));
    let refused = read(endless(), Path::new("endless"), BadLines::Refuse, parse_object);
    // An endless line would never return if the strict reader looked for its end.
    assert!(
        refused.unwrap_err().to_string().starts_with("endless:1: expected a line of at most 16777216 bytes")
    );

    let long = endless().take(1 << 30).chain(&good[..]);
    let read = read(BufReader::new(long), Path::new("long"), BadLines::Skip, parse_task).unwrap();
    assert_eq!((read.skipped, read.rows.len(), read.rows[0].line), (1, 1, 2));
}

#[test]
fn a_line_of_just_the_limit_is_read() {
    let frame = "{\"prompt\":\"\",\"answer\":\"a\"}".len();
    let line = |extra: usize| {
        let prompt = "p".repeat(MAX_LINE_BYTES - frame + extra);
        format!("{{\"prompt\":\"{prompt}\",\"answer\":\"a\"}}\n")
    };
    assert_eq!(strict(line(0).as_bytes()).unwrap().len(), 1);
    assert!(strict(line(1).as_bytes()).is_err());
}

#[test]
fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
    let text = format!("{{\"prompt\":\"p\",\"answer\":\"a\",\"x\":{}", "[".repeat(1_000_000));
    assert!(strict(text.as_bytes()).unwrap_err().to_string().contains("recursion limit"));
}

#[test]
fn a_file_without_rows_or_without_a_file_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.jsonl");
    assert!(matches!(tasks(&path, BadLines::Refuse), Err(Error::Read { .. })));
    std::fs::write(&path, "\n\n").unwrap();
    assert!(matches!(tasks(&path, BadLines::Refuse), Err(Error::Empty { skipped: 0, .. })));
    std::fs::write(&path, "nonsense\n").unwrap();
    assert!(matches!(tasks(&path, BadLines::Skip), Err(Error::Empty { skipped: 1, .. })));
    std::fs::write(&path, "{\"prompt\":\"p\",\"answer\":\"a\"}\n").unwrap();
    assert_eq!(tasks(&path, BadLines::Refuse).unwrap().rows.len(), 1);
}

fn any_prompt() -> impl Strategy<Value = Prompt> {
    let message = (any::<String>(), any::<String>()).prop_map(|(role, content)| Message::new(role, content));
    prop_oneof![
        ".+".prop_map(Prompt::Text),
        proptest::collection::vec(message, 1..4).prop_map(Prompt::Messages)
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let finite = any::<f64>().prop_filter("JSON has finite numbers only", |x| x.is_finite());
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        finite.prop_map(Value::from),
        any::<String>().prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let list = proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from);
        let object = proptest::collection::vec((any::<String>(), inner), 0..4);
        prop_oneof![list, object.prop_map(|pairs| Value::Object(pairs.into_iter().collect()))]
    })
}

fn any_task() -> impl Strategy<Value = Task> {
    let columns = proptest::collection::vec(("column_[a-z]{0,3}", any_value()), 0..4);
    (any_prompt(), any::<String>(), columns)
        .prop_map(|(prompt, answer, columns)| (prompt, answer + "a", columns)) // an empty one is refused
        .prop_map(|(prompt, answer, columns)| {
            let columns: Map<_, _> = columns.into_iter().collect();
            Task { prompt, answer, columns }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn written_tasks_read_back(tasks in proptest::collection::vec(any_task(), 0..4)) {
        let mut bytes = Vec::new();
        write(&mut bytes, &tasks).unwrap();
        prop_assert_eq!(bytes.split(|&b| b == b'\n').count() - 1, tasks.len());
        let rows = strict(&bytes).unwrap();
        prop_assert_eq!(rows.into_iter().map(|row| row.value).collect::<Vec<_>>(), tasks);
    }

    #[test]
    fn any_bytes_are_rows_or_bad_lines_or_blank(bytes in proptest::collection::vec(
        prop_oneof![4 => proptest::sample::select(br#"{}[]":,\pa1 "#.to_vec()), 1 => any::<u8>(), 1 => Just(b'\n')],
        0..80,
    )) {
        let read = lenient(&bytes);
        let lines = bytes.split(|&b| b == b'\n').filter(|line| !line.is_empty()).count();
        prop_assert!(read.rows.len() + read.skipped <= lines);
        prop_assert_eq!(read.skipped > 0, strict(&bytes).is_err());
    }

    #[test]
    fn a_damaged_task_is_a_task_or_a_mismatch(task in any_task(), at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = serde_json::to_vec(&task).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Err(mismatch) = parse_task(&text) {
            prop_assert!(!mismatch.expected.is_empty() && !mismatch.found.is_empty());
        }
    }
}
