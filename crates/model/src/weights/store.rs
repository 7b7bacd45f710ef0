//! The tensors of a folder's weight files: opened and checked by their headers, then read one at a time into memory
//! that the caller has. It refuses to know what the tensors are for.

use super::error::LoadError;
use super::fp8::{self, E4M3, SCALE_SUFFIX};
use super::header::{self, Entry};
use super::index::{Index, WeightFiles};
use super::{NAMED, kind, opened};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::Dtype;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Bound;
use std::path::{Path, PathBuf};

/// Bytes that are read at once: enough for a disk's full speed, and little beside any model.
const PIECE: usize = 1 << 20;

/// Open weight files and what lies in them.
pub(super) struct Store {
    files: Vec<(PathBuf, File)>,
    tensors: BTreeMap<String, Stored>,
    /// Rows and columns that share a factor in FP8 files.
    block: Option<[usize; 2]>,
    piece: Vec<u8>,
}

struct Stored {
    file: usize,
    entry: Entry,
}

impl Store {
    /// Opens a folder's weight files and reads their headers.
    ///
    /// # Errors
    /// A file is missing or malformed, or the shards are not those of the index.
    pub(super) fn open(folder: &Path, block: Option<[usize; 2]>) -> Result<Self, LoadError> {
        let mut store = Self { files: Vec::new(), tensors: BTreeMap::new(), block, piece: Vec::new() };
        match WeightFiles::of(folder)? {
            WeightFiles::Single(path) => drop(store.add(path, None)?),
            WeightFiles::Sharded(index) => store.add_shards(folder, &index)?,
        }
        store.complete_names();
        Ok(store)
    }

    /// Puts `model.` before the names of a file that the model without its head has written.
    fn complete_names(&mut self) {
        const INNER: [&str; 3] = ["embed_tokens.", "layers.", "norm."];
        let is_inner = |name: &str| INNER.iter().any(|part| name.starts_with(part));
        if self.has_prefix("model.") || !self.tensors.keys().any(|name| is_inner(name)) {
            return;
        }
        let complete = |name: String| if is_inner(&name) { format!("model.{name}") } else { name };
        let tensors = std::mem::take(&mut self.tensors);
        self.tensors = tensors.into_iter().map(|(name, stored)| (complete(name), stored)).collect();
    }

    /// What stands before the blocks' names, where it is another prefix than ours.
    pub(super) fn other_prefix(&self) -> Option<String> {
        const FIRST: &str = "layers.0.post_attention_layernorm.weight";
        let prefix = self.tensors.keys().find_map(|name| name.strip_suffix(FIRST))?;
        (prefix != "model.").then(|| prefix.chars().take(80).collect())
    }

    /// Takes a tensor for another that is not there.
    pub(super) fn rename(&mut self, name: &str, to: &str) {
        if let Some(stored) = self.tensors.remove(name) {
            self.tensors.insert(to.to_owned(), stored);
        }
    }

    fn add_shards(&mut self, folder: &Path, index: &Index) -> Result<(), LoadError> {
        let absent = index.absent(folder);
        let mut faults: Vec<String> =
            absent.iter().take(NAMED).map(|shard| format!("{shard} is absent")).collect();
        if faults.is_empty() {
            for shard in &index.shards {
                faults.extend(self.add(folder.join(shard), Some(index))?);
            }
        }
        faults.truncate(NAMED);
        if faults.is_empty() { Ok(()) } else { Err(LoadError::Shards { path: index.path.clone(), faults }) }
    }

    /// Takes a file's tensors up. Returns those that are in another file, too, or that the index has elsewhere.
    fn add(&mut self, path: PathBuf, index: Option<&Index>) -> Result<Vec<String>, LoadError> {
        let unreadable = |source| LoadError::Read { path: path.clone(), source };
        let file = opened(&path)?;
        let len = file.metadata().map_err(unreadable)?.len();
        if let Some(found) = kind::of_file(&file).map_err(unreadable)? {
            return Err(LoadError::Kind { path, found });
        }
        let entries = header::read(&file, len)
            .map_err(|reason| LoadError::Safetensors { path: path.clone(), reason })?;
        let number = self.files.len();
        let shard = |number: usize| index.map_or("", |index| &index.shards[number]);
        let mut faults = Vec::new();
        for (name, entry) in entries {
            if faults.len() == NAMED {
                break;
            }
            if let Some(&said) = index.and_then(|index| index.shard_of.get(&name))
                && said != number
            {
                faults.push(format!("{name} is in {} instead of {}", shard(number), shard(said)));
            }
            match self.tensors.entry(name) {
                Slot::Occupied(earlier) => {
                    let (name, other) = (earlier.key(), earlier.get().file);
                    faults.push(format!("{name} is in {} and in {}", shard(other), shard(number)));
                }
                Slot::Vacant(slot) => {
                    slot.insert(Stored { file: number, entry });
                }
            }
        }
        self.files.push((path, file));
        Ok(faults)
    }

    /// The names of all tensors, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.tensors.keys()
    }

    /// Whether there is a tensor of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Whether a tensor of that name is there in bfloat16.
    pub(super) fn is_bfloat16(&self, name: &str) -> bool {
        self.tensors.get(name).is_some_and(|stored| stored.entry.dtype == Dtype::BF16)
    }

    /// Whether a tensor's name begins so.
    pub(super) fn has_prefix(&self, prefix: &str) -> bool {
        let mut from = self.tensors.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.next().is_some_and(|(name, _)| name.starts_with(prefix))
    }

    /// Whether a tensor is the factors of an FP8 tensor.
    pub(super) fn is_scale(&self, name: &str) -> bool {
        let matrix = name.strip_suffix(SCALE_SUFFIX).and_then(|matrix| self.tensors.get(matrix));
        matrix.is_some_and(|stored| stored.entry.dtype == Dtype::F8_E4M3)
    }

    /// Whether a tensor that exists can fill `shape`.
    ///
    /// # Errors
    /// Its name, what was found and what was expected.
    pub(super) fn check(&self, name: &str, shape: &[usize]) -> Result<(), String> {
        let entry = &self.tensors[name].entry;
        if entry.shape != shape {
            return Err(format!("{name}: {:?} instead of {shape:?}", entry.shape));
        }
        match entry.dtype {
            Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64 => Ok(()),
            Dtype::F8_E4M3 => self.check_scale(name, shape),
            other => Err(format!("{name}: {other:?} instead of F32, F16, BF16, F64 or F8_E4M3")),
        }
    }

    fn check_scale(&self, name: &str, shape: &[usize]) -> Result<(), String> {
        let block = self.block.ok_or_else(|| {
            format!("{name}: F8_E4M3, but config.json has no quantization_config.weight_block_size")
        })?;
        let expected = fp8::scale_shape(shape, block)
            .ok_or_else(|| format!("{name}: F8_E4M3 with shape {shape:?} instead of a matrix"))?;
        let scale = name.to_owned() + SCALE_SUFFIX;
        match self.tensors.get(&scale).map(|stored| &stored.entry) {
            None => Err(format!("{name}: F8_E4M3 without {scale}")),
            Some(entry) if entry.shape != expected => {
                Err(format!("{scale}: {:?} instead of {expected:?}", entry.shape))
            }
            Some(Entry { dtype: Dtype::F32 | Dtype::F16 | Dtype::BF16, .. }) => Ok(()),
            Some(entry) => Err(format!("{scale}: {:?} instead of F32, F16 or BF16", entry.dtype)),
        }
    }

    /// Reads a tensor that [fits](Self::check) into `out`, in f32, FP8 multiplied with its factors.
    ///
    /// # Errors
    /// The file ends early or cannot be read, or holds what is no finite number.
    pub(super) fn read(&mut self, name: &str, out: &mut [f32]) -> Result<(), LoadError> {
        let entry = &self.tensors[name].entry;
        debug_assert_eq!(
            entry.bytes,
            (out.len() * entry.dtype.bitsize() / 8) as u64,
            "{name}: checked before"
        );
        let (dtype, shape) = (entry.dtype, entry.shape.clone());
        let step = PIECE * 8 / dtype.bitsize();
        let mut piece = std::mem::take(&mut self.piece);
        for (number, out) in out.chunks_mut(step).enumerate() {
            self.read_piece(name, number * step, out, &mut piece)?;
        }
        self.piece = piece;
        if dtype == Dtype::F8_E4M3 {
            self.apply_scales(name, &shape, out)?;
        }
        Ok(())
    }

    /// Reads the numbers of a tensor from the one at `first` on, by way of `bytes`.
    fn read_piece(
        &mut self,
        name: &str,
        first: usize,
        out: &mut [f32],
        bytes: &mut Vec<u8>,
    ) -> Result<(), LoadError> {
        let Stored { file, entry } = &self.tensors[name];
        let (path, file) = &mut self.files[*file];
        let size = entry.dtype.bitsize() / 8;
        bytes.resize(out.len() * size, 0);
        let begin = SeekFrom::Start(entry.begin + (first * size) as u64);
        let read = file.seek(begin).and_then(|_| file.read_exact(bytes));
        read.map_err(|source| LoadError::Read { path: path.clone(), source })?;
        convert(entry.dtype, bytes, out);
        finite(path, name, first, out)
    }

    /// Whether two tensors hold the same numbers. Both are read, a piece at a time, up to the first difference.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub(super) fn same(&mut self, name: &str, other: &str) -> Result<bool, LoadError> {
        const NUMBERS: usize = PIECE / 8;
        let [one, two] = [name, other].map(|name| &self.tensors[name].entry);
        // Of FP8 the numbers are not the whole.
        let plain = |entry: &Entry| matches!(entry.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64);
        if one.shape != two.shape || !plain(one) || !plain(two) {
            return Ok(false);
        }
        let numbers = one.shape.iter().product::<usize>();
        let (mut bytes, mut a, mut b) = (Vec::new(), vec![0.0; NUMBERS], vec![0.0; NUMBERS]);
        for first in (0..numbers).step_by(NUMBERS) {
            let count = NUMBERS.min(numbers - first);
            self.read_piece(name, first, &mut a[..count], &mut bytes)?;
            self.read_piece(other, first, &mut b[..count], &mut bytes)?;
            if a[..count] != b[..count] {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn apply_scales(&mut self, name: &str, shape: &[usize], out: &mut [f32]) -> Result<(), LoadError> {
        let (Some(block), Some(matrix)) = (self.block, shape.last_chunk::<2>()) else {
            unreachable!("{name}: checked before");
        };
        let scales = fp8::scale_shape(shape, block).map_or(0, |shape| shape.iter().product());
        let mut scales = vec![0.0; scales];
        self.read(&(name.to_owned() + SCALE_SUFFIX), &mut scales)?;
        fp8::scale_blocks(out, *matrix, &scales, block);
        let file = self.tensors[name].file;
        finite(&self.files[file].0, name, 0, out)
    }
}

/// Refuses numbers that are none; `first` is the place of the first of them in its tensor.
fn finite(path: &Path, name: &str, first: usize, values: &[f32]) -> Result<(), LoadError> {
    match first_not_finite(values) {
        None => Ok(()),
        Some(place) => Err(LoadError::NonFinite {
            path: path.to_owned(),
            tensor: name.to_owned(),
            index: first + place,
            value: values[place],
        }),
    }
}

/// The place of the first number that is infinite or none.
pub(crate) fn first_not_finite(values: &[f32]) -> Option<usize> {
    // Without branches first, which is as fast as the numbers come from memory.
    let odd = values.iter().fold(0, |odd, value| odd | u32::from(!value.is_finite()));
    if odd == 0 { None } else { values.iter().position(|value| !value.is_finite()) }
}

/// Little-endian numbers to f32; both sides have the same count.
fn convert(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    match dtype {
        Dtype::F32 => {
            for (out, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                *out = f32::from_le_bytes(*bytes);
            }
        }
        Dtype::BF16 => {
            for (out, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                *out = bf16::from_le_bytes(*bytes).to_f32();
            }
        }
        Dtype::F16 => {
            let halves: Vec<f16> =
                bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes)).collect();
            halves.convert_to_f32_slice(out);
        }
        Dtype::F64 => {
            for (out, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                *out = f64::from_le_bytes(*bytes) as f32;
            }
        }
        Dtype::F8_E4M3 => {
            for (out, &code) in out.iter_mut().zip(bytes) {
                *out = E4M3[usize::from(code)];
            }
        }
        other => unreachable!("{other:?} was refused by its header"),
    }
}
