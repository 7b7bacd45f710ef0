//! Models by their name on the Hugging Face Hub: `org/model`, or `org/model@revision` for a branch, a tag or a commit, is the
//! folder of that name where there is one, else the Hub's model, downloaded once into the cache that Python's tools share.
//! Without the feature `hub`, and without a network, the answer says which files belong where. It does not read
//! the files, but for their hash where the Hub names it.

use crate::error::Refusal;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// The folder of a model that a recipe or a flag names.
///
/// # Errors
/// With exit code 3: the name is the Hub's, and its files cannot be had; or it is a run folder, whose model lies below it.
/// With 2 for a name with a revision that is none.
pub(crate) fn folder(model: &Path) -> Result<PathBuf> {
    match hub_name(model) {
        Some(name) if !model.exists() => {
            if let Some(revision) = name.revision.filter(|revision| !is_revision(revision)) {
                return Err(Refusal::usage(format!(
                    "{}: expected a branch, a tag or a commit behind the `@`, as in {}@main, found {revision:?}",
                    model.display(),
                    name.repository
                )));
            }
            download(name)
        }
        _ => {
            crate::run::folders::check_model(model)?;
            Ok(model.to_owned())
        }
    }
}

/// The name of a model that would be downloaded: none of a folder, and of a binary that cannot.
pub(crate) fn to_download(model: &Path) -> Option<&str> {
    let is_named = cfg!(feature = "hub") && hub_name(model).is_some() && !model.exists();
    model.to_str().filter(|_| is_named)
}

/// What a folder of the Hub's cache holds, as `org/model@commit`; none of any other folder.
pub(crate) fn origin(folder: &Path) -> Option<String> {
    let parts: Vec<&str> = folder.iter().map(|part| part.to_str().unwrap_or_default()).collect();
    let [.., repository, "snapshots", commit] = parts[..] else { return None };
    let (organisation, model) = repository.strip_prefix("models--")?.split_once("--")?;
    Some(format!("{organisation}/{model}@{commit}"))
}

/// A model as the Hub names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name<'a> {
    /// `org/model`
    repository: &'a str,
    /// What stands behind an `@`, whatever it is.
    revision: Option<&'a str>,
}

/// `org/model`, as the Hub spells names; `./org/model` and `/org/model` are paths.
fn hub_name(model: &Path) -> Option<Name<'_>> {
    let text = model.to_str()?;
    let (repository, revision) = match text.split_once('@') {
        Some((repository, revision)) => (repository, Some(revision)),
        None => (text, None),
    };
    let (organisation, name) = repository.split_once('/')?;
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    (is_name(organisation) && is_name(name)).then_some(Name { repository, revision })
}

/// Whether a text can be the name of a branch (`main`, `refs/pr/1`), of a tag, or a commit.
fn is_revision(text: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && !part.ends_with('.')
            && !part.contains("..")
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+'))
    };
    text.len() <= 250 && text.split('/').all(is_part)
}

/// Why there is no such model, and what to do by hand.
fn absent(name: Name<'_>, why: &str) -> anyhow::Error {
    let Name { repository, revision } = name;
    let at = revision.map_or_else(String::new, |revision| format!("@{revision}"));
    Refusal::input(format!(
        "there is no folder {repository}{at}, and {why}. Put the model's files into the folder {repository}{at}: config.json, \
         model.safetensors (or all shards with model.safetensors.index.json), tokenizer.json, tokenizer_config.json, \
         and where there are such, generation_config.json and chat_template.jinja; they are at \
         https://huggingface.co/{repository}/tree/{}",
        revision.unwrap_or("main")
    ))
}

#[cfg(not(feature = "hub"))]
fn download(name: Name<'_>) -> Result<PathBuf> {
    let why = "this binary was built without the feature `hub`, which downloads models: build it by `cargo xtask \
               --features hub COMMAND ...`";
    Err(absent(name, why))
}

#[cfg(feature = "hub")]
use client::download;

#[cfg(feature = "hub")]
mod client {
    use super::{Name, absent};
    use crate::progress::Progress;
    use anyhow::Result;
    use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
    use hf_hub::{Cache, CacheRepo, Repo, RepoType};
    use ruminate_run::FileEntry;
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

    /// Why a model's files are not there.
    enum Failed {
        /// The Hub does not give them.
        Download(ApiError),
        /// It gave another file than it names.
        Hash(String),
    }

    impl From<ApiError> for Failed {
        fn from(error: ApiError) -> Self {
            Self::Download(error)
        }
    }

    /// The model's folder in the cache (`HF_HOME`), filled from the Hub (`HF_ENDPOINT`) where something is missing.
    pub(super) fn download(name: Name<'_>) -> Result<PathBuf> {
        let revision = name.revision.unwrap_or("main").to_owned();
        let repo = Repo::with_revision(name.repository.to_owned(), RepoType::Model, revision);
        if let Some(folder) = cached(&Cache::from_env().repo(repo.clone())) {
            return Ok(folder);
        }
        let mut builder = ApiBuilder::from_env().with_retries(RETRIES);
        if let Ok(token) = std::env::var("HF_TOKEN") {
            builder = builder.with_token(Some(token));
        }
        let cache = Cache::from_env().repo(repo.clone());
        match builder.build().map_err(Failed::from).and_then(|api| fetch(&api.repo(repo), &cache)) {
            Ok(Some(folder)) => Ok(folder),
            Ok(None) => Err(absent(name, "the Hub's model of that name has no safetensors files")),
            Err(Failed::Download(error)) => Err(absent(name, &format!("it cannot be downloaded ({error})"))),
            Err(Failed::Hash(file)) => Err(absent(
                name,
                &format!(
                    "its {file} has arrived with another SHA-256 than the Hub names, and was removed; try again"
                ),
            )),
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
    fn fetch(repo: &ApiRepo, cache: &CacheRepo) -> Result<Option<PathBuf>, Failed> {
        let info = repo.info()?;
        let listed: BTreeSet<String> = info.siblings.into_iter().map(|file| file.rfilename).collect();
        let folder = cache.pointer_path(&info.sha);
        let get = |name: &str| -> Result<(), Failed> {
            if listed.contains(name) && !folder.join(name).exists() {
                let file = repo.download_with_progress(name, Bar { progress: None, done: 0 })?;
                return if is_named_by_its_hash(&file) { Ok(()) } else { Err(Failed::Hash(name.to_owned())) };
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

    /// Whether a downloaded file is what the Hub said: the cache names it by its tag, which of large files (LFS) is their
    /// SHA-256. Of others it is a hash of git's, and the connection has to do. A file that is something else is removed.
    fn is_named_by_its_hash(file: &Path) -> bool {
        let Ok(blob) = file.canonicalize() else { return false };
        let tag = blob.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_sha256 = tag.len() == 64 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_sha256 || FileEntry::of(&blob).is_ok_and(|entry| entry.sha256.eq_ignore_ascii_case(tag)) {
            return true;
        }
        // What cannot be removed is found again by the next download, which is checked as well.
        let _ = fs::remove_file(file);
        let _ = fs::remove_file(&blob);
        false
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
            assert_eq!(hub_name(Path::new(name)), Some(Name { repository: name, revision: None }));
        }
        let paths =
            ["model", "./a/b", "/a/b", "../a", "a/b/c", "a/", "/b", "a/..", "~/b", "a b/c", "a/b?c", "a@b/c"];
        for path in paths {
            assert_eq!(hub_name(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn a_revision_stands_behind_the_name() {
        for revision in ["main", "v1.0", "refs/pr/12", "0a1b2c3", "feature/x-y_z"] {
            let name = format!("org/model@{revision}");
            let expected = Name { repository: "org/model", revision: Some(revision) };
            assert_eq!(hub_name(Path::new(&name)), Some(expected));
            assert!(is_revision(revision), "{revision}");
        }
        for revision in
            ["", " ", "a b", "../x", "a/../b", "a//b", "/a", "a/", "a?b", "a..b", "a.", "-a", "a@b", "a\nb"]
        {
            assert!(!is_revision(revision), "{revision:?}");
            let message =
                format!("{:#}", folder(Path::new(&format!("org/model@{revision}"))).expect_err(revision));
            assert!(message.contains("behind the `@`"), "{message}");
        }
    }

    #[test]
    fn a_folder_of_the_cache_says_what_it_holds() {
        let folder = Path::new("/home/a/hub/models--org--my--model/snapshots/c0ffee");
        assert_eq!(origin(folder).as_deref(), Some("org/my--model@c0ffee"));
        for folder in ["/a/snapshots/b", "models--org--model", "models--org/snapshots/c0ffee", "model"] {
            assert_eq!(origin(Path::new(folder)), None, "{folder}");
        }
    }

    #[test]
    fn a_folder_that_exists_is_itself() {
        let here = Path::new("src/commands"); // tests run in the package's folder
        assert_eq!(folder(here).expect("exists"), here);
        assert_eq!(folder(Path::new("absent")).expect("a path"), Path::new("absent"));
    }
}
