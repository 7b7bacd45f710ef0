//! A header's keys and values, and typed access to them. It refuses to know which keys a model needs.

use crate::error::{Error, shown};
use std::collections::BTreeMap;

/// The value of a metadata key. Integers of all widths are one variant, floats another.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any integer: the format's widest are u64 and i64.
    Integer(i128),
    /// f32 or f64. An f32 is held as the shortest decimal that reads back as it: 1e-5, not 9.99999974e-6.
    Float(f64),
    /// A truth value.
    Flag(bool),
    /// A text.
    Text(String),
    /// A list of texts that the caller of the reader asked for.
    Texts(Strings),
    /// A list of 32-bit integers that the caller of the reader asked for.
    Integers(Vec<i32>),
    /// A list of 32-bit floats that the caller of the reader asked for.
    Floats(Vec<f32>),
    /// A list of bytes that the caller of the reader asked for.
    Bytes(Vec<u8>),
    /// Any other list: checked and passed over.
    Skipped {
        /// Its elements.
        len: u64,
    },
}

/// A list of texts in one buffer: vocabularies have hundreds of thousands of short ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    text: String,
    ends: Vec<u32>,
}

impl Strings {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// One of them; `None` behind the last.
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)? as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        self.text.get(start..end)
    }

    /// All of them in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Adds one at the end.
    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len() as u32);
    }
}

/// What a file says of itself, by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata(pub(crate) BTreeMap<String, Value>);

impl Metadata {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// All keys with their values, in the keys' order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// A text, where the key is there.
    ///
    /// # Errors
    /// [`Error::Metadata`] when it is of another type.
    pub fn text(&self, key: &str) -> Result<Option<&str>, Error> {
        self.typed(key, "a text", |value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A whole number that is not negative, where the key is there.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn unsigned(&self, key: &str) -> Result<Option<u64>, Error> {
        self.typed(key, "a whole number, not negative", |value| match value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        })
    }

    /// A finite number, where the key is there.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn number(&self, key: &str) -> Result<Option<f64>, Error> {
        self.typed(key, "a finite number", |value| match value {
            Value::Float(number) => Some(*number).filter(|number| number.is_finite()),
            Value::Integer(number) => Some(*number as f64),
            _ => None,
        })
    }

    /// A truth value, where the key is there.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        self.typed(key, "true or false", |value| match value {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        })
    }

    /// A list of texts, where the key is there.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn texts(&self, key: &str) -> Result<Option<&Strings>, Error> {
        self.typed(key, "a list of texts", |value| match value {
            Value::Texts(texts) => Some(texts),
            _ => None,
        })
    }

    /// A list of 32-bit integers, where the key is there.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn integers(&self, key: &str) -> Result<Option<&[i32]>, Error> {
        self.typed(key, "a list of 32-bit integers", |value| match value {
            Value::Integers(integers) => Some(integers.as_slice()),
            _ => None,
        })
    }

    /// A list of 32-bit floats, where the key is there.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn floats(&self, key: &str) -> Result<Option<&[f32]>, Error> {
        self.typed(key, "a list of 32-bit floats", |value| match value {
            Value::Floats(floats) => Some(floats.as_slice()),
            _ => None,
        })
    }

    /// A list of bytes, where the key is there.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn bytes(&self, key: &str) -> Result<Option<&[u8]>, Error> {
        self.typed(key, "a list of bytes", |value| match value {
            Value::Bytes(bytes) => Some(bytes.as_slice()),
            _ => None,
        })
    }

    /// The error of a key whose value cannot be.
    pub(crate) fn wrong(&self, key: &str, expected: impl Into<String>) -> Error {
        let found = match self.get(key) {
            None => "absent".to_owned(),
            Some(Value::Integer(number)) => number.to_string(),
            Some(Value::Float(number)) => number.to_string(),
            Some(Value::Flag(flag)) => flag.to_string(),
            Some(Value::Text(text)) => format!("{:?}", shown(text)),
            Some(Value::Texts(texts)) => format!("a list of {} texts", texts.len()),
            Some(Value::Integers(integers)) => format!("a list of {} integers", integers.len()),
            Some(Value::Floats(floats)) => format!("a list of {} floats", floats.len()),
            Some(Value::Bytes(bytes)) => format!("a list of {} bytes", bytes.len()),
            Some(Value::Skipped { len }) => format!("a list of {len}"),
        };
        Error::Metadata { key: key.to_owned(), expected: expected.into(), found }
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        of: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        match self.get(key).map(of) {
            None => Ok(None),
            Some(Some(value)) => Ok(Some(value)),
            Some(None) => Err(self.wrong(key, expected)),
        }
    }
}
