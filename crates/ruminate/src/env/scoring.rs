//! Where the columns meet: completions' ids become text, a pool of verifiers judges it, and verdicts go back.

use crate::env::watch::Watch;
use crate::recipe::Recipe;
use crate::renderer::language::Language;
use anyhow::Result;
use ruminate_data::{Completion, Score, Task, Verdict};
use ruminate_reward::tags::{Opening, well_formed};
use ruminate_reward::{Attempt, Pool, ResponseGroup};

/// Decodes and judges.
pub(crate) struct Judge<'a> {
    pub(crate) language: &'a Language,
    pool: Pool,
    watch: Watch,
}

impl<'a> Judge<'a> {
    /// The judge of a recipe's reward.
    ///
    /// # Errors
    /// A reward that cannot be.
    pub(crate) fn new(recipe: &Recipe, language: &'a Language) -> Result<Self> {
        let pool = recipe.reward.pool(&recipe.data, recipe.threads)?;
        Ok(Self { language, pool, watch: Watch::new(&recipe.eval) })
    }
}

impl Judge<'_> {
    /// One verdict a completion, group by group. `forced` is what was put into the policy's mouth: the end of its
    /// prompt that is judged as if it had written it. To the rubric's components the verdicts add the measures
    /// `thought_length`, in tokens, of well-formed completions, `self_check` and `language_mixed`.
    pub(crate) fn verdicts(&self, groups: &[(&Task, &[Completion])], forced: &str) -> Vec<Vec<Verdict>> {
        self.judged(
            groups.iter().map(|(task, completions)| self.decoded(task, completions, forced)).collect(),
        )
    }

    /// The same of texts.
    pub(crate) fn judged(&self, written: Vec<ResponseGroup>) -> Vec<Vec<Verdict>> {
        let thoughts: Vec<Vec<Option<usize>>> =
            written.iter().map(|group| self.thought_lengths(group)).collect();
        let watched: Vec<Vec<Vec<(String, f64)>>> = written.iter().map(|group| self.watched(group)).collect();
        let mut verdicts = self.pool.verify(written);
        for (verdict, measures) in verdicts.iter_mut().flatten().zip(watched.into_iter().flatten()) {
            if verdict.is_scored() {
                verdict.rewards.extend(measures);
            }
        }
        for (verdict, tokens) in verdicts.iter_mut().flatten().zip(thoughts.into_iter().flatten()) {
            if let Some(tokens) = tokens.filter(|_| verdict.is_scored()) {
                verdict.rewards.push(("thought_length".to_owned(), tokens as f64));
            }
        }
        verdicts
    }

    fn decoded(&self, task: &Task, completions: &[Completion], forced: &str) -> ResponseGroup {
        let attempt = |completion: &Completion| Attempt {
            text: format!("{forced}{}", self.language.text(&completion.ids)),
            finish_reason: completion.finish_reason,
            ids: completion.ids.clone(),
        };
        ResponseGroup {
            task: task.clone(),
            prompt: self.language.render(&task.prompt, &task.columns).unwrap_or_default(),
            attempts: completions.iter().map(attempt).collect(),
        }
    }

    fn watched(&self, group: &ResponseGroup) -> Vec<Vec<(String, f64)>> {
        let measures = |attempt: &Attempt| self.watch.measures(&group.task, &group.prompt, &attempt.text);
        group.attempts.iter().map(measures).collect()
    }

    /// Tokens of each thought, where the response has one.
    fn thought_lengths(&self, group: &ResponseGroup) -> Vec<Option<usize>> {
        let opening = Opening::of(&group.prompt);
        let tokens = |attempt: &Attempt| {
            let parts = well_formed(&attempt.text, opening).ok()?;
            Some(self.language.tokenizer.encode(parts.thought).ok()?.len())
        };
        group.attempts.iter().map(tokens).collect()
    }
}

impl Score for Judge<'_> {
    fn score(&self, groups: &[(&Task, &[Completion])]) -> Vec<Vec<Verdict>> {
        self.verdicts(groups, "")
    }

    fn weights(&self) -> Vec<(String, f64)> {
        self.pool.rubric().weights().map(|(name, weight)| (name.to_owned(), weight)).collect()
    }
}
