//! The types of imported weights.

use crate::tensor::TensorInfo;
use half::bf16;

/// How the imported weights are stored, all of them alike.
///
/// A file whose matrices are quantised or bf16 becomes bf16: that is how checkpoints are published, the rounding
/// (2^-9 of a weight) is below the steps of quantisation, and the folder has half the size. A file whose matrices are
/// all F32 or F16 becomes f32, since bf16 would drop bits that were kept on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// bfloat16, rounded to nearest, ties to even.
    Bf16,
    /// Single precision: every stored number exactly.
    F32,
}

impl Dtype {
    /// The type that suits these tensors.
    pub(crate) fn of<'a>(tensors: impl IntoIterator<Item = &'a TensorInfo>) -> Self {
        let mut matrices = tensors.into_iter().filter(|tensor| tensor.shape.len() > 1);
        if matrices.all(|matrix| matrix.kind.is_precise()) { Self::F32 } else { Self::Bf16 }
    }

    /// Of its name in `config.json`: `bfloat16` or `float32`.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Bf16, Self::F32].into_iter().find(|dtype| dtype.config_name() == name)
    }

    /// Its name in `config.json`.
    pub(crate) fn config_name(self) -> &'static str {
        match self {
            Self::Bf16 => "bfloat16",
            Self::F32 => "float32",
        }
    }

    pub(crate) fn safetensors_name(self) -> &'static str {
        match self {
            Self::Bf16 => "BF16",
            Self::F32 => "F32",
        }
    }

    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }

    /// Appends numbers; the index of the first that is not finite comes back as an error.
    pub(crate) fn encode(self, values: &[f32], out: &mut Vec<u8>) -> Result<(), usize> {
        for (index, &value) in values.iter().enumerate() {
            // Of what is written: a number next to the largest f32 becomes infinite in bf16.
            let finite = match self {
                Self::Bf16 => {
                    let rounded = bf16::from_f32(value);
                    out.extend(rounded.to_le_bytes());
                    rounded.is_finite()
                }
                Self::F32 => {
                    out.extend(value.to_le_bytes());
                    value.is_finite()
                }
            };
            if !finite {
                return Err(index);
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.config_name())
    }
}
