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

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Prompt {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<Message>> for Prompt {
    fn from(messages: Vec<Message>) -> Self {
        Self::Messages(messages)
    }
}

/// A problem with an answer that a program can check.
///
/// ```
/// use ruminate_data::Task;
///
/// let task = Task::new("7+5=", "12").with_column("kind", "exact").with_column("difficulty", 2);
/// assert_eq!((task.prompt.text().as_str(), task.answer.as_str()), ("7+5=", "12"));
/// assert_eq!(task.columns["difficulty"], 2);
/// ```
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

impl Task {
    /// A task without other columns.
    pub fn new(prompt: impl Into<Prompt>, answer: impl Into<String>) -> Self {
        Self { prompt: prompt.into(), answer: answer.into(), columns: serde_json::Map::new() }
    }

    /// Sets a column, in the place of one with the same name.
    #[must_use]
    pub fn with_column(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.columns.insert(name.into(), value.into());
        self
    }
}
