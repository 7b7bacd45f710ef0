//! The grader: completions' ids become text, a pool of verifiers judges it, and verdicts go back.

use crate::{Data, Error, Reward, TextMetrics};
use ruminate_data::{Completion, Score, Task, Verdict};
use ruminate_reward::tags::{Opening, well_formed};
use ruminate_reward::{Attempt, Pool, ResponseGroup};
use ruminate_text::Renderer;

/// Decodes completions and judges them, on threads of its own.
pub struct Grader<'a> {
    /// The renderer of the policy that wrote the completions.
    pub renderer: &'a Renderer,
    pool: Pool,
    metrics: TextMetrics,
    warnings: Vec<String>,
}

impl<'a> Grader<'a> {
    /// The grader of a reward, on `threads` threads (0: one per core). Where the reward runs programs, it
    /// tries out whether they run here.
    ///
    /// # Errors
    /// Those of [`Reward::warnings`] and [`Reward::rubric`].
    pub fn new(
        reward: &Reward,
        data: &Data,
        threads: usize,
        metrics: TextMetrics,
        renderer: &'a Renderer,
    ) -> Result<Self, Error> {
        let warnings = reward.warnings()?;
        Ok(Self { renderer, pool: reward.pool(data, threads)?, metrics, warnings })
    }
}

impl Grader<'_> {
    /// What to show to the person who starts the run ([`Reward::warnings`]).
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns one verdict per completion, group by group. `forced` is the end of the prompt that is judged
    /// as if the policy had written it, such as an empty thought. To the rubric's components the verdicts
    /// add `thought_length`, in tokens, of well-formed completions, and the [`TextMetrics`].
    pub fn verdicts(&self, groups: &[(&Task, &[Completion])], forced: &str) -> Vec<Vec<Verdict>> {
        let decoded = groups.iter().map(|(task, completions)| self.decoded(task, completions, forced));
        self.verdicts_of_texts(decoded.collect())
    }

    /// The same of texts.
    pub fn verdicts_of_texts(&self, responses: Vec<ResponseGroup>) -> Vec<Vec<Verdict>> {
        let thoughts: Vec<Vec<Option<usize>>> =
            responses.iter().map(|group| self.thought_lengths(group)).collect();
        let measured: Vec<Vec<Vec<(String, f64)>>> =
            responses.iter().map(|group| self.measured(group)).collect();
        let mut verdicts = self.pool.verify(responses);
        for (verdict, measures) in verdicts.iter_mut().flatten().zip(measured.into_iter().flatten()) {
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
            text: format!("{forced}{}", self.renderer.text(&completion.ids)),
            finish_reason: completion.finish_reason,
            ids: completion.ids.clone(),
        };
        ResponseGroup {
            task: task.clone(),
            prompt: self.renderer.render(&task.prompt, &task.columns).unwrap_or_default(),
            attempts: completions.iter().map(attempt).collect(),
        }
    }

    fn measured(&self, group: &ResponseGroup) -> Vec<Vec<(String, f64)>> {
        let measures = |attempt: &Attempt| self.metrics.measures(&group.task, &group.prompt, &attempt.text);
        group.attempts.iter().map(measures).collect()
    }

    /// Tokens of each thought, where the response has one.
    fn thought_lengths(&self, group: &ResponseGroup) -> Vec<Option<usize>> {
        let opening = Opening::of(&group.prompt);
        let tokens = |attempt: &Attempt| {
            let parts = well_formed(&attempt.text, opening).ok()?;
            Some(self.renderer.tokenizer.encode(parts.thought).ok()?.len())
        };
        group.attempts.iter().map(tokens).collect()
    }
}

impl Score for Grader<'_> {
    fn score(&self, groups: &[(&Task, &[Completion])]) -> Vec<Vec<Verdict>> {
        self.verdicts(groups, "")
    }

    fn weights(&self) -> Vec<(String, f64)> {
        self.pool.rubric().weights().map(|(name, weight)| (name.to_owned(), weight)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Grader;
    use crate::{Data, Reward, TextMetrics};
    use ruminate_data::{Completion, FinishReason, Outcome, Score, Task};
    use ruminate_text::{PromptStyle, Renderer};

    fn completion(renderer: &Renderer, text: &str) -> Completion {
        let ids = renderer.completion_ids(text).expect("printable");
        let logprobs = vec![-0.1; ids.len()];
        Completion::new(vec![], ids, logprobs, FinishReason::Stop)
    }

    #[test]
    fn ids_become_verdicts_with_metrics_in_their_order() {
        let renderer = Renderer::embedded(PromptStyle::Auto).expect("embedded");
        let metrics = TextMetrics::new(&["wait".to_owned()], &[]);
        let (reward, data) = (Reward::default(), Data::default());
        let grader = Grader::new(&reward, &data, 2, metrics, &renderer).expect("valid");
        assert!(grader.warnings().is_empty());
        assert_eq!(grader.weights(), [("exact".to_owned(), 1.0), ("format".to_owned(), 0.1)]);

        let tasks = [Task::new("7+5=", "12"), Task::new("1+1=", "2")];
        let texts = ["<think>wait</think><answer>12</answer>", "<answer>11</answer>", "<answer>12</answer>"];
        let completions = texts.map(|text| completion(&renderer, text));
        let groups = [(&tasks[0], &completions[..2]), (&tasks[1], &completions[2..])];
        let verdicts = grader.score(&groups);
        let outcomes: Vec<Vec<Outcome>> =
            verdicts.iter().map(|group| group.iter().map(|verdict| verdict.outcome).collect()).collect();
        assert_eq!(outcomes, [vec![Outcome::Correct, Outcome::Wrong], vec![Outcome::Wrong]]);
        let names: Vec<&str> = verdicts[0][0].rewards.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["exact", "format", "self_check", "thought_length"]);
        assert_eq!(verdicts[0][0].rewards[2].1, 1.0);
        assert_eq!(verdicts[0][0].rewards[3].1, 4.0, "four characters");
        assert!(verdicts[0][1].rewards.iter().all(|(name, _)| name != "thought_length"), "not well formed");
    }

    #[test]
    fn what_is_forced_is_judged_as_written() {
        let renderer = Renderer::embedded(PromptStyle::Auto).expect("embedded");
        let (reward, data) = (Reward::default(), Data::default());
        let grader = Grader::new(&reward, &data, 1, TextMetrics::default(), &renderer).expect("valid");
        let task = Task::new("7+5=", "12");
        let written = [completion(&renderer, "<answer>12</answer>")];
        let format = |forced: &str| grader.verdicts(&[(&task, &written)], forced)[0][0].rewards[1].1;
        assert_eq!((format(""), format("<think></think>")), (0.0, 1.0));
    }
}
