//! The gate on the CPU: one pass forward, one backward that computes the sigmoid again instead of keeping it.

use crate::cpu::{Floats, Rows, exp, rows_at_once, tensor, vectorized};
use burn_flex::FlexTensor;
use rayon::prelude::*;

pub(super) fn forward(gate: &FlexTensor, up: &FlexTensor) -> FlexTensor {
    let shape = gate.layout().shape().clone();
    // Halves of one product are read where they lie.
    let (gate, up) = (Rows::of(gate), Rows::of(up));
    let [rows, width] = shape.dims();
    let mut out = vec![0.0; rows * width];
    let at_once = rows_at_once(width);
    let (gate, up) = (&gate, &up);
    out.par_chunks_mut((at_once * width).max(1)).enumerate().for_each(|(block, out)| {
        let first = block * at_once;
        vectorized!(|out: &mut [f32], gate: &Rows, up: &Rows, first: usize, width: usize| {
            for (row, out) in out.chunks_exact_mut(width).enumerate() {
                let row = first + row;
                for ((out, &gate), up) in out.iter_mut().zip(gate.row(row)).zip(up.row(row)) {
                    *out = gate / (1.0 + exp(-gate)) * up;
                }
            }
        });
    });
    tensor(out, shape)
}

/// With `s = sigmoid(gate)`: `d gate = upstream up s (1 + gate (1 - s))`, `d up = upstream gate s`.
pub(super) fn backward(
    gate: &FlexTensor,
    up: &FlexTensor,
    upstream: &FlexTensor,
) -> (FlexTensor, FlexTensor) {
    let shape = gate.layout().shape().clone();
    let (gate, up, upstream) = (Floats::of(gate), Floats::of(up), Floats::of(upstream));
    let (mut d_gate, mut d_up) = (vec![0.0; gate.slice().len()], vec![0.0; gate.slice().len()]);
    let block = rows_at_once(1);
    let inputs = gate
        .slice()
        .par_chunks(block)
        .zip(up.slice().par_chunks(block))
        .zip(upstream.slice().par_chunks(block));
    let outputs = d_gate.par_chunks_mut(block).zip(d_up.par_chunks_mut(block));
    outputs.zip(inputs).for_each(|((d_gate, d_up), ((gate, up), upstream))| {
        vectorized!(|d_gate: &mut [f32], d_up: &mut [f32], gate: &[f32], up: &[f32], upstream: &[f32]| {
            let inputs = gate.iter().zip(up).zip(upstream);
            for ((d_gate, d_up), ((&gate, up), upstream)) in d_gate.iter_mut().zip(d_up).zip(inputs) {
                let sigmoid = 1.0 / (1.0 + exp(-gate));
                *d_gate = upstream * up * sigmoid * (1.0 + gate * (1.0 - sigmoid));
                *d_up = upstream * gate * sigmoid;
            }
        });
    });
    (tensor(d_gate, shape.clone()), tensor(d_up, shape))
}
