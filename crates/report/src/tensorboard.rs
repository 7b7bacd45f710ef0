//! TensorBoard's event files: scalars by step. A file is a row of TFRecords, each an `Event` of
//! tensorboard/compat/proto/event.proto, whose few fields we write ourselves.
//!
//! A resumed run goes on in its file: what lies beyond the step that it resumes from is cut off, so no step is there
//! twice. A record that a kill left half written is cut off as well.

mod crc32c;
mod proto;
mod record;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The name; TensorBoard reads files whose name contains `tfevents`.
const NAME: &str = "events.out.tfevents.ruminate";

/// A file of scalars.
#[derive(Debug)]
pub struct EventFile {
    file: File,
    /// Up to the last whole record, in bytes.
    len: u64,
}

impl EventFile {
    /// Opens the file of a folder, making both where they are missing, and keeps the scalars of steps up to `last`;
    /// with none, the file begins anew.
    ///
    /// # Errors
    /// When it cannot be read or written, or is no regular file.
    pub fn open(folder: &Path, last: Option<u64>) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(NAME);
        // A link may lead to a device, and reading that may never end.
        if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(io::Error::other(format!("{NAME} is no regular file")));
        }
        let kept = match last {
            Some(last) => kept(&path, last)?,
            None => 0,
        };
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.set_len(kept)?;
        let mut events = Self { file, len: kept };
        if kept == 0 {
            events.write(&proto::version(now()))?;
        }
        Ok(events)
    }

    /// Appends scalars of a step, those that are finite, in one write.
    ///
    /// # Errors
    /// When the disk refuses; the file then ends with the record before.
    pub fn scalars<'a>(
        &mut self,
        step: u64,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> io::Result<()> {
        let values: Vec<(&str, f32)> = values
            .into_iter()
            .map(|(name, value)| (name, value as f32))
            .filter(|(_, value)| value.is_finite())
            .collect();
        if values.is_empty() { Ok(()) } else { self.write(&proto::scalars(now(), step, &values)) }
    }

    fn write(&mut self, event: &[u8]) -> io::Result<()> {
        let record = record::encode(event);
        let written = self.file.write_all(&record).and_then(|()| self.file.flush());
        match written {
            Ok(()) => self.len += record.len() as u64,
            Err(_) => self.file.set_len(self.len)?,
        }
        written
    }
}

/// Bytes of the whole records up to the first that is broken, or of a later step.
fn kept(path: &Path, last: u64) -> io::Result<u64> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut at = 0;
    while let Some(event) = record::decode(&bytes[at..]) {
        if proto::step(event).is_none_or(|step| step > last) {
            break;
        }
        at += event.len() + record::FRAME;
    }
    Ok(at as u64)
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|time| time.as_secs_f64()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{EventFile, NAME, proto, record};
    use std::fs;

    /// Made by fixtures/report/make.py with TensorBoard's own writer.
    const GOLDEN: &[u8] = include_bytes!("../../../fixtures/report/events.tfevents");

    #[test]
    fn the_bytes_are_those_of_tensorboards_own_writer() {
        let scalars = [("reward", 0.25), ("completions/mean_length", 31.5), ("αβ", -1e-7), ("zero", 0.0)];
        let ours = [
            proto::version(1.7e9),
            proto::scalars(1.7e9 + 0.5, 0, &[("pass@1", 0.5)]),
            proto::scalars(1.7e9 + 1.25, 1, &scalars),
            proto::scalars(1.7e9 + 2.0, 300, &scalars),
        ];
        let ours: Vec<u8> = ours.iter().flat_map(|event| record::encode(event)).collect();
        assert_eq!(ours, GOLDEN);
    }

    #[test]
    fn a_resumed_run_has_no_step_twice_and_no_half_record() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(NAME);
        let mut events = EventFile::open(folder.path(), None).expect("opened");
        for step in 1..=4 {
            events.scalars(step, [("loss", 1.0), ("nothing", f64::NAN)]).expect("written");
        }
        drop(events);
        let whole = fs::read(&path).expect("a file");
        fs::write(&path, &whole[..whole.len() - 3]).expect("a kill");
        let mut events = EventFile::open(folder.path(), Some(3)).expect("opened");
        events.scalars(4, [("loss", 2.0)]).expect("written");
        assert_eq!(steps(&path), [0, 1, 2, 3, 4]);
        drop(EventFile::open(folder.path(), Some(2)).expect("opened"));
        assert_eq!(steps(&path), [0, 1, 2]);
        drop(EventFile::open(folder.path(), None).expect("opened"));
        assert_eq!(steps(&path), [0], "the version alone");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_refused_without_being_read() {
        let folder = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink("/dev/zero", folder.path().join(NAME)).expect("a link");
        for last in [None, Some(3)] {
            let error = EventFile::open(folder.path(), last).expect_err("it has no end");
            assert!(error.to_string().contains("no regular file"), "{error}");
        }
    }

    fn steps(path: &std::path::Path) -> Vec<u64> {
        let bytes = fs::read(path).expect("a file");
        let (mut at, mut steps) = (0, Vec::new());
        while let Some(event) = record::decode(&bytes[at..]) {
            steps.push(proto::step(event).expect("an event"));
            at += event.len() + record::FRAME;
        }
        assert_eq!(at, bytes.len(), "whole records");
        steps
    }
}
