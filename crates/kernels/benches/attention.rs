//! Attention fused on the CPU beside the composition of Burn operations that it replaces: packed rows forward and with
//! backward, and decoding, whose cost must grow with what is seen and not with the cache. It measures the public
//! functions; `cargo bench -p ruminate-kernels --bench attention`.

use burn::tensor::{Device, Distribution, Tensor, activation::softmax};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ruminate_kernels::{KeyValueRing, Latest, Segments, attention, decode_attention, latent_attention};

/// Sizes of packed rows and their heads.
#[derive(Clone, Copy)]
struct Sizes {
    name: &'static str,
    batch: usize,
    tokens: usize,
    heads: usize,
    kv_heads: usize,
    width: usize,
}

const ROWS: [Sizes; 4] = [
    Sizes { name: "128 x 30", batch: 128, tokens: 30, heads: 4, kv_heads: 4, width: 24 },
    Sizes { name: "16 x 128", batch: 16, tokens: 128, heads: 4, kv_heads: 2, width: 64 },
    Sizes { name: "8 x 128, SmolLM2", batch: 8, tokens: 128, heads: 9, kv_heads: 3, width: 64 },
    Sizes { name: "1 x 2048, SmolLM2", batch: 1, tokens: 2048, heads: 9, kv_heads: 3, width: 64 },
];

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), device)
}

/// What the operation replaces, with its copies into the order of heads and back.
fn composed(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, bias: Tensor<4>, scale: f64) -> Tensor<4> {
    let [batch, tokens, heads, width] = q.dims();
    let [_, _, kv_heads, _] = k.dims();
    let group = heads / kv_heads;
    let [q, k, v] = [q, k, v].map(|x| x.swap_dims(1, 2));
    let q = q.reshape([batch, kv_heads, group * tokens, width]);
    let scores = q.matmul(k.swap_dims(2, 3)).mul_scalar(scale).reshape([batch, heads, tokens, tokens]) + bias;
    let weights = softmax(scores, 3).reshape([batch, kv_heads, group * tokens, tokens]);
    let out = weights.matmul(v).reshape([batch, heads, tokens, width]).swap_dims(1, 2);
    out.reshape([batch, tokens, heads * width]).reshape([batch, tokens, heads, width])
}

fn packed_rows(criterion: &mut Criterion) {
    let device = Device::flex();
    for Sizes { name, batch, tokens, heads, kv_heads, width } in ROWS {
        let mut bench = criterion.benchmark_group(name);
        bench.sample_size(10);
        let scale = (width as f64).powf(-0.5);
        let segments = Segments::new(&vec![1; batch * tokens], [batch, tokens]);
        let bias = |device: &Device| {
            let future = Tensor::<2>::ones([tokens, tokens], device).triu(1).mul_scalar(-1e30);
            future.unsqueeze::<4>().expand([batch, 1, tokens, tokens])
        };
        let inputs = |device: &Device| {
            [heads, kv_heads, kv_heads].map(|heads| random([batch, tokens, heads, width], device))
        };
        // What a causal mask leaves of two products of T x T x width.
        let flops = batch * heads * tokens * (tokens + 1) * 2 * width;

        bench.throughput(Throughput::Elements(flops as u64));
        let ([q, k, v], mask) = (inputs(&device), bias(&device));
        bench.bench_function("forward", |bencher| {
            bencher.iter(|| attention(q.clone(), k.clone(), v.clone(), &segments, scale));
        });
        bench.bench_function("forward, composed", |bencher| {
            bencher.iter(|| composed(q.clone(), k.clone(), v.clone(), mask.clone(), scale));
        });

        // Forward, then five products backward.
        bench.throughput(Throughput::Elements((flops * 7 / 2) as u64));
        let device = device.clone().autodiff();
        let ([q, k, v], mask) = (inputs(&device).map(Tensor::require_grad), bias(&device));
        bench.bench_function("forward and backward", |bencher| {
            bencher.iter(|| attention(q.clone(), k.clone(), v.clone(), &segments, scale).sum().backward());
        });
        bench.bench_function("forward and backward, composed", |bencher| {
            bencher.iter(|| composed(q.clone(), k.clone(), v.clone(), mask.clone(), scale).sum().backward());
        });
    }
}

fn latents(criterion: &mut Criterion) {
    let mut bench = criterion.benchmark_group("16 x 128, latent");
    bench.sample_size(10);
    let (batch, tokens, heads, own, rotary, value) = (16, 128, 4, 32, 16, 32);
    let device = Device::flex().autodiff();
    let segments = Segments::new(&vec![1; batch * tokens], [batch, tokens]);
    let q = random([batch, tokens, heads, own + rotary], &device).require_grad();
    let up = random([batch, tokens, heads, own + value], &device).require_grad();
    let k_rope = random([batch, tokens, 1, rotary], &device).require_grad();
    bench.bench_function("forward and backward", |bencher| {
        bencher.iter(|| {
            latent_attention(q.clone(), up.clone(), k_rope.clone(), &segments, 0.15).sum().backward()
        });
    });
}

fn decoding(criterion: &mut Criterion) {
    let device = Device::flex();
    let (slots, heads, kv_heads, columns, width) = (32, 9, 3, 2048, 64);
    let mut bench = criterion.benchmark_group("decode 32 slots of 2048 columns, SmolLM2");
    bench.sample_size(20);
    let q = random([slots, heads, width], &device);
    let [k, v] = [(); 2].map(|()| random([slots, kv_heads, width], &device));
    let mut ring = Some(KeyValueRing {
        keys: random([slots, kv_heads, width, columns], &device),
        values: random([slots, kv_heads, columns, width], &device),
    });
    for seen in [32, 128, 512, 2048] {
        bench.throughput(Throughput::Bytes((2 * 4 * slots * kv_heads * seen * width) as u64));
        let latest = Latest::new(vec![seen; slots], 100);
        bench.bench_function(BenchmarkId::new("seen", seen), |bencher| {
            bencher.iter(|| {
                let held = ring.take().expect("given back below");
                let (out, held) = decode_attention(q.clone(), k.clone(), v.clone(), held, &latest, 0.125);
                ring = Some(held);
                out
            });
        });
    }
}

criterion_group!(benches, packed_rows, latents, decoding);
criterion_main!(benches);
