//! What a caller asks for and gets back: jobs, limits, endings, failures and layers. It knows no system call.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// A program to run in the sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The program and its arguments; a bare name is looked for in `/usr/local/bin`, `/usr/bin` and `/bin`.
    pub program: Vec<String>,
    /// Files by name, written into the folder in which the program starts.
    pub files: Vec<(String, String)>,
    /// What it reads on standard input; unused in a pair, where the channel is its standard input.
    pub stdin: String,
    /// Files and folders that it may read and execute, beside those of the system.
    pub read: Vec<PathBuf>,
    /// What it may use.
    pub limits: Limits,
}

/// What a job may use. A limit that is reached ends the job; it is the program's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Time in milliseconds, from the start of the program: on processors, of all its processes together, and on the
    /// clock, less what it waited for a processor that others had. Four times as long on the clock is the end, too, or
    /// 10 s more where that is less.
    pub timeout_ms: u64,
    /// Memory in MiB: the address space of each process, and what all of them hold together, in buffers of pipes and
    /// sockets, too.
    pub memory_mb: u64,
    /// Bytes of each of standard output and standard error.
    pub output_bytes: usize,
    /// Files in MiB: each of them, and all together.
    pub files_mb: u64,
    /// Processes and threads at a time.
    pub processes: u64,
}

impl Default for Limits {
    /// 5 s, 1 GiB, 1 MiB of output, 64 MiB of files, 64 processes.
    fn default() -> Self {
        Self { timeout_ms: 5_000, memory_mb: 1_024, output_bytes: 1 << 20, files_mb: 64, processes: 64 }
    }
}

impl Limits {
    /// When the job ends on the clock, however little of it others left: what waits for its verdict has a deadline.
    pub(crate) fn wall(&self) -> Duration {
        let extra = self.timeout_ms.saturating_mul(3).min(10_000);
        Duration::from_millis(self.timeout_ms.saturating_add(extra))
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// By itself, with this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// By the limit of time.
    TimedOut,
    /// By writing too much.
    TooMuchOutput,
    /// By holding too much memory in all its processes.
    TooMuchMemory,
    /// By having too many of them, where the system cannot refuse one more.
    TooManyProcesses,
    /// With the asking job of its pair, which needs no more answers.
    WithPair,
    /// By writing too many files, or too much into them, where the system cannot refuse one more.
    TooManyFiles,
}

/// A job that ran to its end, whatever that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How it ended.
    pub ending: Ending,
    /// Its standard output up to the limit; bytes that are no UTF-8 become U+FFFD.
    pub stdout: String,
    /// Its standard error, the same.
    pub stderr: String,
}

/// Why a job did not run. Nothing that a program does leads here: it is the system, the helper or the job.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Failure {
    /// A layer that the sandbox cannot do without.
    #[error("the sandbox has no {layer}: {reason}")]
    Layer {
        /// Its name.
        layer: String,
        /// The system's error.
        reason: String,
    },
    /// The program cannot be started.
    #[error(
        "{program} does not start in the sandbox: {reason}; is it installed, and readable for others than root?"
    )]
    Start {
        /// What was to be started.
        program: String,
        /// The system's error.
        reason: String,
    },
    /// The helper cannot be started, or ends without a reply.
    #[error("the sandbox helper {helper}: {reason}")]
    Helper {
        /// Its path.
        helper: String,
        /// What happened.
        reason: String,
    },
}

impl Failure {
    pub(crate) fn layer(layer: &str, reason: impl ToString) -> Self {
        Self::Layer { layer: layer.to_owned(), reason: reason.to_string() }
    }
}

/// What holds a job on this system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layers {
    /// Whether it has namespaces of its own: users, processes, mounts, network, IPC.
    pub namespaces: Namespaces,
    /// Whose account it runs under.
    pub account: Account,
    /// Whether Landlock keeps its signals inside (Linux 6.12).
    pub landlock_signals: bool,
    /// Whether `/proc` shows its own processes alone.
    pub own_proc: bool,
    /// Whether a control group counts its memory and its processes.
    pub control_group: bool,
}

/// Namespaces of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Namespaces {
    /// Its own.
    Own,
    /// The caller's: this system does not give any to it.
    Shared,
}

/// The account of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Account {
    /// A user id that no other process has: the caller is root.
    Own,
    /// The caller's.
    Shared,
}

impl Layers {
    /// What the sandbox holds back on this system and what it doesn't, one sentence each.
    pub fn words(self) -> Vec<String> {
        let mut words = vec![
            "held back: files outside the job's folder and the system's programs (Landlock), sockets and system calls \
             that change the system (seccomp), memory, processes, files, output and time"
                .to_owned(),
            "not held back: that a file exists and how large it is can be seen; hardware side channels; errors of \
             the kernel"
                .to_owned(),
        ];
        words.push(match self.namespaces {
            Namespaces::Own => "own namespaces: no network, and its files vanish with it".to_owned(),
            Namespaces::Shared => {
                "not held back, as this system gives no namespaces: up to 50 ms of files on the disk \
                                   above the limit, before the job is ended"
                    .to_owned()
            }
        });
        words.push(if self.own_proc {
            "it sees no other process".to_owned()
        } else {
            "not held back: the numbers and the accounts of other processes can be seen".to_owned()
        });
        words.push(if self.control_group {
            "a control group: the kernel counts all memory that the job holds".to_owned()
        } else {
            "not held back, as this system gives no control group: up to 50 ms of memory above the limit, before the \
             job is ended; what the kernel itself keeps for its processes, and what is swapped out"
                .to_owned()
        });
        if self.namespaces == Namespaces::Shared && self.account == Account::Shared {
            words.push(
                "not held back, as jobs share the caller's account: a program that starts processes without end can \
                 make programs fail that run at the same time"
                    .to_owned(),
            );
        }
        if self.denies_signals() {
            words.push("it cannot send signals, not even to its children".to_owned());
        }
        words
    }

    /// Whether the filter has to deny signals because nothing else keeps them from the caller and the supervisor.
    pub(crate) fn denies_signals(self) -> bool {
        self.namespaces == Namespaces::Shared && !self.landlock_signals
    }
}

#[cfg(test)]
mod tests {
    use super::Limits;

    #[test]
    fn a_jobs_end_on_the_clock_stays_near_its_time() {
        let wall = |timeout_ms| Limits { timeout_ms, ..Limits::default() }.wall().as_millis();
        assert_eq!([400, 5_000, 40_000].map(wall), [1_600, 15_000, 50_000]);
        assert_eq!(wall(u64::MAX), u128::from(u64::MAX));
    }
}
