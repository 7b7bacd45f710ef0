//! Muon against torch, and what must hold of any orthogonalised step.

use super::{COEFFICIENTS, LrAdjustment, Muon, orthogonalised};
use crate::optim::{AdamW, Buffer, Optimizer, Parameter, ParameterState, ParameterUpdate, StepParams};
use burn::tensor::{Tensor, TensorData};
use proptest::prelude::*;
use ruminate_testkit as testkit;
use serde_json::Value;
use std::collections::BTreeMap;

const PARAMS: StepParams = StepParams {
    learning_rate: 0.1,
    betas: [0.9, 0.999],
    epsilon: 1e-8,
    weight_decay: 0.0,
    max_grad_norm: 0.0,
};

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    lr: f64,
    weight_decay: f64,
    momentum: f64,
    nesterov: bool,
    ns_steps: usize,
    adjust_lr_fn: LrAdjustment,
    computed_in: String,
    start: BTreeMap<String, Value>,
    steps: Vec<Step>,
}

#[derive(serde::Deserialize)]
struct Step {
    gradients: BTreeMap<String, Value>,
    parameters: BTreeMap<String, Value>,
}

/// The rows of a matrix, one after the other, and its shape.
fn matrix(value: &Value) -> (Vec<f32>, [usize; 2]) {
    let rows: Vec<Vec<f32>> = serde_json::from_value(value.clone()).expect("a matrix");
    let shape = [rows.len(), rows[0].len()];
    (rows.concat(), shape)
}

fn flat(values: &[f32]) -> Tensor<1> {
    Tensor::from_floats(values, &testkit::device())
}

/// One update after what `state` holds, without clipping.
fn update(
    rule: &dyn Optimizer,
    parameter: Parameter<'_>,
    value: Tensor<1>,
    gradient: Tensor<1>,
    state: Option<ParameterState>,
    params: StepParams,
) -> (Tensor<1>, ParameterState) {
    let fresh = || {
        let buffers = rule.buffers(parameter.kind()).iter().map(|_| value.zeros_like().into()).collect();
        ParameterState { buffers, updates: 0 }
    };
    let state = state.unwrap_or_else(fresh);
    let state = ParameterState { updates: state.updates + 1, ..state };
    rule.update(ParameterUpdate { parameter, value, gradient, clip: 1.0, state, params })
}

/// How far the first update of a parameter of zeros goes at rate 1 where no shape changes it.
fn first_step(name: &str, shape: &[usize], gradient: &[f32]) -> Vec<f32> {
    let rule = Muon { adjust_lr_fn: LrAdjustment::SpectralUnclamped, ..Muon::default() };
    let gradient = flat(gradient);
    let params = StepParams { learning_rate: -1.0, ..PARAMS };
    let (value, _) = update(&rule, Parameter { name, shape }, gradient.zeros_like(), gradient, None, params);
    testkit::floats(value)
}

#[test]
fn three_steps_equal_those_of_torch() {
    let cases = testkit::json::<Vec<Case>>("train/muon.json");
    assert_eq!(cases.len(), 6);
    for case in cases {
        let Case { momentum, nesterov, ns_steps, adjust_lr_fn, .. } = case;
        let rule = Muon { momentum, nesterov, ns_steps, adjust_lr_fn, lr_multiplier: 1.0 };
        let params = StepParams { learning_rate: case.lr, weight_decay: case.weight_decay, ..PARAMS };
        // bf16 has three digits, of steps of about 0.01.
        let tolerance = if case.computed_in == "bfloat16" { 2e-3 } else { 1e-6 };
        for (name, start) in &case.start {
            let (start, shape) = matrix(start);
            let parameter = Parameter { name, shape: &shape };
            let (mut value, mut state) = (flat(&start), None);
            for step in &case.steps {
                let gradient = flat(&matrix(&step.gradients[name]).0);
                let (moved, kept) = update(&rule, parameter, value, gradient, state, params);
                let (expected, _) = matrix(&step.parameters[name]);
                let found = testkit::floats(moved.clone());
                let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off <= tolerance, "{} {name}: {off} off, {found:?} and {expected:?}", case.name);
                (value, state) = (moved, Some(kept));
            }
        }
    }
}

#[test]
fn a_rate_of_one_tenth_with_ten_times_the_multiplier_is_the_same_step() {
    let parameter = Parameter { name: "model.layers.0.mlp.up_proj.weight", shape: &[2, 2] };
    let step = |learning_rate, lr_multiplier| {
        let rule = Muon { lr_multiplier, ..Muon::default() };
        let params = StepParams { learning_rate, weight_decay: 0.1, ..PARAMS };
        let (value, _) =
            update(&rule, parameter, flat(&[1.0, 2.0, 3.0, 4.0]), flat(&[0.3, -1.0, 0.2, 0.7]), None, params);
        testkit::floats(value)
    };
    testkit::assert_close(&step(0.01, 10.0), &step(0.1, 1.0), 1e-6);
}

#[test]
fn embeddings_vectors_and_adapters_take_the_steps_of_adamw() {
    for (name, shape) in [
        ("model.embed_tokens.weight", &[3, 2][..]),
        ("lm_head.weight", &[3, 2]),
        ("model.norm.weight", &[6]),
        ("model.layers.0.self_attn.q_proj.lora_A.weight", &[2, 3]),
    ] {
        let step = |rule: &dyn Optimizer| {
            let parameter = Parameter { name, shape };
            let value = flat(&[1.0, -2.0, 0.5, 3.0, 0.1, 0.0]);
            let gradient = flat(&[0.3, -1.0, 0.2, 0.7, 0.0, 0.9]);
            let (value, state) = update(rule, parameter, value, gradient, None, PARAMS);
            let buffers = state.buffers.into_iter().map(Buffer::into_float32).map(testkit::floats);
            (testkit::floats(value), buffers.collect::<Vec<_>>())
        };
        assert_eq!(step(&Muon::default()), step(&AdamW), "{name}");
    }
}

#[test]
fn without_a_gradient_nothing_moves() {
    let step = first_step("model.layers.0.mlp.down_proj.weight", &[2, 3], &[0.0; 6]);
    assert_eq!(step, [0.0; 6]);
}

/// The reflection along `[1, 2, .., size]`, an orthogonal matrix.
fn reflection(size: usize) -> Tensor<3> {
    let squares: f32 = (1..=size).map(|i| (i * i) as f32).sum();
    let values: Vec<f32> = (0..size * size)
        .map(|place| {
            let (row, column) = (place / size, place % size);
            let identity = f32::from(u8::from(row == column));
            identity - 2.0 * ((row + 1) * (column + 1)) as f32 / squares
        })
        .collect();
    Tensor::from_data(TensorData::new(values, [1, size, size]), &testkit::device())
}

#[test]
fn singular_vectors_stay_and_singular_values_come_near_one() {
    let values = [8.0_f32, 3.0, 1.0, 0.4];
    let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    for (rows, columns) in [(4, 4), (4, 6), (7, 4)] {
        let mut diagonal = vec![0.0; rows * columns];
        for (i, value) in values.into_iter().enumerate() {
            diagonal[i * columns + i] = value;
        }
        let diagonal =
            Tensor::<3>::from_data(TensorData::new(diagonal, [1, rows, columns]), &testkit::device());
        let (left, right) = (reflection(rows), reflection(columns));
        let found = orthogonalised(left.clone().matmul(diagonal).matmul(right.clone()), 5);
        // A reflection is its own inverse.
        let found = testkit::floats(left.matmul(found).matmul(right));
        for (place, found) in found.into_iter().enumerate() {
            let (row, column) = (place / columns, place % columns);
            if row != column {
                assert!(found.abs() < 1e-5, "{rows} x {columns}: {found} at {row}, {column}");
                continue;
            }
            let [a, b, c] = COEFFICIENTS;
            let polynomial = |x: f64| a * x + b * x.powi(3) + c * x.powi(5);
            let expected = (0..5).fold(f64::from(values[row] / norm), |x, _| polynomial(x));
            assert!((f64::from(found) - expected).abs() < 1e-4, "{found} and not {expected}");
            assert!((0.65..1.25).contains(&found), "{rows} x {columns}: singular value {found}");
        }
    }
}

/// `[E, M, N]` of numbers between -1 and 1.
fn random(shape: [usize; 3], seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..shape.into_iter().product()).map(|_| next()).collect()
}

fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns).map(|place| values[place % rows * columns + place / rows]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_transposed_gradient_gives_the_transposed_step(
        rows in 1_usize..9, columns in 1_usize..9, seed in any::<u64>(),
    ) {
        let gradient = random([1, rows, columns], seed);
        let name = "model.layers.0.self_attn.q_proj.weight";
        let rule = |shape: &[usize], gradient: &[f32]| {
            let rule = Muon { adjust_lr_fn: LrAdjustment::MatchRmsAdamw, ..Muon::default() };
            let gradient = flat(gradient);
            let parameter = Parameter { name, shape };
            testkit::floats(update(&rule, parameter, gradient.zeros_like(), gradient, None, PARAMS).0)
        };
        let step = rule(&[rows, columns], &gradient);
        let other = rule(&[columns, rows], &transposed(&gradient, rows, columns));
        testkit::assert_close(&other, &transposed(&step, rows, columns), 1e-5);
    }

    #[test]
    fn each_expert_moves_as_if_it_were_alone(
        experts in 1_usize..5, rows in 1_usize..6, columns in 1_usize..9, seed in any::<u64>(),
    ) {
        let alone = "model.layers.0.mlp.down_proj.weight";
        for (name, matrices, shape) in [
            ("model.layers.0.mlp.experts.down_proj", experts, [experts, rows, columns]),
            ("model.layers.0.mlp.experts.gate_up_proj", 2 * experts, [experts, 2 * rows, columns]),
        ] {
            let gradient = random([matrices, rows, columns], seed);
            let step = first_step(name, &shape, &gradient);
            let size = rows * columns;
            for (step, gradient) in step.chunks(size).zip(gradient.chunks(size)) {
                testkit::assert_close(step, &first_step(alone, &[rows, columns], gradient), 1e-5);
            }
        }
    }

    #[test]
    fn the_scale_of_a_gradient_changes_no_step(
        rows in 1_usize..9, columns in 1_usize..9, seed in any::<u64>(),
    ) {
        let name = "model.layers.0.self_attn.o_proj.weight";
        let gradient = random([1, rows, columns], seed);
        let scaled: Vec<f32> = gradient.iter().map(|value| value * 1024.0).collect();
        let [step, other] = [gradient, scaled].map(|gradient| first_step(name, &[rows, columns], &gradient));
        testkit::assert_close(&other, &step, 1e-5);
    }
}
