//! A run folder from its first checkpoint to its completion, without any model.
//!
//! `cargo run -p ruminate-run --example save_and_resume`

use ruminate_run::{
    Appended, Artifact, Completed, FolderWriter, JsonlAppender, Made, RunFolder, Status, checkpoints,
    sha256_hex,
};
use serde_json::json;
use std::num::NonZeroUsize;

fn main() -> Result<(), ruminate_run::Error> {
    let path = std::env::temp_dir().join(format!("ruminate-example-{}", std::process::id()));
    let made = Made {
        command: "example".to_owned(),
        stage: "example".to_owned(),
        id: sha256_hex(b"seed = 0"),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        files: ["metrics.jsonl", "checkpoints", "final", "complete.json"].map(str::to_owned).to_vec(),
    };
    let mut run = RunFolder::enter(&path, &made)?;
    run.claim(&made)?;
    let mut metrics = JsonlAppender::open(&run.metrics_path())?;

    for step in 1..=3 {
        if let Appended::Failed(error) = metrics.append(&json!({"step": step, "reward": 0.5})) {
            eprintln!("warning: {error}");
        }
        let checkpoint = checkpoints::create(run.path(), step)?;
        checkpoint.write("weights.bin", &[step as u8; 1024])?;
        checkpoint.commit(json!({"step": step}))?;
        checkpoints::retain(run.path(), NonZeroUsize::MIN)?;
    }

    let newest = checkpoints::newest(run.path())?;
    eprintln!("resume from {:?}", newest.found.map(|(checkpoint, _)| checkpoint.step));

    let model = FolderWriter::create(&run.final_path())?;
    model.write("model.safetensors", b"weights")?;
    model.commit(json!({}))?;
    run.complete(&Completed {
        recipe_sha256: sha256_hex(b"seed = 0"),
        summary: json!({"pass@1": 0.98}),
        leaves: Artifact::Model,
    })?;
    assert!(matches!(run.status()?, Status::Complete(_)));
    eprintln!("{} is complete", run.path().display());
    Ok(())
}
