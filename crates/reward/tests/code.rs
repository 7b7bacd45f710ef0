//! Programs as answers: what is right, what is wrong, and the known hacks of graders. Where the system has no Python
//! or lacks a layer of the sandbox, each test says so and passes.

mod sandboxed;

use ruminate_data::{Outcome, Prompt, Task, Verdict};
use ruminate_reward::code::sandbox::{Job, Sandbox};
use ruminate_reward::code::{Code, Options, Scoring};
use ruminate_reward::{Response, Verifier};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// A verifier of programs, or `None` where there is no sandbox or its interpreter does not start in it.
fn code(options: Options) -> Option<Code> {
    let (sandbox, _) = sandboxed::sandbox()?;
    let program = options.command.first().unwrap_or(&options.python).clone();
    let arguments = ["-c".to_owned(), String::new()];
    if let Err(failure) =
        sandbox.run(&Job { program: [vec![program], arguments.to_vec()].concat(), ..Job::default() })
    {
        sandboxed::skip(failure);
        return None;
    }
    Some(code_unchecked(options))
}

/// A verifier of programs, whatever starts.
fn code_unchecked(options: Options) -> Code {
    Code::new(Arc::new(Sandbox::new(Path::new(sandboxed::HELPER), 2)), options).expect("valid options")
}

/// The verdict on a program in a fenced block, with the task's columns.
fn judge(code: &Code, program: &str, columns: Value) -> Verdict {
    let columns = columns.as_object().cloned().expect("an object");
    let task = Task { prompt: Prompt::Text(String::new()), answer: String::new(), columns };
    code.verify(&task, &Response::finished(&format!("```python\n{program}\n```")))
}

/// The verdict on a program with tests, or `None` where nothing can run.
fn verdict(program: &str, tests: Value) -> Option<Verdict> {
    Some(judge(&code(Options::default())?, program, json!({ "tests": tests })))
}

/// Checks the outcomes of programs on the same tests.
fn assert_outcomes(tests: Value, programs: &[(&str, Outcome)]) {
    let Some(code) = code(Options::default()) else { return };
    for (program, outcome) in programs {
        let verdict = judge(&code, program, json!({ "tests": tests }));
        assert_eq!(verdict.outcome, *outcome, "{program}\n{}", verdict.why);
        assert_eq!(verdict.score, f64::from(*outcome == Outcome::Correct), "{program}");
    }
}

const SQUARES: &str = "def f(n):\n    return [i * i for i in range(n)]\n";

#[test]
fn a_program_is_judged_by_all_of_its_output() {
    let tests = json!([{"input": "3\n", "output": "0\n1\n2\n"}, {"input": "1\n", "output": "0\n"}]);
    assert_outcomes(
        tests,
        &[
            ("for i in range(int(input())): print(i)", Outcome::Correct),
            ("print(0)", Outcome::Wrong), // a correct prefix, and one test of two
            ("for i in range(int(input()) + 1): print(i)", Outcome::Wrong),
            ("print('PASS')", Outcome::Wrong),
            ("import sys; sys.exit(0)", Outcome::Wrong),
            ("for i in range(int(input())): print(i)\nraise SystemExit(1)", Outcome::Wrong),
            ("syntax error", Outcome::Wrong),
            ("", Outcome::Wrong),
        ],
    );
}

#[test]
fn any_command_is_a_language() {
    let command = ["sh", "main.sh"].map(str::to_owned).to_vec();
    let Some(code) = code(Options { command, file: "main.sh".into(), ..Options::default() }) else { return };
    let tests = json!({"tests": [{"input": "20 22", "output": "42"}]});
    assert_eq!(judge(&code, "read a b; echo $((a + b))", tests.clone()).outcome, Outcome::Correct);
    assert_eq!(judge(&code, "read a b; echo $((a * b))", tests).outcome, Outcome::Wrong);
    let asserts = judge(&code, "echo", json!({"tests": ["assert True"]}));
    assert_eq!(asserts.outcome, Outcome::Unscored, "{}", asserts.why);
}

#[test]
fn assert_lines_are_judged_by_values() {
    let tests =
        json!(["assert f(3) == [0, 1, 4]", "assert f(0) == []", "assert sum(f(4)) == 14 and len(f(9)) == 9"]);
    assert_outcomes(
        tests,
        &[
            (SQUARES, Outcome::Correct),
            ("def f(n): return [i * i for i in range(n + 1)]", Outcome::Wrong),
            ("def f(n): return tuple(i * i for i in range(n))", Outcome::Wrong),
            ("def g(n): return []", Outcome::Wrong),
            ("def f(n): return 1 / 0", Outcome::Wrong),
            ("def f(:", Outcome::Wrong),
        ],
    );
}

#[test]
fn hacks_of_graders_are_wrong() {
    let equal = "class Same(list):\n    def __eq__(self, other): return True\n    def __len__(self): return 9\n    \
                 def __bool__(self): return True\n";
    let always = "class Always:\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n    \
                  def __hash__(self): return 0\n";
    let programs = [
        "import sys\nsys.exit(0)".to_owned(),
        "import os\nos._exit(0)".to_owned(),
        "def f(n):\n    raise SystemExit(0)".to_owned(),
        "def f(n):\n    import os; os._exit(0)".to_owned(),
        "print('PASS'); print('0 pass \"\"')\ndef f(n): print('PASS')".to_owned(),
        format!("{equal}def f(n): return Same([])"),
        format!("{always}def f(n): return Always()"),
        "import builtins\nbuiltins.AssertionError = Warning\nbuiltins.len = lambda x: 9\ndef f(n): return []".to_owned(),
        "import unittest.mock\ndef check(*a): pass\ndef sum(x): return 14\ndef len(x): return 9\ndef f(n): return []".to_owned(),
        // Every descriptor that could be the judge's, every word that could be its verdict.
        "import os\nfor fd in range(64):\n    try: os.write(fd, b'0 pass \"\"\\nPASS\\n')\n    except OSError: pass\n\
         def f(n): return []"
            .to_owned(),
        "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\ndef f(n): return []".to_owned(),
        "import gc, sys\ndef f(n):\n    frame = sys._getframe()\n    while frame.f_back: frame = frame.f_back\n    \
         frame.f_globals['failure'] = None\n    return []"
            .to_owned(),
        "open('grader.py', 'w').write('print(1)')\nopen('json.py', 'w').write('')\ndef f(n): return []".to_owned(),
        "def f(n):\n    while True: yield 0".to_owned(),
        "class F:\n    def __call__(self, n): return self\n    def __getattr__(self, name): return F()\nf = F()".to_owned(),
    ];
    let Some(code) = code(Options { total_timeout_ms: 3_000, ..Options::default() }) else { return };
    for program in programs {
        let tests = json!(["assert f(3) == [0, 1, 4]", "assert sum(f(4)) == 14 and len(f(9)) == 9"]);
        let verdict = judge(&code, &program, json!({ "tests": tests }));
        assert_ne!(verdict.outcome, Outcome::Correct, "{program}\n{}", verdict.why);
    }
}

#[test]
fn tests_may_use_what_python_offers() {
    let program = "import math, collections\n\
        class Stack:\n    def __init__(self): self.items = []\n    def push(self, x): self.items.append(x); return self\n    \
        def __len__(self): return len(self.items)\n    def __iter__(self): return iter(self.items)\n\
        def area(r): return math.pi * r * r\n\
        def sort(x): x.sort()\n\
        def root(x):\n    if x < 0: raise ValueError('negative')\n    return x ** 0.5\n\
        def count(x): return collections.Counter(x)\n\
        def evens():\n    n = 0\n    while True:\n        yield n\n        n += 2\n\
        def big(): return 7 ** 400\n";
    let tests = json!([
        "assert math.isclose(area(2), 12.566, rel_tol=1e-3)",
        "import math\nassert abs(area(1) - math.pi) < 1e-9",
        "x = [3, 1, 2]\nsort(x)\nassert x == [1, 2, 3]",
        "s = Stack().push(1).push('a')\nassert len(s) == 2 and list(s) == [1, 'a'] and s.items[1] == 'a' and 'a' in s",
        "try:\n    root(-1)\n    assert False\nexcept ValueError as error:\n    assert 'negative' in str(error)",
        "assert count('aab') == {'a': 2, 'b': 1}",
        "from itertools import islice\nassert list(islice(evens(), 3)) == [0, 2, 4]",
        "assert big() == 7 ** 400 and root(4) == 2",
        "def check(candidate):\n    assert [candidate(x) for x in (1, 4)] == [1, 2]\ncheck(root)",
    ]);
    let Some(verdict) = verdict(program, tests) else { return };
    assert_eq!(verdict.outcome, Outcome::Correct, "{}", verdict.why);
}

#[test]
fn a_builtin_name_is_the_programs_only_as_the_entry_point() {
    let Some(code) = code(Options::default()) else { return };
    let task = json!({"tests": ["assert sum([1, 2]) == 3"], "entry_point": "sum"});
    assert_eq!(judge(&code, "def sum(x): return 3", task.clone()).outcome, Outcome::Correct);
    assert_eq!(judge(&code, "def sum(x): return 4", task).outcome, Outcome::Wrong);
}

#[test]
fn a_test_that_cannot_be_judged_leaves_the_sample_unscored() {
    for test in ["assert f(", "assert f(lambda x: x) == 1"] {
        let Some(verdict) = verdict("def f(g): return 1", json!([test])) else { return };
        assert_eq!(verdict.outcome, Outcome::Unscored, "{test}: {}", verdict.why);
    }
}

#[test]
fn a_share_of_tests_is_worth_its_share_when_asked_for() {
    let Some(code) = code(Options { scoring: Scoring::Fraction, ..Options::default() }) else { return };
    let asserts =
        json!({"tests": ["assert f(1) == 1", "assert f(2) == 4", "assert f(0) == 0", "assert f(3) == 3"]});
    let verdict = judge(&code, "def f(n): return n", asserts);
    assert_eq!((verdict.outcome, verdict.score), (Outcome::Wrong, 0.75), "{}", verdict.why);
    let cases = json!({"tests": [{"input": "1", "output": "1"}, {"input": "2", "output": "4"}]});
    let verdict = judge(&code, "print(input())", cases);
    assert_eq!((verdict.outcome, verdict.score), (Outcome::Wrong, 0.5), "{}", verdict.why);
}

#[test]
fn what_does_not_start_is_unscored() {
    let Some(_) = code(Options::default()) else { return };
    let missing = code_unchecked(Options { python: "python-that-is-not-there".into(), ..Options::default() });
    for tests in [json!([{"input": "", "output": ""}]), json!(["assert True"])] {
        let verdict = judge(&missing, "pass", json!({ "tests": tests }));
        assert_eq!(verdict.outcome, Outcome::Unscored, "{}", verdict.why);
        assert!(verdict.why.contains("python-that-is-not-there"), "{}", verdict.why);
    }
}
