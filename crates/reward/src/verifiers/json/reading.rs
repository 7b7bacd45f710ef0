//! JSON in a text: strict reading, and where in an answer it stands.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Places from which an object or a list is tried, the last ones.
const TRIES: usize = 8;

/// The JSON of an answer with the text that it stands in: all of it, the last fenced block, or the last object or list.
pub(super) fn find(scope: &str) -> Result<(&str, Value), String> {
    let whole = strict(scope);
    if let Ok(value) = whole {
        return Ok((scope, value));
    }
    if let Some(block) = last_fence(scope) {
        let block = block.trim();
        return strict(block)
            .map(|value| (block, value))
            .map_err(|error| format!("the last fenced block is no JSON: {error}"));
    }
    let end = scope.rfind(['}', ']']).map(|end| end + 1);
    let Some(end) = end else { return Err("no JSON in the answer".to_owned()) };
    let closing = if scope[..end].ends_with('}') { '{' } else { '[' };
    // Outermost first: from the first opening whose value ends here.
    let starts: Vec<usize> = scope[..end].match_indices(closing).map(|(at, _)| at).collect();
    let outermost = starts.iter().take(TRIES / 2).chain(starts.iter().rev().take(TRIES / 2));
    let mut reason = None;
    for &start in outermost {
        match strict(&scope[start..end]) {
            Ok(value) => return Ok((&scope[start..end], value)),
            Err(error) => reason = reason.or(Some(error)),
        }
    }
    Err(format!("no JSON in the answer: {}", reason.unwrap_or_else(|| "no opening bracket".to_owned())))
}

/// The content of the last closed fence.
pub(super) fn last_fence(text: &str) -> Option<&str> {
    let (mut open, mut last, mut at) = (None, None, 0);
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("```") {
            match open.take() {
                None => open = Some(at + line.len()),
                Some(start) => last = Some(&text[start..at]),
            }
        }
        at += line.len();
    }
    last
}

/// A value, of which no object has a key twice.
///
/// # Errors
/// What is wrong, and where.
pub(super) fn strict(text: &str) -> Result<Value, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Once.deserialize(&mut deserializer).map_err(|error| error.to_string())?;
    deserializer.end().map_err(|error| error.to_string())?;
    Ok(value)
}

/// Reads any value, and refuses keys that stand twice.
struct Once;

impl<'de> DeserializeSeed<'de> for Once {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = items.next_key_seed(Key)? {
            let value = items.next_value_seed(Self)?;
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {:?} stands twice", short(&key))));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        String::deserialize(deserializer)
    }
}

/// The start of a text, for messages.
pub(super) fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::{find, strict};

    #[test]
    fn the_outermost_last_value_is_found() {
        for (text, value) in [
            ("I call {\"a\": {\"b\": 1}} now", "{\"a\": {\"b\": 1}}"),
            ("first [1], then [2, [3]]", "[2, [3]]"),
            ("```\n1\n```\n```json\n[2]\n```", "[2]"),
            (" 7 ", "7"),
        ] {
            let (found, _) = find(text.trim()).expect(text);
            assert_eq!(found, value, "{text}");
        }
        assert!(find("{1} [").is_err());
        assert!(strict("{\"a\": {\"b\": 1, \"b\": 1}}").is_err_and(|why| why.contains("twice")));
    }
}
