//! Whether every crate that is meant for crates.io can be packaged. Those of the text column are built from their packages;
//! those that compute need Burn compiled once more for that, so they are packed only.

use super::{cargo_command, cargo_step};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The crate through which all others come to tensors.
const KERNELS: &str = "ruminate-kernels";

/// Packages of the workspace that are published, each with the packages that it is built with.
type Dependencies = BTreeMap<String, BTreeSet<String>>;

pub(super) fn check() -> Result<()> {
    let output = cargo_command(&["metadata", "--no-deps", "--format-version", "1"]).output()?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let all = dependencies(&serde_json::from_slice(&output.stdout)?)?;
    let (tensors, text): (Vec<&str>, Vec<&str>) =
        all.keys().map(String::as_str).partition(|name| reaches(name, KERNELS, &all));
    ensure!(!tensors.is_empty() && !text.is_empty(), "expected crates of both columns, found {all:?}");
    package(&text, &[])?;
    package(&[&tensors[..], &text[..]].concat(), &["--no-verify"])
}

fn package(names: &[&str], flags: &[&str]) -> Result<()> {
    let names = names.iter().flat_map(|name| ["--package", name]);
    let args: Vec<&str> =
        ["package", "--allow-dirty"].into_iter().chain(flags.iter().copied()).chain(names).collect();
    cargo_step(&args)
}

fn dependencies(metadata: &Value) -> Result<Dependencies> {
    let text = |value: &Value| value.as_str().map(str::to_owned).context("a name is no text");
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    // Null is anywhere, a list is of registries.
    let published =
        packages.iter().filter(|package| package["publish"].as_array().is_none_or(|to| !to.is_empty()));
    published
        .map(|package| {
            let all = package["dependencies"].as_array().context("a package has no dependencies")?;
            let built = all.iter().filter(|dependency| dependency["kind"] != "dev");
            Ok((
                text(&package["name"])?,
                built.map(|dependency| text(&dependency["name"])).collect::<Result<_>>()?,
            ))
        })
        .collect()
}

fn reaches(name: &str, target: &str, all: &Dependencies) -> bool {
    name == target || all.get(name).is_some_and(|direct| direct.iter().any(|next| reaches(next, target, all)))
}

#[cfg(test)]
mod tests {
    use super::{dependencies, reaches};
    use serde_json::json;

    #[test]
    fn columns_are_told_apart_by_what_packages_are_built_with() {
        let package = |name: &str, publish: &serde_json::Value, dependencies: &[(&str, Option<&str>)]| {
            let dependencies: Vec<_> =
                dependencies.iter().map(|(name, kind)| json!({ "name": name, "kind": kind })).collect();
            json!({ "name": name, "publish": publish, "dependencies": dependencies })
        };
        let metadata = json!({ "packages": [
            package("kernels", &json!(null), &[("burn", None)]),
            package("train", &json!(null), &[("kernels", None)]),
            package("text", &json!(null), &[("serde", None), ("kernels", Some("dev"))]),
            package("xtask", &json!([]), &[("kernels", None)]),
        ]});
        let all = dependencies(&metadata).expect("well-formed");
        assert_eq!(all.keys().collect::<Vec<_>>(), ["kernels", "text", "train"]);
        assert!(reaches("train", "kernels", &all) && reaches("kernels", "kernels", &all));
        assert!(!reaches("text", "kernels", &all), "what tests use is in no package");
    }
}
