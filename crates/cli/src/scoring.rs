//! Where the columns meet: a completion's ids become text, a rubric judges it, and a verdict goes back.

use crate::language::Language;
use ruminate_data::{Completion, Task, Verdict};
use ruminate_reward::tags::well_formed;
use ruminate_reward::{Response, Rubric, Tokens, Verifier};

/// Decodes and judges.
pub(crate) struct Judge<'a> {
    pub(crate) language: &'a Language,
    pub(crate) rubric: Rubric,
}

impl Judge<'_> {
    /// The verdict on a completion. `forced` is what was put into the policy's mouth: the end of its prompt that is
    /// judged as if it had written it. To the rubric's components the verdict adds the measure `thought_length`, in
    /// tokens, of well-formed completions.
    pub(crate) fn verdict(&self, task: &Task, completion: &Completion, forced: &str) -> Verdict {
        let prompt = self.language.render(&task.prompt).unwrap_or_default();
        let text = format!("{forced}{}", self.language.text(&completion.ids));
        let response = Response {
            prompt: &prompt,
            text: &text,
            finish_reason: completion.finish_reason,
            tokens: Tokens::Ids(&completion.ids),
        };
        let mut verdict = self.rubric.verify(task, &response);
        if verdict.is_scored()
            && let Some(tokens) = self.thought_length(&response)
        {
            verdict.rewards.push(("thought_length".to_owned(), tokens as f64));
        }
        verdict
    }

    /// Tokens of the thought, where the response has one.
    fn thought_length(&self, response: &Response<'_>) -> Option<usize> {
        let parts = well_formed(response.text, response.opening()).ok()?;
        Some(self.language.tokenizer.encode(parts.thought).ok()?.len())
    }
}
