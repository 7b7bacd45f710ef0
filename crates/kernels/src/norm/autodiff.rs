//! RMS normalisation as a node of the graph: what the backward needs is kept, and both directions are the backend's.

use super::flex;
use crate::autodiff_node::differentiated;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

/// The fused operation, of backends that have one.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait NormOps: Backend {
    /// `x` `[N, D]`, `gamma` `[D]` -> `[N, D]`
    fn rms_norm(x: FloatTensor<Self>, gamma: FloatTensor<Self>, eps: f64) -> FloatTensor<Self>;

    /// The gradients of `x` and `gamma` from that of the result.
    fn rms_norm_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        eps: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl NormOps for Flex {
    fn rms_norm(x: FlexTensor, gamma: FlexTensor, eps: f64) -> FlexTensor {
        flex::forward(&x, &gamma, eps)
    }

    fn rms_norm_backward(
        x: FlexTensor,
        gamma: FlexTensor,
        upstream: FlexTensor,
        eps: f64,
    ) -> (FlexTensor, FlexTensor) {
        flex::backward(&x, &gamma, upstream, eps)
    }
}

#[derive(Debug)]
struct RmsNorm;

impl<B: NormOps> Backward<B, 2> for RmsNorm {
    type State = (B::FloatTensorPrimitive, B::FloatTensorPrimitive, f64);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        differentiated::<B, _, _>(ops, gradients, |(x, gamma, eps), upstream| {
            B::rms_norm_backward(x, gamma, upstream, eps).into()
        });
    }
}

impl<B: NormOps, C: CheckpointStrategy> NormOps for Autodiff<B, C> {
    fn rms_norm(x: FloatTensor<Self>, gamma: FloatTensor<Self>, eps: f64) -> FloatTensor<Self> {
        match RmsNorm.prepare::<C>([x.node(), gamma.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let state = (x.primitive().clone(), gamma.primitive().clone(), eps);
                prepared.finish(state, B::rms_norm(x.into_primitive(), gamma.into_primitive(), eps))
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(B::rms_norm(x.into_primitive(), gamma.into_primitive(), eps))
            }
        }
    }

    fn rms_norm_backward(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("gradients of gradients are never asked for")
    }
}

/// The fused form on tensors.
pub(super) fn fused(x: Tensor<2>, gamma: Tensor<1>, eps: f64) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::rms_norm(x.into_dispatch(), gamma.into_dispatch(), eps))
}
