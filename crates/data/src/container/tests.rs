//! Claims about files of rows: what holds them changes nothing of them, and no file takes more than its size allows.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::open;
use crate::Error;
use crate::jsonl::{BadLines, MAX_ROWS, objects, read, tasks};
use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};
use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// A file with these bytes, in a folder that lives as long.
fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

fn rows(bytes: &[u8]) -> Result<Vec<(usize, Value)>, String> {
    let (_folder, path) = file("rows", bytes);
    let read = objects(&path, BadLines::Refuse).map_err(|error| error.to_string())?;
    Ok(read.rows.into_iter().map(|row| (row.line, Value::Object(row.value))).collect())
}

#[test]
fn what_holds_the_rows_changes_nothing_of_them() {
    let (a, b) = (
        json!({"prompt": "a, [b] {c} \"d\" \\", "answer": [1, {"x": "]"}]}),
        json!({"prompt": "é\n", "answer": 2.50}),
    );
    let lines = format!("{a}\n{b}\n");
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    let expected = vec![(1, a.clone()), (2, b.clone())];
    for text in [
        lines.clone(),
        format!("\u{feff}{a}\r\n{b}"),
        format!("[{a},{b}]"),
        format!("\u{feff} [\n  {a}  ,\n{b}\n]\n"),
        pretty(&json!([a, b])),
        format!("{}\n{}\n", pretty(&a), pretty(&b)),
        format!("{}{}", pretty(&a), pretty(&b)),
    ] {
        assert_eq!(rows(text.as_bytes()), Ok(expected.clone()), "{text}");
        assert_eq!(rows(&gzip(text.as_bytes())), Ok(expected.clone()), "gzip of {text}");
        assert_eq!(rows(&zstd(text.as_bytes())), Ok(expected.clone()), "zstd of {text}");
    }
    let (first, second) = (format!("{a}\n"), format!("{b}\n"));
    let members = [gzip(first.as_bytes()), gzip(second.as_bytes())].concat();
    assert_eq!(rows(&members), Ok(expected.clone()), "two members");
    let skipped =
        [&b"\x50\x2a\x4d\x18\x03\0\0\0abc"[..], &zstd(first.as_bytes()), &zstd(second.as_bytes())].concat();
    assert_eq!(rows(&skipped), Ok(expected), "a frame to be skipped, and two");
}

#[test]
fn an_array_that_is_damaged_is_refused_with_the_number_of_its_row() {
    for (text, says) in [
        (r#"[{"a": 1}, {"a": 2}"#, "its JSON array does not end"),
        (r#"[{"a": 1}, {"a": "2}"#, "its JSON array does not end"),
        (r#"[{"a": 1},, {"a": 2}]"#, "rows:2: expected one JSON object"),
        (r#"[{"a": 1} {"a": 2}]"#, "rows:1: expected one JSON object"),
        (r#"[{"a": 1}, {"a": 2}] x"#, "rows:3: expected one JSON object"),
        ("[{\"a\": 1}, {\"a\": \"2\n\"}]", "rows:2: expected one JSON object"),
        (r#"[{"a": 1}, 7]"#, "rows:2: expected one JSON object, found a number"),
        (r"[]", "expected at least one row"),
        ("{\n  \"a\": 1\n", "its JSON value does not end"),
    ] {
        let refused = rows(text.as_bytes()).unwrap_err();
        assert!(refused.contains(says), "{text}: {refused}");
    }
}

#[test]
fn other_files_are_named_with_what_to_do() {
    for (bytes, found, advice) in [
        (&b"PK\x03\x04...."[..], "a zip archive", "unpack it"),
        (b"\xff\xfe{\0}\0", "text in UTF-16", "iconv -f UTF-16"),
        (b"{\0\"\0", "text in UTF-16", "iconv"),
        (b"\xfd7zXZ\0\0", "compressed by xz", "unxz"),
        (b"ARROW1\0\0", "an Arrow file", "to_parquet"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS", "git lfs pull"),
        (b"<!DOCTYPE html>", "the page of an error", "download"),
        (&gzip(&gzip(b"{}")), "compressed twice", "once"),
        (&gzip(b"PAR1...."), "a compressed parquet file", "decompress it"),
    ] {
        let (_folder, path) = file("a.jsonl", bytes);
        let refused = open(&path).err().unwrap();
        assert!(matches!(refused, Error::Format { .. }), "{refused}");
        let refused = refused.to_string();
        assert!(refused.contains(found) && refused.contains(advice), "{refused}");
    }
}

#[test]
fn a_bomb_ends_where_it_is_larger_than_its_size_allows() {
    // 100 MiB of zeros, of spaces between rows, and of good rows in less than half a megabyte.
    let mebibyte = |unit: &[u8]| unit.repeat((1 << 20) / unit.len());
    for unit in [mebibyte(&[0]), mebibyte(b" "), mebibyte(b"{\"prompt\": \"p\", \"answer\": 1}\n")] {
        for bomb in [gzip(&unit).repeat(100), zstd(&unit).repeat(100)] {
            assert!(bomb.len() < 1 << 19, "{}", bomb.len());
            let (_folder, path) = file("bomb", &bomb);
            let mut size = 0;
            let mut buffer = vec![0; 1 << 20];
            let mut lines = open(&path).unwrap();
            let error = loop {
                match lines.read(&mut buffer) {
                    Ok(0) => panic!("{size} bytes were read"),
                    Ok(read) => size += read,
                    Err(error) => break error.to_string(),
                }
            };
            assert!(size <= (64 << 20).max(256 * bomb.len()), "{size}");
            assert!(error.contains("grow to more than"), "{error}");
        }
    }
}

#[test]
fn rows_are_bounded() {
    let endless = BufReader::new(io::repeat(b'\n'));
    let refused = read(endless, Path::new("endless"), BadLines::Skip, |_| Ok(())).unwrap_err();
    assert!(matches!(refused, Error::TooManyRows { .. }), "{refused}");
    assert!(refused.to_string().contains(&MAX_ROWS.to_string()));
}

#[test]
fn a_damaged_compressed_file_is_an_error() {
    let text = "{\"prompt\": \"p\", \"answer\": \"a\"}\n".repeat(40);
    for bytes in [gzip(text.as_bytes()), zstd(text.as_bytes())] {
        assert!(rows(&bytes[..bytes.len() - 6]).is_err(), "cut off");
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            // What is read is text, or an error; it neither panics nor hangs.
            let (_folder, path) = file("damaged", &damaged);
            let _ = tasks(&path, BadLines::Skip);
        }
    }
}

#[cfg(feature = "parquet")]
mod parquet {
    use super::{PathBuf, Value, fs, objects, open, tasks};
    use crate::jsonl::BadLines;
    use serde_json::Map;

    fn fixture(name: &str) -> PathBuf {
        ruminate_testkit::fixture_path("data").join(name)
    }

    fn expected(name: &str) -> Vec<Map<String, Value>> {
        serde_json::from_str(&fs::read_to_string(fixture(name)).unwrap()).unwrap()
    }

    #[test]
    fn rows_are_those_that_pyarrow_wrote() {
        for codec in ["none", "snappy", "gzip", "zstd", "lz4"] {
            for (kind, rows) in [("", "rows.json"), ("v2-", "rows.json"), ("lists-", "lists.json")] {
                let name = format!("{kind}{codec}.parquet");
                let read = objects(fixture(&name), BadLines::Refuse).unwrap();
                let (lines, found): (Vec<_>, Vec<_>) =
                    read.rows.into_iter().map(|row| (row.line, row.value)).unzip();
                assert_eq!(found, expected(rows), "{name}");
                assert_eq!(lines, (1..=found.len()).collect::<Vec<_>>());
            }
        }
        let read = tasks(fixture("lists-zstd.parquet"), BadLines::Refuse).unwrap();
        assert_eq!((read.rows.len(), read.rows[3].value.answer.as_str()), (20, "4"));
        assert_eq!(tasks(fixture("snappy.parquet"), BadLines::Refuse).unwrap().rows[7].value.answer, "49");
    }

    #[test]
    fn a_compression_that_is_not_read_is_named() {
        let refused = open(fixture("brotli.parquet")).err().unwrap().to_string();
        assert!(refused.contains("BROTLI") && refused.contains("zstd"), "{refused}");
    }

    #[test]
    fn a_damaged_file_is_rows_or_an_error() {
        for name in ["zstd.parquet", "v2-snappy.parquet", "lists-lz4.parquet", "v2-gzip.parquet"] {
            let bytes = fs::read(fixture(name)).unwrap();
            let mut errors = 0;
            let mut read = |bytes: &[u8]| {
                let (_folder, path) = super::file("damaged.parquet", bytes);
                errors += usize::from(objects(&path, BadLines::Skip).is_err());
            };
            for at in (4..bytes.len()).step_by(7) {
                let mut damaged = bytes.clone();
                damaged[at] ^= [0xff, 0x80, 0x01][at % 3];
                read(&damaged);
            }
            for end in [5, 12, bytes.len() / 2, bytes.len() - 1] {
                read(&bytes[..end]);
            }
            assert!(errors > bytes.len() / 140, "{name}: {errors} errors");
        }
    }
}
