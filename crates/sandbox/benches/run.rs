//! What a job costs beside its program: one program that does nothing, and a pair of them. docs/benchmarks.md has the
//! medians of whole verdicts.

use criterion::{Criterion, criterion_group, criterion_main};
use ruminate_sandbox::{Ending, Job, Sandbox};
use std::hint::black_box;
use std::time::Duration;

fn run(criterion: &mut Criterion) {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_sandbox-helper"), 2);
    if sandbox.layers().is_err() {
        return; // no program can be held here
    }
    let job = Job { program: vec!["true".to_owned()], ..Job::default() };
    let mut group = criterion.benchmark_group("run");
    group.sample_size(30).measurement_time(Duration::from_secs(10));
    group.bench_function("one job", |bencher| {
        bencher.iter(|| {
            let ended = sandbox.run(black_box(&job)).expect("it starts");
            assert_eq!(ended.ending, Ending::Exited(0));
        });
    });
    group.bench_function("a pair", |bencher| {
        bencher.iter(|| {
            let (asking, answering) = sandbox.run_pair(black_box(&job), &job);
            assert!(asking.is_ok() && answering.is_ok());
        });
    });
    group.finish();
}

criterion_group!(benches, run);
criterion_main!(benches);
