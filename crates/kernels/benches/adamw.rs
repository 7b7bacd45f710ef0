//! AdamW, with moments in f32 and in 8 bits, and the sum of squares of the global norm, on the largest matrix of each model.
//! `cargo bench -p ruminate-kernels --bench adamw`.

// n elements of one parameter

mod shapes;

use burn::tensor::Device;
use criterion::{Criterion, criterion_group, criterion_main};
use ruminate_kernels::{
    AdamWInt8State, AdamWState, AdamWStep, Int8Moment, adamw, adamw_int8, sum_of_squares,
};
use shapes::{MODELS, bench, floats, random};

const STEP: AdamWStep =
    AdamWStep { beta1: 0.9, beta2: 0.99, clip: 0.7, keep: 0.999, step: 1e-4, epsilon: 1e-8 };

/// The update as operations of Burn.
fn composed(state: AdamWState, gradient: burn::tensor::Tensor<1>) -> AdamWState {
    let AdamWStep { beta1, beta2, clip, keep, step, epsilon } = STEP;
    let gradient = gradient.mul_scalar(clip);
    let mean = state.mean.mul_scalar(beta1) + gradient.clone().mul_scalar(1.0 - beta1);
    let square = state.square.mul_scalar(beta2) + gradient.square().mul_scalar(1.0 - beta2);
    let direction = mean.clone() / square.clone().sqrt().add_scalar(epsilon);
    AdamWState { parameter: state.parameter.mul_scalar(keep) - direction.mul_scalar(step), mean, square }
}

fn updates(criterion: &mut Criterion) {
    let device = Device::flex();
    for model in MODELS {
        let length = model.vocabulary.max(model.inner) * model.width;
        let shape = format!("{} {length}", model.name);
        let [parameter, mean, square, gradient] = [(); 4].map(|()| random([length], &device));
        let square = square.square();
        for (form, update) in [
            ("fused", (|state, gradient| adamw(state, gradient, STEP)) as fn(_, _) -> _),
            ("composed", composed),
        ] {
            // The state is handed on from step to step, as a trainer does: the update is in place.
            let (parameter, mean, square) = (parameter.clone(), mean.clone(), square.clone());
            let mut state = Some(AdamWState { parameter, mean, square });
            let mut group = criterion.benchmark_group("AdamW");
            bench(&mut group, form, &shape, floats(7 * length), || {
                state = state.take().map(|state| update(state, gradient.clone()));
            });
        }
        let zeros = || Int8Moment::zeros(length, &device);
        let mut state = Some(AdamWInt8State { parameter, mean: zeros(), square: zeros() });
        {
            let mut group = criterion.benchmark_group("AdamW int8");
            // Parameter, gradient and codes: 16 bytes an element.
            bench(&mut group, "fused", &shape, floats(4 * length), || {
                state = state.take().map(|state| adamw_int8(state, gradient.clone(), STEP));
            });
        }
        let mut group = criterion.benchmark_group("sum of squares");
        bench(&mut group, "fused", &shape, floats(length), || sum_of_squares(gradient.clone()));
        bench(&mut group, "composed", &shape, floats(length), || gradient.clone().square().sum_dim(0));
    }
}

criterion_group!(name = benches; config = shapes::short(); targets = updates);
criterion_main!(benches);
