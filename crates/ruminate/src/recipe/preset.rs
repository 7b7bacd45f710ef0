//! The key `preset`: values of `[grpo]` that the recipe does not state.

use super::layers::{Layers, put, remove};
use crate::error::Refusal;
use anyhow::{Context, Result};
use ruminate_grpo::{Config, Preset};
use serde::Deserialize;
use toml::Value;

/// Keys of `[grpo]` that no preset decides: they suit the machine and the run.
const OWN: [&str; 4] = ["micro_batch_size", "micro_batch_tokens", "eval_steps", "max_mismatch_kl"];

/// Gives the keys of `[grpo]` that neither the files nor `--set` state the values of the recipe's preset. A run folder's
/// `config.json` states all of them.
///
/// # Errors
/// With exit code 2: there is no preset of that name.
pub(super) fn fill(layers: &mut Layers) -> Result<()> {
    let Some(name) = layers.merged.get("preset").cloned().filter(|_| !layers.resolved) else { return Ok(()) };
    let preset = Preset::deserialize(name).map_err(|error| {
        Refusal::usage(format!("`preset`: {}", error.to_string().trim().replace('\n', ", ")))
    })?;
    let values = Value::try_from(preset.config()).context("a preset serialises")?;
    for key in Config::keys().iter().filter(|key| !OWN.contains(key)) {
        let path = format!("grpo.{key}");
        if layers.states(&path) {
            continue;
        }
        match values.get(key) {
            Some(value) => put(&mut layers.merged, &path, value.clone()),
            None => drop(remove(&mut layers.merged, &path)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::recipe::load::load;
    use ruminate_grpo::{LossType, Preset};

    #[test]
    fn a_preset_gives_what_the_recipe_does_not_state() {
        let sets = ["preset=dapo", "grpo.num_generations=4", "grpo.beta=0.5"].map(str::to_owned);
        let recipe = load(None, &sets).expect("valid").recipe;
        assert_eq!(recipe.preset, Some(Preset::Dapo));
        assert_eq!((recipe.grpo.num_generations, recipe.grpo.beta), (4, 0.5), "stated");
        assert_eq!(
            (recipe.grpo.prompts_per_step, recipe.grpo.epsilon_high),
            (512, Some(0.28)),
            "the preset's"
        );
        assert_eq!(recipe.grpo.loss_type, LossType::Dapo);
        let plain = load(None, &[]).expect("valid").recipe;
        assert_eq!((plain.preset, plain.grpo.prompts_per_step), (None, 32), "the embedded recipe's");
    }

    #[test]
    fn every_preset_makes_a_valid_recipe_and_another_name_is_refused() {
        for preset in Preset::ALL {
            let name = serde_json::to_value(preset).expect("a name");
            let set = format!("preset={}", name.as_str().expect("a text"));
            let recipe = load(None, &[set]).unwrap_or_else(|error| panic!("{preset:?}: {error:#}")).recipe;
            assert_eq!(recipe.grpo.loss_type, preset.config().loss_type);
        }
        let refused = load(None, &["preset=ppo".to_owned()]).expect_err("there is none");
        let message = format!("{refused:#}");
        assert!(message.contains("`preset`") && message.contains("r1_zero"), "{message}");
    }
}
