//! `tojson` as `transformers` defines it: `json.dumps(value, ensure_ascii, indent, separators, sort_keys)`. Jinja's own
//! filter escapes HTML.

use super::python;
use minijinja::value::{Kwargs, Rest, Value, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Error, ErrorKind, State};
use std::fmt::Write;

/// `tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(super) fn tojson(state: &State, value: Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let args = args.into_values();
    // Paid for before lists are copied.
    super::budget::paid(state, &value)?;
    let (places, names) = from_args::<(&[Value], Kwargs)>(&args)?;
    let given = |place: usize, name: &str| match places.get(place) {
        Some(value) => Ok::<_, Error>(value.clone()),
        None => Ok(names.get::<Option<Value>>(name)?.unwrap_or(Value::from(()))),
    };
    let (ascii, indent) = (given(0, "ensure_ascii")?, given(1, "indent")?);
    let (separators, sorted) = (given(2, "separators")?, given(3, "sort_keys")?);
    names.assert_all_used()?;
    let indent = match (indent.kind(), indent.as_str()) {
        (ValueKind::None, _) => None,
        (_, Some(text)) if text.len() <= 64 => Some(text.to_owned()),
        (_, Some(_)) => return Err(wrong("`indent` of tojson: expected at most 64 characters")),
        _ => Some(" ".repeat(usize::try_from(i64::try_from(indent)?.clamp(0, 64)).unwrap_or(0))),
    };
    let [items, keys] = if separators.is_none() {
        [if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()]
    } else {
        let texts: Vec<String> = separators.try_iter()?.take(3).map(|text| text.to_string()).collect();
        let short = texts.iter().all(|text| text.len() <= 64);
        texts
            .try_into()
            .ok()
            .filter(|_| short)
            .ok_or_else(|| wrong("`separators` of tojson: expected two texts of at most 64 bytes"))?
    };
    let layout = Layout { ascii: ascii.is_true(), indent, items, keys, sorted: sorted.is_true() };
    let mut out = String::new();
    layout.write(&mut out, &value, 0)?;
    // The engine counts the result; what it counts not is the walk to it.
    state.consume_fuel(out.len() as u64 / 64)?;
    Ok(out)
}

fn wrong(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadSerialization, reason.into())
}

struct Layout {
    ascii: bool,
    indent: Option<String>,
    items: String,
    keys: String,
    sorted: bool,
}

impl Layout {
    fn write(&self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > super::MAX_NESTING {
            return Err(wrong(format!("tojson: expected at most {} levels of nesting", super::MAX_NESTING)));
        }
        if out.len() > super::MAX_OUTPUT_BYTES {
            return Err(wrong(format!("tojson: the output exceeds {} bytes", super::MAX_OUTPUT_BYTES)));
        }
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => out.push_str(&number(value)),
            ValueKind::String => self.text(out, value.as_str().unwrap_or_default()),
            ValueKind::Seq => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.list(out, '[', ']', depth, items, |out, item| self.write(out, &item, depth + 1))?;
            }
            ValueKind::Map => {
                let mut pairs = Vec::new();
                for (key, item) in python::pairs(value) {
                    pairs.push((name(&key)?, item));
                }
                if self.sorted {
                    pairs.sort_by(|(one, _), (other, _)| one.chars().cmp(other.chars()));
                }
                self.list(out, '{', '}', depth, pairs, |out, (key, item)| {
                    self.text(out, &key);
                    out.push_str(&self.keys);
                    self.write(out, &item, depth + 1)
                })?;
            }
            kind => return Err(wrong(format!("tojson: {kind} is no JSON"))),
        }
        Ok(())
    }

    fn list<T>(
        &self,
        out: &mut String,
        open: char,
        close: char,
        depth: usize,
        items: Vec<T>,
        mut write: impl FnMut(&mut String, T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let line = |out: &mut String, depth: usize| {
            if let Some(indent) = &self.indent {
                out.push('\n');
                (0..depth).for_each(|_| out.push_str(indent));
            }
        };
        out.push(open);
        let empty = items.is_empty();
        for (i, item) in items.into_iter().enumerate() {
            if i > 0 {
                out.push_str(&self.items);
            }
            line(out, depth + 1);
            write(out, item)?;
        }
        if !empty {
            line(out, depth);
        }
        out.push(close);
        Ok(())
    }

    fn text(&self, out: &mut String, text: &str) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\0'..='\u{1f}' => escaped(out, c),
                '\u{7f}'.. if self.ascii => escaped(out, c),
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

/// `\uXXXX`, in two halves beyond the first plane.
fn escaped(out: &mut String, c: char) {
    for half in c.encode_utf16(&mut [0; 2]) {
        write!(out, "\\u{half:04x}").expect("a string takes every text");
    }
}

fn number(value: &Value) -> String {
    match python::as_float(value) {
        Some(number) if number.is_nan() => "NaN".to_owned(),
        Some(number) if number.is_infinite() => {
            if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
        }
        Some(number) => python::float(number),
        None => value.to_string(),
    }
}

/// A key as JSON writes it.
fn name(key: &Value) -> Result<String, Error> {
    Ok(match key.kind() {
        ValueKind::String => key.as_str().unwrap_or_default().to_owned(),
        ValueKind::None => "null".to_owned(),
        ValueKind::Bool => if key.is_true() { "true" } else { "false" }.to_owned(),
        ValueKind::Number => number(key),
        kind => return Err(wrong(format!("tojson: {kind} is no key of JSON"))),
    })
}
