//! The optimizer's state as a safetensors file and back, bit by bit. Names are the parameters' with
//! a suffix, so that any tool can read what lies in it.

// n elements of one parameter

use super::{Buffer, Optimizer, OptimizerState, Parameter, ParameterState};
use burn::tensor::{Device, Tensor, TensorData};
use ruminate_kernels::Int8Moment;
use ruminate_kernels::read::{Place, floats};
use safetensors::tensor::View;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

// As in the state of `torch.optim.AdamW`.
const UPDATES: &str = "step";

/// Behind the name of a buffer in 8 bits: the largest magnitudes of its blocks. bitsandbytes calls
/// them `absmax1` and `absmax2`.
const ABSMAX: &str = "_absmax";

/// A tensor of the file; its bytes are made when they are written, and dropped then.
enum Part<'a> {
    Floats(&'a Tensor<1>, [usize; 1]),
    Codes(&'a Int8Moment, [usize; 1]),
    Absmax(&'a Int8Moment, [usize; 1]),
    Updates(u64),
}

impl View for Part<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Self::Floats(..) | Self::Absmax(..) => Dtype::F32,
            Self::Codes(..) => Dtype::U8,
            Self::Updates(_) => Dtype::U64,
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Self::Floats(_, shape) | Self::Codes(_, shape) | Self::Absmax(_, shape) => shape,
            Self::Updates(_) => &[1],
        }
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Floats(tensor, _) => bytes(&floats((*tensor).clone(), Place::Weights)),
            Self::Codes(moment, _) => moment.codes().into(),
            Self::Absmax(moment, _) => bytes(&moment.absmax()),
            Self::Updates(updates) => updates.to_le_bytes().to_vec().into(),
        }
    }

    fn data_len(&self) -> usize {
        self.shape()[0] * self.dtype().bitsize() / 8
    }
}

fn bytes(values: &[f32]) -> Cow<'static, [u8]> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// `<parameter>.<buffer>` (f32, `[n]`) for each buffer of the rule and `<parameter>.step` (u64,
/// `[1]`), a tensor at a time: the state may be twice as large as the model. A buffer in 8 bits is
/// `<parameter>.<buffer>` (u8, `[n]`: codes) and `<parameter>.<buffer>_absmax` (f32, `[n / 256]`,
/// rounded up).
pub(crate) fn write(
    state: &BTreeMap<String, ParameterState>,
    shapes: &BTreeMap<String, Vec<usize>>,
    rule: &dyn Optimizer,
    path: &Path,
) -> io::Result<()> {
    let parts = state.iter().flat_map(|(name, ParameterState { buffers, updates })| {
        let kind = Parameter { name, shape: &shapes[name] }.kind();
        let held = rule.buffers(kind).iter().zip(buffers);
        let held = held.flat_map(move |(buffer, values)| {
            let full = format!("{name}.{buffer}");
            match values {
                Buffer::Float32(tensor) => vec![(full, Part::Floats(tensor, tensor.dims()))],
                Buffer::Int8(moment) => vec![
                    (format!("{full}{ABSMAX}"), Part::Absmax(moment, [moment.blocks()])),
                    (full, Part::Codes(moment, [moment.len()])),
                ],
            }
        });
        held.chain([(format!("{name}.{UPDATES}"), Part::Updates(*updates))])
    });
    safetensors::serialize_to_file(parts, None, path).map_err(|error| match error {
        SafeTensorError::IoError(error) => error,
        other => io::Error::other(other),
    })
}

/// The reverse, onto `device`. `shapes` holds those of every parameter; state of any other shape or
/// name is refused with the reason in words.
pub(crate) fn from_bytes(
    bytes: &[u8],
    shapes: &BTreeMap<String, Vec<usize>>,
    rule: &dyn Optimizer,
    device: &Device,
) -> Result<BTreeMap<String, ParameterState>, String> {
    let file =
        SafeTensors::deserialize(bytes).map_err(|error| format!("not a valid safetensors file: {error}"))?;
    let buffers = |name: &str, shape: &[usize]| rule.buffers(Parameter { name, shape }.kind());
    let mut known = BTreeSet::new();
    for full in file.names() {
        let (name, suffix) = full.rsplit_once('.').unwrap_or((full, ""));
        let is_known = |shape: &Vec<usize>| {
            let is_buffer = |suffix| buffers(name, shape).contains(&suffix);
            let is_absmax = || {
                let is_int8 = rule.state().of_length(shape.iter().product()) == OptimizerState::Int8;
                is_int8 && suffix.strip_suffix(ABSMAX).is_some_and(is_buffer)
            };
            suffix == UPDATES || is_buffer(suffix) || is_absmax()
        };
        if !shapes.get(name).is_some_and(is_known) {
            return Err(format!("tensor {full} is no state of a parameter of the model beside it"));
        }
        known.insert(name);
    }
    let mut state = BTreeMap::new();
    // The others have never had a gradient.
    for (name, shape) in shapes.iter().filter(|(name, _)| known.contains(name.as_str())) {
        let size = shape.iter().product();
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
        let floats = |suffix: &str, count: usize| -> Result<Vec<f32>, String> {
            let (words, _) = field(suffix, Dtype::F32, count)?.as_chunks::<4>();
            Ok(words.iter().map(|&word| f32::from_le_bytes(word)).collect())
        };
        let buffer = |suffix: &&str| match rule.state().of_length(size) {
            OptimizerState::Float32 => {
                let values = TensorData::new(floats(suffix, size)?, [size]);
                Ok(Tensor::from_data(values, device).into())
            }
            OptimizerState::Int8 => {
                let codes = field(suffix, Dtype::U8, size)?;
                let absmax = format!("{suffix}{ABSMAX}");
                let absmax = floats(&absmax, Int8Moment::blocks_of(size))?;
                Ok(Buffer::Int8(Int8Moment::from_parts(codes, absmax, device)))
            }
        };
        let buffers = buffers(name, shape).iter().map(buffer).collect::<Result<_, String>>()?;
        let updates = field(UPDATES, Dtype::U64, 1)?.try_into().map(u64::from_le_bytes).unwrap_or_default();
        state.insert(name.clone(), ParameterState { buffers, updates });
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::{Buffer, ParameterState, from_bytes, write};
    use crate::optim::{AdamW, AdamWInt8, Muon, Optimizer};
    use burn::tensor::Tensor;
    use ruminate_kernels::Int8Moment;
    use ruminate_testkit as testkit;
    use std::collections::BTreeMap;

    const NORM: &str = "model.norm.weight";
    const MATRIX: &str = "model.layers.0.self_attn.o_proj.weight";

    fn tensor(values: [f32; 2]) -> Tensor<1> {
        Tensor::from_floats(values, &testkit::device())
    }

    fn moments() -> BTreeMap<String, ParameterState> {
        let buffers = vec![tensor([0.1, -3e-30]).into(), tensor([1e-12, 7.0]).into()];
        BTreeMap::from([(NORM.to_owned(), ParameterState { buffers, updates: 1 << 40 })])
    }

    fn written(state: &BTreeMap<String, ParameterState>, rule: &dyn Optimizer) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("moments.safetensors");
        write(state, &shapes(2), rule, &path).expect("written");
        std::fs::read(path).expect("read")
    }

    /// Of three parameters, of which a norm's gain has so many elements.
    fn shapes(size: usize) -> BTreeMap<String, Vec<usize>> {
        let all = [(NORM, vec![size]), (MATRIX, vec![1, 2]), ("lm_head.weight", vec![2, 2])];
        all.map(|(name, shape)| (name.to_owned(), shape)).into()
    }

    fn floats(state: &ParameterState) -> Vec<Vec<f32>> {
        state.buffers.iter().cloned().map(Buffer::into_float32).map(testkit::floats).collect()
    }

    #[test]
    fn state_returns_bit_by_bit() {
        let mut before = moments();
        let momentum = ParameterState { buffers: vec![tensor([-1e30, 0.3]).into()], updates: 7 };
        before.insert(MATRIX.to_owned(), momentum);
        let rule = Muon::default();
        let after = from_bytes(&written(&before, &rule), &shapes(2), &rule, &testkit::device())
            .expect("it was just written");
        assert_eq!(after.len(), 2);
        for (name, before) in &before {
            assert_eq!(floats(&after[name]), floats(before), "{name}");
            assert_eq!(after[name].updates, before.updates, "{name}");
        }
    }

    #[test]
    fn state_in_8_bits_is_codes_and_a_magnitude_for_each_block_and_returns_as_it_was() {
        let (size, device) = (4200, testkit::device());
        let moment = |seed: usize| {
            let codes: Vec<u8> = (0..size).map(|at| (at * seed % 256) as u8).collect();
            let absmax = (0..17).map(|block| (block * seed) as f32 / 7.0).collect();
            Int8Moment::from_parts(&codes, absmax, &device)
        };
        let buffers = vec![Buffer::Int8(moment(3)), Buffer::Int8(moment(5))];
        let before = BTreeMap::from([(NORM.to_owned(), ParameterState { buffers, updates: 9 })]);
        let bytes = written(&before, &AdamWInt8);

        let file = safetensors::SafeTensors::deserialize(&bytes).expect("valid");
        let layout = |name: &str| {
            let view = file.tensor(&format!("{NORM}.{name}")).expect("it is there");
            (view.dtype(), view.shape().to_vec())
        };
        for buffer in ["exp_avg", "exp_avg_sq"] {
            assert_eq!(layout(buffer), (safetensors::Dtype::U8, vec![4200]));
            assert_eq!(layout(&format!("{buffer}_absmax")), (safetensors::Dtype::F32, vec![17]));
        }

        let after = from_bytes(&bytes, &shapes(size), &AdamWInt8, &device).expect("just written");
        assert_eq!(after[NORM].updates, 9);
        for (after, seed) in after[NORM].buffers.iter().zip([3, 5]) {
            let Buffer::Int8(after) = after else { panic!("expected 8 bits, found {after:?}") };
            let before = moment(seed);
            assert_eq!((after.codes(), after.absmax()), (before.codes(), before.absmax()));
        }

        let error = from_bytes(&bytes, &shapes(size), &AdamW, &device).expect_err("of f32");
        assert!(error.contains("_absmax is no state of a parameter"), "{error}");
        let error = from_bytes(&bytes, &shapes(4300), &AdamWInt8, &device).expect_err("another size");
        assert!(error.contains("exp_avg: expected U8 [4300], found U8 [4200]"), "{error}");
        let floats = BTreeMap::from([(
            NORM.to_owned(),
            ParameterState {
                buffers: vec![
                    Tensor::<1>::zeros([size], &device).into(),
                    Tensor::<1>::zeros([size], &device).into(),
                ],
                updates: 1,
            },
        )]);
        let error = from_bytes(&written(&floats, &AdamW), &shapes(size), &AdamWInt8, &device);
        let error = error.expect_err("of 8 bits");
        assert!(error.contains("exp_avg: expected U8 [4200], found F32 [4200]"), "{error}");
    }

    #[test]
    fn state_of_another_model_or_rule_is_refused_by_name() {
        let (bytes, device) = (written(&moments(), &AdamW), testkit::device());
        let error = from_bytes(&bytes, &shapes(3), &AdamW, &device).expect_err("another size");
        assert!(error.contains("model.norm.weight.exp_avg: expected F32 [3], found F32 [2]"), "{error}");
        let error = from_bytes(&bytes, &BTreeMap::new(), &AdamW, &device).expect_err("another name");
        assert!(error.contains("is no state of a parameter"), "{error}");
        let error = from_bytes(&bytes[..9], &shapes(2), &AdamW, &device).expect_err("cut off");
        assert!(error.contains("not a valid safetensors file"), "{error}");

        let momentum = ParameterState { buffers: vec![tensor([1.0, 2.0]).into()], updates: 1 };
        let bytes = written(&BTreeMap::from([(MATRIX.to_owned(), momentum)]), &Muon::default());
        let error = from_bytes(&bytes, &shapes(2), &AdamW, &device).expect_err("another rule");
        assert!(error.contains("o_proj.weight.momentum_buffer is no state of a parameter"), "{error}");
    }
}
