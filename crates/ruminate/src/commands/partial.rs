//! `FILE.partial`: the lines of an `--output` FILE as they come, in whatever order they come, so that a command that was
//! interrupted or killed goes on where it stopped. Its first line says what made it: lines of another command are never
//! mixed in. FILE itself is written at the end, whole and in order.

use crate::commands::lines::Output;
use crate::error::Refusal;
use anyhow::Result;
use ruminate_run::check_regular;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The first line.
#[derive(Serialize, Deserialize)]
struct Header {
    /// Everything that decides what the lines say, by a name for people.
    made_by: Map<String, Value>,
}

/// Where a line lies in the file, without its end.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    bytes: usize,
}

/// The lines that there are, by their number in FILE.
pub(crate) struct Partial {
    path: PathBuf,
    file: File,
    end: u64,
    lines: Vec<Option<Span>>,
}

impl Partial {
    /// Opens the file beside `output` for so many lines; none where `output` is no regular file, such as a pipe. `number` is
    /// the number of a line of it, or None of what is none.
    ///
    /// # Errors
    /// With exit code 2 where the file is that of another command, with what differs; 7 where it cannot be opened.
    pub(crate) fn open(
        output: &Path,
        made_by: Map<String, Value>,
        lines: usize,
        number: impl Fn(&str) -> Option<usize>,
    ) -> Result<Option<Self>> {
        if fs::metadata(output).is_ok_and(|there| !there.is_file()) {
            return Ok(None);
        }
        let mut path = output.as_os_str().to_owned();
        path.push(".partial");
        let path = PathBuf::from(path);
        check_regular(&path)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|source| Refusal::write(folder, source))?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, nix::fcntl::OFlag::O_NOFOLLOW.bits());
        let file = options.open(&path).map_err(|source| Refusal::write(&path, source))?;
        if file.try_lock().is_err() {
            return Err(Refusal::usage(format!("{} is being written by another process", path.display())));
        }
        let mut partial = Self { path, file, end: 0, lines: vec![None; lines] };
        let header = serde_json::to_string(&Header { made_by: made_by.clone() })?;
        partial.read(&made_by, &header, number)?;
        if partial.end == 0 {
            partial.append(&header)?;
        }
        Ok(Some(partial))
    }

    /// Reads what is there. A last line without its end is cut off.
    fn read(
        &mut self,
        made_by: &Map<String, Value>,
        header: &str,
        number: impl Fn(&str) -> Option<usize>,
    ) -> Result<()> {
        let mut reader = BufReader::new(&self.file);
        let (mut line, mut start) = (Vec::new(), 0);
        loop {
            line.clear();
            let read =
                reader.read_until(b'\n', &mut line).map_err(|source| Refusal::write(&self.path, source))?;
            let Some(text) = line.strip_suffix(b"\n") else { break };
            if start == 0 {
                check(&self.path, text, made_by)?;
            } else if let Some(number) = std::str::from_utf8(text).ok().and_then(&number)
                && let Some(place) = self.lines.get_mut(number)
            {
                place.get_or_insert(Span { start, bytes: text.len() });
            }
            start += read as u64;
        }
        if start == 0 && !header.as_bytes().starts_with(&line) {
            check(&self.path, &line, made_by)?; // not even the beginning of ours
        }
        self.file.set_len(start).map_err(|source| Refusal::write(&self.path, source))?;
        self.end = start;
        Ok(())
    }

    /// Its path, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many lines there are.
    pub(crate) fn len(&self) -> usize {
        self.lines.iter().flatten().count()
    }

    /// Whether a line is there.
    pub(crate) fn has(&self, number: usize) -> bool {
        self.lines[number].is_some()
    }

    /// Adds a line of FILE by its number.
    ///
    /// # Errors
    /// With exit code 7; what was written before stands.
    pub(crate) fn add(&mut self, number: usize, line: &impl Serialize) -> Result<()> {
        let span = self.append(&serde_json::to_string(line)?)?;
        self.lines[number] = Some(span);
        Ok(())
    }

    fn append(&mut self, line: &str) -> Result<Span> {
        let start = self.end;
        let mut bytes = line.as_bytes().to_owned();
        bytes.push(b'\n');
        let written = self.file.seek(SeekFrom::Start(start)).and_then(|_| self.file.write_all(&bytes));
        if let Err(error) = written {
            let _ = self.file.set_len(start); // a full disk leaves half a line, which the next process cuts off, too
            return Err(Refusal::write(&self.path, error));
        }
        self.end += bytes.len() as u64;
        Ok(Span { start, bytes: line.len() })
    }

    /// Writes all lines to `output` in their order, and removes the file. All have to be there.
    ///
    /// # Errors
    /// With exit code 7; the file then stays.
    pub(crate) fn finish(mut self, output: &Path) -> Result<()> {
        let mut whole = Output::open(Some(output))?;
        for span in self.lines.iter().flatten() {
            let mut line = vec![0; span.bytes];
            let read =
                self.file.seek(SeekFrom::Start(span.start)).and_then(|_| self.file.read_exact(&mut line));
            read.map_err(|source| Refusal::write(&self.path, source))?;
            whole.written(&String::from_utf8_lossy(&line))?;
        }
        whole.finish()?;
        fs::remove_file(&self.path).map_err(|source| Refusal::write(&self.path, source))
    }
}

/// Refuses a file whose first line is not that of this command.
fn check(path: &Path, first: &[u8], made_by: &Map<String, Value>) -> Result<()> {
    let path = path.display();
    let Ok(Header { made_by: found }) = serde_json::from_slice(first) else {
        return Err(Refusal::usage(format!(
            "{path} is in the way: results are kept there until all are written, and it has other content; move it away"
        )));
    };
    let keys = made_by.keys().chain(found.keys().filter(|key| !made_by.contains_key(*key)));
    let differs = keys.filter(|key| made_by.get(*key) != found.get(*key));
    let told: Vec<String> = differs.map(|key| difference(key, found.get(key), made_by.get(key))).collect();
    if told.is_empty() {
        return Ok(());
    }
    Err(Refusal::usage(format!(
        "{path} has the results so far of another command: {}; repeat that command to go on with it, or remove the file to \
         begin again",
        told.join(", ")
    )))
}

/// What differs, for people: of contents only that they do.
fn difference(key: &str, then: Option<&Value>, now: Option<&Value>) -> String {
    let is_hash = |value: Option<&Value>| value.and_then(Value::as_str).is_some_and(|text| text.len() == 64);
    if is_hash(then) || is_hash(now) {
        return format!("{key} has other content");
    }
    let shown = |value: Option<&Value>| value.map_or_else(|| "not set".to_owned(), Value::to_string);
    format!("{key} was {} and is {}", shown(then), shown(now))
}

#[cfg(test)]
mod tests {
    use super::Partial;
    use serde_json::{Map, Value, json};
    use std::fs;
    use std::path::Path;

    fn made_by(temperature: f64) -> Map<String, Value> {
        let made = json!({ "temperature": temperature, "the model": "a".repeat(64) });
        made.as_object().expect("an object").clone()
    }

    fn open(output: &Path, temperature: f64) -> anyhow::Result<Partial> {
        let number =
            |line: &str| serde_json::from_str::<Value>(line).ok()?["index"].as_u64().map(|n| n as usize);
        Ok(Partial::open(output, made_by(temperature), 3, number)?.expect("a regular file"))
    }

    #[test]
    fn lines_come_in_any_order_over_several_processes_and_leave_in_theirs() {
        let folder = tempfile::tempdir().expect("a folder");
        let output = folder.path().join("out.jsonl");
        let path = folder.path().join("out.jsonl.partial");
        let mut first = open(&output, 1.0).expect("made");
        first.add(2, &json!({ "index": 2, "text": "c" })).expect("written");
        first.add(0, &json!({ "index": 0, "text": "a" })).expect("written");
        assert!(!output.exists(), "FILE is whole or absent");
        let in_use = format!("{:#}", open(&output, 1.0).err().expect("locked"));
        assert!(in_use.contains("another process"), "{in_use}");
        drop(first);
        // Killed in the middle of a line.
        let text = fs::read_to_string(&path).expect("kept");
        fs::write(&path, &text[..text.len() - 4]).expect("cut");
        let mut second = open(&output, 1.0).expect("goes on");
        assert_eq!((second.len(), second.has(2), second.has(0)), (1, true, false));
        second.add(0, &json!({ "index": 0, "text": "A" })).expect("written");
        second.add(1, &json!({ "index": 1, "text": "b" })).expect("written");
        second.finish(&output).expect("complete");
        let lines = fs::read_to_string(&output).expect("there");
        let texts: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["text"].clone())
            .collect();
        assert_eq!((texts, path.exists()), (vec![json!("A"), json!("b"), json!("c")], false));
    }

    #[test]
    fn lines_of_another_command_are_refused_with_what_differs() {
        let folder = tempfile::tempdir().expect("a folder");
        let output = folder.path().join("out.jsonl");
        open(&output, 1.0).expect("made").add(1, &json!({ "index": 1 })).expect("written");
        let refused = format!("{:#}", open(&output, 0.5).err().expect("another temperature"));
        assert!(
            refused.contains("temperature was 1.0 and is 0.5") && !refused.contains("the model"),
            "{refused}"
        );
        let path = folder.path().join("out.jsonl.partial");
        let kept = fs::read_to_string(&path).expect("there");
        fs::write(&path, kept.replace("aaaa", "bbbb")).expect("written");
        let refused = format!("{:#}", open(&output, 1.0).err().expect("another model"));
        assert!(refused.contains("the model has other content"), "{refused}");
        fs::write(&path, "mine").expect("written");
        let refused = format!("{:#}", open(&output, 1.0).err().expect("not ours"));
        assert!(refused.contains("in the way"), "{refused}");
        assert_eq!(fs::read_to_string(&path).expect("there"), "mine", "and it is as it was");
    }
}
