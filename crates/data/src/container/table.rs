//! A parquet file as lines of JSON, a line for each row, made while they are read.

use super::bound::{self, too_large};
use super::guard::guarded;
use super::{Lines, damaged, pages::Pages};
use crate::jsonl::MAX_ROWS;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use serde_json::{Map, Number, Value};
use std::fs::File;
use std::io::{self, BufReader, Read};

/// Rows that any file may have, and rows for each byte of a larger one.
const ROWS_ALWAYS: u64 = 1 << 20;
const ROWS_PER_BYTE: u64 = 8;

/// Levels of lists and structs that are read.
const DEPTH: usize = 64;

/// Opens a file that begins as parquet does.
///
/// # Errors
/// What is wrong with its footer.
pub(super) fn open(file: File) -> io::Result<Lines> {
    let size = file.metadata()?.len();
    let rows = guarded(|| {
        let reader = SerializedFileReader::new(file.try_clone()?).map_err(unreadable)?;
        let metadata = reader.metadata();
        let count: i64 =
            metadata.row_groups().iter().map(parquet::file::metadata::RowGroupMetaData::num_rows).sum();
        // Rows of equal values take next to no bytes.
        let at_most = ROWS_ALWAYS.max(size.saturating_mul(ROWS_PER_BYTE)).min(MAX_ROWS as u64);
        if u64::try_from(count).ok().is_none_or(|count| count > at_most) {
            return Err(damaged(format!(
                "its footer states {count} rows, expected at most {at_most} of its size"
            )));
        }
        let pages = Pages::new(file, metadata.clone(), size).map_err(unreadable)?;
        Ok(RowIter::from_file_into(Box::new(pages)))
    })?;
    let table = Table { rows: Some(rows), line: Vec::new(), taken: 0, written: 0, size };
    Ok(Box::new(BufReader::new(table)))
}

/// The rows that are left, and what of the last one was not read yet.
struct Table {
    /// None once there was an error.
    rows: Option<RowIter<'static>>,
    line: Vec<u8>,
    taken: usize,
    written: u64,
    size: u64,
}

impl Table {
    /// Makes the next row's line; false at the end.
    fn next_line(&mut self) -> io::Result<bool> {
        let Some(mut rows) = self.rows.take() else { return Ok(false) };
        let (rows, row) = guarded(move || {
            let row = rows.next().transpose().map_err(unreadable)?;
            Ok((rows, row))
        })?;
        let Some(row) = row else { return Ok(false) };
        self.rows = Some(rows);
        self.line.clear();
        serde_json::to_writer(&mut self.line, &object(&row, 0)?)?;
        self.line.push(b'\n');
        self.taken = 0;
        self.written += self.line.len() as u64;
        if self.written > bound::limit(self.size) {
            return Err(too_large(self.size));
        }
        Ok(true)
    }
}

impl Read for Table {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.line.len() && !self.next_line()? {
            return Ok(0);
        }
        let count = buffer.len().min(self.line.len() - self.taken);
        buffer[..count].copy_from_slice(&self.line[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

/// An error of the format's crate.
pub(super) fn unreadable(error: ParquetError) -> io::Error {
    damaged(format!("its parquet is damaged or of a kind that cannot be read: {error}"))
}

fn object(row: &Row, depth: usize) -> io::Result<Value> {
    let fields = row.get_column_iter().map(|(name, field)| Ok((name.clone(), value(field, depth + 1)?)));
    Ok(Value::Object(fields.collect::<io::Result<Map<_, _>>>()?))
}

fn value(field: &Field, depth: usize) -> io::Result<Value> {
    if depth > DEPTH {
        return Err(damaged(format!("its columns are nested more than {DEPTH} deep")));
    }
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(value) => Value::from(*value),
        Field::Byte(value) => Value::from(*value),
        Field::Short(value) => Value::from(*value),
        Field::Int(value) => Value::from(*value),
        Field::Long(value) => Value::from(*value),
        Field::UByte(value) => Value::from(*value),
        Field::UShort(value) => Value::from(*value),
        Field::UInt(value) => Value::from(*value),
        Field::ULong(value) => Value::from(*value),
        // The shortest digits that are this number in its own precision.
        Field::Float(value) => decimal(value.to_string().parse().ok()),
        Field::Double(value) => decimal(Some(*value)),
        Field::Str(text) => Value::from(text.as_str()),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => Value::from(text),
            Err(_) => Value::from(format!("({} bytes that are no text)", bytes.len())),
        },
        Field::Group(row) => object(row, depth)?,
        Field::ListInternal(list) => {
            list.elements().iter().map(|field| value(field, depth + 1)).collect::<io::Result<_>>()?
        }
        Field::MapInternal(map) => {
            let entry = |(name, field): &(Field, Field)| {
                let name = match name {
                    Field::Str(name) => name.clone(),
                    other => other.to_string(),
                };
                Ok((name, value(field, depth + 1)?))
            };
            Value::Object(map.entries().iter().map(entry).collect::<io::Result<_>>()?)
        }
        Field::Float16(_)
        | Field::Decimal(_)
        | Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_) => Value::from(field.to_string()),
    })
}

/// A number; null where JSON has none, as for NaN.
fn decimal(number: Option<f64>) -> Value {
    number.and_then(Number::from_f64).map_or(Value::Null, Value::Number)
}
