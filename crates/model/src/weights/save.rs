//! Writing a model folder that transformers loads unchanged, a piece of a tensor at a time. The caller makes it atomic: it
//! passes a new folder that is renamed when everything is in it.

use super::Names;
use super::error::SaveError;
use super::index::{INDEX, SINGLE};
use crate::Decoder;
use crate::lora;
use crate::parameters::ParameterVisitor;
use burn::tensor::Tensor;
use half::bf16;
use ruminate_kernels::read::{Place, floats};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Format {
    /// Type of all tensors but the routers' biases, which stay f32: their rounding would change which experts
    /// are chosen.
    pub dtype: WeightType,
    /// Most bytes of a weight file; a tensor that is larger has a file of its own.
    pub max_shard_size: u64,
}

/// The type of stored weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightType {
    /// Single precision: every number as it was trained.
    Float32,
    /// bfloat16, rounded to nearest: half the size.
    Bfloat16,
}

impl Default for Format {
    /// Nothing is rounded, and files have the size at which transformers splits older models: 5 GB.
    fn default() -> Self {
        Self { dtype: WeightType::Float32, max_shard_size: 5_000_000_000 }
    }
}

impl WeightType {
    /// Its name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Bfloat16 => "bfloat16",
        }
    }

    fn of(self, name: &str) -> Dtype {
        match self {
            Self::Bfloat16 if !name.ends_with("e_score_correction_bias") => Dtype::BF16,
            Self::Bfloat16 | Self::Float32 => Dtype::F32,
        }
    }
}

/// Writes a model in the default [`Format`]; see [`save_as`].
///
/// # Errors
/// A file cannot be written.
pub fn save(decoder: &Decoder, folder: &Path) -> Result<Vec<PathBuf>, SaveError> {
    save_as(decoder, folder, Format::default())
}

/// Writes `config.json`, `generation_config.json` and the weights in the hub's layout (`model.safetensors`, or shards
/// with their index) into a folder that has no model yet, and returns the paths. What the folder that the model was
/// loaded from said beyond its architecture is said again. Of a decoder with adapters, the adapters alone are written, in
/// PEFT's layout and f32.
///
/// # Errors
/// A file cannot be written.
pub fn save_as(decoder: &Decoder, folder: &Path, format: Format) -> Result<Vec<PathBuf>, SaveError> {
    if let Some(adapters) = decoder.adapters() {
        return lora::save(decoder, adapters, folder);
    }
    let mut plan = Plan { format, shards: vec![Shard::default()] };
    let names = Names::of(decoder.config());
    decoder.visit_shapes(&mut |name, shape| {
        for (name, shape) in stored(names, name, shape) {
            plan.add(name, shape);
        }
    });
    let (files, total_size) = (plan.files(), plan.shards.iter().map(|shard| shard.bytes).sum());
    let config = decoder.origin.config(decoder.config(), format.dtype.name());
    let mut written = vec![
        write_json(folder, "config.json", &config)?,
        write_json(folder, "generation_config.json", &decoder.origin.generation(decoder.config()))?,
    ];
    let mut writer = Writer { files: Vec::new(), places: HashMap::new(), bytes: Vec::new() };
    for (name, shard) in files.iter().zip(plan.shards) {
        written.push(folder.join(name));
        writer.open(folder.join(name), shard)?;
    }
    if files.len() > 1 {
        written.push(write_json(folder, INDEX, &writer.index(&files, total_size))?);
    }
    visit_stored(decoder, &mut |name, _, parameter, part| writer.write(name, parameter, part))?;
    Ok(written)
}

fn write_json(folder: &Path, name: &str, value: &Value) -> Result<PathBuf, SaveError> {
    let path = folder.join(name);
    match fs::write(&path, pretty(value)) {
        Ok(()) => Ok(path),
        Err(source) => Err(SaveError { path, source }),
    }
}

/// JSON for people.
pub(crate) fn pretty(value: &Value) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("a JSON value serialises");
    text.push(b'\n');
    text
}

/// The names and shapes under which files have a parameter: experts are stored one by one.
fn stored(names: Names, name: &str, shape: &[usize]) -> Vec<(String, Vec<usize>)> {
    let one = || vec![(names.stored(name), shape.to_vec())];
    names.of_experts(name, shape).unwrap_or_else(one)
}

/// Visits the weights as files have them: the name and shape of each tensor, its parameter flat, and which numbers of that
/// are the tensor's.
///
/// # Errors
/// The first that `action` has.
pub fn visit_stored<E>(
    decoder: &Decoder,
    action: &mut impl FnMut(&str, &[usize], &Tensor<1>, Range<usize>) -> Result<(), E>,
) -> Result<(), E> {
    let mut visitor = StoredVisitor { names: Names::of(decoder.config()), action, failure: None };
    decoder.visit_parameters(&mut visitor);
    visitor.failure.map_or(Ok(()), Err)
}

struct StoredVisitor<'a, F, E> {
    names: Names,
    action: &'a mut F,
    failure: Option<E>,
}

impl<E, F: FnMut(&str, &[usize], &Tensor<1>, Range<usize>) -> Result<(), E>> ParameterVisitor
    for StoredVisitor<'_, F, E>
{
    fn visit<const D: usize>(&mut self, name: &str, tensor: &Tensor<D>, _: bool) {
        if self.failure.is_some() {
            return;
        }
        let parameter = tensor.clone().detach().flatten::<1>(0, D - 1);
        let mut begin = 0;
        for (name, shape) in stored(self.names, name, &tensor.dims()) {
            let end = begin + shape.iter().product::<usize>();
            if let Err(failure) = (self.action)(&name, &shape, &parameter, begin..end) {
                self.failure = Some(failure);
                return;
            }
            begin = end;
        }
    }
}

/// Which tensor goes into which file.
struct Plan {
    format: Format,
    shards: Vec<Shard>,
}

#[derive(Default)]
struct Shard {
    tensors: Vec<(String, Dtype, Vec<usize>)>,
    bytes: u64,
}

impl Plan {
    fn add(&mut self, name: String, shape: Vec<usize>) {
        let dtype = self.format.dtype.of(&name);
        let bytes = (shape.iter().product::<usize>() * dtype.bitsize() / 8) as u64;
        let full = |shard: &Shard| shard.bytes > 0 && shard.bytes + bytes > self.format.max_shard_size;
        if self.shards.last().is_none_or(full) {
            self.shards.push(Shard::default());
        }
        let shard = self.shards.last_mut().expect("one was pushed where there was none");
        shard.tensors.push((name, dtype, shape));
        shard.bytes += bytes;
    }

    /// Names of the files, as transformers counts them.
    fn files(&self) -> Vec<String> {
        match self.shards.len() {
            1 => vec![SINGLE.to_owned()],
            count => {
                let name = |number: usize| format!("model-{number:05}-of-{count:05}.safetensors");
                (1..=count).map(name).collect()
            }
        }
    }
}

impl Shard {
    /// Length and JSON of the file's header, and where in the file each tensor begins.
    fn header(mut self) -> (Vec<u8>, Vec<(String, Dtype, u64)>) {
        // Wider types first: PyTorch reads a tensor only where it is aligned.
        self.tensors.sort_by_key(|(_, dtype, _)| std::cmp::Reverse(dtype.bitsize()));
        let (mut places, mut infos, mut end) = (Vec::new(), Vec::new(), 0);
        for (name, dtype, shape) in self.tensors {
            let begin = end;
            end += shape.iter().product::<usize>() * dtype.bitsize() / 8;
            places.push((name.clone(), dtype, begin as u64));
            infos.push((name, TensorInfo { dtype, shape, data_offsets: (begin, end) }));
        }
        // transformers refuses files without this key.
        let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let metadata = Metadata::new(Some(format), infos).expect("tensors lie one after the other");
        let mut json = serde_json::to_vec(&metadata).expect("names are texts");
        json.resize(json.len().next_multiple_of(8), b' '); // so that data are aligned
        let header = [&(json.len() as u64).to_le_bytes()[..], &json].concat();
        for (.., begin) in &mut places {
            *begin += header.len() as u64;
        }
        (header, places)
    }
}

/// Writes each parameter to its place as it is visited.
struct Writer {
    files: Vec<(PathBuf, File)>,
    /// File, type and first byte of each stored tensor.
    places: HashMap<String, (usize, Dtype, u64)>,
    bytes: Vec<u8>,
}

impl Writer {
    fn open(&mut self, path: PathBuf, shard: Shard) -> Result<(), SaveError> {
        let (header, places) = shard.header();
        let begun = File::create(&path).and_then(|mut file| file.write_all(&header).map(|()| file));
        let number = self.files.len();
        self.places.extend(places.into_iter().map(|(name, dtype, begin)| (name, (number, dtype, begin))));
        match begun {
            Ok(file) => self.files.push((path, file)),
            Err(source) => return Err(SaveError { path, source }),
        }
        Ok(())
    }

    fn index(&self, files: &[String], total_size: u64) -> Value {
        let mut tensors: Vec<_> =
            self.places.iter().map(|(name, (number, ..))| (name, &files[*number])).collect();
        tensors.sort_unstable();
        let map: Map<String, Value> =
            tensors.into_iter().map(|(name, file)| (name.clone(), json!(file))).collect();
        json!({ "metadata": { "total_size": total_size }, "weight_map": map })
    }

    /// Writes one stored tensor, the numbers `part` of a parameter.
    fn write(&mut self, name: &str, parameter: &Tensor<1>, part: Range<usize>) -> Result<(), SaveError> {
        /// Numbers that are copied and converted at once.
        const PIECE: usize = 1 << 20;
        let (number, dtype, begin) = self.places[name];
        let (path, file) = &mut self.files[number];
        let failed = |source| SaveError { path: path.clone(), source };
        file.seek(SeekFrom::Start(begin)).map_err(failed)?;
        for start in part.clone().step_by(PIECE) {
            let piece = parameter.clone().narrow(0, start, PIECE.min(part.end - start));
            let values = floats(piece, Place::Weights).into_iter();
            self.bytes.resize(values.len() * dtype.bitsize() / 8, 0);
            if dtype == Dtype::BF16 {
                for (bytes, value) in self.bytes.as_chunks_mut().0.iter_mut().zip(values) {
                    *bytes = bf16::from_f32(value).to_le_bytes();
                }
            } else {
                for (bytes, value) in self.bytes.as_chunks_mut().0.iter_mut().zip(values) {
                    *bytes = value.to_le_bytes();
                }
            }
            file.write_all(&self.bytes).map_err(failed)?;
        }
        Ok(())
    }
}
