//! Logs into numbers: a table of metrics by step, and rows of other logs. A last line without its end is being
//! written, and is left for the next time; any other line that is not what it must be is an error with its number.

use crate::Error;
use ruminate_data::jsonl::{self, BadLines, Mismatch};
use ruminate_run::rows::{ALARMS, step};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// Metrics by step: a column a metric, in the order of the file; a gap where a step has no finite value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Steps, ascending.
    pub steps: Vec<u64>,
    /// Names and values, as many as there are steps.
    pub columns: Vec<(String, Vec<Option<f64>>)>,
}

impl Table {
    /// The values of a metric, when at least one step has one.
    pub fn column(&self, name: &str) -> Option<&[Option<f64>]> {
        let (_, values) = self.columns.iter().find(|(known, _)| known == name)?;
        values.iter().any(Option::is_some).then_some(values)
    }

    /// Reads `metrics.jsonl`; a log that is not there is empty.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let mut rows = rows(path, |row| {
            let mut numbers = Vec::with_capacity(row.len());
            let step = step(&row)?;
            for (name, value) in row.into_iter().filter(|(name, _)| name != ALARMS) {
                match value {
                    Value::Number(number) => numbers.push((name, number.as_f64())),
                    Value::Null => numbers.push((name, None)),
                    _ => return Err(mismatch(&format!("`{name}` to be a number or null"), "something else")),
                }
            }
            Ok((step, numbers))
        })?;
        rows.sort_by_key(|(step, _)| *step); // stable: of two rows of one step the later one is last
        rows.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        let mut table = Self::default();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (at, (step, numbers)) in rows.into_iter().enumerate() {
            table.steps.push(step);
            for (name, value) in numbers.into_iter().filter(|(name, _)| name != "step") {
                let place = *places.entry(name).or_insert_with_key(|name| {
                    table.columns.push((name.clone(), Vec::new()));
                    table.columns.len() - 1
                });
                let column = &mut table.columns[place].1;
                column.resize(at, None);
                column.push(value.filter(|value| value.is_finite()));
            }
        }
        let steps = table.steps.len();
        table.columns.iter_mut().for_each(|(_, column)| column.resize(steps, None));
        Ok(table)
    }
}

/// What the whole lines of a log hold; nothing where it is not there.
pub(crate) fn rows<T>(
    path: &Path,
    parse: impl Fn(Map<String, Value>) -> Result<T, Mismatch>,
) -> Result<Vec<T>, Error> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::read(path)(error)),
    };
    let whole = whole_lines(&mut file).map_err(Error::read(path))?;
    let reader = BufReader::new(file.take(whole));
    let read = jsonl::read(reader, path, BadLines::Refuse, |line| parse(jsonl::parse_object(line)?))?;
    Ok(read.rows.into_iter().map(|row| row.value).collect())
}

/// A row of one type.
pub(crate) fn typed<T: DeserializeOwned>(row: Map<String, Value>) -> Result<T, Mismatch> {
    serde_json::from_value(Value::Object(row))
        .map_err(|error| mismatch("the keys of such a row", &error.to_string()))
}

fn mismatch(expected: &str, found: &str) -> Mismatch {
    Mismatch { expected: expected.to_owned(), found: found.to_owned() }
}

/// Bytes up to the last line end; the file is then at its beginning.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    const CHUNK: u64 = 1 << 16;
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut chunk = Vec::new();
    let whole = loop {
        let start = end.saturating_sub(CHUNK);
        file.seek(SeekFrom::Start(start))?;
        chunk.clear();
        file.by_ref().take(end - start).read_to_end(&mut chunk)?;
        if let Some(at) = chunk.iter().rposition(|&byte| byte == b'\n') {
            break start + at as u64 + 1;
        }
        if start == 0 {
            break 0;
        }
        end = start;
    };
    file.rewind()?;
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::Table;
    use std::fs;

    fn table(text: &str) -> Result<Table, crate::Error> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, text).expect("written");
        Table::read(&path)
    }

    #[test]
    fn steps_that_lack_a_metric_have_gaps() {
        let table =
            table("{\"step\":1,\"a\":1}\n{\"step\":2,\"a\":null,\"b\":2}\n{\"step\":3}\n").expect("a table");
        assert_eq!(table.steps, [1, 2, 3]);
        assert_eq!(table.column("a"), Some(&[Some(1.0), None, None][..]));
        assert_eq!(table.column("b"), Some(&[None, Some(2.0), None][..]));
        assert_eq!(table.column("c"), None);
    }

    #[test]
    fn a_line_in_the_making_waits_and_a_repeated_step_counts_once() {
        let read = table("{\"step\":2,\"a\":1}\n{\"step\":1,\"a\":0}\n{\"step\":2,\"a\":5}\n{\"st")
            .expect("a table");
        assert_eq!((read.steps, &read.columns[0].1), (vec![1, 2], &vec![Some(0.0), Some(5.0)]));
        assert_eq!(table("{\"step\":2").expect("nothing yet"), Table::default());
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, problem) in [
            ("{\"step\":1}\n{\"step\":", "metrics.jsonl:2: expected one JSON object"),
            ("{\"step\":1}\n\n{\"a\":1}", "metrics.jsonl:3: expected a key `step`"),
            ("{\"step\":-1}", "metrics.jsonl:1: expected `step` to be a whole number"),
            ("{\"step\":1,\"a\":\"<b>\"}", "metrics.jsonl:1: expected `a` to be a number or null"),
        ] {
            let error = table(&format!("{text}\n")).expect_err(text).to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
