//! What is compiled for those who depend on a library crate lies in its package, since `cargo package`
//! takes nothing else: no `include_str!`, `#[path]` or path from `CARGO_MANIFEST_DIR` leads out of it.
//! Paths that a program puts together are not seen.

use crate::Finding;
use crate::arrows::is_library;
use crate::lexer::{code, uncommented};

/// Folders of a package that may read `fixtures/` and each other's helpers. So may the modules under
/// `#[cfg(test)]` in a file of `src/`. Nothing of them is compiled for a dependent, and they need the
/// workspace anyway: fixtures are shared by crates and too large to copy, and `testkit` is not
/// published.
const EXEMPT: [&str; 2] = ["tests/", "benches/"];

/// What reads a file while it is compiled, by a path relative to the file that it stands in.
const READS: [&str; 4] = ["include_str!", "include_bytes!", "include!", "#[path"];

const MANIFEST: &str = "\"CARGO_MANIFEST_DIR\"";

/// Its examples are tests of the crate.
const README: &str = "README.md";

const REASON: &str =
    "`cargo package` takes the package's own files only: a crate that depends on it would not compile";

/// What is wrong with a Rust file, or with a README whose examples are tests; `path` relative to the
/// root.
pub(crate) fn findings(path: &str, text: &str) -> Vec<Finding> {
    let package = path.strip_prefix("crates/").and_then(|path| path.split_once('/'));
    let Some((_, file)) = package.filter(|(name, _)| is_library(name)) else { return Vec::new() };
    if EXEMPT.iter().any(|folder| file.starts_with(folder)) {
        return Vec::new();
    }
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut found = of_docs(file, folder, text);
    if file != README {
        found.extend(of_code(folder, text));
    }
    let finding = |(line, target): (usize, String)| Finding {
        place: format!("{path}:{line}"),
        rule: format!("`{target}` leads out of the package"),
        reason: REASON,
    };
    found.into_iter().map(finding).collect()
}

/// The lines of code that name a path out of the package, with the path.
fn of_code(folder: &str, text: &str) -> Vec<(usize, String)> {
    let (mut code, mut source) = (code(text), uncommented(text));
    for module in test_modules(&code) {
        let blank = " ".repeat(module.len());
        code.replace_range(module.clone(), &blank);
        source.replace_range(module, &blank);
    }
    let mut found = Vec::new();
    let mut check = |at: usize, folder: &str, target: &str| {
        if leaves(folder, target) {
            found.push((text[..at].matches('\n').count() + 1, target.to_owned()));
        }
    };
    for (at, word) in READS.iter().flat_map(|word| code.match_indices(word)) {
        let Some(target) = source[at + word.len()..].split('"').nth(1) else { continue };
        check(at, folder, target);
    }
    for (at, _) in source.match_indices(MANIFEST) {
        let end = code[at..].find(';').map_or(code.len(), |len| at + len);
        for target in source[at + MANIFEST.len()..end].split('"').skip(1).step_by(2) {
            check(at, "", target.trim_start_matches('/'));
        }
    }
    found
}

/// The same of examples in documentation, a line at a time: their text is no Rust as a whole.
fn of_docs(file: &str, folder: &str, text: &str) -> Vec<(usize, String)> {
    let is_doc = |line: &str| file == README || ["///", "//!"].iter().any(|mark| line.starts_with(mark));
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| is_doc(line.trim_start())) {
        let reads = READS.iter().any(|word| line.contains(word));
        if reads || line.contains(MANIFEST) {
            let folder = if reads { folder } else { "" };
            let targets = line.split('"').skip(1).step_by(2);
            found.extend(
                targets
                    .filter(|target| leaves(folder, target.trim_start_matches('/')))
                    .map(|target| (number + 1, target.to_owned())),
            );
        }
    }
    found
}

/// The modules in a file that are compiled for its tests alone.
fn test_modules(code: &str) -> Vec<std::ops::Range<usize>> {
    let mut modules = Vec::new();
    for (at, _) in code.match_indices("#[cfg(test)]") {
        let Some(open) = code[at..].find(['{', ';']).map(|len| at + len) else { continue };
        let mut depth = 0_usize;
        for (here, c) in code[open..].char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                modules.push(at..open + here);
                break;
            }
        }
    }
    modules
}

/// Whether a path that begins in a folder of the package ends outside.
fn leaves(folder: &str, target: &str) -> bool {
    let mut depth = folder.split('/').filter(|part| !part.is_empty()).count();
    for part in target.split('/') {
        match part {
            ".." if depth == 0 => return true,
            ".." => depth -= 1,
            "" | "." => {}
            _ => depth += 1,
        }
    }
    target.starts_with('/')
}

fn places(path: &str, text: &str) -> Vec<String> {
    findings(path, text).into_iter().map(|f| f.place).collect()
}

#[test]
fn a_path_out_of_the_package_is_found_wherever_it_stands() {
    for line in [
        "const A: &str = include_str!(\"../../../README.md\");",
        "const A: &[u8] = include_bytes!(\n    \"../../../fixtures/a\"\n);",
        "#[path = \"../../text/src/a.rs\"]\nmod a;",
        "include!(\"/etc/a.rs\");",
        "#[doc = include_str!(\"../../../README.md\")]\nstruct S;",
        "fn f() { Path::new(env!(\"CARGO_MANIFEST_DIR\")).join(\"../../fixtures\"); }",
        "const A: &str = include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/../a.txt\"));",
        "/// include_str!(\"../../../README.md\");\nstruct S;",
    ] {
        let text = format!("//! a\n{line}\n");
        assert_eq!(places("crates/model/src/a.rs", &text), ["crates/model/src/a.rs:2"], "{line}");
        assert_eq!(places("crates/model/examples/a.rs", &text).len(), 1, "{line}");
        for exempt in ["crates/model/tests/a.rs", "crates/cli/src/a.rs", "xtask/src/a.rs"] {
            assert_eq!(places(exempt, &text), [""; 0], "{exempt}");
        }
    }
    let readme = "Text.\n\n    let a = include_str!(\"../LICENSE\");\n";
    assert_eq!(places("crates/model/README.md", readme), ["crates/model/README.md:3"]);
}

#[test]
fn a_path_within_the_package_and_one_of_its_tests_are_none() {
    for line in [
        "const A: &str = include_str!(\"../README.md\");",
        "const A: &str = include_str!(\"judge/names.py\");",
        "// include_str!(\"../../../README.md\")",
        "const A: &str = \"../../../README.md\";",
        "fn f() { Path::new(env!(\"CARGO_MANIFEST_DIR\")).join(\"recipes\"); g(\"../../a\"); }",
        "#[cfg(test)]\nmod tests {\n    const A: &str = include_str!(\"../../../a\");\n    fn f() { let é = \"}\"; }\n}",
        "#[cfg(test)]\nmod tests;",
    ] {
        assert_eq!(places("crates/model/src/a.rs", &format!("//! a\n{line}\n")), [""; 0], "{line}");
    }
    let text = "//! a\n#[cfg(test)]\nmod tests { fn f() {} }\nconst A: &str = include_str!(\"../../a\");\n";
    assert_eq!(
        places("crates/model/src/a.rs", text),
        ["crates/model/src/a.rs:4"],
        "behind a module of tests"
    );
}
