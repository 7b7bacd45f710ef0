//! Scores and weights of the router as nodes of the graph.

use super::{Normalisation, Scoring, flex};
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

/// The fused operations, of backends that have them.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait RouterOps: Backend {
    /// `x` `[N, D]`, `weight` `[E, D]` -> `[N, E]`
    fn router_scores(x: FloatTensor<Self>, weight: FloatTensor<Self>, scoring: Scoring) -> FloatTensor<Self>;

    /// The gradients of `x` and `weight` from the scores and their gradient.
    fn router_scores_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scores: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        scoring: Scoring,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// `scores` `[N, E]`, N * K expert ids -> `[N, K]`
    fn route_weights(
        scores: FloatTensor<Self>,
        experts: Arc<[u16]>,
        normalisation: Normalisation,
        factor: f64,
    ) -> FloatTensor<Self>;

    /// The gradient of `scores` from that of the result.
    fn route_weights_backward(
        scores: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        experts: Arc<[u16]>,
        normalisation: Normalisation,
        factor: f64,
    ) -> FloatTensor<Self>;
}

impl RouterOps for Flex {
    fn router_scores(x: FlexTensor, weight: FlexTensor, scoring: Scoring) -> FlexTensor {
        flex::scores(&x, &weight, scoring)
    }

    fn router_scores_backward(
        x: FlexTensor,
        weight: FlexTensor,
        scores: FlexTensor,
        upstream: FlexTensor,
        scoring: Scoring,
    ) -> (FlexTensor, FlexTensor) {
        flex::scores_backward(&x, &weight, &scores, &upstream, scoring)
    }

    fn route_weights(
        scores: FlexTensor,
        experts: Arc<[u16]>,
        normalisation: Normalisation,
        factor: f64,
    ) -> FlexTensor {
        flex::weights(&scores, &experts, normalisation, factor)
    }

    fn route_weights_backward(
        scores: FlexTensor,
        upstream: FlexTensor,
        experts: Arc<[u16]>,
        normalisation: Normalisation,
        factor: f64,
    ) -> FlexTensor {
        flex::weights_backward(&scores, &upstream, &experts, normalisation, factor)
    }
}

#[derive(Debug)]
struct RouterScores;

impl<B: RouterOps> Backward<B, 2> for RouterScores {
    /// Input, weight, scores.
    type State = ([B::FloatTensorPrimitive; 3], Scoring);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        differentiated::<B, _, _>(ops, gradients, |([x, weight, scores], scoring), upstream| {
            B::router_scores_backward(x, weight, scores, upstream, scoring).into()
        });
    }
}

#[derive(Debug)]
struct RouteWeights;

impl<B: RouterOps> Backward<B, 1> for RouteWeights {
    type State = (B::FloatTensorPrimitive, Arc<[u16]>, Normalisation, f64);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        differentiated::<B, _, _>(ops, gradients, |(scores, experts, normalisation, factor), upstream| {
            [B::route_weights_backward(scores, upstream, experts, normalisation, factor)]
        });
    }
}

impl<B: RouterOps, C: CheckpointStrategy> RouterOps for Autodiff<B, C> {
    fn router_scores(x: FloatTensor<Self>, weight: FloatTensor<Self>, scoring: Scoring) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node()];
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        match RouterScores.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let scores = B::router_scores(x.clone(), weight.clone(), scoring);
                prepared.finish(([x, weight, scores.clone()], scoring), scores)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::router_scores(x, weight, scoring)),
        }
    }

    fn router_scores_backward(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Scoring,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("gradients of gradients are never asked for")
    }

    fn route_weights(
        scores: FloatTensor<Self>,
        experts: Arc<[u16]>,
        normalisation: Normalisation,
        factor: f64,
    ) -> FloatTensor<Self> {
        let nodes = [scores.node()];
        let scores = scores.into_primitive();
        let out = B::route_weights(scores.clone(), Arc::clone(&experts), normalisation, factor);
        match RouteWeights.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((scores, experts, normalisation, factor), out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }

    fn route_weights_backward(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Arc<[u16]>,
        _: Normalisation,
        _: f64,
    ) -> FloatTensor<Self> {
        unreachable!("gradients of gradients are never asked for")
    }
}

/// The fused scores on tensors.
pub(super) fn fused_scores(x: Tensor<2>, weight: Tensor<2>, scoring: Scoring) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::router_scores(x.into_dispatch(), weight.into_dispatch(), scoring))
}

/// The fused weights on tensors.
pub(super) fn fused_weights(
    scores: Tensor<2>,
    experts: &[u16],
    normalisation: Normalisation,
    factor: f64,
) -> Tensor<2> {
    let scores = scores.into_dispatch();
    Tensor::from_dispatch(Dispatch::route_weights(scores, Arc::from(experts), normalisation, factor))
}
