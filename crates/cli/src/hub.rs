//! Models by their name on the Hugging Face Hub: `org/model` is the folder of that name where there is one, else the
//! Hub's model, downloaded once into the cache that Python's tools share. Without the feature `hub`, and without a
//! network, the answer says which files belong where. It refuses to know what the files hold.

use crate::exit::Refusal;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// The folder of a model that a recipe or a flag names.
///
/// # Errors
/// With exit code 3: the name is the Hub's, and its files cannot be had; or it is a run folder, whose model lies below it.
pub(crate) fn folder(model: &Path) -> Result<PathBuf> {
    match hub_name(model) {
        Some(name) if !model.exists() => download(name),
        _ => {
            crate::folders::check_model(model)?;
            Ok(model.to_owned())
        }
    }
}

/// `org/model`, as the Hub spells names; `./org/model` and `/org/model` are paths.
fn hub_name(model: &Path) -> Option<&str> {
    let name = model.to_str()?;
    let (organisation, repository) = name.split_once('/')?;
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    (is_name(organisation) && is_name(repository)).then_some(name)
}

/// Why there is no such model, and what to do by hand.
fn absent(name: &str, why: &str) -> anyhow::Error {
    Refusal::input(format!(
        "there is no folder {name}, and {why}. Put the model's files into the folder {name}: config.json, \
         model.safetensors (or all shards with model.safetensors.index.json), tokenizer.json, tokenizer_config.json, \
         and where there are such, generation_config.json and chat_template.jinja; they are at \
         https://huggingface.co/{name}/tree/main"
    ))
}

#[cfg(not(feature = "hub"))]
fn download(name: &str) -> Result<PathBuf> {
    let why = "this binary was built without the feature `hub`, which downloads models: build it by `cargo xtask \
               --features hub COMMAND ...`";
    Err(absent(name, why))
}

#[cfg(feature = "hub")]
use client::download;

#[cfg(feature = "hub")]
mod client {
    use super::absent;
    use crate::progress::Progress;
    use anyhow::Result;
    use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
    use hf_hub::{Cache, CacheRepo, Repo};
    use ruminate_text::is_tokenizer_file;
    use serde_json::Value;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    const CONFIG: &str = "config.json";
    const WEIGHTS: &str = "model.safetensors";
    const INDEX: &str = "model.safetensors.index.json";

    const GENERATION: &str = "generation_config.json";

    /// Attempts that follow a broken connection; each goes on where the one before it ended.
    const RETRIES: usize = 3;

    /// The model's folder in the cache (`HF_HOME`), filled from the Hub (`HF_ENDPOINT`) where something is missing.
    pub(super) fn download(name: &str) -> Result<PathBuf> {
        let repo = Repo::model(name.to_owned());
        if let Some(folder) = cached(&Cache::from_env().repo(repo.clone())) {
            return Ok(folder);
        }
        let mut builder = ApiBuilder::from_env().with_retries(RETRIES);
        if let Ok(token) = std::env::var("HF_TOKEN") {
            builder = builder.with_token(Some(token));
        }
        let cache = Cache::from_env().repo(repo.clone());
        match builder.build().and_then(|api| fetch(&api.repo(repo), &cache)) {
            Ok(Some(folder)) => Ok(folder),
            Ok(None) => Err(absent(name, "the Hub's model of that name has no safetensors files")),
            Err(error) => Err(absent(name, &format!("it cannot be downloaded ({error})"))),
        }
    }

    /// The folder of a model that was downloaded whole: its configuration comes last.
    fn cached(cache: &CacheRepo) -> Option<PathBuf> {
        let folder = cache.get(CONFIG)?.parent()?.to_owned();
        let has = |name: &str| folder.join(name).exists();
        let whole = has(WEIGHTS)
            || shards(&folder.join(INDEX)).is_some_and(|names| names.iter().all(|name| has(name)));
        whole.then_some(folder)
    }

    /// Downloads what is there of a model folder and not in the cache yet; none where it has no weights.
    fn fetch(repo: &ApiRepo, cache: &CacheRepo) -> Result<Option<PathBuf>, ApiError> {
        let info = repo.info()?;
        let listed: BTreeSet<String> = info.siblings.into_iter().map(|file| file.rfilename).collect();
        let folder = cache.pointer_path(&info.sha);
        let get = |name: &str| -> Result<(), ApiError> {
            if listed.contains(name) && !folder.join(name).exists() {
                repo.download_with_progress(name, Bar { progress: None, done: 0 })?;
            }
            Ok(())
        };
        if listed.contains(WEIGHTS) {
            get(WEIGHTS)?;
        } else if listed.contains(INDEX) {
            get(INDEX)?;
            for name in shards(&folder.join(INDEX)).unwrap_or_default() {
                get(&name)?;
            }
        } else {
            return Ok(None);
        }
        // What a model folder has beside its weights and its tokenizer.
        let tokenizer = listed.iter().map(String::as_str).filter(|name| is_tokenizer_file(name));
        for name in tokenizer.chain([GENERATION, CONFIG]) {
            get(name)?;
        }
        Ok(Some(folder))
    }

    /// The files that an index names, which are the folder's own.
    fn shards(index: &Path) -> Option<BTreeSet<String>> {
        let json: Value = serde_json::from_slice(&fs::read(index).ok()?).ok()?;
        let names: Option<BTreeSet<String>> =
            json["weight_map"].as_object()?.values().map(|name| name.as_str().map(str::to_owned)).collect();
        names.filter(|names| names.iter().all(|name| !name.contains(['/', '\\']) && name != ".."))
    }

    /// A file's progress, in MB.
    struct Bar {
        progress: Option<Progress>,
        done: usize,
    }

    const MB: usize = 1_000_000;

    impl hf_hub::api::Progress for Bar {
        fn init(&mut self, size: usize, name: &str) {
            if size >= MB {
                self.progress = Some(Progress::new(name, (size / MB) as u64, 0));
            }
        }

        fn update(&mut self, size: usize) {
            let before = self.done / MB;
            self.done += size;
            if let Some(progress) = self.progress.as_mut().filter(|_| self.done / MB > before) {
                progress.at((self.done / MB) as u64, "MB");
            }
        }

        fn finish(&mut self) {
            self.progress = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_two_parts_and_paths_are_something_else() {
        for name in ["Qwen/Qwen2.5-0.5B", "deepseek-ai/DeepSeek-V3", "a/b_c"] {
            assert_eq!(hub_name(Path::new(name)), Some(name));
        }
        for path in ["model", "./a/b", "/a/b", "../a", "a/b/c", "a/", "/b", "a/..", "~/b", "a b/c", "a/b?c"] {
            assert_eq!(hub_name(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn a_folder_that_exists_is_itself() {
        let here = Path::new("src/commands"); // tests run in the package's folder
        assert_eq!(folder(here).expect("exists"), here);
        assert_eq!(folder(Path::new("absent")).expect("a path"), Path::new("absent"));
    }
}
