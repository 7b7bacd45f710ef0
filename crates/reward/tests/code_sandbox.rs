//! Attacks on the sandbox: each ends as it must, and nothing of it is alive afterwards. The tests run under the
//! account that runs them, and again as an ordinary user and without namespaces where this process can arrange that.

#![cfg(target_os = "linux")]

#[path = "sandboxed/elsewhere.rs"]
mod elsewhere;
mod sandboxed;

use ruminate_reward::code::sandbox::{Ended, Ending, Job, Limits};
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What ends an attack soon, and leaves Python room to start.
const LIMITS: Limits =
    Limits { timeout_ms: 1_500, memory_mb: 256, output_bytes: 1 << 16, files_mb: 4, processes: 24 };

/// Runs Python in the sandbox and checks that nothing of it is alive afterwards; `None` where it cannot run.
fn attack(source: &str, limits: Limits) -> Option<Ended> {
    static ATTACKS: AtomicUsize = AtomicUsize::new(0);
    let marker =
        format!("ruminate-attack-{}-{}", std::process::id(), ATTACKS.fetch_add(1, Ordering::Relaxed));
    let (sandbox, _) = sandboxed::sandbox()?;
    // Every process that the program forks has the marker in its arguments, too.
    let program = ["python3", "-c", source, &marker].map(str::to_owned).to_vec();
    let started = Instant::now();
    let ended = match sandbox.run(&Job { program, limits, ..Job::default() }) {
        Ok(ended) => ended,
        Err(failure) => {
            sandboxed::skip(failure);
            return None;
        }
    };
    assert!(started.elapsed() < Duration::from_secs(8), "took {:?}", started.elapsed());
    assert_none_alive(&marker);
    Some(ended)
}

/// The kernel may take a moment to bury what was killed.
fn assert_none_alive(marker: &str) {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let alive = with_argument(marker);
        if alive.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still alive: {alive:?}");
        sleep(Duration::from_millis(20));
    }
}

fn with_argument(marker: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("a list of processes").flatten();
    let name = |entry: fs::DirEntry| {
        let arguments = fs::read(entry.path().join("cmdline")).ok()?;
        arguments
            .windows(marker.len())
            .any(|window| window == marker.as_bytes())
            .then(|| entry.file_name().to_string_lossy().into_owned())
    };
    processes.filter_map(name).collect()
}

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

    let source = "import os, time\nfor n in range(1000):\n    try:\n        if os.fork() == 0: time.sleep(60)\n    \
                  except OSError:\n        print(n < 24, flush=True)\n        os._exit(0)\ntime.sleep(60)";
    let Some(ended) = attack(source, LIMITS) else { return };
    let is_refused = ended.stdout == "True\n";
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
    let source = "import os\nfor i in range(100):\n    with open(f'{i}', 'wb') as f:\n        f.write(b'1' * (1 << 20))";
    let Some(ended) = attack(source, LIMITS) else { return };
    let is_limited = matches!(ended.ending, Ending::Exited(1) | Ending::Killed(_));
    let (_, layers) = sandboxed::sandbox().expect("it was here a moment ago");
    // Without a file system of its own only each file is limited, and the layers say so.
    let own = layers.namespaces == ruminate_reward::code::sandbox::Namespaces::Own;
    assert!(is_limited || !own, "{ended:?}");
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
    let source = "import os, signal\nfor pid in (os.getppid(), 1, 0, -1):\n    try: os.kill(pid, signal.SIGKILL)\n    except OSError: pass";
    // Where it shares process numbers it can end its own second stage; then nobody can say.
    let Some((sandbox, _)) = sandboxed::sandbox() else { return };
    let program = ["python3", "-c", source].map(str::to_owned).to_vec();
    let ended = sandbox.run(&Job { program, limits: LIMITS, ..Job::default() });
    assert!(ended.is_err() || ended.is_ok_and(|ended| ended.ending != Ending::Exited(0)));
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
fn a_path_to_read_is_named_by_the_recipe_alone() {
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
