//! Log-probabilities of given next tokens, from hidden states, a chunk of tokens at a time: the logits of a
//! whole batch are never in memory at once.

use burn::tensor::{Int, Tensor, activation::log_softmax};

/// What a policy says of given tokens.
#[derive(Clone, Debug)]
pub struct TokenStatistics {
    /// `[N]`: `ln p(target)` in nats.
    pub logprobs: Tensor<1>,
    /// `[N]`: entropy of the next-token distribution in nats, without gradient.
    pub entropy: Tensor<1>,
}

/// `log_softmax(hidden W^T / temperature)[target]` and the entropy of that distribution.
///
/// # Shapes
/// - `hidden`: `[N, D]`, `head`: `[V, D]`, `targets`: `[N]`
pub fn token_logprobs(
    hidden: Tensor<2>,
    head: Tensor<2>,
    targets: Tensor<1, Int>,
    temperature: f64,
    chunk_tokens: usize,
) -> TokenStatistics {
    let [tokens, _] = hidden.dims();
    let head = head.transpose(); // [D, V]
    let (mut logprobs, mut entropy) = (Vec::new(), Vec::new());
    let mut start = 0;
    while start < tokens {
        let length = chunk_tokens.max(1).min(tokens - start);
        let logits = hidden.clone().narrow(0, start, length).matmul(head.clone()).div_scalar(temperature);
        let all = log_softmax(logits, 1); // [n, V]
        let chosen = targets.clone().narrow(0, start, length).unsqueeze_dim(1);
        logprobs.push(all.clone().gather(1, chosen).reshape([length]));
        let all = all.detach();
        entropy.push((all.clone().exp() * all).sum_dim(1).neg().reshape([length]));
        start += length;
    }
    TokenStatistics { logprobs: Tensor::cat(logprobs, 0), entropy: Tensor::cat(entropy, 0) }
}
