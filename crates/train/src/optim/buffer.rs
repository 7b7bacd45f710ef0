//! What an optimizer keeps of a parameter, in 32 or in 8 bits for each element.

// n elements of one parameter

use burn::tensor::{Device, Tensor};
use ruminate_kernels::Int8Moment;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How the state of an optimizer is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerState {
    /// Four bytes for each element of a buffer.
    #[default]
    Float32,
    /// AdamW's moments in 8 bits, block by block (arXiv 2110.02861), as bitsandbytes' `AdamW8bit` holds them: about
    /// 1.016 bytes for each element of a buffer. Those of parameters with fewer than 4096 elements stay in f32.
    Int8,
}

/// Elements of a parameter below which its state stays in f32: bitsandbytes' `min_8bit_size`.
pub const MIN_INT8_LENGTH: usize = 4096;

impl OptimizerState {
    /// The form of the buffers of a parameter of so many elements.
    #[must_use]
    pub fn of_length(self, length: usize) -> Self {
        if length < MIN_INT8_LENGTH { Self::Float32 } else { self }
    }

    /// Bytes of buffers with so many elements.
    pub fn bytes(self, elements: usize) -> u64 {
        let bytes = match self {
            Self::Float32 => 4 * elements,
            Self::Int8 => elements + 4 * Int8Moment::blocks_of(elements),
        };
        bytes as u64
    }
}

impl fmt::Display for OptimizerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float32 => "float32",
            Self::Int8 => "int8",
        })
    }
}

/// A buffer of an optimizer's state, of as many elements as its parameter has.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a handful of them exist per parameter")]
pub enum Buffer {
    /// `[n]`
    Float32(Tensor<1>),
    /// Codes, and the largest magnitude of each block.
    Int8(Int8Moment),
}

impl Buffer {
    /// A buffer of zeros, in the form that a parameter of `length` elements has under `state`.
    pub fn zeros(length: usize, state: OptimizerState, device: &Device) -> Self {
        match state.of_length(length) {
            OptimizerState::Float32 => Self::Float32(Tensor::zeros([length], device)),
            OptimizerState::Int8 => Self::Int8(Int8Moment::zeros(length, device)),
        }
    }

    /// The tensor of a buffer in f32.
    ///
    /// # Panics
    /// Where it is held in 8 bits: a rule gets what its [`state`](super::Optimizer::state) says.
    pub fn into_float32(self) -> Tensor<1> {
        match self {
            Self::Float32(tensor) => tensor,
            Self::Int8(_) => panic!("expected a buffer in f32, found one in 8 bits"),
        }
    }
}

impl From<Tensor<1>> for Buffer {
    fn from(tensor: Tensor<1>) -> Self {
        Self::Float32(tensor)
    }
}

#[cfg(test)]
mod tests {
    use super::OptimizerState;

    #[test]
    fn bytes_are_those_of_codes_and_of_a_float_for_each_block() {
        assert_eq!(OptimizerState::Float32.bytes(1000), 4000);
        assert_eq!(OptimizerState::Int8.bytes(1024), 1024 + 4 * 4);
        assert_eq!(OptimizerState::Int8.bytes(1025), 1025 + 5 * 4);
    }
}
