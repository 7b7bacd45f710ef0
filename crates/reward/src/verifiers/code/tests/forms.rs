//! The forms of tests that data sets have.

use super::{Asserts, Cases, Tests};
use crate::verifiers::code::languages::Language;
use ruminate_data::{Prompt, Task};
use serde_json::{Value, json};

fn tests(columns: Value) -> Result<Tests, String> {
    let columns = columns.as_object().cloned().unwrap_or_default();
    Tests::of(&Task { prompt: Prompt::Text(String::new()), answer: String::new(), columns })
}

fn cases(columns: Value) -> Cases {
    match tests(columns.clone()) {
        Ok(Tests::Cases(cases)) => cases,
        other => panic!("{columns}: {other:?}"),
    }
}

fn asserts(columns: Value) -> Asserts {
    match tests(columns.clone()) {
        Ok(Tests::Asserts(asserts)) => asserts,
        other => panic!("{columns}: {other:?}"),
    }
}

#[test]
fn inputs_and_outputs_are_found_under_their_names() {
    let list = json!([{"input": "1", "output": "2"}]);
    let lists = json!({"inputs": ["1"], "outputs": ["2"]});
    for columns in [
        json!({"tests": list}),
        json!({"test_cases": list.to_string()}),
        json!({"input_output": lists}),
        json!({"input_output": lists.to_string()}),
        json!({"public_tests": {"input": ["1"], "output": ["2"]}, "private_tests": {"input": [], "output": []}}),
        json!({"public_test_cases": "[{\"input\": \"1\", \"output\": \"2\", \"testtype\": \"stdin\"}]"}),
        json!({"official_tests": list}),
        json!({"test_cases": [{"fn_name": null, "input": "1", "output": "2", "type": "stdin_stdout"}]}),
        json!({"verification_info": {"language": "python", "test_cases": list}}),
        json!({"reward_model": {"style": "rule", "ground_truth": lists.to_string()}}),
        json!({"tests": [{"input": ["1"], "output": 2}]}),
    ] {
        let cases = cases(columns.clone());
        assert_eq!((cases.list.len(), cases.list[0].input.as_str()), (1, "1"), "{columns}");
        assert_eq!(cases.list[0].output.as_deref(), Some("2"), "{columns}");
    }
    let row = json!({"tests": list, "language": "cpp", "checker": "print(1)"});
    let found = cases(row);
    assert_eq!((found.language, found.checker.as_deref()), (Language::Cpp, Some("print(1)")));
    let task = Task::new("", lists.to_string());
    assert!(matches!(Tests::of(&task), Ok(Tests::Cases(_))));
}

#[test]
fn calls_are_found_with_their_function() {
    let lists = json!({"fn_name": "f", "inputs": [[1]], "outputs": [2]});
    for columns in [
        json!({"tests": lists}),
        json!({"input_output": lists.to_string()}),
        json!({"test_cases": [{"fn_name": "f", "input": [1], "output": 2, "type": "function_call"}]}),
        json!({"public_test_cases": "[{\"input\": \"1\", \"output\": \"2\", \"testtype\": \"functional\"}]",
               "metadata": "{\"func_name\": \"f\"}"}),
        json!({"public_test_cases": [{"input": "1", "output": "2", "testtype": "functional"}],
               "starter_code": "class Solution:\n    def f(self, x: int) -> int:\n        "}),
    ] {
        let asserts = asserts(columns.clone());
        let calls = asserts.calls.unwrap_or_else(|| panic!("{columns}"));
        assert_eq!((calls.function.as_deref(), calls.list.len()), (Some("f"), 1), "{columns}");
        assert_eq!(calls.list[0]["text"], json!(columns.get("public_test_cases").is_some()), "{columns}");
    }
}

#[test]
fn calls_without_a_name_are_of_the_function_that_there_is() {
    let row = json!({"tests": [{"input": [1], "output": 2, "type": "function_call"}]});
    assert_eq!(asserts(row).calls.map(|calls| calls.function), Some(None));
}

#[test]
fn statements_and_files_are_told_from_data() {
    assert_eq!(asserts(json!({"test_list": ["assert f(1) == 2"]})).lines.len(), 1);
    let human_eval = asserts(json!({"test": "def check(candidate): pass", "entry_point": "f"}));
    assert!(human_eval.lines[0].ends_with("\ncheck(f)"));
    let file = "from solution import f\ndef test_f():\n    assert f(1) == 2";
    for key in ["test", "tests", "test_code", "unit_tests"] {
        assert_eq!(asserts(json!({key: file})).lines, [file], "{key}");
    }
    assert_eq!(asserts(json!({"tests": {"assert_case": ["assert f(1) == 2"]}})).lines.len(), 1);
    let imports =
        asserts(json!({"tests": ["assert f(1)"], "imports": "import re", "test_imports": ["import os"]}));
    assert_eq!(imports.imports, ["import re", "import os"]);
}

#[test]
fn a_task_without_usable_tests_says_so() {
    for columns in [
        json!({}),
        json!({"tests": []}),
        json!({"tests": 7}),
        json!({"tests": [1]}),
        json!({"tests": ["assert True", {"input": "", "output": ""}]}),
        json!({"tests": [{"input": "1"}]}),
        json!({"tests": {"inputs": ["1"], "outputs": []}}),
        json!({"tests": {"tests": {"tests": {}}}}),
        json!({"tests": [{"input": "1", "output": "2"}], "language": "kotlin"}),
        json!({"public_test_cases": "[]", "private_test_cases": "eJxrYJmazAABA=="}),
    ] {
        assert!(tests(columns.clone()).is_err(), "{columns}");
    }
}
