//! Rates that do not suit a model's size: refused where a recipe hands them down, a warning where `--set` states them.

use super::Fitting;
use crate::exit::Refusal;
use crate::hub;
use crate::policy;
use crate::rates::{Kind, Rates, sensible};
use crate::recipe::{Model, Recipe};
use anyhow::Result;
use ruminate_model::{self as model, lora};

/// Checks the rate that the command trains with.
///
/// # Errors
/// With exit code 2, the key, the range and how to insist.
pub(super) fn check(fitting: &Fitting, recipe: &Recipe) -> Result<()> {
    let adapters = recipe.lora.is_some();
    let (key, rate, kind, parameters) = match fitting.asked.command {
        "train-rl" => {
            ("train.learning_rate", recipe.train.learning_rate, Kind::Reinforcement, fitting.parameters())
        }
        "sft" => {
            ("sft.learning_rate", recipe.sft.train.learning_rate, Kind::Supervised, fitting.parameters())
        }
        "distill" => {
            let Some(Model::Folder(folder)) = &recipe.distill.student else { return Ok(()) };
            let parameters = model::load_config(&lora::base_folder(&hub::folder(folder)?)?)?.parameters().all;
            ("sft.learning_rate", recipe.sft.train.learning_rate, Kind::Supervised, parameters)
        }
        _ => return Ok(()),
    };
    let Some(problem) = problem(key, rate, sensible(kind, parameters, adapters), parameters, adapters) else {
        return Ok(());
    };
    let Rates { default, high, .. } = sensible(kind, parameters, adapters);
    // What a run was made with is what it goes on with.
    if rate <= high || fitting.layers.sets(key) || fitting.layers.resolved {
        eprintln!("warning: {problem}");
        return Ok(());
    }
    Err(Refusal::usage(format!(
        "{problem}; lower it (--set {key}={default:e}), or insist by --set {key}={rate:e}"
    )))
}

fn problem(key: &str, rate: f64, rates: Rates, parameters: usize, adapters: bool) -> Option<String> {
    let what = if adapters { "adapters on" } else { "all weights of" };
    let size = policy::millions(parameters);
    let Rates { default, low, high } = rates;
    if rate > high {
        return Some(format!(
            "`{key}` is {rate:e}, and rates above {high:e} are known to ruin {what} a model of {size} parameters; {default:e} suits \
             it"
        ));
    }
    (rate > 0.0 && rate < low).then(|| {
        format!("`{key}` is {rate:e}, and below {low:.1e} {what} a model of {size} parameters hardly change; {default:e} suits it")
    })
}

#[cfg(test)]
mod tests {
    use super::problem;
    use crate::rates::{Kind, sensible};

    #[test]
    fn a_rate_out_of_range_is_told_with_the_range() {
        let of = |rate, adapters| {
            let rates = sensible(Kind::Reinforcement, 134_515_008, adapters);
            problem("train.learning_rate", rate, rates, 134_515_008, adapters)
        };
        let high = of(6e-4, false).expect("too high");
        assert!(high.contains("6e-4") && high.contains("134.52M") && high.contains("2e-5 suits"), "{high}");
        assert!(of(1e-8, false).is_some_and(|low| low.contains("hardly change")));
        assert_eq!(of(6e-4, true), None, "for adapters it is none too high");
        assert_eq!(of(0.0, false), None, "a rate of nothing is meant");
    }
}
