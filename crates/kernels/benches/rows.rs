//! What is computed row by row while learning, forward and backward: RMS norm, the gate, the rotary embedding. Bytes
//! count what each has to read and write, forward and backward. `cargo bench -p ruminate-kernels --bench rows`.

// N rows, D hidden, F feed-forward width, B batch, T tokens, H heads, W head width, R rotated columns

mod shapes;

use burn::tensor::{Device, Tensor, TensorData, activation::silu};
use criterion::{Criterion, criterion_group, criterion_main};
use ruminate_kernels::{Angles, rms_norm, rotate_halves, swiglu};
use shapes::{MODELS, Model, bench, floats, random};

fn norm(criterion: &mut Criterion) {
    let device = Device::flex().autodiff();
    let mut group = criterion.benchmark_group("RMS norm, forward and backward");
    let composed = |x: Tensor<2>, gamma: Tensor<1>| {
        let mean_square = x.clone().square().mean_dim(1);
        x * (mean_square + 1e-5).sqrt().recip() * gamma.unsqueeze()
    };
    for model in MODELS {
        let x = random([model.rows(), model.width], &device).require_grad();
        let gamma = random([model.width], &device).require_grad();
        // x, y; x, dy, dx
        let moved = || floats(5 * model.rows() * model.width);
        bench(&mut group, "fused", &model.shape(), moved(), || {
            rms_norm(x.clone(), gamma.clone(), 1e-5).sum().backward()
        });
        bench(&mut group, "composed", &model.shape(), moved(), || {
            composed(x.clone(), gamma.clone()).sum().backward()
        });
    }
}

fn gate(criterion: &mut Criterion) {
    let device = Device::flex().autodiff();
    let mut group = criterion.benchmark_group("SwiGLU, forward and backward");
    for model in MODELS {
        let [gate, up] = [(); 2].map(|()| random([model.rows(), model.inner], &device).require_grad());
        // gate, up, y; gate, up, dy, dgate, dup
        let moved = || floats(8 * model.rows() * model.inner);
        bench(&mut group, "fused", &model.shape(), moved(), || {
            swiglu(gate.clone(), up.clone()).sum().backward()
        });
        bench(&mut group, "composed", &model.shape(), moved(), || {
            (silu(gate.clone()) * up.clone()).sum().backward()
        });
    }
}

fn rotation(criterion: &mut Criterion) {
    let device = Device::flex().autodiff();
    let mut group = criterion.benchmark_group("RoPE, forward and backward");
    for model in MODELS {
        let Model { batch, tokens, heads, head_width, rotary, .. } = model;
        let half = rotary / 2;
        let angle = |i: usize| ((i / half % tokens) as f32) * 0.1_f32.powi((i % half) as i32);
        let (cos, sin): (Vec<f32>, Vec<f32>) =
            (0..batch * tokens * half).map(angle).map(|a| (a.cos(), a.sin())).unzip();
        let table = |values: &[f32]| {
            let data = TensorData::new(values.to_vec(), [batch, tokens, 1, half]);
            Tensor::<4>::from_data(data, &device)
        };
        let (cos_table, sin_table) = (table(&cos), table(&sin));
        let angles = Angles::new(cos, sin, half);
        let x = random([batch, tokens, heads, head_width], &device).require_grad();
        let composed = |x: Tensor<4>| {
            let still = head_width - rotary;
            let [first, second] = [still, still + half].map(|start| x.clone().narrow(3, start, half));
            let (cos, sin) = (cos_table.clone(), sin_table.clone());
            let mut parts =
                vec![first.clone() * cos.clone() - second.clone() * sin.clone(), second * cos + first * sin];
            if still > 0 {
                parts.insert(0, x.narrow(3, 0, still));
            }
            Tensor::cat(parts, 3)
        };
        let moved = || floats(4 * model.rows() * heads * head_width);
        bench(&mut group, "fused", &model.shape(), moved(), || {
            rotate_halves(x.clone(), &angles).sum().backward()
        });
        bench(&mut group, "composed", &model.shape(), moved(), || composed(x.clone()).sum().backward());
    }
}

criterion_group!(name = benches; config = shapes::short(); targets = norm, gate, rotation);
criterion_main!(benches);
