//! `precompiled_charsmap` of SentencePiece: a trie over bytes in a double array, and the texts that it leads to. The library
//! believes every number in it. Nothing is normalized here.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::collections::HashSet;

/// Characters are looked for alone, and up to five bytes of characters that belong together.
const MAX_KEY_BYTES: usize = 5;

/// Bytes of what one character becomes: the longest of Unicode's own, U+FDFA, has 33.
const MAX_TEXT_BYTES: usize = 64;

/// As [`check_charsmap`], of what `tokenizer.json` has.
pub(super) fn check(base64: &str) -> Result<(), String> {
    check_charsmap(&decoded(base64).ok_or("a Precompiled whose charsmap is no base64")?)
}

/// Whether every text can be normalized by a `precompiled_charsmap` of SentencePiece, as bytes.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_charsmap(bytes: &[u8]) -> Result<(), String> {
    let (size, rest) = bytes.split_first_chunk().ok_or("a Precompiled whose charsmap is empty")?;
    let size = u32::from_le_bytes(*size) as usize;
    let units = rest
        .get(..size)
        .filter(|_| size >= 4)
        .ok_or("a Precompiled whose charsmap is shorter than it claims")?;
    let texts = str::from_utf8(&rest[size..]).map_err(|_| "a Precompiled whose texts are no UTF-8")?;
    let units: Vec<u32> = units.as_chunks().0.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
    let wrong = "a Precompiled whose trie leads out of itself";
    let mut nodes = vec![offset(units[0])];
    let mut seen: HashSet<usize> = nodes.iter().copied().collect();
    for _ in 0..MAX_KEY_BYTES {
        let mut children = Vec::new();
        for node in nodes {
            for byte in 1..=255 {
                let place = node ^ byte as usize;
                let unit = *units.get(place).ok_or(wrong)?;
                if unit & (1 << 31 | 0xFF) != byte {
                    continue;
                }
                let child = place ^ offset(unit);
                if unit >> 8 & 1 == 1 {
                    let value = units.get(child).ok_or(wrong)? & !(1 << 31);
                    let text = texts.get(value as usize..).ok_or(wrong)?;
                    let length = text.find('\0').unwrap_or(text.len());
                    if length > MAX_TEXT_BYTES {
                        return Err(format!("a Precompiled that makes {length} bytes of one character"));
                    }
                }
                if seen.insert(child) {
                    children.push(child);
                }
            }
        }
        nodes = children;
    }
    Ok(())
}

/// From a node to its children.
fn offset(unit: u32) -> usize {
    ((unit >> 10) as usize) << ((unit & (1 << 9)) >> 6)
}

/// Base64, with padding or without it.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let any = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(&STANDARD, any).decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::{check, decoded};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;

    /// A charsmap whose trie has these units, and texts.
    fn map(units: &[u32], texts: &[u8]) -> String {
        let units: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        STANDARD_NO_PAD.encode([&(units.len() as u32).to_le_bytes()[..], &units, texts].concat())
    }

    /// A trie with the one key `a`, which leads to `text`.
    fn one(value: u32) -> Vec<u32> {
        let mut units = vec![1 << 31; 1024];
        units[0] = 256 << 10;
        units[0x100 ^ 0x61] = 0x61 | 1 << 8 | (0x100 ^ 0x61 ^ 0x200) << 10;
        units[512] = 1 << 31 | value;
        units
    }

    #[test]
    fn base64_is_read_as_it_is_written() {
        assert_eq!(decoded("YWJj").as_deref(), Some(&b"abc"[..]));
        assert_eq!(decoded("YQ==").as_deref(), Some(&b"a"[..]));
        assert_eq!(decoded("+/8=").as_deref(), Some(&[0xFB, 0xFF][..]));
        assert_eq!(decoded("Y!"), None);
    }

    #[test]
    fn a_trie_that_leads_out_of_itself_or_to_long_texts_is_refused() {
        assert_eq!(check(&map(&one(0), b"bc\0")), Ok(()));
        let long = [&[b'b'; 65][..], b"\0"].concat();
        for (map, says) in [
            (map(&one(4), b"bc\0"), "leads out"),
            (map(&one(1), "\u{e9}\0".as_bytes()), "leads out"),
            (map(&one(0), &long), "65 bytes of one character"),
            (map(&one(0)[..300], b"bc\0"), "leads out"),
            (map(&[1 << 31], b""), "leads out"),
            (map(&[], b""), "shorter"),
            ("//////8=".to_owned(), "shorter"),
            ("AAAA".to_owned(), "empty"),
            ("\u{e9}".to_owned(), "no base64"),
            (map(&one(0), &[0xFF]), "no UTF-8"),
        ] {
            let error = check(&map).expect_err("refused");
            assert!(error.contains(says), "{error}");
        }
    }
}
