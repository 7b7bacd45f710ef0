//! The expert layer and its router, fused on the CPU: forward, forward with backward, decoding. It measures the public
//! functions; `cargo bench -p ruminate-kernels --bench experts`.

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ruminate_kernels::{Choice, ExpertWeights, Normalisation, Permutation, Scoring, experts};
use ruminate_kernels::{route_weights, router_scores};

/// Sizes of a layer.
#[derive(Clone, Copy)]
struct Sizes {
    name: &'static str,
    width: usize,
    inner: usize,
    n_experts: usize,
    per_token: usize,
}

const EMBEDDED_DEFAULT: Sizes =
    Sizes { name: "embedded default", width: 96, inner: 96, n_experts: 8, per_token: 2 };
const DEEPSEEK_27M: Sizes = Sizes { name: "27M", width: 256, inner: 128, n_experts: 32, per_token: 4 };

struct Layer {
    router: Tensor<2>,
    weights: ExpertWeights,
    sizes: Sizes,
}

impl Layer {
    fn new(sizes: Sizes, device: &Device) -> Self {
        let Sizes { width, inner, n_experts, .. } = sizes;
        let small = Distribution::Uniform(-0.1, 0.1);
        let weights = ExpertWeights {
            gate_up: Tensor::random([n_experts, 2 * inner, width], small, device),
            down: Tensor::random([n_experts, width, inner], small, device),
        };
        Self { router: Tensor::random([n_experts, width], small, device), weights, sizes }
    }

    fn tracked(self) -> Self {
        let ExpertWeights { gate_up, down } = self.weights;
        let weights = ExpertWeights { gate_up: gate_up.require_grad(), down: down.require_grad() };
        Self { router: self.router.require_grad(), weights, ..self }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let Sizes { n_experts, per_token, .. } = self.sizes;
        let scores = router_scores(x.clone(), self.router.clone(), Scoring::Sigmoid);
        let host = scores.clone().detach().try_into_vec_as::<f32>().expect("f32");
        let chosen =
            Choice { experts_per_token: per_token, n_group: 1, topk_group: 1 }.of(&host, None, n_experts);
        let route = route_weights(scores, &chosen, Normalisation::Sum, 2.5);
        experts(x, self.weights.clone(), Permutation::new(&chosen, per_token, n_experts), route)
    }
}

fn layers(criterion: &mut Criterion) {
    for sizes in [EMBEDDED_DEFAULT, DEEPSEEK_27M] {
        let mut group = criterion.benchmark_group(sizes.name);
        group.sample_size(20);
        let flops = |tokens: usize, products: usize| {
            Throughput::Elements((2 * products * tokens * sizes.per_token * sizes.width * sizes.inner) as u64)
        };
        let input = |tokens: usize, device: &Device| {
            Tensor::<2>::random([tokens, sizes.width], Distribution::Uniform(-1.0, 1.0), device)
        };
        let device = Device::flex();
        let layer = Layer::new(sizes, &device);
        for tokens in [1, 32, 512, 2048] {
            group.throughput(flops(tokens, 3));
            let x = input(tokens, &device);
            group.bench_function(BenchmarkId::new("forward", tokens), |bencher| {
                bencher.iter(|| layer.forward(x.clone()));
            });
        }
        let device = device.autodiff();
        let layer = Layer::new(sizes, &device).tracked();
        for tokens in [1024, 2048] {
            group.throughput(flops(tokens, 9));
            let x = input(tokens, &device).require_grad();
            group.bench_function(BenchmarkId::new("forward and backward", tokens), |bencher| {
                bencher.iter(|| layer.forward(x.clone()).sum().backward());
            });
        }
    }
}

criterion_group!(benches, layers);
criterion_main!(benches);
