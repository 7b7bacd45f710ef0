//! Methods of Python's texts, lists and mappings that chat templates call. `minijinja-contrib` has most; those are here that
//! it lacks, or that do otherwise than Python.

use super::budget;
use minijinja::value::{Kwargs, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat;
use std::collections::HashSet;

/// What minijinja asks where a value has no such method.
pub(super) fn call(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    // What is only read is not counted by the engine.
    args.iter().try_for_each(|arg| budget::paid(state, arg))?;
    budget::read(state, value.as_str().map_or(0, str::len))?;
    let own = match (value.kind(), value.as_str()) {
        (_, Some(text)) => of_text(state, text, method, args)?,
        (ValueKind::Seq, _) => {
            budget::paid(state, value)?;
            of_list(value, method, args)?
        }
        (ValueKind::Map, _) => of_mapping(value, method, args)?,
        _ => None,
    };
    own.map_or_else(|| pycompat::unknown_method_callback(state, value, method, args), Ok)
}

fn wrong(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason.into())
}

/// White space as Python's `str.strip` takes it: Unicode's, and the four separators of ASCII.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

fn of_text(state: &State, text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    for group in [cut_off, in_pieces, found, padded, written] {
        if let Some(value) = group(state, text, method, args)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// Less of a text.
fn cut_off(_: &State, text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let value: Value = match method {
        "strip" | "lstrip" | "rstrip" => {
            let (chars,): (Option<&str>,) = from_args(args)?;
            let chars: Option<HashSet<char>> = chars.map(|chars| chars.chars().collect());
            let taken = |c: char| chars.as_ref().map_or_else(|| is_space(c), |chars| chars.contains(&c));
            match method {
                "lstrip" => text.trim_start_matches(taken),
                "rstrip" => text.trim_end_matches(taken),
                _ => text.trim_matches(taken),
            }
            .into()
        }
        "removeprefix" => {
            let (what,): (&str,) = from_args(args)?;
            text.strip_prefix(what).unwrap_or(text).into()
        }
        "removesuffix" => {
            let (what,): (&str,) = from_args(args)?;
            text.strip_suffix(what).unwrap_or(text).into()
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

/// A text in parts.
fn in_pieces(state: &State, text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let value: Value = match method {
        "split" | "rsplit" => {
            let (sep, limit, names): (Option<Value>, Option<i64>, Kwargs) = from_args(args)?;
            let sep = if sep.is_some() { sep } else { names.get("sep")? };
            let limit = if limit.is_some() { limit } else { names.get("maxsplit")? };
            names.assert_all_used()?;
            let limit = limit.and_then(|limit| usize::try_from(limit).ok());
            let from_end = method == "rsplit";
            match sep.as_ref().filter(|sep| !sep.is_none()) {
                None => {
                    budget::items(state, text.split(is_space).filter(|word| !word.is_empty()).count())?;
                    words(text, limit, from_end)
                }
                Some(sep) => {
                    let sep = sep.as_str().ok_or_else(|| {
                        wrong(format!("{method}: expected a text to split at, found {}", sep.kind()))
                    })?;
                    budget::items(state, text.matches(sep).count())?;
                    parts(text, sep, limit, from_end)?
                }
            }
            .into_iter()
            .collect()
        }
        "splitlines" => {
            budget::items(state, text.matches('\n').count())?;
            return Ok(None);
        }
        "partition" | "rpartition" => {
            let (sep,): (&str,) = from_args(args)?;
            not_empty(sep)?;
            let found = if method == "partition" { text.split_once(sep) } else { text.rsplit_once(sep) };
            match (found, method) {
                (Some((before, after)), _) => (before, sep, after).into(),
                (None, "partition") => (text, "", "").into(),
                (None, _) => ("", "", text).into(),
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

/// What is in a text, and where.
fn found(_: &State, text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let characters = |bytes: usize| i64::try_from(text[..bytes].chars().count()).unwrap_or(i64::MAX);
    let value: Value = match method {
        "index" | "rindex" => {
            let (what,): (&str,) = from_args(args)?;
            let found = if method == "index" { text.find(what) } else { text.rfind(what) };
            found.map(characters).ok_or_else(|| wrong(format!("{method}: substring not found")))?.into()
        }
        "startswith" | "endswith" => {
            let (what, from, to): (Value, Option<i64>, Option<i64>) = from_args(args)?;
            let place = |at: i64| {
                let at = if at < 0 { (characters(text.len()) + at).max(0) } else { at };
                let at = usize::try_from(at).unwrap_or(usize::MAX);
                text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte)
            };
            let part = text.get(from.map_or(0, place)..to.map_or(text.len(), place)).unwrap_or_default();
            begins_or_ends(part, method, &what)?
        }
        "isdecimal" => {
            let () = from_args(args)?;
            (!text.is_empty() && text.chars().all(|c| c.is_ascii_digit())).into()
        }
        "isspace" => {
            let () = from_args(args)?;
            (!text.is_empty() && text.chars().all(is_space)).into()
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

/// A text of a width.
fn padded(state: &State, text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let value: Value = match method {
        "zfill" => {
            let (width,): (usize,) = from_args(args)?;
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
            let zeros = padding(state, text, width)?;
            format!("{sign}{}{digits}", "0".repeat(zeros)).into()
        }
        "ljust" | "rjust" => {
            let (width, fill): (usize, Option<char>) = from_args(args)?;
            let fill = fill.unwrap_or(' ').to_string().repeat(padding(state, text, width)?);
            if method == "ljust" { format!("{text}{fill}") } else { format!("{fill}{text}") }.into()
        }
        "center" => {
            let (width, fill): (usize, Option<char>) = from_args(args)?;
            let all = padding(state, text, width)?;
            // As CPython: the odd one goes to the left where the width is odd.
            let left = all / 2 + (all & width & 1);
            let fill = fill.unwrap_or(' ').to_string();
            format!("{}{text}{}", fill.repeat(left), fill.repeat(all - left)).into()
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

/// Another text.
fn written(state: &State, text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let value: Value = match method {
        "title" => {
            let () = from_args(args)?;
            title(text).into()
        }
        "swapcase" => {
            let () = from_args(args)?;
            let swapped = |c: char| {
                if c.is_uppercase() { c.to_lowercase().to_string() } else { c.to_uppercase().to_string() }
            };
            text.chars().map(swapped).collect::<String>().into()
        }
        "join" => {
            let (items,): (&Value,) = from_args(args)?;
            if items.is_none() {
                return Err(wrong("join: none is not iterable"));
            }
            let mut joined = String::new();
            for (i, item) in items.try_iter()?.enumerate() {
                let item = item
                    .as_str()
                    .ok_or_else(|| wrong(format!("join: expected texts, found {}", item.kind())))?;
                state.consume_fuel((text.len() + item.len()) as u64 / 64 + 1)?;
                joined.push_str(if i > 0 { text } else { "" });
                joined.push_str(item);
            }
            joined.into()
        }
        "format" => {
            formatted(state, text, args)?;
            return Ok(None);
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

/// Takes fuel for what a format writes: each field as wide as it is asked for, and each with all that it may name.
pub(super) fn formatted(state: &State, format: &str, args: &[Value]) -> Result<(), Error> {
    let mut bytes = format.len();
    for digits in format.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty()) {
        let width = digits.parse().ok().filter(|width: &usize| *width <= 9999);
        let width = width.ok_or_else(|| wrong("format: expected fields of at most 9999 characters"))?;
        bytes = bytes.saturating_add(width * 4);
    }
    let all = budget::cost(state, args)?;
    let fields = format.matches(['{', '%']).count();
    budget::read(state, bytes.saturating_add(all.saturating_mul(fields)))
}

fn begins_or_ends(text: &str, method: &str, what: &Value) -> Result<Value, Error> {
    let is = |what: &str| if method == "startswith" { text.starts_with(what) } else { text.ends_with(what) };
    if let Some(what) = what.as_str() {
        return Ok(is(what).into());
    }
    let wanted = || wrong(format!("{method}: expected a text or a tuple of texts, found {}", what.kind()));
    if what.kind() != ValueKind::Seq {
        return Err(wanted());
    }
    let mut any = false;
    for item in what.try_iter()? {
        any |= is(item.as_str().ok_or_else(wanted)?);
    }
    Ok(any.into())
}

fn not_empty(sep: &str) -> Result<(), Error> {
    if sep.is_empty() { Err(wrong("expected a separator, found an empty text")) } else { Ok(()) }
}

/// Pieces between separators.
fn parts(text: &str, sep: &str, limit: Option<usize>, from_end: bool) -> Result<Vec<Value>, Error> {
    not_empty(sep)?;
    let limit = limit.map_or(usize::MAX, |limit| limit.saturating_add(1));
    Ok(if from_end {
        let mut parts: Vec<Value> = text.rsplitn(limit, sep).map(Value::from).collect();
        parts.reverse();
        parts
    } else {
        text.splitn(limit, sep).map(Value::from).collect()
    })
}

/// Pieces between runs of white space.
fn words(text: &str, limit: Option<usize>, from_end: bool) -> Vec<Value> {
    let limit = limit.unwrap_or(usize::MAX);
    let (mut words, mut rest) = (Vec::new(), text.trim_matches(is_space));
    while !rest.is_empty() {
        let cut = if from_end { rest.rfind(is_space) } else { rest.find(is_space) };
        let Some(at) = cut.filter(|_| words.len() < limit) else {
            words.push(Value::from(rest));
            break;
        };
        let (before, after) = rest.split_at(at);
        if from_end {
            words.push(Value::from(after.trim_start_matches(is_space)));
            rest = before.trim_end_matches(is_space);
        } else {
            words.push(Value::from(before));
            rest = after.trim_start_matches(is_space);
        }
    }
    if from_end {
        words.reverse();
    }
    words
}

/// Characters that are missing to a width, paid for before they are written.
fn padding(state: &State, text: &str, width: usize) -> Result<usize, Error> {
    let missing = width.saturating_sub(text.chars().count());
    budget::read(state, missing.saturating_mul(4))?;
    Ok(missing)
}

/// The first letter of each run of letters in upper case, the others in lower case.
fn title(text: &str) -> String {
    let mut within = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if within {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        within = c.is_alphabetic();
    }
    out
}

fn of_list(list: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    match method {
        "index" => {
            let (what,): (&Value,) = from_args(args)?;
            let place = list.try_iter()?.position(|item| item == *what);
            place
                .map(|place| Some(Value::from(place)))
                .ok_or_else(|| wrong("index: the list has no such item"))
        }
        "copy" => {
            let () = from_args(args)?;
            Ok(Some(list.clone()))
        }
        _ => Ok(None),
    }
}

fn of_mapping(map: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    match method {
        "copy" => {
            let () = from_args(args)?;
            Ok(Some(map.clone()))
        }
        _ => Ok(None),
    }
}
