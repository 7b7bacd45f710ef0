//! Columns that a user names: where in a row a value stands. It does not know what the columns are for.

use super::Mismatch;
use crate::message::{keys, sort};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};

/// Names of columns with the places where a row has their values: a column, or a path into it such as
/// `reward_model.ground_truth` or `messages.0.content`. A path goes into JSON that stands in a text, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Columns(pub BTreeMap<String, String>);

impl Columns {
    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The place of a column, key by key.
    pub(super) fn place(&self, name: &str) -> Option<Vec<String>> {
        self.0.get(name).map(|path| path.split('.').map(str::to_owned).collect())
    }

    /// The row with every column under its name. What was renamed is gone from its old one.
    ///
    /// # Errors
    /// A place that the row does not have.
    pub fn applied(&self, row: Map<String, Value>) -> Result<Map<String, Value>, Mismatch> {
        let mut made = row.clone();
        for path in self.0.values().filter(|path| row.contains_key(*path)) {
            made.shift_remove(path);
        }
        for (name, path) in &self.0 {
            let keys: Vec<&str> = path.split('.').collect();
            let value = match row.get(path) {
                Some(value) => value.clone(), // a name with dots in it
                None => at(&Value::Object(row.clone()), &keys).map_err(|found| {
                    Mismatch::new(format!("a value at `{path}` (data.columns.{name})"), found)
                })?,
            };
            made.insert(name.clone(), value);
        }
        Ok(made)
    }
}

/// The value at a path, or what is there instead.
fn at(value: &Value, path: &[&str]) -> Result<Value, String> {
    let Some((key, rest)) = path.split_first() else { return Ok(value.clone()) };
    let nested = match value {
        Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        other => other.clone(),
    };
    let found = match &nested {
        Value::Object(object) => object.get(*key).ok_or_else(|| keys(object)),
        Value::Array(list) => key
            .parse()
            .ok()
            .and_then(|index: usize| list.get(index))
            .ok_or_else(|| format!("a list of {} without `{key}`", list.len())),
        _ => Err(format!("{} in place of `{key}`", sort(value))),
    };
    at(found?, rest)
}

/// A number as a line writes it: a gold answer must not be rounded to 53 bits.
pub(super) fn digits(text: &str, path: &[String]) -> Option<String> {
    let Some((key, rest)) = path.split_first() else { return Some(text.trim().to_owned()) };
    match text.trim_start().as_bytes().first()? {
        b'{' => {
            let object: HashMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            digits(object.get(key)?.get(), rest)
        }
        b'[' => {
            let list: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            digits(list.get(key.parse::<usize>().ok()?)?.get(), rest)
        }
        b'"' => digits(&serde_json::from_str::<String>(text).ok()?, path),
        _ => None,
    }
}
