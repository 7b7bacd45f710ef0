//! What a process holds, as Linux counts it, for tests that say how much memory something takes.

use std::process::Command;
use std::{env, fs};

/// The most that this process has held, in bytes.
pub fn held() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the line is there");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib << 10
}

/// Runs the body of the test of that name in a process of its own, where no other test has held anything.
pub fn alone(test: &str, body: impl FnOnce()) {
    const ALONE: &str = "RUMINATE_TEST_ALONE";
    if env::var_os(ALONE).is_some() {
        return body();
    }
    let program = env::current_exe().expect("tests are programs");
    let mut command = Command::new(program);
    let output = command.args([test, "--exact", "--nocapture"]).env(ALONE, "1").output().expect("it starts");
    let [out, error] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(out.contains("1 passed") && output.status.success(), "{test}: {out}{error}");
}
