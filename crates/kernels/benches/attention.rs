//! Attention of packed rows, for prefill (forward) and learning (forward and backward): grouped queries, and latents
//! multiplied out. `cargo bench -p ruminate-kernels --bench attention`.

// B batch, T tokens, H query heads, Hk key-value heads, Dk key width, Dv value width

mod shapes;

use burn::tensor::{Device, Tensor, activation::softmax};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ruminate_kernels::{ComputeDtype, Segments, attention, latent_attention};
use shapes::{EMBEDDED_DEFAULT, MOE_27M, Model, SMOLLM2, bench, flop, random};

const LONG: Model = Model { batch: 1, tokens: 2048, ..SMOLLM2 };

/// Key-value heads of SmolLM2.
const KV_HEADS: usize = 3;

/// Width of a value in the models with latents.
fn value_width(model: &Model) -> usize {
    model.head_width - model.rotary + if model.name == EMBEDDED_DEFAULT.name { 8 } else { 0 }
}

/// `softmax(q k^T * scale + bias) v`, with the copies into the order of heads and back.
fn composed(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, bias: Tensor<4>, scale: f64) -> Tensor<4> {
    let [batch, tokens, heads, width] = q.dims();
    let [_, _, kv_heads, value] = v.dims();
    let rows = heads / kv_heads * tokens;
    let [q, k, v] = [q, k, v].map(|x| x.swap_dims(1, 2)); // [B, H, T, D]
    let q = q.reshape([batch, kv_heads, rows, width]);
    let scores = q.matmul(k.swap_dims(2, 3)).mul_scalar(scale).reshape([batch, heads, tokens, tokens]) + bias;
    let weights = softmax(scores, 3).reshape([batch, kv_heads, rows, tokens]);
    weights.matmul(v).reshape([batch, heads, tokens, value]).swap_dims(1, 2)
}

/// The same with the keys of latents put together first.
fn latent_composed(q: Tensor<4>, up: Tensor<4>, k_rope: Tensor<4>, bias: Tensor<4>, scale: f64) -> Tensor<4> {
    let [batch, tokens, heads, both] = up.dims();
    let ([_, _, _, key], [_, _, _, rotary]) = (q.dims(), k_rope.dims());
    let own = key - rotary;
    let shared = k_rope.expand([batch, tokens, heads, rotary]);
    let k = Tensor::cat(vec![up.clone().narrow(3, 0, own), shared], 3);
    composed(q, k, up.narrow(3, own, both - own), bias, scale)
}

fn causal(model: &Model, device: &Device) -> (Segments, Tensor<4>) {
    let Model { batch, tokens, .. } = *model;
    let future = Tensor::<2>::ones([tokens, tokens], device).triu(1).mul_scalar(-1e30);
    let bias = future.unsqueeze::<4>().expand([batch, 1, tokens, tokens]);
    (Segments::new(&vec![1; batch * tokens], [batch, tokens]), bias)
}

/// What a causal mask leaves of two products, T x T x Dk and T x T x Dv, of all heads.
fn operations(model: &Model, value: usize) -> usize {
    let Model { batch, tokens, heads, head_width, .. } = *model;
    batch * heads * tokens * (tokens + 1) * (head_width + value)
}

/// Forward has two products; backward five, of which one computes the scores again.
fn both_ways(operations: usize) -> Throughput {
    flop(operations * 7 / 2)
}

fn grouped(criterion: &mut Criterion) {
    let device = Device::flex();
    for model in [SMOLLM2, LONG] {
        let Model { batch, tokens, heads, head_width, .. } = model;
        let scale = (head_width as f64).powf(-0.5);
        let inputs = |device: &Device| {
            [heads, KV_HEADS, KV_HEADS].map(|heads| random([batch, tokens, heads, head_width], device))
        };
        let operations = operations(&model, head_width);

        let mut group = criterion.benchmark_group("attention, forward");
        let ([q, k, v], (segments, bias)) = (inputs(&device), causal(&model, &device));
        bench(&mut group, "fused", &model.shape(), flop(operations), || {
            attention(q.clone(), k.clone(), v.clone(), &segments, scale, ComputeDtype::F32)
        });
        bench(&mut group, "composed", &model.shape(), flop(operations), || {
            composed(q.clone(), k.clone(), v.clone(), bias.clone(), scale)
        });
        drop(group);

        let mut group = criterion.benchmark_group("attention, forward and backward");
        let device = device.clone().autodiff();
        let ([q, k, v], (segments, bias)) =
            (inputs(&device).map(Tensor::require_grad), causal(&model, &device));
        bench(&mut group, "fused", &model.shape(), both_ways(operations), || {
            attention(q.clone(), k.clone(), v.clone(), &segments, scale, ComputeDtype::F32).sum().backward()
        });
        bench(&mut group, "composed", &model.shape(), both_ways(operations), || {
            composed(q.clone(), k.clone(), v.clone(), bias.clone(), scale).sum().backward()
        });
    }
}

fn latents(criterion: &mut Criterion) {
    for model in [EMBEDDED_DEFAULT, MOE_27M] {
        let Model { batch, tokens, heads, head_width, rotary, .. } = model;
        let (own, value) = (head_width - rotary, value_width(&model));
        let scale = (head_width as f64).powf(-0.5);
        let operations = operations(&model, value);
        let inputs = |device: &Device| {
            [(heads, head_width), (heads, own + value), (1, rotary)]
                .map(|(heads, width)| random([batch, tokens, heads, width], device))
        };

        let mut group = criterion.benchmark_group("latent attention, forward");
        let device = Device::flex();
        let ([q, up, k_rope], (segments, bias)) = (inputs(&device), causal(&model, &device));
        bench(&mut group, "fused", &model.shape(), flop(operations), || {
            latent_attention(q.clone(), up.clone(), k_rope.clone(), &segments, scale, ComputeDtype::F32)
        });
        bench(&mut group, "composed", &model.shape(), flop(operations), || {
            latent_composed(q.clone(), up.clone(), k_rope.clone(), bias.clone(), scale)
        });
        drop(group);

        let mut group = criterion.benchmark_group("latent attention, forward and backward");
        let device = device.autodiff();
        let ([q, up, k_rope], (segments, bias)) =
            (inputs(&device).map(Tensor::require_grad), causal(&model, &device));
        bench(&mut group, "fused", &model.shape(), both_ways(operations), || {
            latent_attention(q.clone(), up.clone(), k_rope.clone(), &segments, scale, ComputeDtype::F32)
                .sum()
                .backward()
        });
        bench(&mut group, "composed", &model.shape(), both_ways(operations), || {
            latent_composed(q.clone(), up.clone(), k_rope.clone(), bias.clone(), scale).sum().backward()
        });
    }
}

criterion_group!(name = benches; config = shapes::short(); targets = grouped, latents);
criterion_main!(benches);
