//! Which files hold a folder's weights: `model.safetensors`, or the shards of `model.safetensors.index.json`.

use super::error::LoadError;
use super::{NAMED, kind, refused};
use ruminate_files::MAX_TEXT_BYTES;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt::{self, Formatter};
use std::fs;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

pub(super) const SINGLE: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// Tensors of an index; the largest published models have about 140,000.
const MAX_TENSORS: usize = 1 << 18;

/// The weight files of a folder.
pub(super) enum WeightFiles {
    /// One file with everything.
    Single(PathBuf),
    /// Shards, and what the index says of them.
    Sharded(Index),
}

/// `model.safetensors.index.json`.
pub(super) struct Index {
    pub(super) path: PathBuf,
    /// Names of files in the folder, each once.
    pub(super) shards: Vec<String>,
    /// The shard of each tensor, as a place in `shards`.
    pub(super) shard_of: BTreeMap<String, usize>,
}

impl WeightFiles {
    /// Of a folder; as in transformers, one whole file comes before an index.
    ///
    /// # Errors
    /// There is an index and it cannot be read, or names files elsewhere; or weights have other names.
    pub(super) fn of(folder: &Path) -> Result<Self, LoadError> {
        let single = folder.join(SINGLE);
        if single.exists() {
            return Ok(Self::Single(single));
        }
        if folder.join(INDEX).exists() {
            return Index::read(folder).map(Self::Sharded);
        }
        let found = other_weights(folder);
        match found.first() {
            // Opening it says what is wrong.
            None => Ok(Self::Single(single)),
            Some(first) => {
                Err(LoadError::NoWeights { path: folder.to_owned(), remedy: remedy(first), found })
            }
        }
    }
}

/// Weights of a folder under names that are not read.
fn other_weights(folder: &Path) -> Vec<String> {
    const ENDINGS: [&str; 8] = ["safetensors", "bin", "pth", "pt", "gguf", "h5", "msgpack", "ckpt"];
    /// Of trainers, and of adapters without their configuration.
    const OTHERS: [&str; 4] = ["training_args", "optimizer", "scheduler", "adapter_model"];
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let is_weights = |name: &String| {
        ENDINGS.iter().any(|ending| name.rsplit_once('.').is_some_and(|(_, found)| found == *ending))
            && !OTHERS.iter().any(|other| name.starts_with(other))
    };
    let mut found: Vec<String> = names.filter(is_weights).collect();
    found.sort_unstable();
    found.truncate(NAMED);
    found
}

/// What makes weights under that name readable.
fn remedy(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "gguf")) => "`ruminate import FILE OUT` makes a model folder of a GGUF file",
        Some((stem, "safetensors")) if stem.starts_with("model-") => {
            "shards are read with their index; download the folder again"
        }
        Some((stem, "safetensors")) if stem.starts_with("model.") => {
            "rename the variant to model.safetensors"
        }
        Some((_, "safetensors")) => {
            "these are names of another program's; download the files that transformers loads"
        }
        _ => {
            "only safetensors are read; convert the folder with transformers: \
             AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(OUT)"
        }
    }
}

impl Index {
    fn read(folder: &Path) -> Result<Self, LoadError> {
        let path = folder.join(INDEX);
        let unreadable = |source| LoadError::Read { path: path.clone(), source };
        let file =
            ruminate_files::open(folder, INDEX, MAX_TEXT_BYTES).map_err(|error| refused(error, &path))?;
        if let Some(found) = kind::of_file(&file).map_err(unreadable)? {
            return Err(LoadError::Kind { path, found });
        }
        let json: Json = match serde_json::from_reader(BufReader::new(file.take(MAX_TEXT_BYTES))) {
            Ok(json) => json,
            Err(error) if error.is_data() => {
                return Err(LoadError::Index { path, reason: error.to_string() });
            }
            Err(source) => return Err(LoadError::Json { path, source }),
        };
        let WeightMap { shards, shard_of } = json.weight_map;
        // A name with a separator would leave the folder.
        let outside = |name: &&String| name.contains(['/', '\\']) || name.is_empty() || *name == "..";
        if let Some(name) = shards.iter().find(outside) {
            let reason = format!("weight_map must name files of this folder, found {name:?}");
            return Err(LoadError::Index { path, reason });
        }
        if shards.is_empty() {
            return Err(LoadError::Index { path, reason: "weight_map names no file".to_owned() });
        }
        Ok(Self { path, shards, shard_of })
    }

    /// Shards that the folder lacks.
    pub(super) fn absent(&self, folder: &Path) -> Vec<String> {
        self.shards.iter().filter(|name| !folder.join(name).is_file()).cloned().collect()
    }
}

#[derive(Deserialize)]
struct Json {
    weight_map: WeightMap,
}

/// Each name of a shard is kept once, however many tensors it has.
struct WeightMap {
    shards: Vec<String>,
    shard_of: BTreeMap<String, usize>,
}

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = WeightMap;

            fn expecting(&self, f: &mut Formatter) -> fmt::Result {
                f.write_str("an object that maps each tensor to its file")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WeightMap, A::Error> {
                let mut shard_of = BTreeMap::new();
                let mut places: BTreeMap<String, usize> = BTreeMap::new();
                while let Some((tensor, shard)) = map.next_entry::<String, String>()? {
                    if shard_of.len() == MAX_TENSORS {
                        return Err(A::Error::custom(format_args!("more than {MAX_TENSORS} tensors")));
                    }
                    let next = places.len();
                    let place = *places.entry(shard).or_insert(next);
                    if shard_of.get(&tensor).is_some_and(|&other| other != place) {
                        return Err(A::Error::custom(format_args!("tensor {tensor} has two files")));
                    }
                    shard_of.insert(tensor, place);
                }
                let mut shards = vec![String::new(); places.len()];
                for (name, place) in places {
                    shards[place] = name;
                }
                Ok(WeightMap { shards, shard_of })
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}
