//! Problems made by a program: each family draws a problem from a generator and states its answer.
//!
//! Names and default ranges are those of reasoning-gym (Stojanovski et al., 2025), so that a recipe's
//! difficulty means what it means there; the wording is ours. A family names the verifier that judges its tasks; a
//! [`Worked`] one also works them out in steps.

pub mod base_conversion;
pub mod chain_sum;
pub mod countdown;
mod family;
pub mod gcd;
mod mixture;
pub mod number_sorting;
pub mod spell_backward;
mod stream;
mod work;

pub use base_conversion::BaseConversion;
pub use chain_sum::ChainSum;
pub use countdown::Countdown;
pub use family::{Family, Worked};
pub use gcd::Gcd;
pub use mixture::{Member, Mixture, PER_TASK};
pub use number_sorting::NumberSorting;
pub use spell_backward::SpellBackward;
pub use stream::Stream;
pub(crate) use work::STEP_END;
pub use work::{Mistake, Work};

use crate::{Error, Task, nearest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;

/// How a problem is put. Written out in `params` as `wording = "bare"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wording {
    /// A sentence that explains itself, for policies that read.
    #[default]
    Sentence,
    /// A few characters, such as `gcd(48,36)=`, for policies that are trained from nothing.
    Bare,
}

/// The column of a task's size, by which evaluation tells easy from hard: terms, numbers, steps, letters.
pub const DIFFICULTY: &str = "difficulty";

/// The names that [`by_name`] knows.
pub const NAMES: &[&str] =
    &["base_conversion", "chain_sum", "countdown", "gcd", "number_sorting", "spell_backward"];

/// The family of that name with these parameters: an object, sparse or empty, or null for all defaults.
///
/// # Errors
/// [`Error::UnknownFamily`] with the nearest name; [`Error::Params`] for an unknown key, a wrong type or a
/// range that makes no sense.
pub fn by_name(name: &str, params: &Value) -> Result<Arc<dyn Family>, Error> {
    Ok(match name {
        "base_conversion" => Arc::new(BaseConversion::new(parse("base_conversion", params)?)?),
        "chain_sum" => Arc::new(ChainSum::new(parse("chain_sum", params)?)?),
        "countdown" => Arc::new(Countdown::new(parse("countdown", params)?)?),
        "gcd" => Arc::new(Gcd::new(parse("gcd", params)?)?),
        "number_sorting" => Arc::new(NumberSorting::new(parse("number_sorting", params)?)?),
        "spell_backward" => Arc::new(SpellBackward::new(parse("spell_backward", params)?)?),
        _ => {
            let nearest = nearest(name, NAMES.iter().copied());
            return Err(Error::UnknownFamily { name: name.to_owned(), nearest, known: NAMES });
        }
    })
}

fn parse<P: DeserializeOwned>(of: &'static str, params: &Value) -> Result<P, Error> {
    let params = if params.is_null() { Value::Object(Map::new()) } else { params.clone() };
    serde_json::from_value(params).map_err(|e| Error::Params { of, problem: e.to_string() })
}

/// `Ok` when the condition holds, else the family's parameters are refused with what was expected and found.
fn require(
    of: &'static str,
    condition: bool,
    expected: &str,
    found: impl FnOnce() -> String,
) -> Result<(), Error> {
    if condition {
        return Ok(());
    }
    Err(Error::Params { of, problem: format!("expected {expected}, found {}", found()) })
}

/// A task with a bare prompt, its verifier's name, and what else the verifier needs.
fn task(
    prompt: String,
    answer: String,
    kind: &str,
    columns: impl IntoIterator<Item = (&'static str, Value)>,
) -> Task {
    let task = Task::new(prompt, answer).with_column("kind", kind);
    columns.into_iter().fold(task, |task, (name, value)| task.with_column(name, value))
}

/// Parameters as JSON; they are plain numbers, strings and maps, so this cannot fail.
fn to_json(params: impl Serialize) -> Value {
    serde_json::to_value(params).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::{NAMES, by_name};
    use crate::{Error, Seed};
    use serde_json::{Value, json};

    #[test]
    fn every_name_leads_to_its_family_whose_tasks_name_their_verifier() {
        for &name in NAMES {
            let family = by_name(name, &Value::Null).unwrap();
            let task = family.generate(&mut Seed::new(0).rng()).unwrap();
            assert_eq!(family.name(), name);
            assert_eq!(task.columns["kind"], family.verifier_kind());
        }
    }

    #[test]
    fn resolved_parameters_make_the_same_family() {
        for &name in NAMES {
            let family = by_name(name, &json!({})).unwrap();
            let again = by_name(name, &family.params()).unwrap();
            assert!(family.params().as_object().is_some_and(|params| params.len() >= 2), "{name}");
            for seed in 0..20 {
                let rng = || Seed::new(seed).rng();
                assert_eq!(
                    family.generate(&mut rng()).unwrap(),
                    again.generate(&mut rng()).unwrap(),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn an_unknown_name_suggests_the_nearest() {
        for (name, expected) in
            [("chainsum", Some("chain_sum")), ("Count-Down", Some("countdown")), ("zebra", None)]
        {
            match by_name(name, &Value::Null) {
                Err(error @ Error::UnknownFamily { nearest, .. }) => {
                    assert_eq!(nearest, expected);
                    assert!(error.to_string().contains("number_sorting"), "{error}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_unknown_or_mistyped_parameter_is_named() {
        for &name in NAMES {
            let message = by_name(name, &json!({"dificulty": 3})).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains("dificulty"), "{message}");
        }
        let message = by_name("gcd", &json!({"max_value": "big"})).unwrap_err().to_string();
        assert!(message.contains("gcd") && message.contains("big"), "{message}");
    }
}
