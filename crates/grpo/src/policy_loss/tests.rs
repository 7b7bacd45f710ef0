//! Recipes that are read as meant, and those that are refused.

use super::*;
use serde_json::{Value, json};

fn config(keys: Value) -> Config {
    serde_json::from_value(keys).expect("keys of [grpo]")
}

fn refusal(keys: Value) -> String {
    config(keys.clone()).validate().expect_err(&keys.to_string()).to_string()
}

#[test]
fn trls_names_mean_the_four_parts() {
    let clip = "Clip { epsilon: 0.2, epsilon_high: 0.2, delta: None, dual: None }";
    let gspo = &format!("Gspo({clip})");
    let (group, token_mean) = (Advantage::Group, Reduction::TokenMean);
    for (keys, advantage, surrogate, reduction) in [
        (json!({}), group, clip, token_mean),
        (json!({ "loss_type": "dapo" }), group, clip, token_mean),
        (json!({ "loss_type": "grpo" }), group, clip, Reduction::SequenceMean),
        (json!({ "loss_type": "bnpo" }), group, clip, Reduction::MicrobatchMean),
        (json!({ "loss_type": "dr_grpo" }), group, clip, Reduction::Constant),
        (json!({ "importance_sampling_level": "sequence" }), group, gspo, token_mean),
        (
            json!({ "importance_sampling_level": "sequence", "loss_type": "grpo" }),
            group,
            gspo,
            Reduction::SequenceMean,
        ),
        (
            json!({ "loss_type": "cispo", "epsilon_high": 5.0 }),
            group,
            "Cispo { floor: 0.0, limit: 5.0 }",
            token_mean,
        ),
        (json!({ "scale_rewards": "batch" }), Advantage::Batch, clip, token_mean),
        (json!({ "scale_rewards": "none" }), Advantage::Unscaled, clip, token_mean),
        (json!({ "multi_objective_aggregation": "normalize_then_sum" }), Advantage::Gdpo, clip, token_mean),
        // Names of this crate, alone and beside TRL's that mean the same.
        (json!({ "loss_type": "clip", "reduction": "sum" }), group, clip, Reduction::Sum),
        (json!({ "loss_type": "gspo" }), group, gspo, Reduction::SequenceMean),
        (json!({ "loss_type": "dr_grpo", "reduction": "constant" }), group, clip, Reduction::Constant),
        (json!({ "advantage": "rloo" }), Advantage::Rloo, clip, token_mean),
        (json!({ "advantage": "unscaled", "scale_rewards": "none" }), Advantage::Unscaled, clip, token_mean),
    ] {
        let loss = config(keys.clone()).policy_loss(Logprobs::Exact).expect("valid");
        let found = (loss.advantage, format!("{:?}", loss.surrogate), loss.reduction, loss.correction);
        assert_eq!(found, (advantage, surrogate.to_owned(), reduction, Correction::None), "{keys}");
    }
}

#[test]
fn a_sampler_that_rounds_is_capped_unless_a_key_bounds_the_ratio() {
    for (keys, logprobs, expected) in [
        (json!({}), Logprobs::Exact, Correction::None),
        (json!({}), Logprobs::Approximate, Correction::Cap),
        (json!({ "delta": 4.0 }), Logprobs::Approximate, Correction::None),
        (json!({ "loss_type": "cispo", "epsilon_high": 5.0 }), Logprobs::Approximate, Correction::None),
        (json!({ "correction": "none" }), Logprobs::Approximate, Correction::None),
        (json!({ "correction": "cap" }), Logprobs::Exact, Correction::Cap),
        (json!({ "correction": "truncate", "delta": 4.0 }), Logprobs::Approximate, Correction::Truncate),
    ] {
        let loss = config(keys.clone()).policy_loss(logprobs).expect("valid");
        assert_eq!(loss.correction, expected, "{keys} {logprobs:?}");
    }
    assert_eq!(Correction::Cap.limit(1.2), Some(3.0));
    assert_eq!(Correction::Cap.limit(4.5), Some(4.5), "the cap never lies within the clip");
}

#[test]
fn keys_that_contradict_each_other_are_refused_by_name() {
    for (keys, says) in [
        (json!({ "reduction": "sum" }), ["`grpo.reduction = \"sum\"`", "`loss_type = \"clip\"`"]),
        (
            json!({ "loss_type": "dr_grpo", "reduction": "token_mean" }),
            ["`grpo.loss_type = \"dr_grpo\"`", "expected \"constant\""],
        ),
        (
            json!({ "advantage": "rloo", "scale_rewards": "none" }),
            ["`grpo.advantage = \"rloo\"`", "`grpo.scale_rewards = \"none\"`: expected \"unscaled\""],
        ),
        (
            json!({ "advantage": "group", "multi_objective_aggregation": "normalize_then_sum" }),
            ["`grpo.multi_objective_aggregation = \"normalize_then_sum\"`", "expected \"gdpo\""],
        ),
        (
            json!({ "scale_rewards": "none", "multi_objective_aggregation": "normalize_then_sum" }),
            ["`grpo.scale_rewards` is \"none\"", "expected \"group\""],
        ),
        (json!({ "loss_type": "cispo" }), ["`grpo.epsilon_high` is not given", "such as 5"]),
        (json!({ "loss_type": "cispo", "epsilon_high": 0.28 }), ["`grpo.epsilon_high` is 0.28", "from 1"]),
        (
            json!({ "loss_type": "cispo", "epsilon_high": 5.0, "delta": 9.0 }),
            ["`grpo.delta = 9`", "expected no `delta`"],
        ),
        (
            json!({ "loss_type": "cispo", "epsilon_high": 5.0, "importance_sampling_level": "sequence" }),
            ["`grpo.importance_sampling_level = \"sequence\"`", "`loss_type = \"gspo\"`"],
        ),
        (
            json!({ "loss_type": "cispo", "epsilon_high": 5.0, "correction": "cap" }),
            ["`grpo.correction = \"cap\"`", "`epsilon_high` is the limit"],
        ),
        (json!({ "delta": 1.1 }), ["`grpo.delta` is 1.1", "above 1 + epsilon_high"]),
        (json!({ "delta": 4.0, "correction": "cap" }), ["`grpo.correction = \"cap\"`", "one of them"]),
        (
            json!({ "correction": "truncate", "router_replay": "on" }),
            ["`grpo.router_replay = \"on\"`", "expected \"off\""],
        ),
    ] {
        let message = refusal(keys);
        assert!(says.iter().all(|part| message.contains(part)), "{message}");
    }
}

#[test]
fn choices_are_named_as_recipes_write_them() {
    assert_eq!(json!(Advantage::Gdpo).to_string(), name(Advantage::Gdpo));
    assert_eq!(json!(LossType::DrGrpo).to_string(), name(LossType::DrGrpo));
    assert_eq!(json!(Reduction::MicrobatchMean).to_string(), name(Reduction::MicrobatchMean));
    assert_eq!(json!(Correction::IcePop).to_string(), name(Correction::IcePop));
    assert_eq!(json!(Advantage::PassAtK).to_string(), name(Advantage::PassAtK));
    assert_eq!(json!(KlEstimator::Unbiased).to_string(), name(KlEstimator::Unbiased));
}

#[test]
fn a_key_of_another_choice_is_refused_by_name() {
    for (keys, says) in [
        (
            json!({ "sapo_temperature_pos": 2.0 }),
            [
                "`grpo.sapo_temperature_pos = 2`",
                "expected no `sapo_temperature_pos`, or `loss_type = \"sapo\"`",
            ],
        ),
        (json!({ "loss_type": "sapo", "delta": 3.0 }), ["`grpo.delta = 3`", "`grpo.loss_type = \"sapo\"`"]),
        (
            json!({ "loss_type": "reinforce", "epsilon_high": 0.3 }),
            ["`grpo.epsilon_high = 0.3`", "\"reinforce\""],
        ),
        (json!({ "dro_beta": 0.1 }), ["`grpo.dro_beta = 0.1`", "`loss_type = \"dro\"`"]),
        (json!({ "loss_type": "dro" }), ["`grpo.dro_beta` is not given", "such as 0.05"]),
        (json!({ "loss_type": "vespo", "vespo_k_pos": 0.0 }), ["`grpo.vespo_k_pos` is 0", "above 0"]),
        (
            json!({ "loss_type": "cispo", "epsilon_high": 2.0, "cispo_ratio_min": 1.5 }),
            ["`grpo.cispo_ratio_min` is 1.5", "from 0 to 1"],
        ),
        (
            json!({ "loss_type": "clip", "delta": 3.0, "dual_clip": 3.0 }),
            ["`grpo.dual_clip = 3`", "one of them"],
        ),
        (
            json!({ "loss_type": "clip_cov", "clip_cov_lb": 6.0 }),
            ["`grpo.clip_cov_ub` is 5", "above clip_cov_lb"],
        ),
        (
            json!({ "loss_type": "luspo", "reduction": "sum" }),
            ["`grpo.reduction = \"sum\"`", "`loss_type = \"gspo\"`"],
        ),
        (
            json!({ "loss_type": "sapo", "importance_sampling_level": "sequence" }),
            ["`grpo.importance_sampling_level = \"sequence\"`", "a level of its own"],
        ),
        (json!({ "advantage": "pass_at_k" }), ["`grpo.pass_at_k` is not given", "from 2 to num_generations"]),
        (
            json!({ "advantage": "pass_at_k", "pass_at_k": 9 }),
            ["`grpo.pass_at_k` is 9", "from 2 to num_generations"],
        ),
        (json!({ "pass_at_k": 2 }), ["`grpo.pass_at_k = 2`", "`grpo.advantage = not given`"]),
        (json!({ "top_entropy_quantile": 0.0 }), ["`grpo.top_entropy_quantile` is 0", "above 0"]),
        (
            json!({ "loss_type": "gspo", "top_entropy_quantile": 0.2 }),
            ["`grpo.top_entropy_quantile = 0.2`", "a loss of single tokens"],
        ),
        (json!({ "off_policy_mask_threshold": 0.0 }), ["`grpo.off_policy_mask_threshold` is 0", "above 0"]),
    ] {
        let message = refusal(keys);
        assert!(says.iter().all(|part| message.contains(part)), "{message}");
    }
}

#[test]
fn corrections_and_their_limits_are_refused_where_they_have_no_effect() {
    for (keys, says) in [
        (json!({ "correction_max": 2.0 }), ["`grpo.correction_max = 2`", "`grpo.correction = not given`"]),
        (
            json!({ "correction": "cap", "correction_min": 0.5 }),
            ["`grpo.correction_min = 0.5`", "`grpo.correction = \"cap\"`"],
        ),
        (
            json!({ "correction": "mask", "correction_max": 0.5 }),
            ["`grpo.correction_max` is 0.5", "from 1, or inf"],
        ),
        (
            json!({ "correction": "mask", "correction_min": 1.5 }),
            ["`grpo.correction_min` is 1.5", "from 0 to 1"],
        ),
        (json!({ "correction": "cap", "dual_clip": 3.0 }), ["`grpo.dual_clip = 3`", "one of them"]),
        (
            json!({ "loss_type": "sapo", "correction": "cap" }),
            ["`grpo.correction = \"cap\"`", "no ratio that a cap could limit"],
        ),
        (
            json!({ "loss_type": "vespo", "correction": "mask" }),
            ["`grpo.loss_type = \"vespo\"`", "a smooth limit"],
        ),
        (
            json!({ "correction": "ice_pop", "router_replay": "on" }),
            ["`grpo.router_replay = \"on\"`", "expected \"off\""],
        ),
    ] {
        let message = refusal(keys);
        assert!(says.iter().all(|part| message.contains(part)), "{message}");
    }
    let names = ["token_truncate", "token_mask", "ice_pop", "sequence_mask"];
    let bounds = names.map(|name| {
        config(json!({ "correction": name })).policy_loss(Logprobs::Exact).expect("valid").bounds
    });
    assert_eq!(bounds[2], Bounds { min: 0.5, max: 5.0 });
    assert!(
        [0, 1, 3].map(|index| bounds[index]).iter().all(|&bounds| bounds == Bounds { min: 0.0, max: 3.0 })
    );
}

#[test]
fn a_divergence_that_does_not_combine_is_refused_by_name() {
    let with = |keys: Value| {
        let mut all = json!({ "beta": 0.1 });
        for (key, value) in keys.as_object().expect("keys") {
            all[key] = value.clone();
        }
        all
    };
    for (keys, says) in [
        (json!({ "kl_estimator": "k2" }), ["`grpo.kl_estimator = \"k2\"`", "`grpo.beta = 0`"]),
        (json!({ "kl_straight_through": true }), ["`grpo.kl_straight_through = true`", "`grpo.beta = 0`"]),
        (
            with(json!({ "kl_placement": "reward", "kl_straight_through": true })),
            ["`grpo.kl_straight_through = true`", "a reward has no gradient"],
        ),
        (
            with(json!({ "kl_estimator": "unbiased", "kl_straight_through": true })),
            ["`grpo.kl_estimator = \"unbiased\"`", "the gradient of KL itself"],
        ),
        (
            with(json!({ "kl_placement": "reward", "kl_estimator": "unbiased" })),
            ["`grpo.kl_estimator = \"unbiased\"`", "drawn by the sampler"],
        ),
        (
            with(json!({ "kl_placement": "reward", "advantage": "gdpo" })),
            ["`grpo.kl_placement = \"reward\"`", "the reward's parts"],
        ),
        (
            with(json!({ "kl_placement": "reward", "advantage": "max_rl" })),
            ["`grpo.advantage = \"max_rl\"`", "rewards from 0"],
        ),
    ] {
        let message = refusal(keys);
        assert!(says.iter().all(|part| message.contains(part)), "{message}");
    }
    let kl = config(with(json!({ "kl_placement": "reward", "kl_estimator": "k1" })));
    let kl = kl.policy_loss(Logprobs::Exact).expect("valid");
    assert_eq!((kl.beta_in_loss(0.1), kl.kl.estimator), (0.0, KlEstimator::K1));
}
