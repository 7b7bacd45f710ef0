//! TFRecord: length, checksum of the length, data, checksum of the data; little-endian. It refuses to know the data.

use super::crc32c::masked;

/// Bytes of a record beyond its data.
pub(crate) const FRAME: usize = 16;

/// A record.
pub(crate) fn encode(data: &[u8]) -> Vec<u8> {
    let len = (data.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(data.len() + FRAME);
    record.extend(len);
    record.extend(masked(&len).to_le_bytes());
    record.extend(data);
    record.extend(masked(data).to_le_bytes());
    record
}

/// The data of the record that the bytes begin with; none where it is not whole.
pub(crate) fn decode(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = bytes.split_first_chunk::<8>()?;
    let (check, rest) = rest.split_first_chunk::<4>()?;
    if masked(len) != u32::from_le_bytes(*check) {
        return None;
    }
    let (data, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
    let check = rest.first_chunk::<4>()?;
    (masked(data) == u32::from_le_bytes(*check)).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn a_record_that_is_not_whole_is_none() {
        let record = encode(b"data");
        assert_eq!(decode(&record), Some(&b"data"[..]));
        for len in 0..record.len() {
            assert_eq!(decode(&record[..len]), None, "{len}");
        }
        for at in 0..record.len() {
            let mut flipped = record.clone();
            flipped[at] ^= 1;
            assert_eq!(decode(&flipped), None, "{at}");
        }
    }
}
