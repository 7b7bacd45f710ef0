//! Products in the dtype that is asked for, of operands in whichever they are.

use super::matrix::{Matrix, MatrixMut, Store, Threads};
use super::{Operand, gemm, gemm_bf16, gemm_bf16_vec, gemm_vec};
use crate::compute_dtype::ComputeDtype;

/// `out = lhs rhs`, or `out += lhs rhs`.
///
/// # Panics
/// When the shapes do not fit, or neither rows nor columns of an operand are contiguous.
pub(crate) fn product<'a>(
    dtype: ComputeDtype,
    out: MatrixMut<'_>,
    store: Store,
    lhs: impl Into<Operand<'a>>,
    rhs: impl Into<Operand<'a>>,
    threads: Threads,
) {
    match dtype {
        ComputeDtype::Bf16 => gemm_bf16(out, store, lhs, rhs, threads),
        ComputeDtype::F32 => {
            with_f32(lhs.into(), |lhs| with_f32(rhs.into(), |rhs| gemm(out, store, lhs, rhs, threads)));
        }
    }
}

/// `lhs rhs`, row-major.
///
/// # Panics
/// As [`product`].
pub(crate) fn product_vec<'a>(
    dtype: ComputeDtype,
    lhs: impl Into<Operand<'a>>,
    rhs: impl Into<Operand<'a>>,
    threads: Threads,
) -> Vec<f32> {
    match dtype {
        ComputeDtype::Bf16 => gemm_bf16_vec(lhs, rhs, threads),
        ComputeDtype::F32 => {
            with_f32(lhs.into(), |lhs| with_f32(rhs.into(), |rhs| gemm_vec(lhs, rhs, threads)))
        }
    }
}

/// Calls `then` with the operand in f32, which is made where it is not.
pub(crate) fn with_f32<R>(operand: Operand<'_>, then: impl FnOnce(Matrix<'_>) -> R) -> R {
    let matrix = match operand {
        Operand::F32(matrix) => return then(matrix),
        Operand::Bf16(matrix) => matrix,
    };
    let turned = matrix.column_stride != 1;
    let lines = if turned { matrix.transposed() } else { matrix };
    let values: Vec<f32> =
        (0..lines.rows).flat_map(|row| lines.row(row)).map(|value| value.to_f32()).collect();
    let matrix = Matrix::new(&values, lines.rows, lines.columns);
    then(if turned { matrix.transposed() } else { matrix })
}

#[cfg(test)]
mod tests {
    use super::product_vec;
    use crate::ComputeDtype;
    use crate::backend::cpu::{Matrix, Operand, Threads};
    use half::bf16;

    #[test]
    fn in_f32_an_operand_of_bfloat16_is_widened_however_it_lies() {
        let rounded = [1.5, -2.0, 0.25, 3.0, 0.0, 7.0].map(bf16::from_f32);
        let turned = [1.5, 3.0, -2.0, 0.0, 0.25, 7.0].map(bf16::from_f32);
        let lefts: [Operand<'_>; 2] =
            [Matrix::new(&rounded, 2, 3).into(), Matrix::new(&turned, 3, 2).transposed().into()];
        // Numbers that bfloat16 would round.
        let right = [1.0 + 1.0 / 4096.0, 2.0, -1.0 / 3.0];
        let expected = [1.5 * right[0] - 2.0 * right[1] + 0.25 * right[2], 3.0 * right[0] + 7.0 * right[2]];
        for left in lefts {
            let right = Matrix::new(&right, 3, 1);
            let out = product_vec(ComputeDtype::F32, left, right, Threads::One);
            assert!(out.iter().zip(expected).all(|(out, expected)| (out - expected).abs() < 1e-6), "{out:?}");
        }
    }
}
