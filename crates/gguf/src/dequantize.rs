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
        TensorType::Q4K => each(bytes, out, q4_k),
        TensorType::Q6K => each(bytes, out, q6_k),
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
