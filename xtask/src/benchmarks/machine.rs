//! The machine that is measured, and the versions of what runs on it.

use super::records::Machine;
use crate::root;
use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Instruction sets that decide the speed of products and rows, as Linux names them.
const INSTRUCTION_SETS: [&str; 10] = [
    "avx2",
    "fma",
    "avx512f",
    "avx512_bf16",
    "avx512_vnni",
    "avx_vnni",
    "amx_bf16",
    "amx_int8",
    "asimd", // NEON
    "sve",
];

/// What can be found out here. `weights` says which ones the large model has.
pub(super) fn describe(weights: String) -> Machine {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let commit = output("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let changed = output("git", &["status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs"]);
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    Machine {
        cpu: field(&cpuinfo, "model name").unwrap_or(std::env::consts::ARCH).to_owned(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        instruction_sets: instruction_sets(&cpuinfo),
        memory_gib: fs::read_to_string("/proc/meminfo").ok().and_then(|text| memory_gib(&text)),
        rustc: output("rustc", &["--version"]).unwrap_or_else(|| "rustc unknown".to_owned()),
        burn: fs::read_to_string(root().join("Cargo.lock"))
            .ok()
            .and_then(|lock| locked(&lock, "burn"))
            .unwrap_or_else(|| "unknown".to_owned()),
        commit: commit + if changed.is_some_and(|files| !files.is_empty()) { ", changed" } else { "" },
        date: date(seconds),
        weights,
    }
}

fn field<'a>(cpuinfo: &'a str, name: &str) -> Option<&'a str> {
    let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

fn instruction_sets(cpuinfo: &str) -> Vec<String> {
    let flags = field(cpuinfo, "flags").or(field(cpuinfo, "Features")).unwrap_or_default();
    let has = |name: &&str| flags.split(' ').any(|flag| flag == *name);
    INSTRUCTION_SETS.iter().filter(|name| has(name)).map(|name| (*name).to_owned()).collect()
}

fn memory_gib(meminfo: &str) -> Option<f64> {
    let kib: f64 = field(meminfo, "MemTotal")?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / f64::from(1 << 20))
}

/// A package's version in a `Cargo.lock`.
fn locked(lock: &str, package: &str) -> Option<String> {
    let start = lock.find(&format!("name = \"{package}\"\n"))?;
    let version = lock[start..].lines().nth(1)?.strip_prefix("version = \"")?;
    Some(version.trim_end_matches('"').to_owned())
}

/// What a program prints, where there is such a program and it succeeds.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).current_dir(root()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The day of a Unix time in the Gregorian calendar, in UTC: Howard Hinnant's `civil_from_days`.
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468; // since the 1st of March of the year 0
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::{date, field, instruction_sets, locked, memory_gib};

    #[test]
    fn days_have_their_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_709_164_800 + 86_399, "2024-02-29"),
            (1_735_689_599, "2024-12-31"),
            (1_735_689_600, "2025-01-01"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }

    #[test]
    fn what_linux_tells_of_a_processor_is_read() {
        let cpuinfo =
            "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx2 fma avx512fp16 avx512f\n";
        assert_eq!(field(cpuinfo, "model name"), Some("Some CPU @ 2 GHz"));
        assert_eq!(instruction_sets(cpuinfo), ["avx2", "fma", "avx512f"]);
        assert_eq!(instruction_sets("Features\t: fp asimd"), ["asimd"]);
        assert_eq!(memory_gib("MemTotal:       25165824 kB\n"), Some(24.0));
    }

    #[test]
    fn a_locked_version_is_that_of_the_package_with_exactly_this_name() {
        let lock = "[[package]]\nname = \"burn-flex\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"burn\"\nversion = \"0.22.1\"\n";
        assert_eq!(locked(lock, "burn").as_deref(), Some("0.22.1"));
        assert_eq!(locked(lock, "cubecl"), None);
    }
}
