//! Problems whose answers a program can check.

use crate::jsonl::Mismatch;
use crate::message::{Message, messages, sort};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the policy is asked: bare text, or a chat that a template renders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Prompt {
    /// Encoded as it stands.
    Text(String),
    /// Rendered by the model's chat template with the generation prompt.
    Messages(Vec<Message>),
}

impl Prompt {
    /// The text that identifies the problem: it decides the split and is what people see.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Messages(messages) => messages.iter().map(Message::shown).collect::<Vec<_>>().join("\n"),
        }
    }

    /// A prompt as a file has it, not empty; `name` is that of the column.
    ///
    /// # Errors
    /// What it lacks.
    pub fn from_json(name: &str, value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::String(text) if !text.is_empty() => Ok(Self::Text(text)),
            Value::Array(list) if !list.is_empty() => messages(name, Value::Array(list)).map(Self::Messages),
            other => Err(Mismatch::new(
                format!("`{name}` to be a text or a list of messages, not empty"),
                sort(&other),
            )),
        }
    }
}

/// A problem with an answer that a program can check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// What the policy is asked.
    pub prompt: Prompt,
    /// The expected answer, in the form that the verifier wants.
    #[serde(alias = "solution")]
    pub answer: String,
    /// Any other column of the source: it reaches the verifier untouched.
    #[serde(flatten)]
    pub columns: serde_json::Map<String, Value>,
}
