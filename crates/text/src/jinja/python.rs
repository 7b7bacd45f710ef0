//! Values as Python's `str` writes them, where minijinja writes them otherwise: numbers with an exponent.

use minijinja::value::{Tuple, Value, ValueKind};
use minijinja::{Error, Output, State, escape_formatter};

/// Writes a value into the rendered text.
pub(super) fn write(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    super::budget::paid(state, value)?;
    if has_float(value, 0) {
        return out.write_str(&repr(value, 0)).map_err(Error::from);
    }
    escape_formatter(out, state, value)
}

/// `str(value)`.
pub(super) fn text(state: &State, value: &Value) -> Result<String, Error> {
    super::budget::paid(state, value)?;
    Ok(if has_float(value, 0) { repr(value, 0) } else { value.to_string() })
}

/// Python's `repr` of a float: the shortest digits that read back, with an exponent below 1e-4 and from 1e16.
pub(super) fn float(number: f64) -> String {
    if !number.is_finite() {
        return if number.is_nan() {
            "nan"
        } else if number > 0.0 {
            "inf"
        } else {
            "-inf"
        }
        .to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse().unwrap_or(0) {
        -4..16 => {
            let plain = number.to_string();
            if plain.contains('.') { plain } else { plain + ".0" }
        }
        exponent if exponent < 0 => format!("{digits}e-{:02}", -exponent),
        exponent => format!("{digits}e+{exponent:02}"),
    }
}

/// The float that a value is.
pub(super) fn as_float(value: &Value) -> Option<f64> {
    let is_float = value.kind() == ValueKind::Number && !value.is_integer();
    is_float.then(|| f64::try_from(value.clone()).ok()).flatten()
}

fn has_float(value: &Value, depth: usize) -> bool {
    match value.kind() {
        ValueKind::Number => as_float(value).is_some(),
        ValueKind::Seq if depth < super::MAX_NESTING => {
            value.try_iter().is_ok_and(|mut items| items.any(|item| has_float(&item, depth + 1)))
        }
        ValueKind::Map if depth < super::MAX_NESTING => {
            pairs(value).any(|(key, item)| has_float(&key, depth + 1) || has_float(&item, depth + 1))
        }
        _ => false,
    }
}

fn repr(value: &Value, depth: usize) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value.kind() {
        ValueKind::Number => as_float(value).map_or_else(|| value.to_string(), float),
        ValueKind::Seq if depth < super::MAX_NESTING => {
            let items: Vec<String> =
                value.try_iter().into_iter().flatten().map(|item| repr(&item, depth + 1)).collect();
            match (value.downcast_object_ref::<Tuple>(), items.len()) {
                (Some(_), 1) => format!("({},)", list(items)),
                (Some(_), _) => format!("({})", list(items)),
                (None, _) => format!("[{}]", list(items)),
            }
        }
        ValueKind::Map if depth < super::MAX_NESTING => {
            let pair = |(key, item): (Value, Value)| {
                format!("{}: {}", repr(&key, depth + 1), repr(&item, depth + 1))
            };
            format!("{{{}}}", list(pairs(value).map(pair).collect()))
        }
        _ => format!("{value:?}"),
    }
}

/// Keys with their values.
pub(super) fn pairs(map: &Value) -> impl Iterator<Item = (Value, Value)> {
    map.try_iter().into_iter().flatten().map(|key| {
        let value = map.get_item(&key).unwrap_or_default();
        (key, value)
    })
}
