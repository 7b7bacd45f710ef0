//! The optimizer step of a whole decoder: global norm, clipping, AdamW by parameter name, and refusal of gradients
//! that are not finite. State is keyed by Hugging Face names, so it survives any rebuild of the decoder.

use crate::Error;
use crate::adamw::{Moments, Rule, clip_factor, update};
use crate::config::Config;
use crate::gradients::Gradients;
use burn::tensor::Tensor;
use ruminate_model::{Decoder, ParameterMapper};
use std::collections::BTreeMap;

/// AdamW with its state.
#[derive(Debug)]
pub struct Optimizer {
    pub(crate) config: Config,
    pub(crate) moments: BTreeMap<String, Moments>,
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
    /// Loss or norm was not finite: parameters and moments are as before. The count is of steps in a row.
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

impl Optimizer {
    /// An optimizer without state yet.
    pub fn new(config: &Config) -> Self {
        Self { config: config.clone(), moments: BTreeMap::new(), skipped: 0 }
    }

    /// One step. Parameters without a gradient are untouched, as in PyTorch.
    ///
    /// Pass the decoder on alone: while a copy of it lives (`valid()` for sampling, say) nothing can be updated in
    /// place.
    pub fn step(
        &mut self,
        decoder: Decoder,
        gradients: Gradients,
        learning_rate: f64,
    ) -> (Decoder, StepReport) {
        let (loss, grad_norm) = (gradients.loss(), gradients.norm());
        if !(loss.is_finite() && grad_norm.is_finite()) {
            self.skipped += 1;
            return (decoder, StepReport { loss, grad_norm, outcome: StepOutcome::Skipped(self.skipped) });
        }
        self.skipped = 0;
        let rule = Rule {
            learning_rate,
            beta1: self.config.adam_beta1,
            beta2: self.config.adam_beta2,
            epsilon: self.config.adam_epsilon,
            weight_decay: self.config.weight_decay,
            clip: clip_factor(grad_norm, self.config.max_grad_norm),
        };
        let mut apply = Apply { rule, gradients: gradients.by_name, moments: &mut self.moments };
        let decoder = decoder.map_parameters(&mut apply);
        (decoder, StepReport { loss, grad_norm, outcome: StepOutcome::Applied })
    }
}

struct Apply<'a> {
    rule: Rule,
    gradients: BTreeMap<String, Tensor<1>>,
    moments: &'a mut BTreeMap<String, Moments>,
}

impl ParameterMapper for Apply<'_> {
    fn map<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Tensor<D> {
        let Some(gradient) = self.gradients.remove(name) else { return tensor };
        let shape = tensor.dims();
        // Norm gains and biases have rank 1.
        let weight_decay = if D >= 2 { self.rule.weight_decay } else { 0.0 };
        let rule = Rule { weight_decay, ..self.rule };
        let parameter = tensor.inner().flatten::<1>(0, D - 1);
        let (parameter, moments) = update(parameter, gradient, self.moments.remove(name), rule);
        self.moments.insert(name.to_owned(), moments);
        Tensor::from_inner(parameter.reshape(shape))
    }
}
