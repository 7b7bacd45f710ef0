//! The linear map at the shapes of learning and of decoding; the square one is the machine's ceiling. Criterion's
//! Gelem/s are GFLOP/s. `cargo bench -p ruminate-kernels --bench linear`.

use burn::tensor::{Distribution, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ruminate_kernels::linear;

/// Rows, inner dimension, outputs.
const SHAPES: [[usize; 3]; 8] = [
    [2048, 2048, 2048],
    [2048, 256, 768],
    [1024, 576, 1536],
    [32, 576, 576],
    [32, 576, 1536],
    [32, 1536, 576],
    [32, 576, 49152],
    [1, 576, 1536],
];

fn shapes(criterion: &mut Criterion) {
    let device = ruminate_testkit::device();
    let mut group = criterion.benchmark_group("linear");
    group.sample_size(20);
    for [rows, width, outputs] in SHAPES {
        let x = Tensor::<2>::random([rows, width], Distribution::Uniform(-1.0, 1.0), &device);
        let weight = Tensor::<2>::random([outputs, width], Distribution::Uniform(-1.0, 1.0), &device);
        group.throughput(Throughput::Elements(2 * (rows * width * outputs) as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{rows}x{width}x{outputs}")), |bencher| {
            // On the CPU the result is there when the call returns.
            bencher.iter(|| linear(x.clone(), weight.clone()));
        });
    }
    group.finish();
}

criterion_group!(benches, shapes);
criterion_main!(benches);
