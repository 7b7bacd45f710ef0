//! Files in several parts, `NAME-00001-of-00003.gguf`: all of them opened as one. The first has the metadata, each has
//! some of the tensors. It does not know models.

use crate::container::Gguf;
use crate::error::Error;
use crate::metadata::Metadata;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Each part is an open file.
const MAX_PARTS: u64 = 512;

/// Opens a file, and of a part all others.
pub(crate) fn open(path: &Path) -> Result<Gguf<File>, Error> {
    let mut kept_bytes = 0;
    let given = Gguf::read_within(open_file(path).map_err(Error::Read)?, &mut kept_bytes)?;
    let Some((part, of)) = place(given.metadata())? else { return Ok(given) };
    let Some(name) = Name::of(path, part, of) else { return Err(Error::Split { part, of }) };
    if of > MAX_PARTS {
        let expected = format!("at most {MAX_PARTS} parts");
        return Err(given.metadata().wrong("split.count", expected));
    }
    let mut whole = if part == 1 {
        given
    } else {
        drop(given);
        kept_bytes = 0;
        name.read(1, &mut kept_bytes)?
    };
    let tensors = whole.metadata().unsigned("split.tensors.count")?;
    for number in 2..=of {
        let next = name.read(number, &mut kept_bytes)?;
        whole.append(next).map_err(|source| name.failure(number, source))?;
    }
    let found = whole.tensors().len() as u64;
    if tensors.is_some_and(|tensors| tensors != found) {
        let expected = format!("{found}, as many as the parts have");
        return Err(whole.metadata().wrong("split.tensors.count", expected));
    }
    Ok(whole.joined())
}

/// Which part this is, from 1, and of how many; `None` of a whole file.
pub(crate) fn place(metadata: &Metadata) -> Result<Option<(u64, u64)>, Error> {
    Ok(match metadata.unsigned("split.count")? {
        Some(of @ 2..) => {
            let part = metadata.unsigned("split.no")?.unwrap_or_default().saturating_add(1);
            Some((part, of))
        }
        _ => None,
    })
}

fn open_file(path: &Path) -> std::io::Result<File> {
    ruminate_files::open_regular(path).map_err(|error| match error {
        ruminate_files::Error::Read { source, .. } => source,
        other => std::io::Error::other(other),
    })
}

/// The names of the parts.
struct Name {
    folder: PathBuf,
    /// Before `-00001-of-00003.gguf`.
    stem: String,
    of: u64,
}

impl Name {
    /// Of the part at `path`, if it is named as its number.
    fn of(path: &Path, part: u64, of: u64) -> Option<Self> {
        let stem = path.file_name()?.to_str()?.strip_suffix(&suffix(part, of))?.to_owned();
        Some(Self { folder: path.parent().map(Path::to_owned).unwrap_or_default(), stem, of })
    }

    fn path(&self, part: u64) -> PathBuf {
        self.folder.join(format!("{}{}", self.stem, suffix(part, self.of)))
    }

    fn read(&self, part: u64, kept_bytes: &mut u64) -> Result<Gguf<File>, Error> {
        let path = self.path(part);
        let file = match open_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::MissingPart { part, of: self.of, path });
            }
            file => file.map_err(|source| self.failure(part, Error::Read(source)))?,
        };
        let read = Gguf::read_within(file, kept_bytes).map_err(|source| self.failure(part, source))?;
        match place(read.metadata()).map_err(|source| self.failure(part, source))? {
            Some(found) if found == (part, self.of) => Ok(read),
            found => {
                let found =
                    found.map_or("a whole file".to_owned(), |(part, of)| format!("part {part} of {of}"));
                Err(Error::OtherPart { path, found, part, of: self.of })
            }
        }
    }

    /// An error that names the part.
    fn failure(&self, part: u64, source: Error) -> Error {
        Error::Part { path: self.path(part), source: Box::new(source) }
    }
}

fn suffix(part: u64, of: u64) -> String {
    format!("-{part:05}-of-{of:05}.gguf")
}
