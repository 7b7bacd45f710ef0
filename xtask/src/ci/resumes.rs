//! A small pipeline that is killed at random moments, itself or the stage at work, must end with the numbers of one that
//! was left alone.

use super::{remove, root};
use crate::binary;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often it is killed.
const KILLS: usize = 6;

/// What stages leave that must not depend on how often they were begun: of logs all but times.
const LOGS: [&str; 2] = ["metrics.jsonl", "eval.jsonl"];
const FILES: [&str; 3] = ["final/model.safetensors", "traces.jsonl", "samples.jsonl"];

/// Runs the pipeline twice in a temporary folder, which stays when they differ.
pub(super) fn check() -> Result<()> {
    let program = binary::build(None)?;
    let out = std::env::temp_dir().join(format!("ruminate-ci-r1-{}", std::process::id()));
    let start = Instant::now();
    let expected = to_the_end(&program, &out.join("whole"))?;
    let time = start.elapsed();
    let broken = out.join("broken");
    for kill in 0..KILLS {
        // Long enough to come forward from one to the next, short enough not to come to the end at once.
        let moment = time.mul_f64(0.1 + 0.4 * random());
        let ended = killed(&program, &broken, moment, kill % 2 == 1)?;
        eprintln!(
            "killed after {:.1} s{}",
            moment.as_secs_f64(),
            if ended { ", when all was done" } else { "" }
        );
    }
    let table = to_the_end(&program, &broken)?;
    ensure!(
        table == expected,
        "expected the table of a pipeline that was not killed\n{expected}\nfound\n{table}"
    );
    same(&out.join("whole/seed0"), &broken.join("seed0")).with_context(|| out.display().to_string())?;
    remove(&out)
}

fn pipeline(program: &Path, out: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("r1").arg(root().join("recipes/ci-r1")).arg("--out").arg(out);
    command
}

/// The table.
fn to_the_end(program: &Path, out: &Path) -> Result<String> {
    let output =
        pipeline(program, out).stderr(Stdio::inherit()).output().context("cannot start the pipeline")?;
    ensure!(output.status.success(), "the pipeline ended with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Begins or goes on, and kills what runs at that moment: the pipeline, which its stage must notice, or the stage. Says
/// whether the pipeline was at its end already.
fn killed(program: &Path, out: &Path, moment: Duration, stage: bool) -> Result<bool> {
    let mut child =
        pipeline(program, out).stdout(Stdio::null()).spawn().context("cannot start the pipeline")?;
    std::thread::sleep(moment);
    if let Some(status) = child.try_wait()? {
        ensure!(status.success(), "the pipeline ended with {status}");
        return Ok(true);
    }
    let at_work = stages(&out.join("seed0")).iter().find_map(|run| holder(run));
    match at_work.filter(|_| stage && cfg!(unix)) {
        Some(process) => {
            // It may have ended by itself since.
            Command::new("kill").args(["-9", &process.to_string()]).stderr(Stdio::null()).status()?;
            std::thread::sleep(Duration::from_millis(200));
            child.kill()?;
        }
        None => child.kill()?,
    }
    child.wait()?;
    Ok(false)
}

/// The process that is at work in a run folder, whose lock it holds.
fn holder(run: &Path) -> Option<u32> {
    let path = run.join(".lock");
    if File::open(&path).ok()?.try_lock().is_ok() {
        return None; // closing the file lets go of it
    }
    fs::read_to_string(&path).ok()?.trim().parse().ok()
}

fn stages(pipeline: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(pipeline).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Whether two pipelines left the same.
fn same(whole: &Path, broken: &Path) -> Result<()> {
    let mut compared = 0;
    for stage in stages(whole) {
        let name = stage.file_name().unwrap_or_default();
        let places = |file: &str| [stage.join(file), broken.join(name).join(file)];
        for log in LOGS.into_iter().filter(|log| stage.join(log).is_file()) {
            let [expected, found] = places(log);
            ensure!(timeless(&expected)? == timeless(&found)?, "{} differs", found.display());
            compared += 1;
        }
        for file in FILES.into_iter().filter(|file| stage.join(file).is_file()) {
            let [expected, found] = places(file);
            let read =
                |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
            // Traces and samples name the folders of their models.
            let placeless = |path: &Path, root: &Path| -> Result<String> {
                let text = String::from_utf8_lossy(&read(path)?).into_owned();
                Ok(text.replace(&root.display().to_string(), ""))
            };
            ensure!(
                placeless(&expected, whole)? == placeless(&found, broken)?,
                "{} differs",
                found.display()
            );
            compared += 1;
        }
    }
    ensure!(compared > 8, "expected logs and weights of every stage in {}", whole.display());
    Ok(())
}

/// Rows without what was read off a clock.
fn timeless(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let rows = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
    let mut rows = rows.with_context(|| path.display().to_string())?;
    for row in rows.iter_mut().filter_map(Value::as_object_mut) {
        row.retain(|key, _| !key.ends_with("_time_s"));
    }
    Ok(rows)
}

/// Uniform in [0, 1), another one at every call and in every run.
fn random() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / 2_f64.powi(64)
}

#[cfg(test)]
mod tests {
    use super::same;
    use std::fs;
    use std::path::Path;

    fn pipeline(folder: &Path, loss: &str, weights: &[u8]) {
        for stage in ["a", "b", "c", "d", "e"] {
            fs::create_dir_all(folder.join(stage).join("final")).expect("made");
            let row = format!(
                "{{\"step\": 1, \"loss\": {loss}, \"step_time_s\": {}}}\n",
                folder.display().to_string().len()
            );
            fs::write(folder.join(stage).join("metrics.jsonl"), row).expect("written");
            fs::write(folder.join(stage).join("final/model.safetensors"), weights).expect("written");
        }
    }

    #[test]
    fn times_may_differ_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken-off"));
        pipeline(&whole, "0.5", &[1, 2]);
        pipeline(&broken, "0.5", &[1, 2]);
        same(&whole, &broken).expect("the same");
        pipeline(&broken, "0.25", &[1, 2]);
        assert!(same(&whole, &broken).is_err());
        pipeline(&broken, "0.5", &[1, 3]);
        assert!(same(&whole, &broken).is_err());
        assert!(same(folder.path(), folder.path()).is_err(), "nothing was compared");
    }
}
