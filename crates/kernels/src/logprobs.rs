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

#[cfg(test)]
mod tests {
    use super::token_logprobs;
    use crate::noise;
    use burn::tensor::Tensor;
    use proptest::prelude::*;
    use ruminate_testkit as testkit;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn logprobs_and_entropy_are_those_of_the_tempered_softmax(
            [tokens, width, vocabulary] in prop::array::uniform3(1_usize..8),
            temperature in 0.2_f64..3.0,
            seed in 0_u32..1000,
        ) {
            let device = testkit::device();
            let hidden = noise::tensor::<2>([tokens, width], seed, &device);
            let head = noise::tensor::<2>([vocabulary, width], seed + 1, &device).mul_scalar(3.0);
            let targets: Vec<i32> = (0..tokens).map(|t| ((t + seed as usize) % vocabulary) as i32).collect();
            let logits = testkit::floats(hidden.clone().matmul(head.clone().transpose()));
            let ids = Tensor::from_ints(targets.as_slice(), &device);
            let actual = token_logprobs(hidden, head, ids, temperature, 3);

            let (mut logprobs, mut entropy) = (Vec::new(), Vec::new());
            for (row, &target) in logits.chunks(vocabulary).zip(&targets) {
                let scaled: Vec<f64> = row.iter().map(|&logit| f64::from(logit) / temperature).collect();
                let total = scaled.iter().map(|x| x.exp()).sum::<f64>().ln();
                logprobs.push((scaled[target as usize] - total) as f32);
                entropy.push(scaled.iter().map(|x| (x - total).exp() * (total - x)).sum::<f64>() as f32);
            }
            testkit::assert_close(&testkit::floats(actual.logprobs), &logprobs, 1e-4);
            testkit::assert_close(&testkit::floats(actual.entropy), &entropy, 1e-4);
        }

        #[test]
        fn the_size_of_a_chunk_changes_neither_result_nor_gradients(
            tokens in 1_usize..9,
            chunk_tokens in 0_usize..12,
            seed in 0_u32..1000,
        ) {
            let device = testkit::autodiff_device();
            let weights = noise::tensor::<1>([tokens], seed + 2, &device);
            let run = |chunk_tokens: usize| {
                let hidden = noise::tensor::<2>([tokens, 4], seed, &device).require_grad();
                let head = noise::tensor::<2>([6, 4], seed + 1, &device).require_grad();
                let targets: Vec<i32> = (0..tokens).map(|t| (t % 6) as i32).collect();
                let ids = Tensor::from_ints(targets.as_slice(), &device);
                let said = token_logprobs(hidden.clone(), head.clone(), ids, 0.8, chunk_tokens);
                let gradients = (said.logprobs.clone() * weights.clone()).sum().backward();
                [
                    testkit::floats(said.logprobs.inner()),
                    testkit::floats(said.entropy.inner()),
                    testkit::floats(hidden.grad(&gradients).expect("tracked")),
                    testkit::floats(head.grad(&gradients).expect("tracked")),
                ]
            };
            for (chunked, whole) in run(chunk_tokens).iter().zip(&run(tokens)) {
                testkit::assert_close(chunked, whole, 1e-6);
            }
        }
    }
}
