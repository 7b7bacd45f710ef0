//! [`Config`] -> `config.json`.

use super::families::{Biases, HeadNorms, Mixture, Window};
use super::parts::{ATTENTION_OUT_BIAS, PARTIAL_ROTARY_FACTOR, SLIDING_WINDOW, unrotated_json};
use super::rope_keys::rope_scaling_json;
use super::{Attention, Bias, Config, Family, Gqa, HeadNorm, Moe, Multipliers, Router, Scaling};
use serde_json::{Map, Value, json};

impl Config {
    /// Writes `config.json` as transformers reads it.
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        let mut set = |key: &str, value: Value| {
            out.insert(key.to_owned(), value);
        };
        let traits = self.family.traits();
        let [model_type, class] = traits.names;
        set("architectures", json!([class]));
        set("model_type", json!(model_type));
        set("vocab_size", json!(self.vocab_size));
        set("hidden_size", json!(self.hidden_size));
        set("num_hidden_layers", json!(self.num_hidden_layers));
        set("intermediate_size", json!(self.intermediate_size));
        set("max_position_embeddings", json!(self.stated_positions()));
        set("hidden_act", json!("silu"));
        set("rms_norm_eps", json!(self.rms_norm_eps));
        set("tie_word_embeddings", json!(self.tie_word_embeddings));
        set("initializer_range", json!(self.initializer_range));
        match self.eos_token_ids.as_slice() {
            [] => set("eos_token_id", Value::Null),
            [one] => set("eos_token_id", json!(one)),
            many => set("eos_token_id", json!(many)),
        }
        set("dtype", json!("float32"));
        match self.attention {
            Attention::Mla(mla) => {
                set("num_attention_heads", json!(mla.num_attention_heads));
                set("num_key_value_heads", json!(mla.num_attention_heads));
                set("q_lora_rank", json!(mla.q_lora_rank));
                set("kv_lora_rank", json!(mla.kv_lora_rank));
                set("qk_nope_head_dim", json!(mla.qk_nope_head_dim));
                set("qk_rope_head_dim", json!(mla.qk_rope_head_dim));
                set("v_head_dim", json!(mla.v_head_dim));
                set("rope_interleave", json!(true));
                set("attention_bias", json!(false));
            }
            Attention::Gqa(gqa) => {
                set("num_attention_heads", json!(gqa.num_attention_heads));
                set("num_key_value_heads", json!(gqa.num_key_value_heads));
                set("head_dim", json!(gqa.head_dim));
                let biased = gqa.bias != Bias::None;
                match traits.biases {
                    // Their classes have no key for it.
                    Biases::Never | Biases::QueryKeyValue => {}
                    Biases::QkvBias => set("qkv_bias", json!(biased)),
                    _ => set("attention_bias", json!(biased)),
                }
                if traits.head_norm == HeadNorms::Stated {
                    set("use_qk_norm", json!(gqa.norm == HeadNorm::Each));
                }
                if traits.rotated_share.is_some() {
                    set(PARTIAL_ROTARY_FACTOR, json!(share(gqa)));
                }
            }
        }
        if self.mlp_bias {
            set("mlp_bias", json!(true));
        }
        match traits.window {
            Window::Stated(Some(_)) => set(SLIDING_WINDOW, Value::Null),
            Window::Late { blocks, .. } if self.num_hidden_layers > blocks => {
                set(SLIDING_WINDOW, Value::Null);
            }
            _ => {}
        }
        match self.family {
            Family::SeedOss => set(ATTENTION_OUT_BIAS, json!(self.has_output_bias())),
            Family::Smollm3 => {
                let (key, blocks) = unrotated_json(&self.unrotated, self.num_hidden_layers);
                set(key, blocks);
                set("use_sliding_window", json!(false));
            }
            Family::Granite => {
                let Multipliers { embedding, residual, attention, logits } = self.multipliers;
                set("embedding_multiplier", json!(embedding));
                set("residual_multiplier", json!(residual));
                set("attention_multiplier", json!(attention));
                set("logits_scaling", json!(logits));
            }
            _ => {}
        }
        set("rope_theta", json!(self.rope.theta));
        set("rope_scaling", rope_scaling_json(&self.rope.scaling));
        if let Scaling::LongRope(long) = &self.rope.scaling {
            // Beside the table, where the class looks for it.
            set("original_max_position_embeddings", json!(long.original_max_position_embeddings));
        }
        if let Some(moe) = self.moe {
            self.set_mixture(moe, traits.mixture, &mut set);
        }
        Value::Object(out)
    }

    fn set_mixture(&self, moe: Moe, kind: Mixture, set: &mut impl FnMut(&str, Value)) {
        set("num_experts_per_tok", json!(moe.num_experts_per_tok));
        if kind == Mixture::Mixtral {
            set("num_local_experts", json!(moe.n_routed_experts));
            return;
        }
        set("moe_intermediate_size", json!(moe.moe_intermediate_size));
        match moe.router {
            Router::Sigmoid { n_group, topk_group, norm_topk_prob, routed_scaling_factor } => {
                set("n_routed_experts", json!(moe.n_routed_experts));
                set("n_shared_experts", json!(moe.n_shared_experts));
                set("first_k_dense_replace", json!(moe.first_k_dense_replace));
                set("n_group", json!(n_group));
                set("topk_group", json!(topk_group));
                set("norm_topk_prob", json!(norm_topk_prob));
                set("routed_scaling_factor", json!(routed_scaling_factor));
                set("scoring_func", json!("sigmoid"));
                set("topk_method", json!("noaux_tc"));
                set("moe_layer_freq", json!(1));
                if self.family != Family::Dots1 {
                    set("num_nextn_predict_layers", json!(self.num_nextn_predict_layers));
                }
            }
            Router::Softmax { norm_topk_prob } => {
                set("num_experts", json!(moe.n_routed_experts));
                set("norm_topk_prob", json!(norm_topk_prob));
                set("decoder_sparse_step", json!(1));
                set("mlp_only_layers", json!([]));
                if let Some(width) = moe.gated_shared_expert {
                    set("shared_expert_intermediate_size", json!(width));
                }
            }
        }
    }

    fn has_output_bias(&self) -> bool {
        matches!(self.attention, Attention::Gqa(Gqa { bias: Bias::All, .. }))
    }

    /// The positions that the file states, which may be more than are read.
    fn stated_positions(&self) -> usize {
        match &self.rope.scaling {
            Scaling::LongRope(long) => long.max_position_embeddings,
            _ => self.max_position_embeddings,
        }
    }
}

/// The share of a head that is rotated; its product is rounded down when it is read.
fn share(Gqa { head_dim, rotary_dim, .. }: Gqa) -> f64 {
    let width = head_dim as f64;
    let exact = rotary_dim as f64 / width;
    if (width * exact) as usize == rotary_dim { exact } else { (rotary_dim as f64 + 0.5) / width }
}
