//! Hugging Face model folders: `config.json` and safetensors, in and out.
//!
//! Parameters carry their Hugging Face names already (see [`parameters`](crate::ParameterVisitor)); what is
//! left to translate is the layout of experts: one tensor of all experts here, and in transformers' fused
//! layout; three tensors an expert in hub files, which have other names in Mixtral's.

use crate::{Config, Family};
use std::fs::File;
use std::path::Path;

mod error;
mod fp8;
mod header;
mod index;
mod json;
mod kind;
mod load;
mod save;
mod source_config;
mod store;

pub use error::{LoadError, SaveError};
pub(crate) use json::read_json;
pub(crate) use kind::of as kind_of;
pub use load::{Held, Progress, load, load_config, load_with_progress};
pub(crate) use save::pretty;
pub use save::{Format, WeightType, save, save_as, visit_stored};
pub(crate) use source_config::Origin;
pub(crate) use store::first_not_finite;

/// A file of weights, wherever links lead, that is a regular one.
pub(crate) fn opened(path: &Path) -> Result<File, LoadError> {
    ruminate_files::open_regular(path).map_err(|error| refused(error, path))
}

/// Why a file of a model folder was not read.
fn refused(error: ruminate_files::Error, path: &Path) -> LoadError {
    let path = path.to_owned();
    match error {
        ruminate_files::Error::Read { source, .. } => LoadError::Read { path, source },
        ruminate_files::Error::Size { bytes, limit, .. } => LoadError::Size { path, bytes, limit },
        other => LoadError::File(other),
    }
}

/// At most this many tensors are named in a message.
const NAMED: usize = 32;

/// The prefix of a layer's experts when `name` is one of our two fused tensors, and which of them it is.
fn fused_experts(name: &str) -> Option<(&str, Fused)> {
    let (prefix, fused) = match name.strip_suffix(".gate_up_proj") {
        Some(prefix) => (prefix, Fused::GateUp),
        None => (name.strip_suffix(".down_proj")?, Fused::Down),
    };
    prefix.ends_with(".experts").then_some((prefix, fused))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fused {
    /// `[E, 2 F, D]`: each expert's `gate_proj`, then its `up_proj`.
    GateUp,
    /// `[E, D, F]`: each expert's `down_proj`.
    Down,
}

/// How hub files of a family name what lies in a mixture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// As parameters are named.
    Usual,
    /// `block_sparse_moe` with `w1` (gate), `w3` (up) and `w2` (down).
    Mixtral,
}

impl Names {
    fn of(config: &Config) -> Self {
        if config.family == Family::Mixtral { Self::Mixtral } else { Self::Usual }
    }

    /// The stored name of a parameter that is no fused tensor, or of the prefix of one.
    fn stored(self, name: &str) -> String {
        match self {
            Self::Usual => name.to_owned(),
            Self::Mixtral => name.replacen(".mlp.", ".block_sparse_moe.", 1),
        }
    }

    /// The tensors of one expert, in the order in which they lie in the fused one.
    fn parts(self, fused: Fused) -> &'static [&'static str] {
        match (self, fused) {
            (Self::Usual, Fused::GateUp) => &["gate_proj", "up_proj"],
            (Self::Usual, Fused::Down) => &["down_proj"],
            (Self::Mixtral, Fused::GateUp) => &["w1", "w3"],
            (Self::Mixtral, Fused::Down) => &["w2"],
        }
    }

    /// The tensors of the experts, one by one, of a parameter with that name and shape, each with its shape; nothing where
    /// the parameter is no fused tensor.
    fn of_experts(self, name: &str, shape: &[usize]) -> Option<Vec<(String, Vec<usize>)>> {
        let (prefix, fused) = fused_experts(name)?;
        let (stored, parts) = (self.stored(prefix), self.parts(fused));
        let (prefix, part) = (stored.as_str(), [shape[1] / parts.len(), shape[2]]);
        let names = |expert| parts.iter().map(move |name| format!("{prefix}.{expert}.{name}.weight"));
        Some((0..shape[0]).flat_map(names).map(|name| (name, part.to_vec())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{Fused, Names, fused_experts};

    #[test]
    fn only_the_routed_experts_are_fused() {
        let prefix = "model.layers.3.mlp.experts";
        assert_eq!(fused_experts("model.layers.3.mlp.experts.gate_up_proj"), Some((prefix, Fused::GateUp)));
        assert_eq!(fused_experts("model.layers.3.mlp.experts.down_proj"), Some((prefix, Fused::Down)));
        assert_eq!(fused_experts("model.layers.3.mlp.shared_experts.down_proj.weight"), None);
        assert_eq!(fused_experts("model.layers.3.mlp.down_proj"), None);
    }
    #[test]
    fn experts_of_mixtral_have_names_of_their_own() {
        let names = |name: &str| {
            let parts = Names::Mixtral.of_experts(name, &[2, 6, 4]).expect("fused");
            parts.into_iter().map(|(name, shape)| format!("{name} {shape:?}")).collect::<Vec<_>>()
        };
        let of = |expert: usize, part: &str, shape: &str| {
            format!("model.layers.1.block_sparse_moe.experts.{expert}.{part}.weight {shape}")
        };
        let expected = [0, 1].map(|expert| ["w1", "w3"].map(|part| of(expert, part, "[3, 4]"))).concat();
        assert_eq!(names("model.layers.1.mlp.experts.gate_up_proj"), expected);
        let expected = [0, 1].map(|expert| of(expert, "w2", "[6, 4]"));
        assert_eq!(names("model.layers.1.mlp.experts.down_proj"), expected);
        assert_eq!(
            Names::Mixtral.stored("model.layers.1.mlp.gate.weight"),
            "model.layers.1.block_sparse_moe.gate.weight"
        );
    }
}
