//! The helper's second stage: limits itself, for good, tries out that the limits hold, and only then starts the
//! program, which inherits them. In a namespace of its own it is process 1: with its end the kernel ends all that
//! the program left behind.

use super::helper::{read_order, reply_with, take_channel};
use super::job::{Answer, Assignment, End, Ended, Ending, Failure, Job, Order};
use super::{files, rlimits, syscalls};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

/// Between two looks at the program.
const TICK: Duration = Duration::from_millis(2);

/// How long output may still arrive once the program has ended and something holds its streams open. On a busy machine
/// the threads that read it may wait for a processor meanwhile.
const DRAIN: Duration = Duration::from_secs(1);

/// Carries out the order that the first stage passes on.
pub(super) fn run() {
    match read_order() {
        Ok(order) => reply_with(order.nonce, enter(&order)),
        Err(failure) => reply_with(0, Err(failure)),
    }
}

fn enter(order: &Order) -> Result<Answer, Failure> {
    let channel = take_channel(order)?;
    let (job, probe) = match &order.task {
        Assignment::Run(job) => (job.clone(), false),
        Assignment::Probe => (Job::default(), true),
    };
    let Some(mut layers) = order.layers else {
        return Err(Failure::layer("first stage", "the order did not pass through it"));
    };
    prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|error| Failure::layer("signal at the first stage's end", error))?;
    prctl::set_child_subreaper(true).map_err(|error| Failure::layer("reaper of orphans", error))?;
    write_files(&job, &order.folder).map_err(|error| Failure::layer("folder of its own", error))?;
    rlimits::apply(&job.limits, layers)?;
    layers.landlock_signals = files::apply(&order.folder, &job.read)?;
    syscalls::apply(layers)?;
    try_out(&order.folder)?;
    if probe {
        return Ok(Answer::Layers(layers));
    }
    start(&job, order, channel).map(Answer::Ended)
}

fn write_files(job: &Job, folder: &Path) -> std::io::Result<()> {
    for (name, content) in &job.files {
        // A name comes from a recipe; the folder is left by none all the same.
        let name = Path::new(name).file_name().unwrap_or("program".as_ref());
        fs::write(folder.join(name), content)?;
    }
    std::env::set_current_dir(folder)
}

/// A layer that is in place but does not hold is no layer.
fn try_out(folder: &Path) -> Result<(), Failure> {
    if fs::read_dir("/").is_ok() || fs::read_dir("/proc").is_ok() {
        return Err(Failure::layer("Landlock", "it let a folder be read that no rule names"));
    }
    if let Some(outside) = folder.parent()
        && fs::write(outside.join(format!("ruminate-{}", std::process::id())), "").is_ok()
    {
        return Err(Failure::layer("Landlock", "it let a file be written outside the job's folder"));
    }
    if TcpListener::bind("127.0.0.1:0").is_ok() {
        return Err(Failure::layer("seccomp", "it let a socket be opened"));
    }
    Ok(())
}

fn start(job: &Job, order: &Order, channel: Option<OwnedFd>) -> Result<Ended, Failure> {
    let failed =
        |reason: String| Failure::Start { program: job.program.first().cloned().unwrap_or_default(), reason };
    let [program, args @ ..] = job.program.as_slice() else {
        return Err(failed("the job names no program".to_owned()));
    };
    // The answering job's end is watched here, too; the asking one's closes with its program.
    let (stdin, asker) = match (channel, order.end) {
        (Some(channel), Some(End::Answering)) => {
            (channel.try_clone().map_err(|error| failed(error.to_string()))?.into(), Some(channel))
        }
        (Some(channel), _) => (channel.into(), None),
        (None, _) => (Stdio::piped(), None),
    };
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .envs([("HOME", &order.folder), ("TMPDIR", &order.folder)])
        // The same verdict on every run: Python's order of sets hangs on its hash seed.
        .envs([("LANG", "C.UTF-8"), ("PYTHONHASHSEED", "0"), ("PYTHONUTF8", "1")])
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let deadline = Instant::now() + job.limits.timeout();
    let threads = |error: std::io::Error| Failure::layer("threads for its streams", error);
    feed(child.stdin.take(), job.stdin.clone()).map_err(threads)?;
    let stdout = Stream::collect(child.stdout.take(), job.limits.output_bytes).map_err(threads)?;
    let stderr = Stream::collect(child.stderr.take(), job.limits.output_bytes).map_err(threads)?;
    let ending = attend(Pid::from_raw(child.id() as i32), [&stdout, &stderr], asker.as_ref(), deadline);
    Ok(Ended { ending, stdout: stdout.text(), stderr: stderr.text() })
}

/// Until the program ends or a limit is reached. Nothing is killed here: process 1 takes all with it, and elsewhere
/// the trainer ends the group.
fn attend(child: Pid, streams: [&Stream; 2], asker: Option<&OwnedFd>, deadline: Instant) -> Ending {
    loop {
        let ended = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => Some(Ending::Exited(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => Some(Ending::Killed(signal as i32)),
            // An orphan that came here to be reaped; there may be more.
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => continue,
            _ => None,
        };
        if let Some(ended) = ended {
            let drained = Instant::now() + DRAIN;
            while streams.iter().any(|stream| stream.is_open()) && Instant::now() < drained {
                sleep(TICK);
            }
            return if streams.iter().any(|stream| stream.is_over_limit()) {
                Ending::TooMuchOutput
            } else {
                ended
            };
        }
        if streams.iter().any(|stream| stream.is_over_limit()) {
            return Ending::TooMuchOutput;
        }
        if asker.is_some_and(has_gone) {
            return Ending::WithPair;
        }
        if Instant::now() >= deadline {
            return Ending::TimedOut;
        }
        sleep(TICK);
    }
}

/// Whether the other end of the channel is closed.
fn has_gone(channel: &OwnedFd) -> bool {
    let mut seen = [PollFd::new(channel.as_fd(), PollFlags::empty())];
    let _ = poll(&mut seen, PollTimeout::ZERO);
    seen[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
}

/// Writes the program's input; a program that does not read it to the end is free to.
fn feed(stdin: Option<ChildStdin>, input: String) -> std::io::Result<()> {
    thread::Builder::new().spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())))?;
    Ok(())
}

/// What a program writes, up to a limit, collected on a thread.
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
    limit: usize,
}

impl Stream {
    fn collect(source: Option<impl Read + Send + 'static>, limit: usize) -> std::io::Result<Self> {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        let reader = thread::Builder::new().spawn(move || {
            let Some(mut source) = source else { return };
            let mut chunk = vec![0; 1 << 16];
            while let Ok(count) = source.read(&mut chunk)
                && count > 0
            {
                let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
                sink.extend_from_slice(&chunk[..count]);
                if sink.len() > limit {
                    return; // whoever goes on writing gets an error, and is about to be ended
                }
            }
        })?;
        Ok(Self { bytes, reader, limit })
    }

    fn is_open(&self) -> bool {
        !self.reader.is_finished()
    }

    fn is_over_limit(&self) -> bool {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).len() > self.limit
    }

    fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes[..bytes.len().min(self.limit)]).into_owned()
    }
}
