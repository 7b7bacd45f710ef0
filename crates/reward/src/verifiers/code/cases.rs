//! A task's tests, and whether an output is the expected one. It runs nothing.

use ruminate_data::Task;
use ruminate_sandbox::{Ended, Ending, Limits};
use serde_json::Value;

/// An input and what the program must write for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) input: String,
    pub(super) output: String,
}

/// Python statements that must not raise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asserts {
    /// The task's prompt, whose code may define functions that the tests use.
    pub(super) prompt: String,
    /// Statements that import what the tests use, before the setup.
    pub(super) imports: Vec<String>,
    /// Before all of them.
    pub(super) setup: String,
    pub(super) lines: Vec<String>,
    /// The function under test, where its name could be a builtin's.
    pub(super) entry_point: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tests {
    Cases(Vec<Case>),
    Asserts(Asserts),
}

impl Tests {
    /// The tests of a task, at least one.
    ///
    /// # Errors
    /// What is wrong with the task, in words.
    pub(super) fn of(task: &Task) -> Result<Self, String> {
        let text = |key: &str| task.columns.get(key).and_then(Value::as_str).map(str::to_owned);
        let entry_point = text("entry_point");
        let setup = text("test_setup_code").unwrap_or_default();
        let imports = imports(task.columns.get("test_imports"))?;
        let prompt = task.prompt.text();
        let asserts = |lines| Self::Asserts(Asserts { prompt, imports, setup, lines, entry_point });
        // HumanEval: a function `check` that is to be called with the entry point.
        if let (Some(test), Some(entry)) = (text("test"), text("entry_point")) {
            return Ok(asserts(vec![format!("{test}\ncheck({entry})")]));
        }
        let found = ["tests", "test_cases", "test_list"].iter().find_map(|key| task.columns.get(*key));
        let parsed = match found {
            None => return Err("the task has no column `tests`".to_owned()),
            // Columns of parquet files often hold JSON as text.
            Some(Value::String(text)) => serde_json::from_str(text)
                .map_err(|error| format!("the task's `tests` are a text that is no JSON: {error}"))?,
            Some(value) => value.clone(),
        };
        let list = match parsed {
            Value::Array(list) if !list.is_empty() => list,
            other => {
                return Err(format!(
                    "expected the task's `tests` to be a list of at least one, found {}",
                    start(&other)
                ));
            }
        };
        if let Some(lines) =
            list.iter().map(|test| test.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        {
            return Ok(asserts(lines));
        }
        list.iter().map(case).collect::<Result<_, _>>().map(Self::Cases)
    }

    pub(super) fn count(&self) -> usize {
        match self {
            Self::Cases(cases) => cases.len(),
            Self::Asserts(asserts) => asserts.lines.len(),
        }
    }
}

/// Statements in a list, in a list as JSON, or as they are.
fn imports(column: Option<&Value>) -> Result<Vec<String>, String> {
    let list = match column {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::String(text)) => match serde_json::from_str(text) {
            Ok(list) => list,
            Err(_) => vec![text.clone()],
        },
        Some(list) => serde_json::from_value(list.clone()).map_err(|_| {
            format!("expected the task's `test_imports` to be a list of statements, found {}", start(list))
        })?,
    };
    Ok(list)
}

fn case(test: &Value) -> Result<Case, String> {
    let text = |key: &str| test.get(key).and_then(Value::as_str).map(str::to_owned);
    match (text("input"), text("output")) {
        (input, Some(output)) => Ok(Case { input: input.unwrap_or_default(), output }),
        _ => Err(format!(
            "expected each of the task's `tests` to be a text (an assert line), or all to have texts `input` and \
             `output`, found {}",
            start(test)
        )),
    }
}

fn start(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}

/// Whether a run is what the case expects.
///
/// # Errors
/// How it differs, in words.
pub(super) fn compare(ended: &Ended, case: &Case, limits: &Limits) -> Result<(), String> {
    if let Some(why) = abnormal(ended, limits) {
        return Err(why);
    }
    let (found, expected) = (lines(&ended.stdout), lines(&case.output));
    if found == expected {
        return Ok(());
    }
    let at = found.iter().zip(&expected).take_while(|(found, expected)| found == expected).count();
    let show =
        |lines: &[&str]| lines.get(at).map_or("nothing".to_owned(), |line| format!("{:?}", short(line)));
    Err(format!("line {}: expected {}, found {}", at + 1, show(&expected), show(&found)))
}

/// Why a program that did not end well did not.
pub(super) fn abnormal(ended: &Ended, limits: &Limits) -> Option<String> {
    match ended.ending {
        Ending::Exited(0) => None,
        Ending::Exited(code) => {
            let last = ended.stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            Some(format!("ends with the code {code}: {}", short(last)))
        }
        Ending::Killed(signal) => Some(format!("ended by signal {signal}")),
        Ending::TimedOut => Some(format!("takes longer than {} ms", limits.timeout_ms)),
        Ending::TooMuchOutput => Some(format!("writes more than {} bytes", limits.output_bytes)),
        Ending::TooMuchMemory => Some(format!("holds more than {} MiB", limits.memory_mb)),
        Ending::TooManyProcesses => Some(format!("has more than {} processes", limits.processes)),
        Ending::WithPair => Some("was ended with its judge".to_owned()),
        Ending::TooManyFiles => Some(format!("writes too many files, or more than {} MiB", limits.files_mb)),
    }
}

/// Lines without trailing white space, without empty ones at the end: all of them, so that a correct beginning is
/// not enough.
fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines
}

fn short(line: &str) -> String {
    line.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::{Case, Tests, compare};
    use ruminate_data::{Prompt, Task};
    use ruminate_sandbox::{Ended, Ending, Limits};
    use serde_json::{Value, json};

    fn tests(columns: Value) -> Result<Tests, String> {
        let columns = columns.as_object().cloned().unwrap_or_default();
        Tests::of(&Task { prompt: Prompt::Text(String::new()), answer: String::new(), columns })
    }

    fn compared(stdout: &str, output: &str) -> Result<(), String> {
        let ended = Ended { ending: Ending::Exited(0), stdout: stdout.into(), stderr: String::new() };
        compare(&ended, &Case { input: String::new(), output: output.into() }, &Limits::default())
    }

    #[test]
    fn the_forms_of_tests_are_told_apart() {
        let case = json!([{"input": "1", "output": "2"}]);
        assert!(matches!(tests(json!({"tests": case})), Ok(Tests::Cases(cases)) if cases.len() == 1));
        assert!(matches!(tests(json!({"test_cases": case.to_string()})), Ok(Tests::Cases(_))));
        assert!(matches!(tests(json!({"test_list": ["assert f(1) == 2"]})), Ok(Tests::Asserts(_))));
        let human_eval = tests(json!({"test": "def check(candidate): pass", "entry_point": "f"}));
        assert!(
            matches!(human_eval, Ok(Tests::Asserts(asserts)) if asserts.lines[0].ends_with("\ncheck(f)"))
        );
    }

    #[test]
    fn a_task_without_usable_tests_says_so() {
        for columns in [
            json!({}),
            json!({"tests": []}),
            json!({"tests": "assert"}),
            json!({"tests": [1]}),
            json!({"tests": ["assert True", {"input": "", "output": ""}]}),
            json!({"tests": [{"input": "1"}]}),
        ] {
            assert!(tests(columns.clone()).is_err(), "{columns}");
        }
    }

    #[test]
    fn white_space_at_the_end_does_not_count_and_nothing_else_is_forgiven() {
        for (found, expected) in [("1\n2\n", "1\n2"), ("1 \r\n2\n\n", "1\n2"), ("", "\n")] {
            assert_eq!(compared(found, expected), Ok(()), "{found:?} {expected:?}");
        }
        for (found, expected) in [
            ("1\n", "1\n2"),
            ("1\n2\n3", "1\n2"),
            ("", "1"),
            (" 1", "1"),
            ("1\n\n2", "1\n2"),
            ("1.0", "1"),
            ("1 2", "1\n2"),
        ] {
            assert!(compared(found, expected).is_err(), "{found:?} {expected:?}");
        }
    }
}
