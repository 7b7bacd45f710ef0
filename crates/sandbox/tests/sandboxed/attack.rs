//! Attacks: Python in the sandbox, of which nothing may be alive afterwards.

use crate::sandboxed;
use ruminate_sandbox::{Ended, Job, Limits};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What ends an attack soon, and leaves Python room to start.
pub(crate) const LIMITS: Limits =
    Limits { timeout_ms: 1_500, memory_mb: 256, output_bytes: 1 << 16, files_mb: 4, processes: 24 };

/// Runs Python in the sandbox and checks that nothing of it is alive afterwards; `None` where it cannot run.
pub(crate) fn attack(source: &str, limits: Limits) -> Option<Ended> {
    let marker = marker();
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
    assert!(started.elapsed() < Duration::from_mins(1), "took {:?}", started.elapsed());
    assert_none_alive(&marker);
    Some(ended)
}

/// A word that no other process has among its arguments.
pub(crate) fn marker() -> String {
    static ATTACKS: AtomicUsize = AtomicUsize::new(0);
    format!("ruminate-attack-{}-{}-", std::process::id(), ATTACKS.fetch_add(1, Ordering::Relaxed))
}

/// The kernel may take a moment to bury what was killed.
pub(crate) fn assert_none_alive(marker: &str) {
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

pub(crate) fn with_argument(marker: &str) -> Vec<String> {
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
