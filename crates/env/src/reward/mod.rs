//! `[reward]`: what a completion is worth, from the verifiers of the crate `reward` by name.

mod any_of;
mod component;
mod per_task;
#[cfg(test)]
mod tests;

pub use component::Component;

use crate::golds::{self, Judged};
use crate::{Data, Error};
use any_of::AnyOf;
use component::Weighted;
use per_task::PerTask;
use ruminate_data::procedural::PER_TASK;
use ruminate_reward::{
    EmptyThought, Format, Limits, Measure, Pool, Rubric, Style, Verifier, group_reward, with_options,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// What a completion is worth: a verifier of the answer, plus a little for the form; or `components`. It is
/// the table `[reward]` of a recipe, whose keys are these names.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reward {
    /// Verifier of the answer; docs/rewards.md lists them. Without it the task's own decides; for tasks of a
    /// file the one that the first row names in `kind` or by its layout, else one that reads the answers of the
    /// first rows: `math` for numbers and formulas, `exact` for texts.
    pub verifier: Option<String>,
    /// Weight of being well formed, beside the weight 1 of the answer; 0 only reports it.
    pub format: f64,
    /// Whether a thought without content is well formed.
    pub empty_thought: EmptyThought,
    /// The whole reward, part by part, in place of the three keys above. The first verifier decides what is
    /// correct.
    pub components: Vec<Component>,
    /// Seconds that a verifier may take for one completion, above 0 and at most a day; then its part is
    /// unscored.
    pub timeout_s: f64,
}

/// Kinds that read the content of `<answer>`, and nothing else.
const TAGGED: [&str; 4] = ["countdown", "exact", PER_TASK, "regex"];

/// Kinds that read no answer of a task.
const ANSWERLESS: [&str; 11] = [
    "code",
    "command",
    "countdown",
    "format",
    "http",
    "ifeval",
    "language",
    "overlong",
    "reasoning_gym",
    "repetition",
    "tag_count",
];

/// The component that says whether a completion is well formed, which evaluation and distillation ask for.
const FORMAT: &str = "format";

impl Default for Reward {
    fn default() -> Self {
        Self {
            verifier: None,
            format: 0.1,
            empty_thought: EmptyThought::Allow,
            components: Vec::new(),
            timeout_s: 60.0,
        }
    }
}

impl Reward {
    /// What to show to the person who starts the run: what running a policy's programs on this system
    /// means. One text per component `code`, which this tries out.
    ///
    /// # Errors
    /// [`Error::Sandbox`] where programs cannot run here: every completion would be unscored.
    pub fn warnings(&self) -> Result<Vec<String>, Error> {
        self.components.iter().filter(|part| part.kind == "code").map(Component::warning).collect()
    }

    /// The rubric on `threads` threads of its own (0: one per core). Call [`warnings`](Self::warnings) first.
    ///
    /// # Errors
    /// Those of [`rubric`](Self::rubric).
    pub fn pool(&self, data: &Data, threads: usize) -> Result<Pool, Error> {
        let limits = Limits::default();
        let threads = if threads == 0 { limits.threads } else { threads };
        Ok(Pool::new(self.rubric(data)?, Limits { threads, deadline: self.deadline()?, ..limits }))
    }

    /// The kind that the recipe names to decide what is correct.
    pub fn stated_kind(&self) -> Option<String> {
        self.deciding().map(|part| part.kind.clone()).or_else(|| self.verifier.clone())
    }

    /// The kind that decides what is correct, and in words where that is stated.
    ///
    /// # Errors
    /// [`Error::Data`] for a family that cannot be, [`Error::Programs`] for rows with tests.
    pub fn judged_by(&self, data: &Data) -> Result<(String, &'static str), Error> {
        if let Some(part) = self.deciding() {
            return Ok((part.kind.clone(), "`reward.components`"));
        }
        Ok(match (&self.verifier, data.training_family()?) {
            (Some(kind), _) => (kind.clone(), "`reward.verifier`"),
            (None, Some(family)) => (family.verifier_kind().to_owned(), "the family of problems"),
            (None, None) => match golds::judged(&golds::first_tasks(data)) {
                Some(Judged::By(kind, why)) => (kind.to_owned(), why),
                Some(Judged::ByTests(column)) => return Err(Error::Programs { column }),
                None => ("exact".to_owned(), "no `reward.verifier` and no rows: the default"),
            },
        })
    }

    /// Whether what decides reads a task's answer: a row may be without one where it does not.
    pub fn reads_answers(&self) -> bool {
        match self.deciding() {
            Some(part) if part.kind == "regex" => !part.options.contains_key("pattern"),
            Some(part) => !ANSWERLESS.contains(&part.kind.as_str()),
            None => !self.verifier.as_ref().is_some_and(|kind| ANSWERLESS.contains(&kind.as_str())),
        }
    }

    /// Whether the verifier reads the content of `<answer>`, where it is of this kind unless the recipe
    /// says otherwise.
    pub fn tagged_kind(&self, kind: &str) -> bool {
        match self.deciding() {
            Some(part) if part.kind == "regex" => {
                part.options.get("subject").is_none_or(|subject| subject == "answer")
            }
            Some(part) => TAGGED.contains(&part.kind.as_str()),
            None => TAGGED.contains(&self.verifier.as_deref().unwrap_or(kind)),
        }
    }

    /// Whether the verifier of these problems reads the content of `<answer>`. One that was chosen by the
    /// answers does, too: no other form is asked for.
    pub fn reads_tags(&self, data: &Data) -> bool {
        let is_chosen = self.stated_kind().is_none() && data.train.is_some();
        self.judged_by(data).is_ok_and(|(kind, _)| self.tagged_kind(&kind) || (is_chosen && kind == "math"))
    }

    /// The component that decides what is correct.
    fn deciding(&self) -> Option<&Component> {
        self.components.iter().find(|part| !part.is_shaping())
    }

    fn deadline(&self) -> Result<Duration, Error> {
        let deadline =
            Duration::try_from_secs_f64(self.timeout_s).ok().filter(|deadline| !deadline.is_zero());
        // A day is beyond all use, and far from where instants end.
        deadline
            .filter(|deadline| *deadline <= Duration::from_hours(24))
            .ok_or(Error::Timeout { seconds: self.timeout_s })
    }

    /// The verifiers with their weights. A component `format` of weight 0 is added where there is none, and
    /// for a family that knows its tasks' steps the measure `all_steps`; both report and reward nothing.
    ///
    /// # Errors
    /// All of them [of options](Error::is_usage), but for [`Error::Helper`]: a kind or an option that does
    /// not exist, a weight that is not finite, components without a verifier, keys without effect.
    pub fn rubric(&self, data: &Data) -> Result<Rubric, Error> {
        self.deadline()?;
        let family = data.training_family()?;
        let mut verifiers = if self.components.is_empty() {
            self.short_form(data)?
        } else {
            self.refuse_short_form()?;
            self.components
                .iter()
                .filter(|part| !part.is_shaping())
                .map(Component::verifier)
                .collect::<Result<_, _>>()?
        };
        if verifiers.is_empty() {
            return Err(Error::NoVerifier);
        }
        if !verifiers.iter().any(|(verifier, _)| verifier.name() == FORMAT) {
            verifiers.push((Box::new(Format::default()), 0.0)); // watched, not paid for
        }
        if let Some(family) = family {
            let measure = Measure::new("all_steps", move |task, response| {
                family.shows_all_steps(task, response.text).map(|shown| f64::from(u8::from(shown)))
            });
            verifiers.push((Box::new(measure), 0.0));
        }
        let mut rubric = Rubric::new(verifiers)?;
        for part in self.components.iter().filter(|part| part.is_shaping()) {
            part.check()?;
            rubric = rubric.with_group_reward(group_reward(&part.kind, &part.options)?, part.weight)?;
        }
        Ok(rubric)
    }

    fn short_form(&self, data: &Data) -> Result<Vec<Weighted>, Error> {
        let (kind, _) = self.judged_by(data)?;
        let answer: Box<dyn Verifier> = match kind.as_str() {
            PER_TASK => Box::new(PerTask::new()?),
            "choice" => {
                // MultipleChoice knows four letters unless it is told of more.
                let choices = golds::choices(&golds::first_tasks(data)).unwrap_or(0).max(4);
                with_options(
                    kind.as_str(),
                    &[("choices".to_owned(), Value::from(choices))].into_iter().collect(),
                )?
            }
            kind => ruminate_reward::by_name(kind)?,
        };
        let answer: Box<dyn Verifier> = Box::new(AnyOf(answer));
        let mut verifiers = vec![(answer, 1.0)];
        if kind != FORMAT {
            let format = Format { style: Style::R1, empty_thought: self.empty_thought };
            verifiers.push((Box::new(format), self.format));
        }
        Ok(verifiers)
    }

    /// What has no effect must not be there.
    fn refuse_short_form(&self) -> Result<(), Error> {
        let default = Self::default();
        let given = [
            ("verifier", self.verifier.is_some()),
            ("format", self.format != default.format),
            ("empty_thought", self.empty_thought != default.empty_thought),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((key, _)) => Err(Error::NoEffect { key }),
        }
    }
}
