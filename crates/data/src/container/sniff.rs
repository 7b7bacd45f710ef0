//! What a file is, by its first bytes.

use serde::de::IgnoredAny;

/// Bytes that are looked at.
pub(super) const HEAD_BYTES: usize = 64 << 10;

/// What holds the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A row for each line, or what only a reader of lines can complain about.
    Lines,
    /// One JSON array of rows.
    Array,
    /// JSON values over several lines.
    Values,
    Gzip,
    Zstd,
    Parquet,
    /// No rows that can be read: what it is, and what to do.
    Other {
        found: &'static str,
        advice: &'static str,
    },
}

/// Files that are no text, by their first bytes.
const OTHERS: [(&[u8], &str, &str); 12] = [
    (b"PK\x03\x04", "a zip archive", "unpack it"),
    (b"BZh", "a file compressed by bzip2", "decompress it by bunzip2, or compress it by gzip or zstd"),
    (b"\xfd7zXZ\0", "a file compressed by xz", "decompress it by unxz, or compress it by gzip or zstd"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
    (b"ARROW1", "an Arrow file", "write it as parquet (`datasets`: to_parquet) or JSON lines (to_json)"),
    (
        b"\xff\xff\xff\xff",
        "an Arrow stream",
        "write it as parquet (`datasets`: to_parquet) or JSON lines (to_json)",
    ),
    (b"ORC", "an ORC file", "write it as parquet or JSON lines"),
    (b"Obj\x01", "an Avro file", "write it as parquet or JSON lines"),
    (b"SQLite format 3", "an SQLite database", "write the rows as JSON lines"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "fetch it by `git lfs pull`"),
    (b"<", "markup, such as the page of an error in place of a download", "download the file again"),
    (b"\x80", "a pickle of Python", "write the rows as JSON lines"),
];

const UTF16: &str = "convert it: iconv -f UTF-16 -t UTF-8 FILE > FILE.utf8";

/// Tells the format.
pub(super) fn format(head: &[u8]) -> Format {
    match head {
        [0x1f, 0x8b, ..] => return Format::Gzip,
        // The second is a frame to be skipped, which pzstd writes first.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => return Format::Zstd,
        [b'P', b'A', b'R', b'1', ..] => return Format::Parquet,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, b'{' | b'[', ..] | [b'{' | b'[', 0, ..] => {
            return Format::Other { found: "text in UTF-16", advice: UTF16 };
        }
        _ if head.get(257..262) == Some(b"ustar") => {
            return Format::Other { found: "a tar archive", advice: "unpack it" };
        }
        _ => {}
    }
    if let Some((_, found, advice)) = OTHERS.iter().find(|(magic, _, _)| head.starts_with(magic)) {
        return Format::Other { found, advice };
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    match text.first() {
        Some(b'[') if !is_list_of_turns(text) => Format::Array,
        Some(b'{') if is_spread(text) => Format::Values,
        _ => Format::Lines,
    }
}

/// Whether a text that begins with a bracket is a line that is a row, a list of turns (Open-Reasoner-Zero).
fn is_list_of_turns(text: &[u8]) -> bool {
    let inner = text[1..].trim_ascii_start();
    let line = inner.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let Some(key) = line.strip_prefix(b"{").map(<[u8]>::trim_ascii_start) else { return false };
    [&b"\"from\""[..], b"\"role\"", b"\"value\"", b"\"content\""].iter().any(|name| key.starts_with(name))
}

/// Whether the first line is the beginning of an object that goes on.
fn is_spread(text: &[u8]) -> bool {
    let Some(end) = text.iter().position(|&byte| byte == b'\n') else { return false };
    let is_ended = |line: &[u8]| match serde_json::from_slice::<IgnoredAny>(line) {
        Ok(_) => true,
        Err(error) => !error.is_eof(),
    };
    // A line that was cut off is no object over several lines: it has no comma or bracket before its end.
    let line = text[..end].trim_ascii_end();
    matches!(line.last(), Some(b'{' | b'[' | b',' | b':')) && !is_ended(line)
}
