//! `import`: a GGUF file into a model folder, which is there whole or not at all.

use crate::error::Refusal;
use crate::policy::refuse_existing;
use crate::printable::harmless;
use crate::progress::Progress;
use anyhow::{Context, Result};
use ruminate_gguf::{Dtype, Gguf, Import, Options, pre_tokenizers};
use ruminate_run::{FolderWriter, make_parents};
use serde_json::json;
use std::path::Path;

/// Makes the model folder `out` from a GGUF file. `pre` names how the training split text into words, for a file that does
/// not say it; `dtype` is `float32` or `bfloat16`, where the file's own types should not decide.
///
/// # Errors
/// A file that is no model we read, an `out` that is there already, and those of writing.
pub(crate) fn run(file: &Path, out: &Path, pre: Option<&str>, dtype: Option<&str>) -> Result<()> {
    refuse_existing(out)?;
    if let Some(pre) = pre
        && !pre_tokenizers().any(|known| known == pre)
    {
        let known = pre_tokenizers().collect::<Vec<_>>().join(", ");
        return Err(Refusal::usage(format!("--pre {pre}: expected one of {known}")));
    }
    let dtype = match dtype.map(|name| (name, Dtype::of_name(name))) {
        None => None,
        Some((_, dtype @ Some(_))) => dtype,
        Some((name, None)) => {
            return Err(Refusal::usage(format!("--dtype {name}: expected float32 or bfloat16")));
        }
    };
    let options =
        Options { pre: pre.map(str::to_owned), dtype, check_charsmap: Some(ruminate_text::check_charsmap) };
    let of_file = || file.display().to_string();
    let mut gguf = Gguf::open(file).with_context(of_file)?;
    let import = Import::plan(&mut gguf, &options).with_context(of_file)?;
    if !import.has_end() {
        notice!(
            "warning: {}: no token ends a text or a turn (`tokenizer.ggml.eos_token_id` is absent): completions end by \
             their length only; set `eos_token_id` in {}",
            file.display(),
            out.join("config.json").display()
        );
    }
    make_parents(out)?;
    let folder = FolderWriter::create(out)?;
    let mut bar = None;
    import
        .write(&mut gguf, folder.folder(), &mut |at| {
            let bar = bar.get_or_insert_with(|| Progress::new("import", at.of as u64, 0));
            bar.at(at.done as u64, &harmless(at.tensor));
        })
        .with_context(of_file)?;
    // What has appeared there in the meantime stays.
    refuse_existing(out)?;
    folder.commit(json!({ "imported_from": file.file_name().map(|name| name.to_string_lossy()) }))?;
    if let Some(bar) = bar {
        let gib = import.weight_bytes() as f64 / f64::from(1 << 30);
        bar.say(&format!("{}: {gib:.2} GiB of weights in {}", out.display(), import.dtype()));
    }
    Ok(())
}
