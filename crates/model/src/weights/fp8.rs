//! FP8 weights as DeepSeek publishes them: E4M3 numbers, and beside each matrix the factors of its blocks
//! (`weight_scale_inv`; DeepSeek-V3, arXiv 2412.19437, section 3.3). It knows no file.

/// What the name of a tensor's factors adds to the tensor's own.
pub(super) const SCALE_SUFFIX: &str = "_scale_inv";

/// The values of all 256 codes: OCP's E4M3 (one sign, four exponent bits with bias 7, three mantissa bits), which has
/// NaN and no infinities.
pub(super) const E4M3: [f32; 256] = {
    let mut values = [0.0; 256];
    let mut code = 0;
    while code < 256 {
        values[code] = value(code as u8);
        code += 1;
    }
    values
};

const fn value(code: u8) -> f32 {
    let (exponent, mantissa) = ((code >> 3) & 15, (code & 7) as f32);
    let magnitude = match (exponent, code & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa / 512.0, // subnormal: 2^-6 * mantissa / 8
        _ => (1.0 + mantissa / 8.0) * f32::from_bits((exponent as u32 + 127 - 7) << 23),
    };
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

/// The shape of the factors of a tensor `[.., R, C]`: `[.., ceil(R / block), ceil(C / block)]`. None for a vector.
pub(super) fn scale_shape(shape: &[usize], block: [usize; 2]) -> Option<Vec<usize>> {
    let (leading, last) = shape.split_last_chunk::<2>()?;
    let blocks = [last[0].div_ceil(block[0]), last[1].div_ceil(block[1])];
    Some([leading, &blocks].concat())
}

/// Multiplies each block of matrices that lie one after the other by its factor.
///
/// # Shapes
/// - `values`: `[.., R, C]`, whose last two are `matrix`; `scales`: [`scale_shape`] of it
pub(super) fn scale_blocks(values: &mut [f32], matrix: [usize; 2], scales: &[f32], block: [usize; 2]) {
    let [rows, columns] = matrix;
    let per_row = columns.div_ceil(block[1]);
    let per_matrix = rows.div_ceil(block[0]) * per_row;
    for (row, values) in values.chunks_mut(columns.max(1)).enumerate() {
        let first = row / rows * per_matrix + row % rows / block[0] * per_row;
        for (values, scale) in values.chunks_mut(block[1]).zip(&scales[first..]) {
            for value in values {
                *value *= scale;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{E4M3, scale_blocks, scale_shape};

    #[test]
    fn codes_have_the_values_of_the_standard() {
        // Table 1 of OCP's FP8 specification (arXiv 2209.05433): the ends of the two ranges.
        for (code, value) in [
            (0x00, 0.0),
            (0x01, 1.0 / 512.0),
            (0x07, 7.0 / 512.0),
            (0x08, 1.0 / 64.0),
            (0x38, 1.0),
            (0x7e, 448.0),
        ] {
            assert_eq!(E4M3[code], value, "{code:#x}");
            assert_eq!(E4M3[code | 0x80], -value, "{:#x}", code | 0x80);
        }
        assert!(E4M3[0x80].is_sign_negative());
        let nan = |code: &usize| E4M3[*code].is_nan();
        assert_eq!((0..256).filter(nan).collect::<Vec<_>>(), [0x7f, 0xff]);
        assert!((0x01..0x7e).all(|code| E4M3[code] < E4M3[code + 1]), "magnitudes ascend with their codes");
    }

    #[test]
    fn codes_and_blocks_are_those_of_torch() {
        let golden: serde_json::Value = ruminate_testkit::json("model/e4m3.json");
        let floats = |rows: &serde_json::Value| -> Vec<f32> {
            let rows = rows.as_array().expect("rows").iter();
            rows.flat_map(|row| row.as_array().expect("a row"))
                .map(|x| x.as_f64().expect("a number") as f32)
                .collect()
        };
        for (code, value) in golden["values"].as_array().expect("a list").iter().enumerate() {
            match value.as_f64() {
                Some(value) => assert_eq!(f64::from(E4M3[code]), value, "{code:#x}"),
                None => assert!(E4M3[code].is_nan(), "{code:#x}"),
            }
        }
        let block = [golden["block"].as_u64().expect("a size") as usize; 2];
        let mut values: Vec<f32> =
            floats(&golden["codes"]).into_iter().map(|code| E4M3[code as usize]).collect();
        scale_blocks(&mut values, [11, 13], &floats(&golden["scales"]), block);
        assert_eq!(values, floats(&golden["matrix"]));
    }

    #[test]
    fn blocks_at_the_edges_are_smaller() {
        assert_eq!(scale_shape(&[3, 5], [2, 2]), Some(vec![2, 3]));
        assert_eq!(scale_shape(&[7, 3, 5], [2, 2]), Some(vec![7, 2, 3]));
        assert_eq!(scale_shape(&[5], [2, 2]), None);
        let mut values = [1.0; 2 * 3 * 5];
        let scales: Vec<f32> = (1..=12_u8).map(f32::from).collect();
        scale_blocks(&mut values, [3, 5], &scales, [2, 2]);
        let expected: [[f32; 5]; 6] = [
            [1.0, 1.0, 2.0, 2.0, 3.0],
            [1.0, 1.0, 2.0, 2.0, 3.0],
            [4.0, 4.0, 5.0, 5.0, 6.0],
            [7.0, 7.0, 8.0, 8.0, 9.0],
            [7.0, 7.0, 8.0, 8.0, 9.0],
            [10.0, 10.0, 11.0, 11.0, 12.0],
        ];
        assert_eq!(values, *expected.as_flattened());
    }
}
