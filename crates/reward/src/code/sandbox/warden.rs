//! The helper's first stage: leaves root, enters namespaces, starts the second stage in them, and watches what the
//! job's processes hold together. It runs nothing that a model wrote. One thread: a process that has left its process
//! namespace cannot start another.

use super::helper::{INSIDE, read_order, reply_with, take_channel};
use super::job::{Account, Answer, Assignment, Ended, Ending, Failure, Layers, Limits, Namespaces, Order};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Gid, Pid, SysconfVar, Uid, chown, getppid, setgroups, setresgid, setresuid, sysconf};
use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// systemd's range for users that exist for a moment only; no account of a person or a service is in it.
const MOMENTARY_USERS: std::ops::Range<u32> = 61_184..65_520;

/// Between two looks at the job's processes.
const WATCH: Duration = Duration::from_millis(50);

/// Threads of the second stage, which are in the job's group.
const OWN_THREADS: u64 = 4;

/// What the second stage may take beyond the program's time.
const OVERTIME: Duration = Duration::from_secs(5);

/// Carries out the order on standard input. The reply on standard output is the second stage's where it comes so far.
pub(super) fn run() {
    let (nonce, result) = match read_order() {
        Ok(order) => (order.nonce, guard(order)),
        Err(failure) => (0, Err(failure)),
    };
    if let Some(result) = result.transpose() {
        reply_with(nonce, result);
    }
}

/// `None` when the second stage has replied, or died without a word.
fn guard(mut order: Order) -> Result<Option<Answer>, Failure> {
    let channel = take_channel(&order)?;
    let account = leave_root(&order.folder)?;
    // What the second stage leaves behind comes here, to be reaped.
    prctl::set_child_subreaper(true).map_err(|error| Failure::layer("reaper of orphans", error))?;
    let namespaces = enter_namespaces(&order)?;
    order.layers = Some(Layers { namespaces, account, landlock_signals: false });
    let limits = match &order.task {
        Assignment::Run(job) => job.limits,
        Assignment::Probe => Limits::default(),
    };
    let mut inside = start_inside(&order, channel).map_err(|error| Failure::Helper {
        helper: "/proc/self/exe".to_owned(),
        reason: format!("its second stage does not start: {error}"),
    })?;
    drop(inside.stdin.take());
    watch(Pid::from_raw(inside.id() as i32), Pid::from_raw(order.trainer as i32), &limits)
}

/// A user id that nobody has, where the trainer is root: limits on processes do not hold root.
fn leave_root(folder: &Path) -> Result<Account, Failure> {
    if !Uid::effective().is_root() {
        return Ok(Account::Shared);
    }
    let failed = |error| Failure::layer("user id other than root's", error);
    let range = MOMENTARY_USERS.end - MOMENTARY_USERS.start;
    // Processes that live at the same time have different ids, and few of them are a multiple of the range apart.
    let id = MOMENTARY_USERS.start + std::process::id() % range;
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    chown(folder, Some(user), Some(group)).map_err(failed)?;
    setgroups(&[]).map_err(failed)?;
    setresgid(group, group, group).map_err(failed)?;
    setresuid(user, user, user).map_err(failed)?;
    // The change made /proc/self root's, and the maps of the namespace are written there.
    prctl::set_dumpable(true).map_err(failed)?;
    Ok(Account::Own)
}

fn enter_namespaces(order: &Order) -> Result<Namespaces, Failure> {
    let (user, group) = (Uid::effective(), Gid::effective());
    let all = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    if unshare(all).is_err() {
        return Ok(Namespaces::Shared); // forbidden here, and the other layers do without
    }
    // The ids stay the same numbers: being nobody's root, the second stage loses all capabilities when it starts.
    let failed = |error: std::io::Error| Failure::layer("map of user ids in its namespace", error);
    fs::write("/proc/self/setgroups", "deny").map_err(failed)?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1")).map_err(failed)?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1")).map_err(failed)?;
    mount_folder(order).map_err(|error| Failure::layer("file system of its own", error))?;
    Ok(Namespaces::Own)
}

/// Puts a file system in memory over the folder: limited in size, and gone with the job.
fn mount_folder(order: &Order) -> nix::Result<()> {
    let files_mb = match &order.task {
        Assignment::Run(job) => job.limits.files_mb,
        Assignment::Probe => 1,
    };
    let no: Option<&str> = None;
    mount(no, "/", no, MsFlags::MS_REC | MsFlags::MS_PRIVATE, no)?;
    let options = format!("size={files_mb}m,nr_inodes=16k,mode=0700");
    mount(
        Some("tmpfs"),
        &order.folder,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some(options.as_str()),
    )
}

/// The second stage, in a group of its own, by a path that holds even where the account cannot reach the program's
/// folder.
fn start_inside(order: &Order, channel: Option<OwnedFd>) -> std::io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.args(INSIDE).env_clear().process_group(0).stdin(Stdio::piped());
    if let Some(channel) = channel {
        command.stderr(channel);
    }
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A stage that has died says why on standard output, or nothing does.
        let _ = stdin.write_all(&serde_json::to_vec(order).unwrap_or_default());
    }
    Ok(child)
}

/// Waits for the second stage, the leader of the job's group; ends the group when that has ended, when its processes
/// hold more than they may together, and when the trainer is gone.
fn watch(inside: Pid, trainer: Pid, limits: &Limits) -> Result<Option<Answer>, Failure> {
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096) as u64;
    let deadline = Instant::now() + limits.timeout() + OVERTIME;
    let mut pause = Duration::from_millis(1);
    let ending = loop {
        // Seen, not reaped: the group's number stays its own until the group is ended.
        let seen =
            waitid(Id::Pid(inside), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT);
        if !matches!(seen, Ok(WaitStatus::StillAlive)) || getppid() != trainer {
            break Ok(None);
        }
        if Instant::now() >= deadline {
            break Err(Failure::layer("second stage", "it does not end at its own deadline"));
        }
        // Short programs are answered at once, long ones are looked at.
        pause = (pause * 2).min(WATCH);
        let held = if pause == WATCH { Held::by(inside.as_raw()) } else { Held::default() };
        if held.pages * page > limits.memory_mb << 20 {
            break Ok(Some(Ending::TooMuchMemory));
        }
        if held.threads > limits.processes + OWN_THREADS {
            break Ok(Some(Ending::TooManyProcesses));
        }
        sleep(pause);
    };
    let _ = killpg(inside, Signal::SIGKILL); // where it is process 1, with all of its namespace
    while waitpid(Pid::from_raw(-1), None).is_ok() {}
    let ended = |ending| Answer::Ended(Ended { ending, stdout: String::new(), stderr: String::new() });
    ending.map(|ending| ending.map(ended))
}

/// What processes hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    threads: u64,
    /// Of memory, resident.
    pages: u64,
}

impl Held {
    /// Of the processes of a group. None of a job's can leave it: the filter denies it.
    fn by(group: i32) -> Self {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let stats = processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
        stats.filter_map(|stat| Self::of_member(&stat, group)).fold(Self::default(), |sum, held| Self {
            threads: sum.threads + held.threads,
            pages: sum.pages + held.pages,
        })
    }

    /// From a line of `/proc/PID/stat` (proc(5)): the name in brackets may hold anything, so count from its end.
    fn of_member(stat: &str, group: i32) -> Option<Self> {
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let process_group: i32 = fields.nth(2)?.parse().ok()?; // state, ppid, pgrp
        let threads = fields.nth(14)?.parse().ok()?; // session .. nice, num_threads
        let pages = fields.nth(3)?.parse().ok()?; // itrealvalue, starttime, vsize, rss
        (process_group == group).then_some(Self { threads, pages })
    }
}

#[cfg(test)]
mod tests {
    use super::Held;
    use nix::unistd::getpgrp;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat =
            "7 (a) b 1) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 100 9000 333 18446744073709551615 1";
        assert_eq!(Held::of_member(stat, 42), Some(Held { threads: 9, pages: 333 }));
        assert_eq!(Held::of_member(stat, 7), None);
        assert_eq!(Held::of_member("7 (a", 42), None);
    }

    #[test]
    fn this_process_is_seen_in_its_group() {
        let held = Held::by(getpgrp().as_raw());
        assert!(held.threads >= 2 && held.pages > 100, "{held:?}");
    }
}
