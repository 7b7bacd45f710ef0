//! Keys that their command reads, but not beside what the rest of the recipe says. An override of such a key is warned of: it is
//! no mistake of spelling, and another override may give it its effect.

use super::keys::is_within;
use super::{Model, Recipe};
use ruminate_distill::Method;
use ruminate_grpo::LossType;

/// Warnings for the overrides that have no effect in this recipe.
pub(crate) fn warnings(command: &str, recipe: &Recipe, sets: &[String]) -> Vec<String> {
    let idle = idle(command, recipe);
    let states =
        |key: &str| sets.iter().any(|set| is_within(set.split('=').next().unwrap_or_default().trim(), key));
    idle.into_iter()
        .filter(|(key, _)| states(key))
        .map(|(key, why)| format!("`{key}` has no effect: {why}"))
        .collect()
}

/// Keys and tables without effect, each with the reason.
fn idle(command: &str, recipe: &Recipe) -> Vec<(&'static str, &'static str)> {
    let mut idle = Vec::new();
    let mut add = |applies: bool, keys: &[&'static str], why| {
        if applies {
            idle.extend(keys.iter().map(|key| (*key, why)));
        }
    };
    let reinforces = command == "train-rl";
    let distills = command == "distill";
    let folder = matches!(recipe.model, Some(Model::Folder(_)));
    add(
        reinforces && folder,
        &["pretrain", "data.mix", "data.corpus"],
        "`model` is a folder, so no base is pretrained",
    );
    add(recipe.rollout.engine.is_local(), &["fleet"], "`rollout.engine` is \"local\": this process samples");
    add(
        reinforces && !recipe.rollout.engine.is_local(),
        &["rollout.max_num_seqs", "rollout.kv_cache_memory_gib", "rollout.max_num_batched_tokens"],
        "servers sample, and evaluations alone are sampled here",
    );
    add(
        reinforces && recipe.grpo.beta == 0.0,
        &["grpo.ref_model_sync_steps"],
        "`grpo.beta` is 0, so there is no reference policy",
    );
    add(
        reinforces && recipe.grpo.loss_type == LossType::Cispo,
        &["grpo.epsilon"],
        "`grpo.loss_type` is \"cispo\", whose one limit is `grpo.epsilon_high`",
    );
    add(
        reinforces && without_clip(recipe.grpo.loss_type),
        &["grpo.epsilon"],
        "`grpo.loss_type` is a loss without a clip",
    );
    add(
        (distills || command == "sft") && recipe.sft.num_train_epochs > 0.0,
        &["sft.max_steps"],
        "`sft.num_train_epochs` decides the steps",
    );
    let method = recipe.distill.learning.method;
    add(
        distills && method != Method::Logits,
        &["distill.beta", "distill.temperature", "distill.top_k"],
        "`distill.method` is not \"logits\"",
    );
    add(
        distills && method != Method::OnPolicy,
        &["distill.max_mismatch_kl"],
        "`distill.method` is not \"on_policy\"",
    );
    add(
        distills && recipe.distill.remote_url().is_none(),
        &[
            "distill.remote_model",
            "distill.remote_engine",
            "distill.remote_key_env",
            "distill.remote_concurrency",
            "distill.remote_timeout_ms",
            "distill.remote_max_retries",
            "distill.remote_backoff_ms",
        ],
        "`distill.teacher` is no server",
    );
    add(
        distills && method != Method::OnPolicy && recipe.distill.remote_url().is_some(),
        &["distill.remote_engine"],
        "`distill.method` is not \"on_policy\"",
    );
    add(
        distills && recipe.distill.teacher.is_some(),
        &["train", "max_steps"],
        "the teacher is `distill.teacher`, so none is trained",
    );
    idle
}

/// Whether a loss has no clip of a ratio; of CISPO another key is its limit.
fn without_clip(loss_type: LossType) -> bool {
    matches!(
        loss_type,
        LossType::Sapo
            | LossType::DppoTv
            | LossType::DppoKl
            | LossType::Vespo
            | LossType::Dro
            | LossType::ImportanceSampling
            | LossType::Reinforce
            | LossType::KlCov
    )
}

#[cfg(test)]
mod tests {
    use super::warnings;
    use crate::recipe::load::load;

    #[test]
    fn an_override_without_effect_is_named_with_the_reason() {
        let of = |command: &str, sets: &[&str]| {
            let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
            let recipe = load(None, &sets).expect("valid").recipe;
            warnings(command, &recipe, &sets)
        };
        for (command, sets, says) in [
            (
                "train-rl",
                &["model=DIR", "pretrain.max_steps=3"][..],
                "`pretrain` has no effect: `model` is a folder",
            ),
            ("train-rl", &["grpo.ref_model_sync_steps=3"], "`grpo.beta` is 0"),
            ("train-rl", &["grpo.loss_type=sapo", "grpo.epsilon=0.1"], "a loss without a clip"),
            ("sft", &["sft.max_steps=3", "sft.num_train_epochs=2"], "`sft.num_train_epochs` decides"),
            (
                "train-rl",
                &["grpo.loss_type=cispo", "grpo.epsilon_high=5", "grpo.epsilon=0.1"],
                "whose one limit is `grpo.epsilon_high`",
            ),
            ("distill", &["distill.beta=0.5"], "not \"logits\""),
            ("distill", &["distill.teacher=DIR", "distill.remote_concurrency=3"], "is no server"),
            ("distill", &["distill.teacher=DIR", "max_steps=3"], "none is trained"),
        ] {
            let found = of(command, sets);
            assert!(found.len() == 1 && found[0].contains(says), "{command} {sets:?}: {found:?}");
        }
        for (command, sets) in [
            ("train-rl", &["pretrain.max_steps=3", "grpo.beta=0.1", "grpo.ref_model_sync_steps=3"][..]),
            ("sft", &["sft.max_steps=3"]),
            ("distill", &["distill.method=logits", "distill.beta=0.5", "max_steps=3"]),
        ] {
            assert_eq!(of(command, sets), Vec::<String>::new(), "{command} {sets:?}");
        }
    }
}
