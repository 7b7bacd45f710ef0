//! A task's tests, in the forms in which data sets have them. It runs nothing.

use super::languages::Language;
use ruminate_data::Task;
use serde_json::{Map, Value, json};

/// An input and what the program must write for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Case {
    pub(super) input: String,
    /// Missing only where a checker judges.
    pub(super) output: Option<String>,
}

/// Inputs with outputs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cases {
    pub(super) list: Vec<Case>,
    /// The source of a program that judges outputs.
    pub(super) checker: Option<String>,
    pub(super) language: Language,
}

/// What Python's judge runs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asserts {
    /// The task's prompt, whose code may define functions that the tests use.
    pub(super) prompt: String,
    /// Statements that import what the tests use, before the setup.
    pub(super) imports: Vec<String>,
    /// Before all of them.
    pub(super) setup: String,
    /// Statements that must not raise, or files of pytest or unittest.
    pub(super) lines: Vec<String>,
    /// The function under test, where its name could be a builtin's.
    pub(super) entry_point: Option<String>,
    /// Calls with what they must return, in the place of `lines`.
    pub(super) calls: Option<Calls>,
}

/// Calls of a function, or of a method of the class `Solution`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Calls {
    /// Missing where the row has no name: the one function that the program has then.
    pub(super) function: Option<String>,
    /// `{"args": [..] or {..} or text, "expected": value, "text": whether both are texts of JSON}` each.
    pub(super) list: Vec<Value>,
    /// Whether an expected list of one value may stand for that value, as in APPS.
    pub(super) wrapped: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tests {
    Cases(Cases),
    Asserts(Asserts),
}

/// The columns that may have the tests; those of a group are all of them together.
const COLUMNS: &[&[&str]] = &[
    &["tests"],
    &["test_cases"],
    &["test_list"],
    &["input_output"],
    &["public_test_cases", "private_test_cases"],
    &["public_tests", "private_tests", "generated_tests"],
    &["official_tests"],
    &["unit_tests"],
    &["test_code"],
    &["test"],
];

/// Columns that may have all of these inside, as an object or as its text.
const WRAPPERS: &[&str] = &["verification_info", "ground_truth"];

/// A file of tests as KodCode and others write it, or a list of what it has.
enum Part {
    Lines(Vec<String>),
    Cases(Vec<Case>),
    Calls(Option<String>, Vec<Value>),
}

impl Tests {
    /// The tests of a task, at least one.
    ///
    /// # Errors
    /// What is wrong with the task, in words.
    pub(super) fn of(task: &Task) -> Result<Self, String> {
        let inner = wrapped(task);
        let column = |key: &str| {
            let found = task.columns.get(key).filter(|value| !value.is_null());
            found.or_else(|| inner.as_ref().and_then(|inner| inner.get(key)).filter(|value| !value.is_null()))
        };
        let text = |key: &str| column(key).and_then(Value::as_str).map(str::to_owned);
        let entry_point = text("entry_point").filter(|entry| !entry.trim().is_empty());
        let setup = text("test_setup_code").unwrap_or_default();
        let imports =
            [statements("imports", column("imports"))?, statements("test_imports", column("test_imports"))?];
        let mut asserts = Asserts {
            prompt: task.prompt.text(),
            imports: imports.concat(),
            setup,
            lines: Vec::new(),
            entry_point,
            calls: None,
        };
        // HumanEval: a function `check` that is to be called with the entry point.
        if let (Some(test), Some(entry)) = (text("test"), &asserts.entry_point)
            && test.contains("def check(")
        {
            let call = format!("check({entry})");
            let is_called = test.lines().any(|line| line.starts_with("check("));
            asserts.lines = vec![if is_called { test } else { format!("{test}\n{call}") }];
            return Ok(Self::Asserts(asserts));
        }
        let has = |key: &&str| column(key).is_some_and(|value| value.as_str() != Some(""));
        let (keys, values): (Vec<&str>, Vec<Value>) = match COLUMNS.iter().find(|keys| keys.iter().any(has)) {
            Some(keys) => {
                let keys: Vec<&str> = keys.iter().copied().filter(has).collect();
                let values = keys.iter().filter_map(|key| column(key)).cloned().collect();
                (keys, values)
            }
            None => match &inner {
                Some(inner) => (vec!["ground_truth"], vec![inner.clone()]),
                None => return Err("the task has no column `tests`".to_owned()),
            },
        };
        let mut part: Option<Part> = None;
        for (key, value) in keys.iter().zip(values) {
            let Some(next) = read(key, value)? else { continue };
            part = Some(match part {
                None => next,
                Some(part) => joined(part, next)?,
            });
        }
        match part.ok_or_else(|| {
            format!("expected the task's `{}` to have at least one test, found none", keys[0])
        })? {
            Part::Lines(lines) => Ok(Self::Asserts(Asserts { lines, ..asserts })),
            Part::Cases(list) => {
                let language = Language::of(task, inner.as_ref())?;
                let checker = ["checker", "generated_checker", "special_judge"].into_iter().find_map(text);
                let checker = checker.filter(|source| !source.trim().is_empty());
                if checker.is_none() && list.iter().any(|case| case.output.is_none()) {
                    return Err(
                        "expected each of the task's `tests` to have an `output`, or a `checker`".to_owned()
                    );
                }
                Ok(Self::Cases(Cases { list, checker, language }))
            }
            Part::Calls(named, list) => {
                let metadata = column("metadata").cloned().map(parsed);
                let of_metadata = metadata.as_ref().and_then(|metadata| function_of(metadata.as_object()?));
                let starter = || text("starter_code").as_deref().and_then(last_function);
                let function = named
                    .or_else(|| function_of(&task.columns))
                    .or(of_metadata)
                    .or_else(|| asserts.entry_point.clone())
                    .or_else(starter);
                let one = |case: &Value| case["expected"].as_array().is_some_and(|list| list.len() == 1);
                let wrapped = list.iter().all(one);
                asserts.calls = Some(Calls { function, list, wrapped });
                Ok(Self::Asserts(asserts))
            }
        }
    }

    pub(super) fn count(&self) -> usize {
        match self {
            Self::Cases(cases) => cases.list.len(),
            Self::Asserts(asserts) => {
                asserts.calls.as_ref().map_or(asserts.lines.len(), |calls| calls.list.len())
            }
        }
    }

    /// Names that the program is to define, where the task says so.
    pub(super) fn names(&self) -> Vec<String> {
        let Self::Asserts(asserts) = self else { return Vec::new() };
        let called = asserts.calls.iter().filter_map(|calls| calls.function.clone());
        let entry = asserts.entry_point.iter().map(|entry| {
            entry.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default().to_owned()
        });
        let imported = asserts.lines.iter().flat_map(|line| imported(line));
        let mut names: Vec<String> =
            called.chain(entry).chain(imported).filter(|name| !name.is_empty()).collect();
        if asserts.calls.is_some() {
            names.push("Solution".to_owned());
        }
        if names.is_empty() {
            names = asserts.lines.iter().filter_map(|line| asserted(line)).collect();
        }
        names
    }
}

/// The first name that is called in an assert line.
fn asserted(line: &str) -> Option<String> {
    let expression = line.trim_start().strip_prefix("assert ")?.trim_start_matches(['(', ' ']);
    let end = expression.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
    (end > 0 && expression[end..].starts_with('(')).then(|| expression[..end].to_owned())
}

/// Names behind `from solution import`.
fn imported(line: &str) -> Vec<String> {
    let lists = line.lines().filter_map(|line| line.trim().strip_prefix("from solution import "));
    let names = lists.flat_map(|list| list.trim_matches(['(', ')']).split(','));
    names.filter_map(|name| name.split_whitespace().next().map(str::to_owned)).collect()
}

/// The object in a wrapping column, or a task's answer that is one.
fn wrapped(task: &Task) -> Option<Value> {
    let columns = WRAPPERS.iter().filter_map(|key| task.columns.get(*key).cloned());
    let nested = task.columns.get("reward_model").and_then(|model| model.get("ground_truth")).cloned();
    let answer = task.answer.trim_start().starts_with(['{', '[']).then(|| Value::String(task.answer.clone()));
    columns.chain(nested).chain(answer).map(parsed).find(|value| match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(list) => {
            list.iter().all(|test| test.is_object() || test.is_string()) && !list.is_empty()
        }
        _ => false,
    })
}

/// Columns of parquet files often hold JSON as text.
fn parsed(value: Value) -> Value {
    match value {
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        other => other,
    }
}

/// What a column has; nothing where it is empty.
fn read(key: &str, value: Value) -> Result<Option<Part>, String> {
    match parsed(value) {
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) if key == "private_test_cases" && !text.contains(char::is_whitespace) => {
            Err("`private_test_cases` is compressed; decode it (base64, zlib, pickle) into a list of JSON"
                .to_owned())
        }
        // A file of tests.
        Value::String(text) => Ok(Some(Part::Lines(vec![text]))),
        Value::Array(list) if list.is_empty() => Ok(None),
        Value::Array(list) => {
            if let Some(lines) =
                list.iter().map(|test| test.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            {
                return Ok(Some(Part::Lines(lines)));
            }
            parts(key, &list).map(Some)
        }
        Value::Object(fields) => object(key, &fields),
        other => {
            Err(format!("expected the task's `{key}` to be a list of at least one, found {}", start(&other)))
        }
    }
}

/// Lists beside each other (`{"inputs": [..], "outputs": [..], "fn_name": ..}`), or another layer.
fn object(key: &str, fields: &Map<String, Value>) -> Result<Option<Part>, String> {
    if let Some(Value::Array(lines)) = fields.get("assert_case") {
        return read(key, Value::Array(lines.clone()));
    }
    let list = |names: [&str; 2]| names.iter().find_map(|name| fields.get(*name)).and_then(Value::as_array);
    if let (Some(inputs), Some(outputs)) = (list(["inputs", "input"]), list(["outputs", "output"])) {
        if inputs.len() != outputs.len() {
            return Err(format!(
                "expected as many inputs as outputs in the task's `{key}`, found {} and {}",
                inputs.len(),
                outputs.len()
            ));
        }
        if inputs.is_empty() {
            return Ok(None);
        }
        let function = function_of(fields);
        let tests: Vec<Value> = inputs
            .iter()
            .zip(outputs)
            .map(|(input, output)| json!({"input": input, "output": output, "fn_name": function}))
            .collect();
        return parts(key, &tests).map(Some);
    }
    for keys in COLUMNS {
        if let Some((inner, value)) = keys.iter().find_map(|key| Some((key, fields.get(*key)?))) {
            return match value {
                Value::Object(inside) if inside.len() >= fields.len() => Err(not_tests(key, &json!(fields))),
                value => read(inner, value.clone()),
            };
        }
    }
    Err(not_tests(key, &json!(fields)))
}

/// Tests that are objects each, all of one kind.
fn parts(key: &str, list: &[Value]) -> Result<Part, String> {
    let mut found: Option<Part> = None;
    for test in list {
        let next = part(key, test)?;
        found = Some(match found {
            None => next,
            Some(found) => joined(found, next)?,
        });
    }
    found.ok_or_else(|| format!("expected the task's `{key}` to be a list of at least one"))
}

fn part(key: &str, test: &Value) -> Result<Part, String> {
    let fields = test.as_object().ok_or_else(|| not_tests(key, test))?;
    let get =
        |names: &[&str]| names.iter().find_map(|name| fields.get(*name)).filter(|value| !value.is_null());
    let input = get(&["input", "inputs", "stdin", "args"]);
    let output = get(&["output", "outputs", "expected_output", "expected", "stdout"]);
    let kind = get(&["testtype", "type", "test_type"]).and_then(Value::as_str).unwrap_or_default();
    let function = function_of(fields);
    if matches!(kind, "functional" | "function_call" | "call_based") || function.is_some() {
        let (Some(input), Some(output)) = (input, output) else { return Err(not_tests(key, test)) };
        let call = json!({"args": input, "expected": output, "text": kind == "functional"});
        return Ok(Part::Calls(function, vec![call]));
    }
    if input.is_none() && output.is_none() || (output.is_none() && !fields.contains_key("output")) {
        return Err(not_tests(key, test));
    }
    let input = input.map(written).transpose()?.unwrap_or_default();
    Ok(Part::Cases(vec![Case { input, output: output.map(written).transpose()? }]))
}

fn joined(first: Part, second: Part) -> Result<Part, String> {
    match (first, second) {
        (Part::Lines(mut first), Part::Lines(second)) => {
            first.extend(second);
            Ok(Part::Lines(first))
        }
        (Part::Cases(mut first), Part::Cases(second)) => {
            first.extend(second);
            Ok(Part::Cases(first))
        }
        (Part::Calls(function, mut first), Part::Calls(other, second))
            if other.is_none() || function == other =>
        {
            first.extend(second);
            Ok(Part::Calls(function, first))
        }
        _ => Err("the task's tests are of more than one kind, or of more than one function".to_owned()),
    }
}

/// What is read or written as text: numbers are written out, lists are lines.
fn written(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Array(lines) => Ok(lines.iter().map(written).collect::<Result<Vec<_>, _>>()?.join("\n")),
        other => Err(format!(
            "expected an input or output of the task's tests to be a text, a number or a list of lines, found {}",
            start(other)
        )),
    }
}

/// The name of a function under any of the names that it has.
fn function_of(fields: &Map<String, Value>) -> Option<String> {
    let names = ["fn_name", "func_name", "function_name", "method_name"];
    let name = names.iter().find_map(|key| fields.get(*key)).and_then(Value::as_str)?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// The function that starter code leaves to be written.
fn last_function(code: &str) -> Option<String> {
    let names = code.lines().filter_map(|line| line.trim_start().strip_prefix("def "));
    names.filter_map(|rest| rest.split('(').next()).map(|name| name.trim().to_owned()).next_back()
}

/// Statements in a list, in a list as JSON, or as they are.
fn statements(key: &str, column: Option<&Value>) -> Result<Vec<String>, String> {
    let list = match column {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) => match serde_json::from_str(text) {
            Ok(list) => list,
            Err(_) => vec![text.clone()],
        },
        Some(list) => serde_json::from_value(list.clone()).map_err(|_| {
            format!("expected the task's `{key}` to be a list of statements, found {}", start(list))
        })?,
    };
    Ok(list)
}

fn not_tests(key: &str, found: &Value) -> String {
    format!(
        "expected the task's `{key}` to be assert lines, a file of tests, calls (`fn_name`), or objects with `input` \
         and `output`, found {}",
        start(found)
    )
}

fn start(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}

#[cfg(test)]
#[path = "tests/forms.rs"]
mod forms;
