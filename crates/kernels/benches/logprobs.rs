//! The two ends of a policy's vocabulary: log-probabilities of given tokens, forward and backward, and the softmax of
//! one row that a sampler draws from. `cargo bench -p ruminate-kernels --bench logprobs`.

// N tokens, D hidden, V vocabulary

mod shapes;

use burn::tensor::{Device, Int, Tensor, activation::log_softmax};
use criterion::{Criterion, criterion_group, criterion_main};
use ruminate_kernels::{SoftmaxRow, token_logprobs};
use shapes::{MODELS, Model, SMOLLM2, bench, floats, flop, random};

/// Tokens of the large vocabulary: its logits have 50 MB.
const FEW: Model = Model { batch: 2, ..SMOLLM2 };

fn given_tokens(criterion: &mut Criterion) {
    let device = Device::flex().autodiff();
    let mut group = criterion.benchmark_group("token log-probabilities, forward and backward");
    for model in MODELS.map(|model| if model.vocabulary == FEW.vocabulary { FEW } else { model }) {
        let (rows, width, vocabulary) = (model.rows(), model.width, model.vocabulary);
        let hidden = random([rows, width], &device).require_grad();
        let head = random([vocabulary, width], &device).mul_scalar(0.1).require_grad();
        let targets: Vec<u32> = (0..rows).map(|row| (row * 7 % vocabulary) as u32).collect();
        let ids: Vec<i32> = targets.iter().map(|&target| target as i32).collect();
        let ids = Tensor::<1, Int>::from_ints(ids.as_slice(), &device).unsqueeze_dim::<2>(1);
        let composed = |hidden: Tensor<2>, head: Tensor<2>| {
            let all = log_softmax(hidden.matmul(head.transpose()), 1);
            let without = all.clone().detach();
            ((without.clone().exp() * without).sum_dim(1), all.gather(1, ids.clone()).sum())
        };
        let operations = || flop(3 * 2 * rows * width * vocabulary);
        bench(&mut group, "fused", &model.shape(), operations(), || {
            token_logprobs(hidden.clone(), head.clone(), &targets, 1.0).logprobs.sum().backward()
        });
        bench(&mut group, "composed", &model.shape(), operations(), || {
            let (_entropy, sum) = composed(hidden.clone(), head.clone());
            sum.backward()
        });
    }
}

fn sampled_row(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("softmax of a sampled row");
    for Model { name, vocabulary, .. } in MODELS {
        let logits: Vec<f32> = (0..vocabulary).map(|v| ((v as f32) * 12.9898).sin() * 9.0).collect();
        let mut row = SoftmaxRow::default();
        bench(&mut group, "fused", name, floats(2 * vocabulary), || {
            let filled = row.fill(&logits, 1.0);
            (filled, row.passes(row.total() / 2.0))
        });
    }
}

criterion_group!(name = benches; config = shapes::short(); targets = given_tokens, sampled_row);
criterion_main!(benches);
