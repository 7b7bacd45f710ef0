//! Programs as answers: what is right, what is wrong, and the known hacks of graders. Where the system has no Python
//! or lacks a layer of the sandbox, each test says so and passes.

#[path = "../../sandbox/tests/sandboxed/mod.rs"]
mod sandboxed;

use ruminate_data::{Outcome, Prompt, Task, Verdict};
use ruminate_reward::code::{Code, Options, Scoring};
use ruminate_reward::{Response, Verifier};
use ruminate_sandbox::{Job, Limits, Sandbox};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// The helper of this package.
const HELPER: &str = env!("CARGO_BIN_EXE_code-helper");

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
    Code::new(Arc::new(Sandbox::new(Path::new(HELPER), 2)), options).expect("valid options")
}

/// The verdict on a program in a fenced block, with the task's columns.
fn judge(code: &Code, program: &str, columns: Value) -> Verdict {
    judge_prompted(code, "", program, columns)
}

/// The same, of a task with a prompt.
fn judge_prompted(code: &Code, prompt: &str, program: &str, columns: Value) -> Verdict {
    let columns = columns.as_object().cloned().expect("an object");
    let task = Task { prompt: Prompt::Text(prompt.to_owned()), answer: String::new(), columns };
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
        // Names that were not requested, the judge's own among them, in every answer.
        "import json\nreal = json.dumps\ndef dumps(message):\n    value = message.get('value')\n    \
         if isinstance(value, list) and value[0] == 'dict': value[1] += [[name, ['handle', 0]] for name in \
         ('sum', 'len', '__settle__', '__builtins__')]\n    return real(message)\njson.dumps = dumps\ndef f(n): return 14"
            .to_owned(),
    ];
    let Some(code) = code(Options { total_timeout_ms: 3_000, ..Options::default() }) else { return };
    for program in programs {
        let tests = json!(["assert f(3) == [0, 1, 4]", "assert sum(f(4)) == 14 and len(f(9)) == 9"]);
        let verdict = judge(&code, &program, json!({ "tests": tests }));
        assert_eq!(verdict.outcome, Outcome::Wrong, "{program}\n{}", verdict.why);
    }
}

/// All of them are wrong, each by its tests.
fn assert_wrong(programs: &[(&str, &[&str])]) {
    let Some(code) = code(Options::default()) else { return };
    for (program, tests) in programs {
        for test in *tests {
            let verdict = judge(&code, program, json!({ "tests": [test] }));
            assert_eq!(verdict.outcome, Outcome::Wrong, "{program}\n{test}\n{}", verdict.why);
        }
    }
}

#[test]
fn a_module_whose_import_has_effects_is_not_imported_by_the_judge() {
    let Some(code) = code(Options::default()) else { return };
    // Discovery of tests, on import, from the current folder: the file would run where the verdicts are written.
    let forge = "import types\nopen('test_x.py', 'w').write('''\nimport os, sys\nframe = sys._getframe()\nwhile frame:\n    \
                 if 'order' in frame.f_locals:\n        for i in range(2):\n            for fd in range(32):\n                \
                 try: os.write(fd, (frame.f_locals['order']['nonce'] + f' {i} pass \"\"\\\\n').encode())\n                \
                 except OSError: pass\n        os._exit(0)\n    frame = frame.f_back''')\n";
    for module in
        ["unittest.__main__", "idlelib.__main__", "test.__main__", "lib2to3.__main__", "antigravity", "this"]
    {
        let program = format!("{forge}add = types.ModuleType({module:?})");
        let asserts = json!({"tests": ["assert add(1, 2) == 3", "assert add(5, 7) == 12"]});
        let check =
            json!({"test": "def check(candidate):\n    assert candidate(1, 2) == 3", "entry_point": "add"});
        for task in [asserts, check] {
            let verdict = judge(&code, &program, task);
            assert_eq!(verdict.outcome, Outcome::Wrong, "{module}: {}", verdict.why);
        }
    }
}

#[test]
fn a_program_that_ends_what_it_can_is_wrong() {
    let Some(code) = code(Options { total_timeout_ms: 2_000, ..Options::default() }) else { return };
    let hurt = "import os, signal\ndef hurt(pid, name):\n    try: os.kill(pid, getattr(signal, name))\n    except OSError: pass\n";
    for (pid, name) in [
        ("os.getppid()", "SIGKILL"),
        ("os.getppid()", "SIGTERM"),
        ("os.getppid()", "SIGUSR1"),
        ("os.getpid()", "SIGKILL"),
        ("os.getpid()", "SIGSTOP"),
        ("-1", "SIGKILL"),
        ("0", "SIGKILL"),
        ("1", "SIGKILL"),
    ] {
        for program in [
            format!("{hurt}hurt({pid}, '{name}')\ndef f(n): return 0"),
            format!("{hurt}def f(n):\n    hurt({pid}, '{name}')\n    return 0"),
        ] {
            let verdict = judge(&code, &program, json!({"tests": ["assert f(1) == 1", "assert f(2) == 4"]}));
            assert_eq!(verdict.outcome, Outcome::Wrong, "{program}\n{}", verdict.why);
        }
    }
}

#[test]
fn a_programs_limit_is_its_own_and_said() {
    let memory =
        "import os\ndef f(n):\n    os.fork()\n    held = b'1' * (200 << 20)\n    import time; time.sleep(60)";
    // On a busy machine what is not about time gets much of it.
    for (program, timeout_ms, why) in [
        ("import time\ndef f(n): time.sleep(60)", 1_000, "takes longer than 1000 ms"),
        ("import os\ndef f(n): os._exit(3)", 30_000, "ends with the code 3"),
        (memory, 30_000, "holds more than 256 MiB"),
    ] {
        let limits = Limits { timeout_ms, memory_mb: 256, ..Limits::default() };
        let Some(code) = code(Options { limits, ..Options::default() }) else { return };
        let verdict = judge(&code, program, json!({"tests": ["assert f(1) == 1"]}));
        assert_eq!(verdict.outcome, Outcome::Wrong, "{program}\n{}", verdict.why);
        assert!(verdict.why.contains(why), "{program}\n{}", verdict.why);
    }
}

#[test]
fn names_that_tests_use_are_the_real_ones() {
    let math = "class math: isclose = staticmethod(lambda *a, **k: True)\ndef isclose(*a): return True\ndef f(x): return 0";
    let counter = "def Counter(x): return 5\ndef f(x): return 5";
    let Some(code) = code(Options::default()) else { return };
    for (program, task) in [
        (math, json!({"tests": ["assert math.isclose(f(2), 4)"]})),
        (math, json!({"tests": ["assert isclose(f(2), 4)"], "test_imports": ["from math import isclose"]})),
        (counter, json!({"tests": ["assert f('aab') == Counter('aab')"]})),
    ] {
        let verdict = judge(&code, program, task);
        assert_eq!(verdict.outcome, Outcome::Wrong, "{program}\n{}", verdict.why);
    }
    // The column may be a list in a text, too.
    let task = json!({"tests": ["assert m.isclose(f(2), 4)"], "test_imports": "[\"import math as m\"]"});
    assert_eq!(judge(&code, "def f(x): return x * x", task).outcome, Outcome::Correct);
}

#[test]
fn a_helper_of_the_prompts_is_the_prompts_where_the_entry_point_is_named() {
    let Some(code) = code(Options::default()) else { return };
    let prompt = "import math\n\ndef poly(xs: list, x: float):\n    \"\"\"The value at x.\"\"\"\n    \
                  return sum(c * math.pow(x, i) for i, c in enumerate(xs))\n\n\ndef find_zero(xs: list):\n    \"\"\"A zero.\"\"\"\n";
    let test = "def check(candidate):\n    assert abs(poly([-4, 2], candidate([-4, 2]))) < 1e-6";
    let task = json!({"test": test, "entry_point": "find_zero"});
    let fenced = format!("Complete this.\n```python\n{prompt}```\n");
    for prompt in [prompt, &fenced] {
        for (program, outcome) in [
            ("def poly(xs, x): return 0\ndef find_zero(xs): return 7", Outcome::Wrong),
            ("def find_zero(xs): return -xs[0] / xs[1]", Outcome::Correct),
        ] {
            let verdict = judge_prompted(&code, prompt, program, task.clone());
            assert_eq!(verdict.outcome, outcome, "{program}\n{}", verdict.why);
        }
    }
    // A function that is to be mended is the program's.
    let task = json!({"tests": ["assert double(2) == 4"]});
    let verdict =
        judge_prompted(&code, "```python\ndef double(x): return x\n```", "def double(x): return 2 * x", task);
    assert_eq!(verdict.outcome, Outcome::Correct, "{}", verdict.why);
}

#[test]
fn an_object_that_a_function_made_up_is_no_value() {
    let methods = "__init__ = lambda self, *a: None\n    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __contains__ = __bool__ = \
                   lambda *a: True\n    __len__ = lambda self: 2\n    __abs__ = __sub__ = lambda *a: 0\n    __hash__ = None\n    \
                   startswith = isupper = lambda *a: True\n";
    let function = format!("class Always:\n    {methods}def f(x): return Always()");
    let class = format!("class f:\n    {methods}");
    let tests = [
        "assert f(3)",
        "assert f(3) != 7",
        "assert not f(3) == 7",
        "assert len(f(3)) <= 3",
        "assert 5 in f(3)",
        "assert f(3) > 2",
        "assert abs(f(3) - 9) < 1e-3",
        "x = f(3)\nassert x.startswith('a') and x.isupper()",
    ];
    assert_wrong(&[(&function, &tests), (&class, &tests)]);
}

#[test]
fn what_a_program_does_to_arguments_is_seen_after_the_statement() {
    let empties = "def f(x):\n    x.clear()\n    return []";
    assert_wrong(&[(
        empties,
        &[
            "x = [3, 1]\nassert f(x) == sorted(x)",
            "x = [3, 1]\nr = f(x)\nassert r == sorted(x)",
            "assert f([3]) == [3]",
        ],
    )]);
    let in_place = "def f(x): x.sort()\ndef g(x):\n    x.pop()\n    return len(x)";
    let tests = json!([
        "x = [3, 1]\nf(x)\nassert x == [1, 3]",
        "x = [3, 1]; f(x); assert x == [1, 3]",
        "x = [1, 2, 3]\nk = g(x)\nassert k == 2 and x == [1, 2]",
        "def check(candidate):\n    x = [2, 1]\n    if candidate(x) is None:\n        assert x == [1, 2]\ncheck(f)",
    ]);
    assert_outcomes(tests, &[(in_place, Outcome::Correct), (empties, Outcome::Wrong)]);
}

#[test]
fn errors_of_the_program_do_not_steer_the_judge() {
    let swallows = "class C:\n    def __enter__(self): return self\n    def __exit__(self, *a): return True\ndef c(): return C()\n\
                    def f(x): raise ValueError\ndef g(x): return []";
    let exits = "import os\ndef f(x): os._exit(0)";
    assert_wrong(&[
        (
            "def f(x): raise StopIteration",
            &["assert all(map(lambda pair: f(pair[0]) == pair[1], [(1, 1), (2, 4)]))"],
        ),
        ("def f(x): raise GeneratorExit", &["assert f(1) == 1"]),
        (
            exits,
            &[
                "try:\n    f(1)\nexcept Exception: pass\nassert True",
                "try:\n    f(1)\nexcept: pass\nassert True",
            ],
        ),
        (
            swallows,
            &[
                "with c():\n    assert f(1) == 2",
                "with c():\n    assert g(1)[0] == 2",
                "with c() as x:\n    assert x == 2",
            ],
        ),
    ]);
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
fn a_test_that_no_program_can_pass_leaves_the_sample_unscored() {
    for test in ["assert f(", "import a_package_that_is_not_there\nassert f(1) == 1"] {
        // For a right program as for one that ends at once.
        for program in ["def f(g): return 1", "import os\nos._exit(0)"] {
            let Some(verdict) = verdict(program, json!([test])) else { return };
            assert_eq!(verdict.outcome, Outcome::Unscored, "{test}: {}", verdict.why);
        }
    }
    // Whether something is handed over that cannot cross may hang on what the program answered before.
    let Some(verdict) = verdict("def f(g): return 1", json!(["import sys\nassert f(sys._getframe()) == 1"]))
    else {
        return;
    };
    assert_eq!(verdict.outcome, Outcome::Wrong, "{}", verdict.why);
}

#[test]
fn classes_functions_and_values_of_the_standard_library_cross() {
    let program = "import collections, contextlib, dataclasses, datetime, decimal, enum, fractions\n\
        @dataclasses.dataclass\nclass Point:\n    x: int\n    y: int = 0\n    \
        def __add__(self, other): return Point(self.x + other.x, self.y + other.y)\n\
        class Color(enum.Enum):\n    RED = 1\n    BLUE = 2\n\
        class Empty(Exception): pass\n\
        class stack:\n    def __init__(self): self.items = []\n    def push(self, x): self.items.append(x)\n    \
        def __len__(self): return len(self.items)\n    def __contains__(self, x): return x in self.items\n    \
        def pop(self):\n        if not self.items: raise Empty('nothing')\n        return self.items.pop()\n\
        Pair = collections.namedtuple('Pair', 'a b')\n\
        def f(x, y): return Point(x, y)\ndef third(): return fractions.Fraction(1, 3)\ndef day(): return datetime.date(2020, 1, 2)\n\
        def price(): return decimal.Decimal('1.10')\ndef pair(): return Pair(1, 2)\ndef count(x): return collections.Counter(x)\n\
        def apply(g, items): return [g(item) for item in items]\ndef compose(g, h): return lambda x: g(h(x))\ndef total(x): return sum(x)\n\
        def numbers():\n    yield 1\n    yield 2\n\
        @contextlib.contextmanager\ndef entered(): yield 'v'\n\
        def depth(node): return 0 if node is None else 1 + max(depth(node.left), depth(node.right))\n\
        class Node:\n    def __init__(self, v): self.v, self.left, self.right = v, None, None\n";
    let tests = json!([
        "assert f(1, 2) == Point(1, 2) and f(1, 2).x == 1 and Point(1) + Point(3, 4) == Point(4, 4) != Point(4)",
        "p = Point(1)\np.y = 7\np += Point(1)\nassert p.y == 7 and str(p) == 'Point(x=2, y=7)'",
        "assert Color.RED != Color.BLUE and isinstance(Color.RED, Color) and Color.RED.value == 1",
        "s = stack()\ns.push(3)\nassert len(s) == 1 and 3 in s and 4 not in s and s.pop() == 3",
        "try:\n    stack().pop()\n    assert False\nexcept Empty as error:\n    assert str(error) == 'nothing'",
        "from fractions import Fraction\nfrom decimal import Decimal\nassert third() == Fraction(1, 3) and price() == Decimal('1.1')",
        "assert day() == datetime.date(2020, 1, 2) and pair() == (1, 2) and pair().b == 2",
        "assert count('aab').most_common(1) == [('a', 2)] and count('aab') == Counter('aab')",
        "assert apply(lambda x: x * 2, [1, 2]) == [2, 4] and apply(str, (1, 2)) == ['1', '2']",
        "def square(x): return x * x\nassert apply(square, range(3)) == [0, 1, 4] and total(x for x in [1, 2]) == 3",
        "assert compose(lambda x: x + 1, lambda x: x * 2)(3) == 7",
        "numbered = numbers()\nassert next(numbered) == 1 and list(numbered) == [2]",
        "with entered() as value:\n    assert value == 'v'",
        "assert depth(root) == 2 and root.right is None",
    ]);
    let Some(code) = code(Options::default()) else { return };
    let task = json!({"tests": tests, "test_setup_code": "root = Node(1)\nroot.left = Node(2)"});
    let verdict = judge(&code, program, task);
    assert_eq!(verdict.outcome, Outcome::Correct, "{}", verdict.why);
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

#[test]
fn a_text_of_the_programs_is_not_run_by_the_judge() {
    assert_wrong(&[
        ("def f(n): return '__import__(\"os\")._exit(0)'", &["assert eval(f(2)) == 6"]),
        ("def f(n): return 'expected'", &["expected = 6\nassert eval(f(2)) == expected"]),
        ("def f(n): return 'x = 6'", &["exec(f(2))\nassert x == 6"]),
        (
            "import pickle\nclass E:\n    def __reduce__(self): return (eval, ('6',))\ndef f(n): return pickle.dumps(E())",
            &["import pickle\nassert pickle.loads(f(2)) == 6"],
        ),
        // A variable of the test's that begins with the value of a global one of the program's stays the test's.
        (
            "total = 0\ndef f(n):\n    global total\n    total = 14\n    return 0",
            &["total = 0\nfor n in [1, 2, 3]:\n    total += f(n)\nassert total == 14"],
        ),
    ]);
    let tests = json!(["assert eval(f(2)) == 6", "exec('y = 3')\nassert y == eval('1 + 2')"]);
    assert_outcomes(tests, &[("def f(n): return '2 * (1 + abs(-2))'", Outcome::Correct)]);
}

#[test]
fn small_limits_of_a_program_leave_the_judge_room() {
    let limits = Limits { memory_mb: 64, output_bytes: 1, files_mb: 1, ..Limits::default() };
    let Some(code) = code(Options { limits, ..Options::default() }) else { return };
    let long = format!("# {}\nassert f(1) == 1", "long ".repeat(400_000));
    for (program, outcome) in
        [("def f(n): return n", Outcome::Correct), ("def f(n): return 'x' * 1000", Outcome::Wrong)]
    {
        let verdict = judge(&code, program, json!({"tests": [long]}));
        assert_eq!(verdict.outcome, outcome, "{}", verdict.why);
    }
}
