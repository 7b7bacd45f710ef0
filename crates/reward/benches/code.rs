//! How fast `code` judges: assert lines, in two jobs, and input with output, in one. Criterion's medians are of one
//! judgement at a time; docs/benchmarks.md has them.

use criterion::{Criterion, criterion_group, criterion_main};
use ruminate_data::{Outcome, Prompt, Task};
use ruminate_reward::code::{Code, Options};
use ruminate_reward::{Response, Verifier};
use ruminate_sandbox::Sandbox;
use serde_json::{Value, json};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn code(criterion: &mut Criterion) {
    let sandbox = Arc::new(Sandbox::new(Path::new(env!("CARGO_BIN_EXE_code-helper")), 2));
    if sandbox.layers().is_err() {
        return; // no program can be held here
    }
    let code = Code::new(sandbox, Options::default()).expect("valid options");
    let mut group = criterion.benchmark_group("code");
    group.sample_size(30).measurement_time(Duration::from_secs(10));
    for (name, program, tests) in [
        (
            "three assert lines",
            "def f(n):\n    return [i * i for i in range(n)]",
            json!(["assert f(3) == [0, 1, 4]", "assert f(0) == []", "assert sum(f(4)) == 14"]),
        ),
        ("one input", "print(int(input()) * 2)", json!([{"input": "21", "output": "42"}])),
        (
            "three inputs",
            "print(int(input()) * 2)",
            json!([{"input": "21", "output": "42"}, {"input": "0", "output": "0"}, {"input": "-1", "output": "-2"}]),
        ),
    ] {
        let columns = json!({ "tests": tests }).as_object().cloned().expect("an object");
        let task = Task { prompt: Prompt::Text(String::new()), answer: Value::Null.to_string(), columns };
        let text = format!("```python\n{program}\n```");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let verdict = code.verify(&task, black_box(&Response::finished(&text)));
                assert_eq!(verdict.outcome, Outcome::Correct, "{}", verdict.why);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, code);
criterion_main!(benches);
