//! The parts against plain arithmetic.

use super::arch::{PORTABLE, arch, portable};
use super::gemm::gemm;
use super::{Matrix, MatrixMut, Store, Threads, dot, exp, gemm_small, gemm_vec};
use crate::test_inputs;
use proptest::prelude::*;
use ruminate_testkit as testkit;

/// Machines without AVX2 take the portable form, which is what Miri reads, too.
#[test]
#[cfg(not(miri))]
fn all_tests_of_this_crate_pass_without_vector_instructions() {
    if portable() {
        // This is the process that is started below.
        assert!(matches!(arch(), pulp::Arch::Scalar), "{:?}", arch());
        return;
    }
    let program = std::env::current_exe().expect("this program has a path");
    let mut again = std::process::Command::new(program);
    // The same cases each time: this is about another path through the code, not about more cases.
    again.env(PORTABLE, "1").env("PROPTEST_RNG_SEED", "1");
    let output = again.output().expect("it starts again");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("all_tests_of_this_crate_pass_without_vector_instructions ... ok"), "{said}");
}

#[test]
fn exp_is_right_over_the_whole_range() {
    let inputs: Vec<f32> = (-87_000..=88_000).map(|i| i as f32 * 1e-3).collect();
    let ours: Vec<f32> = inputs.iter().map(|&x| exp(x)).collect();
    for (x, ours) in inputs.iter().zip(ours) {
        let exact = f64::from(*x).exp();
        assert!((f64::from(ours) / exact - 1.0).abs() < 2.5e-7, "exp({x}) = {ours}, not {exact}");
    }
    assert_eq!(exp(0.0), 1.0);
    assert_eq!((exp(-88.0), exp(f32::NEG_INFINITY)), (0.0, 0.0));
    assert!(exp(f32::INFINITY).is_finite());
    assert!(exp(f32::NAN).is_nan());
}

#[test]
fn a_dot_product_of_any_length_adds_every_element() {
    for length in 0..100 {
        let (a, b) = (test_inputs::values(length, 1), test_inputs::values(length, 2));
        let exact: f64 = a.iter().zip(&b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
        assert!((f64::from(dot(&a, &b)) - exact).abs() < 1e-5, "length {length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_product_reads_and_writes_through_strides(
        [m, n] in prop::array::uniform2(1_usize..9),
        k in 0_usize..9,
        [gap_out, gap_left] in prop::array::uniform2(0_usize..3),
        add in any::<bool>(),
        seed in 0_u32..1000,
    ) {
        let (left_stride, out_stride) = (k + gap_left, n + gap_out);
        let lhs = test_inputs::values(m * left_stride, seed);
        let rhs = test_inputs::values(n * k, seed + 1); // given transposed
        let before = test_inputs::values(m * out_stride, seed + 2);
        let mut out = before.clone();
        gemm(
            MatrixMut::strided(&mut out, m, n, out_stride),
            if add { Store::Add } else { Store::Replace },
            Matrix::strided(&lhs, m, k, left_stride),
            Matrix::new(&rhs, n, k).transposed(),
            Threads::Pool,
        );
        let expected: Vec<f32> = before
            .iter()
            .enumerate()
            .map(|(place, &old)| {
                let (i, j) = (place / out_stride, place % out_stride);
                if j >= n {
                    return old; // a gap between rows stays as it is
                }
                let sum: f32 = (0..k).map(|l| lhs[i * left_stride + l] * rhs[j * k + l]).sum();
                sum + if add { old } else { 0.0 }
            })
            .collect();
        testkit::assert_close(&out, &expected, 1e-5);
    }

    #[test]
    fn however_it_is_shared_out_a_product_has_the_bits_of_one_chain(
        [m, n] in prop::array::uniform2(1_usize..300),
        k in prop_oneof![1_usize..40, 300_usize..900], // one stretch of the inner dimension, or several
        [left_lies_in_rows, right_lies_in_rows] in prop::array::uniform2(any::<bool>()),
        threads in prop::sample::select(vec![Threads::One, Threads::Pool]),
        seed in 0_u32..1000,
    ) {
        let (lhs, rhs) = (test_inputs::values(m * k, seed), test_inputs::values(k * n, seed + 1));
        let mut expected = vec![f32::NAN; m * n];
        let out = MatrixMut::new(&mut expected, m, n);
        gemm_small(out, Store::Replace, Matrix::new(&lhs, m, k), Matrix::new(&rhs, k, n));
        let turned = |values: &[f32], rows: usize, columns: usize| -> Vec<f32> {
            (0..columns * rows).map(|at| values[at % rows * columns + at / rows]).collect()
        };
        let (turned_lhs, turned_rhs) = (turned(&lhs, m, k), turned(&rhs, k, n));
        let lhs =
            if left_lies_in_rows { Matrix::new(&lhs, m, k) } else { Matrix::new(&turned_lhs, k, m).transposed() };
        let rhs =
            if right_lies_in_rows { Matrix::new(&rhs, k, n) } else { Matrix::new(&turned_rhs, n, k).transposed() };
        prop_assert!(gemm_vec(lhs, rhs, threads) == expected);
    }

    #[test]
    fn a_small_product_is_the_product(
        m in prop_oneof![1_usize..5, 5_usize..70], // few rows have tiles of their own
        n in 1_usize..150,
        k in 1_usize..70,
        [gap_out, gap_left, gap_right] in prop::array::uniform3(0_usize..3),
        [add, transposed] in prop::array::uniform2(any::<bool>()),
        seed in 0_u32..1000,
    ) {
        let stride = if transposed { m } else { k } + gap_left;
        let lhs = test_inputs::values(stride * if transposed { k } else { m }, seed);
        let lhs = if transposed {
            Matrix::strided(&lhs, k, m, stride).transposed()
        } else {
            Matrix::strided(&lhs, m, k, stride)
        };
        let rhs = test_inputs::values(k * (n + gap_right), seed + 1);
        let rhs = Matrix::strided(&rhs, k, n, n + gap_right);
        let mut expected = test_inputs::values(m * (n + gap_out), seed + 2);
        let mut actual = expected.clone();
        let store = if add { Store::Add } else { Store::Replace };
        let out = |values| MatrixMut::strided(values, m, n, n + gap_out);
        gemm_small(out(&mut actual), store, lhs, rhs);
        gemm(out(&mut expected), store, lhs, rhs, Threads::One);
        prop_assert_eq!(actual, expected);
    }
}
