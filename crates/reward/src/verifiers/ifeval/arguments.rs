//! The arguments of an instruction, as a row's `kwargs` have them: a key that is null or missing is not there.

use serde_json::{Map, Value};

/// Arguments by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arguments<'a> {
    map: Option<&'a Map<String, Value>>,
}

/// How a number is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    LessThan,
    AtLeast,
}

impl Relation {
    pub(super) fn holds(self, found: usize, wanted: usize) -> bool {
        match self {
            Self::LessThan => found < wanted,
            Self::AtLeast => found >= wanted,
        }
    }
}

impl<'a> Arguments<'a> {
    pub(super) fn new(map: Option<&'a Map<String, Value>>) -> Self {
        Self { map }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map?.get(name).filter(|value| !value.is_null())
    }

    fn required(&self, name: &str) -> Result<&'a Value, String> {
        self.get(name).ok_or_else(|| format!("expected the argument `{name}` in the task's `kwargs`"))
    }

    /// A number of things; parquet has them as fractions now and then.
    pub(super) fn count(&self, name: &str) -> Result<usize, String> {
        let value = self.required(name)?;
        let whole = value.as_f64().filter(|number| *number >= 0.0 && number.fract() == 0.0);
        whole
            .map(|number| number as usize)
            .ok_or_else(|| format!("expected a whole number as `{name}`, found {value}"))
    }

    pub(super) fn number(&self, name: &str) -> Result<f64, String> {
        let value = self.required(name)?;
        value.as_f64().ok_or_else(|| format!("expected a number as `{name}`, found {value}"))
    }

    pub(super) fn text(&self, name: &str) -> Result<&'a str, String> {
        let value = self.required(name)?;
        value.as_str().ok_or_else(|| format!("expected a text as `{name}`, found {value}"))
    }

    pub(super) fn texts(&self, name: &str) -> Result<Vec<&'a str>, String> {
        let value = self.required(name)?;
        let list = value.as_array().map(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
        list.flatten().ok_or_else(|| format!("expected a list of texts as `{name}`, found {value}"))
    }

    pub(super) fn relation(&self, name: &str) -> Result<Relation, String> {
        match self.text(name)? {
            "less than" => Ok(Relation::LessThan),
            "at least" => Ok(Relation::AtLeast),
            other => Err(format!("expected \"less than\" or \"at least\" as `{name}`, found {other:?}")),
        }
    }
}
