//! The optimizer's state as a safetensors file and back, bit by bit. Names are the parameters' with a suffix, so
//! that any tool can read what lies in it.

use crate::adamw::Moments;
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::View;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

// As in the state of `torch.optim.AdamW`.
const FIRST: &str = "exp_avg";
const SECOND: &str = "exp_avg_sq";
const UPDATES: &str = "step";

/// A tensor of the file; its bytes are made when they are written, and dropped then.
enum Part<'a> {
    Floats(&'a Tensor<1>, [usize; 1]),
    Updates(u64),
}

impl View for Part<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Self::Floats(..) => Dtype::F32,
            Self::Updates(_) => Dtype::U64,
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Self::Floats(_, shape) => shape,
            Self::Updates(_) => &[1],
        }
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Floats(tensor, _) => {
                let values = (*tensor).clone().try_into_vec_as::<f32>().expect("moments are floats");
                values.iter().flat_map(|value| value.to_le_bytes()).collect()
            }
            Self::Updates(updates) => updates.to_le_bytes().to_vec().into(),
        }
    }

    fn data_len(&self) -> usize {
        self.shape()[0] * self.dtype().bitsize() / 8
    }
}

/// `<parameter>.exp_avg` and `.exp_avg_sq` (f32, `[n]`), `<parameter>.step` (u64, `[1]`), a tensor at a time: the moments
/// are twice as large as the model.
pub(crate) fn write(moments: &BTreeMap<String, Moments>, path: &Path) -> io::Result<()> {
    let parts = moments.iter().flat_map(|(name, Moments { first, second, updates })| {
        let floats = |suffix, tensor| (format!("{name}.{suffix}"), Part::Floats(tensor, tensor.dims()));
        let updates = (format!("{name}.{UPDATES}"), Part::Updates(*updates));
        [floats(FIRST, first), floats(SECOND, second), updates]
    });
    safetensors::serialize_to_file(parts, None, path).map_err(|error| match error {
        SafeTensorError::IoError(error) => error,
        other => io::Error::other(other),
    })
}

/// The reverse, onto `device`. `sizes` holds the number of elements of every parameter; state of any other shape
/// or name is refused with the reason in words.
pub(crate) fn from_bytes(
    bytes: &[u8],
    sizes: &BTreeMap<String, usize>,
    device: &Device,
) -> Result<BTreeMap<String, Moments>, String> {
    let file =
        SafeTensors::deserialize(bytes).map_err(|error| format!("not a valid safetensors file: {error}"))?;
    let mut moments = BTreeMap::new();
    for full in file.names() {
        let (name, suffix) = full.rsplit_once('.').unwrap_or((full, ""));
        if ![FIRST, SECOND, UPDATES].contains(&suffix) || !sizes.contains_key(name) {
            return Err(format!("tensor {full} is no state of a parameter of the model beside it"));
        }
    }
    for (name, &size) in sizes {
        let first = format!("{name}.{FIRST}");
        if !file.names().contains(&first.as_str()) {
            continue; // a parameter that has never had a gradient
        }
        let field = |suffix: &str, dtype: Dtype, count: usize| {
            let full = format!("{name}.{suffix}");
            let view = file.tensor(&full).map_err(|_| format!("tensor {full} is missing"))?;
            if view.dtype() != dtype || view.shape() != [count] {
                let (found, shape) = (view.dtype(), view.shape());
                return Err(format!(
                    "tensor {full}: expected {dtype:?} [{count}], found {found:?} {shape:?}"
                ));
            }
            Ok(view.data())
        };
        let floats = |suffix: &str| -> Result<Tensor<1>, String> {
            let (words, _) = field(suffix, Dtype::F32, size)?.as_chunks::<4>();
            let values: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
            Ok(Tensor::from_data(TensorData::new(values, [size]), device))
        };
        let updates = field(UPDATES, Dtype::U64, 1)?.try_into().map(u64::from_le_bytes).unwrap_or_default();
        moments.insert(name.clone(), Moments { first: floats(FIRST)?, second: floats(SECOND)?, updates });
    }
    Ok(moments)
}

#[cfg(test)]
mod tests {
    use super::{Moments, from_bytes, write};
    use burn::tensor::Tensor;
    use ruminate_testkit as testkit;
    use std::collections::BTreeMap;

    fn moments() -> BTreeMap<String, Moments> {
        let tensor = |values: [f32; 2]| Tensor::<1>::from_floats(values, &testkit::device());
        let state = Moments { first: tensor([0.1, -3e-30]), second: tensor([1e-12, 7.0]), updates: 1 << 40 };
        BTreeMap::from([("model.norm.weight".to_owned(), state)])
    }

    fn written(moments: &BTreeMap<String, Moments>) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("moments.safetensors");
        write(moments, &path).expect("written");
        std::fs::read(path).expect("read")
    }

    fn sizes(size: usize) -> BTreeMap<String, usize> {
        BTreeMap::from([("model.norm.weight".to_owned(), size), ("lm_head.weight".to_owned(), 4)])
    }

    #[test]
    fn state_returns_bit_by_bit() {
        let (before, device) = (moments(), testkit::device());
        let after = from_bytes(&written(&before), &sizes(2), &device).expect("it was just written");
        assert_eq!(after.len(), 1);
        let (before, after) = (&before["model.norm.weight"], &after["model.norm.weight"]);
        assert_eq!(testkit::floats(after.first.clone()), testkit::floats(before.first.clone()));
        assert_eq!(testkit::floats(after.second.clone()), testkit::floats(before.second.clone()));
        assert_eq!(after.updates, before.updates);
    }

    #[test]
    fn state_of_another_model_is_refused_by_name() {
        let (bytes, device) = (written(&moments()), testkit::device());
        let error = from_bytes(&bytes, &sizes(3), &device).expect_err("another size");
        assert!(error.contains("model.norm.weight.exp_avg: expected F32 [3], found F32 [2]"), "{error}");
        let error = from_bytes(&bytes, &BTreeMap::new(), &device).expect_err("another name");
        assert!(error.contains("is no state of a parameter"), "{error}");
        let error = from_bytes(&bytes[..9], &sizes(2), &device).expect_err("cut off");
        assert!(error.contains("not a valid safetensors file"), "{error}");
    }
}
