//! Tidy: the invariants of the house that a program can check. Each rule is a function from text to findings, tested
//! on text that breaks it, then run over the workspace. It does not judge what a compiler or clippy judges.

mod arrows;
mod dependencies;
mod lexer;
mod licences;
mod package;
mod recipe_keys;
mod source;

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::{Path, PathBuf};

/// A broken rule: where, what, and why the rule is there.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// `path` or `path:line`, relative to the root.
    place: String,
    rule: String,
    reason: &'static str,
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.place, self.rule, self.reason)
    }
}

fn assert_none(findings: &[Finding]) {
    let list: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{} findings:\n{}", list.len(), list.join("\n"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// Every Rust file of the workspace as (path relative to the root with `/`, text).
fn rust_files() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for folder in ["crates", "xtask"] {
        collect(&root().join(folder), &mut paths);
    }
    paths.sort();
    assert!(paths.len() > 20, "found {} files only: the walk must be broken", paths.len());
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
        (name, fs::read_to_string(&path).expect("Rust files are UTF-8"))
    };
    paths.into_iter().map(read).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("list") {
        let path = entry.expect("entry").path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// Every crate as (folder name, manifest).
fn manifests() -> Vec<(String, toml::Table)> {
    let mut crates: Vec<_> =
        fs::read_dir(root().join("crates")).expect("list").map(|e| e.expect("entry").path()).collect();
    crates.push(root().join("xtask"));
    crates.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().expect("a folder").to_string_lossy().into_owned();
        let text = fs::read_to_string(path.join("Cargo.toml")).expect("every crate has a manifest");
        (name, text.parse().expect("a valid manifest"))
    };
    crates.into_iter().map(read).collect()
}

#[test]
fn every_source_file_keeps_the_rules() {
    let findings: Vec<Finding> =
        rust_files().iter().flat_map(|(path, text)| source::findings(path, text)).collect();
    assert_none(&findings);
}

#[test]
fn nothing_that_is_compiled_for_others_lies_outside_of_its_package() {
    let mut files = rust_files();
    for (name, _) in manifests() {
        let path = format!("crates/{name}/README.md");
        if let Ok(text) = fs::read_to_string(root().join(&path)) {
            files.push((path, text));
        }
    }
    assert_none(&files.iter().flat_map(|(path, text)| package::findings(path, text)).collect::<Vec<_>>());
}

#[test]
fn every_arrow_between_crates_is_in_the_graph() {
    let findings: Vec<Finding> =
        manifests().iter().flat_map(|(name, manifest)| arrows::findings(name, manifest)).collect();
    assert_none(&findings);
}

#[test]
fn every_external_dependency_has_its_reason() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("the workspace has it");
    let manifest = read("Cargo.toml").parse().expect("a valid manifest");
    assert_none(&dependencies::findings(&manifest, &read("docs/decisions/dependencies.md")));
}

#[test]
fn every_package_that_we_link_has_an_allowed_licence() {
    let deny = fs::read_to_string(root().join("deny.toml")).expect("the workspace has it");
    let packages = licences::packages();
    assert!(packages.len() > 100, "found {} packages only", packages.len());
    let allowed = licences::Allowed::of(&deny.parse().expect("valid TOML"));
    assert_none(&licences::findings(&packages, &allowed));
}

#[test]
fn every_library_crate_has_an_example() {
    let lacks = |name: &String| {
        let examples = root().join("crates").join(name).join("examples");
        let mut found = Vec::new();
        if examples.is_dir() {
            collect(&examples, &mut found);
        }
        found.is_empty()
    };
    let finding = |name: String| Finding {
        place: format!("crates/{name}/examples"),
        rule: "a library crate has an example that uses it alone, found none".to_owned(),
        reason: "a crate that cannot be used alone should not be a crate",
    };
    let libraries = manifests().into_iter().map(|(name, _)| name).filter(|name| arrows::is_library(name));
    assert_none(&libraries.filter(lacks).map(finding).collect::<Vec<_>>());
}
