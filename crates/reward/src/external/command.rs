//! A reward that is a program of the user's: JSON lines in, JSON lines out. The program is trusted, it runs as the
//! trainer does; it is not trusted to answer, to answer sense, or to live.

use crate::Error;
use crate::external::protocol::{self, MAX_ANSWER};
use crate::verifier::{Response, Verifier};
use ruminate_data::{Task, Verdict};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How the program is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CommandOptions {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The time for one answer, in milliseconds; the first includes the program's start.
    pub timeout_ms: u64,
    /// Copies of the program, each with one completion at a time.
    pub workers: usize,
    /// How often in a row the program may be started again without having given an answer.
    pub max_restarts: usize,
}

impl Default for CommandOptions {
    /// One copy, 30 s an answer, 3 restarts in a row.
    fn default() -> Self {
        Self { command: Vec::new(), timeout_ms: 30_000, workers: 1, max_restarts: 3 }
    }
}

/// The verdict of a program that stays alive between calls.
///
/// It reads a line `{"id", "task", "prompt", "completion", "finish_reason"}` (`task` has `prompt`, `answer` and the
/// source's other columns) and writes a line `{"score", "verdict", "why", "extracted", "id"}`, of which `score` or
/// `verdict` is needed, and flushes it. When standard input ends it should end, too. One that dies is started
/// again and asked once more. One that is late is ended, as is one that writes what is no answer, since it is unknown
/// what it would say next; those completions are unscored.
#[derive(Debug)]
pub struct CommandReward {
    name: String,
    options: CommandOptions,
    next_id: AtomicU64,
    idle: Mutex<Idle>,
    returned: Condvar,
}

/// Copies of the program that are not in use.
#[derive(Debug)]
struct Idle {
    /// `None` is one that has to be started.
    copies: Vec<Option<Running>>,
    /// Failures since the last answer.
    failures: usize,
}

impl CommandReward {
    /// The reward under the name with which it is reported. The program is started by the first completion.
    ///
    /// # Errors
    /// [`Error::Option`] when there is no program, no copy of it or no time.
    pub fn new(name: impl Into<String>, options: CommandOptions) -> Result<Self, Error> {
        let wrong =
            |key, reason: &str| Err(Error::Option { kind: "command", key, reason: reason.to_owned() });
        if options.command.is_empty() {
            return wrong("command", "expected a list of the program and its arguments, found none");
        }
        if options.workers == 0 {
            return wrong("workers", "expected a whole number from 1, found 0");
        }
        if options.timeout_ms == 0 {
            return wrong("timeout_ms", "expected a whole number from 1, found 0");
        }
        let copies = (0..options.workers).map(|_| None).collect();
        let idle = Mutex::new(Idle { copies, failures: 0 });
        Ok(Self { name: name.into(), options, next_id: AtomicU64::new(0), idle, returned: Condvar::new() })
    }

    fn judge(&self, task: &Task, response: &Response<'_>) -> Result<Verdict, String> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request = protocol::request(id, task, response)?;
        let mut copy = self.take()?;
        let result = self
            .ask(&mut copy, &request)
            .and_then(|line| protocol::answer(&line, id).inspect_err(|_| copy = None));
        self.give_back(copy, result.is_ok());
        result
    }

    /// The program's line, from a second copy where the first has died.
    fn ask(&self, copy: &mut Option<Running>, request: &str) -> Result<String, String> {
        let line = match self.ask_once(copy, request)? {
            Err(Silence::Ended) => self.ask_once(copy, request)?,
            first => first,
        };
        line.map_err(|silence| silence.words(&self.options))
    }

    /// Starts the program where it does not run; ends it where it does not answer.
    fn ask_once(&self, copy: &mut Option<Running>, request: &str) -> Result<Result<String, Silence>, String> {
        let running = match copy {
            Some(running) => running,
            None => copy.insert(Running::start(&self.options.command)?),
        };
        let line = running.ask(request, Duration::from_millis(self.options.timeout_ms));
        if line.is_err() {
            *copy = None;
        }
        Ok(line)
    }

    fn take(&self) -> Result<Option<Running>, String> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut idle = self
            .returned
            .wait_while(idle, |idle| idle.copies.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        if idle.failures > self.options.max_restarts {
            return Err(format!(
                "{:?} has failed {} times in a row and is not started again (`max_restarts`)",
                self.options.command, idle.failures
            ));
        }
        // One that runs, where there is one.
        let at = idle.copies.iter().position(Option::is_some).unwrap_or(0);
        Ok(idle.copies.swap_remove(at))
    }

    fn give_back(&self, copy: Option<Running>, answered: bool) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.failures = if answered { 0 } else { idle.failures + 1 };
        idle.copies.push(copy);
        drop(idle);
        self.returned.notify_one();
    }
}

impl Verifier for CommandReward {
    fn name(&self) -> &str {
        &self.name
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        self.judge(task, response).unwrap_or_else(Verdict::unscored)
    }
}

/// Why there is no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    /// The program has ended, or closed a stream.
    Ended,
    /// It is late.
    Late,
    /// Its line is too long.
    Endless,
}

impl Silence {
    fn words(self, options: &CommandOptions) -> String {
        let program = &options.command;
        match self {
            Self::Ended => format!("{program:?} ended without an answer"),
            Self::Late => format!("{program:?} gave no answer within {} ms", options.timeout_ms),
            Self::Endless => format!("{program:?} wrote a line of more than {MAX_ANSWER} bytes"),
        }
    }
}

/// A copy of the program, with a thread for each stream, so that a program that does not read or write costs time
/// only.
#[derive(Debug)]
struct Running {
    child: Child,
    requests: SyncSender<String>,
    answers: Receiver<Result<String, Silence>>,
}

impl Running {
    fn start(command: &[String]) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("{command:?} does not start: {error}");
        let [program, args @ ..] = command else {
            return Err("no program is named".to_owned());
        };
        let mut process = Command::new(program);
        // What it complains of reaches the terminal.
        process.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut process, 0);
        let mut child = process.spawn().map_err(failed)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (requests, to_write) = sync_channel::<String>(1);
        let (read, answers) = sync_channel(1);
        thread::spawn(move || write_requests(stdin, &to_write));
        thread::spawn(move || read_answers(stdout, &read));
        Ok(Self { child, requests, answers })
    }

    fn ask(&mut self, request: &str, timeout: Duration) -> Result<String, Silence> {
        // Lines that answer no request would be taken for the next answer.
        if self.answers.try_recv().is_ok() {
            return Err(Silence::Ended);
        }
        self.requests.send(format!("{request}\n")).map_err(|_| Silence::Ended)?;
        self.answers.recv_timeout(timeout).map_err(|error| match error {
            RecvTimeoutError::Timeout => Silence::Late,
            RecvTimeoutError::Disconnected => Silence::Ended,
        })?
    }
}

fn write_requests(stdin: Option<ChildStdin>, requests: &Receiver<String>) {
    let Some(mut stdin) = stdin else { return };
    for request in requests {
        if stdin.write_all(request.as_bytes()).and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

fn read_answers(stdout: Option<ChildStdout>, answers: &SyncSender<Result<String, Silence>>) {
    let Some(stdout) = stdout else { return };
    let mut lines = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        let answer = match (&mut lines).take(MAX_ANSWER as u64).read_until(b'\n', &mut line) {
            Ok(MAX_ANSWER..) => Err(Silence::Endless),
            Ok(1..) => Ok(String::from_utf8_lossy(&line).into_owned()),
            Ok(0) | Err(_) => return,
        };
        let is_over = answer.is_err();
        if answers.send(answer).is_err() || is_over {
            return;
        }
    }
}

impl Drop for Running {
    /// Ends the program and what it started, before its number can be another's.
    fn drop(&mut self) {
        #[cfg(unix)]
        let _ = nix::sys::signal::killpg(
            nix::unistd::Pid::from_raw(self.child.id() as i32),
            nix::sys::signal::Signal::SIGKILL,
        );
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
