//! Pairs of jobs: what joins them, and how one ends with the other.

#![cfg(target_os = "linux")]

mod sandboxed;

use ruminate_sandbox::{Ended, Ending, Job, Limits};

/// The helper of this package.
const HELPER: &str = env!("CARGO_BIN_EXE_sandbox-helper");

const LIMITS: Limits =
    Limits { timeout_ms: 3_000, memory_mb: 256, output_bytes: 1 << 16, files_mb: 4, processes: 24 };

/// Runs two Python programs as a pair; `None` where nothing can run.
fn pair(asking: &str, answering: &str, answering_limits: Limits) -> Option<(Ended, Ended)> {
    let (sandbox, _) = sandboxed::sandbox()?;
    let job = |source: &str, limits| Job {
        program: ["python3", "-c", source].map(str::to_owned).to_vec(),
        files: vec![("own".to_owned(), source.to_owned())],
        limits,
        ..Job::default()
    };
    match sandbox.run_pair(&job(asking, LIMITS), &job(answering, answering_limits)) {
        (Ok(asking), Ok(answering)) => Some((asking, answering)),
        (Err(failure), _) | (_, Err(failure)) => {
            sandboxed::skip(failure);
            None
        }
    }
}

/// A channel that is closed with something unread in it is reset, and may be closed before the first word.
const ASK: &str = "import os\ntry:\n    os.write(0, b'6 7')\n    print(os.read(0, 100).decode())\n\
                   except (BrokenPipeError, ConnectionResetError): print()";

#[test]
fn a_channel_joins_them_both_ways() {
    let answer =
        "import os\na, b = os.read(0, 100).split()\nos.write(0, b'%d' % (int(a) * int(b)))\nprint('done')";
    let Some((asking, answering)) = pair(ASK, answer, LIMITS) else { return };
    assert_eq!((asking.ending, asking.stdout.as_str()), (Ending::Exited(0), "42\n"), "{}", asking.stderr);
    assert!(matches!(answering.ending, Ending::Exited(0) | Ending::WithPair), "{answering:?}");
}

#[test]
fn the_asking_job_reads_the_end_of_an_answering_one_that_dies() {
    for dies in
        ["import os\nos.read(0, 100)\nos._exit(3)", "import os\nos.read(0, 100)\nos.kill(os.getpid(), 9)"]
    {
        let Some((asking, answering)) = pair(ASK, dies, LIMITS) else { return };
        assert_eq!((asking.ending, asking.stdout.as_str()), (Ending::Exited(0), "\n"), "{}", asking.stderr);
        assert!(matches!(answering.ending, Ending::Exited(3) | Ending::Killed(9)), "{answering:?}");
    }
}

#[test]
fn an_answering_job_at_its_limit_ends_with_its_own_reason() {
    let memory = "import os\nos.fork()\nheld = b'1' * (100 << 20)\nwhile True: pass";
    for (source, endings) in [
        ("import time\ntime.sleep(60)", &[Ending::TimedOut][..]),
        (memory, &[Ending::TooMuchMemory][..]),
        ("while True: print('x' * 1000)", &[Ending::TooMuchOutput][..]),
    ] {
        let limits = Limits { timeout_ms: 1_500, memory_mb: 160, ..LIMITS };
        let Some((asking, answering)) = pair(ASK, source, limits) else { return };
        assert_eq!((asking.ending, asking.stdout.as_str()), (Ending::Exited(0), "\n"), "{}", asking.stderr);
        assert!(endings.contains(&answering.ending), "{source}\n{answering:?}");
    }
}

#[test]
fn an_answering_job_is_ended_with_the_asking_one() {
    for ignores in [
        "import signal, time\nfor name in ('SIGTERM', 'SIGHUP', 'SIGPIPE'): signal.signal(getattr(signal, name), signal.SIG_IGN)\n\
         time.sleep(60)",
        "import os, time\nif os.fork() == 0: time.sleep(60)\nos.close(0)\ntime.sleep(60)",
    ] {
        let limits = Limits { timeout_ms: 600_000, ..LIMITS };
        let Some((asking, answering)) = pair("print('done')", ignores, limits) else { return };
        assert_eq!((asking.ending, asking.stdout.as_str()), (Ending::Exited(0), "done\n"));
        assert_eq!(answering.ending, Ending::WithPair, "{}", answering.stderr);
    }
}

#[test]
fn neither_has_anything_of_the_other() {
    let look = "import os\ndef is_open(fd):\n    try: os.fstat(fd)\n    except OSError: return False\n    return True\n\
        print(os.getuid(), os.getcwd(), os.listdir(), [fd for fd in range(64) if is_open(fd)])\n\
        os.write(0, b'seen')\nos.read(0, 10)";
    let Some((asking, answering)) = pair(look, look, LIMITS) else { return };
    for ended in [&asking, &answering] {
        assert!(ended.stdout.ends_with("['own'] [0, 1, 2]\n"), "{ended:?}");
    }
    assert_ne!(asking.stdout, answering.stdout, "their folders differ");
    if nix::unistd::Uid::effective().is_root() {
        let account = |ended: &Ended| ended.stdout.split(' ').next().map(str::to_owned);
        assert_ne!(account(&asking), account(&answering));
    }
}
