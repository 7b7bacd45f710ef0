//! The keys that a line of one kind may have, for callers that would rather refuse a slip than ignore it. `ruminate verify`
//! is none of them: its lines bring columns of their own.

use crate::registry::{GROUP_REWARDS, KINDS, is_registered, options_of, unknown};
use crate::{EXTERNAL_KINDS, Error};
use ruminate_data::nearest;
use serde_json::{Map, Value};

/// What [`crate::verify_line`] reads of a line of any kind.
const OF_A_LINE: &[&str] =
    &["kind", "gold", "completion", "prompt", "finish_reason", "completion_ids", "tokens"];

/// The columns of a task that a kind reads beside its gold answer.
const COLUMNS: &[(&str, &[&str])] = &[
    ("choice", &["choices", "options"]),
    ("cosine", &["answer_kind", "group_tokens"]),
    ("countdown", &["numbers", "nums", "target"]),
    ("ifeval", &["instruction_id_list", "instruction_id", "kwargs"]),
    ("json", &["schema", "json_schema", "tools", "function"]),
    ("length", &["answer_kind", "group_tokens"]),
    ("text", &["answers"]),
];

/// Rejects a line with a key that its kind does not read: no option of it, no column, nothing that
/// lines have in common. The kinds `length` and `cosine` read what their `answer_kind` reads, too.
/// Keys of `code` are not checked, whose tests stand under many names, nor those of a verifier that
/// was registered with [`crate::register`], which may read any column.
///
/// # Errors
/// [`Error::UnknownKind`], and [`Error::UnknownKeyword`] with the nearest key and all that there are.
pub fn check_keywords(kind: &str, line: &Map<String, Value>) -> Result<(), Error> {
    if EXTERNAL_KINDS.contains(&kind) || is_registered(kind) {
        return Ok(());
    }
    if !KINDS.contains(&kind) && !GROUP_REWARDS.contains(&kind) {
        return Err(unknown(kind, &[KINDS, GROUP_REWARDS].concat()));
    }
    let answers = GROUP_REWARDS.contains(&kind).then(|| text(line, "answer_kind").unwrap_or("exact"));
    if answers.is_some_and(is_registered) {
        return Ok(());
    }
    let parts = [Some(kind), answers];
    let options: Vec<&'static str> =
        parts.iter().flatten().flat_map(|part| options_of(part)).copied().collect();
    let columns: Vec<&'static str> =
        parts.iter().flatten().flat_map(|part| columns_of(part)).copied().collect();
    let named = text(line, "tolerance_column").filter(|_| options.contains(&"tolerance_column"));
    let is_known = |key: &str| {
        [&options[..], &columns, OF_A_LINE].iter().any(|known| known.contains(&key)) || named == Some(key)
    };
    match line.keys().find(|key| !is_known(key)) {
        None => Ok(()),
        Some(key) => {
            let known = options.iter().chain(&columns).chain(OF_A_LINE).copied();
            Err(Error::UnknownKeyword {
                kind: kind.to_owned(),
                nearest: nearest(key, known),
                key: key.clone(),
                options,
                columns,
            })
        }
    }
}

fn columns_of(kind: &str) -> &'static [&'static str] {
    COLUMNS.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, columns)| columns)
}

fn text<'a>(line: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    line.get(key).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, check_keywords};
    use crate::registry::{GROUP_REWARDS, KINDS, register};
    use crate::{Response, Verifier};
    use ruminate_data::{Task, Verdict};
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn refusal(kind: &str, line: Value) -> Option<String> {
        check_keywords(kind, line.as_object().expect("an object")).err().map(|error| error.to_string())
    }

    #[test]
    fn a_slip_is_refused_with_the_keywords_of_the_kind() {
        let says = refusal("math", json!({"kind": "math", "gold": "1", "golden": "all"})).expect("refused");
        assert!(says.contains("\"golden\"") && says.contains("did you mean `gold`"), "{says}");
        for option in ["targets", "golds", "decimal_comma", "tolerance_column"] {
            assert!(says.contains(option), "{says}");
        }
        let says = refusal("countdown", json!({"number": [1]})).expect("refused");
        assert!(says.contains("no options") && says.contains("numbers, nums, target"), "{says}");
        let says = refusal("exact", json!({"strict": true})).expect("refused");
        assert!(says.contains("no options and reads no columns"), "{says}");
        assert!(refusal("maths", json!({})).expect("refused").contains("did you mean `math`"));
    }

    #[test]
    fn what_a_kind_reads_is_taken() {
        let lines = [
            ("math", json!({"tolerance_column": "error", "error": 0.1, "prompt": "p", "tokens": 3})),
            ("length", json!({"answer_kind": "countdown", "numbers": [1], "target": 1, "group_tokens": [2]})),
            ("cosine", json!({"max_len": 9, "finish_reason": "stop"})),
            ("choice", json!({"options": ["a", "b"]})),
            ("code", json!({"test_list": []})),
        ];
        for (kind, line) in lines {
            assert_eq!(refusal(kind, line), None);
        }
        assert!(refusal("exact", json!({"tolerance_column": "error", "error": 1})).is_some());
    }

    #[test]
    fn a_registered_kind_reads_any_column() {
        struct Own;
        impl Verifier for Own {
            fn name(&self) -> &'static str {
                "keywords_own"
            }

            fn verify(&self, _: &Task, _: &Response<'_>) -> Verdict {
                Verdict::correct(1.0)
            }
        }
        assert!(refusal("keywords_own", json!({})).is_some());
        register(Arc::new(Own)).expect("a free name");
        assert_eq!(refusal("keywords_own", json!({"gold": "1", "level": 3})), None);
        assert_eq!(refusal("length", json!({"answer_kind": "keywords_own", "level": 3})), None);
        assert!(refusal("keywords_owns", json!({})).is_some());
    }

    #[test]
    fn columns_belong_to_kinds() {
        let known = [KINDS, GROUP_REWARDS].concat();
        assert!(COLUMNS.iter().all(|(kind, columns)| known.contains(kind) && !columns.is_empty()));
    }
}
