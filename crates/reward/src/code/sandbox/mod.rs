//! A sandbox for programs that nobody has read: the trainer's side. It knows jobs, not what they are worth.
//!
//! Each job has a helper of its own: this program, started again, leaves root, enters namespaces where the system
//! gives them, limits files (Landlock), system calls (seccomp) and resources (rlimits), tries out that they hold,
//! starts the program, and ends what it left behind. The reply comes on a pipe that the program does not have. A
//! layer that is missing is a [`Failure`], never a job that ran without it. Elsewhere than on Linux all are missing.

#[cfg(target_os = "linux")]
mod files;
mod helper;
#[cfg(target_os = "linux")]
mod inside;
mod job;
#[cfg(target_os = "linux")]
mod rlimits;
#[cfg(target_os = "linux")]
mod syscalls;
#[cfg(target_os = "linux")]
mod warden;

pub use helper::helper_main;
pub use job::{Account, Ended, Ending, Failure, Job, Layers, Limits, Namespaces};

use job::{Answer, Assignment, Order, Reply};
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// What a helper may take beyond the job's own time, on a busy machine.
const SETUP: Duration = Duration::from_secs(10);

/// Runs jobs, some at a time.
#[derive(Debug)]
pub struct Sandbox {
    helper: PathBuf,
    workers: usize,
    free: Mutex<usize>,
    freed: Condvar,
}

impl Sandbox {
    /// A sandbox with the program at `helper`, whose `main` calls [`helper_main`] first, that runs at most `workers`
    /// jobs at a time.
    pub fn new(helper: impl Into<PathBuf>, workers: usize) -> Self {
        let workers = workers.max(1);
        Self { helper: helper.into(), workers, free: Mutex::new(workers), freed: Condvar::new() }
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
        let patience = job.limits.timeout() + SETUP;
        match self.order(Assignment::Run(job.clone()), job.limits.output_bytes, patience)? {
            Answer::Ended(ended) => Ok(ended),
            Answer::Layers(_) => Err(self.failed("it answered another question")),
        }
    }

    /// Puts up the sandbox around nothing and says what it is made of on this system.
    ///
    /// # Errors
    /// When a layer is missing that it cannot do without: no job will run here.
    pub fn layers(&self) -> Result<Layers, Failure> {
        match self.order(Assignment::Probe, 0, SETUP)? {
            Answer::Layers(layers) => Ok(layers),
            Answer::Ended(_) => Err(self.failed("it answered another question")),
        }
    }

    fn order(&self, task: Assignment, output_bytes: usize, patience: Duration) -> Result<Answer, Failure> {
        let _permit = self.permit();
        let folder =
            tempfile::Builder::new().prefix("ruminate-").tempdir().map_err(|error| self.failed(error))?;
        let nonce = RandomState::new().hash_one(folder.path());
        let trainer = std::process::id();
        let order = Order { nonce, trainer, folder: folder.path().to_owned(), task, layers: None };
        let mut helper = self.start(&order).map_err(|error| self.failed(error))?;
        // Escapes make text at most six times as long; both streams.
        let most = 12 * output_bytes as u64 + (1 << 16);
        let reply = reply_of(&mut helper, most, patience);
        end(&mut helper);
        let reply = reply.ok_or_else(|| self.failed(format!("no reply within {patience:?}")))?;
        let reply: Reply = serde_json::from_slice(&reply).map_err(|error| {
            self.failed(format!(
                "it ended without a reply ({error}); does its `main` call `helper_main` first?"
            ))
        })?;
        if reply.nonce != nonce {
            return Err(self.failed("its reply is to another order"));
        }
        reply.result
    }

    /// Starts the helper in a group of its own. It gets nothing of the trainer's environment, where keys may be.
    fn start(&self, order: &Order) -> std::io::Result<Child> {
        // A file, not a pipe: a helper that does not read cannot block the trainer.
        let mut input = tempfile::tempfile()?;
        input.write_all(&serde_json::to_vec(order)?)?;
        input.rewind()?;
        let mut command = Command::new(&self.helper);
        command.args(helper::WARDEN).env_clear().current_dir(root(&self.helper));
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::null());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn()
    }

    fn permit(&self) -> Permit<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Permit(self)
    }

    fn failed(&self, reason: impl ToString) -> Failure {
        Failure::Helper { helper: self.helper.display().to_string(), reason: reason.to_string() }
    }
}

/// One of the jobs that may run at a time.
struct Permit<'a>(&'a Sandbox);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

/// A folder that exists for every account. A relative path to the helper keeps its meaning only where we are.
fn root(helper: &Path) -> &Path {
    if helper.is_absolute() { Path::new("/") } else { Path::new(".") }
}

/// What the helper writes until it ends, or `None` when that takes too long.
fn reply_of(helper: &mut Child, most: u64, patience: Duration) -> Option<Vec<u8>> {
    let stdout = helper.stdout.take()?;
    let (send, receive) = mpsc::channel();
    // The reader ends with the helper, which is ended next whatever happens here.
    thread::spawn(move || {
        let mut reply = Vec::new();
        let _ = stdout.take(most).read_to_end(&mut reply);
        let _ = send.send(reply);
    });
    receive.recv_timeout(patience).ok()
}

/// The helper that has replied has ended what it started. One that has not is given up: its second stage dies with
/// it, and in a namespace of its own all the rest.
fn end(helper: &mut Child) {
    let _ = helper.kill();
    let _ = helper.wait();
}
