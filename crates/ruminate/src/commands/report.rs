//! `report`: a run folder as one page. Runs leave it at their end, too.

use crate::error::Refusal;
use crate::run::outputs;
use anyhow::{Context, Result};
use ruminate_report as report;
use ruminate_run::{OutputFile, RunFolder};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// What our pages say of themselves, near their beginning.
const GENERATOR: &str = "<meta name=\"generator\" content=\"ruminate report\">";

/// Writes the page of a run folder, or of a folder of run folders, to `out`, or to `report.html` in it. Returns its path.
///
/// # Errors
/// A folder that is no run, and a file that may not be written.
pub(crate) fn run(run: &Path, out: Option<&Path>) -> Result<PathBuf> {
    let own = run.join("report.html");
    let page = match out {
        Some(out) => {
            outputs::check("--out", out, None)?;
            out
        }
        None => &own,
    };
    if out.is_none() {
        check_own(page)?;
    }
    write(run, page)?;
    Ok(page.to_owned())
}

/// Writes the numbers of a run's steps to `out`, or to `metrics.csv` in it. Returns its path.
///
/// # Errors
/// As [`run`].
pub(crate) fn csv(run: &Path, out: Option<&Path>) -> Result<PathBuf> {
    let own = run.join("metrics.csv");
    let out = out.unwrap_or(&own);
    outputs::check("--out", out, None)?;
    let table = report::csv(run)?;
    put(out, &table)?;
    Ok(out.to_owned())
}

/// Leaves the report in a run folder: worth a warning, never a run.
pub(crate) fn leave(folder: &RunFolder) {
    let path = folder.report_path();
    if let Err(error) = check_own(&path).and_then(|()| write(folder.path(), &path)) {
        notice!("warning: no report: {error:#}");
    }
}

/// Refuses a page that the user has under the default name, `report.html`.
fn check_own(page: &Path) -> Result<()> {
    let is_file = page.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    let mut head = Vec::new();
    if is_file {
        let read = File::open(page).and_then(|file| file.take(4096).read_to_end(&mut head));
        read.with_context(|| page.display().to_string())?;
    }
    if head.is_empty() || String::from_utf8_lossy(&head).contains(GENERATOR) {
        return Ok(());
    }
    Err(Refusal::usage(format!(
        "{} was not made by `ruminate report`, and stays; name another file with --out",
        page.display()
    )))
}

fn write(run: &Path, out: &Path) -> Result<()> {
    put(out, &report::html(&report::read(run)?))
}

fn put(out: &Path, text: &str) -> Result<()> {
    let mut file = OutputFile::create(out).context("the report")?;
    file.write_all(text.as_bytes())
        .map_err(|source| Refusal::Write { path: out.display().to_string(), source })?;
    file.commit().context("the report")
}
