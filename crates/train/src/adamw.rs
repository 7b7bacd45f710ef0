//! AdamW with the numbers of `torch.optim.AdamW`: its bias corrections, folded into the fused update.

// n elements of one parameter

use burn::tensor::Tensor;
use ruminate_kernels::{AdamWState, AdamWStep, adamw};

/// What the rule needs besides the gradient.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) learning_rate: f64,
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) epsilon: f64,
    pub(crate) weight_decay: f64,
    /// Factor on gradients: below 1 where the global norm is clipped.
    pub(crate) clip: f64,
}

/// The moments of one parameter.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    /// `[n]`: running mean of gradients.
    pub(crate) first: Tensor<1>,
    /// `[n]`: running mean of their squares.
    pub(crate) second: Tensor<1>,
    /// Updates so far, for the bias correction.
    pub(crate) updates: u64,
}

/// One update. Tensors are moved, so that it happens in place.
///
/// # Shapes
/// - `parameter`, `gradient`, result: `[n]`
pub(crate) fn update(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    moments: Option<Moments>,
    rule: Rule,
) -> (Tensor<1>, Moments) {
    let (mean, square, updates) = match moments {
        Some(Moments { first, second, updates }) => (first, second, updates + 1),
        None => (gradient.zeros_like(), gradient.zeros_like(), 1),
    };
    // lr (m / c1) / (sqrt(v / c2) + eps) = (lr sqrt(c2) / c1) m / (sqrt(v) + eps sqrt(c2))
    let correction1 = 1.0 - rule.beta1.powf(updates as f64);
    let root_correction2 = (1.0 - rule.beta2.powf(updates as f64)).sqrt();
    let step = AdamWStep {
        beta1: rule.beta1,
        beta2: rule.beta2,
        clip: rule.clip.min(1.0),
        keep: 1.0 - rule.learning_rate * rule.weight_decay,
        step: rule.learning_rate * root_correction2 / correction1,
        epsilon: rule.epsilon * root_correction2,
    };
    let AdamWState { parameter, mean, square } =
        adamw(AdamWState { parameter, mean, square }, gradient, step);
    (parameter, Moments { first: mean, second: square, updates })
}

/// The factor that `torch.nn.utils.clip_grad_norm_` puts on gradients of the given global norm.
pub(crate) fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    (max_norm / (norm + 1e-6)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::{Rule, clip_factor, update};
    use burn::tensor::Tensor;
    use ruminate_testkit as testkit;
    use serde_json::Value;
    use std::collections::BTreeMap;

    #[derive(serde::Deserialize)]
    struct Case {
        lr: f64,
        betas: [f64; 2],
        eps: f64,
        weight_decay: f64,
        max_grad_norm: f64,
        start: BTreeMap<String, Value>,
        steps: Vec<Step>,
    }

    #[derive(serde::Deserialize)]
    struct Step {
        gradients: BTreeMap<String, Value>,
        grad_norm: f64,
        parameters: BTreeMap<String, Value>,
    }

    fn numbers(value: &Value) -> Vec<f32> {
        match value {
            Value::Array(items) => items.iter().flat_map(numbers).collect(),
            number => vec![number.as_f64().expect("a number") as f32],
        }
    }

    #[test]
    fn three_steps_equal_those_of_torch() {
        let device = testkit::device();
        let tensor = |value: &Value| Tensor::<1>::from_floats(numbers(value).as_slice(), &device);
        for case in testkit::json::<Vec<Case>>("train/adamw.json") {
            let mut parameters: BTreeMap<_, _> =
                case.start.iter().map(|(n, v)| (n.clone(), (tensor(v), None))).collect();
            for step in &case.steps {
                let clip = clip_factor(step.grad_norm, case.max_grad_norm);
                let rule = Rule {
                    learning_rate: case.lr,
                    beta1: case.betas[0],
                    beta2: case.betas[1],
                    epsilon: case.eps,
                    weight_decay: case.weight_decay,
                    clip,
                };
                parameters = parameters
                    .into_iter()
                    .map(|(name, (parameter, moments))| {
                        let (parameter, moments) =
                            update(parameter, tensor(&step.gradients[&name]), moments, rule);
                        (name, (parameter, Some(moments)))
                    })
                    .collect();
                for (name, (parameter, _)) in &parameters {
                    let expected = numbers(&step.parameters[name]);
                    testkit::assert_close(&testkit::floats(parameter.clone()), &expected, 1e-6);
                }
            }
        }
    }
}
