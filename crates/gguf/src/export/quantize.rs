//! f32 to the types that are written, with the bits of llama.cpp's reference code (`quantize_row_q8_0_ref`).

use crate::tensor::TensorType;
use half::{bf16, f16};

/// Appends the elements; of Q8_0 whole blocks of 32. The index of the first that the type cannot hold is the error.
pub(super) fn quantize(kind: TensorType, values: &[f32], out: &mut Vec<u8>) -> Result<(), usize> {
    match kind {
        TensorType::F16 => {
            for (place, &value) in values.iter().enumerate() {
                let half = f16::from_f32(value);
                if !half.is_finite() {
                    return Err(place);
                }
                out.extend(half.to_le_bytes());
            }
        }
        TensorType::Bf16 => {
            for (place, &value) in values.iter().enumerate() {
                let half = bf16::from_f32(value);
                if !half.is_finite() {
                    return Err(place);
                }
                out.extend(half.to_le_bytes());
            }
        }
        TensorType::Q8_0 => {
            for (number, block) in values.as_chunks::<32>().0.iter().enumerate() {
                q8_0(block, out).map_err(|place| 32 * number + place)?;
            }
        }
        _ => {
            for (place, &value) in values.iter().enumerate() {
                if !value.is_finite() {
                    return Err(place);
                }
                out.extend(value.to_le_bytes());
            }
        }
    }
    Ok(())
}

/// `d, 32 x q`: `d` is a 127th of the largest, `q` rounded half away from zero with the unrounded `d`.
fn q8_0(block: &[f32; 32], out: &mut Vec<u8>) -> Result<(), usize> {
    let largest = block.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let d = largest / 127.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let half = f16::from_f32(d);
    let lost = |value: &f32| !value.is_finite() || (!half.is_finite() && value.abs() == largest);
    if let Some(place) = block.iter().position(lost) {
        return Err(place);
    }
    out.extend(half.to_le_bytes());
    out.extend(block.iter().map(|value| ((value * inverse).round() as i8).cast_unsigned()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::quantize;
    use crate::tensor::TensorType;
    use safetensors::SafeTensors;

    #[test]
    fn every_type_has_the_reference_bits() {
        let path = ruminate_testkit::fixture_path("gguf").join("quantized.safetensors");
        let bytes = std::fs::read(path).expect("the fixture");
        let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        let values = file.tensor("values").expect("the values").data().to_vec();
        let values: Vec<f32> = values.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        for kind in [TensorType::F16, TensorType::Bf16, TensorType::Q8_0] {
            let mut ours = Vec::new();
            quantize(kind, &values, &mut ours).expect("in range");
            let theirs = file.tensor(kind.name()).expect("its bytes");
            let differ = ours.iter().zip(theirs.data()).position(|(ours, theirs)| ours != theirs);
            assert_eq!((ours.len(), differ), (theirs.data().len(), None), "{}", kind.name());
        }
    }

    #[test]
    fn what_a_type_cannot_hold_is_found() {
        let mut values = vec![1.0_f32; 64];
        values[40] = 65_520.0;
        assert_eq!(quantize(TensorType::F16, &values, &mut Vec::new()), Err(40));
        assert_eq!(quantize(TensorType::Q8_0, &values, &mut Vec::new()), Ok(()));
        values[41] = 1e8;
        assert_eq!(quantize(TensorType::Q8_0, &values, &mut Vec::new()), Err(41));
        values[3] = f32::NAN;
        for kind in [TensorType::F32, TensorType::F16, TensorType::Bf16, TensorType::Q8_0] {
            assert_eq!(quantize(kind, &values, &mut Vec::new()), Err(3), "{}", kind.name());
        }
    }
}
