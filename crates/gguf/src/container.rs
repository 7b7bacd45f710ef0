//! The container: header, metadata, tensor infos, and where the data lie. It refuses to know models.
//!
//! Limits are far above what real files have (a vocabulary of 262,144 tokens, 515,000 merges, 1,200 tensors) and
//! keep the header below 20 MiB of memory whatever it claims.

use crate::error::{Error, Fault, shown};
use crate::metadata::{Metadata, Strings, Value};
use crate::source::Source;
use crate::split;
use crate::tensor::{TensorInfo, TensorType, type_name};
use crate::tokenizer::{self, unigram::CHARSMAP};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

const MAX_KEYS: u64 = 4096;
pub(crate) const MAX_TENSORS: u64 = 16_384;
const MAX_KEY_BYTES: u64 = 4096;
const MAX_NAME_BYTES: u64 = 256;
/// Of a text outside of lists; chat templates are the longest.
const MAX_TEXT_BYTES: u64 = 1 << 20;
/// Of a text within a list.
const MAX_ELEMENT_BYTES: u64 = 64 << 10;
/// Of a list that is kept.
pub(crate) const MAX_ELEMENTS: u64 = 1 << 19;
/// Of a list of bytes that is kept: SentencePiece's largest table has 316 KiB.
const MAX_BYTES: u64 = 2 << 20;
/// All texts that are kept, keys and names included.
const MAX_KEPT_BYTES: u64 = 16 << 20;
const MAX_DEPTH: u32 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;

/// An open file whose header has been read and checked.
#[derive(Debug)]
pub struct Gguf<R> {
    /// The parts of a split file, or the one file.
    sources: Vec<Source<R>>,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
}

impl Gguf<File> {
    /// Opens a file and reads its header. Of a part of a split file (`NAME-00001-of-00003.gguf`), all parts are opened
    /// and are one file.
    ///
    /// # Errors
    /// [`Error::Read`], or [`Error::Container`] with the first thing found wrong; [`Error::MissingPart`] and others for
    /// split files.
    pub fn open(path: &Path) -> Result<Self, Error> {
        split::open(path)
    }
}

impl<R: Read + Seek> Gguf<R> {
    /// Lists that are kept; others are passed over.
    const KEPT_LISTS: [&'static str; 5] =
        [tokenizer::TOKENS, tokenizer::MERGES, tokenizer::SCORES, tokenizer::TOKEN_TYPES, CHARSMAP];

    /// Reads the header of a stream.
    ///
    /// # Errors
    /// As [`open`](Gguf::open).
    pub fn read(stream: R) -> Result<Self, Error> {
        Self::read_within(stream, &mut 0)
    }

    /// Reads the header of a stream whose texts, with the `kept_bytes` before them, stay within the limit of all.
    pub(crate) fn read_within(stream: R, kept_bytes: &mut u64) -> Result<Self, Error> {
        let mut source = Source::new(stream)?;
        let (keys, count) = preamble(&mut source)?;
        let mut header = Header { source, kept_bytes: *kept_bytes };
        let metadata = header.metadata(keys)?;
        let mut tensors = header.tensors(count)?;
        *kept_bytes = header.kept_bytes;
        let source = header.source;
        place(&source, alignment(&source, &metadata)?, &mut tensors)?;
        Ok(Self { sources: vec![source], metadata, tensors })
    }

    /// Adds the tensors of the next part of a split file.
    ///
    /// # Errors
    /// [`Fault::DuplicateTensor`], [`Fault::TooLarge`] where the parts have too many tensors together.
    pub(crate) fn append(&mut self, mut next: Self) -> Result<(), Error> {
        let part = self.sources.len();
        let count = (self.tensors.len() + next.tensors.len()) as u64;
        let own: BTreeSet<&str> = self.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        let twice = next.tensors.iter().find(|tensor| own.contains(tensor.name.as_str()));
        let fault = match twice {
            Some(tensor) => Some(Fault::DuplicateTensor { name: shown(&tensor.name) }),
            None if count > MAX_TENSORS => {
                Some(Fault::TooLarge { what: "the number of tensors", found: count, limit: MAX_TENSORS })
            }
            None => None,
        };
        if let Some(fault) = fault {
            return Err(next.sources[0].fault(fault));
        }
        next.tensors.iter_mut().for_each(|tensor| tensor.part = part);
        self.tensors.append(&mut next.tensors);
        self.sources.append(&mut next.sources);
        Ok(())
    }

    /// Takes out the keys that say which part of a split file this is, where it is the whole.
    pub(crate) fn joined(mut self) -> Self {
        self.metadata.0.retain(|key, _| !key.starts_with("split."));
        self
    }

    /// What the file says of itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Its tensors, in the order of their data.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Fills a buffer with the bytes of a part from `at`.
    pub(crate) fn data(&mut self, part: usize, at: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let source = &mut self.sources[part];
        source.go_to(at)?;
        source.fill("tensor data", buffer)
    }
}

/// Magic, version and the two counts: keys, tensors.
fn preamble<R: Read + Seek>(source: &mut Source<R>) -> Result<(u64, u64), Error> {
    let magic: [u8; 4] = source.array("the magic")?;
    if &magic != b"GGUF" {
        let found = magic.escape_ascii().to_string();
        return Err(source.fault(Fault::Magic { found }));
    }
    let version = source.u32("the version")?;
    if ![2, 3].contains(&version) {
        let swapped = version.swap_bytes();
        let found = if swapped < 16 { format!("{swapped}, big-endian") } else { version.to_string() };
        return Err(source.fault(Fault::Version { found }));
    }
    let tensors = source.count("the number of tensors", MAX_TENSORS)?;
    let keys = source.count("the number of metadata keys", MAX_KEYS)?;
    Ok((keys, tensors))
}

/// Reads the parts of a header and counts the texts that it keeps.
struct Header<R> {
    source: Source<R>,
    kept_bytes: u64,
}

impl<R: Read + Seek> Header<R> {
    fn metadata(&mut self, count: u64) -> Result<Metadata, Error> {
        let mut metadata = BTreeMap::new();
        for _ in 0..count {
            let key = self.text("a metadata key", MAX_KEY_BYTES)?;
            let kind = self.source.u32("a value type")?;
            let value = self.value(&key, kind)?;
            if metadata.contains_key(&key) {
                return Err(self.source.fault(Fault::DuplicateKey { key: shown(&key) }));
            }
            metadata.insert(key, value);
        }
        Ok(Metadata(metadata))
    }

    /// A value of the type with this number (`enum gguf_metadata_value_type`).
    fn value(&mut self, key: &str, kind: u32) -> Result<Value, Error> {
        const WHAT: &str = "a metadata value";
        let source = &mut self.source;
        Ok(match kind {
            0 => Value::Integer(u8::from_le_bytes(source.array(WHAT)?).into()),
            1 => Value::Integer(i8::from_le_bytes(source.array(WHAT)?).into()),
            2 => Value::Integer(u16::from_le_bytes(source.array(WHAT)?).into()),
            3 => Value::Integer(i16::from_le_bytes(source.array(WHAT)?).into()),
            4 => Value::Integer(source.u32(WHAT)?.into()),
            5 => Value::Integer(i32::from_le_bytes(source.array(WHAT)?).into()),
            6 => Value::Float(shortest(f32::from_le_bytes(source.array(WHAT)?))),
            7 => match source.array(WHAT)? {
                [flag @ (0 | 1)] => Value::Flag(flag == 1),
                [found] => return Err(source.fault(Fault::Flag { found })),
            },
            8 => Value::Text(self.text(WHAT, MAX_TEXT_BYTES)?),
            9 => self.list(key)?,
            10 => Value::Integer(source.u64(WHAT)?.into()),
            11 => Value::Integer(i64::from_le_bytes(source.array(WHAT)?).into()),
            12 => Value::Float(f64::from_le_bytes(source.array(WHAT)?)),
            found => return Err(source.fault(Fault::ValueType { found, key: shown(key) })),
        })
    }

    fn list(&mut self, key: &str) -> Result<Value, Error> {
        let kind = self.source.u32("a list's type")?;
        if !Gguf::<R>::KEPT_LISTS.contains(&key) || ![0, 1, 5, 6, 8].contains(&kind) {
            return self.pass_list(key, kind, 1);
        }
        if kind < 5 {
            let len = self.source.count("the length of a list of bytes", MAX_BYTES)?;
            let mut bytes = Vec::new();
            self.source.append("a list's bytes", len, &mut bytes)?;
            return Ok(Value::Bytes(bytes));
        }
        let len = self.source.count("the length of a list", MAX_ELEMENTS)?;
        if kind == 5 {
            let mut integers = Vec::new();
            for _ in 0..len {
                integers.push(i32::from_le_bytes(self.source.array("a list's element")?));
            }
            return Ok(Value::Integers(integers));
        }
        if kind == 6 {
            let mut floats = Vec::new();
            for _ in 0..len {
                floats.push(f32::from_le_bytes(self.source.array("a list's element")?));
            }
            return Ok(Value::Floats(floats));
        }
        let mut strings = Strings::default();
        for _ in 0..len {
            strings.push(&self.text("a list's text", MAX_ELEMENT_BYTES)?);
        }
        Ok(Value::Texts(strings))
    }

    /// Checks a list that is not needed and passes over it. Every step takes bytes of the file, so no length can
    /// make it long.
    fn pass_list(&mut self, key: &str, kind: u32, depth: u32) -> Result<Value, Error> {
        const WHAT: &str = "a list";
        if depth > MAX_DEPTH {
            return Err(self.source.fault(Fault::Nesting { limit: MAX_DEPTH }));
        }
        let len = self.source.u64(WHAT)?;
        let width = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            8 => {
                for _ in 0..len {
                    let bytes = self.source.u64(WHAT)?;
                    self.source.skip(WHAT, bytes)?;
                }
                return Ok(Value::Skipped { len });
            }
            9 => {
                for _ in 0..len {
                    let kind = self.source.u32(WHAT)?;
                    self.pass_list(key, kind, depth + 1)?;
                }
                return Ok(Value::Skipped { len });
            }
            found => return Err(self.source.fault(Fault::ValueType { found, key: shown(key) })),
        };
        self.source.skip(WHAT, len.saturating_mul(width))?;
        Ok(Value::Skipped { len })
    }

    /// Tensor infos; `at` is still relative to the data.
    fn tensors(&mut self, count: u64) -> Result<Vec<TensorInfo>, Error> {
        let mut names = BTreeSet::new();
        let mut tensors = Vec::new();
        for _ in 0..count {
            let tensor = self.tensor()?;
            if !names.insert(tensor.name.clone()) {
                return Err(self.source.fault(Fault::DuplicateTensor { name: shown(&tensor.name) }));
            }
            tensors.push(tensor);
        }
        Ok(tensors)
    }

    fn tensor(&mut self) -> Result<TensorInfo, Error> {
        let name = self.text("a tensor name", MAX_NAME_BYTES)?;
        let rank = self.source.u32("a tensor's rank")?;
        if rank > 4 {
            let found = format!("of rank {rank}");
            return Err(self.source.fault(Fault::Shape { name: shown(&name), found, block: 1 }));
        }
        let mut shape = Vec::new();
        for _ in 0..rank {
            shape.push(self.source.u64("a tensor's dimension")?);
        }
        let number = self.source.u32("a tensor's type")?;
        let Some(kind) = TensorType::ALL.into_iter().find(|kind| kind.number() == number) else {
            let found = type_name(number);
            return Err(self.source.fault(Fault::TensorType { name: shown(&name), found }));
        };
        let at = self.source.u64("a tensor's offset")?;
        let block = kind.block_len() as u64;
        let elements = shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size));
        let bytes = elements.and_then(|elements| (elements / block).checked_mul(kind.block_bytes() as u64));
        let whole = shape.first().is_some_and(|first| first % block == 0) && !shape.contains(&0);
        let Some(bytes) = bytes.filter(|_| whole) else {
            let found = format!("{shape:?}");
            return Err(self.source.fault(Fault::Shape { name: shown(&name), found, block }));
        };
        shape.reverse();
        Ok(TensorInfo { name, shape, kind, part: 0, at, bytes })
    }

    /// A text that is kept.
    fn text(&mut self, what: &'static str, limit: u64) -> Result<String, Error> {
        let text = self.source.string(what, limit)?;
        self.kept_bytes += text.len() as u64;
        if self.kept_bytes > MAX_KEPT_BYTES {
            let fault = Fault::TooLarge {
                what: "the total of all texts",
                found: self.kept_bytes,
                limit: MAX_KEPT_BYTES,
            };
            return Err(self.source.fault(fault));
        }
        Ok(text)
    }
}

fn alignment<R: Read + Seek>(source: &Source<R>, metadata: &Metadata) -> Result<u64, Error> {
    match metadata.get("general.alignment") {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(Value::Integer(found)) if (8..=65_536).contains(found) && found.count_ones() == 1 => {
            Ok(*found as u64)
        }
        Some(other) => Err(source.fault(Fault::Alignment { found: shown(&format!("{other:?}")) })),
    }
}

/// Makes offsets absolute. As llama.cpp does, it demands that each tensor begins right after the one before: this
/// rules out overlaps, holes and wrong alignment at once.
fn place<R: Read + Seek>(
    source: &Source<R>,
    alignment: u64,
    tensors: &mut [TensorInfo],
) -> Result<(), Error> {
    let start = source.at().next_multiple_of(alignment);
    let left = (source.at() + source.left()).saturating_sub(start);
    let mut expected = 0_u64;
    for tensor in tensors {
        let name = || shown(&tensor.name);
        if tensor.at != expected {
            let fault = Fault::Offset { name: name(), found: tensor.at, expected };
            return Err(source.fault(fault));
        }
        let needed = tensor.at.saturating_add(tensor.bytes);
        if needed > left {
            return Err(source.fault(Fault::PastEnd { name: name(), needed, left }));
        }
        // Below the file's length, so that rounding up cannot overflow.
        expected = needed.next_multiple_of(alignment);
        tensor.at += start;
    }
    Ok(())
}

/// The shortest decimal that reads back as this f32: writers had a decimal such as 1e-5 in mind.
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| f64::from(number))
}
