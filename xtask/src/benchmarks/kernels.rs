//! The criterion benches of `kernels`, by the files that criterion leaves: median seconds and the declared throughput.

use super::options::Extent;
use super::records::{Kernel, Record};
use crate::{cargo, root};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs the benches; their files go to a new `folder`.
pub(super) fn measure(folder: &Path, extent: Extent) -> Result<Vec<Record>> {
    eprintln!("==> kernels");
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let mut command = Command::new(cargo());
    command.args(["bench", "--quiet", "--package", "ruminate-kernels", "--benches", "--"]);
    // Short runs, also of a bench that asks for no such thing: the ratios that matter here are far above a percent.
    let [warm_up_s, measured_s] = if extent == Extent::Full { ["0.2", "0.7"] } else { ["0.01", "0.05"] };
    command.args(["--warm-up-time", warm_up_s, "--measurement-time", measured_s]);
    command.args(["--sample-size", "10", "--nresamples", "2000"]);
    command.current_dir(root()).env("CRITERION_HOME", folder).stdout(std::process::Stdio::null());
    let status = command.status().context("cannot start cargo")?;
    ensure!(status.success(), "{command:?} ended with {status}");
    read(folder)
}

/// All benches below a folder, in the order of their names.
fn read(folder: &Path) -> Result<Vec<Record>> {
    let mut found = Vec::new();
    benches(folder, &mut found)?;
    found.sort();
    ensure!(!found.is_empty(), "{}: criterion left nothing", folder.display());
    found
        .iter()
        .map(|folder| {
            let json = |name: &str| -> Result<Value> {
                let path = folder.join(name);
                let text =
                    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                serde_json::from_str(&text).with_context(|| path.display().to_string())
            };
            kernel(&json("benchmark.json")?, &json("estimates.json")?)
                .with_context(|| folder.display().to_string())
                .map(Record::Kernel)
        })
        .collect()
}

/// Folders with the newest result of a bench.
fn benches(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.ends_with("new") && path.join("benchmark.json").exists() {
            found.push(path);
        } else if path.is_dir() {
            benches(&path, found)?;
        }
    }
    Ok(())
}

fn kernel(benchmark: &Value, estimates: &Value) -> Result<Kernel> {
    let text = |key: &str| benchmark[key].as_str().unwrap_or_default().to_owned();
    let nanoseconds =
        estimates["median"]["point_estimate"].as_f64().context("estimates.json has no median")?;
    let throughput = |key: &str| benchmark["throughput"][key].as_f64().map(|count| count / 1e9);
    Ok(Kernel {
        group: text("group_id"),
        form: text("function_id"),
        shape: text("value_str"),
        time_s: nanoseconds / 1e9,
        gflop: throughput("Elements"),
        gb: throughput("Bytes"),
    })
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::benchmarks::records::{Kernel, Record};
    use std::fs;

    #[test]
    fn the_newest_result_of_every_bench_is_read() {
        let home = std::env::temp_dir().join(format!("ruminate-criterion-{}", std::process::id()));
        for (name, throughput) in [("a", r#"{"Elements": 2000000000}"#), ("b", r#"{"Bytes": 500000000}"#)] {
            for age in ["base", "new"] {
                let folder = home.join("norm").join(name).join(age);
                fs::create_dir_all(&folder).expect("a folder");
                let benchmark = format!(
                    r#"{{"group_id": "norm", "function_id": "fused", "value_str": "{name}", "throughput": {throughput}}}"#
                );
                fs::write(folder.join("benchmark.json"), benchmark).expect("written");
                let estimates = r#"{"mean": {"point_estimate": 9.0}, "median": {"point_estimate": 4000.0}}"#;
                fs::write(folder.join("estimates.json"), estimates).expect("written");
            }
        }
        let kernel = |shape: &str, gflop, gb| {
            Record::Kernel(Kernel {
                group: "norm".to_owned(),
                form: "fused".to_owned(),
                shape: shape.to_owned(),
                time_s: 4e-6,
                gflop,
                gb,
            })
        };
        let expected = [kernel("a", Some(2.0), None), kernel("b", None, Some(0.5))];
        assert_eq!(read(&home).expect("readable"), expected);
        fs::remove_dir_all(home).expect("removed");
    }
}
