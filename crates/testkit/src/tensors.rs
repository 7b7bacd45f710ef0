//! Fixtures of named tensors: reference numbers in safetensors files.

use crate::fixture::read;
use burn::tensor::{Device, Int, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;

/// The named tensors of a safetensors fixture, f32 and i64.
#[derive(Clone, Debug)]
pub struct Tensors {
    file: String,
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    shape: Vec<usize>,
    values: Values,
}

#[derive(Clone, Debug)]
enum Values {
    Float(Vec<f32>),
    Int(Vec<i64>),
}

impl Tensors {
    /// The safetensors file `relative` of `fixtures/`.
    ///
    /// # Panics
    /// When the file is absent, broken, or holds a dtype other than f32 and i64.
    #[track_caller]
    pub fn load(relative: &str) -> Self {
        let bytes = read(relative);
        let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|why| panic!("fixture {relative}: {why}"));
        let entries = file.iter().map(|(name, view)| {
            let values = match view.dtype() {
                Dtype::F32 => Values::Float(words(view.data()).map(f32::from_le_bytes).collect()),
                Dtype::I64 => Values::Int(words(view.data()).map(i64::from_le_bytes).collect()),
                other => panic!("fixture {relative}: {name} is {other:?}, expected F32 or I64"),
            };
            (name.to_owned(), Entry { shape: view.shape().to_vec(), values })
        });
        Self { entries: entries.collect(), file: relative.to_owned() }
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Whether the file holds `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The shape of `name`, outermost dimension first.
    #[track_caller]
    pub fn shape(&self, name: &str) -> &[usize] {
        &self.entry(name).shape
    }

    /// The elements of the f32 tensor `name`, row-major.
    #[track_caller]
    pub fn floats(&self, name: &str) -> &[f32] {
        match &self.entry(name).values {
            Values::Float(values) => values,
            Values::Int(_) => panic!("fixture {}: {name} is I64, expected F32", self.file),
        }
    }

    /// The elements of the i64 tensor `name`, row-major.
    #[track_caller]
    pub fn ints(&self, name: &str) -> &[i64] {
        match &self.entry(name).values {
            Values::Int(values) => values,
            Values::Float(_) => panic!("fixture {}: {name} is F32, expected I64", self.file),
        }
    }

    /// The f32 tensor `name` on `device`.
    ///
    /// # Panics
    /// When it has another rank than `D`, another dtype, or is absent.
    #[track_caller]
    pub fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let data = TensorData::new(self.floats(name).to_vec(), self.shape_of_rank::<D>(name));
        Tensor::from_data(data, device)
    }

    /// The i64 tensor `name` on `device`, in the device's integer dtype.
    ///
    /// # Panics
    /// As [`Tensors::tensor`].
    #[track_caller]
    pub fn int_tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D, Int> {
        let data = TensorData::new(self.ints(name).to_vec(), self.shape_of_rank::<D>(name));
        Tensor::from_data(data, device)
    }

    #[track_caller]
    fn shape_of_rank<const D: usize>(&self, name: &str) -> [usize; D] {
        let shape = self.shape(name);
        shape.try_into().unwrap_or_else(|_| {
            panic!("fixture {}: {name} has shape {shape:?}, expected {D} dimensions", self.file)
        })
    }

    #[track_caller]
    fn entry(&self, name: &str) -> &Entry {
        self.entries.get(name).unwrap_or_else(|| {
            let names: Vec<&str> = self.names().collect();
            panic!("fixture {}: no tensor {name}, it has {}", self.file, names.join(", "))
        })
    }
}

/// `bytes` in pieces of `N`; safetensors has checked that the length is a multiple.
fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks().0.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: &str = "model/deepseek_v3_plain/expected.safetensors";

    #[test]
    fn tensors_keep_names_shapes_and_values() {
        let tensors = Tensors::load(EXPECTED);

        assert_eq!(tensors.shape("input_ids"), [2, 24]);
        assert_eq!(tensors.shape("logprobs"), [2, 24, 40]);
        assert!(tensors.contains("router_experts_1") && !tensors.contains("router_experts_0"));
        assert!(tensors.ints("input_ids").iter().all(|id| (0..40).contains(id)));
        for row in tensors.floats("logprobs").chunks(40) {
            let sum: f32 = row.iter().map(|p| p.exp()).sum();
            assert!((sum - 1.0).abs() < 1e-5, "probabilities sum to {sum}");
        }
    }

    #[test]
    fn tensors_reach_the_device_unchanged() {
        let (tensors, device) = (Tensors::load(EXPECTED), crate::device());

        let logprobs = tensors.tensor::<3>("logprobs", &device);
        let ids = tensors.int_tensor::<2>("input_ids", &device);

        assert_eq!(crate::floats(logprobs), tensors.floats("logprobs"));
        assert_eq!(ids.into_data().iter::<i64>().collect::<Vec<_>>(), tensors.ints("input_ids"));
    }

    #[test]
    #[should_panic(expected = "no tensor logits, it has attn_0, ")]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        Tensors::load(EXPECTED).floats("logits");
    }

    #[test]
    #[should_panic(expected = "input_ids is I64, expected F32")]
    fn ints_are_not_floats() {
        Tensors::load(EXPECTED).floats("input_ids");
    }

    #[test]
    #[should_panic(expected = "logprobs has shape [2, 24, 40], expected 2 dimensions")]
    fn the_rank_is_checked() {
        Tensors::load(EXPECTED).tensor::<2>("logprobs", &crate::device());
    }

    #[test]
    #[should_panic(expected = "fixtures/model/absent.safetensors")]
    fn an_absent_file_is_named() {
        Tensors::load("model/absent.safetensors");
    }
}
