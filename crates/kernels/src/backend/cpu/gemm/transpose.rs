//! Rows into columns: what products pack where an operand lies the other way round.
#![allow(
    unsafe_code,
    reason = "shuffles that the portable layer does not know; this file checks that all elements lie inside slices"
)]

/// Side of a block that is transposed in registers.
const SIDE: usize = 16;

/// Writes column `j` of the matrix with these rows to `out[j * line..]`.
///
/// # Panics
/// When rows are not equally long, or `out` is too short.
pub(super) fn transpose(out: &mut [f32], line: usize, rows: &[&[f32]]) {
    let columns = rows.first().map_or(0, |row| row.len());
    assert!(rows.iter().all(|row| row.len() == columns), "rows are equally long");
    assert!(rows.len() <= line && columns * line <= out.len() + line - rows.len(), "a line for each column");
    #[cfg(target_arch = "x86_64")]
    if crate::backend::cpu::arch::has!("avx512f") {
        // SAFETY: the machine has the instructions.
        return unsafe { x86::transpose(out, line, rows) };
    }
    strips(out, line, rows, 0);
}

/// Element by element, from column `first` on; in blocks, so that what is written stays in the first-level cache.
fn strips(out: &mut [f32], line: usize, rows: &[&[f32]], first: usize) {
    let columns = rows.first().map_or(0, |row| row.len());
    for start in (first..columns).step_by(SIDE) {
        for (index, row) in rows.iter().enumerate() {
            let values = row[start..].iter().take(SIDE);
            for (place, value) in out[start * line + index..].iter_mut().step_by(line).zip(values) {
                *place = *value;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! Blocks of 16 x 16 in 32 registers.

    use super::{SIDE, strips};
    use std::arch::x86_64::{
        __m512, _mm512_castpd_ps, _mm512_castps_pd, _mm512_setzero_ps, _mm512_shuffle_f32x4,
        _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
    };

    /// As [`transpose`](super::transpose), whose assertion holds.
    #[target_feature(enable = "avx512f")]
    pub(super) fn transpose(out: &mut [f32], line: usize, rows: &[&[f32]]) {
        let (blocks, rest) = rows.as_chunks::<SIDE>();
        for (index, rows) in blocks.iter().enumerate() {
            let columns = rows[0].len();
            let whole = columns - columns % SIDE;
            for column in (0..whole).step_by(SIDE) {
                // Plain loops: `map` would be compiled by itself, without the instructions.
                let mut block = [_mm512_setzero_ps(); SIDE];
                for (vector, row) in block.iter_mut().zip(rows) {
                    *vector = pulp::cast(row.as_chunks::<SIDE>().0[column / SIDE]);
                }
                for (j, vector) in transposed(&block).into_iter().enumerate() {
                    let place = &mut out[(column + j) * line + index * SIDE..];
                    let place = place.first_chunk_mut().expect("a line is as long as there are rows");
                    *place = pulp::cast::<__m512, [f32; SIDE]>(vector);
                }
            }
            strips(&mut out[index * SIDE..], line, rows, whole);
        }
        if !rest.is_empty() {
            strips(&mut out[blocks.len() * SIDE..], line, rest, 0);
        }
    }

    /// Pairs of rows, then fours of them, are interleaved within quarters of vectors; quarters then find their places.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn transposed(rows: &[__m512; SIDE]) -> [__m512; SIDE] {
        let mut fours = *rows;
        for i in (0..SIDE).step_by(4) {
            let (low, high) =
                (_mm512_unpacklo_ps(rows[i], rows[i + 1]), _mm512_unpackhi_ps(rows[i], rows[i + 1]));
            let (low2, high2) =
                (_mm512_unpacklo_ps(rows[i + 2], rows[i + 3]), _mm512_unpackhi_ps(rows[i + 2], rows[i + 3]));
            let (low, high) = (_mm512_castps_pd(low), _mm512_castps_pd(high));
            let (low2, high2) = (_mm512_castps_pd(low2), _mm512_castps_pd(high2));
            // Vector i + j: in quarter q, column 4 q + j of rows i to i + 3.
            fours[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, low2));
            fours[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, low2));
            fours[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high, high2));
            fours[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high, high2));
        }
        let mut columns = fours;
        for j in 0..4 {
            let [a, b, c, d] = [fours[j], fours[4 + j], fours[8 + j], fours[12 + j]];
            // Quarters 0 and 2 of both, then 1 and 3.
            let (even, odd) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
            let (even2, odd2) = (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xdd>(c, d));
            columns[j] = _mm512_shuffle_f32x4::<0x88>(even, even2);
            columns[4 + j] = _mm512_shuffle_f32x4::<0x88>(odd, odd2);
            columns[8 + j] = _mm512_shuffle_f32x4::<0xdd>(even, even2);
            columns[12 + j] = _mm512_shuffle_f32x4::<0xdd>(odd, odd2);
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::{strips, transpose};
    use crate::test_inputs;
    use proptest::prelude::*;

    #[test]
    fn under_miri_too_a_transpose_has_columns_for_rows() {
        for (rows, columns, gap, line) in [(1, 1, 0, 1), (16, 16, 0, 16), (17, 33, 2, 20), (3, 18, 1, 3)] {
            let stride = columns + gap;
            let values: Vec<f32> = (0..rows * stride).map(|at| at as f32).collect();
            let lines: Vec<&[f32]> = values.chunks_exact(stride).map(|row| &row[..columns]).collect();
            // The last column needs no more of its line than there are rows.
            let mut out = vec![-1.0; columns * line - (line - rows)];
            transpose(&mut out, line, &lines);
            for (at, &value) in out.iter().enumerate() {
                let (column, row) = (at / line, at % line);
                let expected = if row < rows { values[row * stride + column] } else { -1.0 };
                assert_eq!(value, expected, "({row}, {column}) of {rows} x {columns}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_transpose_has_columns_for_rows(
            [rows, columns] in prop::array::uniform2(1_usize..50),
            [gap, padding] in prop::array::uniform2(0_usize..4),
        ) {
            let (stride, line) = (columns + gap, rows + padding);
            let values = test_inputs::values(rows * stride, 3);
            let lines: Vec<&[f32]> = values.chunks_exact(stride).map(|row| &row[..columns]).collect();
            let mut expected = vec![7.0; columns * line];
            for row in 0..rows {
                for column in 0..columns {
                    expected[column * line + row] = values[row * stride + column];
                }
            }
            let (mut ours, mut portable) = (vec![7.0; columns * line], vec![7.0; columns * line]);
            transpose(&mut ours, line, &lines);
            strips(&mut portable, line, &lines, 0);
            prop_assert_eq!(&ours, &expected);
            prop_assert_eq!(&portable, &expected);
        }
    }
}
