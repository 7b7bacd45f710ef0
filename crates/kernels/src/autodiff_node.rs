//! What the nodes of fused operations share: handing the gradients of the inputs to those inputs that want one.

use burn::backend::Backend;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::Ops;
use burn::backend::tensor::FloatTensor;

/// The backward of a node whose N gradients come from one call: `differentiate` gets what the node kept and the
/// gradient of its result, and gives the gradients of the inputs in their order.
pub(crate) fn differentiated<B: Backend, S, const N: usize>(
    ops: Ops<S, N>,
    gradients: &mut Gradients,
    differentiate: impl FnOnce(S, FloatTensor<B>) -> [FloatTensor<B>; N],
) {
    let upstream = gradients.consume::<B>(&ops.node);
    let computed = differentiate(ops.state, upstream);
    for (node, gradient) in ops.parents.into_iter().zip(computed) {
        if let Some(node) = node {
            gradients.register::<B>(node.id, gradient);
        }
    }
}
