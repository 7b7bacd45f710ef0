//! Programs and tests that use a package: numpy, of the interpreter that `RUMINATE_PYTHON_WITH_NUMPY` names, or of `python3`.
//! Where neither has it, the test says so and passes.

#[path = "../../sandbox/tests/sandboxed/mod.rs"]
mod sandboxed;

use ruminate_data::{Outcome, Prompt, Task};
use ruminate_reward::code::{Code, Options};
use ruminate_reward::{Response, Verifier};
use serde_json::{Value, json};
use std::process::Command;

const HELPER: &str = env!("CARGO_BIN_EXE_code-helper");

/// A verifier whose programs have numpy, or `None` and the reason on standard error.
fn with_numpy() -> Option<Code> {
    let (sandbox, _) = sandboxed::sandbox()?;
    let named = std::env::var("RUMINATE_PYTHON_WITH_NUMPY");
    let python = named.clone().unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python).args(["-c", "import numpy, sys; print(sys.prefix)"]).output();
    match found {
        Ok(output) if output.status.success() => {
            let prefix = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            let options = Options { python, read: vec![prefix.into()], ..Options::default() };
            Some(Code::new(sandbox, options).expect("valid options"))
        }
        found => {
            assert!(named.is_err(), "{python} has no numpy: {found:?}");
            sandboxed::skip("python3 has no numpy; RUMINATE_PYTHON_WITH_NUMPY names one that has");
            None
        }
    }
}

#[test]
fn honest_programs_with_numpy_are_correct_and_wrong_ones_wrong() {
    let Some(code) = with_numpy() else { return };
    let io = json!([{"input": "4\n", "output": "6\n"}]);
    let plain = json!(["assert f(3) == [0, 1, 4]", "assert len(f(5)) == 5"]);
    let arrays = json!(["import numpy as np\nassert np.allclose(f(np.arange(3)), [0.0, 2.0, 4.0])"]);
    let scalar = json!(["assert f([1, 2, 3]) == 2.0", "assert abs(f([1, 2]) - 1.5) < 1e-9"]);
    let cases: [(&str, &Value, Outcome); 9] = [
        ("import numpy as np\nprint(np.arange(int(input())).sum())", &io, Outcome::Correct),
        ("import numpy as np\nprint(np.arange(int(input())).sum() + 1)", &io, Outcome::Wrong),
        (
            "import numpy as np\na = np.ones((200, 200))\nprint(int((a @ a)[0, 0]) - 194)",
            &io,
            Outcome::Correct,
        ),
        ("import numpy as np\ndef f(n): return (np.arange(n) ** 2).tolist()", &plain, Outcome::Correct),
        ("import numpy as np\ndef f(n): return np.arange(n).tolist()", &plain, Outcome::Wrong),
        ("import numpy as np\ndef f(xs): return np.mean(xs)", &scalar, Outcome::Correct),
        ("import numpy as np\ndef f(xs): return np.max(xs)", &scalar, Outcome::Wrong),
        ("def f(xs): return [2.0 * x for x in xs]", &arrays, Outcome::Correct),
        ("def f(xs): return [x for x in xs]", &arrays, Outcome::Wrong),
    ];
    for (program, tests, outcome) in cases {
        let columns = json!({ "tests": tests }).as_object().cloned().expect("an object");
        let task = Task { prompt: Prompt::Text(String::new()), answer: String::new(), columns };
        let verdict = code.verify(&task, &Response::finished(&format!("```python\n{program}\n```")));
        assert_eq!(verdict.outcome, outcome, "{program}\n{}", verdict.why);
    }
}
