//! Who said what in a recipe: the embedded default, a file, or `--set`. What only the default says may be derived
//! from a model and its data.

use toml::{Table, Value};

/// A recipe's keys by where they come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers {
    /// Everything: the embedded default where the recipe extends it, the files, then `--set`.
    pub(crate) merged: Table,
    /// The same without the embedded default.
    pub(crate) stated: Table,
    /// `--set` and the flags that stand for it.
    pub(super) sets: Table,
    /// Keys that `--set KEY=` removed.
    pub(super) removed: Vec<String>,
    /// Whether the recipe is a run folder's `config.json`, in which every key is stated.
    pub(crate) resolved: bool,
    /// What was read, for people.
    pub(crate) origin: String,
}

impl Layers {
    /// Whether the user stated the key, or a part of what it holds, or removed it.
    pub(crate) fn states(&self, path: &str) -> bool {
        at(&self.stated, path).is_some() || self.removed(path)
    }

    /// Whether `--set` stated the key.
    pub(crate) fn sets(&self, path: &str) -> bool {
        at(&self.sets, path).is_some()
    }

    /// Whether `--set KEY=` removed the key or a table that holds it.
    fn removed(&self, path: &str) -> bool {
        self.removed.iter().any(|gone| {
            path.strip_prefix(gone.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

/// The value at a path of keys.
pub(crate) fn at<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let (key, rest) = path.split_once('.').map_or((path, None), |(key, rest)| (key, Some(rest)));
    match (table.get(key)?, rest) {
        (value, None) => Some(value),
        (Value::Table(table), Some(rest)) => at(table, rest),
        (_, Some(_)) => None,
    }
}

/// Puts a value at a path of keys. What is no table on the way becomes one: `model` may be a folder below and a table
/// above.
pub(crate) fn put(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((key, rest)) => {
            let entry = table.entry(key).or_insert_with(|| Value::Table(Table::new()));
            if !entry.is_table() {
                *entry = Value::Table(Table::new());
            }
            if let Value::Table(inner) = entry {
                put(inner, rest, value);
            }
        }
    }
}

/// Removes the value at a path of keys, and says whether there was one.
pub(crate) fn remove(table: &mut Table, path: &str) -> bool {
    match path.split_once('.') {
        None => table.remove(path).is_some(),
        Some((key, rest)) => {
            table.get_mut(key).and_then(Value::as_table_mut).is_some_and(|inner| remove(inner, rest))
        }
    }
}
