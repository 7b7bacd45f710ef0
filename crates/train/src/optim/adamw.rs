//! AdamW with the numbers of `torch.optim.AdamW`: its bias corrections, folded into the fused
//! update.

// n elements of one parameter

use super::{Buffer, Optimizer, ParameterKind, ParameterState, ParameterUpdate, StepParams};
use burn::tensor::Tensor;
use ruminate_kernels::{AdamWState, AdamWStep, adamw};

/// AdamW (Loshchilov and Hutter, arXiv 1711.05101).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdamW;

impl Optimizer for AdamW {
    fn name(&self) -> &'static str {
        "adamw"
    }

    // Named as in the state of `torch.optim.AdamW`: the running means of gradients and of their
    // squares.
    fn buffers(&self, _: ParameterKind) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }

    fn update(&self, update: ParameterUpdate<'_>) -> (Tensor<1>, ParameterState) {
        let ParameterUpdate { value, gradient, clip, state, params, .. } = update;
        let ParameterState { buffers, updates } = state;
        let [mean, square]: [Buffer; 2] = buffers.try_into().expect("AdamW has two buffers");
        let state = AdamWState { parameter: value, mean: mean.into_float32(), square: square.into_float32() };
        let AdamWState { parameter, mean, square } =
            adamw(state, gradient, Self::step(params, clip, updates));
        (parameter, ParameterState { buffers: vec![mean.into(), square.into()], updates })
    }
}

impl AdamW {
    /// The numbers of an update that counts as number `updates`.
    pub(super) fn step(params: StepParams, clip: f64, updates: u64) -> AdamWStep {
        let StepParams { learning_rate, betas: [beta1, beta2], epsilon, weight_decay, .. } = params;
        // lr (m / c1) / (sqrt(v / c2) + eps) = (lr sqrt(c2) / c1) m / (sqrt(v) + eps sqrt(c2))
        let correction1 = 1.0 - beta1.powf(updates as f64);
        let root_correction2 = (1.0 - beta2.powf(updates as f64)).sqrt();
        AdamWStep {
            beta1,
            beta2,
            clip,
            keep: 1.0 - learning_rate * weight_decay,
            step: learning_rate * root_correction2 / correction1,
            epsilon: epsilon * root_correction2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AdamW;
    use crate::optim::{Optimizer, Parameter, ParameterState, ParameterUpdate, StepParams};
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
            let params = StepParams {
                learning_rate: case.lr,
                betas: case.betas,
                epsilon: case.eps,
                weight_decay: case.weight_decay,
                max_grad_norm: case.max_grad_norm,
            };
            let fresh = |value: Tensor<1>| {
                let buffers = vec![value.zeros_like().into(), value.zeros_like().into()];
                (value, ParameterState { buffers, updates: 0 })
            };
            let mut parameters: BTreeMap<_, _> =
                case.start.iter().map(|(n, v)| (n.clone(), fresh(tensor(v)))).collect();
            for step in &case.steps {
                parameters = parameters
                    .into_iter()
                    .map(|(name, (value, state))| {
                        let updated = AdamW.update(ParameterUpdate {
                            parameter: Parameter { name: &name, shape: &value.dims() },
                            gradient: tensor(&step.gradients[&name]),
                            value,
                            clip: params.clip(step.grad_norm),
                            state: ParameterState { updates: state.updates + 1, ..state },
                            params,
                        });
                        (name, updated)
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
