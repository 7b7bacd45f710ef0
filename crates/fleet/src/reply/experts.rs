//! The routers' choices as servers send them: base64 of an `.npy` file (vLLM) or of bare 32-bit numbers (SGLang), with a row
//! for every layer. Ours have the MoE layers only.

/// Where a model's routers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpertShape {
    /// Layers of the model.
    pub num_hidden_layers: usize,
    /// Those of them that have a router, in order.
    pub moe_layers: Vec<usize>,
    /// Experts that a token chooses.
    pub experts_per_token: usize,
    /// Experts that it chooses from.
    pub num_experts: usize,
}

/// How the numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// numpy's file format, of uint8 or uint16.
    Npy,
    /// Little-endian int32.
    Int32,
}

impl ExpertShape {
    /// Reads the choices at so many positions: `[positions, moe_layers, experts_per_token]`.
    pub(crate) fn read(&self, text: &str, encoding: Encoding, positions: usize) -> Result<Vec<u16>, String> {
        let bytes = base64(text).ok_or("`routed_experts` is no base64")?;
        let (width, data) = match encoding {
            Encoding::Int32 => (4, bytes.as_slice()),
            Encoding::Npy => npy(&bytes)?,
        };
        let row = self.num_hidden_layers * self.experts_per_token;
        let expected = positions.checked_mul(row).and_then(|count| count.checked_mul(width));
        if expected != Some(data.len()) {
            return Err(format!(
                "`routed_experts` of {} bytes; expected {positions} positions of {} layers and {} experts",
                data.len(),
                self.num_hidden_layers,
                self.experts_per_token
            ));
        }
        let mut experts = Vec::with_capacity(positions * self.moe_layers.len() * self.experts_per_token);
        for position in data.chunks_exact((row * width).max(1)) {
            for layer in &self.moe_layers {
                let begin = layer * self.experts_per_token * width;
                let chosen = position.get(begin..begin + self.experts_per_token * width).unwrap_or_default();
                for number in chosen.chunks_exact(width) {
                    let expert = number.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
                    let known = (expert as usize) < self.num_experts;
                    let expert = u16::try_from(expert).ok().filter(|_| known);
                    experts.push(expert.ok_or("`routed_experts` names an expert that the model lacks")?);
                }
            }
        }
        Ok(experts)
    }
}

/// Bytes of a number and the data of a file in numpy's format, version 1 to 3, little-endian, in C's order.
fn npy(bytes: &[u8]) -> Result<(usize, &[u8]), String> {
    let bad = || "`routed_experts` is no .npy file of uint8 or uint16".to_owned();
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or_else(bad)?;
    let (length, rest) = match rest {
        [1, _, low, high, rest @ ..] => (usize::from(u16::from_le_bytes([*low, *high])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return Err(bad()),
    };
    let (header, data) = rest.split_at_checked(length).ok_or_else(bad)?;
    let header = std::str::from_utf8(header).map_err(|_| bad())?;
    if !header.contains("'fortran_order': False") {
        return Err(bad());
    }
    let width = ["|u1", "<u2"].iter().position(|kind| header.contains(&format!("'descr': '{kind}'")));
    Ok((width.ok_or_else(bad)? + 1, data))
}

/// The bytes of a text in base64, of the standard alphabet, with or without padding; None where it is none.
fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for four in text.chunks(4) {
        let mut bits = 0_u32;
        for &c in four {
            let value = match c {
                b'A'..=b'Z' => c - b'A',
                b'a'..=b'z' => c - b'a' + 26,
                b'0'..=b'9' => c - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let whole = match four.len() {
            4 => 3,
            3 => 2,
            2 => 1,
            _ => return None,
        };
        bits <<= 6 * (4 - four.len());
        bytes.extend_from_slice(&bits.to_be_bytes()[1..=whole]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Encoding, ExpertShape, base64};

    /// Three layers, of which the first is dense; two of eight experts.
    fn shape() -> ExpertShape {
        ExpertShape { num_hidden_layers: 3, moe_layers: vec![1, 2], experts_per_token: 2, num_experts: 8 }
    }

    fn encode(bytes: &[u8]) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for three in bytes.chunks(3) {
            let bits =
                three.iter().fold(0_u32, |bits, b| bits << 8 | u32::from(*b)) << (8 * (3 - three.len()));
            for place in 0..=three.len() {
                text.push(char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]));
            }
            text.push_str(&"="[..usize::from(three.len() < 3)]);
        }
        text
    }

    fn npy(kind: &str, data: &[u8]) -> String {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (2, 3, 2), }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(data);
        encode(&bytes)
    }

    #[test]
    fn base64_is_read_and_nothing_else() {
        for (text, bytes) in
            [("", &b""[..]), ("Zg==", b"f"), ("Zm8=", b"fo"), ("Zm9v", b"foo"), ("Zm9vYg", b"foob")]
        {
            assert_eq!(base64(text).as_deref(), Some(bytes), "{text}");
        }
        for text in ["Z", "Zm9v!", "Zm 9"] {
            assert_eq!(base64(text), None, "{text}");
        }
    }

    #[test]
    fn dense_layers_are_left_out() {
        let data = [9, 9, 0, 1, 2, 3, 9, 9, 4, 5, 6, 7];
        let read = shape().read(&npy("|u1", &data), Encoding::Npy, 2);
        assert_eq!(read.as_deref(), Ok(&[0, 1, 2, 3, 4, 5, 6, 7][..]));
        let wide: Vec<u8> = data.iter().flat_map(|n| u16::from(*n).to_le_bytes()).collect();
        assert_eq!(shape().read(&npy("<u2", &wide), Encoding::Npy, 2), read);
        let bare: Vec<u8> = data.iter().flat_map(|n| i32::from(*n).to_le_bytes()).collect();
        assert_eq!(shape().read(&encode(&bare), Encoding::Int32, 2), read);
    }

    #[test]
    fn what_has_another_shape_or_unknown_experts_is_refused() {
        let data = [9, 9, 0, 1, 2, 3, 9, 9, 4, 5, 6, 8];
        for (text, encoding, positions, says) in [
            (npy("|u1", &data), Encoding::Npy, 3, "expected 3 positions"),
            (npy("|u1", &data), Encoding::Npy, 2, "lacks"),
            (npy("<f4", &data), Encoding::Npy, 2, "no .npy file"),
            (encode(&data), Encoding::Npy, 2, "no .npy file"),
            ("*".to_owned(), Encoding::Int32, 2, "no base64"),
            (npy("|u1", &data), Encoding::Npy, usize::MAX, "expected"),
        ] {
            let error = shape().read(&text, encoding, positions).expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }
}
