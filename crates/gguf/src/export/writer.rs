//! The header of a GGUF file, version 3, little-endian. It does not know what keys mean.

use crate::tensor::TensorType;
use std::io::{self, Write};

/// Of the tensors' data (`general.alignment`, where a file says nothing).
pub(super) const ALIGNMENT: u64 = 32;

/// A value of a key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kv {
    Unsigned(u32),
    Float(f32),
    Flag(bool),
    Text(String),
    Texts(Vec<String>),
    Integers(Vec<i32>),
    Floats(Vec<f32>),
}

/// Keys and tensor infos.
#[derive(Debug)]
pub(super) struct Header {
    keys: Vec<(String, Kv)>,
    tensors: Vec<Info>,
    /// Where the next tensor's data begin, from the beginning of all data.
    end: u64,
}

#[derive(Debug)]
struct Info {
    name: String,
    /// Fastest first, as the format has it.
    dimensions: Vec<u64>,
    kind: TensorType,
    offset: u64,
}

impl Header {
    pub(super) fn new(keys: Vec<(String, Kv)>) -> Self {
        Self { keys, tensors: Vec::new(), end: 0 }
    }

    /// Adds a tensor whose data follow those of the one before; `shape` is slowest first.
    pub(super) fn tensor(&mut self, name: &str, shape: &[u64], kind: TensorType) {
        let bytes = shape.iter().product::<u64>() / kind.block_len() as u64 * kind.block_bytes() as u64;
        let dimensions = shape.iter().rev().copied().collect();
        self.tensors.push(Info { name: name.to_owned(), dimensions, kind, offset: self.end });
        self.end = aligned(self.end + bytes);
    }

    /// Bytes of a file with this header and its data.
    pub(super) fn bytes(&self) -> u64 {
        // Nothing fails to be written nowhere.
        self.write(&mut io::sink()).unwrap_or_default() + self.end
    }

    /// Writes all before the data and returns how many bytes that is.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<u64> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.keys.len() as u64).to_le_bytes());
        for (key, value) in &self.keys {
            text(key, &mut bytes);
            value.write(&mut bytes);
        }
        for Info { name, dimensions, kind, offset } in &self.tensors {
            text(name, &mut bytes);
            bytes.extend((dimensions.len() as u32).to_le_bytes());
            bytes.extend(dimensions.iter().flat_map(|side| side.to_le_bytes()));
            bytes.extend(kind.number().to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes.resize(aligned(bytes.len() as u64) as usize, 0);
        out.write_all(&bytes)?;
        Ok(bytes.len() as u64)
    }
}

/// The next multiple of the alignment.
pub(super) fn aligned(at: u64) -> u64 {
    at.next_multiple_of(ALIGNMENT)
}

impl Kv {
    /// The type's number (`enum gguf_metadata_value_type`), then the value.
    fn write(&self, out: &mut Vec<u8>) {
        const LIST: u32 = 9;
        let list = |kind: u32, len: usize, out: &mut Vec<u8>| {
            out.extend(LIST.to_le_bytes());
            out.extend(kind.to_le_bytes());
            out.extend((len as u64).to_le_bytes());
        };
        match self {
            Self::Unsigned(number) => {
                out.extend(4_u32.to_le_bytes());
                out.extend(number.to_le_bytes());
            }
            Self::Float(number) => {
                out.extend(6_u32.to_le_bytes());
                out.extend(number.to_le_bytes());
            }
            Self::Flag(flag) => {
                out.extend(7_u32.to_le_bytes());
                out.push(u8::from(*flag));
            }
            Self::Text(value) => {
                out.extend(8_u32.to_le_bytes());
                text(value, out);
            }
            Self::Texts(values) => {
                list(8, values.len(), out);
                for value in values {
                    text(value, out);
                }
            }
            Self::Integers(values) => {
                list(5, values.len(), out);
                out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
            Self::Floats(values) => {
                list(6, values.len(), out);
                out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
        }
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}
