//! Token log-probabilities as a node of the graph: it keeps the hidden states and one number a token.

use super::{Plan, TokenStatistics, flex};
use crate::graph::differentiated;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

/// The fused operation, of backends that have one.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait LogprobOps: Backend {
    /// `hidden` `[N, D]`, `head` `[V, D]` -> log-probabilities, entropies and log-sums of `e^logit`, each `[N]`; only
    /// the first has a gradient.
    fn token_logprobs(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: Vec<u32>,
        plan: Plan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// The gradients of `hidden` and `head` from that of the log-probabilities.
    fn token_logprobs_backward(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: Vec<u32>,
        log_sums: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        plan: Plan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// That of `hidden` alone, under a frozen head: its gradient would be as large as the head.
    fn token_logprobs_backward_hidden(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: Vec<u32>,
        log_sums: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        plan: Plan,
    ) -> FloatTensor<Self>;
}

impl LogprobOps for Flex {
    fn token_logprobs(
        hidden: FlexTensor,
        head: FlexTensor,
        targets: Vec<u32>,
        plan: Plan,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        flex::forward(&hidden, &head, &targets, plan)
    }

    fn token_logprobs_backward(
        hidden: FlexTensor,
        head: FlexTensor,
        targets: Vec<u32>,
        log_sums: FlexTensor,
        upstream: FlexTensor,
        plan: Plan,
    ) -> (FlexTensor, FlexTensor) {
        flex::backward(&hidden, &head, &targets, &log_sums, &upstream, plan)
    }

    fn token_logprobs_backward_hidden(
        hidden: FlexTensor,
        head: FlexTensor,
        targets: Vec<u32>,
        log_sums: FlexTensor,
        upstream: FlexTensor,
        plan: Plan,
    ) -> FlexTensor {
        flex::backward_hidden(&hidden, &head, &targets, &log_sums, &upstream, plan)
    }
}

#[derive(Debug)]
struct TokenLogprobs;

/// What the backward needs.
#[derive(Clone, Debug)]
struct Kept<F> {
    hidden: F,
    head: F,
    targets: Vec<u32>,
    log_sums: F,
    plan: Plan,
}

impl<B: LogprobOps> Backward<B, 2> for TokenLogprobs {
    type State = Kept<B::FloatTensorPrimitive>;

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        if let [Some(node), None] = &ops.parents {
            let (node, upstream) = (node.id, gradients.consume::<B>(&ops.node));
            let Kept { hidden, head, targets, log_sums, plan } = ops.state;
            let computed = B::token_logprobs_backward_hidden(hidden, head, targets, log_sums, upstream, plan);
            return gradients.register::<B>(node, computed);
        }
        differentiated::<B, _, _>(ops, gradients, |kept, upstream| {
            let Kept { hidden, head, targets, log_sums, plan } = kept;
            B::token_logprobs_backward(hidden, head, targets, log_sums, upstream, plan).into()
        });
    }
}

impl<B: LogprobOps, C: CheckpointStrategy> LogprobOps for Autodiff<B, C> {
    fn token_logprobs(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: Vec<u32>,
        plan: Plan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [hidden.node(), head.node()];
        let (hidden, head) = (hidden.into_primitive(), head.into_primitive());
        let (logprobs, entropy, log_sums) =
            B::token_logprobs(hidden.clone(), head.clone(), targets.clone(), plan);
        let logprobs = match TokenLogprobs.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let log_sums = log_sums.clone();
                prepared.finish(Kept { hidden, head, targets, log_sums, plan }, logprobs)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(logprobs),
        };
        (logprobs, Self::from_inner(entropy), Self::from_inner(log_sums))
    }

    fn token_logprobs_backward(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Vec<u32>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Plan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("gradients of gradients are never asked for")
    }

    fn token_logprobs_backward_hidden(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Vec<u32>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Plan,
    ) -> FloatTensor<Self> {
        unreachable!("gradients of gradients are never asked for")
    }
}

/// The fused form on tensors.
pub(super) fn fused(hidden: Tensor<2>, head: Tensor<2>, targets: &[u32], plan: Plan) -> TokenStatistics {
    let (logprobs, entropy, _) =
        Dispatch::token_logprobs(hidden.into_dispatch(), head.into_dispatch(), targets.to_vec(), plan);
    TokenStatistics { logprobs: Tensor::from_dispatch(logprobs), entropy: Tensor::from_dispatch(entropy) }
}
