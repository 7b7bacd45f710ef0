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

#[cfg(test)]
mod tests {
    use super::{Angles, rotate_halves, rotate_interleaved};
    use burn::tensor::{Tensor, TensorData};
    use ruminate_testkit as testkit;
    use serde_json::Value;

    fn numbers(list: &Value) -> Vec<f32> {
        list.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number") as f32).collect()
    }

    /// rotary.json's fixture: a field `[T, R]` as a tensor `[1, 1, T, R]`.
    fn field(rotary: &Value, name: &str) -> Tensor<4> {
        let rows: Vec<Vec<f32>> = rotary[name].as_array().expect("a list").iter().map(numbers).collect();
        let shape = [1, 1, rows.len(), rows[0].len()];
        Tensor::from_data(TensorData::new(rows.concat(), shape), &testkit::device())
    }

    fn angles(rotary: &Value) -> Angles {
        let (positions, frequencies) = (numbers(&rotary["positions"]), numbers(&rotary["inv_freq"]));
        let scale = rotary["attention_scaling"].as_f64().expect("a number") as f32;
        let of = |part: fn(f32) -> f32| {
            let values = positions.iter().flat_map(|p| frequencies.iter().map(move |f| part(p * f) * scale));
            let shape = [1, 1, positions.len(), frequencies.len()];
            Tensor::from_data(TensorData::new(values.collect::<Vec<f32>>(), shape), &testkit::device())
        };
        Angles { cos: of(f32::cos), sin: of(f32::sin) }
    }

    #[test]
    fn the_interleaved_rotation_equals_transformers() {
        let rotary: Value = testkit::json("model/rotary.json");
        let angles = angles(&rotary);
        let [q, k] = ["q", "k"].map(|name| rotate_interleaved(field(&rotary, name), &angles));
        testkit::assert_close(
            &testkit::floats(q.clone()),
            &testkit::floats(field(&rotary, "q_halves")),
            1e-5,
        );
        let scores = testkit::floats(q.matmul(k.swap_dims(2, 3)));
        testkit::assert_close(&scores, &testkit::floats(field(&rotary, "scores")), 1e-4);
    }

    #[test]
    fn both_layouts_turn_the_same_pairs() {
        let rotary: Value = testkit::json("model/rotary.json");
        let (q, angles) = (field(&rotary, "q"), angles(&rotary));
        let [batch, heads, tokens, width] = q.dims();
        let halves = q.clone().reshape([batch, heads, tokens, width / 2, 2]).swap_dims(3, 4);
        let halves = rotate_halves(halves.reshape([batch, heads, tokens, width]), &angles);
        assert_eq!(testkit::floats(halves), testkit::floats(rotate_interleaved(q, &angles)));
    }
}
