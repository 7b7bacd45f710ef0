//! The same loop on Vulkan. `cargo xtask ci` runs these where it finds a driver, and says so where it finds none.
#![cfg(feature = "vulkan")]

mod common;

use common::{assert_code, command, rows_of, ruminate, tiny, told};

/// Losses, rewards and completions of a tiny run, and what it told.
fn train(device: &str) -> (Vec<f64>, Vec<serde_json::Value>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let mut args = tiny("train-rl", run.to_str().expect("UTF-8"), &[]);
    args.extend(["--device", device]);
    let output = ruminate(&args);
    assert_code(&output, 0);
    let metrics = [rows_of(&run.join("base/metrics.jsonl")), rows_of(&run.join("metrics.jsonl"))].concat();
    let losses = metrics.iter().map(|row| row["loss"].as_f64().expect("a loss")).collect();
    let completions = rows_of(&run.join("completions/step-000001.jsonl"));
    (losses, completions.iter().map(|row| row["completion_ids"].clone()).collect(), told(&output))
}

#[test]
fn vulkan_trains_as_the_cpu_does() {
    let (losses, completions, told) = train("vulkan");
    assert!(told.contains("device vulkan: "), "the adapter is named: {told}");
    let (expected, expected_completions, _) = train("flex");
    assert_eq!(completions, expected_completions, "sampling depends on the seed, not on the device");
    assert_eq!(losses.len(), expected.len());
    for (loss, expected) in losses.iter().zip(&expected) {
        assert!(
            (loss - expected).abs() <= 1e-4 * expected.abs().max(1.0),
            "{losses:?} on Vulkan, {expected:?}"
        );
    }
}

#[test]
fn without_a_driver_the_device_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut args = tiny("train-rl", folder.path().to_str().expect("UTF-8"), &[]);
    args.extend(["--device", "vulkan"]);
    // The loader's own switches: it finds no driver whatever is installed.
    let output = command(&args)
        .env("VK_DRIVER_FILES", "/none")
        .env("VK_ICD_FILENAMES", "/none")
        .output()
        .expect("it starts");
    assert_code(&output, 2);
    assert!(told(&output).contains("--device vulkan: No adapter available"), "{}", told(&output));
}
