//! Which crate may depend on which. It reads manifests and refuses to know sources.

use crate::Finding;

/// The graph of ARCHITECTURE.md: a crate, and the workspace crates that it may depend on.
const ARROWS: [(&str, &[&str]); 19] = [
    ("data", &[]),
    ("files", &[]),
    ("run", &[]),
    ("gguf", &["files"]),
    ("math-verify", &[]),
    ("sandbox", &[]),
    ("text", &["data", "files"]),
    ("reward", &["data", "math-verify", "sandbox"]),
    ("report", &["data"]),
    ("kernels", &[]),
    ("model", &["files", "kernels"]),
    ("rollout", &["data", "kernels", "model"]),
    ("train", &["data", "run", "kernels", "model"]),
    ("grpo", &["data", "model", "rollout", "train"]),
    ("distill", &["data", "model", "rollout", "train"]),
    ("eval", &["data", "run", "rollout"]),
    (
        "cli",
        &[
            "data", "distill", "eval", "files", "gguf", "grpo", "kernels", "model", "report", "reward",
            "rollout", "run", "sandbox", "text", "train",
        ],
    ),
    ("testkit", &[]),
    ("xtask", &[]),
];

/// Crates that compile in seconds because no tensor library is below them.
const WITHOUT_TENSORS: [&str; 10] =
    ["data", "files", "gguf", "math-verify", "report", "run", "sandbox", "text", "reward", "xtask"];

/// Crates that may name a backend in their manifest.
const WITH_BACKENDS: [&str; 3] = ["cli", "kernels", "testkit"];

const BACKEND_FEATURES: [&str; 7] = ["flex", "cuda", "vulkan", "wgpu", "rocm", "metal", "ndarray"];

/// Whether others build on the crate: the binary, the tests' helpers and the tasks are for us alone.
pub(crate) fn is_library(name: &str) -> bool {
    !["cli", "testkit", "xtask"].contains(&name)
}

pub(crate) fn findings(name: &str, manifest: &toml::Table) -> Vec<Finding> {
    let place = if name == "xtask" { "xtask/Cargo.toml".into() } else { format!("crates/{name}/Cargo.toml") };
    let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
        return vec![Finding {
            place,
            rule: format!("{name} is not in the graph of crates"),
            reason: "a crate exists only if its dependency list enforces an invariant: add its arrows to tidy and \
                     to ARCHITECTURE.md",
        }];
    };
    let mut findings = Vec::new();
    for (kind, dependency, features) in dependencies(manifest) {
        let finding = |rule, reason| Finding { place: place.clone(), rule, reason };
        if let Some(to) = dependency.strip_prefix("ruminate-") {
            let for_tests = kind == "dev-dependencies" && to == "testkit";
            if !for_tests && !allowed.contains(&to) {
                let rule = format!("{kind}: {name} may not depend on {to}, but on {allowed:?}");
                findings
                    .push(finding(rule, "the text column never sees a tensor, the tensor column no string"));
            }
        }
        let is_tensors = ["burn", "cubecl"].iter().any(|library| dependency.starts_with(library));
        if is_tensors && WITHOUT_TENSORS.contains(&name) {
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
    assert!(rules("cli", "[dependencies]\nburn = { workspace = true, features = [\"flex\"] }").is_empty());
}

#[test]
fn a_crate_outside_the_graph_is_found() {
    assert_eq!(rules("misc", "[dependencies]").len(), 1);
}

#[test]
fn the_graph_has_no_way_from_tensors_to_text() {
    // The list above is long and edited by hand: what it is for must hold of it, arrows of arrows included.
    fn reaches(from: &str, to: &str) -> bool {
        let direct = ARROWS.iter().find(|(name, _)| *name == from).map_or(&[][..], |(_, direct)| direct);
        direct.contains(&to) || direct.iter().any(|next| reaches(next, to))
    }
    for tensors in ["kernels", "model", "rollout", "train", "grpo", "distill"] {
        for text in ["text", "reward", "math-verify", "sandbox"] {
            assert!(!reaches(tensors, text), "{tensors} reaches {text}");
        }
    }
    assert!(!reaches("grpo", "eval"));
    assert!(reaches("grpo", "kernels"), "the search itself works");
}
