//! The expert layer with its router: decoding (few tokens), prefill, and learning; and the router alone.
//! `cargo bench -p ruminate-kernels --bench experts`.

mod shapes;

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use ruminate_kernels::{ExpertWeights, Normalisation, Permutation, RouterChoice, Scoring, experts};
use ruminate_kernels::{route_weights, router_scores};
use shapes::{EMBEDDED_DEFAULT, MOE_27M, Model, bench, flop, random};

/// Sizes of a layer.
#[derive(Clone, Copy)]
struct Sizes {
    model: Model,
    inner: usize,
    n_experts: usize,
    per_token: usize,
}

const LAYERS: [Sizes; 2] = [
    Sizes { model: EMBEDDED_DEFAULT, inner: 96, n_experts: 8, per_token: 2 },
    Sizes { model: MOE_27M, inner: 128, n_experts: 32, per_token: 4 },
];

struct Layer {
    router: Tensor<2>,
    weights: ExpertWeights,
    sizes: Sizes,
}

impl Layer {
    fn new(sizes: Sizes, device: &Device) -> Self {
        let Sizes { model: Model { width, .. }, inner, n_experts, .. } = sizes;
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

    /// Chosen experts and their weights, `[N, K]`.
    fn routes(&self, x: Tensor<2>) -> (Vec<u16>, Tensor<2>) {
        let Sizes { n_experts, per_token, .. } = self.sizes;
        let scores = router_scores(x, self.router.clone(), Scoring::Sigmoid);
        let host = scores.clone().detach().try_into_vec_as::<f32>().expect("f32");
        let choice = RouterChoice { experts_per_token: per_token, n_group: 1, topk_group: 1 };
        let chosen = choice.of(&host, None, n_experts);
        let route = route_weights(scores, &chosen, Normalisation::Sum, 2.5);
        (chosen, route)
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let Sizes { n_experts, per_token, .. } = self.sizes;
        let (chosen, route) = self.routes(x.clone());
        experts(x, self.weights.clone(), Permutation::new(&chosen, per_token, n_experts), route)
    }

    /// Of three products forward.
    fn operations(&self, tokens: usize) -> usize {
        6 * tokens * self.sizes.per_token * self.sizes.model.width * self.sizes.inner
    }
}

fn layers(criterion: &mut Criterion) {
    for sizes in LAYERS {
        let Model { name, width, .. } = sizes.model;
        let device = Device::flex();
        let layer = Layer::new(sizes, &device);
        let mut group = criterion.benchmark_group("experts, forward");
        for tokens in [1, 32, sizes.model.rows()] {
            let x = random([tokens, width], &device);
            bench(&mut group, "fused", &format!("{name} {tokens}"), flop(layer.operations(tokens)), || {
                layer.forward(x.clone())
            });
        }
        drop(group);
        let mut group = criterion.benchmark_group("experts, forward and backward");
        let device = device.autodiff();
        let layer = Layer::new(sizes, &device).tracked();
        let tokens = sizes.model.rows();
        let x = random([tokens, width], &device).require_grad();
        bench(&mut group, "fused", &format!("{name} {tokens}"), flop(3 * layer.operations(tokens)), || {
            layer.forward(x.clone()).sum().backward()
        });
    }
}

fn routers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("router, forward and backward");
    for sizes in LAYERS {
        let device = Device::flex().autodiff();
        let layer = Layer::new(sizes, &device).tracked();
        let (tokens, width) = (sizes.model.rows(), sizes.model.width);
        let x = random([tokens, width], &device).require_grad();
        let operations = flop(3 * 2 * tokens * width * sizes.n_experts);
        bench(&mut group, "fused", &format!("{} {tokens}", sizes.model.name), operations, || {
            layer.routes(x.clone()).1.sum().backward()
        });
    }
}

criterion_group!(name = benches; config = shapes::short(); targets = layers, routers);
criterion_main!(benches);
