//! What one step takes besides gradients: a recipe's settings, or those of a caller that decides
//! step by step.

/// Settings of one optimizer step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepParams {
    /// Learning rate, not negative.
    pub learning_rate: f64,
    /// Decay of AdamW's two moments, each from 0 to below 1.
    pub betas: [f64; 2],
    /// Added to the root of AdamW's second moment; above 0.
    pub epsilon: f64,
    /// Decoupled weight decay, not negative, of parameters of rank 2 and above.
    pub weight_decay: f64,
    /// Global norm that gradients are scaled down to where theirs is larger; 0 never clips.
    pub max_grad_norm: f64,
}

impl StepParams {
    /// The factor that `torch.nn.utils.clip_grad_norm_` puts on gradients of the given global norm.
    pub fn clip(&self, grad_norm: f64) -> f64 {
        if self.max_grad_norm == 0.0 {
            return 1.0;
        }
        (self.max_grad_norm / (grad_norm + 1e-6)).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;

    #[test]
    fn a_norm_of_zero_or_infinity_never_clips() {
        for max_grad_norm in [0.0, f64::INFINITY] {
            let params = Config { max_grad_norm, ..Config::default() }.step_params(1e-3);
            assert_eq!(params.clip(1e9), 1.0);
        }
        let params = Config { max_grad_norm: 2.0, ..Config::default() }.step_params(1e-3);
        assert_eq!(params.clip(1.0), 1.0);
        assert!((params.clip(8.0) - 0.25).abs() < 1e-6);
    }
}
