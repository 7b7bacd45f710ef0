//! The expert layer as a node of the graph: inputs and pre-activations are kept, and both directions are the backend's.

use super::{ExpertWeights, Permutation, flex};
use crate::autodiff_node::differentiated;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;
use std::sync::Arc;

/// The fused operation, of backends that have one.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait ExpertOps: Backend {
    /// `x` `[N, D]`, `gate_up` `[E, 2 F, D]`, `down` `[E, D, F]`, `route_weights` `[N, K]` -> `[N, D]`
    fn experts(
        x: FloatTensor<Self>,
        gate_up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        route_weights: FloatTensor<Self>,
        permutation: Arc<Permutation>,
    ) -> FloatTensor<Self>;

    /// The same, and what the backward needs beside the inputs: `[N * K, 2 F]`, gate and up of every place.
    fn experts_tracked(
        x: FloatTensor<Self>,
        gate_up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        route_weights: FloatTensor<Self>,
        permutation: Arc<Permutation>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The gradients of `x`, `gate_up`, `down` and `route_weights` from that of the result.
    #[allow(clippy::type_complexity, reason = "the derive sees tuples only; one gradient an input")]
    fn experts_backward(
        x: FloatTensor<Self>,
        gate_up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        route_weights: FloatTensor<Self>,
        gates_and_ups: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        permutation: Arc<Permutation>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl ExpertOps for Flex {
    fn experts(
        x: FlexTensor,
        gate_up: FlexTensor,
        down: FlexTensor,
        route_weights: FlexTensor,
        permutation: Arc<Permutation>,
    ) -> FlexTensor {
        flex::forward(&x, &gate_up, &down, &route_weights, &permutation)
    }

    fn experts_tracked(
        x: FlexTensor,
        gate_up: FlexTensor,
        down: FlexTensor,
        route_weights: FlexTensor,
        permutation: Arc<Permutation>,
    ) -> (FlexTensor, FlexTensor) {
        flex::forward_tracked(&x, &gate_up, &down, &route_weights, &permutation)
    }

    fn experts_backward(
        x: FlexTensor,
        gate_up: FlexTensor,
        down: FlexTensor,
        route_weights: FlexTensor,
        gates_and_ups: FlexTensor,
        upstream: FlexTensor,
        permutation: Arc<Permutation>,
    ) -> (FlexTensor, FlexTensor, FlexTensor, FlexTensor) {
        flex::backward(&x, &gate_up, &down, &route_weights, &gates_and_ups, &upstream, &permutation)
    }
}

#[derive(Debug)]
struct Experts;

/// The inputs, the pre-activations, and who went where.
#[derive(Clone, Debug)]
struct Kept<T> {
    inputs: [T; 4],
    gates_and_ups: T,
    permutation: Arc<Permutation>,
}

impl<B: ExpertOps> Backward<B, 4> for Experts {
    type State = Kept<B::FloatTensorPrimitive>;

    fn backward(self, ops: Ops<Self::State, 4>, gradients: &mut Gradients, _: &mut Checkpointer) {
        differentiated::<B, _, _>(ops, gradients, |kept, upstream| {
            let Kept { inputs: [x, gate_up, down, route], gates_and_ups, permutation } = kept;
            B::experts_backward(x, gate_up, down, route, gates_and_ups, upstream, permutation).into()
        });
    }
}

impl<B: ExpertOps, C: CheckpointStrategy> ExpertOps for Autodiff<B, C> {
    fn experts(
        x: FloatTensor<Self>,
        gate_up: FloatTensor<Self>,
        down: FloatTensor<Self>,
        route_weights: FloatTensor<Self>,
        permutation: Arc<Permutation>,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), gate_up.node(), down.node(), route_weights.node()];
        let inputs = [x, gate_up, down, route_weights].map(FloatTensor::<Self>::into_primitive);
        let [x, gate_up, down, route] = inputs.clone();
        match Experts.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let (out, gates_and_ups) =
                    B::experts_tracked(x, gate_up, down, route, Arc::clone(&permutation));
                prepared.finish(Kept { inputs, gates_and_ups, permutation }, out)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::experts(x, gate_up, down, route, permutation)),
        }
    }

    fn experts_tracked(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Arc<Permutation>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("called by the forward above, on the backend below")
    }

    fn experts_backward(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Arc<Permutation>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("gradients of gradients are never asked for")
    }
}

/// The fused form on tensors.
pub(super) fn fused(
    x: Tensor<2>,
    weights: ExpertWeights,
    permutation: Permutation,
    route_weights: Tensor<2>,
) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::experts(
        x.into_dispatch(),
        weights.gate_up.into_dispatch(),
        weights.down.into_dispatch(),
        route_weights.into_dispatch(),
        Arc::new(permutation),
    ))
}
