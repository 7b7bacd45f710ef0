//! The jail, the helper's second stage: limits itself for good, tries out that the limits hold, and only then starts
//! the program, which inherits them. In a namespace of its own it is process 1: with its end the kernel ends all that
//! the program left behind.

use crate::job::{Ended, Ending, Failure, Job, Layers, Namespaces};
use crate::order::{Answer, Assignment, End, Order, STARTED, read_order, reply_with, take_channel};
use crate::{files, proc, rlimits, syscalls, trial};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

/// Where programs of a bare name are looked for.
const PATH: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

/// Between two looks at the program.
const TICK: Duration = Duration::from_millis(2);

/// How long output that a program has left in its streams may take to be read: on a busy machine the threads that read
/// it wait for a processor.
const DRAIN: Duration = Duration::from_secs(1);

/// The same for the asking job of a pair: nothing that it starts holds its streams, and its last lines decide.
const DRAIN_OF_ASKING: Duration = Duration::from_secs(3);

/// Carries out the order that the supervisor passes on.
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
        return Err(Failure::layer("supervisor", "the order did not pass through it"));
    };
    prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|error| Failure::layer("signal at the supervisor's end", error))?;
    prctl::set_child_subreaper(true).map_err(|error| Failure::layer("reaper of orphans", error))?;
    // Where a machine has no memory left, the kernel ends the job first, and not the caller. It may not let us.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    if layers.namespaces == Namespaces::Own {
        layers.own_proc = proc::mount_own();
        proc::leave_root()?;
    }
    write_files(&job, &order.folder).map_err(|error| Failure::layer("folder of its own", error))?;
    rlimits::apply(&job.limits, layers)?;
    layers.landlock_signals = files::apply(&order.folder, &job.read)?;
    syscalls::apply()?;
    let sealed = || seal(order, layers);
    if probe {
        return on_a_thread(sealed).map(|()| Answer::Layers(layers));
    }
    // The answering job's end is watched here, too; the asking one's closes with its program.
    let clone = |channel: &OwnedFd| channel.try_clone();
    let asker = channel.as_ref().filter(|_| order.end == Some(End::Answering)).map(clone).transpose();
    let asker = asker.map_err(|error| Failure::layer("channel of its pair", error))?;
    // All that this process needs, before there is a program that could take it.
    let (streams, ends) =
        streams(&job, channel).map_err(|error| Failure::layer("pipes and threads of its streams", error))?;
    let child = on_a_thread(|| sealed().and_then(|()| start(&job, &order.folder, ends)))?;
    // The supervisor ends a job whose time is up before, unless the machine gave it none.
    let deadline = Instant::now() + job.limits.wall();
    let drain = if order.end == Some(End::Asking) { DRAIN_OF_ASKING } else { DRAIN };
    let ending = attend(Pid::from_raw(child.id() as i32), &streams, asker.as_ref(), deadline, drain);
    let [stdout, stderr] = streams.map(|stream| stream.text());
    Ok(Answer::Ended(Ended { ending, stdout, stderr }))
}

/// Calls `act` on a thread of its own, which is gone before the program can do anything. Limits that the thread adds do
/// not hold this one, and the program that it starts cannot reach it.
fn on_a_thread<T: Send>(act: impl FnOnce() -> Result<T, Failure> + Send) -> Result<T, Failure> {
    let failed = |reason: String| Failure::layer("thread to start the program", reason);
    thread::scope(|scope| {
        let thread =
            thread::Builder::new().spawn_scoped(scope, act).map_err(|error| failed(error.to_string()))?;
        thread.join().unwrap_or_else(|_| Err(failed("it panicked".to_owned())))
    })
}

/// The last limits of the thread that starts the program.
fn seal(order: &Order, layers: Layers) -> Result<(), Failure> {
    if layers.landlock_signals {
        files::keep_signals()?;
    }
    syscalls::seal(layers)?;
    trial::all(order, layers)
}

fn write_files(job: &Job, folder: &Path) -> std::io::Result<()> {
    for (name, content) in &job.files {
        // A name comes from a recipe; the folder is left by none all the same.
        let name = Path::new(name).file_name().unwrap_or("program".as_ref());
        fs::write(folder.join(name), content)?;
    }
    std::env::set_current_dir(folder)
}

fn start(job: &Job, folder: &Path, [stdin, stdout, stderr]: [Stdio; 3]) -> Result<Child, Failure> {
    let failed =
        |reason: String| Failure::Start { program: job.program.first().cloned().unwrap_or_default(), reason };
    let [program, args @ ..] = job.program.as_slice() else {
        return Err(failed("the job names no program".to_owned()));
    };
    // From here on every ending is the program's, also one in which it takes this process along.
    let mut reply = std::io::stdout().lock();
    reply.write_all(STARTED).and_then(|()| reply.flush()).map_err(|error| failed(error.to_string()))?;
    Command::new(found(program).map_err(|error| failed(error.to_string()))?)
        .args(args)
        .env_clear()
        .env("PATH", PATH.join(":"))
        .envs([("HOME", folder), ("TMPDIR", folder)])
        // The same verdict on every run: Python's order of sets hangs on its hash seed.
        .envs([("LANG", "C.UTF-8"), ("PYTHONHASHSEED", "0"), ("PYTHONUTF8", "1")])
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .map_err(|error| failed(error.to_string()))
}

/// Where a program of a bare name is. By its path it is started without a pair of packet sockets, which the filter
/// denies and the standard library otherwise makes.
fn found(program: &str) -> std::io::Result<PathBuf> {
    if program.contains('/') {
        return Ok(program.into());
    }
    let is_program = |path: &PathBuf| {
        fs::metadata(path)
            .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    let path = PATH.iter().map(|folder| Path::new(folder).join(program)).find(is_program);
    path.ok_or_else(|| std::io::Error::other(format!("it is in none of {}", PATH.join(", "))))
}

/// Standard output and error, collected, and the program's ends of its three streams.
fn streams(job: &Job, channel: Option<OwnedFd>) -> std::io::Result<([Stream; 2], [Stdio; 3])> {
    let stdin = if let Some(channel) = channel {
        channel.into()
    } else {
        let (theirs, ours) = pipe()?;
        feed(ours, job.stdin.clone())?;
        theirs.into()
    };
    let ((stdout, out), (stderr, err)) = (pipe()?, pipe()?);
    let most = job.limits.output_bytes;
    Ok(([Stream::collect(stdout, most)?, Stream::collect(stderr, most)?], [stdin, out.into(), err.into()]))
}

/// Until the program ends or a limit is reached. Nothing is killed here: process 1 takes all with it, and elsewhere
/// the supervisor ends the group.
fn attend(
    child: Pid,
    streams: &[Stream; 2],
    asker: Option<&OwnedFd>,
    deadline: Instant,
    drain: Duration,
) -> Ending {
    loop {
        let ended = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => Some(Ending::Exited(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => Some(Ending::Killed(signal as i32)),
            // An orphan that came here to be reaped; there may be more.
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => continue,
            _ => None,
        };
        if let Some(ended) = ended {
            let drained = Instant::now() + drain;
            while !streams.iter().all(Stream::is_drained) && Instant::now() < drained {
                sleep(TICK);
            }
            return if streams.iter().any(Stream::is_over_limit) { Ending::TooMuchOutput } else { ended };
        }
        if streams.iter().any(Stream::is_over_limit) {
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
fn feed(mut stdin: PipeWriter, input: String) -> std::io::Result<()> {
    thread::Builder::new().spawn(move || stdin.write_all(input.as_bytes()))?;
    Ok(())
}

/// What a program writes, up to a limit, collected on a thread.
struct Stream {
    source: Arc<PipeReader>,
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
    limit: usize,
}

impl Stream {
    fn collect(source: PipeReader, limit: usize) -> std::io::Result<Self> {
        let (source, bytes) = (Arc::new(source), Arc::new(Mutex::new(Vec::new())));
        let (from, sink) = (Arc::clone(&source), Arc::clone(&bytes));
        let reader = thread::Builder::new().spawn(move || {
            let mut chunk = vec![0; 1 << 16];
            loop {
                let mut ready = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut ready, PollTimeout::NONE);
                // Read under the lock: what has left the pipe is in `bytes` for all others.
                let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
                match (&*from).read(&mut chunk) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Ok(0) | Err(_) => return,
                    Ok(count) => sink.extend_from_slice(&chunk[..count]),
                }
                if sink.len() > limit {
                    return; // what the program goes on to write is not read, and it is about to be ended
                }
            }
        })?;
        Ok(Self { source, bytes, reader, limit })
    }

    /// Whether all that was written so far is collected, also where something holds the stream open.
    fn is_drained(&self) -> bool {
        let _bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ready = [PollFd::new(self.source.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut ready, PollTimeout::ZERO);
        let is_waiting = ready[0].revents().is_some_and(|events| events.contains(PollFlags::POLLIN));
        self.reader.is_finished() || !is_waiting
    }

    fn is_over_limit(&self) -> bool {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).len() > self.limit
    }

    fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes[..bytes.len().min(self.limit)]).into_owned()
    }
}
