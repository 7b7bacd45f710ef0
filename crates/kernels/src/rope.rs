//! Rotary position embedding (Su et al. 2021) in the two layouts that checkpoints use. The angles come from
//! the caller, who knows the positions and the scaling rule.

use burn::tensor::Tensor;

/// Cosines and sines of the rotation angles, one row a token, one column a frequency.
#[derive(Clone, Debug)]
pub struct Angles {
    /// `[B, 1, T, R / 2]`
    pub cos: Tensor<4>,
    /// `[B, 1, T, R / 2]`
    pub sin: Tensor<4>,
}

/// Rotates the pairs `(x[2i], x[2i + 1])`, DeepSeek's layout, and returns them **de-interleaved**: all first
/// members, then all second members.
///
/// Queries and keys go through the same permutation, so their products are those of the interleaved form;
/// transformers does the same.
///
/// # Shapes
/// - `x`: `[B, H, T, R]`, result: `[B, H, T, R]`
pub fn rotate_interleaved(x: Tensor<4>, angles: &Angles) -> Tensor<4> {
    let [batch, heads, tokens, width] = x.dims();
    let pairs = x.reshape([batch, heads, tokens, width / 2, 2]);
    let first = pairs.clone().narrow(4, 0, 1).reshape([batch, heads, tokens, width / 2]);
    let second = pairs.narrow(4, 1, 1).reshape([batch, heads, tokens, width / 2]);
    rotate(first, second, angles)
}

/// Rotates the pairs `(x[i], x[i + R / 2])`, the layout of Llama and Qwen.
///
/// # Shapes
/// - `x`: `[B, H, T, R]`, result: `[B, H, T, R]`
pub fn rotate_halves(x: Tensor<4>, angles: &Angles) -> Tensor<4> {
    let width = x.dims()[3];
    let first = x.clone().narrow(3, 0, width / 2);
    let second = x.narrow(3, width / 2, width / 2);
    rotate(first, second, angles)
}

fn rotate(first: Tensor<4>, second: Tensor<4>, angles: &Angles) -> Tensor<4> {
    let Angles { cos, sin } = angles.clone();
    let turned_first = first.clone() * cos.clone() - second.clone() * sin.clone();
    let turned_second = second * cos + first * sin;
    Tensor::cat(vec![turned_first, turned_second], 3)
}
