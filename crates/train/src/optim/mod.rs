//! Optimizers. A rule ([`Optimizer`]) updates one parameter and names what it keeps of it;
//! [`DecoderOptimizer`] applies a rule to a whole decoder, and holds, saves and loads what it
//! keeps. Another optimizer is a file here and its entry in [`OptimizerName`].

// n elements of one parameter

mod adamw;
mod adamw_int8;
mod buffer;
mod decoder;
mod muon;
mod params;
pub(crate) mod state;

pub use adamw::AdamW;
pub use adamw_int8::AdamWInt8;
pub use buffer::{Buffer, MIN_INT8_LENGTH, OptimizerState};
pub use decoder::{DecoderOptimizer, StepOutcome, StepReport};
pub use muon::{LrAdjustment, Muon};
pub use params::StepParams;

use crate::{Config, Error};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// The optimizers of a recipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    /// AdamW (arXiv 1711.05101) for every parameter.
    #[default]
    AdamW,
    /// Muon (arXiv 2502.16982) for the matrices of the blocks, AdamW for embeddings, output head,
    /// norms, biases and adapters. Half the state of AdamW, for matrix products at every step.
    Muon,
}

impl OptimizerName {
    /// The rule of that name with the settings of a recipe.
    pub fn build(self, config: &Config) -> Box<dyn Optimizer> {
        match self {
            Self::AdamW => match config.optimizer_state {
                OptimizerState::Float32 => Box::new(AdamW),
                OptimizerState::Int8 => Box::new(AdamWInt8),
            },
            Self::Muon => Box::new(config.muon),
        }
    }
}

/// The update rule of an optimizer, and the layout of what it keeps between two steps.
///
/// A rule sees one parameter at a time, flat. Its state is handed to it and back, so that saving,
/// loading and the plan of memory need to know no rule.
pub trait Optimizer: Debug + Send + Sync {
    /// The name in recipes and checkpoints. A checkpoint of another name is refused.
    fn name(&self) -> &'static str;

    /// The names of the buffers that it keeps of a parameter, each of n elements, in the order of
    /// [`ParameterState::buffers`]. A checkpoint has them as `<parameter>.<buffer>`, beside
    /// `<parameter>.step`.
    fn buffers(&self, kind: ParameterKind) -> &'static [&'static str];

    /// How its buffers are held; a checkpoint of another form is refused. Under
    /// [`OptimizerState::Int8`] those of parameters with fewer than [`MIN_INT8_LENGTH`] elements
    /// are in f32.
    fn state(&self) -> OptimizerState {
        OptimizerState::Float32
    }

    /// One update. Tensors are moved in and out, so that it can happen in place.
    fn update(&self, update: ParameterUpdate<'_>) -> (Tensor<1>, ParameterState);

    /// Tensors as large as a matrix that it holds besides while it updates one, for the plan of
    /// memory.
    fn scratch(&self) -> usize {
        0
    }

    /// Checks the rule's own settings.
    ///
    /// # Errors
    /// [`Error::Range`] names the first key whose value cannot be.
    fn validate(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// What a parameter is to an optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// A matrix within the decoder, or several of equal shape (the experts of a layer): it maps
    /// hidden states to hidden states. Routers count, which map them to the scores of experts.
    Matrix,
    /// The embedding or the output head: a row per token of the vocabulary.
    Vocabulary,
    /// A norm's gain, or a bias.
    Vector,
    /// A factor of an adapter's matrix.
    Adapter,
}

/// A parameter by name and shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// Its Hugging Face name.
    pub name: &'a str,
    /// Its shape, of which the tensors of an update are the elements in row-major order.
    pub shape: &'a [usize],
}

impl Parameter<'_> {
    /// What it is to an optimizer.
    pub fn kind(&self) -> ParameterKind {
        let is_within = |part: &str| self.name.split('.').any(|found| found == part);
        if is_within("lora_A") || is_within("lora_B") {
            ParameterKind::Adapter
        } else if is_within("embed_tokens") || is_within("lm_head") {
            ParameterKind::Vocabulary
        } else if self.shape.len() < 2 {
            ParameterKind::Vector
        } else {
            ParameterKind::Matrix
        }
    }

    /// The matrices that it consists of: how many, and the rows and columns of each. The experts of
    /// a layer lie in one tensor `[E, out, in]`, and in `gate_up_proj` the rows of two maps, one
    /// below the other.
    ///
    /// # Panics
    /// Where it is a vector.
    pub fn matrices(&self) -> [usize; 3] {
        match *self.shape {
            [rows, columns] => [1, rows, columns],
            [experts, rows, columns] if self.name.ends_with(".gate_up_proj") => {
                [2 * experts, rows / 2, columns]
            }
            [experts, rows, columns] => [experts, rows, columns],
            _ => panic!("{}: expected a matrix or several, found the shape {:?}", self.name, self.shape),
        }
    }
}

/// What an optimizer keeps of one parameter.
#[derive(Clone, Debug)]
pub struct ParameterState {
    /// Of n elements each, in the order of [`Optimizer::buffers`]; zeros before the first update.
    pub buffers: Vec<Buffer>,
    /// Updates so far.
    pub updates: u64,
}

/// One parameter in one step.
#[derive(Debug)]
pub struct ParameterUpdate<'a> {
    /// Which one.
    pub parameter: Parameter<'a>,
    /// `[n]`
    pub value: Tensor<1>,
    /// `[n]`, before clipping.
    pub gradient: Tensor<1>,
    /// Factor on the gradient, at most 1: below it where the global norm is clipped.
    pub clip: f64,
    /// What the rule kept; `updates` counts this one.
    pub state: ParameterState,
    /// The step's settings. Weight decay is 0 where the parameter has rank 1.
    pub params: StepParams,
}

#[cfg(test)]
mod tests {
    use super::{Parameter, ParameterKind};

    #[test]
    fn kinds_follow_from_names_and_shapes() {
        use ParameterKind::{Adapter, Matrix, Vector, Vocabulary};
        for (name, shape, kind) in [
            ("model.embed_tokens.weight", &[64, 8][..], Vocabulary),
            ("lm_head.weight", &[64, 8], Vocabulary),
            ("model.norm.weight", &[8], Vector),
            ("model.layers.0.self_attn.q_proj.bias", &[8], Vector),
            ("model.layers.0.mlp.gate.e_score_correction_bias", &[4], Vector),
            ("model.layers.0.self_attn.q_proj.weight", &[8, 8], Matrix),
            ("model.layers.0.mlp.gate.weight", &[4, 8], Matrix),
            ("model.layers.0.mlp.experts.down_proj", &[4, 8, 6], Matrix),
            ("model.layers.2.eh_proj.weight", &[8, 16], Matrix),
            ("model.layers.0.self_attn.q_proj.lora_A.weight", &[2, 8], Adapter),
            ("lm_head.lora_B.weight", &[64, 2], Adapter),
        ] {
            assert_eq!(Parameter { name, shape }.kind(), kind, "{name}");
        }
    }

    #[test]
    fn experts_are_matrices_of_their_own_and_so_are_the_maps_of_a_fused_one() {
        let matrices = |name, shape| Parameter { name, shape }.matrices();
        assert_eq!(matrices("model.layers.0.mlp.experts.gate_up_proj", &[4, 12, 8]), [8, 6, 8]);
        assert_eq!(matrices("model.layers.0.mlp.experts.down_proj", &[4, 8, 6]), [4, 8, 6]);
        assert_eq!(matrices("model.layers.0.mlp.down_proj.weight", &[8, 6]), [1, 8, 6]);
    }
}
