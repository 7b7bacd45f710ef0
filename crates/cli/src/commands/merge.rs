//! `merge`: adapters into the weights of the model that they were made for. What comes of it is a model folder like any
//! other, there whole or not at all.

use crate::args::MergeArgs;
use crate::commands::generate::optional_language;
use crate::device::DeviceName;
use crate::exit::Refusal;
use crate::folders;
use crate::lines::Output;
use crate::outputs;
use crate::policy::{Source, refuse_existing, save_new};
use anyhow::Result;
use ruminate_model::{self as model, Format, lora};
use serde_json::json;

pub(crate) fn run(args: &MergeArgs) -> Result<()> {
    refuse_existing(&args.out)?;
    let base = match &args.model {
        Some(base) => base.clone(),
        None => lora::base_folder(&args.adapter)?,
    };
    if base == args.adapter {
        // A run leaves the adapters beside the merged weights.
        let within = ["adapter", "final/adapter"].map(|name| args.adapter.join(name));
        let within = within.iter().find(|folder| folder.join("adapter_config.json").is_file());
        let hint = within.map(|folder| format!("; its adapters are in {}", folder.display()));
        return Err(Refusal::input(format!(
            "{} holds whole weights, not adapters: nothing to merge{}",
            args.adapter.display(),
            hint.unwrap_or_default()
        )));
    }
    let inputs = [("the adapter", &args.adapter), ("the base", &base)];
    folders::apart(&args.out, &inputs.map(|(name, path)| (name.to_owned(), path.clone())))?;
    let source = Source::new(&base, Some(&args.adapter))?;
    let config = model::load_config(&source.base)?;
    // A tokenizer that exists is saved with the merged model, so it has to load.
    let needed = source.base.join("tokenizer.json").exists();
    let language = optional_language(&source.base, &config, needed)?;
    let merged = source.load(&DeviceName::default().open()?)?;
    save_new(&args.out, &merged, language.as_ref(), Format::default())?;
    let [model, base, adapter] = [&args.out, &base, &args.adapter].map(|path| outputs::json(path));
    Output::open(None)?.line(&json!({ "model": model, "base": base, "adapter": adapter }))
}
