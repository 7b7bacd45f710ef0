//! Which files a job reaches, by Landlock: rules on the process that it cannot lift, kept by the kernel whatever
//! the account may read. What exists and how large it is stays visible; contents do not.

use crate::job::Failure;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, RestrictionStatus, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use std::fs;
use std::path::{Path, PathBuf};

/// Read and executed by every program: binaries, libraries, what the loader and Python's `site` look at. No account
/// has secrets there.
const SYSTEM: &[&str] = &[
    "/bin",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/sbin",
    "/usr",
];

/// Read only: devices without effect, and how many processors there are. Not `/dev/zero`: a mapping of it is memory
/// that processes share, which the filter denies.
const READ: &[&str] = &[
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system/cpu",
];

/// Limits this process to the system's programs, `read`, and all of `folder`. Whether signals stay inside, too
/// (Linux 6.12), is the result.
pub(super) fn apply(folder: &Path, read: &[PathBuf]) -> Result<bool, Failure> {
    let status = restrict(folder, read).map_err(|error| Failure::layer("Landlock", error))?;
    if status.ruleset == RulesetStatus::NotEnforced || !status.no_new_privs {
        return Err(Failure::layer("Landlock", "the kernel does not enforce it (Linux 5.13 and later can)"));
    }
    Ok(matches!(status.landlock, LandlockStatus::Available { effective_abi, .. } if effective_abi >= ABI::V6))
}

/// Keeps the signals of this thread, and of what it starts, from the other threads of this process. To be called where
/// [`apply`] returned true.
pub(super) fn keep_signals() -> Result<(), Failure> {
    let restrict = || {
        Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .scope(Scope::Signal)?
            .create()?
            .restrict_self()
    };
    restrict().map(drop).map_err(|error: RulesetError| Failure::layer("Landlock's second layer", error))
}

fn restrict(folder: &Path, read: &[PathBuf]) -> Result<RestrictionStatus, RulesetError> {
    let newest = ABI::V6;
    let execute = AccessFs::from_read(newest);
    let look = AccessFs::ReadFile | AccessFs::ReadDir;
    let folder_access =
        AccessFs::from_all(newest) & !(AccessFs::MakeBlock | AccessFs::MakeChar | AccessFs::MakeSock);
    Ruleset::default()
        // Files: what the first Landlock can is a must, what later ones add is taken where it is.
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(newest))?
        .handle_access(AccessNet::from_all(newest))?
        .scope(Scope::from_all(newest))?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, execute))?
        .add_rules(path_beneath_rules(python_settings(), look))?
        .add_rules(path_beneath_rules(READ, look))?
        .add_rules(path_beneath_rules(["/dev/null"], look | AccessFs::WriteFile))?
        .add_rules(path_beneath_rules(read, execute))?
        .add_rules(path_beneath_rules([folder], folder_access))?
        .restrict_self()
}

/// Debian's interpreters read `/etc/python3.11/sitecustomize.py` and complain where they cannot.
fn python_settings() -> Vec<PathBuf> {
    let entries = fs::read_dir("/etc").into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("python3"))
        .map(|entry| entry.path())
        .collect()
}
