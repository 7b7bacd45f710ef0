//! The numbers of a run as CSV (RFC 4180): a row per step, a column per metric. It does not know what they mean.

use crate::Error;
use crate::lines::Table;
use std::path::Path;

/// The table of a run folder's `metrics.jsonl`, `step` first, then the metrics in the order of the file. A step without a
/// finite value has an empty cell.
///
/// # Errors
/// [`Error::NoRun`] where there is no such file; a line that is no row of it, with its path and number.
pub fn csv(run: &Path) -> Result<String, Error> {
    let path = run.join("metrics.jsonl");
    if !path.is_file() {
        return Err(Error::NoRun { path: run.to_owned() });
    }
    let table = Table::read(&path)?;
    let names = table.columns.iter().map(|(name, _)| quoted(name));
    let mut lines = vec![std::iter::once("step".to_owned()).chain(names).collect::<Vec<_>>().join(",")];
    for (at, step) in table.steps.iter().enumerate() {
        let values =
            table.columns.iter().map(|(_, values)| values[at].map_or_else(String::new, |v| v.to_string()));
        lines.push(std::iter::once(step.to_string()).chain(values).collect::<Vec<_>>().join(","));
    }
    Ok(lines.join("\r\n") + "\r\n")
}

/// A name as a cell: within quotes where it has to be.
fn quoted(name: &str) -> String {
    if name.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", name.replace('"', "\"\""));
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::csv;
    use std::fs;

    #[test]
    fn a_column_per_metric_and_what_is_missing_is_empty() {
        let run = tempfile::tempdir().expect("a folder");
        let none = csv(run.path()).expect_err("no run").to_string();
        assert!(none.contains("expected a run folder"), "{none}");
        let rows =
            "{\"step\":1,\"reward\":0.25,\"alarms\":[]}\n{\"step\":2,\"reward\":null,\"a,\\\"b\":1e-7}\n";
        fs::write(run.path().join("metrics.jsonl"), rows).expect("written");
        let text = csv(run.path()).expect("a table");
        assert_eq!(text, "step,reward,\"a,\"\"b\"\r\n1,0.25,\r\n2,,0.0000001\r\n");
        fs::write(run.path().join("metrics.jsonl"), "{\"step\":1}\n[]\n").expect("written");
        let wrong = csv(run.path()).expect_err("no object").to_string();
        assert!(wrong.contains("metrics.jsonl:2"), "{wrong}");
    }
}
