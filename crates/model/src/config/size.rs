//! How large an architecture is: its parameters, and what a forward pass keeps of them for the backward. Bytes are the
//! caller's.

use super::{Attention, Config, HeadNorm};
use ruminate_kernels::ComputeDtype;

/// Parameters of all matrices; norms' gains and biases, less than a thousandth, are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// All of them.
    pub all: usize,
    /// Those that one token passes.
    pub active: usize,
}

impl Config {
    /// The architecture's parameters, without the multi-token prediction module.
    pub fn parameters(&self) -> Parameters {
        let width = self.hidden_size;
        let embeddings = self.vocab_size * width;
        let head = if self.tie_word_embeddings { 0 } else { embeddings };
        let (mut all, mut active) = (embeddings + head, embeddings + head);
        for layer in 0..self.num_hidden_layers {
            let block = self.block_parameters(layer);
            all += block.all;
            active += block.active;
        }
        Parameters { all, active }
    }

    /// Those of the multi-token prediction module, where there is one.
    pub fn module_parameters(&self) -> usize {
        let width = self.hidden_size;
        // A mixture wherever the model has one.
        let of_one = || 2 * width * width + self.block_parameters(usize::MAX).all;
        if self.num_nextn_predict_layers > 0 { of_one() } else { 0 }
    }

    fn block_parameters(&self, layer: usize) -> Parameters {
        let width = self.hidden_size;
        let (held, used) = match self.moe.filter(|_| self.is_moe(layer)) {
            None => (3 * width * self.intermediate_size, 3 * width * self.intermediate_size),
            Some(moe) => {
                let of_width = |inner: usize| 3 * width * inner;
                let router = width * (moe.n_routed_experts + usize::from(moe.gated_shared_expert.is_some()));
                let rest = router + of_width(moe.shared_width());
                let count = |routed: usize| rest + routed * of_width(moe.moe_intermediate_size);
                (count(moe.n_routed_experts), count(moe.num_experts_per_tok))
            }
        };
        let attention = self.attention_parameters();
        Parameters { all: attention + held, active: attention + used }
    }

    fn attention_parameters(&self) -> usize {
        let width = self.hidden_size;
        match self.attention {
            Attention::Mla(mla) => {
                let heads = mla.num_attention_heads;
                let query = heads * (mla.qk_nope_head_dim + mla.qk_rope_head_dim);
                let queries = mla.q_lora_rank.map_or(width * query, |rank| rank * (width + query));
                let latent = width * (mla.kv_lora_rank + mla.qk_rope_head_dim);
                let unfolded = mla.kv_lora_rank * heads * (mla.qk_nope_head_dim + mla.v_head_dim);
                queries + latent + unfolded + heads * mla.v_head_dim * width
            }
            Attention::Gqa(gqa) => {
                2 * width * gqa.head_dim * (gqa.num_attention_heads + gqa.num_key_value_heads)
            }
        }
    }

    /// Bytes that the fused forward of block `layer` keeps a token for its backward: the inputs of norms in f32, and those of
    /// products and attention and the pre-activations of gates in the dtype of products.
    pub fn kept_by_block(&self, layer: usize, dtype: ComputeDtype) -> usize {
        let of_number = match dtype {
            ComputeDtype::F32 => 4,
            ComputeDtype::Bf16 => 2,
        };
        let width = self.hidden_size;
        // Of what is kept in f32 and of what is kept in the dtype of products.
        let (exact, attention) = match self.attention {
            Attention::Mla(mla) => {
                let heads = mla.num_attention_heads;
                let query = heads * (mla.qk_nope_head_dim + mla.qk_rope_head_dim);
                // Before a norm and after it. The rotary columns are part of the latent before its norm.
                let low = mla.q_lora_rank.unwrap_or(0);
                let latent = mla.kv_lora_rank;
                let up = heads * (mla.qk_nope_head_dim + mla.v_head_dim);
                let exact = low + latent + mla.qk_rope_head_dim + heads;
                (exact, query + low + latent + mla.qk_rope_head_dim + up + heads * mla.v_head_dim)
            }
            Attention::Gqa(gqa) => {
                let keys = gqa.num_attention_heads + gqa.num_key_value_heads;
                let unnormed = if gqa.norm == HeadNorm::None { 0 } else { keys * gqa.head_dim };
                let heads = 2 * gqa.num_attention_heads + 2 * gqa.num_key_value_heads;
                (unnormed + gqa.num_attention_heads, heads * gqa.head_dim)
            }
        };
        let (routing, feed_forward) = match self.moe.filter(|_| self.is_moe(layer)) {
            None => (0, 3 * self.intermediate_size),
            Some(moe) => {
                let (inner, chosen) = (moe.moe_intermediate_size, moe.num_experts_per_tok);
                let routing = 4 * chosen + 2 * moe.n_routed_experts;
                // The router reads the normed state in f32, the experts the operand of their products.
                let read = if dtype == ComputeDtype::F32 { 0 } else { width };
                (routing + read, 2 * chosen * inner + 3 * moe.shared_width())
            }
        };
        // The residual stream and its normed form, before each half.
        let exact = 2 * width + exact + routing;
        4 * exact + of_number * (2 * width + attention + feed_forward)
    }

    /// Numbers that computing block `layer` or its gradients holds a token for a moment, beside what is kept: those of the
    /// feed-forward layer's inside, which is wider than attention's, and of the states around it.
    pub fn passing_by_block(&self, layer: usize) -> usize {
        let feed_forward = match self.moe.filter(|_| self.is_moe(layer)) {
            None => 3 * self.intermediate_size,
            // Every chosen expert's share of the state.
            Some(moe) => moe.num_experts_per_tok * self.hidden_size + 3 * moe.shared_width(),
        };
        2 * self.hidden_size + feed_forward
    }

    /// Numbers that the cache of decoding keeps a token and layer.
    pub fn cached_by_block(&self) -> usize {
        match self.attention {
            Attention::Mla(mla) => mla.kv_lora_rank + mla.qk_rope_head_dim,
            Attention::Gqa(gqa) => 2 * gqa.num_key_value_heads * gqa.head_dim,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, Parameters};
    use serde_json::json;

    #[test]
    fn a_layer_counts_its_experts_whole_and_its_tokens_share() {
        let json = json!({
            "model_type": "qwen3_moe", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
            "num_key_value_heads": 2, "head_dim": 4, "intermediate_size": 8, "num_experts": 4, "num_experts_per_tok": 1,
            "moe_intermediate_size": 6, "vocab_size": 10, "eos_token_id": 1,
        });
        let config = Config::from_json(&json).expect("valid");
        let (attention, expert, router) = (4 * 8 * 8, 3 * 8 * 6, 8 * 4);
        let embeddings = 2 * 10 * 8;
        let expected = Parameters {
            all: embeddings + 2 * (attention + router + 4 * expert),
            active: embeddings + 2 * (attention + router + expert),
        };
        assert_eq!(config.parameters(), expected);
    }
}
