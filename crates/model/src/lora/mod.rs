//! Adapters of low rank (LoRA, Hu et al., arXiv 2106.09685): `y = W x + scale * B A x` with W frozen. They are put on
//! the linear maps of a decoder by the names of its modules, merged into the weights, taken off, saved and loaded in
//! PEFT's layout. How they are trained is the optimizer's: it moves what has a gradient.
//!
//! Of a dense model every linear map of every block can be adapted; of a mixture of experts those of attention. PEFT
//! takes `gate_proj`, `up_proj` and `down_proj` of a mixture for its routed experts, which transformers holds as one
//! tensor a layer, so an adapter on the dense or shared ones could not be written down for it. Never adapted are
//! embedding, output head, router, norms, biases, and the multi-token prediction module.

mod files;
mod keys;

pub(crate) use files::save;
pub use files::{base_folder, load_adapter};

use crate::adapter::Adapter;
use crate::layers::Linear;
use crate::parameters::may_be_bfloat16;
use crate::{ComputeDtype, Config as Architecture, Decoder, ParameterMapper};
use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor};
use rand::Rng;
use ruminate_data::nearest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The recipe of adapters. Key names are PEFT's, defaults TRL's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Rank of an adapter: from 1 to the smaller side of every weight that gets one.
    pub r: usize,
    /// The product of both factors is multiplied by `lora_alpha / r`; above 0.
    #[serde(alias = "alpha")]
    pub lora_alpha: f64,
    /// Linear maps that get an adapter.
    pub target_modules: Targets,
    /// Multiplies by `lora_alpha / sqrt(r)` instead (arXiv 2312.03732): gradients keep their size as ranks
    /// grow.
    pub use_rslora: bool,
}

/// Which linear maps get an adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"all-linear\" or a list of names of modules")]
pub enum Targets {
    /// All that can have one; in a mixture of experts those of attention.
    Shorthand(Shorthand),
    /// Those whose modules have one of these names: `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`,
    /// `up_proj`, `down_proj`; in a mixture of experts attention's only; in DeepSeek-V3 `q_proj` (or
    /// `q_a_proj`, `q_b_proj`), `kv_a_proj_with_mqa`, `kv_b_proj`, `o_proj`.
    Named(Vec<String>),
}

/// The one name for many modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shorthand {
    /// Every linear map that can be adapted.
    #[serde(rename = "all-linear")]
    AllLinear,
}

impl Default for Config {
    fn default() -> Self {
        let target_modules = Targets::Shorthand(Shorthand::AllLinear);
        Self { r: 16, lora_alpha: 32.0, target_modules, use_rslora: false }
    }
}

/// Why adapters cannot be put on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key of the recipe has a value that cannot be.
    #[error("`lora.{key}` is {found}; expected {expected}")]
    Range {
        /// The key, by its name in the recipe's table.
        key: &'static str,
        /// Its value.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A rank that no product of two factors of that module can use.
    #[error(
        "`lora.r` is {r}; expected at most {most}, the smaller side of `{module}`, which is {shape:?}; take a smaller rank, \
         or leave the module out of `lora.target_modules`"
    )]
    Rank {
        /// The rank.
        r: usize,
        /// The module's own name.
        module: String,
        /// `[out, in]` of its weight.
        shape: [usize; 2],
        /// The largest rank that it can have.
        most: usize,
    },
    /// A module that the model does not have, or that cannot be adapted.
    #[error("`lora.target_modules`: no linear map of this model is named `{name}`{}; it can adapt {}",
        nearest.as_ref().map(|near| format!(", did you mean `{near}`?")).unwrap_or_default(), known.join(", "))]
    Target {
        /// The name.
        name: String,
        /// The one most like it.
        nearest: Option<String>,
        /// All that there are.
        known: Vec<String>,
    },
}

impl Config {
    /// Checks every value that means something without a model.
    ///
    /// # Errors
    /// [`Error::Range`] names the first key whose value cannot be.
    pub fn validate(&self) -> Result<(), Error> {
        let range = |key, found, expected| Err(Error::Range { key, found, expected });
        if self.r == 0 {
            return range("r", "0".to_owned(), "a whole number from 1");
        }
        if !(self.lora_alpha > 0.0 && self.lora_alpha.is_finite()) {
            return range("lora_alpha", self.lora_alpha.to_string(), "a number above 0");
        }
        match &self.target_modules {
            Targets::Named(names) if names.is_empty() => {
                range("target_modules", "an empty list".to_owned(), "names of modules, or \"all-linear\"")
            }
            Targets::Named(_) | Targets::Shorthand(Shorthand::AllLinear) => Ok(()),
        }
    }

    /// Checks that a model of that architecture has the targets, before any weight is read.
    ///
    /// # Errors
    /// Those of [`Self::validate`], [`Error::Target`] for the first name that no module has, and [`Error::Rank`] for the
    /// first module that is narrower than the rank.
    pub fn check(&self, architecture: &Architecture, device: &Device) -> Result<(), Error> {
        self.validate()?;
        // Names repeat block by block, and adapters are on the trunk only.
        let layers = architecture.num_hidden_layers.min(1);
        let one =
            Architecture { num_hidden_layers: layers, num_nextn_predict_layers: 0, ..architecture.clone() };
        let mut decoder = Decoder::uninitialised(&one, device);
        let targets = self.targets(&mut decoder)?;
        for (name, linear) in decoder.adaptable().filter(|(name, _)| targets.contains(last(name))) {
            let shape = linear.weight.lazy_shape().dims::<2>();
            let most = shape[0].min(shape[1]);
            if self.r > most {
                return Err(Error::Rank { r: self.r, module: last(&name).to_owned(), shape, most });
            }
        }
        Ok(())
    }

    /// Parameters of the adapters of a model of that architecture, before any weight is read.
    ///
    /// # Errors
    /// Those of [`Self::check`].
    pub fn parameters(&self, architecture: &Architecture, device: &Device) -> Result<usize, Error> {
        self.validate()?;
        let mut decoder = Decoder::uninitialised(architecture, device);
        let targets = self.targets(&mut decoder)?;
        let of_one = |linear: &mut Linear| linear.weight.lazy_shape().dims::<2>().into_iter().sum::<usize>();
        let adapted = decoder.adaptable().filter(|(name, _)| targets.contains(last(name)));
        Ok(self.r * adapted.map(|(_, linear)| of_one(linear)).sum::<usize>())
    }

    /// The names of modules that get an adapter, each of which the decoder has.
    fn targets(&self, decoder: &mut Decoder) -> Result<BTreeSet<String>, Error> {
        let known: BTreeSet<String> = decoder.adaptable().map(|(name, _)| last(&name).to_owned()).collect();
        match &self.target_modules {
            Targets::Shorthand(Shorthand::AllLinear) => Ok(known),
            Targets::Named(names) => match names.iter().find(|name| !known.contains(*name)) {
                None => Ok(names.iter().cloned().collect()),
                Some(name) => Err(unknown(name, known)),
            },
        }
    }

    fn scale(&self) -> f64 {
        let rank = self.r as f64;
        self.lora_alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }
}

/// What is on the linear maps of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapters {
    /// Their recipe; the targets are resolved to names.
    pub config: Config,
    /// The model folder whose weights they were made for.
    pub base: PathBuf,
}

impl Decoder {
    /// Freezes all weights and puts fresh adapters on the targets: A uniform within `1 / sqrt(in)`, as PEFT draws it,
    /// and B zero, so that nothing changes yet. `base` is the folder that the weights came from.
    ///
    /// # Errors
    /// Those of [`Config::check`].
    pub fn with_adapters(self, config: &Config, base: &Path, rng: &mut impl Rng) -> Result<Self, Error> {
        config.validate()?;
        let mut decoder = self.no_grad();
        let targets = config.targets(&mut decoder)?;
        for (name, linear) in decoder.adaptable() {
            if targets.contains(last(&name)) {
                linear.adapter = Some(Adapter::fresh(linear.weight.val(), config.r, config.scale(), rng));
            }
        }
        let target_modules = Targets::Named(targets.into_iter().collect());
        let config = Config { target_modules, ..config.clone() };
        decoder.set_adapters(Some(Adapters { config, base: base.to_owned() }));
        Ok(decoder)
    }

    /// Under adapters: the frozen matrices rounded to a dtype, in which they are then held. Checkpoints in bfloat16 lose
    /// nothing by it. Norms, biases and the router, which has to tell near scores apart, stay as they are.
    #[must_use]
    pub fn with_frozen_dtype(self, dtype: ComputeDtype) -> Self {
        match dtype {
            ComputeDtype::Bf16 if self.adapters().is_some() => self.map_parameters(&mut Held(DType::BF16)),
            ComputeDtype::Bf16 | ComputeDtype::F32 => self,
        }
    }

    /// The decoder without adapters that computes the same, in f32: each is added into its weight. One without adapters is
    /// given back as it is.
    #[must_use]
    pub fn merged(mut self) -> Self {
        for (_, linear) in self.adaptable() {
            if linear.adapter.is_some() {
                linear.weight = Param::from_tensor(linear.effective_weight().detach());
                linear.adapter = None;
            }
        }
        self.set_adapters(None);
        match self.head().dtype() {
            DType::F32 => self,
            _ => self.map_parameters(&mut Held(DType::F32)),
        }
    }

    /// The decoder as it is with all adapters off; weights are shared, nothing is copied.
    #[must_use]
    pub fn without_adapters(&self) -> Self {
        let mut decoder = self.clone();
        decoder.adaptable().for_each(|(_, linear)| linear.adapter = None);
        decoder.set_adapters(None);
        decoder
    }
}

/// Puts what does not learn into a dtype, where it may be in one.
struct Held(DType);

impl ParameterMapper for Held {
    fn map<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Tensor<D> {
        let held = may_be_bfloat16(name, D) && !tensor.is_require_grad();
        if held { tensor.cast(self.0) } else { tensor }
    }
}

/// The module's own name, without where it lies.
fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn unknown(name: &str, known: BTreeSet<String>) -> Error {
    let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
    Error::Target { name: name.to_owned(), nearest, known: known.into_iter().collect() }
}
