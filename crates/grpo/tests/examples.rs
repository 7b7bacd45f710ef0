//! The examples run as their heads say, and the reward rises.

use std::path::Path;
use std::process::Command;

/// The rewards that an example prints, one per step.
fn rewards(example: &str) -> Vec<f64> {
    let this = std::env::current_exe().expect("this program");
    let profile = this.parent().and_then(Path::parent).expect("target/PROFILE/deps");
    let path = profile.join("examples").join(format!("{example}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.is_file(), "{}: build it by `cargo test -p ruminate-grpo`, without --test", path.display());
    let output = Command::new(path).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    printed
        .lines()
        .map(|line| line.rsplit(' ').next().and_then(|reward| reward.parse().ok()).expect(line))
        .collect()
}

#[test]
fn a_loss_from_outside_the_crate_learns_by_the_trainer_as_the_crates_own_does() {
    for example in ["sevens", "own_loss"] {
        let rewards = rewards(example);
        assert_eq!(rewards.len(), 20, "{example}");
        assert!(rewards[19] > rewards[0] + 0.3, "{example}: {rewards:?}");
    }
    let source = include_str!("../examples/own_loss.rs");
    assert!(source.lines().count() <= 30, "a loss of one's own is short");
}
