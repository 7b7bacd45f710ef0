//! JSON Schema, draft 2020-12, without references to other documents and without `unevaluated*`.
//!
//! A schema that uses what is not known here is the task's fault, and found before an answer is read.

use super::equal;
use super::reading::short;
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Schemas within schemas, through references too.
const MAX_DEPTH: usize = 200;
/// Pairs of a schema and a part of an answer that are compared.
const MAX_STEPS: usize = 200_000;
/// Bytes that a compiled pattern may take.
const MAX_PATTERN: usize = 256 << 10;

/// Keywords that say something about an answer.
const ASSERTIONS: &[&str] = &[
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "if",
    "items",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "nullable",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "required",
    "then",
    "type",
    "uniqueItems",
];
/// Keywords that say nothing that is checked: `format` is a remark, as the specification has it.
const REMARKS: &[&str] = &[
    "$anchor",
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "$vocabulary",
    "contentEncoding",
    "contentMediaType",
    "default",
    "definitions",
    "deprecated",
    "description",
    "example",
    "examples",
    "format",
    "readOnly",
    "strict",
    "title",
    "writeOnly",
];

/// Why an answer is not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    /// It is not what the schema describes.
    Instance(String),
    /// The schema cannot be read.
    Schema(String),
}

/// Refuses a schema that uses what is not known here.
///
/// # Errors
/// The keyword, in words.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    let Value::Object(keywords) = schema else {
        return if schema.is_boolean() {
            Ok(())
        } else {
            Err(format!("expected a schema, found {}", short(&schema.to_string())))
        };
    };
    for (keyword, value) in keywords {
        if !ASSERTIONS.contains(&keyword.as_str()) && !REMARKS.contains(&keyword.as_str()) {
            return Err(format!("the task's schema has the keyword `{keyword}`, which is not known here"));
        }
        match (keyword.as_str(), value) {
            (
                "additionalProperties"
                | "contains"
                | "else"
                | "if"
                | "items"
                | "not"
                | "propertyNames"
                | "then",
                value,
            ) => {
                check(value)?;
            }
            (
                "$defs" | "definitions" | "dependentSchemas" | "patternProperties" | "properties",
                Value::Object(map),
            ) => {
                map.values().try_for_each(check)?;
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(list)) => {
                list.iter().try_for_each(check)?;
            }
            ("$ref", Value::String(reference)) if !reference.starts_with('#') => {
                return Err(format!("the task's schema refers to {reference:?}, which is another document"));
            }
            ("pattern", Value::String(text)) => drop(pattern(text)?),
            _ => {}
        }
        if let ("patternProperties", Value::Object(map)) = (keyword.as_str(), value) {
            map.keys().try_for_each(|text| pattern(text).map(drop))?;
        }
    }
    Ok(())
}

/// Whether a schema describes a value.
///
/// # Errors
/// The first thing that differs, or that the schema cannot be read.
pub(super) fn validate(schema: &Value, value: &Value) -> Result<(), Invalid> {
    Validator { root: schema, steps: MAX_STEPS }.valid(schema, value, "$", 0)
}

fn pattern(text: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(text).size_limit(MAX_PATTERN).build();
    built.map_err(|error| format!("the task's schema has a pattern that does not compile: {error}"))
}

struct Validator<'a> {
    root: &'a Value,
    steps: usize,
}

type Checked = Result<(), Invalid>;

impl<'a> Validator<'a> {
    fn valid(&mut self, schema: &'a Value, value: &Value, at: &str, depth: usize) -> Checked {
        self.steps = self.steps.checked_sub(1).ok_or_else(|| instance(at, "is too much to check"))?;
        if depth > MAX_DEPTH {
            return Err(Invalid::Schema("the task's schema refers to itself without end".to_owned()));
        }
        let Value::Object(keywords) = schema else {
            return if schema == &Value::Bool(false) { Err(instance(at, "is not allowed")) } else { Ok(()) };
        };
        if let Some(reference) = keywords.get("$ref").and_then(Value::as_str) {
            let target = self.target(reference)?;
            self.valid(target, value, at, depth + 1)?;
        }
        Self::kinds(keywords, value, at)?;
        match value {
            Value::Number(number) => numbers(keywords, number.as_f64().unwrap_or(f64::NAN), at)?,
            Value::String(text) => texts(keywords, text, at)?,
            Value::Array(list) => self.lists(keywords, list, at, depth)?,
            Value::Object(map) => self.objects(keywords, map, at, depth)?,
            _ => {}
        }
        self.combined(keywords, value, at, depth)
    }

    fn target(&self, reference: &str) -> Result<&'a Value, Invalid> {
        let pointer = reference.trim_start_matches('#').replace("%25", "%").replace("%7E", "~");
        let found = if pointer.is_empty() { Some(self.root) } else { self.root.pointer(&pointer) };
        found.ok_or_else(|| {
            Invalid::Schema(format!("the task's schema refers to {reference:?}, which is not in it"))
        })
    }

    fn kinds(keywords: &Map<String, Value>, value: &Value, at: &str) -> Checked {
        if keywords.get("nullable") == Some(&Value::Bool(true)) && value.is_null() {
            return Ok(());
        }
        let named = |kind: &Value| kind.as_str().is_some_and(|kind| is_of(kind, value));
        let fits = match keywords.get("type") {
            None => true,
            Some(Value::Array(kinds)) => kinds.iter().any(named),
            Some(kind) => named(kind),
        };
        if !fits {
            return Err(instance(at, &format!("is not of the type {}", keywords["type"])));
        }
        if keywords.get("const").is_some_and(|constant| !equal(constant, value)) {
            return Err(instance(at, &format!("is not {}", short(&keywords["const"].to_string()))));
        }
        if let Some(Value::Array(values)) = keywords.get("enum")
            && !values.iter().any(|other| equal(other, value))
        {
            return Err(instance(at, "is none of the values of `enum`"));
        }
        Ok(())
    }

    fn lists(&mut self, keywords: &'a Map<String, Value>, list: &[Value], at: &str, depth: usize) -> Checked {
        size(keywords, ["minItems", "maxItems"], list.len(), at)?;
        if keywords.get("uniqueItems") == Some(&Value::Bool(true)) {
            let mut seen = HashSet::new();
            if !list.iter().all(|item| seen.insert(canonical(item))) {
                return Err(instance(at, "has an item twice"));
            }
        }
        let first = keywords.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (index, item) in list.iter().enumerate() {
            let schema = first.get(index).or_else(|| keywords.get("items"));
            if let Some(schema) = schema {
                self.valid(schema, item, &format!("{at}[{index}]"), depth + 1)?;
            }
        }
        if let Some(schema) = keywords.get("contains") {
            let mut found = 0;
            for item in list {
                found += usize::from(self.holds(schema, item, at, depth)?);
            }
            let least = keywords.get("minContains").and_then(Value::as_u64).unwrap_or(1);
            let most = keywords.get("maxContains").and_then(Value::as_u64).unwrap_or(u64::MAX);
            if !(least..=most).contains(&(found as u64)) {
                return Err(instance(at, &format!("has {found} items as `contains` wants them")));
            }
        }
        Ok(())
    }

    fn objects(
        &mut self,
        keywords: &'a Map<String, Value>,
        map: &Map<String, Value>,
        at: &str,
        depth: usize,
    ) -> Checked {
        size(keywords, ["minProperties", "maxProperties"], map.len(), at)?;
        let missing = |required: &Value| {
            let keys = required.as_array().into_iter().flatten().filter_map(Value::as_str);
            keys.filter(|key| !map.contains_key(*key)).map(str::to_owned).next()
        };
        if let Some(key) = keywords.get("required").and_then(missing) {
            return Err(instance(at, &format!("lacks the key {key:?}")));
        }
        let dependent = keywords.get("dependentRequired").and_then(Value::as_object).into_iter().flatten();
        for (key, required) in dependent {
            if let (true, Some(missing)) = (map.contains_key(key), missing(required)) {
                return Err(instance(at, &format!("has {key:?} and lacks {missing:?}")));
            }
        }
        let dependent = keywords.get("dependentSchemas").and_then(Value::as_object).into_iter().flatten();
        for (key, schema) in dependent {
            if map.contains_key(key) {
                self.valid(schema, &Value::Object(map.clone()), at, depth + 1)?;
            }
        }
        let properties = keywords.get("properties").and_then(Value::as_object);
        let patterns = keywords.get("patternProperties").and_then(Value::as_object).into_iter().flatten();
        let patterns: Vec<(Regex, &Value)> = patterns
            .map(|(text, schema)| Ok((pattern(text).map_err(Invalid::Schema)?, schema)))
            .collect::<Result<_, _>>()?;
        for (key, value) in map {
            let inside = format!("{at}.{}", short(key));
            let own = properties.and_then(|properties| properties.get(key));
            let by_pattern =
                patterns.iter().filter(|(pattern, _)| pattern.is_match(key)).map(|(_, schema)| *schema);
            let mut schemas: Vec<&Value> = own.into_iter().chain(by_pattern).collect();
            if schemas.is_empty() {
                schemas.extend(keywords.get("additionalProperties"));
            }
            for schema in schemas {
                self.valid(schema, value, &inside, depth + 1)?;
            }
            if let Some(schema) = keywords.get("propertyNames") {
                self.valid(schema, &Value::String(key.clone()), &inside, depth + 1)?;
            }
        }
        Ok(())
    }

    fn combined(
        &mut self,
        keywords: &'a Map<String, Value>,
        value: &Value,
        at: &str,
        depth: usize,
    ) -> Checked {
        let list = |keyword: &str| keywords.get(keyword).and_then(Value::as_array);
        for schema in list("allOf").into_iter().flatten() {
            self.valid(schema, value, at, depth + 1)?;
        }
        for (keyword, exactly) in [("anyOf", false), ("oneOf", true)] {
            let Some(schemas) = list(keyword) else { continue };
            let mut found = 0;
            for schema in schemas {
                found += usize::from(self.holds(schema, value, at, depth)?);
            }
            if found == 0 || (exactly && found > 1) {
                return Err(instance(at, &format!("fits {found} schemas of `{keyword}`")));
            }
        }
        if let Some(schema) = keywords.get("not")
            && self.holds(schema, value, at, depth)?
        {
            return Err(instance(at, "is what `not` excludes"));
        }
        if let Some(schema) = keywords.get("if") {
            let branch = if self.holds(schema, value, at, depth)? { "then" } else { "else" };
            if let Some(schema) = keywords.get(branch) {
                self.valid(schema, value, at, depth + 1)?;
            }
        }
        Ok(())
    }

    fn holds(&mut self, schema: &'a Value, value: &Value, at: &str, depth: usize) -> Result<bool, Invalid> {
        match self.valid(schema, value, at, depth + 1) {
            Ok(()) => Ok(true),
            // Nothing holds once the steps are used up: `not` must not turn that into a yes.
            Err(invalid @ Invalid::Instance(_)) if self.steps == 0 => Err(invalid),
            Err(Invalid::Instance(_)) => Ok(false),
            Err(schema) => Err(schema),
        }
    }
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        _ => false,
    }
}

fn numbers(keywords: &Map<String, Value>, number: f64, at: &str) -> Checked {
    let limit = |keyword: &str| keywords.get(keyword).and_then(Value::as_f64);
    let fails =
        |keyword: &str, holds: &dyn Fn(f64) -> bool| limit(keyword).is_some_and(|limit| !holds(limit));
    let failed = [
        ("minimum", fails("minimum", &|limit| number >= limit)),
        ("maximum", fails("maximum", &|limit| number <= limit)),
        ("exclusiveMinimum", fails("exclusiveMinimum", &|limit| number > limit)),
        ("exclusiveMaximum", fails("exclusiveMaximum", &|limit| number < limit)),
        ("multipleOf", fails("multipleOf", &|step| step > 0.0 && is_multiple(number, step))),
    ];
    match failed.iter().find(|(_, failed)| *failed) {
        None => Ok(()),
        Some((keyword, _)) => Err(instance(at, &format!("is not within `{keyword}`"))),
    }
}

/// Whether a number is a whole number of steps, such as 0.3 of 0.1.
fn is_multiple(number: f64, step: f64) -> bool {
    let ratio = number / step;
    (ratio - ratio.round()).abs() <= 1e-9 * ratio.abs().max(1.0)
}

fn texts(keywords: &Map<String, Value>, text: &str, at: &str) -> Checked {
    size(keywords, ["minLength", "maxLength"], text.chars().count(), at)?;
    match keywords.get("pattern").and_then(Value::as_str) {
        Some(wanted) if !pattern(wanted).map_err(Invalid::Schema)?.is_match(text) => {
            Err(instance(at, &format!("does not match {:?}", short(wanted))))
        }
        _ => Ok(()),
    }
}

fn size(keywords: &Map<String, Value>, [least, most]: [&str; 2], size: usize, at: &str) -> Checked {
    let limit = |keyword: &str| keywords.get(keyword).and_then(Value::as_f64);
    if limit(least).is_some_and(|limit| (size as f64) < limit)
        || limit(most).is_some_and(|limit| size as f64 > limit)
    {
        return Err(instance(at, &format!("has the size {size}, not within `{least}` and `{most}`")));
    }
    Ok(())
}

/// A text that is the same for equal values.
fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => {
            number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string())
        }
        Value::Array(list) => format!("[{}]", list.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Object(map) => {
            let mut fields: Vec<String> =
                map.iter().map(|(key, value)| format!("{key:?}:{}", canonical(value))).collect();
            fields.sort();
            format!("{{{}}}", fields.join(","))
        }
        other => other.to_string(),
    }
}

fn instance(at: &str, why: &str) -> Invalid {
    let start: String = at.chars().take(200).collect();
    Invalid::Instance(format!("{start} {why}"))
}

#[cfg(test)]
#[path = "schema/keywords.rs"]
mod keywords;
