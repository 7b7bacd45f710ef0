//! `merge`: adapters into the weights of the model that they were made for. What comes of it is a model folder like any
//! other, there whole or not at all.

use crate::commands::generate::optional_renderer;
use crate::device::Device;
use crate::error::Refusal;
use crate::policy::{Source, refuse_existing, save_new};
use crate::run::folders;
use anyhow::Result;
use ruminate_model::{self as model, Format, lora};
use std::path::{Path, PathBuf};

/// Merges the adapters of a folder into its base, or into `base`, and writes the model folder `out`. Returns the base.
///
/// # Errors
/// A folder that holds no adapters, an `out` that is there already, and those of loading and saving.
pub(crate) fn run(adapter: &Path, base: Option<&Path>, out: &Path) -> Result<PathBuf> {
    refuse_existing(out)?;
    let base = match base {
        Some(base) => base.to_owned(),
        None => lora::base_folder(adapter)?,
    };
    if base == adapter {
        // A run leaves the adapters beside the merged weights.
        let within = ["adapter", "final/adapter"].map(|name| adapter.join(name));
        let within = within.iter().find(|folder| folder.join("adapter_config.json").is_file());
        let hint = within.map(|folder| format!("; its adapters are in {}", folder.display()));
        return Err(Refusal::input(format!(
            "{} holds whole weights, not adapters: nothing to merge{}",
            adapter.display(),
            hint.unwrap_or_default()
        )));
    }
    let inputs = [("the adapter", adapter), ("the base", &base)];
    folders::apart(out, &inputs.map(|(name, path)| (name.to_owned(), path.to_owned())))?;
    let source = Source::new(&base, Some(adapter))?;
    let config = model::load_config(&source.base)?;
    // A tokenizer that exists is saved with the merged model, so it has to load.
    let needed = source.base.join("tokenizer.json").exists();
    let renderer = optional_renderer(&source.base, &config, needed)?;
    let merged = source.load(&Device::default().open()?)?;
    save_new(out, &merged, renderer.as_ref(), Format::default())?;
    Ok(base)
}
