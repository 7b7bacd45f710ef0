//! The header of a safetensors file, read from a stream: which tensors lie where. Nothing that it claims is believed
//! before it is compared with the file's length, and memory grows by what is read.

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt::{self, Formatter};
use std::io::{BufReader, Read};

/// Bytes of a header; the largest published ones have a few MB.
const MAX_BYTES: u64 = 32 << 20;

/// Tensors of a file; DeepSeek-V3 as a whole has 91,991.
const MAX_TENSORS: usize = 1 << 17;

const MAX_DIMENSIONS: usize = 8;

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Where its data begin in the file.
    pub(super) begin: u64,
    /// Their length.
    pub(super) bytes: u64,
}

/// Reads the header of a file of `len` bytes.
///
/// # Errors
/// What is wrong with it: the length of the header, its JSON, a tensor that stands in it twice, data that overlap,
/// leave a hole, have another length than their shape, or end elsewhere than the file.
pub(super) fn read(mut file: impl Read, len: u64) -> Result<BTreeMap<String, Entry>, String> {
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| format!("{len} bytes, too few for a header"))?;
    let length = u64::from_le_bytes(length);
    if length > MAX_BYTES || length > len.saturating_sub(8) {
        let most = MAX_BYTES.min(len.saturating_sub(8));
        return Err(format!("the header claims {length} bytes; at most {most} are possible in {len}"));
    }
    let data = 8 + length;
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(file.take(length)));
    let Header(raw) = Header::deserialize(&mut json)
        .and_then(|header| json.end().map(|()| header))
        .map_err(|error| format!("its header: {error}"))?;
    check_places(&raw, len - data)?;
    let entry = |raw: Raw| Entry {
        dtype: raw.dtype,
        shape: raw.shape.0,
        begin: data + raw.data_offsets.0,
        bytes: raw.data_offsets.1 - raw.data_offsets.0,
    };
    Ok(raw.into_iter().map(|(name, raw)| (name, entry(raw))).collect())
}

/// Whether the tensors fill the data part, each with as many bytes as its shape needs.
fn check_places(raw: &BTreeMap<String, Raw>, len: u64) -> Result<(), String> {
    let mut tensors: Vec<(&String, &Raw)> = raw.iter().collect();
    tensors.sort_by_key(|(_, tensor)| tensor.data_offsets);
    let mut end = 0;
    for (name, tensor) in tensors {
        let (first, last) = tensor.data_offsets;
        if first != end {
            let what = if first < end { "overlap those" } else { "leave a hole after those" };
            return Err(format!("tensor {name}: its data at {first} {what} before it, which end at {end}"));
        }
        let shape = &tensor.shape.0;
        let bits =
            shape.iter().try_fold(tensor.dtype.bitsize() as u64, |bits, &size| bits.checked_mul(size as u64));
        let bytes = bits.filter(|bits| bits % 8 == 0).map(|bits| bits / 8);
        if bytes.is_none() || last.checked_sub(first) != bytes {
            return Err(format!(
                "tensor {name}: {:?} of shape {shape:?} does not take the bytes {first} to {last}",
                tensor.dtype
            ));
        }
        end = last;
    }
    if end != len {
        return Err(format!("its tensors have {end} bytes, the file {len} after its header; is it cut off?"));
    }
    Ok(())
}

/// A tensor as the header has it; offsets count from the end of the header.
#[derive(Deserialize)]
struct Raw {
    dtype: Dtype,
    shape: Dimensions,
    data_offsets: (u64, u64),
}

/// The header's object. The derived form of a map would keep the last of two equal names in silence.
struct Header(BTreeMap<String, Raw>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut Formatter) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut tensors = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?; // texts about the file
                        continue;
                    }
                    if tensors.len() == MAX_TENSORS {
                        return Err(A::Error::custom(format_args!("more than {MAX_TENSORS} tensors")));
                    }
                    let tensor = map.next_value()?;
                    if tensors.contains_key(&name) {
                        return Err(A::Error::custom(format_args!("tensor {name} stands in it twice")));
                    }
                    tensors.insert(name, tensor);
                }
                Ok(Header(tensors))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// A shape, with a bound on the number of its dimensions.
struct Dimensions(Vec<usize>);

impl<'de> Deserialize<'de> for Dimensions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sizes;
        impl<'de> Visitor<'de> for Sizes {
            type Value = Dimensions;

            fn expecting(&self, f: &mut Formatter) -> fmt::Result {
                write!(f, "a shape of at most {MAX_DIMENSIONS} dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sizes: A) -> Result<Dimensions, A::Error> {
                let mut shape = Vec::new();
                while let Some(size) = sizes.next_element()? {
                    if shape.len() == MAX_DIMENSIONS {
                        return Err(A::Error::invalid_length(shape.len() + 1, &self));
                    }
                    shape.push(size);
                }
                Ok(Dimensions(shape))
            }
        }
        deserializer.deserialize_seq(Sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    fn fault(header: &str, data: usize) -> String {
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat();
        read(bytes.as_slice(), bytes.len() as u64).expect_err("refused")
    }

    #[test]
    fn what_is_wrong_is_told_with_the_tensors_name() {
        let one = |shape: &str, offsets: &str| {
            format!(r#""a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}"#)
        };
        let two = |offsets: &str| one("[1]", "[0,4]") + "," + &one("[1]", offsets).replacen('a', "b", 1);
        for (entries, data, says) in [
            (two("[2,6]"), 6, "tensor b: its data at 2 overlap those before it, which end at 4"),
            (two("[8,12]"), 12, "tensor b: its data at 8 leave a hole"),
            (two("[4,8]").replace("\"b\"", "\"a\""), 8, "tensor a stands in it twice"),
            (one("[2]", "[0,4]"), 4, "tensor a: F32 of shape [2]"),
            (one("[4294967296,4294967296,4]", "[0,4]"), 4, "of shape [4294967296, 4294967296, 4]"),
            (one("[1]", "[4,0]"), 4, "tensor a: its data at 4 leave a hole"),
            (one("[1]", "[0,4]"), 3, "the file 3 after its header; is it cut off?"),
            (one("[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "at most 8 dimensions"),
            (one("[-1]", "[0,4]"), 4, "its header: invalid value"),
            (one("[1]", "[0,4]").replace("F32", "F33"), 4, "its header: unknown variant `F33`"),
        ] {
            let fault = fault(&format!("{{{entries}}}"), data);
            assert!(fault.contains(says), "{entries}: {fault}");
        }
        assert!(read([0; 3].as_slice(), 3).expect_err("refused").contains("3 bytes, too few"));
        let claim = [&(1_u64 << 63).to_le_bytes()[..], b"{}"].concat();
        assert!(read(claim.as_slice(), 10).expect_err("refused").contains("at most 2 are possible"));
    }
}
