//! `export`: a model folder into a GGUF file that llama.cpp runs, which is there whole or not at all.

use crate::commands::generate::optional_renderer;
use crate::device::Device;
use crate::error::Refusal;
use crate::policy::{Source, refuse_existing};
use crate::progress::Progress;
use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::Tensor;
use ruminate_gguf::{Export, ExportSource, ExportType};
use ruminate_model::read::{Place, floats};
use ruminate_model::{self as model, visit_stored};
use ruminate_run::{make_parents, write_file_with};
use ruminate_text::{Tokenizer, end_ids};
use serde_json::Value;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io::BufWriter;
use std::ops::Range;
use std::path::Path;

/// Writes the GGUF file `out` of a model folder, or of an adapter folder's merged model; `kind` is `f16`, `bf16` or `q8_0`.
///
/// # Errors
/// A model or tokenizer that llama.cpp cannot run, an `out` that is there already, and those of loading and writing.
pub(crate) fn run(folder: &Path, out: &Path, kind: &str) -> Result<()> {
    let Some(kind) = ExportType::of_name(kind) else {
        return Err(Refusal::usage(format!("--type {kind}: expected f16, bf16 or q8_0")));
    };
    refuse_existing(out)?;
    let source = Source::new(folder, None)?;
    let of_folder = || folder.display().to_string();
    let config = model::load_config(&source.base)?;
    let Some(renderer) = optional_renderer(&source.base, &config, true)? else {
        return Err(Refusal::input(format!(
            "{}: no tokenizer.json; a GGUF file needs one",
            source.base.display()
        )));
    };
    let tokenizer = &renderer.tokenizer;
    let ends = ends(&source.base, tokenizer, &config)?;
    let special = tokenizer.special_tokens();
    let id = |token: &Option<String>| {
        let id = tokenizer.token_id(token.as_deref()?);
        id.filter(|id| (*id as usize) < config.vocab_size)
    };
    let parts = parts(tokenizer);
    let json = config.to_json();
    let plan = |json: &Value| {
        Export::plan(
            &ExportSource {
                name: &folder.file_name().unwrap_or_default().to_string_lossy(),
                config: json,
                tokenizer: &parts,
                bos: id(&special.bos),
                pad: id(&special.pad),
                unk: id(&special.unk),
                ends: &ends,
                chat_template: tokenizer.chat_template(),
            },
            kind,
        )
        .with_context(of_folder)
    };
    // What cannot be exported is refused before any weight is read.
    plan(&json)?;
    let decoder = source.load(&Device::default().open()?)?.valid();
    // The weights say whether the head is the embedding.
    let export = plan(&decoder.config().to_json())?;
    let mut weights: HashMap<String, (Tensor<1>, Range<usize>)> = HashMap::new();
    let Ok(()) = visit_stored::<Infallible>(&decoder, &mut |name, _, parameter, part| {
        weights.insert(name.to_owned(), (parameter.clone(), part));
        Ok(())
    });
    let mut bar = None;
    make_parents(out)?;
    let written: Result<()> = write_file_with(out, |file| {
        let mut file = BufWriter::new(file);
        export
            .write(
                &mut file,
                &mut |name, range, values| {
                    let (parameter, part) = &weights[name];
                    let (first, count) =
                        (part.start + range.start as usize, (range.end - range.start) as usize);
                    values.extend(floats(parameter.clone().narrow(0, first, count), Place::Weights));
                },
                &mut |at| {
                    let bar = bar.get_or_insert_with(|| Progress::new("export", at.of as u64, 0));
                    bar.at(at.done as u64, at.tensor);
                },
            )
            .with_context(|| out.display().to_string())?;
        drop(file);
        // What has appeared there in the meantime stays.
        refuse_existing(out)
    });
    written?;
    if let Some(bar) = bar {
        let gib = export.bytes() as f64 / f64::from(1 << 30);
        bar.say(&format!("{}: {gib:.2} GiB", out.display()));
    }
    Ok(())
}

/// `tokenizer.json` with the tokens of all files, and what it puts around texts: our own texts get nothing.
fn parts(tokenizer: &Tokenizer) -> Value {
    let file = tokenizer.files().find(|(name, _)| *name == "tokenizer.json");
    let own: Value = file.and_then(|(_, bytes)| serde_json::from_slice(bytes).ok()).unwrap_or_default();
    let mut parts = tokenizer.parts();
    parts["post_processor"] = own["post_processor"].clone();
    parts
}

/// The ids that end what the model writes, the tokenizer's own first: llama.cpp writes that one at a text's end.
fn ends(folder: &Path, tokenizer: &Tokenizer, config: &model::Config) -> Result<Vec<u32>> {
    let mut ends = end_ids(folder, config.vocab_size, &config.eos_token_ids)?;
    if let Some(own) = tokenizer.eos_id().filter(|id| (*id as usize) < config.vocab_size) {
        ends.retain(|id| *id != own);
        ends.insert(0, own);
    }
    Ok(ends)
}
