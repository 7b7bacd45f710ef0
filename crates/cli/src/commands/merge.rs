//! `merge`: adapters into the weights of the model that they were made for. What comes of it is a model folder like any
//! other, there whole or not at all.

use crate::args::MergeArgs;
use crate::commands::generate::optional_language;
use crate::device::DeviceName;
use crate::exit::Refusal;
use crate::folders;
use crate::lines::Output;
use crate::outputs;
use crate::policy::{self, Source};
use anyhow::Result;
use ruminate_model::{self as model, Format, lora};
use serde_json::json;

pub(crate) fn run(args: &MergeArgs) -> Result<()> {
    if args.out.symlink_metadata().is_ok() {
        let out = args.out.display();
        return Err(Refusal::usage(format!("{out} exists already; remove it or choose another folder")));
    }
    let base = match &args.model {
        Some(base) => base.clone(),
        None => lora::base_folder(&args.adapter)?,
    };
    if base == args.adapter {
        let adapter = args.adapter.display();
        return Err(Refusal::input(format!("{adapter} holds whole weights, not adapters: nothing to merge")));
    }
    let inputs = [("the adapter", &args.adapter), ("the base", &base)];
    folders::apart(&args.out, &inputs.map(|(name, path)| (name.to_owned(), path.clone())))?;
    let source = Source::new(&base, Some(&args.adapter))?;
    let config = model::load_config(&source.base)?;
    // A tokenizer that exists is saved with the merged model, so it has to load.
    let needed = source.base.join("tokenizer.json").exists();
    let language = optional_language(&source.base, &config, needed)?;
    let merged = source.load(&DeviceName::default().open()?)?;
    policy::save(&args.out, &merged, language.as_ref(), Format::default())?;
    Output::open(None)?.line(&json!({ "model": outputs::json(&args.out) }))
}
