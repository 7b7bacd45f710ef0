//! Rotary embedding as a node of the graph: nothing is kept but the angles.

use super::flex::{self, Direction};
use super::{Angles, Pairs, Table};
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
pub(crate) trait RopeOps: Backend {
    /// `x` `[B, T, H, W]` -> the same, its last columns rotated.
    fn rotate(x: FloatTensor<Self>, rotation: Rotation) -> FloatTensor<Self>;
}

/// What the operation knows besides its tensor.
#[derive(Clone, Debug)]
pub(crate) struct Rotation {
    table: Arc<Table>,
    pairs: Pairs,
    direction: Direction,
}

impl RopeOps for Flex {
    fn rotate(x: FlexTensor, rotation: Rotation) -> FlexTensor {
        flex::rotate(&x, &rotation.table, rotation.pairs, rotation.direction)
    }
}

#[derive(Debug)]
struct Rotate;

impl<B: RopeOps> Backward<B, 1> for Rotate {
    type State = Rotation;

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        differentiated::<B, _, _>(ops, gradients, |rotation, upstream| {
            [B::rotate(upstream, Rotation { direction: Direction::Backward, ..rotation })]
        });
    }
}

impl<B: RopeOps, C: CheckpointStrategy> RopeOps for Autodiff<B, C> {
    fn rotate(x: FloatTensor<Self>, rotation: Rotation) -> FloatTensor<Self> {
        match Rotate.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                prepared.finish(rotation.clone(), B::rotate(x.into_primitive(), rotation))
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::rotate(x.into_primitive(), rotation)),
        }
    }
}

/// The fused form on tensors.
pub(super) fn fused(x: Tensor<4>, angles: &Angles, pairs: Pairs) -> Tensor<4> {
    let rotation = Rotation { table: Arc::clone(&angles.table), pairs, direction: Direction::Forward };
    Tensor::from_dispatch(Dispatch::rotate(x.into_dispatch(), rotation))
}
