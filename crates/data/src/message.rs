//! A turn of a chat, whole: a chat template may read any of its keys.

use crate::jsonl::Mismatch;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value};

/// Keys of a thought beside its answer. The first is the one that chat templates read.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// One turn of a chat: the object of a file with all its keys, in the file's order. Its `role` is a text; its
/// `content` a text, a list of parts, null or absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Message(Map<String, Value>);

impl Message {
    /// A turn of text.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        let keys = [("role", role.into()), ("content", content.into())];
        Self(keys.into_iter().map(|(key, text)| (key.to_owned(), Value::from(text))).collect())
    }

    /// A turn as a file has it; `name` says where, as in `messages[0]`.
    ///
    /// # Errors
    /// What it lacks.
    pub fn from_json(name: &str, value: Value) -> Result<Self, Mismatch> {
        let message = || format!("`{name}` to be a message, with a text `role` and `content`");
        let Value::Object(turn) = value else { return Err(Mismatch::new(message(), sort(&value))) };
        match turn.get("role") {
            Some(Value::String(_)) => {}
            Some(other) => return Err(Mismatch::new(format!("`{name}.role` to be a text"), sort(other))),
            None => return Err(Mismatch::new(message(), keys(&turn))),
        }
        match turn.get("content") {
            None if turn.len() == 1 => return Err(Mismatch::new(message(), "`role` alone")),
            None | Some(Value::Null | Value::String(_)) => {}
            Some(Value::Array(parts)) if parts.iter().all(|part| part.is_object() || part.is_string()) => {}
            Some(other) => {
                let expected = format!("`{name}.content` to be a text, a list of parts or null");
                return Err(Mismatch::new(expected, sort(other)));
            }
        }
        Ok(Self(turn))
    }

    /// `system`, `user`, `assistant`, `tool`, or what else a template knows.
    pub fn role(&self) -> &str {
        self.0.get("role").and_then(Value::as_str).unwrap_or_default()
    }

    /// The text of its content; of a list of parts, that of the parts one after the other.
    pub fn text(&self) -> String {
        match self.0.get("content") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => {
                let text = |part: &Value| {
                    part.as_str().or_else(|| part["text"].as_str()).unwrap_or_default().to_owned()
                };
                parts.iter().map(text).collect()
            }
            _ => String::new(),
        }
    }

    /// The thought that stands in a key of its own.
    pub fn reasoning(&self) -> Option<&Value> {
        REASONING.iter().find_map(|key| self.get(key))
    }

    /// A key that is not null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// The same turn with another content.
    #[must_use]
    pub fn with_content(&self, content: impl Into<String>) -> Self {
        let mut turn = self.0.clone();
        turn.insert("content".to_owned(), Value::from(content.into()));
        Self(turn)
    }

    /// The same turn without a key.
    #[must_use]
    pub fn without(&self, key: &str) -> Self {
        let mut turn = self.0.clone();
        turn.shift_remove(key);
        Self(turn)
    }

    /// The turn as a template sees it, as `transformers` prepares it: without keys that are null, and with the thought
    /// under the names `thinking` and `reasoning_content`.
    pub fn for_template(&self) -> Map<String, Value> {
        let given = self.0.iter().filter(|(_, value)| !value.is_null());
        let given = given.map(|(key, value)| (key.clone(), value.clone()));
        let Some(thought) = self.reasoning().cloned() else { return given.collect() };
        let mut turn: Map<String, Value> =
            [("thinking".to_owned(), thought.clone())].into_iter().chain(given).collect();
        turn.insert(REASONING[0].to_owned(), thought);
        turn
    }

    /// Whether it says nothing but its role and a text.
    pub fn is_plain(&self) -> bool {
        self.0
            .iter()
            .all(|(key, value)| key == "role" || value.is_null() || (key == "content" && value.is_string()))
    }

    /// The turn in words for people: its text, or all of it where it has more than that.
    pub(crate) fn shown(&self) -> String {
        if self.is_plain() {
            format!("{}: {}", self.role(), self.text())
        } else {
            format!("{}: {}", self.role(), Value::from(self.0.clone()))
        }
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json("message", Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A list of messages as a file has it, not empty; `name` is that of the list.
///
/// # Errors
/// What it lacks.
pub fn messages(name: &str, list: Value) -> Result<Vec<Message>, Mismatch> {
    match list {
        Value::Array(list) if !list.is_empty() => {
            let message = |(i, value)| Message::from_json(&format!("{name}[{i}]"), value);
            list.into_iter().enumerate().map(message).collect()
        }
        other => Err(Mismatch::new(format!("`{name}` to be a list of messages, not empty"), sort(&other))),
    }
}

/// What sort of value it is. Its content is left out: it may be long, and it may be private.
pub(crate) fn sort(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty text",
        Value::String(_) => "a text",
        Value::Array(list) if list.is_empty() => "an empty list",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The keys that there are, the first dozen by name.
pub(crate) fn keys(object: &Map<String, Value>) -> String {
    if object.is_empty() {
        return "no columns".to_owned();
    }
    let short = |name: &String| format!("`{}`", name.chars().take(40).collect::<String>());
    let listed = object.keys().take(12).map(short).collect::<Vec<_>>().join(", ");
    let more = object.len().saturating_sub(12);
    if more == 0 { listed } else { format!("{listed} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::{Message, messages};
    use serde_json::json;

    #[test]
    fn every_key_stays_in_its_order() {
        let text = r#"{"name":"a","role":"assistant","content":null,"tool_calls":[{"z":1,"a":2}]}"#;
        let message: Message = serde_json::from_str(text).expect("a message");
        assert_eq!(serde_json::to_string(&message).expect("JSON"), text);
        assert_eq!((message.role(), message.text().as_str(), message.is_plain()), ("assistant", "", false));
        let seen = serde_json::to_string(&message.for_template()).expect("JSON");
        assert_eq!(seen, text.replace(r#""content":null,"#, ""), "null is absent to a template");
    }

    #[test]
    fn a_thought_has_the_names_that_templates_read() {
        let message: Message =
            serde_json::from_value(json!({"role": "assistant", "reasoning": "hm", "content": "4"}))
                .expect("one");
        let seen = serde_json::to_string(&message.for_template()).expect("JSON");
        assert_eq!(
            seen,
            r#"{"thinking":"hm","role":"assistant","reasoning":"hm","content":"4","reasoning_content":"hm"}"#
        );
    }

    #[test]
    fn parts_are_one_text() {
        let parts = json!({"role": "user", "content": [{"type": "text", "text": "a "}, "b"]});
        let message = Message::from_json("message", parts);
        assert_eq!(message.map(|message| message.text()), Ok("a b".to_owned()));
    }

    #[test]
    fn what_is_no_message_says_what_it_lacks() {
        for (value, says) in [
            (
                json!(["user", "a"]),
                "`prompt[0]` to be a message, with a text `role` and `content`, found a list",
            ),
            (json!({"from": "human", "value": "a"}), "a text `role` and `content`, found `from`, `value`"),
            (json!({"role": 1, "content": "a"}), "`prompt[0].role` to be a text, found a number"),
            (json!({"role": "user"}), "a text `role` and `content`, found `role` alone"),
            (json!({"role": "user", "content": 3}), "a list of parts or null, found a number"),
            (json!({"role": "user", "content": [3]}), "a list of parts or null, found a list"),
        ] {
            let problem = messages("prompt", json!([value])).expect_err("no message").to_string();
            assert!(problem.starts_with("expected ") && problem.contains(says), "{problem}");
        }
        assert!(
            messages("prompt", json!([])).expect_err("empty").to_string().contains("found an empty list")
        );
    }
}
