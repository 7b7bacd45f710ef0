//! `report`: a run folder as one page. Runs leave it at their end, too.

use crate::args::ReportArgs;
use crate::lines::Output;
use anyhow::{Context, Result};
use ruminate_report as report;
use ruminate_run::{RunFolder, write_file};
use serde_json::json;
use std::path::Path;

pub(crate) fn run(args: &ReportArgs) -> Result<()> {
    let out = args.out.clone().unwrap_or_else(|| args.run.join("report.html"));
    write(&args.run, &out)?;
    eprintln!("open {} in a browser", out.display());
    Output::open(None)?.line(&json!({ "report": out }))
}

/// Leaves the report in a run folder: worth a warning, never a run.
pub(crate) fn leave(folder: &RunFolder) {
    if let Err(error) = write(folder.path(), &folder.report_path()) {
        eprintln!("warning: no report: {error:#}");
    }
}

fn write(run: &Path, out: &Path) -> Result<()> {
    let page = report::html(&report::read(run)?);
    write_file(out, page.as_bytes()).context("the report")
}
