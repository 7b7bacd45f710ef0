//! What a job may hold: memory of all kinds of mappings, files with and without a name, and time that its neighbours do
//! not take. The tests run in all arrangements, as those of `attacks.rs`.

#![cfg(target_os = "linux")]

#[path = "sandboxed/attack.rs"]
mod attack;
#[path = "sandboxed/elsewhere.rs"]
mod elsewhere;
mod sandboxed;

use attack::{LIMITS, attack};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use ruminate_sandbox::{Ended, Ending, Limits};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

/// The helper of this package.
const HELPER: &str = env!("CARGO_BIN_EXE_sandbox-helper");

/// Python that keeps memory in the processes that it forks, and prints how much they hold once all do.
const HOLDING: &str = "import ctypes, fcntl, mmap, os, platform, socket, threading, time
libc = ctypes.CDLL(None)
def hold(children, take):
    held = 0
    for _ in range(children):
        read, write = os.pipe()
        if os.fork() == 0:
            try: mib = take()
            except (OSError, MemoryError): mib = 0
            os.write(write, b'%d ' % mib)
            time.sleep(60)
        os.close(write)
        held += int(os.read(read, 16) or b'0')
        os.close(read)
    return held
def done(held):
    time.sleep(0.5)
    print(held, flush=True)
    os.kill(0, 9)
";

/// 160 MiB, and time for all to be held.
const MEMORY: Limits = Limits { memory_mb: 160, timeout_ms: 6_000, ..LIMITS };

/// Checks that at most a tenth more than the limit is held at a time, by what the program could take itself.
fn assert_held(source: &str) {
    let source = format!("{HOLDING}{source}");
    let Some(ended) = attack(&source, MEMORY) else { return };
    let held: Option<u64> = ended.stdout.trim().parse().ok();
    let is_ended = ended.ending == Ending::TooMuchMemory;
    assert!(is_ended || held.is_some_and(|held| held <= 176), "{ended:?}\n{source}");
}

#[test]
fn memory_that_processes_share_is_limited() {
    assert_held(
        "kept = []
def take():
    memory = mmap.mmap(-1, 88 << 20)
    for page in range(0, 88 << 20, 4096): memory[page] = 1
    memory.madvise(mmap.MADV_DONTNEED)
    kept.append(memory)
    return 88
done(hold(7, take))",
    );
}

#[test]
fn memory_that_a_forked_process_keeps_is_limited() {
    assert_held(
        "held = 0
for _ in range(5):
    try: memory = mmap.mmap(-1, 60 << 20)
    except OSError: break
    for page in range(0, 60 << 20, 4096): memory[page] = 1
    if os.fork() == 0: time.sleep(60)
    memory.close()
    held += 60
done(held)",
    );
}

#[test]
fn memory_behind_a_device_is_limited() {
    assert_held(
        "kept = []
def take():
    memory = mmap.mmap(os.open('/dev/zero', os.O_RDONLY), 88 << 20, mmap.MAP_SHARED, mmap.PROT_READ)
    sum(memory[page] for page in range(0, 88 << 20, 4096))
    memory.madvise(mmap.MADV_DONTNEED)
    kept.append(memory)
    return 88
done(hold(7, take))",
    );
}

#[test]
fn memory_of_a_process_whose_first_thread_has_ended_is_limited() {
    assert_held(
        "exit_thread = {'x86_64': 60, 'aarch64': 93}[platform.machine()]
def leave():
    for _ in range(5):
        if os.fork() == 0:
            kept = b'1' * (60 << 20)
            threading.Thread(target=time.sleep, args=(60,)).start()
            libc.syscall(exit_thread, 0)
        time.sleep(0.2)
    time.sleep(0.5)
leave()
done(300)",
    );
}

#[test]
fn buffers_of_sockets_are_limited() {
    assert_held(
        "kept = []
def take():
    held = 0
    try:
        while True:
            for end in socket.socketpair():
                kept.append(end)
                end.setblocking(False)
                try: end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
                except OSError: pass
                try:
                    while True: held += end.send(b'1' * 4096)
                except BlockingIOError: pass
    except OSError: pass
    return held >> 20
done(hold(6, take))",
    );
}

#[test]
fn buffers_of_pipes_are_limited() {
    assert_held(
        "def take():
    held = 0
    try:
        while True:
            read, write = os.pipe()
            try: fcntl.fcntl(write, 1031, 1 << 20)
            except OSError: pass
            os.set_blocking(write, False)
            try:
                while True: held += os.write(write, b'1' * 4096)
            except BlockingIOError: pass
    except OSError: pass
    return held >> 20
done(hold(6, take))",
    );
}

#[test]
fn the_limit_of_memory_leaves_what_is_below_it() {
    let source = format!("{HOLDING}kept = b'1' * (60 << 20)\nprint(len(kept) >> 20)");
    let Some(ended) = attack(&source, MEMORY) else { return };
    assert_eq!((ended.ending, ended.stdout.as_str()), (Ending::Exited(0), "60\n"), "{}", ended.stderr);
}

/// Checks that a program that writes more than its 4 MiB or 16,384 files is refused them or ended.
fn assert_files_limited(source: &str) {
    let source = format!("import mmap, os, time\n{source}\ntime.sleep(0.5)\nprint('held')");
    let Some(Ended { ending, stdout, stderr }) = attack(&source, Limits { timeout_ms: 30_000, ..LIMITS })
    else {
        return;
    };
    assert!(
        matches!(ending, Ending::Exited(1) | Ending::TooManyFiles),
        "{ending:?} {stdout}{stderr}\n{source}"
    );
    assert_eq!(stdout, "", "{source}");
}

#[test]
fn the_size_of_all_files_is_limited() {
    assert_files_limited("for n in range(24): open(f'{n}', 'wb').write(b'1' * (1 << 20))");
    assert_files_limited(
        "os.makedirs('a/b')\nfor n in range(24): open(f'a/b/{n}', 'wb').write(b'1' * (1 << 20))",
    );
}

#[test]
fn the_number_of_files_is_limited() {
    assert_files_limited("for n in range(20_000): os.close(os.open(f'{n}', os.O_CREAT))");
    assert_files_limited("for n in range(20_000): os.mkdir(f'{n}')");
}

#[test]
fn files_without_a_name_are_limited() {
    assert_files_limited(
        "kept = []\nfor n in range(24):\n    kept.append(open('file', 'wb', buffering=0)); kept[-1].write(b'1' * (1 << 20))\n    \
         os.unlink('file')",
    );
    assert_files_limited(
        "kept = []\nfor n in range(24):\n    file = os.open('file', os.O_CREAT | os.O_RDWR); os.write(file, b'1' * (1 << 20))\n    \
         kept.append(mmap.mmap(file, 1 << 20, mmap.MAP_PRIVATE)); os.close(file)\n    os.unlink('file')",
    );
}

#[test]
fn a_folder_that_cannot_be_looked_into_is_no_way_out() {
    let source = "import os, time\nfor n in range(3000):\n    os.mkdir('aaaaaaaa'); os.chdir('aaaaaaaa')\n\
                  for n in range(24): open(f'{n}', 'wb').write(b'1' * (1 << 20))\ntime.sleep(0.5)\nprint('held')";
    let Some(ended) = attack(source, Limits { timeout_ms: 6_000, ..LIMITS }) else { return };
    assert!(matches!(ended.ending, Ending::Exited(1) | Ending::TooManyFiles), "{ended:?}");
}

/// A process that computes until this is dropped, also by a test that fails.
struct Neighbour(Child);

impl Neighbour {
    fn new() -> Self {
        Self(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh is everywhere"))
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
fn neighbours_that_compute_do_not_take_a_programs_time() {
    // On one processor, which the job then shares with 24 others: its 0.1 s take 25 times as long on the clock.
    let computing = "import time\nwhile time.process_time() < 0.1: pass\nprint('done')";
    let run = move || {
        let this = Pid::from_raw(0);
        let allowed = sched_getaffinity(this).expect("processors");
        let first = (0..CpuSet::count()).find(|&processor| allowed.is_set(processor) == Ok(true));
        let mut one = CpuSet::new();
        one.set(first.expect("a processor")).expect("a number that was in a set");
        sched_setaffinity(this, &one).expect("fewer processors");
        let _neighbours: Vec<_> = (0..24).map(|_| Neighbour::new()).collect();
        let started = Instant::now();
        let ended = attack(computing, Limits { timeout_ms: 2_000, ..LIMITS });
        (ended, started.elapsed())
    };
    // On a thread of its own, whose children inherit the processor.
    let (Some(ended), took) = thread::spawn(run).join().expect("the thread") else { return };
    // On a machine that is that busy the end on the clock may come first, four times as late.
    let is_starved = ended.ending == Ending::TimedOut && took >= Duration::from_secs(8);
    assert!(is_starved || ended.ending == Ending::Exited(0), "{ended:?} {took:?}");
}

#[test]
fn a_job_has_its_time_once_whatever_it_does_with_it() {
    let sleeps = "import time\ntime.sleep(1.2)\nprint('done')";
    let divides = "import os, time\nfor n in range(8):\n    if os.fork() == 0:\n        while time.process_time() < 0.35: pass\n        \
                   os._exit(0)\nfor n in range(8): os.wait()\nprint('done')";
    for source in [sleeps, divides] {
        let Some(ended) = attack(source, Limits { timeout_ms: 800, ..LIMITS }) else { return };
        assert_eq!((ended.ending, ended.stdout.as_str()), (Ending::TimedOut, ""), "{source}");
    }
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
