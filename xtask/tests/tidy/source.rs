//! The rules of single source files.

use crate::Finding;
use crate::lexer::code;

const MAX_LINES: usize = 500;

/// Folders whose files may name a backend.
const WITH_BACKENDS: [&str; 6] = [
    "crates/ruminate/",
    "crates/kernels/src/backend/",
    "crates/kernels/benches/",
    "crates/kernels/examples/",
    "crates/testkit/",
    "xtask/",
];

const BACKENDS: [&str; 8] = ["Flex", "Cuda", "Vulkan", "Wgpu", "flex", "cuda", "vulkan", "wgpu"];

/// Where `unsafe` may stand: the forms of kernels' backends, and the allocator, which is an unsafe trait.
const WITH_UNSAFE: [&str; 2] = ["crates/kernels/src/backend/", "crates/ruminate/src/allocator.rs"];

/// Burn's reads of a tensor.
const READS: [&str; 7] = [
    "into_data",
    "to_data",
    "try_into_data",
    "into_scalar",
    "try_into_scalar",
    "try_into_vec_as",
    "into_data_async",
];

/// Where they may stand, below the folders of library code.
const WITH_READS: [&str; 3] =
    ["crates/kernels/src/read.rs", "crates/kernels/src/backend/", "crates/testkit/"];

/// Words that stand for work not done, with the character that makes them code.
const UNFINISHED: [&str; 3] = ["todo!", "unimplemented!", "#[ignore"];

/// File names that say nothing of what is in the file.
const NAMELESS: [&str; 4] = ["utils", "util", "helpers", "misc"];

/// What is wrong with a file, `path` relative to the root.
pub(crate) fn findings(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut finding = |place: String, rule: String, reason| findings.push(Finding { place, rule, reason });

    if !text.starts_with("//!") {
        let rule = "the file does not open with `//!`".to_owned();
        finding(path.to_owned(), rule, "a reader first wants to know what a file is");
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        let rule = format!("the file has {lines} lines, at most {MAX_LINES} are allowed");
        finding(path.to_owned(), rule, "a file that long has two subjects: split it by them");
    }
    let module = path.strip_suffix("/mod.rs").or(path.strip_suffix(".rs")).unwrap_or(path);
    if module.rsplit('/').next().is_some_and(|name| NAMELESS.contains(&name)) {
        let rule = "the file is named after nothing".to_owned();
        finding(path.to_owned(), rule, "each public thing has one home, named after its subject");
    }
    for (number, line) in code(text).lines().enumerate() {
        let place = || format!("{path}:{}", number + 1);
        for word in UNFINISHED.iter().filter(|word| line.contains(**word)) {
            finding(place(), format!("`{word}` in the code"), "what is not done is left out, not promised");
        }
        if !WITH_UNSAFE.iter().any(|place| path.starts_with(place)) {
            for word in words(line).filter(|word| ["unsafe", "unsafe_code"].contains(word)) {
                let rule = format!("`{word}` outside of {WITH_UNSAFE:?}");
                finding(
                    place(),
                    rule,
                    "what the compiler does not check has few places, each with its proof",
                );
            }
        }
        if path.contains("/src/") && !WITH_READS.iter().any(|place| path.starts_with(place)) {
            for word in words(line).filter(|word| READS.contains(word)) {
                let rule = format!("`{word}` outside of `kernels::read`");
                finding(
                    place(),
                    rule,
                    "a read waits for the device: each has its place, where it is counted",
                );
            }
        }
        if WITH_BACKENDS.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        for backend in words(line).filter(|word| BACKENDS.contains(word)) {
            let rule =
                format!("the backend `{backend}` is named outside ruminate, testkit and kernels/src/backend");
            finding(place(), rule, "library code takes `&Device` and runs on whatever it is given");
        }
        if line.contains("Device::default()") {
            let rule = "`Device::default()` in a library crate".to_owned();
            finding(
                place(),
                rule,
                "it picks by compiled features, not by what the caller wants: take `&Device`",
            );
        }
    }
    findings
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_'))
}

fn places(path: &str, text: &str) -> Vec<String> {
    findings(path, text).into_iter().map(|f| f.place).collect()
}

#[test]
fn a_clean_file_has_no_findings() {
    let text = "//! A flexible thing; Flex runs it, todo! is a word here.\nfn f(device: &Device) {}\n";
    assert_eq!(places("crates/model/src/a.rs", text), [""; 0]);
}

#[test]
fn a_file_without_a_subject_is_found() {
    assert_eq!(places("crates/model/src/a.rs", "fn f() {}\n"), ["crates/model/src/a.rs"]);
    for name in ["utils.rs", "utils/mod.rs", "helpers.rs"] {
        assert_eq!(places(&format!("crates/model/src/{name}"), "//! a\n").len(), 1, "{name}");
    }
}

#[test]
fn a_file_may_have_500_lines_and_no_more() {
    let text = |lines: usize| format!("//! a\n{}", "fn f() {}\n".repeat(lines - 1));
    assert_eq!(places("crates/model/src/a.rs", &text(500)), [""; 0]);
    assert_eq!(places("crates/model/src/a.rs", &text(501)).len(), 1);
}

#[test]
fn a_backend_is_found_in_code_of_a_library_only() {
    let text = "//! a\n// Cuda\nuse burn::Cuda;\nfn f() { Device::default() }\nlet s = \"Vulkan\";\n";
    assert_eq!(places("crates/model/src/a.rs", text), ["crates/model/src/a.rs:3", "crates/model/src/a.rs:4"]);
    assert_eq!(places("crates/kernels/src/norm.rs", text).len(), 2);
    for path in ["crates/ruminate/src/a.rs", "crates/kernels/src/backend/cpu/norm.rs"] {
        assert_eq!(places(path, text), [""; 0], "{path}");
    }
}

#[test]
fn unsafe_code_is_found_where_it_has_no_place() {
    let text = "//! unsafe is a word here.\n#![allow(unsafe_code)]\nfn f() { unsafe { g() } }\n";
    for path in ["crates/kernels/src/norm.rs", "crates/kernels/src/cpu/gemm.rs", "crates/model/src/a.rs"] {
        assert_eq!(places(path, text), [format!("{path}:2"), format!("{path}:3")]);
    }
    for path in ["crates/kernels/src/backend/cpu/gemm/small.rs", "crates/ruminate/src/allocator.rs"] {
        assert_eq!(places(path, text), [""; 0], "{path}");
    }
}

#[test]
fn a_read_of_the_device_is_found_outside_of_its_place() {
    let text = "//! a\n// into_data\nfn f() { tensor.into_data() }\nlet x = loss.into_scalar::<f32>();\n";
    let path = "crates/grpo/src/learn.rs";
    assert_eq!(places(path, text), [format!("{path}:3"), format!("{path}:4")]);
    for path in ["crates/kernels/src/read.rs", "crates/testkit/src/device.rs", "crates/grpo/tests/golden.rs"]
    {
        assert_eq!(places(path, text), [""; 0], "{path}");
    }
}

#[test]
fn unfinished_work_is_found() {
    for line in ["fn f() { todo!() }", "fn f() { unimplemented!(\"later\") }", "#[ignore = \"slow\"]"] {
        assert_eq!(places("crates/cli/src/a.rs", &format!("//! a\n{line}\n")), ["crates/cli/src/a.rs:2"]);
    }
}
