//! The supervisor, the helper's first stage: leaves root, enters namespaces, starts the jail in them, watches what the
//! job's processes hold together, and passes the jail's reply on, or replies with the program's ending where the
//! program took the jail with it. It runs no untrusted program itself. One thread: a process that has left its process
//! namespace cannot start another.

use crate::cgroup::Cgroup;
use crate::folder;
use crate::job::{Account, Ended, Ending, Failure, Layers, Limits, Namespaces};
use crate::order::{Answer, Assignment, INSIDE, Order, Reply, STARTED, read_order, reply_with, take_channel};
use crate::watch::{OWN_THREADS, Watch};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, chown, getppid, setgroups, setresgid, setresuid};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Accounts of jobs, where the caller is root: beyond those of systems, of services that systemd makes for a moment,
/// and of containers (`/etc/subuid`). As many as there can be processes.
const ACCOUNTS: Range<u32> = 0x7000_0000..0x7040_0000;

/// In a container that has 65,536 accounts of its own: none of a person or of a package.
const ACCOUNTS_IN_CONTAINER: Range<u32> = 61_184..65_520;

/// Between two looks at the job's processes.
const WATCH: Duration = Duration::from_millis(50);

/// What the jail may take until it starts the program.
const SETUP: Duration = Duration::from_secs(8);

/// What the jail may take beyond the program's time.
const OVERTIME: Duration = Duration::from_secs(1);

/// Carries out the order on standard input, and writes the reply to standard output.
pub(super) fn run() {
    let (nonce, outcome) = match read_order() {
        Ok(order) => (order.nonce, guard(order)),
        Err(failure) => (0, Err(failure)),
    };
    match outcome {
        // A write fails where the caller has gone, which then needs no reply.
        Ok(Outcome::Reply(reply)) => drop(std::io::stdout().lock().write_all(&reply)),
        Ok(Outcome::Ending(ending)) => {
            let ended = Ended { ending, stdout: String::new(), stderr: String::new() };
            reply_with(nonce, Ok(Answer::Ended(ended)));
        }
        Err(failure) => reply_with(nonce, Err(failure)),
    }
}

/// The result of an order.
pub(crate) enum Outcome {
    /// The jail's reply.
    Reply(Vec<u8>),
    /// The job's ending, where the jail has not lived to reply.
    Ending(Ending),
}

fn guard(mut order: Order) -> Result<Outcome, Failure> {
    let limits = match &order.task {
        Assignment::Run(job) => job.limits,
        Assignment::Probe => Limits::default(),
    };
    let channel = take_channel(&order)?;
    // With the caller's account: it is its rights that a group takes.
    let cgroup = Cgroup::make(order.nonce, &limits, limits.files_mb, limits.processes + OWN_THREADS);
    let account = leave_root(&order.folder)?;
    // What the jail leaves behind comes here, to be reaped.
    prctl::set_child_subreaper(true).map_err(|error| Failure::layer("reaper of orphans", error))?;
    let namespaces = enter_namespaces(&order)?;
    let failed = |error| Failure::Helper {
        helper: "/proc/self/exe".to_owned(),
        reason: format!("its jail does not start: {error}"),
    };
    let (mut jail, stream) = start_jail(channel).map_err(failed)?;
    let cgroup = cgroup.and_then(|cgroup| cgroup.hold(jail.id()));
    order.layers = Some(Layers {
        namespaces,
        account,
        landlock_signals: false,
        own_proc: false,
        control_group: cgroup.is_some(),
    });
    if let Some(mut stdin) = jail.stdin.take() {
        // One that has died has written why to its standard output, if anything has.
        let _ = stdin.write_all(&serde_json::to_vec(&order).unwrap_or_default());
    }
    // Elsewhere it is a file system, with a size, and gone with the namespace.
    let folder = (namespaces == Namespaces::Shared).then(|| order.folder.clone());
    let jail = Pid::from_raw(jail.id() as i32);
    let watch = Watch::new(jail.as_raw(), limits, order.end, cgroup, folder.clone());
    let outcome = attend(jail, &order, stream, watch);
    if let Some(folder) = folder {
        folder::flatten(&folder);
    }
    outcome
}

/// An account that no other process has, where the caller is root: limits on processes do not hold root, and jobs
/// of one account could reach each other.
fn leave_root(folder: &Path) -> Result<Account, Failure> {
    if !Uid::effective().is_root() {
        return Ok(Account::Shared);
    }
    let failed = |error| Failure::layer("user id other than root's", error);
    let id = free_account().map_err(failed)?;
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    chown(folder, Some(user), Some(group)).map_err(failed)?;
    setgroups(&[]).map_err(failed)?;
    setresgid(group, group, group).map_err(failed)?;
    setresuid(user, user, user).map_err(failed)?;
    // The change made /proc/self root's, and the maps of the namespace are written there.
    prctl::set_dumpable(true).map_err(failed)?;
    Ok(Account::Own)
}

/// An account that no living job has. A name that the kernel keeps for one process at a time is its lock, held until
/// this process ends.
fn free_account() -> nix::Result<u32> {
    let maps = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let range = if has_account(&maps, ACCOUNTS) { ACCOUNTS } else { ACCOUNTS_IN_CONTAINER };
    let count = range.end - range.start;
    // Numbers of processes differ, so that the first is free but where they come from other process namespaces.
    let candidates = (0..count).map(|step| range.start + (std::process::id() + step) % count);
    for id in candidates.take(1_000) {
        let name = SocketAddr::from_abstract_name(format!("ruminate-account-{id}"));
        match name.and_then(|name| UnixListener::bind_addr(&name)) {
            Ok(lock) => {
                std::mem::forget(lock);
                return Ok(id);
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(_) => return Ok(id), // sockets are denied here, and the numbers of processes do
        }
    }
    Err(nix::Error::EAGAIN)
}

/// Whether this process can take the accounts: `INSIDE OUTSIDE COUNT` in each line of `/proc/PID/uid_map`.
fn has_account(maps: &str, accounts: Range<u32>) -> bool {
    maps.lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        matches!(*numbers, [start, _, count]
            if start <= u64::from(accounts.start) && u64::from(accounts.end) <= start + count)
    })
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
    // Root in there and nowhere else, so that the jail can mount its own /proc. It leaves that for the same
    // ids as here before it starts anything.
    let failed = |error: std::io::Error| Failure::layer("map of user ids in its namespace", error);
    fs::write("/proc/self/setgroups", "deny").map_err(failed)?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1")).map_err(failed)?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1")).map_err(failed)?;
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

/// Starts the jail, in a group of its own, by a path that holds even where the account cannot reach the program's
/// folder; it waits for its order. What it writes comes on the stream.
fn start_jail(channel: Option<OwnedFd>) -> std::io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new("/proc/self/exe");
    command.args(INSIDE).env_clear().process_group(0).stdin(Stdio::piped()).stdout(OwnedFd::from(theirs));
    if let Some(channel) = channel {
        command.stderr(channel);
    }
    Ok((command.spawn()?, ours))
}

/// Waits for the jail, the leader of the job's group; ends the group when that has ended, when its processes
/// are over a limit, and when the caller is gone.
fn attend(jail: Pid, order: &Order, mut stream: UnixStream, mut watch: Watch) -> Result<Outcome, Failure> {
    let caller = Pid::from_raw(order.caller as i32);
    let begun = Instant::now();
    let (mut received, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
    let mut next = begun + WATCH;
    let ending = loop {
        let pause = next.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let read = stream.set_read_timeout(Some(pause)).and_then(|()| stream.read(&mut chunk));
        match read {
            Ok(0) => break None,
            Ok(count) => received.extend_from_slice(&chunk[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break None,
        }
        if received.starts_with(STARTED) {
            watch.start();
        }
        if Instant::now() < next {
            continue;
        }
        next = Instant::now() + WATCH;
        if getppid() != caller {
            break None;
        }
        if let Some(over) = watch.over() {
            break Some(over);
        }
        if watch.is_overdue(OVERTIME) {
            break Some(Ending::TimedOut); // it has stopped the jail, or the machine is that busy
        }
        if !watch.has_started() && begun.elapsed() > SETUP {
            end(jail);
            return Err(Failure::layer("jail", format!("it starts no program within {SETUP:?}")));
        }
    };
    let status = end(jail);
    let ending = if watch.is_out_of_memory() { Some(Ending::TooMuchMemory) } else { ending };
    match ending {
        Some(ending) => Ok(Outcome::Ending(ending)),
        None => written(&received, order.nonce, status),
    }
}

/// The outcome by what a jail that has ended has written: its reply, or the end of the program that took the jail with
/// it. Once the program runs, every ending is its own: what is no reply is the signal that ended the jail.
pub(crate) fn written(received: &[u8], nonce: u64, status: Option<Signal>) -> Result<Outcome, Failure> {
    let is_reply =
        |bytes: &[u8]| serde_json::from_slice::<Reply>(bytes).is_ok_and(|reply| reply.nonce == nonce);
    match (received.strip_prefix(STARTED), received) {
        (Some(reply), _) | (None, reply) if is_reply(reply) => Ok(Outcome::Reply(reply.to_vec())),
        (Some(_), _) => Ok(Outcome::Ending(Ending::Killed(status.unwrap_or(Signal::SIGKILL) as i32))),
        (None, _) => {
            Err(Failure::layer("jail", format!("it died before it started the program ({status:?})")))
        }
    }
}

/// Ends the group, in a process namespace with all that is in it, and waits for all of it. Returns the signal that
/// ended the jail.
fn end(jail: Pid) -> Option<Signal> {
    let _ = killpg(jail, Signal::SIGKILL); // before it is reaped: the number is its own until then
    let mut signal = None;
    while let Ok(status) = waitpid(Pid::from_raw(-1), None) {
        if let WaitStatus::Signaled(pid, by, _) = status
            && pid == jail
        {
            signal = Some(by);
        }
    }
    signal
}

#[cfg(test)]
mod tests {
    use super::{ACCOUNTS, ACCOUNTS_IN_CONTAINER, Outcome, has_account, written};
    use crate::job::Ending;
    use nix::sys::signal::Signal;

    #[test]
    fn once_the_program_runs_what_is_no_reply_is_its_own_end() {
        let reply =
            r#"{"nonce":7,"result":{"Ok":{"Ended":{"ending":{"Exited":0},"stdout":"","stderr":""}}}}"#;
        for text in [format!("started\n{reply}\n"), format!("{reply}\n")] {
            let outcome = written(text.as_bytes(), 7, None);
            assert!(matches!(outcome, Ok(Outcome::Reply(found)) if found.trim_ascii() == reply.as_bytes()));
        }
        let others = [
            String::new(),
            "{}\n".to_owned(),
            "{\"nonce\":7}\n".to_owned(),
            reply[..40].to_owned(),
            format!("{reply}\n{reply}\n"),
            reply.replace('7', "8"), // to another order
        ];
        for text in others {
            let outcome = written(format!("started\n{text}").as_bytes(), 7, Some(Signal::SIGTERM));
            assert!(matches!(outcome, Ok(Outcome::Ending(Ending::Killed(15)))), "{text}");
            assert!(written(text.as_bytes(), 7, None).is_err(), "{text}");
        }
    }

    #[test]
    fn accounts_are_those_that_the_map_has() {
        let (all, container) = ("         0          0 4294967295\n", "0 100000 65536\n");
        assert!(has_account(all, ACCOUNTS) && has_account(all, ACCOUNTS_IN_CONTAINER));
        assert!(!has_account(container, ACCOUNTS) && has_account(container, ACCOUNTS_IN_CONTAINER));
        assert!(!has_account("", ACCOUNTS) && !has_account("0 0", ACCOUNTS));
        // What systemd gives to services of a moment, and what containers usually get.
        for (first, last) in [(0, 65_535), (100_000, 100_000 + (1 << 28)), (524_288, 1_879_048_191)] {
            assert!(!(first..=last).contains(&ACCOUNTS.start) && !(first..=last).contains(&ACCOUNTS.end));
        }
    }
}
