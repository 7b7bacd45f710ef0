//! The composition against transformers, the fused form against the composition.

use super::{Angles, Pairs, fused, reference, rotate_halves, rotate_interleaved};
use crate::grad_check::same_with_gradients;
use crate::test_inputs;
use burn::tensor::{Tensor, TensorData};
use proptest::prelude::*;
use ruminate_testkit as testkit;
use serde_json::Value;

fn numbers(list: &Value) -> Vec<f32> {
    list.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number") as f32).collect()
}

/// rotary.json's fixture: a field `[T, R]` as a tensor `[1, T, 1, R]`.
fn field(rotary: &Value, name: &str) -> Tensor<4> {
    let rows: Vec<Vec<f32>> = rotary[name].as_array().expect("a list").iter().map(numbers).collect();
    // The scores are those of all pairs of tokens.
    let shape = [1, rows.len(), 1, rows[0].len()];
    Tensor::from_data(TensorData::new(rows.concat(), shape), &testkit::device())
}

fn angles(rotary: &Value) -> Angles {
    let (positions, frequencies) = (numbers(&rotary["positions"]), numbers(&rotary["inv_freq"]));
    let scale = rotary["attention_scaling"].as_f64().expect("a number") as f32;
    let of = |part: fn(f32) -> f32| {
        positions.iter().flat_map(|p| frequencies.iter().map(move |f| part(p * f) * scale)).collect()
    };
    Angles::new(of(f32::cos), of(f32::sin), frequencies.len())
}

#[test]
fn the_interleaved_rotation_equals_transformers() {
    let rotary: Value = testkit::json("model/rotary.json");
    let angles = angles(&rotary);
    for form in [rotate_interleaved, |x, angles: &_| reference(x, angles, Pairs::Interleaved)] {
        let [q, k] = ["q", "k"].map(|name| form(field(&rotary, name), &angles));
        testkit::assert_close(
            &testkit::floats(q.clone()),
            &testkit::floats(field(&rotary, "q_halves")),
            1e-5,
        );
        let [q, k] = [q, k].map(|x| x.swap_dims(1, 2));
        let scores = testkit::floats(q.matmul(k.swap_dims(2, 3)));
        testkit::assert_close(&scores, &testkit::floats(field(&rotary, "scores")), 1e-4);
    }
}

#[test]
fn both_layouts_turn_the_same_pairs() {
    let rotary: Value = testkit::json("model/rotary.json");
    let (q, angles) = (field(&rotary, "q"), angles(&rotary));
    let [batch, tokens, heads, width] = q.dims();
    let halves = q.clone().reshape([batch, tokens, heads, width / 2, 2]).swap_dims(3, 4);
    let halves = rotate_halves(halves.reshape([batch, tokens, heads, width]), &angles);
    assert_eq!(testkit::floats(halves), testkit::floats(rotate_interleaved(q, &angles)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fused_form_equals_the_reference_in_value_and_gradient(
        [batch, heads] in prop::array::uniform2(1_usize..4),
        tokens in 1_usize..40,
        frequencies in 1_usize..40,
        still in 0_usize..20,
        pairs in prop::sample::select(vec![Pairs::Interleaved, Pairs::Halves]),
        seed in 0_u32..1000,
    ) {
        let device = testkit::autodiff_device();
        let x = test_inputs::tensor::<4>([batch, tokens, heads, still + 2 * frequencies], seed, &device);
        let angle = test_inputs::values(batch * tokens * frequencies, seed + 1);
        let of = |part: fn(f32) -> f32| angle.iter().map(|&angle| part(3.0 * angle)).collect();
        let angles = Angles::new(of(f32::cos), of(f32::sin), frequencies);
        same_with_gradients(
            x,
            |x| reference(x, &angles, pairs),
            |x| fused(x, &angles, pairs),
        );
    }
}
