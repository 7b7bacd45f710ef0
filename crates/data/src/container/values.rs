//! JSON values that are no lines, made lines: the elements of an array, or values over several lines. It reads no more of
//! JSON than brackets and strings; what is wrong with a value its parser finds.

use super::damaged;
use std::io::{self, BufRead, Read};

/// Where the rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// The elements of one array.
    Array,
    /// Values one after the other.
    Values,
}

/// The rows of a text, a line each.
#[allow(clippy::struct_excessive_bools, reason = "four independent facts of a scanner's place")]
pub(super) struct Values<R> {
    input: R,
    layout: Layout,
    /// Open brackets, that of the array included.
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Whether something of the row at hand was written.
    begun: bool,
    /// Whether the array has ended.
    ended: bool,
    /// What is written, and how much of it was taken.
    out: Vec<u8>,
    taken: usize,
}

impl<R: BufRead> Values<R> {
    pub(super) fn new(input: R, layout: Layout) -> Self {
        let (out, taken) = (Vec::new(), 0);
        Self {
            input,
            layout,
            depth: 0,
            in_string: false,
            escaped: false,
            begun: false,
            ended: false,
            out,
            taken,
        }
    }

    /// Depth at which a row begins.
    fn outside(&self) -> usize {
        usize::from(self.layout == Layout::Array)
    }

    fn step(&mut self, byte: u8) {
        if self.in_string {
            // A line end within a string is an error that must not make two lines.
            self.out.push(if byte == b'\n' { 1 } else { byte });
            (self.in_string, self.escaped) = match byte {
                _ if self.escaped => (true, false),
                b'\\' => (true, true),
                b'"' => (false, false),
                _ => (true, false),
            };
            return;
        }
        let outside = self.outside();
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {
                if self.layout == Layout::Values && self.depth == outside {
                    self.end_row();
                } else if self.begun && self.out.last() != Some(&b' ') {
                    self.out.push(b' '); // `1 2` must not become 12
                }
                return;
            }
            0xef | 0xbb | 0xbf => return, // a byte order mark
            b'[' if self.layout == Layout::Array && self.depth == 0 && !self.ended => {
                self.depth = 1;
                return;
            }
            b']' if self.layout == Layout::Array && self.depth == 1 => {
                self.depth = 0;
                self.ended = true;
                self.end_row();
                return;
            }
            b',' if self.layout == Layout::Array && self.depth == 1 => {
                if !self.begun {
                    self.out.push(b','); // an element that is missing: no JSON
                }
                self.begun = true;
                self.end_row();
                return;
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b'"' => self.in_string = true,
            _ => {}
        }
        self.begun = true;
        self.out.push(byte);
        if self.layout == Layout::Values && self.depth == 0 && matches!(byte, b'}' | b']') {
            self.end_row();
        }
    }

    fn end_row(&mut self) {
        if std::mem::take(&mut self.begun) {
            self.out.push(b'\n');
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        let what = match self.layout {
            Layout::Array => "JSON array",
            Layout::Values => "JSON value",
        };
        if self.in_string || self.depth > 0 {
            return Err(damaged(format!("its {what} does not end: is the file whole?")));
        }
        self.end_row();
        Ok(())
    }
}

impl<R: BufRead> Read for Values<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.out.len() {
            self.out.clear();
            self.taken = 0;
            let bytes = self.input.fill_buf()?.to_vec();
            if bytes.is_empty() {
                self.finish()?;
                if self.out.is_empty() {
                    return Ok(0);
                }
                break;
            }
            self.input.consume(bytes.len());
            for byte in bytes {
                self.step(byte);
            }
        }
        let count = buffer.len().min(self.out.len() - self.taken);
        buffer[..count].copy_from_slice(&self.out[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}
