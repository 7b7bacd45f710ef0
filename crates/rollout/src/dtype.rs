//! The numbers that a rollout computes with, under the names that configurations use.

use ruminate_model::Precision;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// What weights are held in while sampling. Whatever it is, the log-probabilities are those of the distribution that
/// tokens were drawn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// The policy's own numbers: sampler and trainer agree to the rounding of sums.
    #[default]
    #[serde(alias = "f32")]
    Float32,
    /// Weights and the inputs of linear maps in bfloat16.
    #[serde(alias = "bf16")]
    Bfloat16,
    /// Weights and the inputs of linear maps in 8-bit integers, with a scale for each row and block of 64.
    Int8,
}

impl From<Dtype> for Precision {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::Float32 => Self::F32,
            Dtype::Bfloat16 => Self::Bf16,
            Dtype::Int8 => Self::Int8,
        }
    }
}

impl Display for Dtype {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Float32 => "float32",
            Self::Bfloat16 => "bfloat16",
            Self::Int8 => "int8",
        })
    }
}

/// A name that is none of the three.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected float32, bfloat16 or int8, found {0:?}")]
pub struct UnknownDtype(String);

impl FromStr for Dtype {
    type Err = UnknownDtype;

    fn from_str(name: &str) -> Result<Self, UnknownDtype> {
        match name {
            "float32" | "f32" => Ok(Self::Float32),
            "bfloat16" | "bf16" => Ok(Self::Bfloat16),
            "int8" => Ok(Self::Int8),
            other => Err(UnknownDtype(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Dtype;

    #[test]
    fn recipes_and_flags_have_the_same_names() {
        for dtype in [Dtype::Float32, Dtype::Bfloat16, Dtype::Int8] {
            assert_eq!(dtype.to_string().parse(), Ok(dtype));
            assert_eq!(serde_json::to_value(dtype).expect("a text"), dtype.to_string());
        }
        let message = "fp8".parse::<Dtype>().expect_err("unknown").to_string();
        assert!(message.contains("bfloat16") && message.contains("fp8"), "{message}");
    }
}
