//! The maps and the steps against bitsandbytes, and the fused form against the reference.

use super::{AdamWInt8State, BLOCK, DynamicMap, Int8Moment, SIGNED, UNSIGNED, adamw_int8, dequantised};
use super::{quantised, reference};
use crate::adamw::{AdamWState, AdamWStep, adamw};
use crate::test_inputs;
use burn::tensor::Tensor;
use proptest::prelude::*;
use ruminate_testkit as testkit;

const STEP: AdamWStep =
    AdamWStep { beta1: 0.9, beta2: 0.99, clip: 0.7, keep: 0.999, step: 1e-2, epsilon: 1e-8 };

/// The code of the nearest value, found by looking at all of them.
fn nearest(map: &DynamicMap, share: f32) -> u8 {
    let off = |code: &u8| (f64::from(map.values[usize::from(*code)]) - f64::from(share)).abs();
    (0..=255).min_by(|a, b| off(a).total_cmp(&off(b))).expect("there are some")
}

/// Moments after two steps from zero, which are no longer zero.
fn state(length: usize, seed: u32) -> (AdamWInt8State, Tensor<1>) {
    let device = testkit::device();
    let parameter = test_inputs::tensor::<1>([length], seed, &device);
    let zeros = || Int8Moment::zeros(length, &device);
    let state = AdamWInt8State { parameter, mean: zeros(), square: zeros() };
    let gradient = |seed| test_inputs::tensor::<1>([length], seed, &device).powi_scalar(3);
    let state = reference(state, gradient(seed + 1), STEP);
    (reference(state, gradient(seed + 2), STEP), gradient(seed + 3))
}

#[test]
fn the_maps_are_those_of_bitsandbytes() {
    let fixture = testkit::json::<serde_json::Value>("train/adamw8bit.json");
    for (map, name) in [(&SIGNED, "signed"), (&UNSIGNED, "unsigned")] {
        let expected: Vec<f32> = serde_json::from_value(fixture["maps"][name].clone()).expect("numbers");
        assert_eq!(expected.len(), map.values.len());
        assert!(map.values.is_sorted());
        for (code, (value, expected)) in map.values.iter().zip(&expected).enumerate() {
            // bitsandbytes sums up its cells in f32.
            assert!(
                (value - expected).abs() <= 4e-7 * expected.abs(),
                "code {code}: {value}, not {expected}"
            );
        }
    }
}

#[test]
fn every_value_of_a_map_has_its_own_code() {
    for map in [&SIGNED, &UNSIGNED] {
        for (code, &value) in map.values.iter().enumerate() {
            assert_eq!(usize::from(map.code(value, 1.0)), code, "{value}");
        }
    }
}

#[test]
fn a_block_of_zeros_or_of_vanishing_numbers_stays_finite() {
    for value in [0.0_f32, 1e-45, -1e-40, 1e38] {
        let device = testkit::device();
        let values = Tensor::<1>::from_floats([value; 3], &device);
        for map in [&SIGNED, &UNSIGNED] {
            let moment = quantised(values.clone().abs(), map);
            let values = testkit::floats(dequantised(moment, map));
            assert!(
                values.iter().all(|found| found.is_finite() && *found <= value.abs()),
                "{value}: {values:?}"
            );
        }
    }
}

#[test]
fn codes_and_magnitudes_return_as_they_were() {
    let device = testkit::device();
    for length in [0_usize, 1, 255, 256, 257, 1000] {
        let codes: Vec<u8> = (0..length).map(|at| (at * 7 % 256) as u8).collect();
        let absmax: Vec<f32> = (0..length.div_ceil(BLOCK)).map(|at| at as f32 + 0.1).collect();
        let moment = Int8Moment::from_parts(&codes, absmax.clone(), &device);
        assert_eq!((moment.codes(), moment.absmax(), moment.len()), (codes, absmax, length));
    }
}

#[test]
#[should_panic(expected = "parameter, gradient and moments")]
fn a_gradient_of_another_length_is_refused() {
    let (state, _) = state(300, 1);
    adamw_int8(state, Tensor::zeros([200], &testkit::device()), STEP);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_code_stands_for_the_nearest_value(
        exponent in -9.0_f32..0.0, negative in any::<bool>(), absmax in 1e-6_f32..1e6,
    ) {
        let share = 10_f32.powf(exponent) * if negative { -1.0 } else { 1.0 };
        for map in [&SIGNED, &UNSIGNED] {
            if map.zero == 0.0 && negative {
                continue;
            }
            let (found, best) = (map.code(share * absmax, 1.0 / absmax), nearest(map, share));
            let off = |code: u8| (map.values[usize::from(code)] - share).abs();
            // Both are as near as f32 can tell.
            prop_assert!(off(found) - off(best) <= 1e-6 * share.abs(), "{share}: {found}, not {best}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fused_form_equals_the_reference(
        length in 1_usize..40_000, shared in any::<bool>(), seed in 0_u32..1000,
    ) {
        let (state, gradient) = state(length, seed);
        let expected = reference(state.clone(), gradient.clone(), STEP);
        // Tensors that are shared must not change.
        let before = (testkit::floats(state.parameter.clone()), state.mean.codes(), state.square.absmax());
        let held = shared.then(|| state.clone());
        let actual = adamw_int8(state, gradient, STEP);
        testkit::assert_close(&testkit::floats(actual.parameter), &testkit::floats(expected.parameter), 1e-6);
        for (actual, expected) in [(actual.mean, expected.mean), (actual.square, expected.square)] {
            testkit::assert_close_relative(&actual.absmax(), &expected.absmax(), 1e-6);
            let (actual, expected) = (actual.codes(), expected.codes());
            // A number on the border of two cells may fall to either side.
            let differ: Vec<_> = actual.iter().zip(&expected).filter(|(a, b)| a != b).collect();
            prop_assert!(differ.len() <= 1 + length / 10_000, "{} of {length}: {differ:?}", differ.len());
            prop_assert!(differ.iter().all(|(a, b)| a.abs_diff(**b) == 1), "{differ:?}");
        }
        if let Some(held) = held {
            let after = (testkit::floats(held.parameter), held.mean.codes(), held.square.absmax());
            prop_assert_eq!(after, before);
        }
    }

    #[test]
    fn blocks_depend_on_nothing_beside_them(blocks in 1_usize..200, cut in 0_usize..200, seed in 0_u32..1000) {
        let cut = cut % blocks * BLOCK;
        let (state, gradient) = state(blocks * BLOCK, seed);
        let part = |values: Tensor<1>| values.slice(cut..cut + BLOCK);
        let of_moment = |moment: &Int8Moment| {
            let codes = &moment.codes()[cut..cut + BLOCK];
            Int8Moment::from_parts(codes, vec![moment.absmax()[cut / BLOCK]], &testkit::device())
        };
        let alone = AdamWInt8State {
            parameter: part(state.parameter.clone()),
            mean: of_moment(&state.mean),
            square: of_moment(&state.square),
        };
        let alone = adamw_int8(alone, part(gradient.clone()), STEP);
        let whole = adamw_int8(state, gradient, STEP);
        prop_assert_eq!(testkit::floats(alone.parameter), testkit::floats(part(whole.parameter)));
        for (alone, whole) in [(alone.mean, whole.mean), (alone.square, whole.square)] {
            prop_assert_eq!(alone.codes(), &whole.codes()[cut..cut + BLOCK]);
            prop_assert_eq!(alone.absmax()[0], whole.absmax()[cut / BLOCK]);
        }
    }
}

#[test]
fn a_first_step_is_that_of_moments_in_32_bits() {
    let device = testkit::device();
    let (length, step) = (1000, AdamWStep { epsilon: 1e-6, ..STEP });
    let parameter = test_inputs::tensor::<1>([length], 1, &device);
    let gradient = test_inputs::tensor::<1>([length], 2, &device);
    let zeros = || Int8Moment::zeros(length, &device);
    let state = AdamWInt8State { parameter: parameter.clone(), mean: zeros(), square: zeros() };
    let moved = adamw_int8(state, gradient.clone(), step).parameter;
    let (mean, square) = (gradient.zeros_like(), gradient.zeros_like());
    let expected = adamw(AdamWState { parameter, mean, square }, gradient, step).parameter;
    testkit::assert_close(&testkit::floats(moved), &testkit::floats(expected), 1e-7);
}
