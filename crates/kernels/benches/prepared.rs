//! Prepared weights at the shapes of decoding SmolLM2-135M, by precision and rows; what preparing costs beside them,
//! and how fast memory is. Criterion's Gelem/s are GFLOP/s. `cargo bench -p ruminate-kernels --bench prepared`.

use burn::tensor::{Distribution, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rayon::prelude::*;
use ruminate_kernels::{Precision, PreparedWeight};

/// Inner dimension, outputs: query-key-value, output, gate-up and down maps, output head.
const WEIGHTS: [[usize; 2]; 5] = [[576, 960], [576, 576], [576, 3072], [1536, 576], [576, 49152]];

const ROWS: [usize; 4] = [1, 8, 32, 1024];

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

fn products(criterion: &mut Criterion) {
    let device = ruminate_testkit::device();
    for precision in PRECISIONS {
        let mut group = criterion.benchmark_group(format!("prepared, {precision:?}"));
        group.sample_size(20);
        for [width, outputs] in WEIGHTS {
            let weight = Tensor::<2>::random([outputs, width], Distribution::Uniform(-1.0, 1.0), &device);
            let prepared = PreparedWeight::new(weight, precision);
            for rows in ROWS.into_iter().filter(|&rows| rows * outputs < 10_000_000) {
                let x = Tensor::<2>::random([rows, width], Distribution::Uniform(-1.0, 1.0), &device);
                group.throughput(Throughput::Elements(2 * (rows * width * outputs) as u64));
                let shape = BenchmarkId::from_parameter(format!("{rows}x{width}x{outputs}"));
                group.bench_function(shape, |bencher| bencher.iter(|| prepared.times(x.clone())));
            }
        }
    }
}

/// The ceiling of a single row: what all threads read of memory that no cache holds.
fn reading(criterion: &mut Criterion) {
    let values = vec![1_u64; 1 << 26];
    let mut group = criterion.benchmark_group("reading memory");
    group.sample_size(20).throughput(Throughput::Bytes(8 << 26));
    group.bench_function("512 MiB", |bencher| {
        bencher.iter(|| -> u64 {
            values
                .par_chunks(1 << 15)
                .map(|part| part.iter().fold(0, |sum: u64, x| sum.wrapping_add(*x)))
                .sum()
        });
    });
}

fn preparing(criterion: &mut Criterion) {
    let device = ruminate_testkit::device();
    let [width, outputs] = [576, 3072];
    let weight = Tensor::<2>::random([outputs, width], Distribution::Uniform(-1.0, 1.0), &device);
    let mut group = criterion.benchmark_group("preparing 576x3072");
    group.sample_size(20).throughput(Throughput::Bytes((4 * width * outputs) as u64));
    for precision in PRECISIONS {
        group.bench_function(format!("{precision:?}"), |bencher| {
            bencher.iter(|| PreparedWeight::new(weight.clone(), precision));
        });
    }
}

criterion_group!(benches, products, reading, preparing);
criterion_main!(benches);
