//! Files of rows, whatever holds them: a byte that says how (as they are, as gzip, as zstd), then the bytes. Rows or an error come out,
//! and no file grows beyond its bound.
#![no_main]

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use ruminate_data::container;
use ruminate_data::jsonl::{self, BadLines};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;

/// What a small file may grow to, and a byte more.
const BOUND: u64 = (64 << 20) + 1;

/// A folder that is written again and again.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            // libFuzzer's hook ends the process at every panic; those that become errors are none of its.
            container::silence_caught_panics();
            tempfile::tempdir().expect("a temporary folder")
        })
        .path()
}

fuzz_target!(|data: &[u8]| {
    let Some((how, data)) = data.split_first() else { return };
    let bytes = match how % 3 {
        0 => data.to_vec(),
        1 => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(data).expect("in memory");
            encoder.finish().expect("in memory")
        }
        _ => raw_zstd(data),
    };
    let path = folder().join("rows");
    fs::write(&path, bytes).expect("written");
    if let Ok(lines) = container::open(&path) {
        let mut grown = 0;
        let mut lines = lines.take(BOUND);
        let mut buffer = [0; 1 << 16];
        while let Ok(count @ 1..) = lines.read(&mut buffer) {
            grown += count as u64;
        }
        assert!(grown < BOUND || data.len() > 1 << 18, "a small file grows to {grown} bytes");
    }
    if let Err(error) = jsonl::tasks(&path, BadLines::Refuse) {
        assert!(error.to_string().len() < 1 << 16, "a message for people");
    }
});

/// A frame of raw blocks: what it holds reaches the reader of rows behind it.
fn raw_zstd(data: &[u8]) -> Vec<u8> {
    // The magic number, a window of 128 KiB, no content size and no checksum.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    let blocks: Vec<&[u8]> = data.chunks(1 << 16).collect();
    for (at, block) in blocks.iter().enumerate() {
        let last = u32::from(at + 1 == blocks.len());
        let size = u32::try_from(block.len()).expect("a block is small");
        frame.extend(&((size << 3) | last).to_le_bytes()[..3]);
        frame.extend(*block);
    }
    frame
}
