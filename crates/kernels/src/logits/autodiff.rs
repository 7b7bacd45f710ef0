//! An operation on logits as a node of the graph: it keeps the hidden states and two numbers a token.

use super::{Blocks, Learning, Plan};
use crate::autodiff_node::differentiated;
use crate::{candidates, logprobs};
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

/// Which operation, with its ids.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// [`logprobs`]: an id a token.
    Targets(Vec<u32>),
    /// [`candidates`]: K ids a token.
    Candidates(Vec<u32>),
}

/// The fused operations, of backends that have them.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait LogitOps: Backend {
    /// `hidden` `[N, D]`, `head` `[V, D]` -> log-probabilities, `[N]` of targets and `[N, K + 1]` of candidates, and
    /// `[N, 2]` numbers besides, without gradient.
    fn logit_operation(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        asked: Asked,
        plan: Plan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The gradients of `hidden` and `head` from that of the log-probabilities; of a frozen head, one without rows.
    fn logit_operation_backward(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        asked: Asked,
        besides: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        plan: Plan,
        learning: Learning,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl LogitOps for Flex {
    fn logit_operation(
        hidden: FlexTensor,
        head: FlexTensor,
        asked: Asked,
        plan: Plan,
    ) -> (FlexTensor, FlexTensor) {
        let blocks = Blocks::new(&hidden, &head, plan);
        match asked {
            Asked::Targets(ids) => logprobs::flex::forward(&blocks, &ids),
            Asked::Candidates(ids) => candidates::flex::forward(&blocks, &ids),
        }
    }

    fn logit_operation_backward(
        hidden: FlexTensor,
        head: FlexTensor,
        asked: Asked,
        besides: FlexTensor,
        upstream: FlexTensor,
        plan: Plan,
        learning: Learning,
    ) -> (FlexTensor, FlexTensor) {
        let blocks = Blocks::new(&hidden, &head, plan).with(learning);
        match asked {
            Asked::Targets(ids) => {
                logprobs::flex::backward(&blocks, &ids, &besides, &upstream, plan.temperature)
            }
            Asked::Candidates(ids) => {
                candidates::flex::backward(&blocks, &ids, &besides, &upstream, plan.temperature)
            }
        }
    }
}

#[derive(Debug)]
struct LogitOperation;

/// What the backward needs.
#[derive(Clone, Debug)]
struct Kept<F> {
    hidden: F,
    head: F,
    asked: Asked,
    besides: F,
    plan: Plan,
}

impl<B: LogitOps> Backward<B, 2> for LogitOperation {
    type State = Kept<B::FloatTensorPrimitive>;

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let learning = if ops.parents[1].is_some() { Learning::Head } else { Learning::HiddenOnly };
        differentiated::<B, _, _>(ops, gradients, |kept, upstream| {
            let Kept { hidden, head, asked, besides, plan } = kept;
            B::logit_operation_backward(hidden, head, asked, besides, upstream, plan, learning).into()
        });
    }
}

impl<B: LogitOps, C: CheckpointStrategy> LogitOps for Autodiff<B, C> {
    fn logit_operation(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        asked: Asked,
        plan: Plan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [hidden.node(), head.node()];
        let (hidden, head) = (hidden.into_primitive(), head.into_primitive());
        let (logprobs, besides) = B::logit_operation(hidden.clone(), head.clone(), asked.clone(), plan);
        let logprobs = match LogitOperation.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let besides = besides.clone();
                prepared.finish(Kept { hidden, head, asked, besides, plan }, logprobs)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(logprobs),
        };
        (logprobs, Self::from_inner(besides))
    }

    fn logit_operation_backward(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Asked,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Plan,
        _: Learning,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("gradients of gradients are never asked for")
    }
}

/// The fused form on tensors: log-probabilities, `[N]` or `[N, K + 1]`, and what is measured besides, `[N, 2]`.
pub(crate) fn fused<const D: usize>(
    hidden: Tensor<2>,
    head: Tensor<2>,
    asked: Asked,
    plan: Plan,
) -> (Tensor<D>, Tensor<2>) {
    let (logprobs, besides) =
        Dispatch::logit_operation(hidden.into_dispatch(), head.into_dispatch(), asked, plan);
    (Tensor::from_dispatch(logprobs), Tensor::from_dispatch(besides))
}
