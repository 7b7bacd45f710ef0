//! Hugging Face model folders: `config.json` and safetensors, in and out.
//!
//! Parameters carry their Hugging Face names already (see [`parameters`](crate::ParameterVisitor)); what is
//! left to translate is the layout of experts: one tensor of all experts here, and in transformers' fused
//! layout; three tensors an expert in hub files.

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

impl Fused {
    /// The tensors of one expert, in the order in which they lie in the fused one.
    fn parts(self) -> &'static [&'static str] {
        match self {
            Self::GateUp => &["gate_proj", "up_proj"],
            Self::Down => &["down_proj"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fused, fused_experts};

    #[test]
    fn only_the_routed_experts_are_fused() {
        let prefix = "model.layers.3.mlp.experts";
        assert_eq!(fused_experts("model.layers.3.mlp.experts.gate_up_proj"), Some((prefix, Fused::GateUp)));
        assert_eq!(fused_experts("model.layers.3.mlp.experts.down_proj"), Some((prefix, Fused::Down)));
        assert_eq!(fused_experts("model.layers.3.mlp.shared_experts.down_proj.weight"), None);
        assert_eq!(fused_experts("model.layers.3.mlp.down_proj"), None);
    }
}
