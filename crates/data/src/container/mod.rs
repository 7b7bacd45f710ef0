//! Opens a file of rows as lines of JSON, whatever holds them: lines, a JSON array, values over several lines, or
//! parquet (feature `parquet`), each as it is or compressed by gzip or zstd. Formats are told by their bytes, not by
//! names. It does not know what a row is for.
//!
//! No file is believed: what it grows to is bounded by its size, and what makes a decoder panic is an error.

mod bound;
#[cfg(feature = "parquet")]
mod delta;
mod guard;
#[cfg(feature = "parquet")]
mod pages;
mod sniff;
#[cfg(feature = "parquet")]
mod table;
#[cfg(test)]
mod tests;
mod values;
mod zstd;

pub use guard::silence_caught_panics;

use crate::Error;
use bound::{Bounded, Counted};
use flate2::read::MultiGzDecoder;
use guard::Guarded;
use sniff::{Format, HEAD_BYTES};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::path::Path;
use values::{Layout, Values};
use zstd::Zstd;

/// The rows of a file, as bytes that [`crate::jsonl::read`] takes: a line for each.
pub type Lines = Box<dyn BufRead>;

/// A stream whose beginning was looked at.
type Looked<R> = Chain<Cursor<Vec<u8>>, R>;

/// Opens a file of rows. Line numbers are those of rows where the file has no lines of its own.
///
/// # Errors
/// [`Error::Read`], and [`Error::Format`] for a file that is something else, with what to do. Reading what is returned
/// fails where a compressed file is damaged, or grows beyond 256 times its size (64 MiB are always allowed).
pub fn open(path: impl AsRef<Path>) -> Result<Lines, Error> {
    let path = path.as_ref();
    let unreadable = |source| Error::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let head = head(&mut file).map_err(unreadable)?;
    let decoder: Box<dyn Read> = match sniff::format(&head) {
        Format::Parquet => return parquet(path, file),
        Format::Gzip => {
            let (input, read) = Counted::new(again(head, file));
            Box::new(Bounded::new(Guarded::new(MultiGzDecoder::new(BufReader::new(input))), read))
        }
        Format::Zstd => {
            let (input, read) = Counted::new(again(head, file));
            Box::new(Bounded::new(Guarded::new(Zstd::new(BufReader::new(input))), read))
        }
        plain => return text(path, plain, again(head, file)),
    };
    let mut decoder = decoder;
    let head = self::head(&mut decoder).map_err(unreadable)?;
    match sniff::format(&head) {
        Format::Gzip | Format::Zstd => Err(refused(path, "a file compressed twice", "decompress it once")),
        Format::Parquet => {
            Err(refused(path, "a compressed parquet file", "decompress it: parquet compresses by itself"))
        }
        plain => text(path, plain, again(head, decoder)),
    }
}

/// Rows in text.
fn text(path: &Path, format: Format, input: impl Read + 'static) -> Result<Lines, Error> {
    let input = BufReader::new(input);
    match format {
        Format::Lines => Ok(Box::new(input)),
        Format::Array => Ok(Box::new(BufReader::new(Values::new(input, Layout::Array)))),
        Format::Values => Ok(Box::new(BufReader::new(Values::new(input, Layout::Values)))),
        Format::Other { found, advice } => Err(refused(path, found, advice)),
        Format::Gzip | Format::Zstd | Format::Parquet => unreachable!("handled by the caller"),
    }
}

#[cfg(feature = "parquet")]
fn parquet(path: &Path, file: File) -> Result<Lines, Error> {
    table::open(file).map_err(|source| Error::Read { path: path.to_owned(), source })
}

#[cfg(not(feature = "parquet"))]
fn parquet(path: &Path, _: File) -> Result<Lines, Error> {
    let advice = "this build cannot read it (feature `parquet`); write it as JSON lines";
    Err(refused(path, "a parquet file", advice))
}

fn refused(path: &Path, found: &'static str, advice: &'static str) -> Error {
    Error::Format { path: path.to_owned(), found, advice }
}

/// The first bytes of a stream, fewer where it ends.
fn head(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    input.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

fn again<R: Read>(head: Vec<u8>, rest: R) -> Looked<R> {
    Cursor::new(head).chain(rest)
}

/// An error of a file's contents.
fn damaged(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.into())
}
