//! An expert's gate for one of its tokens, on the CPU.

// F expert width

use crate::backend::cpu::{dot, sigmoid, vectorized};

/// `weight silu(gate) up`, `[F]`, of `[2 F]`: gates, then ups.
pub(in crate::backend::cpu) fn gated(activation: &mut [f32], gate_up: &[f32], weight: f32) {
    vectorized!(|activation: &mut [f32], gate_up: &[f32], weight: f32| {
        let (gate, up) = gate_up.split_at(activation.len());
        for ((activation, gate), up) in activation.iter_mut().zip(gate).zip(up) {
            *activation = weight * gate * sigmoid(*gate) * up;
        }
    });
}

/// What the backward of [`gated`] needs and gives, from `pull`, the gradient of its result before the weight: the
/// gradients of gates and ups `[2 F]`, the result itself, and, returned, the gradient of the weight.
pub(super) fn gated_backward(
    d_gate_up: &mut [f32],
    activation: &mut [f32],
    gate_up: &[f32],
    pull: &[f32],
    weight: f32,
) -> f32 {
    vectorized!(|d_gate_up: &mut [f32],
                 activation: &mut [f32],
                 gate_up: &[f32],
                 pull: &[f32],
                 weight: f32|
     -> f32 {
        let inner = activation.len();
        let (gate, up) = gate_up.split_at(inner);
        let (d_gate, d_up) = d_gate_up.split_at_mut(inner);
        let (up, pull, d_gate, d_up) =
            (&up[..inner], &pull[..inner], &mut d_gate[..inner], &mut d_up[..inner]);
        for i in 0..inner {
            let open = sigmoid(gate[i]);
            let silu = gate[i] * open;
            let weighted = weight * pull[i];
            d_up[i] = weighted * silu;
            d_gate[i] = weighted * up[i] * (open + silu * (1.0 - open));
            activation[i] = silu * up[i];
        }
        let d_weight = dot(pull, activation);
        for activation in activation {
            *activation *= weight;
        }
        d_weight
    })
}
