//! Packed products against plain ones, and the instructions of a machine against the portable form.

use super::Packed;
use crate::backend::cpu::Threads;
use crate::prepared::Precision;
use crate::test_inputs;
use proptest::prelude::*;
use ruminate_testkit as testkit;

fn packed(weight: &[f32], width: usize, precision: Precision) -> Packed {
    Packed::new(&weight.chunks_exact(width).collect::<Vec<_>>(), precision)
}

fn times(packed: &Packed, x: &[f32], rows: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; rows * packed.outputs()];
    packed.times(&mut out, x, rows, Threads::Pool);
    out
}

/// `x W^T` in f64.
fn plain(x: &[f32], weight: &[f32], width: usize) -> Vec<f32> {
    let dot =
        |x: &[f32], w: &[f32]| -> f64 { x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum() };
    x.chunks_exact(width).flat_map(|x| weight.chunks_exact(width).map(move |w| dot(x, w) as f32)).collect()
}

/// The numbers that a format holds in the place of these.
fn held(values: &[f32], width: usize, precision: Precision) -> Vec<f32> {
    match precision {
        Precision::F32 => values.to_vec(),
        Precision::Bf16 => values.iter().map(|&x| half::bf16::from_f32(x).to_f32()).collect(),
        Precision::Int8 => values
            .chunks_exact(width)
            .flat_map(|row| row.chunks(64))
            .flat_map(|block| {
                let largest = block.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
                let steps = 127.0 / largest;
                block.iter().map(move |x| (x * steps).round_ties_even() * (largest / 127.0))
            })
            .collect(),
    }
}

const ALL: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_packed_product_is_that_of_the_numbers_it_holds(
        rows in 1_usize..21,
        width in 1_usize..200,
        outputs in 1_usize..120,
        seed in 0_u32..1000,
    ) {
        let (x, weight) = (test_inputs::values(rows * width, seed), test_inputs::values(outputs * width, seed + 1));
        for precision in ALL {
            let expected =
                plain(&held(&x, width, precision), &held(&weight, width, precision), width);
            let actual = times(&packed(&weight, width, precision), &x, rows);
            testkit::assert_close(&actual, &expected, 1e-5 * test_inputs::magnitude(&expected));
        }
    }

    #[test]
    fn a_row_gives_the_same_bits_alone_in_company_and_on_any_number_of_threads(
        rows in 2_usize..40,
        width in 1_usize..150,
        outputs in prop_oneof![1_usize..60, 700_usize..760],
        seed in 0_u32..1000,
    ) {
        let (x, weight) = (test_inputs::values(rows * width, seed), test_inputs::values(outputs * width, seed + 1));
        for precision in ALL {
            let packed = packed(&weight, width, precision);
            let on = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
                pool.install(|| times(&packed, &x, rows))
            };
            let company = on(1);
            assert_eq!(company, on(3), "{precision:?}");
            for (x, company) in x.chunks_exact(width).zip(company.chunks_exact(outputs)) {
                assert_eq!(times(&packed, x, 1), company, "{precision:?}");
            }
        }
    }
}

#[test]
fn a_number_that_is_not_finite_is_not_hidden() {
    let weight = test_inputs::values(5 * 70, 1);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut x = test_inputs::values(2 * 70, 2);
        x[66] = bad;
        for precision in ALL {
            let out = times(&packed(&weight, 70, precision), &x, 2);
            assert!(
                out[..5].iter().all(|y| !y.is_finite()) && out[5..].iter().all(|y| y.is_finite()),
                "{out:?}"
            );
        }
    }
}

#[test]
fn without_inputs_or_outputs_there_is_nothing_to_add() {
    for precision in ALL {
        assert_eq!(times(&Packed::new(&[&[], &[]], precision), &[], 3), [0.0; 6]);
        assert!(times(&Packed::new(&[], precision), &[], 3).is_empty());
    }
}

#[cfg(target_arch = "x86_64")]
mod instructions {
    //! On a machine that has them; elsewhere these tests have nothing to compare.

    use super::super::int8;
    use crate::backend::cpu::gemm::{MR, NR, Sums};
    use crate::test_inputs;

    fn sums() -> Sums {
        [[0.0; NR]; MR]
    }

    #[test]
    fn the_portable_form_of_integers_is_the_instructions() {
        let (width, rows) = (147, 4);
        for outputs in [16, 32, 48] {
            let (x, weight) = (test_inputs::values(rows * width, 3), test_inputs::values(outputs * width, 4));
            let weight: Vec<&[f32]> = weight.chunks_exact(width).collect();

            let (panels, x8) = (int8::Panels::pack(&weight, width), int8::Inputs::new(&x, width));
            let (mut chosen, mut portable) = (sums(), sums());
            panels.products(0, &x8, 0, rows, &mut chosen);
            panels.portable_tile(0, &x8, 0, rows, &mut portable);
            assert_eq!(chosen, portable);
        }
    }
}
