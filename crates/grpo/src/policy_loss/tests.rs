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
}
