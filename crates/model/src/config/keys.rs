//! Typed access to the keys of a `config.json`, which may hold anything. It refuses to know what a key is for.

use serde_json::Value;

/// Why a `config.json` is not a model that we can build.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `model_type` is not one of ours.
    #[error(
        "config.json: model_type is {found:?}{}; expected one of {}",
        lacks.map(|part| format!(", for which the decoder lacks {part}")).unwrap_or_default(),
        super::families::known()
    )]
    Family {
        /// What the file says.
        found: String,
        /// The part that the decoder does not have, of a family that is known.
        lacks: Option<&'static str>,
    },
    /// A key is missing.
    #[error("config.json: `{key}` is missing; this family needs it")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A key of a table of positions that no rule of ours reads: it may change what is computed.
    #[error(
        "config.json: `{table}.{key}` is {found}, which is not supported; expected it absent, null, false or empty"
    )]
    Unknown {
        /// The table.
        table: &'static str,
        /// The key.
        key: String,
        /// What the file says.
        found: String,
    },
    /// A key's value is out of range or of another type.
    #[error("config.json: `{key}` is {found}; expected {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What the file says.
        found: String,
        /// What would be right.
        expected: String,
    },
}

/// Typed access to a JSON object; absent and null are the same.
pub(super) struct Keys<'a>(pub(super) &'a Value);

impl Keys<'_> {
    /// No size of a model we can hold is larger; products of two sizes stay within 64 bits.
    pub(super) const LARGEST: u64 = 1 << 28;

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|value| !value.is_null())
    }

    /// Whether a key is there and null, where that is another thing than its absence.
    pub(super) fn is_null(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(Value::is_null)
    }

    pub(super) fn wrong(&self, key: &'static str, expected: &str) -> ConfigError {
        let found = self.0.get(key).map_or_else(|| "absent".to_owned(), shown);
        ConfigError::Value { key, found, expected: expected.to_owned() }
    }

    pub(super) fn optional_size(&self, key: &'static str) -> Result<Option<usize>, ConfigError> {
        if !self.has(key) {
            return Ok(None);
        }
        match self.0[key].as_u64() {
            Some(size @ 1..=Self::LARGEST) => Ok(Some(size as usize)),
            _ => Err(self.wrong(key, "a whole number from 1 to 2^28")),
        }
    }

    pub(super) fn size(&self, key: &'static str) -> Result<usize, ConfigError> {
        self.optional_size(key)?.ok_or(ConfigError::Missing { key })
    }

    pub(super) fn size_or(&self, key: &'static str, default: usize) -> Result<usize, ConfigError> {
        Ok(self.optional_size(key)?.unwrap_or(default))
    }

    /// Like a size, but zero is allowed.
    pub(super) fn count_or(&self, key: &'static str, default: usize) -> Result<usize, ConfigError> {
        if self.0.get(key).and_then(Value::as_u64) == Some(0) { Ok(0) } else { self.size_or(key, default) }
    }

    pub(super) fn number(&self, key: &'static str) -> Result<f64, ConfigError> {
        if !self.has(key) {
            return Err(ConfigError::Missing { key });
        }
        let number = self.0[key].as_f64().filter(|number| number.is_finite() && *number >= 0.0);
        number.ok_or_else(|| self.wrong(key, "a finite number, not negative"))
    }

    pub(super) fn number_or(&self, key: &'static str, default: f64) -> Result<f64, ConfigError> {
        if self.has(key) { self.number(key) } else { Ok(default) }
    }

    pub(super) fn positive_or(&self, key: &'static str, default: Option<f64>) -> Result<f64, ConfigError> {
        let number = default.map_or_else(|| self.number(key), |default| self.number_or(key, default))?;
        if number > 0.0 { Ok(number) } else { Err(self.wrong(key, "a finite number above 0")) }
    }

    /// Refuses a value that would change what the decoder computes; absent is fine.
    pub(super) fn only(
        &self,
        key: &'static str,
        allowed: &[Value],
        expected: &str,
    ) -> Result<(), ConfigError> {
        if self.has(key) && !allowed.contains(&self.0[key]) { Err(self.wrong(key, expected)) } else { Ok(()) }
    }

    /// The same of a key that has to be there.
    pub(super) fn needs(
        &self,
        key: &'static str,
        allowed: &[Value],
        expected: &str,
    ) -> Result<(), ConfigError> {
        if self.has(key) { self.only(key, allowed, expected) } else { Err(self.wrong(key, expected)) }
    }

    pub(super) fn flag_or(&self, key: &'static str, default: bool) -> Result<bool, ConfigError> {
        if !self.has(key) {
            return Ok(default);
        }
        self.0[key].as_bool().ok_or_else(|| self.wrong(key, "true or false"))
    }

    /// A number that a file may leave to its default by saying 0 or null, as transformers takes it.
    pub(super) fn positive_unless_zero(&self, key: &'static str, default: f64) -> Result<f64, ConfigError> {
        Ok(match self.number_or(key, default)? {
            0.0 => default,
            number => number,
        })
    }

    /// Token ids below `vocab_size`, from a number or a list; none where the key is null, `default` where it is absent.
    pub(super) fn token_ids(
        &self,
        key: &'static str,
        default: Option<u32>,
        vocab_size: usize,
    ) -> Result<Vec<u32>, ConfigError> {
        let known = |id: &u32| (*id as usize) < vocab_size;
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok()).filter(known);
        let ids = match self.0.get(key) {
            None => Some(default.into_iter().filter(known).collect()),
            Some(Value::Null) => Some(Vec::new()),
            Some(Value::Array(many)) => many.iter().map(id).collect(),
            Some(one) => id(one).map(|id| vec![id]),
        };
        ids.ok_or_else(|| {
            self.wrong(key, &format!("a token id, or a list of them, below `vocab_size`, {vocab_size}"))
        })
    }
}

/// Whether a value is what files write for a thing that is not used.
pub(crate) fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// A value as a message shows it.
pub(super) fn shown(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}
