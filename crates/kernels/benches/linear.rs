//! The linear map at the shapes of learning (many rows) and of decoding (few); the square one is the machine's ceiling.
//! `cargo bench -p ruminate-kernels --bench linear`; `bench/peer_linear.py` has PyTorch's at the same shapes.

mod shapes;

use burn::tensor::{Device, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use ruminate_kernels::{ComputeDtype, linear};
use shapes::{bench, flop, random};

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

fn forward(criterion: &mut Criterion) {
    let device = Device::flex();
    let mut group = criterion.benchmark_group("linear, forward");
    for [rows, width, outputs] in SHAPES {
        let (x, weight) = (random([rows, width], &device), random([outputs, width], &device));
        let operations = flop(2 * rows * width * outputs);
        bench(&mut group, "fused", &format!("{rows} x {width} x {outputs}"), operations, || {
            linear(x.clone(), weight.clone())
        });
    }
}

fn learning(criterion: &mut Criterion) {
    let device = Device::flex().autodiff();
    let mut group = criterion.benchmark_group("linear, forward and backward");
    for [rows, width, outputs] in [[8192, 96, 192], [2048, 256, 768], [1024, 576, 1536]] {
        let [x, weight] =
            [[rows, width], [outputs, width]].map(|shape| random(shape, &device).require_grad());
        let shape = format!("{rows} x {width} x {outputs}");
        let operations = flop(3 * 2 * rows * width * outputs);
        bench(&mut group, "fused", &shape, operations, || linear(x.clone(), weight.clone()).sum().backward());
        let operations = flop(3 * 2 * rows * width * outputs);
        bench(&mut group, "bfloat16", &shape, operations, || {
            linear(ComputeDtype::Bf16.operand(x.clone()), weight.clone()).sum().backward()
        });
        let operations = flop(3 * 2 * rows * width * outputs);
        let composed = |x: Tensor<2>, weight: Tensor<2>| x.matmul(weight.transpose());
        bench(&mut group, "composed", &shape, operations, || {
            composed(x.clone(), weight.clone()).sum().backward()
        });
    }
}

criterion_group!(name = benches; config = shapes::short(); targets = forward, learning);
criterion_main!(benches);
