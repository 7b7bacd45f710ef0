//! `[reward]`: what a completion is worth, from the crate's verifiers by name.

use super::Data;
use super::per_task::PerTask;
use crate::error::Refusal;
use anyhow::{Context, Result};
use ruminate_data::procedural::{Family, PER_TASK};
use ruminate_reward::{
    EXTERNAL_KINDS, EmptyThought, Format, GROUP_REWARDS, Limits, Measure, Named, Pool, Rubric, Style,
    Verifier, check_options, external, group_reward, with_options,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What a completion is worth: a verifier of the answer, plus a little for the form; or `components`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Reward {
    /// Verifier of the answer; docs/rewards.md lists them. Without it the task's own decides; for tasks of a
    /// file the one that the first row names in `kind` or by its layout, else `exact`.
    pub(crate) verifier: Option<String>,
    /// Weight of being well formed, beside the weight 1 of the answer; 0 only reports it.
    pub(crate) format: f64,
    /// Whether a thought without content is well formed.
    pub(crate) empty_thought: EmptyThought,
    /// The whole reward, part by part, in place of the three keys above. The first verifier decides what is
    /// correct.
    pub(crate) components: Vec<Component>,
    /// Seconds that a verifier may take for one completion, above 0 and at most a day; then its part is
    /// unscored.
    pub(crate) timeout_s: f64,
}

/// A part of the reward.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Component {
    /// A verifier or group reward; docs/rewards.md lists them, and docs/cli.md has `code`, `command` and
    /// `http`.
    pub(crate) kind: String,
    /// Weight of the part in the sum; 0 only reports it.
    #[serde(default = "one")]
    pub(crate) weight: f64,
    /// Name under which the part is reported; needed where a kind occurs twice. Group rewards have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// The options of the kind.
    #[serde(flatten)]
    pub(crate) options: Map<String, Value>,
}

fn one() -> f64 {
    1.0
}

/// Kinds that read the content of `<answer>`, and nothing else.
const TAGGED: [&str; 4] = ["countdown", "exact", PER_TASK, "regex"];

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
    /// The rubric on `threads` threads of its own (0: one a core).
    pub(crate) fn pool(&self, data: &Data, threads: usize) -> Result<Pool> {
        for part in self.components.iter().filter(|part| part.kind == "code") {
            part.warn()?;
        }
        let limits = Limits::default();
        let threads = if threads == 0 { limits.threads } else { threads };
        Ok(Pool::new(self.rubric(data, None)?, Limits { threads, deadline: self.deadline()?, ..limits }))
    }

    /// The kind that the recipe names to decide what is correct.
    pub(crate) fn stated_kind(&self) -> Option<String> {
        self.deciding().map(|part| part.kind.clone()).or_else(|| self.verifier.clone())
    }

    /// The kind that decides what is correct, and who says so.
    pub(crate) fn judged_by(&self, data: &Data) -> Result<(String, &'static str)> {
        if let Some(part) = self.deciding() {
            return Ok((part.kind.clone(), "`reward.components`"));
        }
        Ok(match (&self.verifier, data.training_family()?) {
            (Some(kind), _) => (kind.clone(), "`reward.verifier`"),
            (None, Some(family)) => (family.verifier_kind().to_owned(), "the family of problems"),
            (None, None) => match data.kind_of_file() {
                Some(kind) => (kind, "the first row's `kind`, or its layout"),
                None => ("exact".to_owned(), "no `reward.verifier` and no column `kind`: the default"),
            },
        })
    }

    /// Whether the verifier reads the content of `<answer>`, where it is of this kind unless the recipe says otherwise.
    pub(crate) fn tagged_kind(&self, kind: &str) -> bool {
        match self.deciding() {
            Some(part) if part.kind == "regex" => {
                part.options.get("subject").is_none_or(|subject| subject == "answer")
            }
            Some(part) => TAGGED.contains(&part.kind.as_str()),
            None => TAGGED.contains(&self.verifier.as_deref().unwrap_or(kind)),
        }
    }

    /// Whether the verifier of these problems reads the content of `<answer>`.
    pub(crate) fn reads_tags(&self, data: &Data) -> bool {
        self.judged_by(data).is_ok_and(|(kind, _)| self.tagged_kind(&kind))
    }

    /// The component that decides what is correct.
    fn deciding(&self) -> Option<&Component> {
        self.components.iter().find(|part| !part.is_shaping())
    }

    fn deadline(&self) -> Result<Duration> {
        let deadline =
            Duration::try_from_secs_f64(self.timeout_s).ok().filter(|deadline| !deadline.is_zero());
        // A day is beyond all use, and far from where instants end.
        deadline.filter(|deadline| *deadline <= Duration::from_hours(24)).ok_or_else(|| {
            Refusal::usage(format!(
                "`timeout_s` is {}; expected seconds above 0, at most a day",
                self.timeout_s
            ))
        })
    }

    /// The verifiers with their weights. A family that knows its tasks' steps adds the measure `all_steps`, which
    /// reports and rewards nothing.
    pub(crate) fn rubric(&self, data: &Data, family: Option<Arc<dyn Family>>) -> Result<Rubric> {
        self.deadline()?;
        let family = match family {
            Some(family) => Some(family),
            None => data.training_family()?,
        };
        let mut verifiers = if self.components.is_empty() {
            self.short_form(data, family.as_deref())?
        } else {
            self.refuse_short_form()?;
            self.components
                .iter()
                .filter(|part| !part.is_shaping())
                .map(Component::verifier)
                .collect::<Result<_>>()?
        };
        if verifiers.is_empty() {
            return Err(Refusal::usage(
                "`components` has no verifier that decides what is correct; add one, such as exact",
            ));
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

    fn short_form(&self, data: &Data, family: Option<&dyn Family>) -> Result<Vec<(Box<dyn Verifier>, f64)>> {
        let of_file = if family.is_none() { data.kind_of_file() } else { None };
        let kind = match (&self.verifier, family) {
            (Some(kind), _) => kind.as_str(),
            (None, Some(family)) => family.verifier_kind(),
            (None, None) => of_file.as_deref().unwrap_or("exact"),
        };
        let answer: Box<dyn Verifier> = match kind {
            PER_TASK => Box::new(PerTask::new()?),
            kind => ruminate_reward::by_name(kind)?,
        };
        let mut verifiers = vec![(answer, 1.0)];
        if kind != FORMAT {
            let format = Format { style: Style::R1, empty_thought: self.empty_thought };
            verifiers.push((Box::new(format), self.format));
        }
        Ok(verifiers)
    }

    /// What has no effect must not be there.
    fn refuse_short_form(&self) -> Result<()> {
        let default = Self::default();
        let given = [
            ("verifier", self.verifier.is_some()),
            ("format", self.format != default.format),
            ("empty_thought", self.empty_thought != default.empty_thought),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((key, _)) => Err(Refusal::usage(format!(
                "`{key}` has no effect beside `components`, which are the whole reward; make it one of them, or remove it"
            ))),
        }
    }
}

impl Component {
    fn is_shaping(&self) -> bool {
        GROUP_REWARDS.contains(&self.kind.as_str())
    }

    /// Tells what running a policy's programs on this system means, or that it cannot be done here: then every
    /// completion would be unscored.
    fn warn(&self) -> Result<()> {
        let code = ruminate_reward::in_sandbox(&self.options, &helper()?)?;
        notice!("warning: {}", code.warning().context("component `code`")?);
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if EXTERNAL_KINDS.contains(&self.kind.as_str()) || (self.kind == PER_TASK && self.options.is_empty())
        {
            return Ok(()); // refused with its options, where it is made
        }
        check_options(&self.kind, self.options.keys().map(String::as_str))
            .with_context(|| format!("component `{}`", self.kind))?;
        match &self.name {
            Some(_) if self.is_shaping() => Err(Refusal::usage(format!(
                "component `{}`: expected no `name`, since there is one of its kind at most",
                self.kind
            ))),
            _ => Ok(()),
        }
    }

    fn verifier(&self) -> Result<(Box<dyn Verifier>, f64)> {
        self.check()?;
        let verifier: Box<dyn Verifier> = if self.kind == PER_TASK {
            Box::new(PerTask::new()?)
        } else {
            match external(&self.kind, &self.options, &helper()?) {
                Some(verifier) => verifier?,
                None => with_options(&self.kind, &self.options)?,
            }
        };
        let named = match &self.name {
            Some(name) => Box::new(Named::new(name, verifier)),
            None => verifier,
        };
        Ok((named, self.weight))
    }
}

/// The sandbox's helper: this binary, as `main` knows.
fn helper() -> Result<PathBuf> {
    std::env::current_exe().context("the path of this program, which is its own sandbox helper")
}

#[cfg(test)]
mod tests {
    use super::{Data, Reward};

    fn weights(toml: &str) -> Result<Vec<(String, f64)>, String> {
        let reward: Reward = toml::from_str(toml).map_err(|error| error.to_string())?;
        let rubric = reward.rubric(&Data::default(), None).map_err(|error| format!("{error:#}"))?;
        Ok(rubric.weights().map(|(name, weight)| (name.to_owned(), weight)).collect())
    }

    #[test]
    fn the_short_form_is_an_answer_and_a_little_form() {
        let exact = [("exact".to_owned(), 1.0), ("format".to_owned(), 0.1)];
        assert_eq!(weights("").expect("valid"), exact);
        let gsm8k = [("gsm8k".to_owned(), 1.0), ("format".to_owned(), 0.0)];
        assert_eq!(weights("verifier = 'gsm8k'\nformat = 0").expect("valid"), gsm8k);
    }

    #[test]
    fn components_are_the_whole_reward_with_their_options() {
        let reward = r#"
            [[components]]
            kind = "last_number"
            [[components]]
            kind = "cosine"
            weight = 0.5
            max_len = 100
            [[components]]
            kind = "regex"
            name = "digits"
            weight = 0.1
            pattern = "[0-9]+"
            [[components]]
            kind = "regex"
            weight = 0
        "#;
        let names: Vec<(String, f64)> = weights(reward).expect("valid");
        let expected =
            [("last_number", 1.0), ("digits", 0.1), ("regex", 0.0), ("format", 0.0), ("cosine", 0.5)];
        assert_eq!(names, expected.map(|(name, weight)| (name.to_owned(), weight)));
    }

    #[test]
    fn programs_and_servers_are_parts_that_only_a_recipe_names() {
        let reward = r#"
            [[components]]
            kind = "code"
            timeout_ms = 1000
            [[components]]
            kind = "command"
            name = "mine"
            command = ["python3", "judge.py"]
            [[components]]
            kind = "http"
            weight = 0.5
            url = "http://localhost:8000/score"
        "#;
        let names: Vec<String> = weights(reward).expect("valid").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["code", "mine", "http", "format"]);
        let refused = weights("components = [{ kind = 'code', timeout = 3 }]").expect_err("no such option");
        assert!(refused.contains("timeout"), "{refused}");
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (reward, says) in [
            ("verifier = 'exakt'", "did you mean `exact`"),
            ("components = [{ kind = 'cosin' }]", "did you mean `cosine`"),
            ("components = [{ kind = 'exact' }, { kind = 'cosine' }]", "max_len"),
            ("components = [{ kind = 'overlong', max_len = 3 }]", "did you mean `max_completion_len`"),
            ("components = [{ kind = 'length' }]", "no verifier"),
            ("components = [{ kind = 'exact' }, { kind = 'exact' }]", "two components named `exact`"),
            ("components = [{ kind = 'exact', weight = inf }]", "finite"),
            ("components = [{ kind = 'exact' }]\nformat = 0.2", "`format` has no effect"),
            ("components = [{ kind = 'exact' }]\nverifier = 'math'", "`verifier` has no effect"),
            ("timeout_s = 0", "timeout_s"),
            ("timeout_s = inf", "timeout_s"),
        ] {
            let message = weights(reward).expect_err(reward);
            assert!(message.contains(says), "{reward}: {message}");
        }
    }
}
