//! Blocks of ggml's types to f32, operation by operation as ggml's reference code does it (`ggml-quants.c`), so that
//! results are its bits. It refuses to know tensors and files.
//!
//! A legend for what blocks are made of: `d` scale, `m` minimum, `q` an element's integer. Numbers are little-endian.

use crate::tensor::TensorType;
use half::{bf16, f16};

/// Appends the elements of whole blocks. Bytes that do not fill a block are left over, and have no elements.
pub fn dequantize(kind: TensorType, bytes: &[u8], out: &mut Vec<f32>) {
    match kind {
        TensorType::F32 => each(bytes, out, |&block, out| out.push(f32::from_le_bytes(block))),
        TensorType::F16 => each(bytes, out, |&block, out| out.push(f16::from_le_bytes(block).to_f32())),
        TensorType::Bf16 => each(bytes, out, |&block, out| out.push(bf16::from_le_bytes(block).to_f32())),
        TensorType::Q8_0 => each(bytes, out, q8_0),
        TensorType::Q4_0 => each(bytes, out, q4_0),
        TensorType::Q4_1 => each(bytes, out, q4_1),
        TensorType::Q5_0 => each(bytes, out, q5_0),
        TensorType::Q5_1 => each(bytes, out, q5_1),
        TensorType::Q2K => each(bytes, out, q2_k),
        TensorType::Q3K => each(bytes, out, q3_k),
        TensorType::Q4K => each(bytes, out, q4_k),
        TensorType::Q5K => each(bytes, out, q5_k),
        TensorType::Q6K => each(bytes, out, q6_k),
        TensorType::Iq4Nl => each(bytes, out, iq4_nl),
        TensorType::Iq4Xs => each(bytes, out, iq4_xs),
        TensorType::Mxfp4 => each(bytes, out, mxfp4),
    }
}

fn each<const N: usize>(bytes: &[u8], out: &mut Vec<f32>, block: impl Fn(&[u8; N], &mut Vec<f32>)) {
    let (blocks, _) = bytes.as_chunks::<N>();
    for bytes in blocks {
        block(bytes, out);
    }
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// `d, 32 x q`: `d q`.
fn q8_0(block: &[u8; 34], out: &mut Vec<f32>) {
    let d = half_at(block, 0);
    out.extend(block[2..].iter().map(|&q| f32::from(q.cast_signed()) * d));
}

/// `d, 16 bytes`, the lower nibbles first: `d (q - 8)`.
fn q4_0(block: &[u8; 18], out: &mut Vec<f32>) {
    let d = half_at(block, 0);
    let lower = block[2..].iter().map(|q| q & 15);
    let upper = block[2..].iter().map(|q| q >> 4);
    out.extend(lower.chain(upper).map(|q| (f32::from(q) - 8.0) * d));
}

/// `d, m, 16 bytes`, the lower nibbles first: `d q + m`.
fn q4_1(block: &[u8; 20], out: &mut Vec<f32>) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let lower = block[4..].iter().map(|q| q & 15);
    let upper = block[4..].iter().map(|q| q >> 4);
    out.extend(lower.chain(upper).map(|q| f32::from(q) * d + m));
}

/// `d, 4 bytes of fifth bits, 16 bytes`, the lower nibbles first: `d (q - 16)`.
fn q5_0(block: &[u8; 22], out: &mut Vec<f32>) {
    let d = half_at(block, 0);
    out.extend(fives(&block[2..]).map(|q| (f32::from(q) - 16.0) * d));
}

/// `d, m, 4 bytes of fifth bits, 16 bytes`, the lower nibbles first: `d q + m`.
fn q5_1(block: &[u8; 24], out: &mut Vec<f32>) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    out.extend(fives(&block[4..]).map(|q| f32::from(q) * d + m));
}

/// 32 integers of 5 bits: a bit of each, then nibbles.
fn fives(packed: &[u8]) -> impl Iterator<Item = u8> {
    (0..32).map(|i| {
        let nibble = (packed[4 + i % 16] >> (i / 16 * 4)) & 15;
        nibble | ((packed[i / 8] >> (i % 8)) & 1) << 4
    })
}

/// `16 bytes of scales and minima, 64 bytes of pairs, d, m`: 16 groups of 16, `d scale q - m minimum`. The lowest
/// pairs of 32 bytes are the first two groups, the next pairs the following ones.
fn q2_k(block: &[u8; 84], out: &mut Vec<f32>) {
    let (d, m) = (half_at(block, 80), half_at(block, 82));
    for (group, q) in pairs(&block[16..80]) {
        let packed = block[group];
        let (scale, minimum) = (d * f32::from(packed & 15), m * f32::from(packed >> 4));
        out.push(scale * f32::from(q) - minimum);
    }
}

/// `32 bytes of third bits, 64 bytes of pairs, 12 bytes of scales, d`: groups as in Q2_K, `d (scale - 32) q`, where
/// `q` is less by 4 without its third bit.
fn q3_k(block: &[u8; 110], out: &mut Vec<f32>) {
    let d = half_at(block, 108);
    for (place, (group, q)) in pairs(&block[32..96]).enumerate() {
        let scale = q3_k_scale(&block[96..108], group);
        let bit = (block[place % 32] >> (place / 32)) & 1;
        let q = f32::from(q) - if bit == 0 { 4.0 } else { 0.0 };
        out.push(d * (f32::from(scale) - 32.0) * q);
    }
}

/// 256 integers of 2 bits, each with its group of 16.
fn pairs(packed: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    (0..256).map(|place| {
        let (half, shift, i) = (place / 128, place % 128 / 32 * 2, place % 32);
        (place / 16, (packed[32 * half + i] >> shift) & 3)
    })
}

/// The scale of a group, 6 bits: the lower 4 in the nibbles of 8 bytes, the upper 2 in the pairs of 4.
fn q3_k_scale(packed: &[u8], group: usize) -> u8 {
    let lower = (packed[group % 8] >> (group / 8 * 4)) & 15;
    let upper = (packed[8 + group % 4] >> (group / 4 * 2)) & 3;
    lower | upper << 4
}

/// `d, m, 12 bytes of scales and minima, 32 bytes of fifth bits, 128 bytes`: Q4_K with a bit more of each element,
/// that of group g in bit g.
fn q5_k(block: &[u8; 176], out: &mut Vec<f32>) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    for group in 0..8 {
        let (scale, minimum) = q4_k_scale(&block[4..16], group);
        let (scale, minimum) = (d * f32::from(scale), m * f32::from(minimum));
        let (nibbles, shift) = (&block[48 + group / 2 * 32..][..32], group % 2 * 4);
        out.extend(nibbles.iter().zip(&block[16..48]).map(|(nibbles, bits)| {
            let q = (nibbles >> shift) & 15 | ((bits >> group) & 1) << 4;
            scale * f32::from(q) - minimum
        }));
    }
}

/// `d, m, 12 bytes of scales and minima, 128 bytes`: 8 groups of 32, `d scale q - m minimum`. The lower nibbles of 32
/// bytes are one group, the upper ones the next.
fn q4_k(block: &[u8; 144], out: &mut Vec<f32>) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    for (pair, bytes) in block[16..].chunks_exact(32).enumerate() {
        for (group, shift) in [(2 * pair, 0), (2 * pair + 1, 4)] {
            let (scale, minimum) = q4_k_scale(&block[4..16], group);
            let (scale, minimum) = (d * f32::from(scale), m * f32::from(minimum));
            out.extend(bytes.iter().map(|q| scale * f32::from((q >> shift) & 15) - minimum));
        }
    }
}

/// Scale and minimum of a group, 6 bits each: whole in the lower bits of bytes 0-3 and 4-7 for the first four groups;
/// for the others the lower 4 bits in bytes 8-11 and the upper 2 in the upper bits of bytes 0-7.
fn q4_k_scale(packed: &[u8], group: usize) -> (u8, u8) {
    if group < 4 {
        return (packed[group] & 63, packed[group + 4] & 63);
    }
    let scale = (packed[group + 4] & 15) | (packed[group - 4] >> 6 << 4);
    let minimum = (packed[group + 4] >> 4) | (packed[group] >> 6 << 4);
    (scale, minimum)
}

/// `128 bytes of lower nibbles, 64 bytes of upper pairs, 16 scales, d`: two halves of 4 x 32 elements. Group by group,
/// 32 elements have their lower bits in the nibbles of 64 bytes and their upper bits in the pairs of 32 bytes;
/// `d scale (q - 32)` with a scale for every 16.
fn q6_k(block: &[u8; 210], out: &mut Vec<f32>) {
    let d = half_at(block, 208);
    for half in 0..2 {
        let (lower, upper) = (&block[64 * half..][..64], &block[128 + 32 * half..][..32]);
        let scales = &block[192 + 8 * half..][..8];
        for group in 0..4 {
            let nibbles = &lower[32 * (group % 2)..][..32];
            let shift = if group < 2 { 0 } else { 4 };
            for (i, (nibble, pairs)) in nibbles.iter().zip(upper).enumerate() {
                let q = (nibble >> shift) & 15 | ((pairs >> (2 * group)) & 3) << 4;
                let scale = d * f32::from(scales[2 * group + i / 16].cast_signed());
                out.push(scale * (f32::from(q) - 32.0));
            }
        }
    }
}

/// What the 4 bits of IQ4_NL and IQ4_XS stand for (`kvalues_iq4nl`): finer around 0.
const NON_LINEAR: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0,
];

/// What the 4 bits of MXFP4 stand for (`kvalues_mxfp4`): E2M1, doubled.
const E2M1: [f32; 16] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0];

/// 32 elements of 4 bits that stand in a table, the lower nibbles first.
fn from_table<'a>(nibbles: &'a [u8], table: &'a [f32; 16], d: f32) -> impl Iterator<Item = f32> + 'a {
    let lower = nibbles.iter().map(|q| q & 15);
    let upper = nibbles.iter().map(|q| q >> 4);
    lower.chain(upper).map(move |q| d * table[usize::from(q)])
}

/// `d, 16 bytes`: `d table[q]`.
fn iq4_nl(block: &[u8; 18], out: &mut Vec<f32>) {
    out.extend(from_table(&block[2..], &NON_LINEAR, half_at(block, 0)));
}

/// `d, 2 bytes of upper pairs and 4 of lower nibbles of scales, 128 bytes`: 8 groups of 32, `d (scale - 32) table[q]`.
fn iq4_xs(block: &[u8; 136], out: &mut Vec<f32>) {
    let (d, pairs) = (half_at(block, 0), u16::from_le_bytes([block[2], block[3]]));
    for (group, nibbles) in block[8..].chunks_exact(16).enumerate() {
        let lower = (block[4 + group / 2] >> (group % 2 * 4)) & 15;
        let scale = f32::from(u16::from(lower) | (pairs >> (2 * group) & 3) << 4) - 32.0;
        out.extend(from_table(nibbles, &NON_LINEAR, d * scale));
    }
}

/// `e, 16 bytes`: `2^(e - 128) table[q]`, since the table is doubled.
fn mxfp4(block: &[u8; 17], out: &mut Vec<f32>) {
    // The two least exponents are subnormal numbers of f32.
    let bits = match u32::from(block[0]) {
        least @ (0 | 1) => 0x0020_0000 << least,
        exponent => (exponent - 1) << 23,
    };
    out.extend(from_table(&block[1..], &E2M1, f32::from_bits(bits)));
}
