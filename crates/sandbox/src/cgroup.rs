//! A control group (version 2) for one job: the kernel then counts what a job holds, in any of its processes, and ends
//! the job that holds more. It takes what the system gives (root's, or a delegated subtree whose parent has the
//! controllers on) and switches no controller on: a system that gives none does without.

use crate::job::Limits;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process;

/// Beyond the program's own memory, in MiB: the jail, and what the kernel keeps for the processes.
const OWN_MB: u64 = 12;

/// Names of the job's groups; the number of the helper's process follows, and the order's nonce.
const PREFIX: &str = "ruminate-";

/// One job's group. It is removed by [`remove`] in the caller's process, which has the rights to.
#[derive(Debug)]
pub(super) struct Cgroup {
    folder: PathBuf,
    /// Opened while the helper has the caller's account, whose rights the kernel then goes by (Linux 5.16).
    members: File,
}

impl Cgroup {
    /// A group for the job of this process, where the system gives one.
    ///
    /// `files_mb` is what files in memory may take, which the kernel counts as the job's, too.
    pub(super) fn make(nonce: u64, limits: &Limits, files_mb: u64, processes: u64) -> Option<Self> {
        let memory = (limits.memory_mb + files_mb + OWN_MB) << 20;
        homes().into_iter().find_map(|home| {
            sweep(&home);
            let folder = home.join(name(process::id(), nonce));
            fs::create_dir(&folder).ok()?;
            let made = Self::limited(&folder, memory, processes);
            if made.is_none() {
                let _ = fs::remove_dir(&folder);
            }
            made
        })
    }

    fn limited(folder: &Path, memory: u64, processes: u64) -> Option<Self> {
        fs::write(folder.join("memory.max"), memory.to_string()).ok()?;
        fs::write(folder.join("pids.max"), processes.to_string()).ok()?;
        // The job ends as a whole: what is left of it would go on without the part that was ended.
        fs::write(folder.join("memory.oom.group"), "1").ok()?;
        let swap = folder.join("memory.swap.max");
        if swap.exists() {
            fs::write(swap, "0").ok()?;
        }
        let members = OpenOptions::new().write(true).open(folder.join("cgroup.procs")).ok()?;
        Some(Self { folder: folder.to_owned(), members })
    }

    /// Moves a process into the group, or `None` where it may not be moved.
    pub(super) fn hold(mut self, process: u32) -> Option<Self> {
        self.members.write_all(process.to_string().as_bytes()).ok()?;
        Some(self)
    }

    /// Whether the kernel has ended the job for its memory.
    pub(super) fn is_out_of_memory(&self) -> bool {
        self.number("memory.events", "oom_kill ").is_some_and(|kills| kills > 0)
    }

    /// Time on processors of all that ever was in the group, in milliseconds.
    pub(super) fn cpu_ms(&self) -> Option<u64> {
        Some(self.number("cpu.stat", "usage_usec ")? / 1_000)
    }

    fn number(&self, file: &str, key: &str) -> Option<u64> {
        let text = fs::read_to_string(self.folder.join(file)).ok()?;
        text.lines().find_map(|line| line.strip_prefix(key))?.trim().parse().ok()
    }
}

/// Removes the group of an ended job, where there was one.
pub(super) fn remove(helper: u32, nonce: u64) {
    for home in homes() {
        let _ = fs::remove_dir(home.join(name(helper, nonce)));
    }
}

fn name(helper: u32, nonce: u64) -> String {
    format!("{PREFIX}{helper}-{nonce:x}")
}

/// Removes groups of helpers that are no more: their caller was killed. One with a process in it stays.
fn sweep(home: &Path) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let helper = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'));
        if helper.is_some_and(|(helper, _)| !Path::new("/proc").join(helper).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Groups in which one for a job of this process can be made.
fn homes() -> Vec<PathBuf> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (groups, mounts) = (read("/proc/self/cgroup"), read("/proc/self/mountinfo"));
    own(&groups, &mounts).map_or_else(Vec::new, |(mount, own)| homes_of(&mount, &own))
}

/// Of a process' group and those above it, up to the first that limits memory, those whose children have the
/// controllers. A job does not leave a limit that holds the caller.
fn homes_of(mount: &Path, own: &Path) -> Vec<PathBuf> {
    let within = own.ancestors().take_while(|group| group.starts_with(mount));
    let mut homes = Vec::new();
    for group in within {
        let on = fs::read_to_string(group.join("cgroup.subtree_control")).unwrap_or_default();
        if ["memory", "pids"]
            .iter()
            .all(|needed| on.split_whitespace().any(|controller| controller == *needed))
        {
            homes.push(group.to_owned());
        }
        let limit = fs::read_to_string(group.join("memory.max"));
        if limit.is_ok_and(|limit| limit.trim() != "max") {
            break;
        }
    }
    homes
}

/// Where version 2 is mounted, and this process' group in it, from cgroups(7) and `/proc/PID/mountinfo` (proc(5)).
fn own(groups: &str, mounts: &str) -> Option<(PathBuf, PathBuf)> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        if !kind.starts_with("cgroup2 ") {
            return None;
        }
        // Outside of the group's namespace its path has "..", and it cannot be reached.
        let below = Path::new(group).strip_prefix(root).ok()?;
        let is_inside = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        is_inside.then(|| (PathBuf::from(point), Path::new(point).join(below)))
    })
}

#[cfg(test)]
mod tests {
    use super::{Cgroup, homes_of, name, own, sweep};
    use std::fs;
    use std::path::PathBuf;

    /// A folder with these files; its name says that it is no control group of the kernel's.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::Builder::new().prefix("no-cgroup-").tempdir().expect("a folder");
        for (file, text) in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        folder
    }

    #[test]
    fn a_job_is_limited_as_a_whole_and_its_end_is_read_from_its_group() {
        let group = folder(&[("cgroup.procs", ""), ("memory.swap.max", "max")]);
        let read = |file: &str| fs::read_to_string(group.path().join(file)).expect(file);
        let made = Cgroup::limited(group.path(), 176 << 20, 9).expect("all files can be written");
        let limits = ["memory.max", "pids.max", "memory.oom.group", "memory.swap.max"].map(read);
        assert_eq!(limits, ["184549376", "9", "1", "0"]);
        let held = made.hold(4711).expect("written");
        assert_eq!(read("cgroup.procs"), "4711");

        // The kernel writes these.
        assert!(!held.is_out_of_memory() && held.cpu_ms().is_none());
        fs::write(group.path().join("memory.events"), "low 0\noom 3\noom_kill 0\n").expect("written");
        fs::write(group.path().join("cpu.stat"), "usage_usec 2500\nuser_usec 2000\n").expect("written");
        assert!(!held.is_out_of_memory());
        assert_eq!(held.cpu_ms(), Some(2));
        fs::write(group.path().join("memory.events"), "oom 3\noom_kill 1\n").expect("written");
        assert!(held.is_out_of_memory());
    }

    #[test]
    fn a_group_whose_members_cannot_be_written_is_none() {
        assert!(Cgroup::limited(folder(&[]).path(), 1, 1).is_none());
    }

    #[test]
    fn a_delegated_subtree_is_a_home_and_nothing_above_a_limit_of_memory_is() {
        let (both, cpu) = ("cpu memory pids\n", "cpu\n");
        let tree = |limit: &'static str| {
            folder(&[
                ("cgroup.subtree_control", both),
                ("user.slice/cgroup.subtree_control", both),
                ("user.slice/memory.max", limit),
                ("user.slice/app/cgroup.subtree_control", cpu),
                ("user.slice/app/memory.max", "max\n"),
                ("user.slice/app/own/memory.max", "max\n"),
            ])
        };
        let homes = |tree: &tempfile::TempDir| {
            let homes = homes_of(tree.path(), &tree.path().join("user.slice/app/own"));
            let below = |home: PathBuf| home.strip_prefix(tree.path()).expect("below").to_owned();
            homes.into_iter().map(below).collect::<Vec<_>>()
        };
        assert_eq!(homes(&tree("max\n")), [PathBuf::from("user.slice"), PathBuf::new()]);
        assert_eq!(homes(&tree("1073741824\n")), [PathBuf::from("user.slice")]);
    }

    #[test]
    fn groups_of_helpers_that_are_no_more_are_removed() {
        let home = folder(&[]);
        let groups = [name(std::process::id(), 1), name(u32::MAX, 2), "another".to_owned()];
        for group in &groups {
            fs::create_dir(home.path().join(group)).expect("made");
        }
        sweep(home.path());
        assert_eq!(groups.map(|group| home.path().join(group).exists()), [true, false, true]);
    }

    #[test]
    fn the_own_group_is_found_below_its_mount() {
        let v1 = "31 23 0:27 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n";
        let at = |root: &str| {
            format!("{v1}30 23 0:26 {root} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n")
        };
        let found = |group: &str| Some((PathBuf::from("/sys/fs/cgroup"), PathBuf::from(group)));
        assert_eq!(
            own("4:memory:/a\n0::/user.slice/x.scope\n", &at("/")),
            found("/sys/fs/cgroup/user.slice/x.scope")
        );
        assert_eq!(own("0::/\n", &at("/")), found("/sys/fs/cgroup/"));
        assert_eq!(own("0::/docker/1/a\n", &at("/docker/1")), found("/sys/fs/cgroup/a"));
        for (groups, mounts) in [
            ("4:memory:/a\n", at("/")),
            ("0::/\n", v1.to_owned()),
            ("0::/../b\n", at("/")),
            ("0::/elsewhere\n", at("/docker/1")),
        ] {
            assert_eq!(own(groups, &mounts), None, "{groups}{mounts}");
        }
    }
}
