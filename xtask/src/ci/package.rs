//! Whether every crate that is meant for crates.io can be packaged. Those of the text column are built from their packages;
//! those that compute need Burn compiled once more for that, so they are packed only.

use super::{cargo_command, cargo_home, cargo_step, remove};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The crate through which all others come to tensors.
const KERNELS: &str = "ruminate-kernels";

/// Packages of the workspace that are published, each with the packages that it is built with.
type Dependencies = BTreeMap<String, BTreeSet<String>>;

pub(super) fn check() -> Result<()> {
    let output = cargo_command(&["metadata", "--no-deps", "--format-version", "1"]).output()?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let all = dependencies(&metadata)?;
    let (tensors, text): (Vec<&str>, Vec<&str>) =
        all.keys().map(String::as_str).partition(|name| reaches(name, KERNELS, &all));
    ensure!(!tensors.is_empty() && !text.is_empty(), "expected crates of both columns, found {all:?}");
    let published: Vec<&str> = all.keys().map(String::as_str).collect();
    if let Some(home) = cargo_home() {
        forget_unpacked(&home, &published)?;
    }
    let target = metadata["target_directory"].as_str().context("cargo metadata has no target folder")?;
    forget_compiled(Path::new(target), &published)?;
    package(&text, &[])?;
    package(&[&tensors[..], &text[..]].concat(), &["--no-verify"])
}

/// Removes what an earlier run unpacked of these packages. Cargo verifies packages that need each other by a temporary
/// registry in the target folder, and a package that it has unpacked from there it never unpacks again while the version
/// stays: today's crates would be built with yesterday's.
fn forget_unpacked(home: &Path, packages: &[&str]) -> Result<()> {
    let sources = home.join("registry/src");
    if !sources.is_dir() {
        return Ok(());
    }
    for registry in folders(&sources)? {
        // A registry of the file system has no host: its folder is named by `-` and a hash.
        if !registry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('-')) {
            continue;
        }
        for unpacked in folders(&registry)? {
            let name =
                unpacked.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if packages.iter().any(|package| is_version_of(&name, package)) {
                remove(&unpacked)?;
            }
        }
    }
    Ok(())
}

/// Removes what Cargo knows of builds of unpacked packages: to it a package of a registry never changes, so that it would take
/// yesterday's build for today's package. The list of the sources that such a build was made of (`dep-..`) is empty.
fn forget_compiled(target: &Path, packages: &[&str]) -> Result<()> {
    let known = target.join("debug/.fingerprint");
    if !known.is_dir() {
        return Ok(());
    }
    for build in folders(&known)? {
        let name = build.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if packages.iter().any(|package| is_build_of(&name, package)) && !lists_sources(&build)? {
            remove(&build)?;
        }
    }
    Ok(())
}

fn lists_sources(build: &Path) -> Result<bool> {
    for file in fs::read_dir(build).with_context(|| format!("cannot read {}", build.display()))? {
        let file = file?;
        let is_list = file.file_name().to_string_lossy().starts_with("dep-");
        if is_list && fs::read(file.path())?.windows(3).any(|bytes| bytes == b".rs") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether `folder` is named by `package`, `-` and a hash.
fn is_build_of(folder: &str, package: &str) -> bool {
    let hash = folder.strip_prefix(package).and_then(|rest| rest.strip_prefix('-'));
    hash.is_some_and(|hash| hash.len() == 16 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// Whether `folder` is named by `package`, `-` and a version.
fn is_version_of(folder: &str, package: &str) -> bool {
    let version = folder.strip_prefix(package).and_then(|rest| rest.strip_prefix('-'));
    version.is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
}

fn folders(of: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(of).with_context(|| format!("cannot read {}", of.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
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
    use super::{dependencies, forget_compiled, forget_unpacked, reaches};
    use serde_json::json;
    use std::fs;

    #[test]
    fn only_packages_of_a_temporary_registry_are_forgotten() -> anyhow::Result<()> {
        let home = tempfile::tempdir()?;
        let sources = home.path().join("registry/src");
        forget_unpacked(home.path(), &["ruminate-data"])?;
        for path in
            ["-22c3805d/ruminate-data-0.2.0", "-22c3805d/ruminate-database-0.2.0", "-22c3805d/itoa-1.0.0"]
        {
            fs::create_dir_all(sources.join(path).join("src"))?;
        }
        fs::create_dir_all(sources.join("index.crates.io-1949cf8c/ruminate-data-0.2.0"))?;
        forget_unpacked(home.path(), &["ruminate-data"])?;
        let left = |path: &str| sources.join(path).is_dir();
        assert!(!left("-22c3805d/ruminate-data-0.2.0"), "the next run unpacks it from today's package");
        assert!(left("-22c3805d/ruminate-database-0.2.0") && left("-22c3805d/itoa-1.0.0"));
        assert!(
            left("index.crates.io-1949cf8c/ruminate-data-0.2.0"),
            "what came from crates.io never changes"
        );
        Ok(())
    }

    #[test]
    fn only_builds_of_unpacked_packages_are_forgotten() -> anyhow::Result<()> {
        let target = tempfile::tempdir()?;
        forget_compiled(target.path(), &["ruminate-data"])?;
        let known = target.path().join("debug/.fingerprint");
        let (unpacked, own) = ("ruminate-data-05f42cdefe9d1a9a", "ruminate-data-0af2c5969bdbabfa");
        for build in [unpacked, own, "ruminate-data-loader-05f42cdefe9d1a9a", "itoa-05f42cdefe9d1a9a"] {
            fs::create_dir_all(known.join(build))?;
        }
        fs::write(known.join(unpacked).join("dep-lib-ruminate_data"), [1, 0, 0, 0])?;
        fs::write(known.join(own).join("dep-lib-ruminate_data"), "src/lib.rs")?;
        forget_compiled(target.path(), &["ruminate-data"])?;
        assert!(!known.join(unpacked).is_dir(), "the next run builds it from today's package");
        for build in [own, "ruminate-data-loader-05f42cdefe9d1a9a", "itoa-05f42cdefe9d1a9a"] {
            assert!(known.join(build).is_dir(), "{build}");
        }
        Ok(())
    }

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
