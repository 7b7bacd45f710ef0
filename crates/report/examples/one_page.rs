//! A run folder as one HTML page, and its metrics as TensorBoard's.
//!
//! `cargo run -p ruminate-report --example one_page`

use std::error::Error;
use std::fs;

fn main() -> Result<(), Box<dyn Error>> {
    let run = std::env::temp_dir().join(format!("ruminate-report-example-{}", std::process::id()));
    fs::create_dir_all(&run)?;
    let rows = (1..=50).map(|step| {
        let reward = 1.0 - (-f64::from(step) / 12.0).exp();
        format!("{{\"step\":{step},\"reward\":{reward:.4},\"entropy\":{:.4}}}\n", 1.2 - reward)
    });
    fs::write(run.join("metrics.jsonl"), rows.collect::<String>())?;

    let report = ruminate_report::read(&run)?;
    fs::write(run.join("report.html"), ruminate_report::html(&report))?;

    let metrics = &report.runs[0].metrics;
    let mut events = ruminate_report::tensorboard::EventFile::open(&run.join("tensorboard"), None)?;
    for (at, &step) in metrics.steps.iter().enumerate() {
        let values = metrics.columns.iter().filter_map(|(name, column)| Some((name.as_str(), column[at]?)));
        events.scalars(step, values)?;
    }
    eprintln!("open {}", run.join("report.html").display());
    eprintln!("tensorboard --logdir {}", run.display());
    Ok(())
}
