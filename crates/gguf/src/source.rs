//! Numbers and texts from a stream, each checked against what is left of it. It refuses to know what they mean.

use crate::error::{Error, Fault};
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};

/// A reader that knows its place and its end.
#[derive(Debug)]
pub(crate) struct Source<R> {
    inner: BufReader<R>,
    at: u64,
    len: u64,
}

impl<R: Read + Seek> Source<R> {
    /// From the beginning of a stream; its length is measured, not believed.
    pub(crate) fn new(mut inner: R) -> Result<Self, Error> {
        let len = inner.seek(SeekFrom::End(0)).map_err(Error::Read)?;
        inner.seek(SeekFrom::Start(0)).map_err(Error::Read)?;
        Ok(Self { inner: BufReader::new(inner), at: 0, len })
    }

    /// Bytes read so far.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Bytes still to come.
    pub(crate) fn left(&self) -> u64 {
        self.len - self.at
    }

    /// The error of this place.
    pub(crate) fn fault(&self, fault: Fault) -> Error {
        Error::Container { at: self.at, fault }
    }

    /// Fills a buffer that the caller has made.
    pub(crate) fn fill(&mut self, what: &'static str, buffer: &mut [u8]) -> Result<(), Error> {
        self.expect(what, buffer.len() as u64)?;
        self.inner.read_exact(buffer).map_err(|error| self.ended(what, buffer.len() as u64, error))?;
        self.at += buffer.len() as u64;
        Ok(())
    }

    /// Appends `len` bytes; memory grows by what is read.
    pub(crate) fn append(&mut self, what: &'static str, len: u64, to: &mut Vec<u8>) -> Result<(), Error> {
        self.expect(what, len)?;
        let read = (&mut self.inner).take(len).read_to_end(to).map_err(Error::Read)? as u64;
        self.at += read;
        if read < len {
            return Err(self.fault(Fault::Truncated { what, needed: len, left: read }));
        }
        Ok(())
    }

    /// Passes over `len` bytes.
    pub(crate) fn skip(&mut self, what: &'static str, len: u64) -> Result<(), Error> {
        self.expect(what, len)?;
        self.go_to(self.at + len)
    }

    /// Goes to a place that is known to lie inside.
    pub(crate) fn go_to(&mut self, at: u64) -> Result<(), Error> {
        // Relative, so that a short way stays in the buffer.
        let way = at as i64 - self.at as i64;
        self.inner.seek_relative(way).map_err(Error::Read)?;
        self.at = at;
        Ok(())
    }

    /// Little-endian bytes of a number.
    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.fill(what, &mut bytes)?;
        Ok(bytes)
    }

    /// A 32-bit count.
    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Error> {
        self.array(what).map(u32::from_le_bytes)
    }

    /// A 64-bit count.
    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, Error> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A 64-bit count of at most `limit`.
    pub(crate) fn count(&mut self, what: &'static str, limit: u64) -> Result<u64, Error> {
        match self.u64(what)? {
            found if found > limit => Err(self.fault(Fault::TooLarge { what, found, limit })),
            found => Ok(found),
        }
    }

    /// A text of at most `limit` bytes.
    pub(crate) fn string(&mut self, what: &'static str, limit: u64) -> Result<String, Error> {
        let len = self.count(what, limit)?;
        let mut bytes = Vec::new();
        self.append(what, len, &mut bytes)?;
        String::from_utf8(bytes).map_err(|_| self.fault(Fault::Utf8 { what }))
    }

    fn expect(&self, what: &'static str, needed: u64) -> Result<(), Error> {
        let left = self.left();
        if needed > left { Err(self.fault(Fault::Truncated { what, needed, left })) } else { Ok(()) }
    }

    /// A file that became shorter while it was read is cut off, too.
    fn ended(&self, what: &'static str, needed: u64, error: std::io::Error) -> Error {
        if error.kind() == ErrorKind::UnexpectedEof {
            return self.fault(Fault::Truncated { what, needed, left: 0 });
        }
        Error::Read(error)
    }
}
