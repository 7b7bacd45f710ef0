//! The form of a response, whatever it says.

use crate::tags;
use crate::verifier::{Response, Verifier, verdict};
use ruminate_data::{Outcome, Task, Verdict};
use serde::{Deserialize, Serialize};

/// What a thought without content is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmptyThought {
    /// It is well formed, as R1's format reward has it: whether thinking pays is for the answer's reward to teach.
    #[default]
    Allow,
    /// It is not.
    Refuse,
}

/// Correct when the response is exactly one thought, then exactly one answer, with nothing but white space around
/// them; score 1 or 0. A thought that the prompt has opened counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Format {
    /// What a thought without content is worth.
    pub empty_thought: EmptyThought,
}

impl Verifier for Format {
    fn name(&self) -> &'static str {
        "format"
    }

    fn verify(&self, _task: &Task, response: &Response<'_>) -> Verdict {
        match tags::well_formed(response.text, response.opening()) {
            Err(malformed) => verdict(Outcome::Wrong, 0.0, None, malformed.to_string()),
            Ok(parts) if self.empty_thought == EmptyThought::Refuse && parts.thought.trim().is_empty() => {
                verdict(Outcome::Wrong, 0.0, None, "the thought is empty")
            }
            Ok(_) => verdict(Outcome::Correct, 1.0, None, "well formed"),
        }
    }
}
