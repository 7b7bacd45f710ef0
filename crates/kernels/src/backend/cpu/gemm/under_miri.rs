//! The index arithmetic of products, packing and transposes at the borders of tiles, panels and parts, on few
//! numbers, so that Miri gets through (`cargo xtask sanitize miri`). Miri takes the portable form, and thresholds are
//! lower for it: parts are shared between threads, and an inner dimension has several stretches. Sums are of small
//! integers, which every order of additions and every format holds exactly.

use super::{Matrix, MatrixMut, Packed, Store, Threads};
use super::{gemm, gemm_nt, gemm_nt_vec, gemm_small, gemm_vec};
use crate::backend::cpu::arch;
use crate::prepared::Precision;

/// Integers from -3 to 3.
fn values(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 31 + seed * 17) * (i + 5) % 7) as f32 - 3.0).collect()
}

/// `lhs rhs` of row-major operands, one element after the other.
fn plain(lhs: &[f32], rhs: &[f32], [m, n, k]: [usize; 3]) -> Vec<f32> {
    let sum = |i: usize, j: usize| (0..k).map(|l| lhs[i * k + l] * rhs[l * n + j]).sum();
    (0..m * n).map(|at| sum(at / n, at % n)).collect()
}

fn turned(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns * rows).map(|at| values[at % rows * columns + at / rows]).collect()
}

/// Rows on both sides of a tile, columns on both sides of vectors and panels; then enough for several parts.
const SHAPES: [[usize; 3]; 8] =
    [[1, 1, 1], [3, 17, 2], [8, 48, 2], [9, 49, 2], [7, 15, 9], [2, 97, 0], [67, 2, 7], [2, 130, 7]];

#[test]
fn portable_loops_are_what_miri_interprets() {
    if cfg!(miri) {
        assert!(matches!(arch(), pulp::Arch::Scalar), "{:?}", arch());
    }
}

#[test]
fn products_of_operands_that_lie_either_way() {
    for shape @ [m, n, k] in SHAPES {
        let (lhs, rhs) = (values(m * k, 1), values(k * n, 2));
        let expected = plain(&lhs, &rhs, shape);
        let (turned_lhs, turned_rhs) = (turned(&lhs, m, k), turned(&rhs, k, n));
        for lhs in [Matrix::new(&lhs, m, k), Matrix::new(&turned_lhs, k, m).transposed()] {
            for rhs in [Matrix::new(&rhs, k, n), Matrix::new(&turned_rhs, n, k).transposed()] {
                for threads in [Threads::One, Threads::Pool] {
                    assert_eq!(gemm_vec(lhs, rhs, threads), expected, "{shape:?} {threads:?}");
                }
            }
        }
    }
}

#[test]
fn products_between_gaps_leave_the_gaps() {
    for shape @ [m, n, k] in SHAPES {
        let (lhs, rhs) = (values(m * k, 3), values(k * n, 4));
        let expected = plain(&lhs, &rhs, shape);
        let lhs = Matrix::new(&lhs, m, k);
        let rhs = Matrix::new(&rhs, k, n);
        for store in [Store::Replace, Store::Add] {
            let mut outs = [vec![0.5; m * (n + 2) - 2], vec![0.5; m * (n + 2) - 2]];
            let [small, large] = &mut outs;
            gemm_small(MatrixMut::strided(small, m, n, n + 2), store, lhs, rhs);
            gemm(MatrixMut::strided(large, m, n, n + 2), store, lhs, rhs, Threads::Pool);
            let added = if store == Store::Add { 0.5 } else { 0.0 };
            for out in outs {
                for (row, expected) in out.chunks(n + 2).zip(expected.chunks_exact(n)) {
                    let expected: Vec<f32> = expected.iter().map(|sum| sum + added).collect();
                    assert_eq!(row[..n], expected, "{shape:?} {store:?}");
                    assert!(row[n..].iter().all(|&gap| gap == 0.5), "{shape:?} {store:?}");
                }
            }
        }
    }
}

#[test]
fn products_with_a_transposed_weight_for_few_rows_and_many() {
    for shape @ [m, n, k] in SHAPES.into_iter().chain([[49, 3, 2]]) {
        let (x, rhs) = (values(m * k, 5), values(k * n, 6));
        let (expected, weight) = (plain(&x, &rhs, shape), turned(&rhs, k, n));
        let mut out = vec![f32::NAN; m * n];
        gemm_nt(&mut out, &x, &weight, [m, k, n], Threads::Pool);
        assert_eq!(out, expected, "{shape:?}");
        assert_eq!(gemm_nt_vec(&x, &weight, [m, k, n], Threads::One), expected, "{shape:?}");
    }
}

#[test]
fn products_with_packed_weights() {
    for shape @ [m, n, k] in SHAPES {
        let (x, rhs) = (values(m * k, 7), values(k * n, 8));
        let (expected, weight) = (plain(&x, &rhs, shape), turned(&rhs, k, n));
        let rows: Vec<&[f32]> = (0..n).map(|output| &weight[output * k..][..k]).collect();
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let packed = Packed::new(&rows, precision);
            let mut out = vec![f32::NAN; m * n];
            packed.times(&mut out, &x, m, Threads::Pool);
            // The scales of int8 are thirds of integers over 127.
            let close = |(out, expected): (&f32, &f32)| (out - expected).abs() < 0.2;
            assert!(out.iter().zip(&expected).all(close), "{shape:?} {precision:?}: {out:?}");
            assert_eq!(packed.times_of(&x, m, Threads::One), out, "{shape:?} {precision:?}");
        }
    }
}
