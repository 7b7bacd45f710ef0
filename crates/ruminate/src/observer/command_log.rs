//! A logger that is a program: each row of the run's logs as one line of JSON on its standard input. It is trusted, as the
//! recipe is that names it; it is not trusted to live, to read or to end, and no run waits or ends for it.
//!
//! ```text
//! {"kind": "start", "id", "name", "command", "step", "config"}     step: rows of later steps follow
//! {"kind": "metrics" | "eval" | "validation", "step", ..}          a row of the log of that name
//! {"kind": "end", "step", "complete"}
//! ```

use super::Settings;
use crate::recipe::Log;
use crate::run::stage::hash;
use anyhow::Result;
use ruminate_reward::shown_address;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Rows that may wait for a program which does not read; more are lost.
const WAITING: usize = 4096;

/// What a run says of itself first.
struct Start<'a> {
    /// Of the folder: the same for a run that is resumed or extended there.
    id: &'a str,
    /// The run folder's name.
    name: String,
    /// Its command, or the stage.
    label: &'a str,
    /// Steps of earlier processes.
    step: usize,
    /// The resolved recipe.
    config: Value,
}

/// Leaves out of addresses what stands for a password: rows may go to other machines.
fn hide_secrets(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("://") => *text = shown_address(text),
        Value::Array(values) => values.iter_mut().for_each(hide_secrets),
        Value::Object(table) => table.values_mut().for_each(hide_secrets),
        _ => {}
    }
}

/// A program that gets rows.
#[derive(Debug)]
pub(crate) struct CommandLog {
    command: Vec<String>,
    child: Child,
    /// None once the program is given up.
    rows: Option<SyncSender<String>>,
    /// How long the program may take at the end.
    patience: Duration,
}

impl CommandLog {
    /// The logger of an observer's run; the second value is a warning.
    ///
    /// # Errors
    /// The run folder has no path of its own any more.
    pub(crate) fn of(
        settings: &Settings,
        label: &str,
        step: usize,
    ) -> Result<(Option<Self>, Option<String>)> {
        let Settings { recipe, folder, .. } = settings;
        if recipe.log.as_ref().is_none_or(|log| log.command.is_empty()) {
            return Ok((None, None));
        }
        let name = folder.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let id = hash(&json!(folder.path().canonicalize()?.to_string_lossy()));
        let mut config = serde_json::to_value(recipe)?;
        hide_secrets(&mut config);
        Ok(Self::start(recipe.log.as_ref(), &Start { id: &id[..16], name, label, step, config }))
    }

    /// Starts the program; none where the recipe names none. The second value is a warning where it does not start.
    fn start(log: Option<&Log>, start: &Start) -> (Option<Self>, Option<String>) {
        let Some(log) = log.filter(|log| !log.command.is_empty()) else { return (None, None) };
        match Self::spawn(log) {
            Err(error) => (
                None,
                Some(format!(
                    "`log.command` {:?} does not start: {error}; the run goes on without it",
                    log.command
                )),
            ),
            Ok(mut started) => {
                let Start { id, name, label, step, config } = start;
                let row = json!({ "id": id, "name": name, "command": label, "step": step, "config": config });
                let warning = started.row("start", &row);
                (Some(started), warning)
            }
        }
    }

    fn spawn(log: &Log) -> io::Result<Self> {
        let mut process = Command::new(&log.command[0]);
        // Standard output is for our own results; what it complains of reaches the terminal.
        process.args(&log.command[1..]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit());
        // Ctrl-C is the run's: the program ends when its input does.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut process, 0);
        let mut child = process.spawn()?;
        let stdin = child.stdin.take();
        let (rows, to_write) = sync_channel(WAITING);
        thread::spawn(move || write(stdin, &to_write));
        let patience = Duration::from_millis(log.timeout_ms);
        Ok(Self { command: log.command.clone(), child, rows: Some(rows), patience })
    }

    /// Hands over a row; the answer is a warning, once, where the program is given up.
    pub(crate) fn row(&mut self, kind: &str, row: &Value) -> Option<String> {
        let rows = self.rows.as_ref()?;
        let mut line = json!({ "kind": kind });
        if let (Some(line), Some(row)) = (line.as_object_mut(), row.as_object()) {
            line.extend(row.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        let why = match rows.try_send(format!("{line}\n")) {
            Ok(()) => return None,
            Err(TrySendError::Full(_)) => format!("has not read its last {WAITING} rows"),
            Err(TrySendError::Disconnected(_)) => "has ended or closed its standard input".to_owned(),
        };
        self.rows = None;
        Some(format!(
            "`log.command` {:?} {why}; the run goes on without it, and all rows are in the run folder",
            self.command
        ))
    }

    /// Says that the run ends, and gives the program its time to do so, too; the answer is a warning where it did not.
    pub(crate) fn end(mut self, step: usize, complete: bool) -> Option<String> {
        self.rows.as_ref()?; // else it was given up, and warned of
        let warning = self.row("end", &json!({ "step": step, "complete": complete }));
        warning.or_else(|| match self.wait() {
            Some(status) if status.success() => None,
            Some(status) => Some(format!("`log.command` {:?} ended with {status}", self.command)),
            None => Some(format!(
                "`log.command` {:?} has not ended within {} ms after its input (`log.timeout_ms`) and is ended",
                self.command,
                self.patience.as_millis()
            )),
        })
    }

    /// Ends the program's input and waits for its end, as long as it may take.
    fn wait(&mut self) -> Option<ExitStatus> {
        self.rows = None;
        let start = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if start.elapsed() < self.patience => thread::sleep(Duration::from_millis(10)),
                _ => return None,
            }
        }
    }
}

impl Drop for CommandLog {
    /// Ends the program, where it has not ended, before its number can be another's.
    fn drop(&mut self) {
        if self.rows.is_some() {
            self.wait(); // a run that failed: what was handed over is written
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(stdin: Option<ChildStdin>, rows: &Receiver<String>) {
    let Some(mut stdin) = stdin else { return };
    for row in rows {
        if stdin.write_all(row.as_bytes()).and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::{CommandLog, Start, WAITING};
    use crate::recipe::Log;
    use serde_json::{Value, json};
    use std::fs;
    use std::time::{Duration, Instant};

    fn log(script: &str, timeout_ms: u64) -> Log {
        Log { command: ["sh", "-c", script].map(str::to_owned).to_vec(), timeout_ms }
    }

    fn start<'a>() -> Start<'a> {
        Start { id: "0f", name: "run".to_owned(), label: "grpo", step: 0, config: json!({ "seed": 3 }) }
    }

    #[test]
    fn a_program_gets_each_row_as_a_line_and_its_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows");
        let (log, warning) =
            CommandLog::start(Some(&log(&format!("cat > '{}'", path.display()), 60_000)), &start());
        assert_eq!(warning, None);
        let mut log = log.expect("started");
        assert_eq!(log.row("metrics", &json!({ "step": 1, "reward": 0.5 })), None);
        assert_eq!(log.end(1, true), None);
        let text = fs::read_to_string(path).expect("written");
        let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(rows[0]["config"]["seed"], 3);
        assert_eq!(rows[1], json!({ "kind": "metrics", "step": 1, "reward": 0.5 }));
        assert_eq!(rows[2], json!({ "kind": "end", "step": 1, "complete": true }));
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn a_program_that_dies_or_does_not_start_is_warned_of_once() {
        let (log, _) = CommandLog::start(Some(&log("exec 0<&-; exit 3", 60_000)), &start());
        let mut log = log.expect("started");
        let began = Instant::now();
        let warning = loop {
            assert!(began.elapsed() < Duration::from_mins(1), "its end is seen");
            if let Some(warning) = log.row("metrics", &json!({ "step": 1 })) {
                break warning;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        assert!(warning.contains("the run goes on without it"), "{warning}");
        assert_eq!((log.row("metrics", &json!({})), log.end(1, true)), (None, None), "once");
        let absent = Log { command: vec!["/no/such/program".to_owned()], timeout_ms: 1 };
        let (log, warning) = CommandLog::start(Some(&absent), &start());
        assert!(log.is_none() && warning.is_some_and(|warning| warning.contains("does not start")));
        assert!(CommandLog::start(None, &start()).0.is_none());
    }

    #[test]
    fn a_program_that_does_not_read_or_end_holds_nothing_up() {
        let late = log;
        let (log, _) = CommandLog::start(Some(&late("exec sleep 600", 50)), &start());
        let mut log = log.expect("started");
        let long = "x".repeat(1 << 10);
        let warnings: Vec<String> = (0..2 * WAITING)
            .filter_map(|step| log.row("metrics", &json!({ "step": step, "long": long })))
            .collect();
        assert!(warnings.len() == 1 && warnings[0].contains("has not read"), "{warnings:?}");
        assert_eq!(log.end(1, true), None, "once");
        let (log, _) = CommandLog::start(Some(&late("exec sleep 600", 50)), &start());
        let began = Instant::now();
        let warning = log.expect("started").end(1, true).expect("it does not end");
        assert!(warning.contains("has not ended within 50 ms"), "{warning}");
        assert!(began.elapsed() < Duration::from_mins(1));
    }

    #[test]
    fn passwords_of_addresses_stay_here() {
        let mut config = json!({ "reward": { "components": [{ "url": "https://user:pw@host/score?key=S3CRET" }] }, "seed": 1 });
        super::hide_secrets(&mut config);
        let text = config.to_string();
        assert!(text.contains("https://***@host/score?***") && !text.contains("S3CRET"), "{text}");
    }
}
