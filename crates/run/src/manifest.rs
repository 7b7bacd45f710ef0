//! `manifest.json`: the size and SHA-256 of each file of a committed folder, and the writer's own metadata. It
//! refuses to know what the files mean.
//!
//! The manifest covers itself: its last key is the SHA-256 of all its bytes before that key, so that a flipped
//! bit in the metadata (a step, a seed) is noticed like one in a weight.

use crate::error::{Corrupt, Error, Fault};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path};

pub(crate) const MANIFEST: &str = "manifest.json";

/// A manifest is a list of names and hashes; one larger than this was not written by us.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

const SEAL_OPEN: &str = ",\n  \"sha256\": \"";
const SEAL_CLOSE: &str = "\"\n}\n";
const HEX_LEN: usize = 64;

/// What a committed folder holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Each file by its path relative to the folder, with `/` between components.
    pub files: BTreeMap<String, FileEntry>,
    /// What the writer wanted to say of the folder: step, seed, data cursor, ...
    pub metadata: serde_json::Value,
}

/// One file of a [`Manifest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the content in lower-case hexadecimal.
    pub sha256: String,
}

/// Re-hashes every file of a committed folder.
///
/// # Errors
/// [`Error::Corrupt`] names the first file that is missing, truncated or changed; [`Error::Disk`] when reading
/// itself fails.
pub fn verify(folder: &Path) -> Result<Manifest, Error> {
    let broken = |fault| Error::Corrupt(Corrupt { folder: folder.to_owned(), fault });
    let manifest = read(folder)?;
    for (file, entry) in &manifest.files {
        let path = folder.join(file);
        let found = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Ok(_) => return Err(broken(Fault::Missing { file: file.clone() })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(broken(Fault::Missing { file: file.clone() }));
            }
            Err(e) => return Err(Error::disk("read", &path)(e)),
        };
        if found < entry.bytes {
            return Err(broken(Fault::Truncated { file: file.clone(), expected: entry.bytes, found }));
        }
        // A longer file needs no hash to be known as changed.
        if found > entry.bytes || FileEntry::of(&path)?.sha256 != entry.sha256 {
            return Err(broken(Fault::Changed { file: file.clone() }));
        }
    }
    Ok(manifest)
}

/// The files of a committed folder by its manifest, which is one of them; none where no manifest can be read. Nothing
/// is verified.
pub(crate) fn listed(folder: &Path) -> Option<BTreeSet<String>> {
    let manifest = read(folder).ok()?;
    Some(manifest.files.into_keys().chain([MANIFEST.to_owned()]).collect())
}

/// SHA-256 in lower-case hexadecimal, as manifests and `complete.json` hold it.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

impl FileEntry {
    /// What a file holds. It is read in pieces: a shard may be larger than memory.
    ///
    /// # Errors
    /// [`Error::Disk`] when it cannot be read.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(Error::disk("read", path))?;
        let mut hash = Sha256::new();
        let mut piece = vec![0; 1 << 20];
        let mut bytes = 0;
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok(Self { bytes, sha256: hex(&hash.finalize()) }),
                Ok(n) => {
                    hash.update(&piece[..n]);
                    bytes += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::disk("read", path)(e)),
            }
        }
    }
}

impl Manifest {
    /// The bytes of `manifest.json`, seal included.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.truncate(text.len() - "\n}".len()); // reopen the object: the seal becomes its last key
        let seal = sha256_hex(text.as_bytes());
        text.push_str(SEAL_OPEN);
        text.push_str(&seal);
        text.push_str(SEAL_CLOSE);
        Ok(text.into_bytes())
    }

    /// Reads `manifest.json` back and checks its seal and that no name leaves the folder.
    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let sealed = bytes
            .len()
            .checked_sub(SEAL_OPEN.len() + HEX_LEN + SEAL_CLOSE.len())
            .map(|at| bytes.split_at(at))
            .and_then(|(body, seal)| {
                let seal = seal.strip_prefix(SEAL_OPEN.as_bytes())?.strip_suffix(SEAL_CLOSE.as_bytes())?;
                (sha256_hex(body).as_bytes() == seal).then_some(())
            });
        if sealed.is_none() {
            return Err("does not end with the SHA-256 of its own content: it was cut off or edited".into());
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| format!("does not parse: {e}"))?;
        match manifest.files.keys().find(|file| !is_inside(file)) {
            Some(file) => Err(format!("names {file:?}, which is not a file inside the folder")),
            None => Ok(manifest),
        }
    }
}

/// Whether a relative name stays below the folder that it is joined to.
pub(crate) fn is_inside(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|c| matches!(c, Component::Normal(_)))
}

fn read(folder: &Path) -> Result<Manifest, Error> {
    let broken = |fault| Error::Corrupt(Corrupt { folder: folder.to_owned(), fault });
    let path = folder.join(MANIFEST);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(broken(Fault::NoManifest));
        }
        Err(e) => return Err(Error::disk("read", &path)(e)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_MANIFEST_BYTES + 1).read_to_end(&mut bytes).map_err(Error::disk("read", &path))?;
    if bytes.len() as u64 > MAX_MANIFEST_BYTES {
        let reason = format!("is larger than {MAX_MANIFEST_BYTES} bytes: ours never are");
        return Err(broken(Fault::Malformed { file: MANIFEST.to_owned(), reason }));
    }
    Manifest::from_bytes(&bytes)
        .map_err(|reason| broken(Fault::Malformed { file: MANIFEST.to_owned(), reason }))
}

fn hex(digest: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    digest.iter().flat_map(|b| [b >> 4, b & 15]).map(|d| char::from(DIGITS[usize::from(d)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manifest(file: &str) -> Manifest {
        let entry = FileEntry { bytes: 3, sha256: sha256_hex(b"abc") };
        Manifest { files: [(file.to_owned(), entry)].into(), metadata: json!({"step": 7, "state": {}}) }
    }

    #[test]
    fn sha256_is_the_standards_test_vector() {
        // FIPS 180-4, the one-block example.
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_manifest_reads_back_and_is_plain_json() {
        let written = manifest("model/weights.safetensors");
        let bytes = written.to_bytes().expect("plain data");
        assert_eq!(Manifest::from_bytes(&bytes), Ok(written));
        let json: serde_json::Value = serde_json::from_slice(&bytes).expect("valid JSON");
        assert_eq!(json["metadata"]["step"], 7);
    }

    #[test]
    fn any_flipped_bit_of_a_manifest_is_noticed() {
        let bytes = manifest("a").to_bytes().expect("plain data");
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert!(Manifest::from_bytes(&flipped).is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn any_truncation_of_a_manifest_is_noticed() {
        let bytes = manifest("a").to_bytes().expect("plain data");
        for len in 0..bytes.len() {
            assert!(Manifest::from_bytes(&bytes[..len]).is_err(), "first {len} bytes");
        }
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for name in ["", "../a", "/etc/passwd", "a/../../b", "."] {
            let bytes = manifest(name).to_bytes().expect("plain data");
            assert!(Manifest::from_bytes(&bytes).is_err(), "{name:?}");
        }
    }
}
