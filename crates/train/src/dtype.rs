//! The names of the dtypes that a model may learn in, in recipes and flags.

use ruminate_model::ComputeDtype;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// What products of matrices multiply while a model learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// Numbers as they are.
    #[default]
    #[serde(alias = "f32")]
    Float32,
    /// Numbers rounded to bfloat16.
    #[serde(alias = "bf16")]
    Bfloat16,
}

impl From<Dtype> for ComputeDtype {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::Float32 => Self::F32,
            Dtype::Bfloat16 => Self::Bf16,
        }
    }
}

impl Display for Dtype {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Float32 => "float32",
            Self::Bfloat16 => "bfloat16",
        })
    }
}

/// A name that is neither.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected float32 or bfloat16, found {0:?}")]
pub struct UnknownDtype(String);

impl FromStr for Dtype {
    type Err = UnknownDtype;

    fn from_str(name: &str) -> Result<Self, UnknownDtype> {
        match name {
            "float32" | "f32" => Ok(Self::Float32),
            "bfloat16" | "bf16" => Ok(Self::Bfloat16),
            other => Err(UnknownDtype(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Dtype;

    #[test]
    fn recipes_and_flags_have_the_same_names() {
        for dtype in [Dtype::Float32, Dtype::Bfloat16] {
            assert_eq!(dtype.to_string().parse(), Ok(dtype));
            assert_eq!(serde_json::to_value(dtype).expect("a text"), dtype.to_string());
        }
        let message = "int8".parse::<Dtype>().expect_err("for sampling alone").to_string();
        assert!(message.contains("bfloat16") && message.contains("int8"), "{message}");
    }
}
