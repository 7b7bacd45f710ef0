//! Keys of TRL, transformers, verl, open-r1, vLLM and of version 0.1, and where what they set is set here. Used in refusals
//! only.

use serde_json::{Map, Value};

/// A foreign key's name, and what to do instead, as the end of a sentence.
const NAMES: &[(&[&str], &str)] = &[
    (
        &[
            "max_completion_length",
            "max_response_length",
            "response_length",
            "max_tokens",
            "max_gen_len",
            "max_generation_length",
        ],
        "the longest completion is `rollout.max_new_tokens`",
    ),
    (
        &["max_prompt_length", "prompt_length"],
        "prompts that leave no room for `rollout.max_new_tokens` within the model's positions are left out and counted",
    ),
    (
        &["max_length", "max_seq_length", "max_seq_len", "cutoff_len"],
        "the longest sample is `sft.row_length`",
    ),
    (
        &["warmup_ratio", "lr_warmup_steps_ratio", "lr_warmup_steps"],
        "warm-up is a number of steps: `train.warmup_steps`, of sft `sft.warmup_steps`",
    ),
    (
        &[
            "per_device_train_batch_size",
            "train_batch_size",
            "generation_batch_size",
            "rollout_batch_size",
            "global_batch_size",
        ],
        "a step of train-rl has `grpo.prompts_per_step` prompts times `grpo.num_generations` completions, a step of sft \
         `sft.batch_size` sequences",
    ),
    (
        &["per_device_eval_batch_size", "val_batch_size"],
        "an evaluation asks `eval.n` problems, `rollout.max_num_seqs` sequences at once",
    ),
    (
        &["gradient_accumulation_steps", "steps_per_generation"],
        "train-rl splits a step by `grpo.num_minibatches` (updates) and `grpo.micro_batch_tokens` (memory), sft by \
         `sft.gradient_accumulation_steps`",
    ),
    (
        &["num_train_epochs", "total_epochs", "num_epochs", "epochs", "max_epochs"],
        "passes of train-rl over its problems are `num_train_epochs`, of sft `sft.num_train_epochs`",
    ),
    (
        &["total_training_steps", "num_steps", "max_iters"],
        "the number of steps is `max_steps`, of sft `sft.max_steps`",
    ),
    (&["stop_strings", "stop_sequences", "stop"], "texts that end a completion are `rollout.stop`"),
    (
        &["stop_token_ids", "eos_token_id"],
        "a completion ends at the end tokens of the model folder (generation_config.json), at the texts of `rollout.stop` \
         or after `rollout.max_new_tokens`",
    ),
    (
        &["min_p"],
        "the share of the most probable token's probability below which tokens are cut is `rollout.min_p`",
    ),
    (&["repetition_penalty"], "it is `rollout.repetition_penalty`"),
    (&["presence_penalty"], "it is `rollout.presence_penalty`"),
    (&["frequency_penalty"], "it is `rollout.frequency_penalty`"),
    (&["bad_words", "bad_words_ids"], "texts that no completion has are `rollout.bad_words`"),
    (
        &["thinking_token_budget", "thinking_budget", "max_thinking_tokens"],
        "the tokens after which a thought is closed are `rollout.thinking_budget`",
    ),
    (
        &["n", "rollout_n", "num_return_sequences", "n_samples_per_prompt", "group_size", "G"],
        "completions a prompt are `grpo.num_generations`",
    ),
    (&["lr", "actor_lr", "peak_lr"], "the rate is `train.learning_rate`, of sft `sft.learning_rate`"),
    (&["kl_coef", "kl_loss_coef", "init_kl_coef", "kl_beta"], "the weight of the KL term is `grpo.beta`"),
    (
        &["kl_penalty", "kl_loss_type", "use_bias_correction_kl"],
        "what of the divergence a token gives is `grpo.kl_estimator`; verl's plus sign is `grpo.kl_straight_through`",
    ),
    (
        &["use_kl_in_reward", "use_kl_loss", "use_kl_estimator_k3"],
        "where the KL term is added is `grpo.kl_placement`, and it is on where `grpo.beta` is above 0",
    ),
    (&["clip_ratio_c", "dual_clip_c"], "the limit of the ratio of negative advantages is `grpo.dual_clip`"),
    (
        &["entropy_coeff", "ent_coef", "entropy_bonus"],
        "the weight of the entropy bonus is `grpo.entropy_coef`",
    ),
    (
        &["use_adaptive_entropy", "adaptive_entropy", "target_entropy"],
        "an entropy bonus follows a target where `grpo.entropy_target` is given",
    ),
    (&["tau_pos"], "the gate of positive advantages is `grpo.sapo_temperature_pos`"),
    (&["tau_neg"], "the gate of negative advantages is `grpo.sapo_temperature_neg`"),
    (&["kl_tau"], "the weight of DPPO's squared log-ratio is `grpo.dppo_kl_tau`"),
    (&["ppo_kl_coef"], "the weight of kl-cov's term is `grpo.kl_cov_coef`"),
    (
        &["clip_ratio", "clip_range", "cliprange", "clip_ratio_low", "eps_clip"],
        "the clip range is `grpo.epsilon`",
    ),
    (&["clip_ratio_high", "eps_clip_high"], "the upper clip range is `grpo.epsilon_high`"),
    (&["ppo_epochs", "num_ppo_epochs", "mu"], "passes over a step's completions are `grpo.num_iterations`"),
    (&["ppo_mini_batch_size", "mini_batch_size"], "a step's updates are `grpo.num_minibatches`"),
    (
        &["ppo_micro_batch_size_per_gpu", "ppo_micro_batch_size", "micro_batch_size_per_gpu"],
        "completions computed at once are `grpo.micro_batch_size` and `grpo.micro_batch_tokens`",
    ),
    (&["loss_agg_mode"], "how token losses become one number is `grpo.reduction`"),
    (&["loss_mode", "policy_loss", "loss_fn"], "the loss of a token is `grpo.loss_type`"),
    (
        &["adv_estimator", "norm_adv_by_std_in_grpo", "advantage_estimator"],
        "how rewards become advantages is `grpo.advantage`",
    ),
    (
        &[
            "vllm_importance_sampling_correction",
            "vllm_importance_sampling_mode",
            "vllm_importance_sampling_cap",
            "vllm_importance_sampling_clip_max",
            "vllm_importance_sampling_clip_min",
            "tis_imp_ratio_cap",
            "rollout_is",
            "rollout_is_threshold",
            "rollout_rs",
            "rollout_rs_threshold",
        ],
        "the difference between sampler and trainer is bounded by `grpo.correction`, `grpo.correction_min` \
         and `grpo.correction_max`",
    ),
    (&["max_grad_norm", "grad_clip", "gradient_clip_val"], "gradients are clipped at `train.max_grad_norm`"),
    (
        &["reward_funcs", "reward_functions", "reward_weights", "reward_fn", "custom_reward_function"],
        "the reward is `reward.verifier`, or its parts with their weights are [[reward.components]]",
    ),
    (&["system_prompt", "system_message", "system"], "the system prompt is `data.system`"),
    (&["few_shot", "fewshot", "num_fewshot", "n_shots"], "examples before the prompt are `data.shots`"),
    (
        &["chat_template_kwargs"],
        "variables of the chat template are a table of their own: see `data.template` in docs/data.md",
    ),
    (
        &["dataset", "dataset_name", "train_dataset", "train_file", "train_files", "dataset_path"],
        "training data is `data.train`, a JSONL file",
    ),
    (
        &["eval_dataset", "val_files", "test_files", "eval_file", "validation_file"],
        "held-out data is `data.eval`, a JSONL file",
    ),
    (
        &["model_name_or_path", "model_name", "base_model", "model_path", "pretrained"],
        "the model is `model`, a folder in Hugging Face's layout",
    ),
    (&["max_num_seqs"], "since version 0.2 the sequences decoded at once are `rollout.max_num_seqs`"),
    (&["held_out"], "since version 0.2 the share that training never sees is `data.split.validation`"),
    (&["fresh"], "since version 0.2 the share for final figures is `data.split.test`"),
    (&["lora_r", "lora_rank"], "the rank of adapters is `lora.r`"),
    (&["lora_dropout"], "adapters have no dropout here"),
    (&["peft_config", "use_peft", "adapter"], "adapters are trained where there is a table [lora]"),
    (&["output_dir", "default_local_dir", "save_dir"], "the run folder is the flag --out"),
    (&["resume_from_checkpoint"], "going on is the flag --resume auto"),
    (&["save_strategy", "save_freq", "save_interval"], "checkpoints come every `train.save_steps` steps"),
    (
        &["filter_groups_enable", "dynamic_sampling", "enable_filter_groups"],
        "groups of equal rewards are replaced where `grpo.filter_groups` is true",
    ),
    (
        &["load_best_model_at_end", "greater_is_better", "save_best", "best_ckpt"],
        "the best checkpoint by `eval.metric_for_best_model` is kept, and taken by --checkpoint best",
    ),
    (
        &["early_stopping", "patience", "early_stop_patience", "early_stopping_rounds"],
        "validations without a rise that end a run are `eval.early_stopping_patience`",
    ),
    (
        &["val_before_train", "val_only", "val_kwargs", "validation_freq", "val_freq"],
        "small validations come every `eval.validation_steps` steps, before the first and after the last",
    ),
    (
        &["gen_batch_size", "mini_step_size"],
        "a round of sampling asks as many prompts as are missing of `grpo.prompts_per_step`",
    ),
    (
        &[
            "easy_threshold",
            "hard_threshold",
            "easy_fraction",
            "hard_fraction",
            "online_difficulty_filtering",
        ],
        "difficulty pools are the table `grpo.pools`",
    ),
    (
        &["eval_strategy", "evaluation_strategy", "test_freq", "eval_interval"],
        "evaluations come every `grpo.eval_steps` steps, of sft every `sft.eval_steps`",
    ),
    (&["logging_steps", "logging_strategy"], "every step is a row of metrics.jsonl"),
    (
        &["report_to", "wandb_project", "trackers", "run_name", "logger", "project_name", "experiment_name"],
        "a run writes metrics.jsonl, TensorBoard's file and report.html, and a program that `log.command` names gets each row \
         (trackio, wandb)",
    ),
    (
        &["bf16", "fp16", "torch_dtype", "mixed_precision"],
        "what products multiply while training is `train.dtype`, what weights are held in while sampling `rollout.dtype`",
    ),
    (
        &["use_vllm", "vllm_mode", "tensor_parallel_size"],
        "sampling is built in: there is no engine to choose",
    ),
    (&["gpu_memory_utilization"], "memory for the caches of sampling is `rollout.kv_cache_memory_gib`"),
    (
        &["num_workers", "dataloader_num_workers"],
        "threads are `threads`, microbatches at the same time `train.workers`",
    ),
];

/// What sets here what a key of that name sets elsewhere.
pub(super) fn advice(key: &str) -> Option<&'static str> {
    NAMES.iter().find(|(names, _)| names.contains(&key)).map(|(_, advice)| *advice)
}

/// Where a key of that name stands among all keys, which are by table.
pub(super) fn elsewhere(known: &Map<String, Value>, key: &str) -> Option<String> {
    let top = known.contains_key(key).then(|| format!("`{key}`"));
    let tables = known.iter().filter(|(_, table)| table.get(key).is_some());
    let places: Vec<String> =
        top.into_iter().chain(tables.map(|(table, _)| format!("`{table}.{key}`"))).collect();
    (!places.is_empty()).then(|| places.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::{NAMES, advice};
    use crate::recipe::load::known_keys;
    use std::collections::BTreeSet;

    #[test]
    fn each_foreign_name_stands_once() {
        let names: Vec<&str> = NAMES.iter().flat_map(|(names, _)| names.iter().copied()).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert!(
            advice("max_completion_length").is_some_and(|advice| advice.contains("rollout.max_new_tokens"))
        );
        assert_eq!(advice("learning_rat"), None, "a slip of the pen is not a foreign name");
    }

    #[test]
    fn every_key_that_is_named_exists() {
        let known = serde_json::Value::Object(known_keys().expect("the defaults serialise"));
        for (_, advice) in NAMES {
            for key in advice.split('`').skip(1).step_by(2) {
                let found = known.pointer(&format!("/{}", key.replace('.', "/")));
                assert!(found.is_some(), "{key} in {advice:?}");
            }
        }
    }
}
