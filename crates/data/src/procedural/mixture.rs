//! Several families as one: each problem is drawn from a member by weight.

use super::{Family, Mistake, Work, Worked};
use crate::{Error, Task};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;

/// The verifier kind of a [`Mixture`]: that of each task's own column `kind`.
pub const PER_TASK: &str = "per_task";

/// The column that names a task's member.
const TASK: &str = "task";

/// A family with its share.
#[derive(Clone, Debug)]
pub struct Member {
    /// The name in tables, and in the column `task`.
    pub name: String,
    /// The family.
    pub family: Arc<dyn Family>,
    /// How often it is drawn; only ratios matter.
    pub weight: f64,
}

/// The family of all its members' problems.
#[derive(Clone, Debug)]
pub struct Mixture {
    members: Vec<Member>,
}

impl Mixture {
    /// A mixture of these.
    ///
    /// # Errors
    /// [`Error::Params`] when there is none, two have one name, or a weight is not above 0.
    pub fn new(members: Vec<Member>) -> Result<Self, Error> {
        let refuse = |problem: String| Err(Error::Params { of: "tasks", problem });
        if members.is_empty() {
            return refuse("expected at least one task, found none".to_owned());
        }
        let mut names = HashSet::new();
        for member in &members {
            if !names.insert(member.name.as_str()) {
                let name = &member.name;
                return refuse(format!("expected different names, found `{name}` twice; set `name`"));
            }
            if !(member.weight.is_finite() && member.weight > 0.0) {
                return refuse(format!(
                    "expected weights above 0, found {} of `{}`",
                    member.weight, member.name
                ));
            }
        }
        Ok(Self { members })
    }

    /// The families with their names and weights.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The members by themselves, in their order: their tasks are named as in the mixture.
    pub fn apart(&self) -> impl Iterator<Item = Self> + '_ {
        self.members.iter().map(|member| Self { members: vec![member.clone()] })
    }

    /// The family that a task was drawn from.
    pub(crate) fn member(&self, task: &Task) -> Option<&dyn Family> {
        let name = task.columns.get(TASK)?.as_str()?;
        self.members.iter().find(|member| member.name == name).map(|member| &*member.family)
    }
}

impl Family for Mixture {
    fn name(&self) -> &'static str {
        "tasks"
    }

    fn verifier_kind(&self) -> &'static str {
        PER_TASK
    }

    fn params(&self) -> Value {
        let member = |member: &Member| {
            let (name, family, weight) = (&member.name, member.family.name(), member.weight);
            json!({ "name": name, "task": family, "params": member.family.params(), "weight": weight })
        };
        self.members.iter().map(member).collect()
    }

    fn generate(&self, rng: &mut ChaCha8Rng) -> Result<Task, Error> {
        let total: f64 = self.members.iter().map(|member| member.weight).sum();
        let mut left = rng.random_range(0.0..1.0) * total;
        // Rounding can leave a crumb above the last weight: it is the first member's.
        let mut drawn = &self.members[0];
        for member in &self.members {
            if left < member.weight {
                drawn = member;
                break;
            }
            left -= member.weight;
        }
        let mut task = drawn.family.generate(rng)?;
        task.columns.insert(TASK.to_owned(), Value::from(drawn.name.as_str()));
        Ok(task)
    }

    fn shows_all_steps(&self, task: &Task, completion: &str) -> Option<bool> {
        self.member(task)?.shows_all_steps(task, completion)
    }

    fn worked(&self) -> Option<&dyn Worked> {
        Some(self)
    }
}

impl Worked for Mixture {
    fn work(&self, task: &Task, mistake: Mistake, rng: &mut ChaCha8Rng) -> Option<Work> {
        self.member(task)?.worked()?.work(task, mistake, rng)
    }

    fn guess(&self, task: &Task, sigma: f64, rng: &mut ChaCha8Rng) -> Option<String> {
        self.member(task)?.worked()?.guess(task, sigma, rng)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::{Member, Mixture, PER_TASK};
    use crate::procedural::{Family, by_name};
    use crate::split::Shares;
    use crate::traces::{TraceMix, Traces};
    use crate::{Error, Seed};
    use serde_json::json;
    use std::sync::Arc;

    fn member(name: &str, weight: f64) -> Member {
        let params = if name == "gcd" { json!({ "wording": "bare" }) } else { json!({ "terms": 3 }) };
        Member { name: name.to_owned(), family: by_name(name, &params).unwrap(), weight }
    }

    #[test]
    fn members_are_drawn_by_weight_and_named_in_their_tasks() {
        let mixture = Mixture::new(vec![member("gcd", 3.0), member("chain_sum", 1.0)]).unwrap();
        assert_eq!(mixture.verifier_kind(), PER_TASK);
        let mut gcd = 0;
        for index in 0..2_000 {
            let task = mixture.generate(&mut Seed::new(0).index(index).rng()).unwrap();
            let is_gcd = task.columns["task"] == "gcd";
            assert_eq!(is_gcd, task.prompt.text().starts_with("gcd("));
            assert_eq!(task.columns["kind"], "exact");
            gcd += usize::from(is_gcd);
        }
        assert!((1_420..1_580).contains(&gcd), "{gcd}");
    }

    #[test]
    fn every_member_writes_its_own_traces_or_the_mixture_is_refused() {
        let new = |members| {
            let mixture: Arc<dyn Family> = Arc::new(Mixture::new(members).unwrap());
            Traces::new(mixture, TraceMix::default(), Shares::default(), Seed::new(0))
        };
        let traces = new(vec![member("gcd", 1.0), member("chain_sum", 1.0)]).unwrap();
        let prompts: Vec<String> = (0..50).map(|index| traces.trace(index).unwrap().prompt).collect();
        assert!(prompts.iter().any(|prompt| prompt.starts_with("gcd(")));
        assert!(prompts.iter().any(|prompt| !prompt.starts_with("gcd(")));
        let silent = Member { family: by_name("number_sorting", &json!({})).unwrap(), ..member("gcd", 1.0) };
        let refused = new(vec![Member { name: "sorting".into(), ..silent }, member("chain_sum", 1.0)]);
        assert!(matches!(refused, Err(Error::NoTraces { .. })));
    }

    #[test]
    fn no_member_a_name_twice_and_a_weight_of_nothing_are_refused() {
        for members in [
            vec![],
            vec![member("gcd", 1.0), member("gcd", 1.0)],
            vec![member("gcd", 0.0)],
            vec![member("gcd", f64::NAN)],
        ] {
            assert!(Mixture::new(members).is_err());
        }
    }
}
