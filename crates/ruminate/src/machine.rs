//! What this machine has left: memory by whatever limits it, room on a disk, cores. It knows Linux's files and a GPU
//! driver's command; where there are none it says nothing. What a run needs is others' business.

use crate::device::Device;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Memory that can still be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) bytes: u64,
    /// What limits it, for people.
    pub(crate) limit: String,
}

impl Memory {
    fn new(bytes: u64, limit: impl Into<String>) -> Self {
        Self { bytes, limit: limit.into() }
    }
}

/// The memory that a run on that device can take: of the CPU the least of what the system, the process's limit and its
/// control groups leave; of a GPU the free memory that its driver reports. None where nothing is known.
pub(crate) fn memory(device: Device) -> Option<Memory> {
    if device != Device::Flex {
        return device_memory(device);
    }
    let system = read("/proc/meminfo").and_then(|text| of_system(&text));
    let process = read("/proc/self/limits")
        .and_then(|limits| of_process(&limits, &read("/proc/self/status").unwrap_or_default()));
    let groups = of_groups(Path::new("/sys/fs/cgroup"), &read("/proc/self/cgroup").unwrap_or_default());
    [system, process, groups].into_iter().flatten().min_by_key(|memory| memory.bytes)
}

/// Bytes that a process without privileges can still write where `path` is, or will be.
pub(crate) fn free_disk(path: &Path) -> Option<u64> {
    let path = std::path::absolute(path).ok()?;
    let there = path.ancestors().find(|ancestor| ancestor.exists())?;
    #[cfg(unix)]
    {
        let disk = nix::sys::statvfs::statvfs(there).ok()?;
        // A file system that stores nothing, like /proc, has no blocks at all.
        (disk.blocks() > 0).then(|| disk.blocks_available() as u64 * disk.fragment_size() as u64)
    }
    #[cfg(not(unix))]
    {
        let _ = there;
        None
    }
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// `MemAvailable` of /proc/meminfo.
fn of_system(meminfo: &str) -> Option<Memory> {
    Some(Memory::new(kib(meminfo, "MemAvailable:")?, "free on this machine (MemAvailable)"))
}

/// The number of KiB behind a name, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// What `ulimit -v` leaves: the address space's limit without what is mapped already.
fn of_process(limits: &str, status: &str) -> Option<Memory> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    let limit: u64 = line.split_whitespace().next()?.parse().ok()?; // not so where it is `unlimited`
    let mapped = kib(status, "VmSize:").unwrap_or(0);
    Some(Memory::new(limit.saturating_sub(mapped), "left of this process's limit (ulimit -v)"))
}

/// What the control groups of a process leave, version 2 or 1: each group above its own limits it, too.
fn of_groups(root: &Path, groups: &str) -> Option<Memory> {
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let path = path.trim_start_matches('/');
        if controllers.is_empty() {
            return least(root, path, |folder| {
                of_group(folder, "memory.max", "memory.current", "inactive_file")
            });
        }
        let of_memory = controllers.split(',').any(|controller| controller == "memory");
        of_memory.then(|| {
            least(&root.join("memory"), path, |folder| {
                let (limit, used) = ("memory.limit_in_bytes", "memory.usage_in_bytes");
                of_group(folder, limit, used, "total_inactive_file")
            })
        })?
    });
    let bytes = limits.min()?;
    Some(Memory::new(bytes, "left of this control group's limit (memory.max)"))
}

/// The least over a group and those above it. In a container the path may be the host's, which is not there: then its root
/// stands for the group.
fn least(root: &Path, path: &str, of: impl Fn(&Path) -> Option<u64>) -> Option<u64> {
    let folder: PathBuf = root.join(path);
    folder.ancestors().take_while(|folder| folder.starts_with(root)).filter_map(of).min()
}

/// A limit without what is used; pages of files that were read once are given back when memory is short.
fn of_group(folder: &Path, limit: &str, used: &str, reclaimable: &str) -> Option<u64> {
    let number = |name: &str| read(folder.join(name))?.trim().parse::<u64>().ok();
    // Version 1 has a number near 2^63 where there is no limit, version 2 the word `max`.
    let limit = number(limit).filter(|limit| *limit < 1 << 60)?;
    let stat = read(folder.join("memory.stat")).unwrap_or_default();
    let cached = stat.lines().find_map(|line| line.strip_prefix(reclaimable)?.trim().parse::<u64>().ok());
    let used = number(used).unwrap_or(0).saturating_sub(cached.unwrap_or(0));
    Some(limit.saturating_sub(used))
}

/// A GPU's free memory, where its driver says: NVIDIA's by `nvidia-smi`, AMD's in its own files.
fn device_memory(device: Device) -> Option<Memory> {
    match device {
        Device::Cuda(index) => {
            let output = Command::new("nvidia-smi")
                .args(["--query-gpu=memory.free", "--format=csv,noheader,nounits", "-i"])
                .arg(index.to_string())
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .output()
                .ok()?;
            let mib = of_nvidia(&String::from_utf8_lossy(&output.stdout))?;
            Some(Memory::new(mib << 20, format!("free on {device} (nvidia-smi)")))
        }
        Device::Vulkan(_) | Device::Wgpu => {
            let cards = fs::read_dir("/sys/class/drm").ok()?.flatten().map(|card| card.path().join("device"));
            let free = cards.filter_map(|card| {
                let number = |name: &str| read(card.join(name))?.trim().parse::<u64>().ok();
                Some(number("mem_info_vram_total")?.saturating_sub(number("mem_info_vram_used")?))
            });
            Some(Memory::new(free.max()?, format!("free on {device} (mem_info_vram_total)")))
        }
        Device::Flex => None,
    }
}

/// MiB of the one line that `nvidia-smi` answers.
fn of_nvidia(answer: &str) -> Option<u64> {
    answer.lines().next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Memory, free_disk, memory, of_groups, of_nvidia, of_process, of_system};
    use crate::device::Device;
    use std::fs;
    use std::path::Path;

    fn bytes(memory: Option<Memory>) -> Option<u64> {
        memory.map(|memory| memory.bytes)
    }

    #[test]
    fn what_the_system_and_the_process_have_left_is_read() {
        let meminfo = "MemTotal:       24000000 kB\nMemFree:  1 kB\nMemAvailable:   16000000 kB\n";
        assert_eq!(bytes(of_system(meminfo)), Some(16_000_000 << 10));
        let limits = |limit: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units\n\
                 Max address space         {limit:<20} unlimited            bytes\n"
            )
        };
        assert_eq!(bytes(of_process(&limits("unlimited"), "")), None);
        let status = "VmPeak:\t 9000 kB\nVmSize:\t 4000 kB\n";
        assert_eq!(bytes(of_process(&limits("16384000000"), status)), Some(16_384_000_000 - 4_096_000));
        assert_eq!(of_nvidia("81012\n"), Some(81_012));
        assert_eq!(of_nvidia("No devices were found\n"), None);
    }

    fn write(folder: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(folder).expect("made");
        for (name, text) in files {
            fs::write(folder.join(name), text).expect("written");
        }
    }

    #[test]
    fn the_tightest_group_of_either_version_counts_without_cached_files() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        write(root, &[("memory.max", "max\n"), ("memory.current", "5\n")]);
        let stat = ("memory.stat", "anon 600\ninactive_file 300\n");
        write(&root.join("a"), &[("memory.max", "2000\n"), ("memory.current", "1000\n"), stat]);
        write(&root.join("a/b"), &[("memory.max", "5000\n"), ("memory.current", "1000\n")]);
        assert_eq!(bytes(of_groups(root, "0::/a/b\n")), Some(1300), "the group above is tighter");
        assert_eq!(bytes(of_groups(root, "0::/\n")), None, "no limit");
        assert_eq!(bytes(of_groups(root, "0::/of/the/host\n")), None);

        let stat = ("memory.stat", "total_inactive_file 100\n");
        let used = ("memory.usage_in_bytes", "500\n");
        write(&root.join("memory/c"), &[("memory.limit_in_bytes", "1000\n"), used, stat]);
        assert_eq!(bytes(of_groups(root, "5:cpu:/c\n4:memory:/c\n")), Some(600));
        write(&root.join("memory/c"), &[("memory.limit_in_bytes", "9223372036854771712\n")]);
        assert_eq!(bytes(of_groups(root, "4:memory:/c\n")), None);
        // In a container the group's files lie at the root.
        write(&root.join("memory"), &[("memory.limit_in_bytes", "800\n"), used]);
        assert_eq!(bytes(of_groups(root, "4:memory:/docker/0123\n")), Some(300));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_memory_and_room_for_files_that_are_not_there_yet() {
        assert!(memory(Device::Flex).is_some_and(|memory| memory.bytes > 1 << 20));
        let folder = tempfile::tempdir().expect("a folder");
        assert!(free_disk(&folder.path().join("not/yet")).is_some_and(|bytes| bytes > 0));
        assert_eq!(free_disk(Path::new("/proc/ruminate")), None);
    }
}
