//! RMS normalisation: the inverse of a row's root mean square is kept from the forward pass.

// N rows, D columns

use super::{NdArrayTensor, shape, tensor, values};
use crate::backend::{Differentiable, Operation};
use crate::norm::RmsNorm;
use burn::backend::NdArray;

impl Operation<NdArray, 2, 1> for RmsNorm {
    fn forward(&self, [x, gamma]: [NdArrayTensor; 2]) -> [NdArrayTensor; 1] {
        let (out, _) = forward(&x, &gamma, self.eps);
        [out]
    }
}

impl Differentiable<NdArray, 2, 1> for RmsNorm {
    /// `x`, `gamma`, and the `N` inverses.
    type Kept = (NdArrayTensor, NdArrayTensor, Vec<f32>);

    fn forward_tracked(
        &self,
        [x, gamma]: [NdArrayTensor; 2],
        _: [bool; 2],
    ) -> ([NdArrayTensor; 1], Self::Kept) {
        let (out, inverses) = forward(&x, &gamma, self.eps);
        ([out], (x, gamma, inverses))
    }

    /// With `r` the inverse and `g` the upstream gradient: `dx = r (g gamma - x r^2 mean(g gamma x))`, `dgamma = sum over
    /// rows of g x r`.
    fn backward(
        &self,
        (x, gamma, inverses): Self::Kept,
        upstream: NdArrayTensor,
        _: [bool; 2],
    ) -> [Option<NdArrayTensor>; 2] {
        let (states, scales, mut d_x) = (values(&x), values(&gamma), values(&upstream));
        let width = scales.len();
        let mut d_gamma = vec![0.0; width];
        for ((upstream, x), inverse) in
            d_x.chunks_exact_mut(width).zip(states.chunks_exact(width)).zip(inverses)
        {
            let pull: f32 = (0..width).map(|i| upstream[i] * scales[i] * x[i]).sum();
            let pull = pull * inverse * inverse / width as f32;
            for i in 0..width {
                d_gamma[i] += upstream[i] * x[i] * inverse;
                upstream[i] = inverse * (upstream[i] * scales[i] - x[i] * pull);
            }
        }
        [Some(tensor(d_x, shape(&x))), Some(tensor(d_gamma, &[width]))]
    }
}

/// `y = x r gamma` with `r = 1 / sqrt(mean(x^2) + eps)`, and the `r` of each row.
fn forward(x: &NdArrayTensor, gamma: &NdArrayTensor, eps: f64) -> (NdArrayTensor, Vec<f32>) {
    let (mut out, scales) = (values(x), values(gamma));
    let width = scales.len();
    let mut inverses = Vec::with_capacity(out.len() / width);
    for row in out.chunks_exact_mut(width) {
        let square = row.iter().map(|x| x * x).sum::<f32>() / width as f32;
        let inverse = (square + eps as f32).sqrt().recip();
        row.iter_mut().zip(&scales).for_each(|(x, gamma)| *x *= inverse * gamma);
        inverses.push(inverse);
    }
    (tensor(out, shape(x)), inverses)
}
