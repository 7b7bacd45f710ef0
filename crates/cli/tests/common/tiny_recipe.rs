//! The tiny recipe of tests.

/// Shrinks the embedded recipe to seconds.
pub(crate) const TINY: [&str; 22] = [
    "model.hidden_size=16",
    "model.num_hidden_layers=2",
    "model.num_attention_heads=2",
    "model.kv_lora_rank=8",
    "model.qk_nope_head_dim=4",
    "model.qk_rope_head_dim=4",
    "model.v_head_dim=4",
    "model.n_routed_experts=4",
    "model.moe_intermediate_size=8",
    "model.intermediate_size=16",
    "pretrain.max_steps=2",
    "pretrain.batch_size=4",
    "max_steps=2",
    "grpo.prompts_per_step=4",
    "grpo.num_generations=4",
    "rollout.max_new_tokens=12",
    "eval.n=4",
    "eval.num_samples=2",
    "eval.completions_steps=1",
    "distill.prompts=4",
    "sft.max_steps=2",
    "sft.batch_size=4",
];
