//! Root-mean-square layer normalisation (Zhang and Sennrich 2019).

use burn::tensor::Tensor;

/// `x / sqrt(mean(x^2) + eps) * gamma` over the last dimension.
///
/// # Shapes
/// - `x`: `[N, D]`, `gamma`: `[D]`, result: `[N, D]`
pub fn rms_norm(x: Tensor<2>, gamma: Tensor<1>, eps: f64) -> Tensor<2> {
    let mean_square = x.clone().square().mean_dim(1); // [N, 1]
    let inverse_rms = (mean_square + eps).sqrt().recip();
    x * inverse_rms * gamma.unsqueeze()
}
