//! The weighted sum of verifiers and group rewards, and measures that only report.

use crate::Error;
use crate::group::{self, GroupReward, Member};
use crate::verifier::{Response, Verifier, guarded, verdict};
use ruminate_data::{Outcome, Task, Verdict};

/// A weighted sum: what a policy is trained on.
///
/// Its verdict has the outcome of the first, primary verifier and `score = sum of weight * score`. It is unscored
/// when the primary or any component of non-zero weight is: a missing part never counts as zero (TRL's `nansum` lets
/// it). `rewards` lists the unweighted score of each component that has one; to normalise components before they
/// are summed (`normalize_then_sum`) takes these and [`weights`](Self::weights). A component of weight 0 only
/// reports.
pub struct Rubric {
    verifiers: Vec<(Box<dyn Verifier>, f64)>,
    group_rewards: Vec<(Box<dyn GroupReward>, f64)>,
}

impl Rubric {
    /// A rubric of verifiers with their weights; the first decides the outcome.
    ///
    /// # Errors
    /// When it is empty, a weight is not finite, or two components share a name.
    pub fn new(verifiers: Vec<(Box<dyn Verifier>, f64)>) -> Result<Self, Error> {
        if verifiers.is_empty() {
            return Err(Error::EmptyRubric);
        }
        let rubric = Self { verifiers, group_rewards: Vec::new() };
        rubric.checked()
    }

    /// Adds a reward that comes after the verifiers.
    ///
    /// # Errors
    /// When the weight is not finite, or another component has its name.
    pub fn with_group_reward(mut self, reward: Box<dyn GroupReward>, weight: f64) -> Result<Self, Error> {
        self.group_rewards.push((reward, weight));
        self.checked()
    }

    fn checked(self) -> Result<Self, Error> {
        let weights: Vec<(&str, f64)> = self.weights().collect();
        for (at, &(name, weight)) in weights.iter().enumerate() {
            if !weight.is_finite() {
                return Err(Error::Weight { name: name.to_owned(), weight });
            }
            if weights[..at].iter().any(|&(other, _)| other == name) {
                return Err(Error::DuplicateComponent { name: name.to_owned() });
            }
        }
        Ok(self)
    }

    /// The names of the components with their weights, verifiers first.
    pub fn weights(&self) -> impl Iterator<Item = (&str, f64)> {
        let verifiers = self.verifiers.iter().map(|(verifier, weight)| (verifier.name(), *weight));
        verifiers.chain(self.group_rewards.iter().map(|(reward, weight)| (reward.name(), *weight)))
    }

    /// Judges all completions of a task, on this thread; one verdict per response. [`Pool`](crate::Pool) does it on
    /// others.
    pub fn verify_group(&self, task: &Task, responses: &[Response<'_>]) -> Vec<Verdict> {
        let part = |response| (0..self.verifiers.len()).map(|at| self.part(at, task, response)).collect();
        let parts = responses.iter().map(part).collect();
        self.combine(task, responses, parts)
    }

    /// How many parts a response has: one per verifier.
    pub(crate) fn parts(&self) -> usize {
        self.verifiers.len()
    }

    /// The verdict of one of the verifiers.
    pub(crate) fn part(&self, at: usize, task: &Task, response: &Response<'_>) -> Verdict {
        guarded(self.verifiers[at].0.as_ref(), task, response)
    }

    /// The second pass: group rewards, and the sums. `parts` has [`parts`](Self::parts) verdicts per response.
    pub(crate) fn combine(
        &self,
        task: &Task,
        responses: &[Response<'_>],
        parts: Vec<Vec<Verdict>>,
    ) -> Vec<Verdict> {
        let outcome =
            |parts: &Vec<Verdict>| parts.first().map_or(Outcome::Unscored, |primary| primary.outcome);
        let members: Vec<Member<'_>> = responses
            .iter()
            .zip(&parts)
            .map(|(response, parts)| Member { response: *response, outcome: outcome(parts) })
            .collect();
        let grouped: Vec<Vec<Result<f64, String>>> = self
            .group_rewards
            .iter()
            .map(|(reward, _)| group::guarded(reward.as_ref(), task, &members))
            .collect();
        let verdict = |(at, parts): (usize, Vec<Verdict>)| {
            let mut sum = Sum::default();
            for ((verifier, weight), part) in self.verifiers.iter().zip(&parts) {
                let score = if part.is_scored() { Ok(part.score) } else { Err(part.why.as_str()) };
                sum.add(verifier.name(), *weight, score);
            }
            for ((reward, weight), scores) in self.group_rewards.iter().zip(&grouped) {
                sum.add(reward.name(), *weight, scores[at].as_ref().copied().map_err(String::as_str));
            }
            sum.verdict(parts.into_iter().next())
        };
        parts.into_iter().enumerate().map(verdict).collect()
    }
}

/// A completion's weighted sum, as it grows.
#[derive(Default)]
struct Sum {
    score: f64,
    rewards: Vec<(String, f64)>,
    /// The first part that is missing and matters, with its reason.
    missing: Option<String>,
    components: usize,
}

impl Sum {
    fn add(&mut self, name: &str, weight: f64, score: Result<f64, &str>) {
        let primary = self.components == 0;
        self.components += 1;
        match score {
            Ok(score) => {
                self.score += weight * score;
                self.rewards.push((name.to_owned(), score));
            }
            Err(why) if primary || weight != 0.0 => {
                self.missing.get_or_insert_with(|| format!("{name}: {why}"));
            }
            Err(_) => {}
        }
    }

    fn verdict(self, primary: Option<Verdict>) -> Verdict {
        let Verdict { outcome, extracted, why, .. } =
            primary.unwrap_or_else(|| Verdict::unscored("the rubric has no component"));
        let Self { score, rewards, missing, .. } = self;
        let missing =
            missing.or_else(|| (!score.is_finite()).then(|| format!("the weighted sum is {score}")));
        match missing {
            Some(why) => Verdict { outcome: Outcome::Unscored, score: 0.0, extracted, why, rewards },
            None => Verdict { outcome, score, extracted, why, rewards },
        }
    }
}

/// A group of one.
impl Verifier for Rubric {
    fn name(&self) -> &'static str {
        "rubric"
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        let verdict = self.verify_group(task, &[*response]).pop();
        verdict.unwrap_or_else(|| Verdict::unscored("the rubric has no component"))
    }

    /// By its first verifier that cannot read it and whose score counts.
    fn check_gold(&self, task: &Task) -> Result<(), String> {
        let counted =
            self.verifiers.iter().enumerate().filter(|(at, (_, weight))| *at == 0 || *weight != 0.0);
        counted.map(|(_, (verifier, _))| verifier.check_gold(task)).find(Result::is_err).unwrap_or(Ok(()))
    }
}

/// A verifier under another name, so that a rubric can have two of a kind.
pub struct Named {
    name: String,
    verifier: Box<dyn Verifier>,
}

impl Named {
    /// `verifier`, reported as `name`.
    pub fn new(name: impl Into<String>, verifier: Box<dyn Verifier>) -> Self {
        Self { name: name.into(), verifier }
    }
}

impl Verifier for Named {
    fn name(&self) -> &str {
        &self.name
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        self.verifier.verify(task, response)
    }

    fn check_gold(&self, task: &Task) -> Result<(), String> {
        self.verifier.check_gold(task)
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
            None => Verdict::unscored(format!("{} does not apply to this task", self.name)),
            Some(score) => {
                let outcome = if score >= 1.0 { Outcome::Correct } else { Outcome::Wrong };
                verdict(outcome, score, None, format!("{} = {score}", self.name))
            }
        }
    }
}
