//! Problems whose answers a program can check.

use serde::{Deserialize, Serialize};

/// One turn of a chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The turn's text.
    pub content: String,
}

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
            Self::Messages(messages) => {
                messages.iter().map(|m| format!("{}: {}", m.role, m.content)).collect::<Vec<_>>().join("\n")
            }
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
    pub columns: serde_json::Map<String, serde_json::Value>,
}
