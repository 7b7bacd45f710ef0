//! Tool calls, compared as BFCL's checker of syntax trees compares them.

use super::equal;
use super::literal::{self, Call};
use super::reading::{self, short};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// More calls than any task has: they are matched each with each.
const MAX_CALLS: usize = 64;

/// The calls that a task wants, and what is known of the tools.
pub(super) struct Wanted {
    calls: Vec<(String, Map<String, Value>)>,
    tools: BTreeMap<String, Tool>,
}

/// What a tool's description says of its arguments.
struct Tool {
    required: Vec<String>,
    types: BTreeMap<String, String>,
}

impl Wanted {
    /// The calls of a gold answer, with the values that are right for each argument.
    pub(super) fn of(gold: &Value, tools: Option<&Value>) -> Result<Self, String> {
        let list = match gold {
            Value::Array(list) => list.clone(),
            one @ Value::Object(_) => vec![one.clone()],
            other => return Err(format!("expected the task's answer to be a list of calls, found {other}")),
        };
        if list.len() > MAX_CALLS {
            return Err(format!("expected at most {MAX_CALLS} calls, found {}", list.len()));
        }
        let calls = list.iter().map(wanted).collect::<Result<Vec<_>, _>>()?;
        let described: Vec<&Value> = match tools {
            None => Vec::new(),
            Some(Value::Array(list)) => list.iter().collect(),
            Some(one) => vec![one],
        };
        let tools = described.into_iter().filter_map(tool).collect();
        Ok(Self { calls, tools })
    }

    /// Whether these calls are the wanted ones, in any order.
    ///
    /// # Errors
    /// How they differ, in words.
    pub(super) fn compare(&self, given: &[Call]) -> Result<(), String> {
        if given.len() != self.calls.len() {
            return Err(format!("expected {} calls, found {}", self.calls.len(), given.len()));
        }
        let fits: Vec<Vec<bool>> = self
            .calls
            .iter()
            .map(|wanted| given.iter().map(|call| self.difference(wanted, call).is_none()).collect())
            .collect();
        match unmatched(&fits) {
            None => Ok(()),
            Some(index) => {
                let wanted = &self.calls[index];
                let same = given.iter().find(|call| same_name(&call.name, &wanted.0));
                let why = same.and_then(|call| self.difference(wanted, call));
                Err(why.unwrap_or_else(|| format!("no call of {}", wanted.0)))
            }
        }
    }

    fn difference(&self, wanted: &(String, Map<String, Value>), given: &Call) -> Option<String> {
        let (name, arguments) = wanted;
        if !same_name(&given.name, name) {
            return Some(format!("expected a call of {name}, found {}", given.name));
        }
        let tool = self.tools.get(name);
        let is_given = |key: &str| given.arguments.contains_key(key);
        for (key, values) in arguments {
            let required = tool.is_some_and(|tool| tool.required.contains(key));
            if !is_given(key) && (required || !may_be_missing(values)) {
                return Some(format!("{name}: the argument {key} is missing"));
            }
        }
        for (key, value) in &given.arguments {
            let Some(values) = arguments.get(key) else {
                return Some(format!("{name}: the argument {key} is not expected"));
            };
            let kind = tool.and_then(|tool| tool.types.get(key)).map(String::as_str);
            let is_right = |wanted: &Value| same_value(value, wanted, kind);
            let is_right = values.as_array().is_some_and(|values| values.iter().any(is_right));
            if !is_right {
                return Some(format!(
                    "{name}: {key} is {}, expected {}",
                    short(&value.to_string()),
                    short(&values.to_string())
                ));
            }
        }
        None
    }
}

/// A call of the gold answer: `{name: {argument: [values]}}`, or `{"name", "arguments"}` with one value each.
fn wanted(call: &Value) -> Result<(String, Map<String, Value>), String> {
    if let Some(call) = described(call) {
        let single = |(key, value): (String, Value)| (key, Value::Array(vec![value]));
        return Ok((call.name, call.arguments.into_iter().map(single).collect()));
    }
    let fault = || {
        format!("expected a call of the task's answer to be {{name: {{argument: [values]}}}}, found {call}")
    };
    let fields = call.as_object().filter(|fields| fields.len() == 1).ok_or_else(fault)?;
    let (name, arguments) = fields.iter().next().ok_or_else(fault)?;
    let arguments = arguments.as_object().ok_or_else(fault)?;
    let listed = |value: &Value| match value {
        Value::Array(list) => Value::Array(list.clone()),
        other => Value::Array(vec![other.clone()]),
    };
    Ok((name.clone(), arguments.iter().map(|(key, value)| (key.clone(), listed(value))).collect()))
}

/// `{"name": .., "arguments": {..}}` as OpenAI and Hermes write calls; the arguments may be JSON in a text.
fn described(call: &Value) -> Option<Call> {
    let call = call.get("function").filter(|inner| inner.is_object()).unwrap_or(call);
    let name = call.get("name")?.as_str()?.to_owned();
    let arguments = ["arguments", "parameters", "args", "kwargs"].iter().find_map(|key| call.get(*key));
    let arguments = match arguments {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(arguments)) => arguments.clone(),
        Some(Value::String(text)) => match reading::strict(text).ok()? {
            Value::Object(arguments) => arguments,
            _ => return None,
        },
        Some(_) => return None,
    };
    Some(Call { name, arguments })
}

fn tool(description: &Value) -> Option<(String, Tool)> {
    let description = description.get("function").filter(|inner| inner.is_object()).unwrap_or(description);
    let name = description.get("name")?.as_str()?.to_owned();
    let parameters = description.get("parameters")?;
    let required = parameters.get("required").and_then(Value::as_array).into_iter().flatten();
    let required = required.filter_map(|key| key.as_str().map(str::to_owned)).collect();
    let properties = parameters.get("properties").and_then(Value::as_object).into_iter().flatten();
    let types = properties
        .filter_map(|(key, property)| Some((key.clone(), property.get("type")?.as_str()?.to_owned())));
    Some((name, Tool { required, types: types.collect() }))
}

/// Names with a dot may be written with an underscore, as chat formats without dots want it.
fn same_name(given: &str, wanted: &str) -> bool {
    given == wanted || (wanted.contains('.') && given == wanted.replace('.', "_"))
}

fn may_be_missing(values: &Value) -> bool {
    values.as_array().is_some_and(|values| values.iter().any(|value| value.as_str() == Some("")))
}

/// Whether a value is a right one, of the type that the tool asks for.
fn same_value(given: &Value, wanted: &Value, kind: Option<&str>) -> bool {
    let fits = match kind {
        Some("integer") => given.is_i64() || given.is_u64(),
        Some("float" | "number" | "double") => given.is_number(),
        Some("boolean") => given.is_boolean(),
        Some("string") => given.is_string(),
        Some("array" | "tuple") => given.is_array(),
        Some("dict" | "object") => given.is_object(),
        _ => true,
    };
    // A variable's name may stand for a value of any type, where the task lists it.
    (fits || (given.is_string() && wanted.is_string())) && alike(given, wanted)
}

/// Equality as BFCL has it: texts without case, spaces and most punctuation; dicts whose values may be lists of right
/// ones.
fn alike(given: &Value, wanted: &Value) -> bool {
    match (given, wanted) {
        (Value::String(given), Value::String(wanted)) => plain(given) == plain(wanted),
        (Value::Array(given), Value::Array(wanted)) => {
            given.len() == wanted.len()
                && given.iter().zip(wanted).all(|(given, wanted)| alike(given, wanted))
        }
        (Value::Object(given), Value::Object(wanted)) => {
            let is_right = |key: &str, value: &Value| match wanted.get(key) {
                Some(Value::Array(values)) => {
                    values.iter().any(|wanted| alike(value, wanted)) || alike(value, &wanted[key])
                }
                Some(wanted) => alike(value, wanted),
                None => false,
            };
            given.iter().all(|(key, value)| is_right(key, value))
                && wanted.iter().all(|(key, values)| given.contains_key(key) || may_be_missing(values))
        }
        _ => equal(given, wanted),
    }
}

/// A text as BFCL compares it.
fn plain(text: &str) -> String {
    let kept = text.chars().filter(|c| !matches!(c, ' ' | ',' | '.' | '/' | '-' | '_' | '*' | '^'));
    kept.collect::<String>().to_lowercase().replace('\'', "\"")
}

/// The first wanted call without a given one of its own, by augmenting paths; `None` where each has one.
fn unmatched(fits: &[Vec<bool>]) -> Option<usize> {
    let count = fits.first().map_or(0, Vec::len);
    let mut taken: Vec<Option<usize>> = vec![None; count];
    for wanted in 0..fits.len() {
        if !augment(fits, wanted, &mut vec![false; count], &mut taken) {
            return Some(wanted);
        }
    }
    None
}

fn augment(fits: &[Vec<bool>], wanted: usize, seen: &mut [bool], taken: &mut [Option<usize>]) -> bool {
    for (given, fits_here) in fits[wanted].iter().enumerate() {
        if !fits_here || seen[given] {
            continue;
        }
        seen[given] = true;
        let is_free = match taken[given] {
            None => true,
            Some(other) => augment(fits, other, seen, taken),
        };
        if is_free {
            taken[given] = Some(wanted);
            return true;
        }
    }
    false
}

/// The calls that a response makes, with the text that they stand in.
///
/// # Errors
/// Why there are none to be read, in words.
pub(super) fn given(scope: &str) -> Result<(&str, Vec<Call>), String> {
    if scope.contains("<tool_call>") {
        return tagged(scope).map(|calls| (scope, calls));
    }
    let python = literal::calls(scope.trim_matches('`').trim());
    if let Ok(calls) = python {
        return Ok((scope, calls));
    }
    if let Some(calls) = reading::last_fence(scope).and_then(|block| literal::calls(block.trim()).ok()) {
        return Ok((scope, calls));
    }
    let (found, value) = reading::find(scope).map_err(|why| match python {
        Err(of_python) if scope.starts_with('[') || scope.contains('(') => {
            format!("no calls in JSON ({why}), nor in Python ({of_python})")
        }
        _ => why,
    })?;
    let list = match value {
        Value::Array(list) => list,
        one => vec![one],
    };
    limited(list.len())?;
    Ok((found, list.iter().map(call).collect::<Result<_, _>>()?))
}

/// `{"name", "arguments"}`, or `{name: {argument: value}}`.
fn call(value: &Value) -> Result<Call, String> {
    if let Some(call) = described(value) {
        return Ok(call);
    }
    let single = value.as_object().filter(|fields| fields.len() == 1).and_then(|fields| fields.iter().next());
    match single {
        Some((name, Value::Object(arguments))) => {
            Ok(Call { name: name.clone(), arguments: arguments.clone() })
        }
        _ => Err(format!("expected a call with `name` and `arguments`, found {}", short(&value.to_string()))),
    }
}

/// All of `<tool_call>..</tool_call>`.
fn tagged(scope: &str) -> Result<Vec<Call>, String> {
    let mut calls = Vec::new();
    for part in scope.split("<tool_call>").skip(1) {
        let content = part.split_once("</tool_call>").map_or(part, |(content, _)| content);
        let value =
            reading::strict(content.trim()).map_err(|error| format!("a <tool_call> has no JSON: {error}"))?;
        calls.push(call(&value)?);
        limited(calls.len())?;
    }
    Ok(calls)
}

fn limited(count: usize) -> Result<(), String> {
    if count > MAX_CALLS { Err(format!("more than {MAX_CALLS} calls")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::{Wanted, given};
    use serde_json::{Value, json};

    fn judged(gold: Value, tools: Option<Value>, text: &str) -> Result<(), String> {
        let wanted = Wanted::of(&gold, tools.as_ref()).expect("calls");
        given(text).and_then(|(_, calls)| wanted.compare(&calls))
    }

    #[test]
    fn all_ways_to_write_calls_are_read() {
        let gold = json!([{"area": {"base": [10], "height": [5], "unit": ["units", ""]}}]);
        for text in [
            "area(base=10, height=5)",
            "[area(height=5, base=10, unit='Units')]",
            r#"[{"name": "area", "arguments": {"base": 10, "height": 5}}]"#,
            r#"{"area": {"base": 10, "height": 5}}"#,
            "<tool_call>\n{\"name\": \"area\", \"arguments\": {\"base\": 10, \"height\": 5}}\n</tool_call>",
            r#"{"type": "function", "function": {"name": "area", "arguments": "{\"base\": 10, \"height\": 5}"}}"#,
            "```python\n[area(base=10, height=5)]\n```",
        ] {
            assert_eq!(judged(gold.clone(), None, text), Ok(()), "{text}");
        }
        for text in [
            "area(base=10)",
            "area(base=10, height=6)",
            "area(base=10, height=5, depth=1)",
            "area(base='10', height=5)",
            "Area(base=10, height=5)",
            "[area(base=10, height=5), area(base=10, height=5)]",
            "[]",
            "I would call area(base=10, height=5), or not.",
        ] {
            assert!(judged(gold.clone(), None, text).is_err(), "{text}");
        }
    }

    #[test]
    fn texts_types_and_order_are_as_in_bfcl() {
        let gold =
            json!([{"weather.now": {"city": ["New York, NY"], "days": [3.0]}}, {"f": {"x": [[1, 2]]}}]);
        let tools = json!([{"name": "weather.now", "parameters": {"type": "dict", "required": ["city"],
            "properties": {"city": {"type": "string"}, "days": {"type": "float"}}}},
            {"name": "f", "parameters": {"properties": {"x": {"type": "array"}}, "required": ["x"]}}]);
        let text = "[f(x=[1, 2]), weather_now(city='new york ny', days=3)]";
        assert_eq!(judged(gold.clone(), Some(tools.clone()), text), Ok(()));
        for text in ["[f(x=[2, 1]), weather.now(city='NY', days=3)]", "[f(x=[1, 2]), f(x=[1, 2])]"] {
            assert!(judged(gold.clone(), Some(tools.clone()), text).is_err(), "{text}");
        }
        let integer = json!([{"name": "g", "parameters": {"properties": {"n": {"type": "integer"}}}}]);
        assert!(judged(json!([{"g": {"n": [5]}}]), Some(integer.clone()), "g(n=5.0)").is_err());
        assert_eq!(judged(json!([{"g": {"n": [5]}}]), Some(integer), "g(n=5)"), Ok(()));
    }

    #[test]
    fn calls_that_fit_more_than_one_are_matched_one_to_one() {
        let gold = json!([{"f": {"x": [1, 2]}}, {"f": {"x": [1]}}]);
        assert_eq!(judged(gold.clone(), None, "[f(x=1), f(x=2)]"), Ok(()));
        assert!(judged(gold, None, "[f(x=2), f(x=2)]").is_err());
    }
}
