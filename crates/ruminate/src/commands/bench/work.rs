//! What a bench had to compute and to move at the least, by formula, so that a time can be held against the machine's
//! ceiling. A program that computes more than that has a lower share, one that finds a shortcut a higher one.
//!
//! A product with a matrix of n parameters is 2 n operations a token forward and 4 n backward; together the 6 N a token
//! of Kaplan et al. (arXiv 2001.08361), N being the parameters that a token is multiplied with: no embedding table,
//! the chosen experts only. Attention is counted beside them, from the pairs that a causal mask leaves. Norms, gates,
//! rotations and the softmax are left out. What is moved are weights and the cache; activations are left out.

// N parameters of products, P prompt tokens, T tokens of a sequence

use ruminate_model::{Attention, Config, Parameters};
use ruminate_rollout::Dtype;
use ruminate_train::{self as train, ParameterKind};
use std::ops::{Add, Mul};

/// Bytes of an f32.
const FLOAT: f64 = 4.0;

/// Operations, and bytes moved between memory and cores.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Work {
    pub(super) flop: f64,
    pub(super) bytes: f64,
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { flop: self.flop + other.flop, bytes: self.bytes + other.bytes }
    }
}

impl Mul<f64> for Work {
    type Output = Self;

    fn mul(self, times: f64) -> Self {
        Self { flop: self.flop * times, bytes: self.bytes * times }
    }
}

impl std::iter::Sum for Work {
    fn sum<I: Iterator<Item = Self>>(works: I) -> Self {
        works.fold(Self::default(), Add::add)
    }
}

/// A decoder's sizes, as far as they decide its work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    /// Bytes of a weight.
    weight: f64,
    /// Numbers that an update reads and writes, of all parameters.
    updated: f64,
    /// Parameters of the blocks that a token is multiplied with.
    blocks: f64,
    /// Parameters of the output head.
    head: f64,
    /// Parameters of one expert in all layers that have experts; 0 without a mixture.
    expert: f64,
    experts: usize,
    experts_per_token: usize,
    /// Operations of attention a pair of places, all layers: of whole sequences, and of a token over the cache.
    pair: f64,
    cached_pair: f64,
    /// Numbers that the cache keeps a token, all layers.
    cached: f64,
}

impl Costs {
    pub(super) fn of(config: &Config) -> Self {
        let Parameters { all, active } = config.parameters();
        let head = config.vocab_size * config.hidden_size;
        let tables = if config.tie_word_embeddings { head } else { 2 * head };
        let layers = config.num_hidden_layers as f64;
        let (pair, cached_pair, cached) = match config.attention {
            Attention::Gqa(gqa) => {
                let pair = 4 * gqa.num_attention_heads * gqa.head_dim;
                (pair, pair, 2 * gqa.num_key_value_heads * gqa.head_dim)
            }
            Attention::Mla(mla) => {
                let (key, kept) = (mla.qk_nope_head_dim + mla.qk_rope_head_dim, mla.kv_lora_rank);
                let pair = 2 * mla.num_attention_heads * (key + mla.v_head_dim);
                // Absorbed: queries meet the latent itself, which is key and value.
                let latent = 2 * mla.num_attention_heads * (2 * kept + mla.qk_rope_head_dim);
                (pair, latent, kept + mla.qk_rope_head_dim)
            }
        };
        let moe = config.moe;
        let expert = moe.map_or(0, |moe| 3 * config.hidden_size * moe.moe_intermediate_size);
        // The one that a bench trains with.
        let optimizer = train::Config::default().new_optimizer();
        // Parameter, gradient and state are read, and all but the gradient are written.
        let updated = |kind, count| (3 + 2 * optimizer.buffers(kind).len()) * count;
        Self {
            weight: FLOAT,
            updated: (updated(ParameterKind::Matrix, all - tables)
                + updated(ParameterKind::Vocabulary, tables)) as f64,
            blocks: (active - tables) as f64,
            head: head as f64,
            expert: (expert * config.moe_layers()) as f64,
            experts: moe.map_or(0, |moe| moe.n_routed_experts),
            experts_per_token: moe.map_or(0, |moe| moe.num_experts_per_tok),
            pair: pair as f64 * layers,
            cached_pair: cached_pair as f64 * layers,
            cached: cached as f64 * layers,
        }
    }

    /// With weights as they are held while sampling; the scales of integers are left out.
    pub(super) fn sampling(self, dtype: Dtype) -> Self {
        let weight = match dtype {
            Dtype::Float32 => FLOAT,
            Dtype::Bfloat16 => 2.0,
            Dtype::Int8 => 1.0,
        };
        Self { weight, ..self }
    }

    /// One pass forward over whole sequences of so many tokens, of which so many get logits.
    pub(super) fn forward(&self, sequences: &[(usize, usize)]) -> Work {
        let tokens = sequences.iter().map(|&(length, _)| length).sum();
        let flop = sequences.iter().map(|&(length, with_logits)| {
            let pairs = (length * (length + 1) / 2) as f64;
            2.0 * (self.blocks * length as f64 + self.head * with_logits as f64) + self.pair * pairs
        });
        Work { flop: flop.sum(), bytes: self.weights(tokens) }
    }

    /// The same for groups of completions whose prompt is computed once.
    ///
    /// `groups`: tokens of the prompt, and of each completion, all of which get logits
    pub(super) fn forward_groups(&self, groups: &[(usize, Vec<usize>)]) -> Work {
        let sequences: Vec<(usize, usize)> = groups
            .iter()
            .flat_map(|(prompt, completions)| completions.iter().map(move |&new| (prompt + new, new)))
            .collect();
        let repeated: Vec<(usize, usize)> = groups
            .iter()
            .flat_map(|&(prompt, ref completions)| completions.iter().skip(1).map(move |_| (prompt, 0)))
            .collect();
        let Work { flop, bytes } = self.forward(&sequences);
        Work { flop: flop - self.forward(&repeated).flop, bytes }
    }

    /// Decoding `new` tokens each after prompts, all sequences at once. The first token comes with the prompt and the
    /// last is never fed.
    ///
    /// `sequences`: tokens of the prompt and new ones
    pub(super) fn decode(&self, sequences: &[(usize, usize)]) -> Work {
        let longest = sequences.iter().map(|&(_, new)| new).max().unwrap_or(0);
        (1..longest).map(|fed| self.decode_step(sequences, fed)).sum()
    }

    /// The step that feeds the token number `fed` (from 1) to all sequences that still go on.
    fn decode_step(&self, sequences: &[(usize, usize)], fed: usize) -> Work {
        let going = sequences.iter().filter(|&&(_, new)| fed < new);
        let (slots, seen) =
            going.fold((0_usize, 0), |(slots, seen), &(prompt, _)| (slots + 1, seen + prompt + fed));
        let seen = seen as f64;
        Work {
            flop: 2.0 * (self.blocks + self.head) * slots as f64 + self.cached_pair * seen,
            bytes: self.weights(slots) + FLOAT * self.cached * seen,
        }
    }

    /// One optimizer step.
    pub(super) fn optimizer(&self) -> Work {
        Work { flop: 0.0, bytes: FLOAT * self.updated }
    }

    /// Bytes of all weights that so many tokens at once meet: more tokens meet more experts.
    fn weights(&self, tokens: usize) -> f64 {
        let met = (tokens * self.experts_per_token)
            .clamp(self.experts_per_token, self.experts.max(self.experts_per_token));
        self.weight * (self.blocks + self.head + self.expert * (met - self.experts_per_token) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::{Costs, Work};
    use ruminate_model::Config;
    use serde_json::json;

    fn costs(keys: serde_json::Value) -> Costs {
        let mut json = json!({
            "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
            "head_dim": 4, "intermediate_size": 8, "vocab_size": 10, "eos_token_id": 1,
        });
        json.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
        Costs::of(&Config::from_json(&json).expect("a configuration"))
    }

    /// Two layers of attention (queries and outputs 64 each, keys and values 32 each) and three matrices of 64.
    const BLOCKS: f64 = 2.0 * (192.0 + 192.0);

    #[test]
    fn a_token_costs_two_operations_a_parameter_and_attention_what_the_mask_leaves() {
        for tied in [true, false] {
            let costs = costs(json!({"model_type": "llama", "tie_word_embeddings": tied}));
            let Work { flop, bytes } = costs.forward(&[(3, 2)]);
            let pairs = 6.0 * 2.0 * 4.0 * 8.0; // pairs, layers, operations, heads * width
            assert_eq!(flop, 3.0 * 2.0 * BLOCKS + 2.0 * 2.0 * 80.0 + pairs, "tied: {tied}");
            assert_eq!(bytes, 4.0 * (BLOCKS + 80.0));
        }
    }

    #[test]
    fn decoding_token_by_token_multiplies_as_much_as_the_sequence_at_once() {
        let costs = costs(json!({"model_type": "llama"}));
        let whole = costs.forward(&[(7, 5)]); // prompt of 3, of 5 new tokens the last is not fed
        let parts = costs.forward(&[(3, 1)]) + costs.decode(&[(3, 5)]);
        assert_eq!(whole.flop, parts.flop);
        assert_eq!(parts.bytes, 5.0 * 4.0 * (BLOCKS + 80.0) + 4.0 * 2.0 * 8.0 * f64::from(4 + 5 + 6 + 7));
    }

    #[test]
    fn a_prompt_that_a_group_shares_costs_once() {
        let costs = costs(json!({"model_type": "llama"}));
        let alone = costs.forward(&[(7, 4)]).flop;
        assert_eq!(costs.forward_groups(&[(3, vec![4])]).flop, alone);
        let prompt = costs.forward(&[(3, 0)]).flop;
        assert_eq!(costs.forward_groups(&[(3, vec![4, 4])]).flop, 2.0 * alone - prompt);
    }

    #[test]
    fn a_finished_sequence_costs_nothing_more() {
        let costs = costs(json!({"model_type": "llama"}));
        let both = costs.decode(&[(3, 5), (2, 1)]);
        assert_eq!(both, costs.decode(&[(3, 5)]));
    }

    #[test]
    fn more_tokens_meet_more_experts_but_each_computes_with_its_own() {
        let costs = costs(json!({
            "model_type": "qwen3_moe", "num_experts": 4, "num_experts_per_tok": 1, "moe_intermediate_size": 6,
        }));
        let expert = 2.0 * 4.0 * 3.0 * 48.0; // layers, bytes, matrices
        let bytes = |tokens| costs.weights(tokens);
        assert_eq!(bytes(2) - bytes(1), expert);
        assert_eq!(bytes(100) - bytes(1), 3.0 * expert);
        assert_eq!(costs.forward(&[(1, 1); 2]).flop, 2.0 * costs.forward(&[(1, 1)]).flop);
    }
}
