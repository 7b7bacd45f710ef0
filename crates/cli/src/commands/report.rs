//! `report`: a run folder as one page. Runs leave it at their end, too.

use crate::args::ReportArgs;
use crate::exit::Refusal;
use crate::lines::Output;
use crate::outputs;
use anyhow::{Context, Result};
use ruminate_report as report;
use ruminate_run::{OutputFile, RunFolder};
use serde_json::json;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// What our pages say of themselves, near their beginning.
const GENERATOR: &str = "<meta name=\"generator\" content=\"ruminate report\">";

pub(crate) fn run(args: &ReportArgs) -> Result<()> {
    let own = args.run.join("report.html");
    let out = match &args.out {
        Some(out) => {
            outputs::check("--out", out, None)?;
            out
        }
        None => &own,
    };
    if args.out.is_none() {
        check_own(out)?;
    }
    write(&args.run, out)?;
    eprintln!("open {} in a browser", out.display());
    Output::open(None)?.line(&json!({ "report": outputs::json(out) }))
}

/// Leaves the report in a run folder: worth a warning, never a run.
pub(crate) fn leave(folder: &RunFolder) {
    let path = folder.report_path();
    if let Err(error) = check_own(&path).and_then(|()| write(folder.path(), &path)) {
        eprintln!("warning: no report: {error:#}");
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
    let page = report::html(&report::read(run)?);
    let mut file = OutputFile::create(out).context("the report")?;
    file.write_all(page.as_bytes())
        .map_err(|source| Refusal::Write { path: out.display().to_string(), source })?;
    file.commit().context("the report")
}
