//! Runs untrusted programs on Linux: each in a process that has locked itself in before the program starts, within
//! limits of memory, time, files, processes and output. It needs no root, no daemon, no container and no `unsafe`. It
//! knows programs and how they end, not what they are run for.
//!
//! # A tour
//!
//! [`Sandbox::new`] takes the path of a helper: a program whose `main` calls [`helper_main`] first, which may be the
//! caller's own, or this package's binary `sandbox-helper`. [`Sandbox::run`] runs a [`Job`] to its end.
//!
//! ```standalone_crate
//! use ruminate_sandbox::{Ending, Job, Limits, Sandbox, helper_main};
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     // First, while there is one thread: the helper is this program, started again.
//!     if let Some(code) = helper_main() {
//!         return code;
//!     }
//!     let helper = std::env::current_exe().expect("the path of this program");
//!     let sandbox = Sandbox::new(helper, 2);
//!     let job = Job {
//!         program: ["sh", "-c", "read n; echo $((n * 2)); cat /etc/passwd"].map(str::to_owned).to_vec(),
//!         stdin: "21\n".to_owned(),
//!         limits: Limits { timeout_ms: 1_000, memory_mb: 64, ..Limits::default() },
//!         ..Job::default()
//!     };
//!     match sandbox.run(&job) {
//!         Ok(ended) => {
//!             assert_eq!(ended.stdout, "42\n"); // and nothing of /etc/passwd
//!             assert_eq!(ended.ending, Ending::Exited(1));
//!         }
//!         // No job runs where a layer is missing.
//!         Err(failure) => println!("skipped: {failure}"),
//!     }
//!     ExitCode::SUCCESS
//! }
//! ```
//!
//! Every ending of a program that has started is an [`Ended`], whatever the program did: its exit code, a signal, or
//! the limit that it reached. A [`Failure`] is the system's: a missing layer, a helper or a program that does not
//! start.
//!
//! [`Sandbox::layers`] sets up the sandbox around nothing and reports what holds on this system; [`Layers::words`] are
//! sentences for the person who turns it on. [`Sandbox::run_pair`] runs two jobs that share one stream, so that what
//! judges a program is not in reach of the program.
//!
//! # How it works
//!
//! Each job has a helper of its own, in two stages. The supervisor leaves root, enters namespaces where the system
//! gives them, starts the jail and watches it. The jail limits files (Landlock), system calls (seccomp) and resources
//! (rlimits) of itself, tries out that they hold, and starts the program, which inherits them. The reply comes on a
//! pipe that the program does not have. A layer that is missing is a [`Failure`], never a job that ran without it. On
//! other systems than Linux all layers are missing.

#[cfg(target_os = "linux")]
mod cgroup;
mod concurrency;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod folder;
#[cfg(all(fuzzing, target_os = "linux"))]
#[doc(hidden)]
pub mod fuzzing;
mod helper;
#[cfg(target_os = "linux")]
mod jail;
mod job;
mod order;
mod permits;
#[cfg(target_os = "linux")]
mod proc;
#[cfg(target_os = "linux")]
mod rlimits;
#[cfg(target_os = "linux")]
mod supervisor;
#[cfg(target_os = "linux")]
mod syscalls;
#[cfg(target_os = "linux")]
mod trial;
#[cfg(target_os = "linux")]
mod watch;

pub use helper::helper_main;
pub use job::{Account, Ended, Ending, Failure, Job, Layers, Limits, Namespaces};

use order::{Answer, Assignment, End, Order, Reply, SUPERVISOR};
use permits::Permits;
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What a helper may take beyond the job's own time, on a busy machine.
const SETUP: Duration = Duration::from_secs(10);

/// Runs jobs, some at a time. It can be shared between threads.
#[derive(Debug)]
pub struct Sandbox {
    helper: PathBuf,
    workers: usize,
    permits: Permits,
}

impl Sandbox {
    /// A sandbox with the program at `helper`, whose `main` calls [`helper_main`] first, that runs at most `workers`
    /// jobs at a time.
    pub fn new(helper: impl Into<PathBuf>, workers: usize) -> Self {
        let workers = workers.max(1);
        Self { helper: helper.into(), workers, permits: Permits::new(workers) }
    }

    /// How many jobs run at a time.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Runs a job to its end and waits for it. Afterwards nothing of it is alive, and its files are gone.
    ///
    /// # Errors
    /// When it could not run: a layer is missing, the helper or the program does not start.
    pub fn run(&self, job: &Job) -> Result<Ended, Failure> {
        let patience = job.limits.wall() + SETUP;
        let _permit = self.permits.take();
        self.ended(self.start(Assignment::Run(job.clone()), None, job.limits.output_bytes, patience)?)
    }

    /// Sets up the sandbox around nothing and reports what it is made of on this system.
    ///
    /// # Errors
    /// When a layer is missing that it cannot do without: no job will run here.
    pub fn layers(&self) -> Result<Layers, Failure> {
        let _permit = self.permits.take();
        match self.answer(self.start(Assignment::Probe, None, 0, SETUP)?)? {
            Answer::Layers(layers) => Ok(layers),
            Answer::Ended(_) => Err(self.failed("it answered another question")),
        }
    }

    /// Runs two jobs at once as one: the standard input of each is an end of a channel, a stream both ways, and
    /// nothing else joins them. Neither has anything of the other's: each has its own folder, processes, account
    /// and limits. When the answering job ends, the asking one reads the channel's end and goes on; when the asking
    /// job ends, the answering one is ended.
    ///
    /// # Errors
    /// For each job, as [`run`](Self::run).
    pub fn run_pair(
        &self,
        asking: &Job,
        answering: &Job,
    ) -> (Result<Ended, Failure>, Result<Ended, Failure>) {
        let _permit = self.permits.take();
        let (asks, answers) = match channel() {
            Ok(channel) => channel,
            Err(error) => return (Err(self.failed(&error)), Err(self.failed(error))),
        };
        let start = |job: &Job, end, channel| {
            let patience = job.limits.wall() + SETUP;
            let most = job.limits.output_bytes;
            self.start(Assignment::Run(job.clone()), Some((end, channel)), most, patience)
        };
        let asking = start(asking, End::Asking, asks);
        let answering = start(answering, End::Answering, answers);
        // One after the other: with the first its end of the channel closes, and the second is ended.
        let asking = asking.and_then(|helper| self.ended(helper));
        (asking, answering.and_then(|helper| self.ended(helper)))
    }

    fn ended(&self, helper: Helper) -> Result<Ended, Failure> {
        match self.answer(helper)? {
            Answer::Ended(ended) => Ok(ended),
            Answer::Layers(_) => Err(self.failed("it answered another question")),
        }
    }

    /// Waits for the helper's reply, and ends it.
    fn answer(&self, helper: Helper) -> Result<Answer, Failure> {
        let left = helper.deadline.saturating_duration_since(Instant::now());
        let Ok(reply) = helper.reply.recv_timeout(left) else {
            helper.give_up();
            return Err(self.failed("no reply in time"));
        };
        read(&reply, helper.nonce).map_err(|reason| self.failed(reason))?
    }

    /// Starts a helper that has a folder for the job and, in a pair, an end of its channel.
    fn start(
        &self,
        task: Assignment,
        channel: Option<(End, Stdio)>,
        output_bytes: usize,
        patience: Duration,
    ) -> Result<Helper, Failure> {
        let folder =
            tempfile::Builder::new().prefix("ruminate-").tempdir().map_err(|error| self.failed(error))?;
        let nonce = RandomState::new().hash_one(folder.path());
        let (end, channel) = channel.unzip();
        let caller = std::process::id();
        let order = Order { nonce, caller, folder: folder.path().to_owned(), task, end, layers: None };
        let mut process =
            self.spawn(&order, channel.unwrap_or_else(Stdio::null)).map_err(|error| self.failed(error))?;
        // Escapes make text at most six times as long; both streams.
        let reply = reply_of(&mut process, 12 * output_bytes as u64 + (1 << 16));
        Ok(Helper { process, reply, deadline: Instant::now() + patience, nonce, _folder: folder })
    }

    /// Starts the helper in a group of its own. It gets nothing of the caller's environment, where keys may be.
    fn spawn(&self, order: &Order, channel: Stdio) -> std::io::Result<Child> {
        // A file, not a pipe: a helper that does not read cannot block the caller.
        let mut input = tempfile::tempfile()?;
        input.write_all(&serde_json::to_vec(order)?)?;
        input.rewind()?;
        let mut command = Command::new(&self.helper);
        command.args(SUPERVISOR).env_clear().current_dir(root(&self.helper));
        // The one stream that is left: the supervisor passes it to the jail, and the jail to the program.
        command.stdin(input).stdout(Stdio::piped()).stderr(channel);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn()
    }

    fn failed(&self, reason: impl ToString) -> Failure {
        Failure::Helper { helper: self.helper.display().to_string(), reason: reason.to_string() }
    }
}

/// What a helper has written to the order of that nonce.
///
/// # Errors
/// Why it is no reply to it, in words.
fn read(reply: &[u8], nonce: u64) -> Result<Result<Answer, Failure>, String> {
    let reply: Reply = serde_json::from_slice(reply).map_err(|error| {
        format!("it ended without a reply ({error}); does its `main` call `helper_main` first?")
    })?;
    if reply.nonce == nonce { Ok(reply.result) } else { Err("its reply is to another order".to_owned()) }
}

/// A folder that exists for every account. A relative path to the helper keeps its meaning only where we are.
fn root(helper: &Path) -> &Path {
    if helper.is_absolute() { Path::new("/") } else { Path::new(".") }
}

/// A helper at work on an order. Dropped, it is ended: one that has replied has ended what it started.
struct Helper {
    process: Child,
    /// What it writes until it ends.
    reply: mpsc::Receiver<Vec<u8>>,
    deadline: Instant,
    nonce: u64,
    /// Of the job; removed after it.
    _folder: TempDir,
}

impl Helper {
    /// Ends what a helper that hangs has started: its jail would die with it, but without a namespace of its own not
    /// the rest.
    fn give_up(&self) {
        #[cfg(target_os = "linux")]
        if let Some(group) = watch::group_of(self.process.id()) {
            use nix::sys::signal::{Signal, killpg};
            let _ = killpg(nix::unistd::Pid::from_raw(group), Signal::SIGKILL);
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        #[cfg(target_os = "linux")]
        cgroup::remove(self.process.id(), self.nonce);
    }
}

/// What the helper writes until it ends, as soon as it has. The reader ends with the helper.
fn reply_of(helper: &mut Child, most: u64) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    let stdout = helper.stdout.take();
    thread::spawn(move || {
        let mut reply = Vec::new();
        let _ = stdout.map(|stdout| stdout.take(most).read_to_end(&mut reply));
        let _ = send.send(reply);
    });
    receive
}

/// Both ends of a stream. No other child inherits them: they close when a program is started.
#[cfg(unix)]
fn channel() -> std::io::Result<(Stdio, Stdio)> {
    let (asking, answering) = std::os::unix::net::UnixStream::pair()?;
    Ok((std::os::fd::OwnedFd::from(asking).into(), std::os::fd::OwnedFd::from(answering).into()))
}

#[cfg(not(unix))]
fn channel() -> std::io::Result<(Stdio, Stdio)> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// The example of the README is tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
