//! System calls that a job has no use for, denied by seccomp: sockets, what changes the system or other processes,
//! and what would lead out of the other layers. All else is allowed, so that any program of a later day runs; calls
//! that this list cannot know, because they are newer, do not exist for a job.

use super::job::{Failure, Layers};
use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter, sock_filter,
};
use std::collections::BTreeMap;

/// The first number that this file does not know (Linux 6.13's `setxattrat`). The calls of x86-64's x32, another
/// numbering that would pass by the lists below, are beyond it, too.
const FIRST_UNKNOWN: u32 = 463;

/// They do not exist (ENOSYS), which programs know how to live with: the C library then takes `clone`, whose flags
/// can be looked at, and runtimes take `epoll`.
const ABSENT: &[i64] =
    &[libc::SYS_clone3, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// Not permitted (EPERM), on every architecture.
const DENIED: &[i64] = &[
    // the network; pairs of sockets stay
    libc::SYS_socket,
    // other processes
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_setpriority,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setattr,
    libc::SYS_ioprio_set,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // leaving the process group, which is ended as a whole
    libc::SYS_setsid,
    libc::SYS_setpgid,
    // namespaces and mounts, within which Landlock's rules could be asked anew
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // properties of files, which Landlock leaves to the account
    libc::SYS_truncate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    // memory and messages that outlive a process, or that no limit counts
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    libc::SYS_shmget,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
    // the system and its kernel
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_fanotify_init,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
];

/// Older calls that only x86-64 has.
#[cfg(target_arch = "x86_64")]
const DENIED_HERE: &[i64] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_mknod,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_kexec_file_load,
];

#[cfg(not(target_arch = "x86_64"))]
const DENIED_HERE: &[i64] = &[];

/// Flags of `clone` that make a namespace.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// Puts the filters on this process and all that it will start.
pub(super) fn apply(layers: Layers) -> Result<(), Failure> {
    let absent = ABSENT.iter().map(|&call| (call, Vec::new())).collect();
    let failed = |error: seccompiler::Error| Failure::layer("seccomp", error);
    for program in [
        unknown_calls(),
        compile(absent, libc::ENOSYS).map_err(failed)?,
        compile(denied(layers).map_err(|error| failed(error.into()))?, libc::EPERM).map_err(failed)?,
    ] {
        apply_filter(&program).map_err(failed)?;
    }
    Ok(())
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Calls, each with the arguments under which it is denied: any of the rules, or any arguments where there is none.
fn denied(layers: Layers) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = DENIED.iter().chain(DENIED_HERE).map(|&call| (call, Vec::new())).collect();
    let namespace = |flag: i32| {
        let flag = u64::from(flag as u32);
        argument(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag)
    };
    rules.insert(libc::SYS_clone, NAMESPACES.into_iter().map(namespace).collect::<Result<_, _>>()?);
    // 0 is the caller itself.
    for call in [libc::SYS_prlimit64, libc::SYS_sched_setaffinity] {
        rules.insert(call, vec![argument(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, 0)?]);
    }
    if layers.denies_signals() {
        // To itself it may: that is how a program aborts.
        let itself = u64::from(std::process::id());
        let others = || argument(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, itself);
        for call in [libc::SYS_kill, libc::SYS_tgkill, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo]
        {
            rules.insert(call, vec![others()?]);
        }
        rules.insert(libc::SYS_tkill, Vec::new());
        rules.insert(libc::SYS_pidfd_send_signal, Vec::new());
        // A file can be made to send a signal of choice to a process of choice.
        let by_file = [libc::F_SETOWN as u64, 10 /* F_SETSIG */, 15 /* F_SETOWN_EX */];
        let command = |command| argument(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, command);
        rules.insert(libc::SYS_fcntl, by_file.into_iter().map(command).collect::<Result<_, _>>()?);
    }
    Ok(rules)
}

fn argument(
    index: u8,
    width: SeccompCmpArgLen,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(index, width, operator, value)?])
}

/// A filter that answers the calls with an error and allows all others. One for another architecture's calls (32
/// bits on x86-64) ends the process.
fn compile(rules: Rules, errno: i32) -> Result<BpfProgram, seccompiler::Error> {
    let architecture = std::env::consts::ARCH.try_into()?;
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno as u32), architecture)?;
    Ok(filter.try_into()?)
}

/// Calls from [`FIRST_UNKNOWN`] on do not exist: a comparison that rules by number cannot express.
fn unknown_calls() -> BpfProgram {
    let statement = |code: u32, k: u32| sock_filter { code: code as u16, jt: 0, jf: 0, k };
    vec![
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0), // seccomp_data.nr
        sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: FIRST_UNKNOWN,
        },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ]
}
