//! The weighted sum of verifiers, and measures that only report.

use crate::Error;
use crate::verifier::{Response, Verifier, guarded, unscored, verdict};
use ruminate_data::{Outcome, Task, Verdict};
use std::collections::HashSet;

/// A weighted sum of verifiers: what a policy is trained on.
///
/// Its verdict has the outcome of the first, primary component and `score = sum of weight * score`. It is unscored
/// when the primary or any component of non-zero weight is: a missing part never counts as zero. `rewards` lists
/// what each component that could say said, unweighted. A component of weight 0 only reports.
pub struct Rubric {
    components: Vec<(Box<dyn Verifier>, f64)>,
}

impl Rubric {
    /// A rubric of verifiers with their weights; the first decides the outcome.
    ///
    /// # Errors
    /// When it is empty, a weight is not finite, or two components share a name.
    pub fn new(components: Vec<(Box<dyn Verifier>, f64)>) -> Result<Self, Error> {
        if components.is_empty() {
            return Err(Error::EmptyRubric);
        }
        let mut names = HashSet::new();
        for (verifier, weight) in &components {
            let name = verifier.name();
            if !weight.is_finite() {
                return Err(Error::Weight { name: name.to_owned(), weight: *weight });
            }
            if !names.insert(name) {
                return Err(Error::DuplicateComponent { name: name.to_owned() });
            }
        }
        Ok(Self { components })
    }

    /// The names of the components, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.components.iter().map(|(verifier, _)| verifier.name())
    }
}

impl Verifier for Rubric {
    fn name(&self) -> &'static str {
        "rubric"
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        let mut primary: Option<Verdict> = None;
        let mut score = 0.0;
        let mut rewards = Vec::with_capacity(self.components.len());
        let mut missing: Option<String> = None;
        for (verifier, weight) in &self.components {
            let verdict = guarded(verifier.as_ref(), task, response);
            if verdict.is_scored() {
                score += weight * verdict.score;
                rewards.push((verifier.name().to_owned(), verdict.score));
            } else if *weight != 0.0 || primary.is_none() {
                missing.get_or_insert_with(|| format!("{}: {}", verifier.name(), verdict.why));
            }
            primary.get_or_insert(verdict);
        }
        let Verdict { outcome, extracted, why, .. } =
            primary.unwrap_or_else(|| unscored("the rubric has no component"));
        let missing =
            missing.or_else(|| (!score.is_finite()).then(|| format!("the weighted sum is {score}")));
        match missing {
            Some(why) => Verdict { outcome: Outcome::Unscored, score: 0.0, extracted, why, rewards },
            None => Verdict { outcome, score, extracted, why, rewards },
        }
    }
}

type MeasureFn = dyn Fn(&Task, &Response<'_>) -> Option<f64> + Send + Sync;

/// A number about a response, computed by a closure: 1 at best, `None` where it does not apply. Meant for weight 0,
/// to watch what the reward does not pay for.
pub struct Measure {
    name: String,
    measure: Box<MeasureFn>,
}

impl Measure {
    /// A measure under the name with which it is reported.
    pub fn new(
        name: impl Into<String>,
        measure: impl Fn(&Task, &Response<'_>) -> Option<f64> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), measure: Box::new(measure) }
    }
}

impl Verifier for Measure {
    fn name(&self) -> &str {
        &self.name
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        match (self.measure)(task, response) {
            None => unscored(format!("{} does not apply to this task", self.name)),
            Some(score) => {
                let outcome = if score >= 1.0 { Outcome::Correct } else { Outcome::Wrong };
                verdict(outcome, score, None, format!("{} = {score}", self.name))
            }
        }
    }
}
