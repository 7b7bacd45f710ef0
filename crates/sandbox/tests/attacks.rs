//! Attacks on the sandbox: each ends as it must, and nothing of it is alive afterwards. The tests run under the
//! account that runs them, and again as an ordinary user and without namespaces where this process can arrange that.

#![cfg(target_os = "linux")]

#[path = "sandboxed/attack.rs"]
mod attack;
#[path = "sandboxed/elsewhere.rs"]
mod elsewhere;
mod sandboxed;

use attack::{LIMITS, assert_none_alive, attack, marker, with_argument};
use ruminate_sandbox::{Account, Ended, Ending, Failure, Job, Limits, Namespaces};
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// The helper of this package.
const HELPER: &str = env!("CARGO_BIN_EXE_sandbox-helper");

#[test]
fn a_process_that_is_alive_would_be_found() {
    let seconds = format!("100{}.125", std::process::id());
    let mut child = Command::new("sleep").arg(&seconds).spawn().expect("sleep is everywhere");
    // Its arguments appear a moment after its start.
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut found = Vec::new();
    while found.is_empty() && Instant::now() < deadline {
        found = with_argument(&seconds);
    }
    child.kill().and_then(|()| child.wait()).expect("its end");
    assert_eq!(found, [child.id().to_string()]);
    assert_none_alive(&seconds);
}

#[test]
fn an_ordinary_program_runs() {
    let source = "import sys, subprocess, tempfile, threading, asyncio\n\
        thread = threading.Thread(target=print, args=('thread',)); thread.start(); thread.join()\n\
        with tempfile.NamedTemporaryFile('w+') as file: file.write('file'); file.seek(0); print(file.read())\n\
        print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout.strip())\n\
        async def nothing(): print('async')\n\
        asyncio.run(nothing())\nsys.exit(7)";
    let Some(ended) = attack(source, LIMITS) else { return };
    assert_eq!(ended.ending, Ending::Exited(7), "{}", ended.stderr);
    assert_eq!(ended.stdout, "thread\nfile\nchild\nasync\n");
}

#[test]
fn a_loop_ends_at_the_wall() {
    for source in
        ["while True: pass", "import time\nwhile True: time.sleep(60)", "import signal\nsignal.pause()"]
    {
        let Some(ended) = attack(source, Limits { timeout_ms: 400, ..LIMITS }) else { return };
        assert_eq!(ended.ending, Ending::TimedOut, "{source}");
    }
}

#[test]
fn a_fork_bomb_reaches_its_limit_and_is_ended() {
    let source = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass";
    let Some(ended) = attack(source, Limits { timeout_ms: 800, memory_mb: 1_024, ..LIMITS }) else { return };
    assert!(
        matches!(ended.ending, Ending::TimedOut | Ending::TooManyProcesses | Ending::TooMuchMemory),
        "{ended:?}"
    );

    // Refused at its limit, it ends at once. Where only a backstop refuses it later, it stays until the watch looks.
    let source = "import os, time\nfor n in range(1000):\n    try:\n        if os.fork() == 0: time.sleep(60)\n    \
                  except OSError:\n        if n < 24:\n            print('refused', flush=True)\n            \
                  os._exit(0)\n        break\ntime.sleep(60)";
    let Some(ended) = attack(source, LIMITS) else { return };
    let is_refused = ended.stdout == "refused\n";
    assert!(
        is_refused || matches!(ended.ending, Ending::TooManyProcesses | Ending::TooMuchMemory),
        "{ended:?}"
    );
}

#[test]
fn ten_gigabytes_are_not_given() {
    let source = "try: x = bytearray(10 << 30)\nexcept MemoryError: print('denied')";
    let Some(ended) = attack(source, LIMITS) else { return };
    assert_eq!((ended.ending, ended.stdout.as_str()), (Ending::Exited(0), "denied\n"), "{}", ended.stderr);
}

#[test]
fn memory_that_many_processes_hold_together_is_limited() {
    let source = "import os, time\nfor i in range(8):\n    if os.fork() == 0:\n        x = b'1' * (100 << 20)\n        \
                  time.sleep(60)\ntime.sleep(60)";
    let Some(ended) = attack(source, Limits { timeout_ms: 4_000, ..LIMITS }) else { return };
    assert_eq!(ended.ending, Ending::TooMuchMemory);
}

#[test]
fn a_gigabyte_of_output_is_cut_off() {
    for stream in ["stdout", "stderr"] {
        let source = format!("import sys\nwhile True: sys.{stream}.write('x' * 65536)");
        let Some(ended) = attack(&source, LIMITS) else { return };
        assert_eq!(ended.ending, Ending::TooMuchOutput);
        let written = if stream == "stdout" { ended.stdout } else { ended.stderr };
        assert_eq!(written.len(), LIMITS.output_bytes);
    }
}

#[test]
fn secrets_are_not_read_and_nothing_outside_is_written() {
    let secrets = tempfile::tempdir().expect("a folder");
    let secret = secrets.path().join("secret");
    fs::write(&secret, "the key").expect("a file");
    let mine = std::process::id();
    let source = format!(
        "import os\ndef denied(act):\n    try: act()\n    except OSError: return\n    print('not denied')\n\
         for path in [{secret:?}, '/etc/passwd', '/etc/shadow', '/proc/{mine}/environ', '/proc/self/environ', '/proc/1/mem',\n             \
         '/root/.ssh/id_rsa']:\n    denied(lambda: open(path).read())\n\
         for folder in ['/', '/etc', '/home', '/proc', '/tmp', {folder:?}]: denied(lambda: os.listdir(folder))\n\
         for path in [{secret:?}, '/tmp/ruminate-written', '/dev/shm/ruminate-written', '/etc/ruminate']:\n    \
         denied(lambda: open(path, 'w')); denied(lambda: os.truncate(path, 0)); denied(lambda: os.chmod(path, 0o777))\n    \
         denied(lambda: os.unlink(path)); denied(lambda: os.rename(path, 'here')); denied(lambda: os.utime(path))\n    \
         denied(lambda: os.link(path, 'link'))\n\
         os.symlink({secret:?}, 'symbolic'); denied(lambda: open('symbolic').read())\nprint(sorted(os.environ))",
        folder = secrets.path()
    );
    let Some(ended) = attack(&source, LIMITS) else { return };
    let environment = "['HOME', 'LANG', 'PATH', 'PYTHONHASHSEED', 'PYTHONUTF8', 'TMPDIR']\n";
    assert_eq!(ended.stdout, environment, "{}", ended.stderr);
    assert_eq!(fs::read_to_string(&secret).expect("still there"), "the key");
}

#[test]
fn there_is_no_network() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let source = format!(
        "import socket\nfor family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):\n    \
         try: socket.socket(family)\n    except OSError: print('denied')\n\
         try: socket.create_connection(('127.0.0.1', {port}))\nexcept OSError: print('denied')"
    );
    let Some(ended) = attack(&source, LIMITS) else { return };
    assert_eq!(ended.stdout, "denied\n".repeat(5), "{}", ended.stderr);
}

#[test]
fn a_daemon_does_not_outlive_its_program() {
    let source = "import os, time, signal\nfor name in ('SIGTERM', 'SIGHUP', 'SIGINT'): signal.signal(getattr(signal, name), signal.SIG_IGN)\n\
                  for leave in (os.setsid, os.setpgrp):\n    try: leave()\n    except OSError: print('kept', flush=True)\n\
                  if os.fork() == 0:\n    try: os.setsid()\n    except OSError: pass\n    if os.fork() == 0:\n        time.sleep(600)\n    os._exit(0)\n";
    let Some(ended) = attack(source, LIMITS) else { return };
    assert_eq!(
        (ended.ending, ended.stdout.as_str()),
        (Ending::Exited(0), "kept\nkept\n"),
        "{}",
        ended.stderr
    );
}

#[test]
fn other_processes_are_out_of_reach() {
    let mut child = Command::new("sleep").arg("78.125").spawn().expect("sleep is everywhere");
    let source = format!(
        "import ctypes, os, resource, signal\nfor pid in ({child}, {mine}, -{child}):\n    \
         for act in (lambda: os.kill(pid, signal.SIGKILL), lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (0, 0)),\n                \
         lambda: os.setpriority(os.PRIO_PROCESS, pid, 19), lambda: os.sched_setaffinity(pid, [0])):\n        \
         try: act()\n        except (OSError, ValueError): print('denied')\n\
         libc = ctypes.CDLL(None)\nfor call in (libc.ptrace, libc.unshare, libc.chroot, libc.mount, libc.memfd_create):\n    \
         print('denied' if call(0x10000000, {child}, 0, 0, 0) == -1 else call)",
        child = child.id(),
        mine = std::process::id(),
    );
    let ended = attack(&source, LIMITS);
    let is_alive = child.try_wait().is_ok_and(|ended| ended.is_none());
    child.kill().and_then(|()| child.wait()).expect("its end");
    let Some(ended) = ended else { return };
    assert!(is_alive);
    assert_eq!(ended.stdout, "denied\n".repeat(17), "{}", ended.stderr);
}

#[test]
fn a_program_that_kills_all_it_can_hurts_itself_only() {
    // All signals, to the process that started it, to its threads, to process 1, by every call.
    let others = "import ctypes, os, signal\nlibc = ctypes.CDLL(None)\nparent = os.getppid()\n\
        for number in range(1, 65):\n    for pid in (parent, 1):\n        \
        try: os.kill(pid, number)\n        except (OSError, ValueError): pass\n    \
        for thread in set(range(parent, parent + 8)) - {os.getpid()}:\n        libc.syscall(TGKILL, parent, thread, number); libc.syscall(TKILL, thread, number)\n\
        print('alive')";
    let (tgkill, tkill) = if cfg!(target_arch = "x86_64") { ("234", "200") } else { ("131", "130") };
    let others = others.replace("TGKILL", tgkill).replace("TKILL", tkill);
    let Some(ended) = attack(&others, LIMITS) else { return };
    assert_eq!((ended.ending, ended.stdout.as_str()), (Ending::Exited(0), "alive\n"), "{}", ended.stderr);

    // By groups, in which it is itself: its end where signals stay inside, and denied where all are.
    let (_, layers) = sandboxed::sandbox().expect("it was here a moment ago");
    let are_denied = layers.namespaces == Namespaces::Shared && !layers.landlock_signals;
    for (signal, expected) in
        [("SIGKILL", Ending::Killed(9)), ("SIGTERM", Ending::Killed(15)), ("SIGSTOP", Ending::TimedOut)]
    {
        let source = format!(
            "import os, signal\ntry: os.kill(0, signal.{signal})\nexcept PermissionError: pass\nprint('alive')"
        );
        let Some(ended) = attack(&source, LIMITS) else { return };
        let expected = if are_denied { Ending::Exited(0) } else { expected };
        assert_eq!(ended.ending, expected, "{signal}");
    }
    let source = "import os, signal\ntry: os.kill(-1, signal.SIGKILL)\nexcept OSError: pass\nprint('alive')";
    let Some(ended) = attack(source, LIMITS) else { return };
    assert!(matches!(ended.ending, Ending::Exited(0) | Ending::Killed(9)), "{ended:?}");

    // By a file that is made to send it: to the process that started it, and to its group.
    let source = "import fcntl, os, signal, socket, struct\na, b = socket.socketpair()\nfor pid in (os.getppid(), -os.getppid()):\n    \
        for act in (lambda: fcntl.fcntl(a, 8, pid), lambda: fcntl.fcntl(a, 15, struct.pack('ii', 1, pid)), lambda: fcntl.fcntl(a, 10, 9),\n                \
        lambda: fcntl.ioctl(a, 0x8901, struct.pack('i', pid)), lambda: fcntl.ioctl(a, 0x8902, struct.pack('i', pid))):\n        \
        try: act()\n        except OSError: print('denied')\nfcntl.fcntl(a, fcntl.F_SETFL, os.O_ASYNC)\nb.send(b'1')";
    let Some(ended) = attack(source, LIMITS) else { return };
    assert_eq!(
        (ended.ending, ended.stdout.as_str()),
        (Ending::Exited(0), &*"denied\n".repeat(10)),
        "{}",
        ended.stderr
    );
}

/// Runs a program that sleeps, and `act`s on it once it does.
fn while_it_sleeps<R>(act: impl FnOnce(i32) -> R) -> Option<(Result<Ended, Failure>, R)> {
    let (sandbox, _) = sandboxed::sandbox()?;
    let marker = marker();
    let program = ["sh", "-c", "sleep 30; echo", &marker].map(str::to_owned).to_vec();
    let job = Job { program, limits: Limits { timeout_ms: 500, ..LIMITS }, ..Job::default() };
    let run = thread::spawn(move || sandbox.run(&job));
    let deadline = Instant::now() + Duration::from_secs(10);
    let found = loop {
        // The helper's order is on its standard input, not among its arguments: the first one is the program.
        if let Some(pid) = with_argument(&marker).first().and_then(|pid| pid.parse().ok()) {
            break pid;
        }
        assert!(Instant::now() < deadline && !run.is_finished(), "the program does not appear");
    };
    let acted = act(found);
    let ended = run.join().expect("the thread");
    assert_none_alive(&marker);
    Some((ended, acted))
}

fn parent(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is alive");
    let fields = stat.rsplit_once(')').expect("a name").1;
    fields.split_whitespace().nth(1).expect("a parent").parse().expect("a number")
}

#[test]
fn once_a_program_runs_every_ending_is_its_own() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    // From outside: what holds the program inside the tests above try.
    for (signal, expected) in [(Signal::SIGKILL, Ending::Killed(9)), (Signal::SIGSTOP, Ending::TimedOut)] {
        let Some((ended, ())) = while_it_sleeps(|program| {
            kill(Pid::from_raw(parent(program)), signal).expect("a signal to the jail");
        }) else {
            return;
        };
        assert_eq!(ended.map(|ended| ended.ending), Ok(expected), "{signal}");
    }
}

#[test]
fn what_a_helper_that_hangs_has_started_is_ended_with_it() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    let Some((ended, ())) = while_it_sleeps(|program| {
        kill(Pid::from_raw(parent(parent(program))), Signal::SIGSTOP).expect("a signal to the supervisor");
    }) else {
        return;
    };
    assert!(matches!(ended, Err(Failure::Helper { .. })), "{ended:?}");
}

#[test]
fn a_machine_without_memory_ends_the_job_first() {
    let read =
        |program: i32| fs::read_to_string(format!("/proc/{program}/oom_score_adj")).expect("it is alive");
    let Some((_, score)) = while_it_sleeps(read) else { return };
    assert_eq!(score, "1000\n");
}

#[test]
fn jobs_of_root_have_accounts_that_differ_and_are_of_no_service() {
    let Some((sandbox, layers)) = sandboxed::sandbox() else { return };
    let map = fs::read_to_string("/proc/self/uid_map").expect("a map");
    if layers.account == Account::Shared || !map.trim_end().ends_with("4294967295") {
        return; // not root, or in a container with few accounts
    }
    let source = "import os, time\nprint(os.getuid(), os.getgid())\ntime.sleep(0.5)";
    let program = ["python3", "-c", source].map(str::to_owned).to_vec();
    let job = Job { program, limits: LIMITS, ..Job::default() };
    let accounts: Vec<String> = thread::scope(|scope| {
        let runs = [(); 2].map(|()| scope.spawn(|| sandbox.run(&job).expect("python starts").stdout));
        runs.map(|run| run.join().expect("the thread")).into()
    });
    for account in &accounts {
        let ids: Vec<u32> = account.split_whitespace().map(|id| id.parse().expect("an id")).collect();
        assert!(ids.len() == 2 && ids[0] == ids[1] && ids[0] >= 0x7000_0000, "{accounts:?}");
    }
    assert_ne!(accounts[0], accounts[1]);
}

#[test]
fn it_sees_no_other_process() {
    let Some((_, layers)) = sandboxed::sandbox() else { return };
    let source = "import os\nprint(sum(os.path.exists(f'/proc/{n}') for n in range(1, 1 << 16)))";
    let Some(ended) = attack(source, Limits { timeout_ms: 5_000, ..LIMITS }) else { return };
    let seen: u32 = ended.stdout.trim().parse().expect("a number");
    // Its own, the jail, and threads of that.
    assert!(seen <= 8 || !layers.own_proc, "{seen} {layers:?}");
    assert!(
        layers.own_proc || layers.words().iter().any(|words| words.contains("the numbers and the accounts"))
    );
}

#[test]
fn nothing_leaves_by_sockets_and_no_notice_of_others_comes_in() {
    let folder = tempfile::Builder::new().prefix("ruminate-").tempdir_in("/tmp").expect("a folder");
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("a mode");
    let path = folder.path().join("server");
    let server = std::os::unix::net::UnixDatagram::bind(&path).expect("a server");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("a mode");
    server.set_nonblocking(true).expect("a mode");
    let source = format!(
        "import array, ctypes, fcntl, os, socket\nlibc = ctypes.CDLL(None, use_errno=True)\na, b = socket.socketpair()\n\
         a.sendall(b'1'); assert b.recv(1) == b'1'\n\
         acts = dict(dgram=lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'out', {path:?}),\n    \
         seqpacket=lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET),\n    \
         tipc=lambda: socket.socketpair(30, socket.SOCK_STREAM),\n    \
         sendto=lambda: a.sendto(b'out', {path:?}), sendmsg=lambda: a.sendmsg([b'1']),\n    \
         rights=lambda: a.sendmsg([b'1'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0]))]),\n    \
         bind=lambda: a.bind('name'), connect=lambda: a.connect({path:?}), listen=lambda: a.listen(), accept=lambda: a.accept(),\n    \
         buffer=lambda: a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22),\n    \
         pipe=lambda: fcntl.fcntl(a, 1031, 1 << 20), lock=lambda: fcntl.flock(os.open('/bin/sh', os.O_RDONLY), fcntl.LOCK_EX),\n    \
         lease=lambda: fcntl.fcntl(os.open('mine', os.O_CREAT), 1024, 0), notify=lambda: fcntl.fcntl(os.open('.', 0), 1026, 1),\n    \
         pidfd=lambda: os.pidfd_open(os.getpid()))\n\
         for name, act in acts.items():\n    try: act(); print(name, 'is not denied')\n    \
         except OSError as error:\n        if error.errno not in (1, 38): print(name, error)\n\
         calls = dict(inotify_init1=[0], inotify_add_watch=[3, b'/tmp', 1], fanotify_init=[0, 0], fanotify_mark=[0, 1, 0, 0, 0], syncfs=[0],\n    \
         personality=[0x40000], vmsplice=[1, 0, 0, 0], splice=[0, 0, 1, 0, 1, 0], tee=[0, 1, 1, 0], prctl=[4, 0, 0, 0, 0])\n\
         for name, arguments in calls.items():\n    \
         if getattr(libc, name)(*arguments) != -1 or ctypes.get_errno() not in (1, 38): print(name, ctypes.get_errno())\n\
         for number in (434, 444, 445, 446, 424, 450):\n    \
         if libc.syscall(number, 0, 0, 0, 0) != -1 or ctypes.get_errno() not in (1, 38): print(number, ctypes.get_errno())\n\
         if libc.prctl(22, 2, 0, 0, 0) != -1 or ctypes.get_errno() != 1: print('seccomp', ctypes.get_errno())\n\
         print('all')"
    );
    let Some(ended) = attack(&source, LIMITS) else { return };
    assert_eq!((ended.ending, ended.stdout.as_str()), (Ending::Exited(0), "all\n"), "{}", ended.stderr);
    assert!(server.recv(&mut [0; 8]).is_err());
}

#[test]
fn what_is_denied_leaves_programs_whole() {
    let source = "import asyncio, multiprocessing, mmap, os, shutil, signal, socket, sqlite3, subprocess, sys, threading\n\
        fork = multiprocessing.get_context('fork')\n\
        def child(end): end.send(sum(range(10)))\n\
        near, far = fork.Pipe()\nprocess = fork.Process(target=child, args=(far,)); process.start(); print(near.recv()); process.join()\n\
        try: fork.Queue()\nexcept OSError: print('no queue')\nelse: print('no queue')\n\
        open('a', 'w').write('text'); shutil.copyfile('a', 'b'); print(open('b').read())\n\
        with open('a', 'r+b') as file, mmap.mmap(file.fileno(), 4) as memory: memory[:] = b'TEXT'; print(open('a').read())\n\
        db = sqlite3.connect('db'); db.execute('create table t (x)'); db.execute('insert into t values (1)'); db.commit(); print(db.execute('select * from t').fetchall())\n\
        async def talk():\n    process = await asyncio.create_subprocess_exec('cat', stdin=-1, stdout=-1)\n    return (await process.communicate(b'talk'))[0]\n\
        print(asyncio.run(talk()).decode())\n\
        try: mmap.mmap(-1, 4096)\nexcept OSError: print('not shared')\n\
        private = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS); private[0] = 1\n\
        print(subprocess.run(['sh', '-c', 'echo \"$(echo 1 | cat)\"'], capture_output=True, text=True, close_fds=True).stdout.strip())\n\
        sys.stdout.flush()\nos.abort()";
    let Some(ended) = attack(source, Limits { timeout_ms: 6_000, memory_mb: 512, ..LIMITS }) else { return };
    let expected = "45\nno queue\ntext\nTEXT\n[(1,)]\ntalk\nnot shared\n1\n";
    assert_eq!(ended.stdout, expected, "{}", ended.stderr);
    assert!(matches!(ended.ending, Ending::Killed(_) | Ending::Exited(127)), "{:?}", ended.ending);
}

#[test]
fn a_helper_that_cannot_list_its_open_files_runs_nothing() {
    let script = format!("mount -t tmpfs none /proc && exec {HELPER} sandbox-helper supervisor < /dev/null");
    let mut command = Command::new("unshare");
    let user: &[&str] = if nix::unistd::Uid::effective().is_root() {
        &["--mount"]
    } else {
        &["--mount", "--user", "--map-root-user"]
    };
    let output = command.args(user).args(["sh", "-c", &script]).output();
    let reply = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    if reply.is_empty() {
        sandboxed::skip("no mount namespace in which to hide /proc");
        return;
    }
    assert!(reply.contains("open files in /proc"), "{reply}");
}

#[test]
fn it_has_no_files_open_but_its_three_streams() {
    use std::os::fd::{AsFd, AsRawFd};
    // One that a library has opened without `O_CLOEXEC`.
    let stray = fs::File::open("/dev/null").expect("a device");
    let stray = nix::unistd::dup(stray.as_fd()).expect("a descriptor that children inherit");
    let source = "import os\ndef is_open(n):\n    try: return bool(os.fstat(n))\n    except OSError: return False\n\
                  print([n for n in range(256) if is_open(n)])";
    let Some(ended) = attack(source, LIMITS) else { return };
    assert_eq!(ended.stdout, "[0, 1, 2]\n", "{} is open here: {}", stray.as_raw_fd(), ended.stderr);
}

#[test]
fn its_files_are_gone_with_it() {
    let Some(ended) = attack("import os\nopen('file', 'w').write('1')\nprint(os.getcwd())", LIMITS) else {
        return;
    };
    let folder = ended.stdout.trim();
    assert!(folder.contains("ruminate-"), "{ended:?}");
    assert!(!fs::exists(folder).expect("a look"), "{folder}");
}

#[test]
fn a_path_to_read_is_named_by_the_job_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data");
    fs::write(&path, "data").expect("a file");
    // A folder of one account alone stays closed to another one, whatever the rules say.
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    let Some((sandbox, _)) = sandboxed::sandbox() else { return };
    let program = ["cat".to_owned(), path.display().to_string()].to_vec();
    let job = Job { program, limits: LIMITS, ..Job::default() };
    assert_eq!(sandbox.run(&job).expect("cat starts").ending, Ending::Exited(1));
    let job = Job { read: vec![folder.path().to_owned()], ..job };
    assert_eq!(sandbox.run(&job).expect("cat starts").stdout, "data");
}

#[test]
fn elsewhere_an_ordinary_user() {
    elsewhere::as_an_ordinary_user(|| ());
}

#[test]
fn elsewhere_without_namespaces() {
    elsewhere::again(|_| elsewhere::forbid_namespaces());
}

#[test]
fn elsewhere_an_ordinary_user_without_namespaces() {
    elsewhere::as_an_ordinary_user(elsewhere::forbid_namespaces);
}
