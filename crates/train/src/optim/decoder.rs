//! The optimizer step of a whole decoder: global norm, clipping, a rule by parameter name, and
//! refusal of gradients that are not finite. State is keyed by Hugging Face names, so it survives
//! any rebuild of the decoder.

use super::{Buffer, Optimizer, OptimizerState, Parameter, ParameterState, ParameterUpdate, StepParams};
use crate::Error;
use crate::config::Config;
use crate::gradients::Gradients;
use burn::tensor::Tensor;
use ruminate_model::{Decoder, ParameterMapper};
use std::collections::BTreeMap;

/// An optimizer with its state of a decoder's parameters.
#[derive(Debug)]
pub struct DecoderOptimizer {
    pub(crate) rule: Box<dyn Optimizer>,
    pub(crate) state: BTreeMap<String, ParameterState>,
    pub(crate) skipped: usize,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The loss whose gradients these were.
    pub loss: f64,
    /// Global norm before clipping.
    pub grad_norm: f64,
    /// Whether the parameters moved.
    pub outcome: StepOutcome,
}

/// Whether the parameters moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// They did.
    Applied,
    /// Loss or norm was not finite: parameters and state are as before. The count is of steps in a
    /// row.
    Skipped(usize),
}

impl StepReport {
    /// Refuses to go on after too many skipped steps in a row.
    ///
    /// # Errors
    /// [`Error::NonFinite`] when more than `max_skipped_steps` steps in a row were skipped.
    pub fn check(&self, step: usize, config: &Config) -> Result<(), Error> {
        let allowed = config.max_skipped_steps;
        match self.outcome {
            StepOutcome::Skipped(skipped) if skipped > allowed => {
                Err(Error::NonFinite { step, loss: self.loss, grad_norm: self.grad_norm, skipped, allowed })
            }
            StepOutcome::Skipped(_) | StepOutcome::Applied => Ok(()),
        }
    }
}

impl DecoderOptimizer {
    /// An optimizer without state yet. [`Config::new_optimizer`] has the rule of a recipe.
    pub fn new(rule: Box<dyn Optimizer>) -> Self {
        Self { rule, state: BTreeMap::new(), skipped: 0 }
    }

    /// The name of its rule.
    pub fn name(&self) -> &'static str {
        self.rule.name()
    }

    /// How its state is held.
    pub fn state(&self) -> OptimizerState {
        self.rule.state()
    }

    /// One step. Parameters without a gradient are untouched, as in PyTorch.
    ///
    /// Pass the decoder on alone: while a copy of it lives (`valid()` for sampling, say) nothing
    /// can be updated in place.
    pub fn step(
        &mut self,
        decoder: Decoder,
        gradients: Gradients,
        params: StepParams,
    ) -> (Decoder, StepReport) {
        let (loss, grad_norm) = (gradients.loss(), gradients.norm());
        if !(loss.is_finite() && grad_norm.is_finite()) {
            self.skipped += 1;
            return (decoder, StepReport { loss, grad_norm, outcome: StepOutcome::Skipped(self.skipped) });
        }
        self.skipped = 0;
        let mut apply = Apply {
            rule: self.rule.as_ref(),
            params,
            clip: params.clip(grad_norm),
            gradients: gradients.by_name,
            state: &mut self.state,
        };
        let decoder = decoder.map_parameters(&mut apply);
        (decoder, StepReport { loss, grad_norm, outcome: StepOutcome::Applied })
    }
}

struct Apply<'a> {
    rule: &'a dyn Optimizer,
    params: StepParams,
    clip: f64,
    gradients: BTreeMap<String, Tensor<1>>,
    state: &'a mut BTreeMap<String, ParameterState>,
}

impl ParameterMapper for Apply<'_> {
    fn map<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Tensor<D> {
        let Some(gradient) = self.gradients.remove(name) else { return tensor };
        let shape = tensor.dims();
        let parameter = Parameter { name, shape: &shape };
        // Norm gains and biases have rank 1.
        let weight_decay = if D >= 2 { self.params.weight_decay } else { 0.0 };
        let buffers = self.rule.buffers(parameter.kind());
        let state = self.state.remove(name).unwrap_or_else(|| {
            let zeros = || Buffer::zeros(gradient.dims()[0], self.rule.state(), &gradient.device());
            ParameterState { buffers: buffers.iter().map(|_| zeros()).collect(), updates: 0 }
        });
        let (value, state) = self.rule.update(ParameterUpdate {
            parameter,
            value: tensor.inner().flatten::<1>(0, D - 1),
            gradient,
            clip: self.clip,
            state: ParameterState { updates: state.updates + 1, ..state },
            params: StepParams { weight_decay, ..self.params },
        });
        assert_eq!(state.buffers.len(), buffers.len(), "{name}: expected one buffer for each of {buffers:?}");
        self.state.insert(name.to_owned(), state);
        Tensor::from_inner(value.reshape(shape))
    }
}
