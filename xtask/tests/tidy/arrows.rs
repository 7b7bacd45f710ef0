//! Which crate may depend on which: the tables of ARCHITECTURE.md are the graph. It reads manifests, no sources.

use crate::{Finding, root};
use std::fs;
use std::sync::LazyLock;

/// A crate as ARCHITECTURE.md has it.
struct Row {
    name: String,
    /// Crates of the workspace that it may depend on.
    depends_on: Vec<String>,
    /// Whether it stands in the text column, which compiles in seconds because no tensor library is below it.
    is_text: bool,
}

/// The rows of the page's tables of crates.
static GRAPH: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the workspace has it");
    let rows = rows(&page);
    assert!(rows.len() > 15, "found {} crates only: the tables are not where they were", rows.len());
    rows
});

fn rows(page: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut section = "";
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ").or(line.strip_prefix("### ")) {
            section = heading;
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        // Tables of four columns whose first cell is a name in backquotes.
        let [_, name, depends_on, _, _, _] = cells.as_slice() else { continue };
        let Some(name) = name.strip_prefix('`').and_then(|name| name.strip_suffix('`')) else { continue };
        rows.push(Row {
            name: name.to_owned(),
            depends_on: depends_on.split(", ").filter(|name| *name != "-").map(str::to_owned).collect(),
            is_text: section.starts_with("Text column"),
        });
    }
    rows
}

/// Whether there is a way from one crate to another, arrows of arrows included.
fn reaches(from: &str, to: &str) -> bool {
    let row = GRAPH.iter().find(|row| row.name == from);
    let direct = row.map_or(&[][..], |row| &row.depends_on);
    direct.iter().any(|next| next == to || reaches(next, to))
}

/// The crate of the workspace that a package is.
fn crate_of(package: &str) -> Option<&str> {
    if package == "ruminate" { Some(package) } else { package.strip_prefix("ruminate-") }
}

/// Crates that may name a backend in their manifest.
const WITH_BACKENDS: [&str; 3] = ["ruminate", "kernels", "testkit"];

const BACKEND_FEATURES: [&str; 7] = ["flex", "cuda", "vulkan", "wgpu", "rocm", "metal", "ndarray"];

/// Whether others build on the crate: the binary, the tests' helpers and the tasks are for us alone.
pub(crate) fn is_library(name: &str) -> bool {
    !["cli", "testkit", "xtask"].contains(&name)
}

pub(crate) fn findings(name: &str, manifest: &toml::Table) -> Vec<Finding> {
    let place = if name == "xtask" { "xtask/Cargo.toml".into() } else { format!("crates/{name}/Cargo.toml") };
    let Some(Row { depends_on: allowed, is_text, .. }) = GRAPH.iter().find(|row| row.name == name) else {
        return vec![Finding {
            place,
            rule: format!("{name} is not in the graph of crates"),
            reason: "a crate exists only if its dependency list enforces an invariant: add its row to ARCHITECTURE.md",
        }];
    };
    let mut findings = Vec::new();
    for (kind, dependency, features) in dependencies(manifest) {
        let finding = |rule, reason| Finding { place: place.clone(), rule, reason };
        if let Some(to) = crate_of(&dependency) {
            // Tests may use what the crate reaches anyway.
            let for_tests = kind == "dev-dependencies" && (to == "testkit" || reaches(name, to));
            if !for_tests && !allowed.iter().any(|allowed| allowed == to) {
                let rule = format!("{kind}: {name} may not depend on {to}, but on {allowed:?}");
                findings
                    .push(finding(rule, "the text column never sees a tensor, the tensor column no string"));
            }
        }
        let is_tensors = ["burn", "cubecl"].iter().any(|library| dependency.starts_with(library));
        if is_tensors && (*is_text || name == "xtask") {
            let rule = format!("{kind}: {name} may not depend on {dependency}");
            findings.push(finding(rule, "these crates compile in seconds and run without a device"));
        }
        let backend = features.iter().find(|feature| BACKEND_FEATURES.contains(&feature.as_str()));
        let named = dependency.strip_prefix("burn-").filter(|backend| BACKEND_FEATURES.contains(backend));
        if let Some(backend) = backend.map(String::as_str).or(named).filter(|_| is_tensors)
            && !WITH_BACKENDS.contains(&name)
        {
            let rule = format!("{kind}: {name} may not name the backend {backend}");
            findings.push(finding(rule, "library code runs on whatever device it is given"));
        }
    }
    findings
}

/// Every dependency of a manifest as (table, package, features).
fn dependencies(manifest: &toml::Table) -> Vec<(&'static str, String, Vec<String>)> {
    let mut all = Vec::new();
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let of_targets = targets.into_iter().flat_map(toml::Table::values).filter_map(toml::Value::as_table);
    for table in std::iter::once(manifest).chain(of_targets) {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in table.get(kind).and_then(toml::Value::as_table).into_iter().flatten() {
                // `alias = { package = "ruminate-text" }` is a dependency on text.
                let package = value.get("package").and_then(toml::Value::as_str).unwrap_or(name);
                let features = value.get("features").and_then(toml::Value::as_array).into_iter().flatten();
                let features = features.filter_map(toml::Value::as_str).map(str::to_owned).collect();
                all.push((kind, package.to_owned(), features));
            }
        }
    }
    all
}

fn rules(name: &str, manifest: &str) -> Vec<String> {
    findings(name, &manifest.parse().expect("valid TOML")).into_iter().map(|f| f.rule).collect()
}

#[test]
fn an_arrow_against_the_graph_is_found_in_every_table() {
    for manifest in [
        "[dependencies]\nruminate-text.workspace = true",
        "[dev-dependencies]\nruminate-reward.workspace = true",
        "[build-dependencies]\nruminate-text = { path = \"../text\" }",
        "[target.'cfg(unix)'.dependencies]\nruminate-text.workspace = true",
        "[dependencies]\nwords = { package = \"ruminate-text\", path = \"../text\" }",
    ] {
        assert_eq!(rules("model", manifest).len(), 1, "{manifest}");
    }
}

#[test]
fn testkit_is_for_tests_only() {
    assert!(rules("model", "[dev-dependencies]\nruminate-testkit.workspace = true").is_empty());
    assert_eq!(rules("model", "[dependencies]\nruminate-testkit.workspace = true").len(), 1);
}

#[test]
fn the_text_column_has_no_tensors_and_libraries_name_no_backend() {
    assert_eq!(rules("reward", "[dependencies]\nburn.workspace = true").len(), 1);
    assert!(rules("model", "[dependencies]\nburn.workspace = true").is_empty());
    assert_eq!(rules("model", "[dependencies]\nburn = { workspace = true, features = [\"flex\"] }").len(), 1);
    assert_eq!(rules("grpo", "[dev-dependencies]\nburn-flex = \"1\"").len(), 1);
    assert!(
        rules("ruminate", "[dependencies]\nburn = { workspace = true, features = [\"flex\"] }").is_empty()
    );
}

#[test]
fn a_crate_outside_the_graph_is_found() {
    assert_eq!(rules("misc", "[dependencies]").len(), 1);
}

#[test]
fn the_graph_has_no_way_from_tensors_to_text() {
    // The page is edited by hand: what it is for must hold of it, arrows of arrows included.
    assert!(GRAPH.iter().any(|row| row.name == "data" && row.is_text && row.depends_on.is_empty()));
    for text in GRAPH.iter().filter(|row| row.is_text) {
        assert!(!reaches(&text.name, "kernels"), "{} reaches kernels", text.name);
    }
    for tensors in ["kernels", "model", "rollout", "train", "grpo", "distill"] {
        for text in ["text", "reward", "math-verify", "sandbox"] {
            assert!(!reaches(tensors, text), "{tensors} reaches {text}");
        }
    }
    assert!(!reaches("grpo", "eval"));
    assert!(reaches("grpo", "kernels"), "the search itself works");
}
