//! What the processes of a job hold and have used, by the kernel's account of each (proc(5)), and which limit is
//! exceeded. It ends nothing.

use crate::cgroup::Cgroup;
use crate::job::{Ending, Limits};
use crate::order::End;
use crate::{folder, rlimits};
use nix::unistd::{SysconfVar, sysconf};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Threads of the jail, which are in the job's group.
pub(super) const OWN_THREADS: u64 = 5;

/// What a pipe holds at most, in bytes: 16 pages, which the filter keeps from being raised.
const PIPE: u64 = 1 << 16;

/// What a socket holds at most where the kernel does not report it, in bytes: Linux' default.
const SOCKET: u64 = 212_992;

/// A job that is watched.
#[derive(Debug)]
pub(super) struct Watch {
    /// The jail, which leads the job's group of processes. None of a job's can leave it: the filter denies it.
    group: i32,
    limits: Limits,
    end: Option<End>,
    cgroup: Option<Cgroup>,
    /// The job's folder, where no file system limits it.
    folder: Option<PathBuf>,
    started: Option<Instant>,
    looked: Instant,
    /// Time in which no process of the program was there: its helper waits for a processor to start it, or to see that
    /// it has ended.
    absent: Duration,
    /// How long each thread has waited for a processor, in nanoseconds.
    waited: BTreeMap<i32, u64>,
    page: u64,
    ticks: u64,
    socket: u64,
}

impl Watch {
    /// A watch over the group that the process `group` leads.
    pub(super) fn new(
        group: i32,
        limits: Limits,
        end: Option<End>,
        cgroup: Option<Cgroup>,
        folder: Option<PathBuf>,
    ) -> Self {
        let number =
            |variable, default| sysconf(variable).ok().flatten().map_or(default, |value| value as u64);
        let socket = fs::read_to_string("/proc/sys/net/core/wmem_default").ok();
        let socket = socket.and_then(|text| text.trim().parse().ok()).unwrap_or(SOCKET);
        Self {
            group,
            limits,
            end,
            cgroup,
            folder,
            started: None,
            looked: Instant::now(),
            absent: Duration::ZERO,
            waited: BTreeMap::new(),
            page: number(SysconfVar::PAGE_SIZE, 4096),
            ticks: number(SysconfVar::CLK_TCK, 100),
            // The last write may go beyond it, by a piece of 32 KiB and what the kernel adds.
            socket: socket + (48 << 10),
        }
    }

    /// Time counts from now on: the program starts.
    pub(super) fn start(&mut self) {
        if self.started.is_none() {
            self.looked = Instant::now();
            self.started = Some(self.looked);
            self.absent = Duration::ZERO;
        }
    }

    /// Whether the program has been started, or is about to be.
    pub(super) fn has_started(&self) -> bool {
        self.started.is_some()
    }

    /// Whether the program is beyond the wall limit by more than this.
    pub(super) fn is_overdue(&self, by: Duration) -> bool {
        self.started.is_some_and(|started| started.elapsed() > self.limits.wall() + by)
    }

    /// Whether the kernel has ended the job for its memory.
    pub(super) fn is_out_of_memory(&self) -> bool {
        self.cgroup.as_ref().is_some_and(Cgroup::is_out_of_memory)
    }

    /// The limit that the job is over, if any.
    pub(super) fn over(&mut self) -> Option<Ending> {
        let members = self.members();
        let is_there = |(id, stat): &(i32, Stat)| *id != self.group && !(stat.has_ended && stat.threads <= 1);
        if !members.iter().any(is_there) {
            self.absent += self.looked.elapsed();
        }
        self.looked = Instant::now();
        // First what takes one look at each process: a program that forks without end is ended on a machine that it
        // leaves no time for another look.
        let held = self.held(&members);
        if let Some(over) = self.is_over(&held) {
            return Some(over);
        }
        let held = self.look_closer(&members, held);
        if let Some(over) = self.is_over(&held) {
            return Some(over);
        }
        if self.is_late(held.cpu_ms) {
            return Some(Ending::TimedOut);
        }
        let folder = self.folder.as_ref()?;
        let within = folder::Size { bytes: self.limits.files_mb << 20, files: folder::FILES };
        let unlinked =
            folder::Size { bytes: held.unlinked.values().sum(), files: held.unlinked.len() as u64 };
        (!folder::is_within(folder, unlinked, within)).then_some(Ending::TooManyFiles)
    }

    fn is_over(&self, held: &Held) -> Option<Ending> {
        if held.memory > self.limits.memory_mb << 20 {
            return Some(Ending::TooMuchMemory);
        }
        (held.threads > self.limits.processes + OWN_THREADS).then_some(Ending::TooManyProcesses)
    }

    /// Its time on processors is up, or its time on the clock without that in which it waited for a processor.
    fn is_late(&self, cpu_ms: u64) -> bool {
        let Some(started) = self.started else { return false };
        let cpu_ms = self.cgroup.as_ref().and_then(Cgroup::cpu_ms).unwrap_or(cpu_ms);
        let waited = self.waited.values().sum::<u64>() / 1_000_000;
        let there = started.elapsed().saturating_sub(self.absent);
        let awake = (there.as_millis() as u64).saturating_sub(waited);
        // The job that asks in a pair sleeps while it waits for the other, whose time that is.
        let asleep = if self.end == Some(End::Asking) { 0 } else { awake };
        cpu_ms.max(asleep) >= self.limits.timeout_ms
    }

    /// The processes of the job, by number.
    fn members(&self) -> Vec<(i32, Stat)> {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
        let stats = numbers.filter_map(|id: i32| Some((id, Stat::of(&place(id))?)));
        stats.filter(|(_, stat)| stat.group == self.group).collect()
    }

    fn held(&self, members: &[(i32, Stat)]) -> Held {
        let sum = |of: fn(&Stat) -> u64| members.iter().map(|(_, stat)| of(stat)).sum::<u64>();
        Held {
            threads: sum(|stat| stat.threads),
            memory: sum(|stat| stat.pages) * self.page,
            cpu_ms: sum(|stat| stat.ticks) * 1_000 / self.ticks,
            unlinked: BTreeMap::new(),
        }
    }

    /// What the line of a process does not have: its threads, and its open files.
    fn look_closer(&mut self, members: &[(i32, Stat)], mut held: Held) -> Held {
        let mut buffers = BTreeMap::new();
        // The jail's own time in the queue, and its files, are none of the program's.
        let jail = self.group;
        for (id, stat) in members.iter().filter(|(id, _)| *id != jail) {
            let place = place(*id);
            let mut alive = place.clone();
            if stat.threads > 1 || stat.has_ended {
                for task in fs::read_dir(place.join("task")).into_iter().flatten().flatten() {
                    let Some(id) = task.file_name().to_str().and_then(|name| name.parse().ok()) else {
                        continue;
                    };
                    self.wait(id, &task.path());
                    // A leader that has ended does not show the memory and the files that its threads go on to hold.
                    if stat.has_ended
                        && alive == place
                        && let Some(other) = Stat::of(&task.path()).filter(|other| !other.has_ended)
                    {
                        held.memory += other.pages * self.page;
                        alive = task.path();
                    }
                }
            } else {
                self.wait(*id, &place);
            }
            self.open_files(&alive, &mut buffers, &mut held);
        }
        held.memory += buffers.values().sum::<u64>();
        held
    }

    fn wait(&mut self, thread: i32, place: &Path) {
        let text = fs::read_to_string(place.join("schedstat")).unwrap_or_default();
        let waited = text.split_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0);
        let most = self.waited.entry(thread).or_default();
        *most = waited.max(*most);
    }

    /// What is held by open files alone: buffers of pipes and sockets, and files that no folder names any more.
    fn open_files(&self, process: &Path, buffers: &mut BTreeMap<PathBuf, u64>, held: &mut Held) {
        let open = match fs::read_dir(process.join("fd")) {
            Ok(open) => open,
            // It made itself unreadable: all that it can have open, then.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                buffers.insert(process.to_owned(), rlimits::DESCRIPTORS * self.socket);
                return;
            }
            Err(_) => return,
        };
        for file in open.flatten().map(|entry| entry.path()) {
            let Ok(target) = fs::read_link(&file) else { continue };
            let Some(name) = target.to_str() else { continue };
            if name.starts_with("pipe:") {
                buffers.insert(target, PIPE);
            } else if name.starts_with("socket:") {
                buffers.insert(target, self.socket);
            } else if self.folder.is_some() && name.ends_with(" (deleted)") {
                held.unlinked.extend(folder::unlinked(&file));
            }
        }
        if let Some(folder) = &self.folder {
            held.unlinked.extend(folder::unlinked_in_memory(folder, &process.join("maps")));
        }
    }
}

fn place(process: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{process}"))
}

/// The group of the jail that this supervisor has started, if any.
pub(super) fn group_of(supervisor: u32) -> Option<i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    // The jail leads it.
    numbers
        .filter_map(|id| Some((id, Stat::of(&place(id))?)))
        .find_map(|(id, stat)| (stat.parent == i64::from(supervisor) && stat.group == id).then_some(id))
}

/// What the processes of a job hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Held {
    threads: u64,
    /// Bytes, resident and in buffers.
    memory: u64,
    /// Time on processors, with that of children that have ended, in milliseconds.
    cpu_ms: u64,
    /// Bytes of files without a name.
    unlinked: BTreeMap<(u64, u64), u64>,
}

/// A line of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    has_ended: bool,
    parent: i64,
    group: i32,
    /// On processors, in ticks of the clock, with children that have ended and were waited for.
    ticks: u64,
    threads: u64,
    /// Of memory, resident.
    pages: u64,
}

impl Stat {
    fn of(place: &Path) -> Option<Self> {
        Self::read(&fs::read_to_string(place.join("stat")).ok()?)
    }

    /// The name in brackets may hold anything, so count from its end.
    fn read(stat: &str) -> Option<Self> {
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let _ = fields.nth(7)?; // session, tty, tpgid, flags, and page faults, of which four
        let times: [u64; 4] =
            [(); 4].map(|()| fields.next().and_then(|field| field.parse().ok()).unwrap_or(0));
        let threads = fields.nth(2)?.parse().ok()?; // priority, nice, num_threads
        let pages = fields.nth(3)?.parse().ok()?; // itrealvalue, starttime, vsize, rss
        let has_ended = matches!(state, "Z" | "X");
        Some(Self { has_ended, parent, group, ticks: times.iter().sum(), threads, pages })
    }
}

#[cfg(test)]
mod tests {
    use super::{Stat, Watch};
    use crate::Limits;
    use nix::unistd::getpgrp;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat =
            "7 (a) b 1) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 100 9000 333 18446744073709551615 1";
        let expected =
            Stat { has_ended: false, parent: 1, group: 42, ticks: 5 + 6 + 7 + 8, threads: 9, pages: 333 };
        assert_eq!(Stat::read(stat), Some(expected));
        assert_eq!(Stat::read("7 (a"), None);
        assert_eq!(Stat::read("7 (a) S 1 42"), None);
    }

    #[test]
    fn this_process_is_seen_in_its_group() {
        let watch = Watch::new(getpgrp().as_raw(), Limits::default(), None, None, None);
        let held = watch.held(&watch.members());
        assert!(held.threads >= 2 && held.memory > 400 << 10, "{held:?}");
    }
}
