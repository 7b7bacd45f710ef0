//! Attention as a node of the graph: the softmax's denominators are kept beside the result, and both directions are
//! the backend's.

use super::Sources;
use super::backward::Pass;
use super::forward::{self, Inputs};
use super::heads::Heads;
use super::segments::{Segments, Spans};
use crate::autodiff_node::differentiated;
use crate::cpu::Floats;
use burn::backend::TensorMetadata;
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
pub(crate) trait AttentionOps: Backend {
    /// `q` `[B, Tq, H, Dk]` over keys and values in `x` and `y` -> `[B, Tq, H, Dv]`
    fn packed_attention(
        q: FloatTensor<Self>,
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        setting: Setting,
    ) -> FloatTensor<Self>;

    /// The same, and the logarithms of the softmax's denominators `[B, T, H]`.
    fn packed_attention_with_sums(
        q: FloatTensor<Self>,
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        setting: Setting,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The gradients of `q`, `x` and `y` from that of the result.
    fn packed_attention_backward(
        q: FloatTensor<Self>,
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        log_sums: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        setting: Setting,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// What the operation knows besides its tensors.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    spans: Arc<Spans>,
    sources: Sources,
    scale: f64,
}

impl AttentionOps for Flex {
    fn packed_attention(q: FlexTensor, x: FlexTensor, y: FlexTensor, setting: Setting) -> FlexTensor {
        Self::packed_attention_with_sums(q, x, y, setting).0
    }

    fn packed_attention_with_sums(
        q: FlexTensor,
        x: FlexTensor,
        y: FlexTensor,
        setting: Setting,
    ) -> (FlexTensor, FlexTensor) {
        forward::forward(&Inputs::of(&q, &x, &y, setting.sources, setting.scale), &setting.spans)
    }

    fn packed_attention_backward(
        q: FlexTensor,
        x: FlexTensor,
        y: FlexTensor,
        log_sums: FlexTensor,
        upstream: FlexTensor,
        setting: Setting,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let Setting { spans, sources, scale } = setting;
        let inputs = Inputs::of(&q, &x, &y, sources, scale);
        let pass = Pass {
            inputs: &inputs,
            log_sums: Floats::of(&log_sums),
            upstream: Heads::of(&upstream),
            spans: &spans,
        };
        pass.gradients(sources)
    }
}

#[derive(Debug)]
struct Attention;

impl<B: AttentionOps> Backward<B, 3> for Attention {
    /// The inputs, the logarithms of the sums.
    type State = ([B::FloatTensorPrimitive; 4], Setting);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        differentiated::<B, _, _>(ops, gradients, |([q, x, y, log_sums], setting), upstream| {
            B::packed_attention_backward(q, x, y, log_sums, upstream, setting).into()
        });
    }
}

impl<B: AttentionOps, C: CheckpointStrategy> AttentionOps for Autodiff<B, C> {
    fn packed_attention(
        q: FloatTensor<Self>,
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        setting: Setting,
    ) -> FloatTensor<Self> {
        match Attention.prepare::<C>([q.node(), x.node(), y.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let [q, x, y] = [q, x, y].map(FloatTensor::<Self>::into_primitive);
                let places = |x: &B::FloatTensorPrimitive| x.shape()[1];
                assert_eq!(places(&q), places(&x), "a gradient needs the queries of all places");
                let (out, log_sums) =
                    B::packed_attention_with_sums(q.clone(), x.clone(), y.clone(), setting.clone());
                prepared.finish(([q, x, y, log_sums], setting), out)
            }
            OpsKind::UnTracked(prepared) => {
                let [q, x, y] = [q, x, y].map(FloatTensor::<Self>::into_primitive);
                prepared.finish(B::packed_attention(q, x, y, setting))
            }
        }
    }

    fn packed_attention_with_sums(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Setting,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("the sums are the node's own")
    }

    fn packed_attention_backward(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Setting,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("gradients of gradients are never asked for")
    }
}

/// The fused form on tensors.
pub(super) fn fused(
    q: Tensor<4>,
    x: Tensor<4>,
    y: Tensor<4>,
    segments: &Segments,
    sources: Sources,
    scale: f64,
) -> Tensor<4> {
    let setting = Setting { spans: segments.spans(), sources, scale };
    let [q, x, y] = [q, x, y].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::packed_attention(q, x, y, setting))
}
