//! SHA-256 of what a run reads. A large file is hashed once: its hash is kept in the user's cache folder as long as size,
//! times and inode stay the same. The cache is a convenience: without one, or with a damaged one, files are hashed again.

use super::unreadable;
use anyhow::Result;
use ruminate_model::lora;
use ruminate_run::{FileEntry, make_parents, sha256_hex, write_file};
use serde::{Deserialize, Serialize};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes from which on a hash is worth keeping: below, hashing takes a few hundredths of a second.
const LARGE: u64 = 16 << 20;

/// Hashes that are kept, the latest.
const KEPT: usize = 256;

/// A file that was changed so lately could change again without its times telling.
const SETTLED: Duration = Duration::from_secs(2);

/// Files of a model folder that are written beside what loading reads.
const NOT_READ: [&str; 3] = ["manifest.json", "trainer_state.json", "optimizer.safetensors"];

/// The hash of a data file; none of what is no regular file, like a pipe.
///
/// # Errors
/// With exit code 3 where it cannot be read.
pub(super) fn of_file(path: &Path) -> Result<Option<String>> {
    let file = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !file.is_file() {
        return Ok(None);
    }
    Hashes::of_this_user().of(path, &file).map(Some)
}

/// The hash of the names and contents of a folder's weights, configuration, tokenizer and template; of an adapter folder
/// those of its base, too. What lies there now is read, whatever a `manifest.json` says of it.
///
/// # Errors
/// As [`of_file`], and where the base of an adapter folder is not there.
pub(crate) fn of_folder(folder: &Path) -> Result<String> {
    let is_read = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let kind = Path::new(name).extension().and_then(|kind| kind.to_str()).unwrap_or_default();
        ["safetensors", "json", "jinja", "model", "txt"].contains(&kind) && !NOT_READ.contains(&name)
    };
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_read).collect();
    files.sort();
    let mut lines = Vec::new();
    for path in files {
        if let Some(hash) = of_file(&path)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            lines.push(format!("{name} {hash}"));
        }
    }
    let base = lora::base_folder(folder)?;
    if base != folder {
        lines.push(format!("base {}", of_folder(&base)?));
    }
    Ok(sha256_hex(lines.join("\n").as_bytes()))
}

/// The cache as a file.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    files: Vec<Entry>,
}

/// A file as it was when it was hashed.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    stamp: Stamp,
    sha256: String,
}

/// What changes with a file's content.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    path: PathBuf,
    bytes: u64,
    /// Nanoseconds since 1970, as text: JSON has no numbers so large.
    modified: String,
    /// Of the file's entry, which no copying tool sets; with the inode, where there is one.
    changed: String,
}

/// Hashes with their cache.
struct Hashes {
    cache: Option<PathBuf>,
    large: u64,
}

impl Hashes {
    fn of_this_user() -> Self {
        let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let folder = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
        Self { cache: folder.map(|folder| folder.join("ruminate/sha256.json")), large: LARGE }
    }

    fn of(&self, path: &Path, file: &Metadata) -> Result<String> {
        let stamp =
            self.cache.as_ref().filter(|_| file.len() >= self.large).and_then(|_| Stamp::of(path, file));
        let Some(stamp) = stamp else { return hash(path) };
        if let Some(entry) = self.known().files.into_iter().find(|entry| entry.stamp == stamp) {
            return Ok(entry.sha256);
        }
        let sha256 = hash(path)?;
        // It may have changed meanwhile.
        if fs::metadata(path).ok().and_then(|file| Stamp::of(path, &file)).as_ref() == Some(&stamp) {
            self.keep(Entry { stamp, sha256: sha256.clone() });
        }
        Ok(sha256)
    }

    /// What is in the cache; nothing where it cannot be read.
    fn known(&self) -> Known {
        let bytes = self.cache.as_ref().and_then(|path| fs::read(path).ok()).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn keep(&self, entry: Entry) {
        let Some(cache) = &self.cache else { return };
        let mut known = self.known();
        known.files.retain(|old| old.stamp.path != entry.stamp.path);
        known.files.insert(0, entry);
        known.files.truncate(KEPT);
        if let Ok(bytes) = serde_json::to_vec_pretty(&known) {
            // Without it the file is hashed again, which is no reason to stop.
            let _ = make_parents(cache).and_then(|()| write_file(cache, &bytes));
        }
    }
}

impl Stamp {
    /// None of a file that changed just now, or whose times cannot be had.
    fn of(path: &Path, file: &Metadata) -> Option<Self> {
        let modified = file.modified().ok()?;
        SystemTime::now().duration_since(modified).ok().filter(|age| *age > SETTLED)?;
        Some(Self {
            path: fs::canonicalize(path).ok()?,
            bytes: file.len(),
            modified: modified.duration_since(UNIX_EPOCH).ok()?.as_nanos().to_string(),
            changed: changed(file),
        })
    }
}

#[cfg(unix)]
fn changed(file: &Metadata) -> String {
    use std::os::unix::fs::MetadataExt;
    format!("{}.{:09} {}:{}", file.ctime(), file.ctime_nsec(), file.dev(), file.ino())
}

#[cfg(not(unix))]
fn changed(_: &Metadata) -> String {
    String::new()
}

fn hash(path: &Path) -> Result<String> {
    FileEntry::of(path).map(|entry| entry.sha256).map_err(|error| match error {
        ruminate_run::Error::Disk { source, .. } => unreadable(path, &source),
        error => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn hash_of(hashes: &Hashes, path: &Path) -> String {
        hashes.of(path, &fs::metadata(path).expect("there")).expect("readable")
    }

    /// Sets a file's time back, as if it had lain there for a while.
    fn settle(path: &Path, seconds: u64) {
        let file = File::options().write(true).open(path).expect("opened");
        file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).expect("set");
    }

    #[test]
    fn a_large_file_is_hashed_once_and_again_when_it_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, cache) = (folder.path().join("data"), folder.path().join("cache/sha256.json"));
        let hashes = Hashes { cache: Some(cache.clone()), large: 3 };
        fs::write(&path, "abc").expect("written");
        assert_eq!(hash_of(&hashes, &path), sha256_hex(b"abc"));
        assert!(!cache.exists(), "changed just now");
        settle(&path, 1_000_000_000);
        assert_eq!(hash_of(&hashes, &path), sha256_hex(b"abc"));
        // What the cache says is believed: a mark in it comes back.
        let text = fs::read_to_string(&cache).expect("kept");
        fs::write(&cache, text.replace(&sha256_hex(b"abc"), "from the cache")).expect("written");
        assert_eq!(hash_of(&hashes, &path), "from the cache");
        // Another time, size, or file under this name.
        settle(&path, 1_000_000_001);
        assert_eq!(hash_of(&hashes, &path), sha256_hex(b"abc"));
        fs::write(&path, "abcd").expect("written");
        settle(&path, 1_000_000_001);
        assert_eq!(hash_of(&hashes, &path), sha256_hex(b"abcd"));
        #[cfg(unix)]
        {
            let other = folder.path().join("other");
            fs::write(&other, "dcba").expect("written");
            settle(&other, 1_000_000_001);
            fs::rename(&other, &path).expect("moved, with size and time of the one before");
            assert_eq!(hash_of(&hashes, &path), sha256_hex(b"dcba"));
        }
    }

    #[test]
    fn a_damaged_or_forbidden_cache_is_ignored() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data");
        fs::write(&path, "abc").expect("written");
        settle(&path, 1_000_000_000);
        for damage in ["", "{", "[1]", "{\"files\": 3}", "{\"files\": [{\"path\": 1}]}"] {
            let cache = folder.path().join("sha256.json");
            fs::write(&cache, damage).expect("written");
            let hashes = Hashes { cache: Some(cache), large: 0 };
            assert_eq!(hash_of(&hashes, &path), sha256_hex(b"abc"));
        }
        // Its folder would lie below a file.
        let hashes = Hashes { cache: Some(path.join("ruminate/sha256.json")), large: 0 };
        assert_eq!(hash_of(&hashes, &path), sha256_hex(b"abc"));
    }

    #[test]
    fn a_folder_is_what_loading_reads_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        let of = || of_folder(folder.path()).expect("readable");
        write("config.json", "{}");
        write("model.safetensors", "weights");
        let first = of();
        for name in ["manifest.json", "README.md", "optimizer.safetensors", "trainer_state.json"] {
            write(name, "{}");
        }
        assert_eq!(of(), first);
        let mut seen = vec![first];
        for (name, text) in [
            ("model.safetensors", "Weights"),
            ("tokenizer.json", "{}"),
            ("chat_template.jinja", "x"),
            ("merges.txt", "a b"),
            ("model-00002-of-00002.safetensors", "more"),
        ] {
            write(name, text);
            assert!(!seen.contains(&of()), "{name}");
            seen.push(of());
        }
    }

    #[test]
    fn adapters_are_their_base_as_well() {
        let folder = tempfile::tempdir().expect("a folder");
        let (base, adapter) = (folder.path().join("base"), folder.path().join("adapter"));
        for folder in [&base, &adapter] {
            fs::create_dir(folder).expect("made");
        }
        let names = format!("{{\"base_model_name_or_path\": {:?}}}", base.display().to_string());
        fs::write(adapter.join("adapter_config.json"), names).expect("written");
        fs::write(base.join("config.json"), "{}").expect("written");
        fs::write(base.join("model.safetensors"), "one").expect("written");
        let before = of_folder(&adapter).expect("readable");
        fs::write(base.join("model.safetensors"), "two").expect("written");
        assert_ne!(of_folder(&adapter).expect("readable"), before);
    }
}
