//! `import`: a GGUF file into a model folder, which is there whole or not at all.

use crate::args::ImportArgs;
use crate::exit::Refusal;
use crate::progress::Progress;
use anyhow::{Context, Result};
use ruminate_gguf::{Gguf, Import};
use ruminate_run::FolderWriter;
use serde_json::json;

pub(crate) fn run(args: &ImportArgs) -> Result<()> {
    // A link that leads nowhere is in the way, too.
    if args.out.symlink_metadata().is_ok() {
        let out = args.out.display();
        return Err(Refusal::usage(format!("{out} exists already; remove it or choose another folder")));
    }
    let of_file = || args.file.display().to_string();
    let mut gguf = Gguf::open(&args.file).with_context(of_file)?;
    let import = Import::plan(&mut gguf).with_context(of_file)?;
    let folder = FolderWriter::create(&args.out)?;
    let mut bar = None;
    import
        .write(&mut gguf, folder.folder(), &mut |at| {
            let bar = bar.get_or_insert_with(|| Progress::new("import", at.of as u64, 0));
            bar.at(at.done as u64, at.tensor);
        })
        .with_context(of_file)?;
    folder.commit(json!({ "imported_from": args.file.file_name().map(|name| name.to_string_lossy()) }))?;
    if let Some(bar) = bar {
        let gib = import.weight_bytes() as f64 / f64::from(1 << 30);
        bar.say(&format!("{}: {gib:.2} GiB of weights in {}", args.out.display(), import.dtype()));
    }
    Ok(())
}
