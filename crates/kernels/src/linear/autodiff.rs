//! The linear map as a node of the graph. Its gradients come out row-major, ready for the optimizer: autodiff's own
//! product would give the transpose of a transposed weight's gradient, to be copied into place.

use crate::cpu::{Floats, Matrix, Threads, product_of, tensor, times_transposed_of};
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
pub(crate) trait LinearOps: Backend {
    /// `x` `[N, D]`, `weight` `[O, D]` -> `x W^T` `[N, O]`
    fn linear_map(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The gradient of `x` from that of the result: `upstream W`.
    fn linear_backward_x(upstream: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The gradient of the weight from that of the result: `upstream^T x`.
    fn linear_backward_weight(upstream: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl LinearOps for Flex {
    fn linear_map(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
        let [rows, input] = dims(&x);
        let [output, _] = dims(&weight);
        let (x, weight) = (Floats::of(&x), Floats::of(&weight));
        let out = times_transposed_of(x.slice(), weight.slice(), [rows, input, output], Threads::Pool);
        tensor(out, [rows, output])
    }

    fn linear_backward_x(upstream: FlexTensor, weight: FlexTensor) -> FlexTensor {
        let [rows, output] = dims(&upstream);
        let [_, input] = dims(&weight);
        let (upstream, weight) = (Floats::of(&upstream), Floats::of(&weight));
        let upstream = Matrix::new(upstream.slice(), rows, output);
        let weight = Matrix::new(weight.slice(), output, input);
        tensor(product_of(upstream, weight, Threads::Pool), [rows, input])
    }

    fn linear_backward_weight(upstream: FlexTensor, x: FlexTensor) -> FlexTensor {
        let [rows, output] = dims(&upstream);
        let [_, input] = dims(&x);
        let (upstream, x) = (Floats::of(&upstream), Floats::of(&x));
        let upstream = Matrix::new(upstream.slice(), rows, output);
        let x = Matrix::new(x.slice(), rows, input);
        tensor(product_of(upstream.transposed(), x, Threads::Pool), [output, input])
    }
}

fn dims(tensor: &FlexTensor) -> [usize; 2] {
    let shape = tensor.layout().shape();
    [shape[0], shape[1]]
}

#[derive(Debug)]
struct Linear;

impl<B: LinearOps> Backward<B, 2> for Linear {
    /// `x` where the weight wants a gradient, the weight where `x` does.
    type State = (Option<B::FloatTensorPrimitive>, Option<B::FloatTensorPrimitive>);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let upstream = gradients.consume::<B>(&ops.node);
        let [x_node, weight_node] = ops.parents;
        let (x, weight) = ops.state;
        if let (Some(node), Some(weight)) = (x_node, weight) {
            gradients.register::<B>(node.id, B::linear_backward_x(upstream.clone(), weight));
        }
        if let (Some(node), Some(x)) = (weight_node, x) {
            gradients.register::<B>(node.id, B::linear_backward_weight(upstream, x));
        }
    }
}

impl<B: LinearOps, C: CheckpointStrategy> LinearOps for Autodiff<B, C> {
    fn linear_map(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        match Linear.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let state = (
                    weight.is_tracked().then(|| x.primitive().clone()),
                    x.is_tracked().then(|| weight.primitive().clone()),
                );
                prepared.finish(state, B::linear_map(x.into_primitive(), weight.into_primitive()))
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(B::linear_map(x.into_primitive(), weight.into_primitive()))
            }
        }
    }

    fn linear_backward_x(_: FloatTensor<Self>, _: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("gradients of gradients are never asked for")
    }

    fn linear_backward_weight(_: FloatTensor<Self>, _: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("gradients of gradients are never asked for")
    }
}

/// The fused form on tensors.
pub(super) fn fused(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::linear_map(x.into_dispatch(), weight.into_dispatch()))
}
