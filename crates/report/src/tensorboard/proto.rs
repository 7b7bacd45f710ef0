//! The two protocol buffers that scalars need, `Event` and `Summary`, field by field (protobuf.dev, "Encoding").

// Event:         1 double wall_time, 2 int64 step, 3 string file_version, 5 Summary summary
// Summary:       1 repeated Value value
// Summary.Value: 1 string tag, 2 float simple_value

const VARINT: u8 = 0;
const I64: u8 = 1;
const LEN: u8 = 2;
const I32: u8 = 5;

/// The event that a file begins with.
pub(crate) fn version(wall_time: f64) -> Vec<u8> {
    let mut event = Vec::new();
    event.push(tag(1, I64));
    event.extend(wall_time.to_le_bytes());
    bytes(&mut event, 3, b"brain.Event:2");
    event
}

/// Scalars of a step.
pub(crate) fn scalars(wall_time: f64, step: u64, values: &[(&str, f32)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for &(name, scalar) in values {
        let mut value = Vec::new();
        bytes(&mut value, 1, name.as_bytes());
        value.push(tag(2, I32));
        value.extend(scalar.to_le_bytes());
        bytes(&mut summary, 1, &value);
    }
    let mut event = vec![tag(1, I64)];
    event.extend(wall_time.to_le_bytes());
    if step != 0 {
        // A field of its default value is not written.
        event.push(tag(2, VARINT));
        varint(&mut event, step);
    }
    bytes(&mut event, 5, &summary);
    event
}

/// The step of an event of ours; none where it is another's.
pub(crate) fn step(event: &[u8]) -> Option<u64> {
    let rest = event.strip_prefix(&[tag(1, I64)])?.get(8..)?;
    match rest.split_first()? {
        (&first, rest) if first == tag(2, VARINT) => read_varint(rest),
        _ => Some(0),
    }
}

fn tag(field: u8, kind: u8) -> u8 {
    field << 3 | kind
}

fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    out.push(tag(field, LEN));
    varint(out, value.len() as u64);
    out.extend(value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_varint(bytes: &[u8]) -> Option<u64> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{scalars, step};

    #[test]
    fn steps_come_back() {
        for wanted in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX >> 1] {
            assert_eq!(step(&scalars(1.5, wanted, &[("a", 1.0)])), Some(wanted));
        }
        assert_eq!(step(b"\x09short"), None);
        assert_eq!(step(&[]), None);
    }
}
