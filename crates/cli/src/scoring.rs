//! Where the columns meet: a completion's ids become text, a rubric judges it, and a verdict goes back.

use crate::language::Language;
use ruminate_data::{Completion, Task, Verdict};
use ruminate_reward::{Response, Rubric, Verifier};

/// Decodes and judges.
pub(crate) struct Judge<'a> {
    pub(crate) language: &'a Language,
    pub(crate) rubric: Rubric,
}

impl Judge<'_> {
    /// The verdict on a completion. `forced` is what was put into the policy's mouth: the end of its prompt that is
    /// judged as if it had written it.
    pub(crate) fn verdict(&self, task: &Task, completion: &Completion, forced: &str) -> Verdict {
        let prompt = self.language.render(&task.prompt).unwrap_or_default();
        let text = format!("{forced}{}", self.language.text(&completion.ids));
        let response = Response { prompt: &prompt, text: &text, finish_reason: completion.finish_reason };
        self.rubric.verify(task, &response)
    }
}
