//! The lengths of texts in pages that are encoded by differences. Such a page states how many there are, and the format's
//! crate makes room for so many before it reads them; here the statement is compared with the page's values. It reads no
//! more of a page than where its lengths end.

use parquet::basic::Encoding;

/// Where the texts begin in a page with levels of the first version: behind repetition and definition levels, of which
/// each has its greatest level and its encoding. None where the page is too short for them.
pub(super) fn behind_levels(page: &[u8], values: u32, levels: [(i16, Encoding); 2]) -> Option<&[u8]> {
    let mut rest = page;
    for (greatest, encoding) in levels.into_iter().filter(|(greatest, _)| *greatest > 0) {
        rest = if encoding == Encoding::RLE {
            let (length, behind) = rest.split_first_chunk::<4>()?;
            behind.get(usize::try_from(i32::from_le_bytes(*length)).ok()?..)?
        } else {
            let bits = u64::from(greatest.unsigned_abs().ilog2() + 1) * u64::from(values);
            rest.get(usize::try_from(bits.div_ceil(8)).ok()?..)?
        };
    }
    Some(rest)
}

/// Whether the texts of a page have at most as many lengths as the page has values. Pages of other encodings state none.
pub(super) fn lengths_fit(texts: &[u8], values: u32, encoding: Encoding) -> bool {
    let fits = |texts| lengths(texts).filter(|(count, _)| *count <= u64::from(values)).map(|(_, rest)| rest);
    match encoding {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => fits(texts).is_some(),
        // What each shares with the one before it, then the rest of each.
        Encoding::DELTA_BYTE_ARRAY => fits(texts).and_then(fits).is_some(),
        _ => true,
    }
}

/// How many numbers are stated here, and what stands behind them.
fn lengths(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut rest = bytes;
    let block = number(&mut rest)?;
    let parts = number(&mut rest)?;
    let count = number(&mut rest)?;
    let _first = number(&mut rest)?;
    let values = block.checked_div(parts)?;
    if block % 128 != 0 || block % parts != 0 || values == 0 || values % 32 != 0 {
        return None;
    }
    // The first number stands in front; each block has the bits of its parts, of which the last may be unused.
    let mut left = count.saturating_sub(1);
    while left > 0 {
        let _least = number(&mut rest)?;
        let (bits, behind) = rest.split_at_checked(usize::try_from(parts).ok()?)?;
        let mut taken = 0_u64;
        for &bits in bits {
            if left == 0 {
                break;
            }
            if bits > 32 {
                return None;
            }
            taken = taken.checked_add(u64::from(bits).checked_mul(values)? / 8)?;
            left = left.saturating_sub(values);
        }
        // The last block may end before its padding does.
        rest = behind.get(usize::try_from(taken).ok()?..).or((left == 0).then_some(&[]))?;
    }
    Some((count, rest))
}

/// A number in bytes of seven bits.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let length = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)? + 1;
    let (number, rest) = bytes.split_at(length);
    *bytes = rest;
    let shifted = number.iter().enumerate().map(|(at, byte)| u64::from(byte & 0x7f) << (7 * at));
    Some(shifted.fold(0, |sum, part| sum | part))
}

#[cfg(test)]
mod tests {
    use super::{behind_levels, lengths_fit};
    use parquet::basic::Encoding::{DELTA_BYTE_ARRAY, DELTA_LENGTH_BYTE_ARRAY, PLAIN, RLE};

    /// Numbers 3, 3, .. as differences of no bits; so many are stated.
    fn stated(count: &[u8], blocks: usize) -> Vec<u8> {
        let block = [0, 0, 0, 0, 0];
        [&[0x80, 1, 4], count, &[6], &block.repeat(blocks)].concat()
    }

    #[test]
    fn a_page_with_more_lengths_than_values_is_known_by_its_statement() {
        let honest = [stated(&[200, 1], 2), vec![b'x'; 600]].concat();
        assert!(lengths_fit(&honest, 200, DELTA_LENGTH_BYTE_ARRAY));
        assert!(!lengths_fit(&honest, 199, DELTA_LENGTH_BYTE_ARRAY));
        assert!(lengths_fit(&honest, 0, PLAIN));
        let five_billion = stated(&[0x80, 0xf2, 0x8b, 0xa8, 0x13], 0);
        assert!(!lengths_fit(&five_billion, 200, DELTA_LENGTH_BYTE_ARRAY));
        // The second statement is found behind the first one's blocks.
        let both = |second: &[u8]| [&stated(&[200, 1], 2), second].concat();
        assert!(lengths_fit(&both(&honest), 200, DELTA_BYTE_ARRAY));
        assert!(!lengths_fit(&both(&five_billion), 200, DELTA_BYTE_ARRAY));
        assert!(!lengths_fit(&both(&[]), 200, DELTA_BYTE_ARRAY));
        for damaged in [&[][..], &[0x80], &[0x80, 1, 0, 5, 6], &[0x80, 1, 3, 5, 6], &[0xff; 40]] {
            assert!(!lengths_fit(damaged, 200, DELTA_LENGTH_BYTE_ARRAY), "{damaged:?}");
        }
    }

    #[test]
    fn texts_begin_behind_both_levels() {
        let page = [2, 0, 0, 0, 9, 9, 1, 0, 0, 0, 9, b'x'];
        assert_eq!(behind_levels(&page, 3, [(1, RLE), (2, RLE)]), Some(&b"x"[..]));
        assert_eq!(behind_levels(&page, 3, [(0, RLE), (0, RLE)]), Some(&page[..]));
        assert_eq!(behind_levels(&[255, 255, 255, 255], 3, [(1, RLE), (0, RLE)]), None);
        // Nine levels of two bits, packed.
        assert_eq!(behind_levels(&[0, 0, 0, b'x'], 9, [(0, RLE), (3, PLAIN)]), Some(&b"x"[..]));
    }
}
