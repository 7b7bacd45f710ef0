//! Log-probabilities of given next tokens, from hidden states, a block of logits at a time: the logits of a
//! whole batch are never in memory at once. Of the softmax of all tokens, or of a distribution that the sampler shaped.

// N tokens, D hidden, V vocabulary

mod shaping;
#[cfg(test)]
mod tests;

use crate::backend::{Form, operation};
use crate::linear::products;
use crate::logits::Plan;
use burn::tensor::{Int, Tensor, activation::log_softmax};
pub use shaping::{LogitEdit, Shaping};
use std::ops::Range;

/// What a policy says of given tokens.
#[derive(Clone, Debug)]
pub struct TokenStatistics {
    /// `[N]`: `ln p(target)` in nats.
    pub logprobs: Tensor<1>,
    /// `[N]`: entropy of the next-token distribution in nats, without gradient.
    pub entropy: Tensor<1>,
}

/// `log_softmax(hidden W^T / temperature)[target]` and the entropy of that distribution. Logits are products in the dtype
/// of `hidden`, as those of [`linear`](crate::linear()); all else is in f32.
///
/// # Shapes
/// - `hidden`: `[N, D]`, `head`: `[V, D]`, `targets`: N ids below V
///
/// # Panics
/// When there is no token, or not one target per token.
pub fn token_logprobs(
    hidden: Tensor<2>,
    head: Tensor<2>,
    targets: &[u32],
    temperature: f64,
) -> TokenStatistics {
    of_targets(hidden, head, targets, None, temperature)
}

/// `ln p(target)` in nats, and the entropy, of the softmax of `hidden W^T`, changed as `shaping` says, then divided by the
/// temperature, over the tokens that are kept.
///
/// # Shapes
/// - `hidden`: `[N, D]`, `head`: `[V, D]`, `targets`: N ids below V, `shaping`: N rows of ids, of which those from V on count
///   for nothing
///
/// # Panics
/// When there is no token, not one target and row per token, or a target is not among what its row keeps.
pub fn shaped_logprobs(
    hidden: Tensor<2>,
    head: Tensor<2>,
    targets: &[u32],
    shaping: &Shaping,
    temperature: f64,
) -> TokenStatistics {
    assert_eq!(targets.len(), shaping.len(), "one row a token");
    let [vocabulary, _] = head.dims();
    for (row, target) in targets.iter().enumerate() {
        let is_kept = shaping.kept_of(row, &(0..vocabulary)).is_none_or(|kept| kept.contains(target));
        assert!(is_kept, "token {row}: its target {target} is not among what was kept");
    }
    of_targets(hidden, head, targets, Some(shaping), temperature)
}

fn of_targets(
    hidden: Tensor<2>,
    head: Tensor<2>,
    targets: &[u32],
    shaping: Option<&Shaping>,
    temperature: f64,
) -> TokenStatistics {
    assert!(!targets.is_empty() && targets.len() == hidden.dims()[0], "one target a token, at least one");
    let plan = Plan::blocks(temperature);
    let operation = TargetLogprobs { targets: targets.to_vec(), shaping: shaping.cloned(), plan };
    match operation.own_form_of_products(&hidden) {
        Form::Reference => {
            let plan = Plan::rows(temperature, head.dims()[0]);
            TargetLogprobs { plan, ..operation }.reference(hidden, head)
        }
        Form::Fused => operation.statistics(hidden, head),
    }
}

/// The operation of [`token_logprobs`] and [`shaped_logprobs`]; besides them it gives, without gradient, the entropy and
/// the log-sum of what is kept of each.
#[derive(Clone, Debug)]
pub(crate) struct TargetLogprobs {
    pub(crate) targets: Vec<u32>,
    /// None where all tokens are kept as they are.
    pub(crate) shaping: Option<Shaping>,
    pub(crate) plan: Plan,
}

operation!(TargetLogprobs(hidden: Tensor<2>, head: Tensor<2>) -> (logprobs: Tensor<1>, besides: Tensor<2>));

impl TargetLogprobs {
    /// Of some ids of a token's row, the changes of their logits, and which are kept; None for all.
    pub(crate) fn shape_of(&self, token: usize, ids: &Range<usize>) -> (&[LogitEdit], Option<&[u32]>) {
        match &self.shaping {
            Some(shaping) => (shaping.edits_of(token, ids), shaping.kept_of(token, ids)),
            None => (&[], None),
        }
    }

    fn statistics(self, hidden: Tensor<2>, head: Tensor<2>) -> TokenStatistics {
        let tokens = self.targets.len();
        let (logprobs, besides) = self.fused(hidden, head);
        TokenStatistics { logprobs, entropy: besides.narrow(1, 0, 1).reshape([tokens]) }
    }

    pub(crate) fn reference(&self, hidden: Tensor<2>, head: Tensor<2>) -> TokenStatistics {
        let Plan { temperature, tokens_at_once, .. } = self.plan;
        let [tokens, _] = hidden.dims();
        let targets: Vec<i32> = self.targets.iter().map(|&target| target as i32).collect();
        let targets = Tensor::<1, Int>::from_ints(targets.as_slice(), &hidden.device());
        let (hidden, head) = products(hidden, head);
        let head = head.transpose(); // [D, V]
        let (mut logprobs, mut entropy) = (Vec::new(), Vec::new());
        for start in (0..tokens).step_by(tokens_at_once) {
            let length = tokens_at_once.min(tokens - start);
            let mut logits =
                hidden.clone().narrow(0, start, length).matmul(head.clone()).div_scalar(temperature);
            if let Some(shaping) = &self.shaping {
                logits = shaping.applied(logits, start..start + length, temperature as f32);
            }
            let all = log_softmax(logits, 1); // [n, V]
            let chosen = targets.clone().narrow(0, start, length).unsqueeze_dim(1);
            logprobs.push(all.clone().gather(1, chosen).reshape([length]));
            let all = all.detach();
            entropy.push((all.clone().exp() * all).sum_dim(1).neg().reshape([length]));
        }
        TokenStatistics { logprobs: Tensor::cat(logprobs, 0), entropy: Tensor::cat(entropy, 0) }
    }
}
