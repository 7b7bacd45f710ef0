//! Log-probabilities of candidates as a node of the graph: it keeps the hidden states and two numbers a token.

use super::flex;
use crate::graph::differentiated;
use crate::logprobs::Plan;
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
pub(crate) trait CandidateOps: Backend {
    /// `hidden` `[N, D]`, `head` `[V, D]` -> log-probabilities `[N, K + 1]`, and log-sums `[N, 2]`, without gradient.
    fn candidate_logprobs(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        candidates: Vec<u32>,
        plan: Plan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The gradients of `hidden` and `head` from that of the log-probabilities.
    fn candidate_logprobs_backward(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        candidates: Vec<u32>,
        log_sums: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        plan: Plan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl CandidateOps for Flex {
    fn candidate_logprobs(
        hidden: FlexTensor,
        head: FlexTensor,
        candidates: Vec<u32>,
        plan: Plan,
    ) -> (FlexTensor, FlexTensor) {
        flex::forward(&hidden, &head, &candidates, plan)
    }

    fn candidate_logprobs_backward(
        hidden: FlexTensor,
        head: FlexTensor,
        candidates: Vec<u32>,
        log_sums: FlexTensor,
        upstream: FlexTensor,
        plan: Plan,
    ) -> (FlexTensor, FlexTensor) {
        flex::backward(&hidden, &head, &candidates, &log_sums, &upstream, plan)
    }
}

#[derive(Debug)]
struct CandidateLogprobs;

/// What the backward needs.
#[derive(Clone, Debug)]
struct Kept<F> {
    hidden: F,
    head: F,
    candidates: Vec<u32>,
    log_sums: F,
    plan: Plan,
}

impl<B: CandidateOps> Backward<B, 2> for CandidateLogprobs {
    type State = Kept<B::FloatTensorPrimitive>;

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        differentiated::<B, _, _>(ops, gradients, |kept, upstream| {
            let Kept { hidden, head, candidates, log_sums, plan } = kept;
            B::candidate_logprobs_backward(hidden, head, candidates, log_sums, upstream, plan).into()
        });
    }
}

impl<B: CandidateOps, C: CheckpointStrategy> CandidateOps for Autodiff<B, C> {
    fn candidate_logprobs(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        candidates: Vec<u32>,
        plan: Plan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [hidden.node(), head.node()];
        let (hidden, head) = (hidden.into_primitive(), head.into_primitive());
        let (logprobs, log_sums) =
            B::candidate_logprobs(hidden.clone(), head.clone(), candidates.clone(), plan);
        let logprobs = match CandidateLogprobs.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let log_sums = log_sums.clone();
                prepared.finish(Kept { hidden, head, candidates, log_sums, plan }, logprobs)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(logprobs),
        };
        (logprobs, Self::from_inner(log_sums))
    }

    fn candidate_logprobs_backward(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Vec<u32>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Plan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("gradients of gradients are never asked for")
    }
}

/// The fused form on tensors.
pub(super) fn fused(hidden: Tensor<2>, head: Tensor<2>, candidates: &[u32], plan: Plan) -> Tensor<2> {
    let (logprobs, _) =
        Dispatch::candidate_logprobs(hidden.into_dispatch(), head.into_dispatch(), candidates.to_vec(), plan);
    Tensor::from_dispatch(logprobs)
}
