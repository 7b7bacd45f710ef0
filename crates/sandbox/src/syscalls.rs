//! System calls that a job has no use for, denied by seccomp: sockets, what changes the system or other processes,
//! and what would lead out of the other layers. All else is allowed, so that any program of a later day runs; calls
//! that this list cannot know, because they are newer, do not exist for a job.

use crate::job::{Failure, Layers};
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
/// can be looked at, runtimes take `epoll`, and copies are read and written.
const ABSENT: &[i64] = &[
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_setup,
    // pages that a pipe or a socket holds, and no process
    libc::SYS_splice,
    libc::SYS_tee,
    libc::SYS_vmsplice,
    libc::SYS_sendfile,
    // locks of files that others read, too
    libc::SYS_flock,
];

/// Not permitted (EPERM), on every architecture.
const DENIED: &[i64] = &[
    // the network; pairs of stream sockets stay, which write and read
    libc::SYS_socket,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_setsockopt, // buffers larger than the watch counts
    libc::SYS_sendmsg,    // with descriptors, which the watch does not see while they are on their way
    libc::SYS_sendmmsg,
    // other processes
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    libc::SYS_setpriority,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setattr,
    libc::SYS_ioprio_set,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_mbind,
    libc::SYS_set_mempolicy,
    libc::SYS_set_mempolicy_home_node,
    // leaving the process group, which is ended as a whole
    libc::SYS_setsid,
    libc::SYS_setpgid,
    // namespaces and mounts, within which Landlock's rules could be set again
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
    libc::SYS_fanotify_mark,
    libc::SYS_inotify_init1, // names of files that others open
    libc::SYS_inotify_add_watch,
    libc::SYS_sync,
    libc::SYS_syncfs,
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
    libc::SYS_inotify_init,
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

/// A flag of `close_range`: a table of files of the thread's own.
const CLOSE_RANGE_UNSHARE: i32 = 2;

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

/// Types of sockets, of which pairs may be made of the first alone: from another one a datagram can be sent to any
/// address.
const SOCKET_TYPES: std::ops::Range<u64> = 0..16;

/// Commands of `fcntl`: signals of choice to a process of choice, notice of what others do in a folder and to a file,
/// and pipes larger than the watch counts.
const FILE_COMMANDS: [i32; 6] =
    [libc::F_SETOWN, F_SETSIG, F_SETOWN_EX, libc::F_NOTIFY, libc::F_SETLEASE, libc::F_SETPIPE_SZ];
const F_SETSIG: i32 = 10;
const F_SETOWN_EX: i32 = 15;

/// Commands of `ioctl` that are `F_SETOWN` by another name.
const OWNERS: [u64; 2] = [0x8901 /* FIOSETOWN */, 0x8902 /* SIOCSPGRP */];

/// Puts the filters on this process and all that it will start.
pub(super) fn apply() -> Result<(), Failure> {
    let absent = ABSENT.iter().map(|&call| (call, Vec::new())).collect();
    for program in [Ok(unknown_calls()), compile(absent, libc::ENOSYS), denied().and_then(eperm)] {
        put(program)?;
    }
    Ok(())
}

/// Puts the last filter on the thread that starts the program: without it the program could end this process, and
/// take its ending along, or put on filters and rules of its own without end.
pub(super) fn seal(layers: Layers) -> Result<(), Failure> {
    put(sealed(layers).and_then(eperm))
}

fn put(program: Result<BpfProgram, seccompiler::Error>) -> Result<(), Failure> {
    program.and_then(|program| apply_filter(&program)).map_err(|error| Failure::layer("seccomp", error))
}

fn eperm(rules: Rules) -> Result<BpfProgram, seccompiler::Error> {
    compile(rules, libc::EPERM)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Calls, each with the arguments under which it is denied: any of the rules, or any arguments where there is none.
fn denied() -> Result<Rules, seccompiler::Error> {
    use SeccompCmpOp::{Eq, MaskedEq, Ne};
    let mut rules: Rules = DENIED.iter().chain(DENIED_HERE).map(|&call| (call, Vec::new())).collect();
    let mut deny = |call, denied: Vec<Result<SeccompRule, _>>| {
        denied.into_iter().collect::<Result<Vec<_>, seccompiler::BackendError>>().map(|denied| {
            rules.insert(call, denied);
        })
    };
    let flags = |index, all: i32, set: i32| word(index, MaskedEq(u64::from(all as u32)), set as u32);
    // A thread with a table of files of its own would hold what the watch does not see.
    let own_files = flags(0, libc::CLONE_THREAD | libc::CLONE_FILES, libc::CLONE_THREAD);
    deny(
        libc::SYS_clone,
        NAMESPACES.map(|flag| flags(0, flag, flag)).into_iter().chain([own_files]).collect(),
    )?;
    deny(libc::SYS_close_range, vec![flags(2, CLOSE_RANGE_UNSHARE, CLOSE_RANGE_UNSHARE)])?;
    // Memory that processes share stays when it is unmapped where it was written, and no sum over processes has it.
    let shared = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    deny(libc::SYS_mmap, vec![flags(3, shared, shared)])?;
    // Paged out by itself, it would not be counted.
    deny(libc::SYS_madvise, vec![word(2, Eq, libc::MADV_PAGEOUT as u32)])?;
    let types = SOCKET_TYPES.filter(|&kind| kind != libc::SOCK_STREAM as u64);
    let types = types.map(|kind| word(1, MaskedEq(SOCKET_TYPES.end - 1), kind as u32));
    deny(libc::SYS_socketpair, types.chain([word(0, Ne, libc::AF_UNIX as u32)]).collect())?;
    // To where the pair leads it may send, to an address it may not.
    deny(libc::SYS_sendto, vec![argument(4, SeccompCmpArgLen::Qword, Ne, 0)])?;
    deny(libc::SYS_fcntl, FILE_COMMANDS.map(|command| word(1, Eq, command as u32)).into())?;
    deny(libc::SYS_ioctl, OWNERS.map(|command| word(1, Eq, command as u32)).into())?;
    // It may ask for the one that it has.
    deny(libc::SYS_personality, vec![word(0, Ne, u32::MAX)])?;
    // 0 is the caller itself.
    for call in [libc::SYS_prlimit64, libc::SYS_sched_setaffinity] {
        deny(call, vec![word(0, Ne, 0)])?;
    }
    // What it cannot be looked at for, it could hold.
    deny(libc::SYS_prctl, vec![word(0, Eq, libc::PR_SET_DUMPABLE as u32)])?;
    Ok(rules)
}

fn sealed(layers: Layers) -> Result<Rules, seccompiler::Error> {
    use SeccompCmpOp::Eq;
    let process = std::process::id();
    let thread = nix::unistd::gettid().as_raw() as u32;
    let calls = [
        libc::SYS_seccomp,
        libc::SYS_landlock_create_ruleset,
        libc::SYS_landlock_add_rule,
        libc::SYS_landlock_restrict_self,
    ];
    let mut rules: Rules = calls.into_iter().map(|call| (call, Vec::new())).collect();
    rules.insert(libc::SYS_prctl, vec![word(0, Eq, libc::PR_SET_SECCOMP as u32)?]);
    let signals = [
        (libc::SYS_kill, process),
        (libc::SYS_tgkill, process),
        (libc::SYS_rt_sigqueueinfo, process),
        (libc::SYS_rt_tgsigqueueinfo, process),
        (libc::SYS_tkill, thread),
    ];
    for (call, this) in signals {
        // Which processes are the program's children a filter cannot know: where nothing else keeps its signals from
        // others, it sends none.
        let denied = if layers.denies_signals() { Vec::new() } else { vec![word(0, Eq, this)?] };
        rules.insert(call, denied);
    }
    Ok(rules)
}

/// A condition on the lower 32 bits of an argument.
fn word(index: u8, operator: SeccompCmpOp, value: u32) -> Result<SeccompRule, seccompiler::BackendError> {
    argument(index, SeccompCmpArgLen::Dword, operator, u64::from(value))
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
