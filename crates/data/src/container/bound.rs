//! How far a compressed file may grow. It does not know the compression.

use super::damaged;
use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// Bytes that any file may grow to.
const ALWAYS: u64 = 64 << 20;

/// How many times its size a file may grow. Text compresses to a tenth, repetitive tables to a fiftieth; a bomb is made
/// of a thousandth and less.
const GROWTH: u64 = 256;

/// Bytes that a file of this size may grow to.
pub(super) fn limit(size: u64) -> u64 {
    size.saturating_mul(GROWTH).max(ALWAYS)
}

/// The error of a file that grows further.
pub(super) fn too_large(size: u64) -> io::Error {
    damaged(format!(
        "its {size} bytes grow to more than {} ({GROWTH} times as many, at least {} MiB), as no data set does; \
         decompress it yourself if it is meant so",
        limit(size),
        ALWAYS >> 20
    ))
}

/// A stream that counts what is read of it.
pub(super) struct Counted<R> {
    input: R,
    read: Rc<Cell<u64>>,
}

impl<R: Read> Counted<R> {
    /// With the count.
    pub(super) fn new(input: R) -> (Self, Rc<Cell<u64>>) {
        let read = Rc::new(Cell::new(0));
        (Self { input, read: read.clone() }, read)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.read.set(self.read.get() + read as u64);
        Ok(read)
    }
}

/// A stream that ends with an error where it has become too large for what it was made of.
pub(super) struct Bounded<R> {
    input: R,
    written: u64,
    of: Rc<Cell<u64>>,
}

impl<R: Read> Bounded<R> {
    /// Of so many bytes, which may still be counted.
    pub(super) fn new(input: R, of: Rc<Cell<u64>>) -> Self {
        Self { input, written: 0, of }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.written += read as u64;
        if self.written > limit(self.of.get()) {
            return Err(too_large(self.of.get()));
        }
        Ok(read)
    }
}
