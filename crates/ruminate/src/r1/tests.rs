//! The pipeline with a shell script in the binary's place: it writes what a stage writes, counts its calls, and can be
//! told to fail or to kill the process that waits for it.

use super::R1Options;
use super::check::check;
use super::graph::Graph;
use super::stages::{Ended, Pipeline};
use super::state::State;
use super::table::Table;
use ruminate_run::Lock;
use std::fs;
use std::path::{Path, PathBuf};

/// Two stages of which one needs the other, and one by itself.
pub(super) const GRAPH: &str = r#"
    [[stage]]
    name = "base"
    command = "pretrain"
    recipe = "base.toml"
    minutes = 1
    [[stage]]
    name = "zero"
    command = "train-rl"
    recipe = "zero.toml"
    inputs = { model = "base/final" }
    minutes = 2
    [[stage]]
    name = "other"
    command = "pretrain"
    recipe = "other.toml"
    minutes = 1
    [evaluate]
    recipe = "eval.toml"
    set = "test"
    minutes = 0.5
    models = ["base", "zero"]
    [[expect]]
    kind = "exceeds"
    claim = "zero above base"
    metric = "pass@1"
    model = "zero"
    over = "base"
    at_least = 0.3
    [[expect]]
    kind = "consensus"
    claim = "the majority helps"
    below = 0.95
    [[expect]]
    kind = "compute"
    claim = "enough of it"
    stages = ["zero"]
    at_least_that_of = ["base"]
    [[report]]
    claim = "thoughts"
    metric = "thought_length_mean"
    from = "base"
    to = "zero"
"#;

/// $1 is the command, $2 the recipe, $4 the run folder. The first call of a stage named in the file `fail` ends in the
/// middle, with the code in that file's second line.
const SCRIPT: &str = r#"#!/bin/sh
out="$4"
stage=$(basename "$out")
here=$(dirname "$0")
echo "$@" >> "$here/calls"
mkdir -p "$out"
echo '{"num_tokens": 10, "frac_reward_zero_std": 0.25}' >> "$out/metrics.jsonl"
if [ -f "$here/fail" ] && [ "$(sed -n 1p "$here/fail")" = "$stage" ]; then
  code=$(sed -n 2p "$here/fail"); rm "$here/fail"
  if [ "$code" = kill ]; then kill -9 $$; fi
  exit "$code"
fi
case "$stage" in eval-base) p=0.2 ;; *) p=0.6 ;; esac
echo "{\"step\": 0, \"set\": \"validation\", \"pass@1\": 0.9}" > "$out/eval.jsonl"
echo "{\"step\": 0, \"set\": \"test\", \"pass@1\": $p, \"pass@1_ci\": [0.1, 0.7], \"cons@16\": 0.7, \"thought_length_mean\": 9}" >> "$out/eval.jsonl"
echo '{"summary": {"compute": {"num_tokens": 10, "active_parameters": 5}}}' > "$out/complete.json"
"#;

struct Place {
    folder: tempfile::TempDir,
    graph: Graph,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        write("graph.toml", GRAPH);
        for name in ["base", "zero", "other", "eval"] {
            write(&format!("{name}.toml"), "max_steps = 3\n");
        }
        write("ruminate", SCRIPT);
        let graph = Graph::read(folder.path()).expect("valid");
        Self { folder, graph }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn out(&self) -> PathBuf {
        self.path().join("out")
    }

    fn run(&self) -> Ended {
        let pipeline = Pipeline {
            graph: &self.graph,
            recipes: self.path(),
            out: self.out(),
            program: &self.path().join("ruminate"),
            overrides: vec!["seed=7".to_owned(), "eval.n=3".to_owned()],
            arguments: Vec::new(),
        };
        pipeline.run().expect("the script starts")
    }

    /// Stages in the order of their calls, since the last time.
    fn calls(&self) -> Vec<String> {
        let path = self.path().join("calls");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(&path);
        let stage =
            |line: &str| line.split(' ').nth(3).and_then(|out| out.rsplit('/').next()).map(str::to_owned);
        text.lines().filter_map(stage).collect()
    }

    fn fail(&self, stage: &str, code: &str) {
        fs::write(self.path().join("fail"), format!("{stage}\n{code}\n")).expect("written");
    }
}

#[cfg(unix)]
fn place() -> Place {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let script = place.path().join("ruminate");
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).expect("executable");
    place
}

#[test]
#[cfg(unix)]
fn every_stage_runs_once_and_a_second_time_nothing_does() {
    let place = place();
    assert_eq!(place.run(), Ended::Complete);
    let call = fs::read_to_string(place.path().join("calls")).expect("calls");
    let zero = call.lines().nth(1).expect("the second stage");
    assert!(
        zero.starts_with("train-rl ") && zero.contains("--resume auto --stop-at-eof --set seed=7"),
        "{zero}"
    );
    assert!(
        zero.contains(" --set-if-read eval.n=3 "),
        "other overrides are for the stages that read them: {zero}"
    );
    assert!(zero.ends_with(&format!("--set model={}/base/final", place.out().display())), "{zero}");
    let order = ["base", "zero", "other", "eval-base", "eval-zero"];
    assert_eq!(place.calls(), order);
    assert_eq!(State::read(&place.out()).expect("ours").order, order, "for the report");
    assert_eq!(place.run(), Ended::Complete);
    assert!(place.calls().is_empty());
}

#[test]
#[cfg(unix)]
fn a_stage_that_failed_or_was_killed_goes_on_where_it_was() {
    let place = place();
    for (code, expected) in [("6", 6), ("kill", 130)] {
        place.fail("zero", code);
        assert_eq!(place.run(), Ended::Stopped(expected));
        assert_eq!(place.calls().last().map(String::as_str), Some("zero"));
    }
    assert_eq!(place.run(), Ended::Complete);
    assert_eq!(place.calls(), ["zero", "other", "eval-base", "eval-zero"]);
    let begun = fs::read_to_string(place.out().join("zero/metrics.jsonl")).expect("a log");
    assert_eq!(begun.lines().count(), 3, "its folder was kept from one attempt to the next");
}

#[test]
#[cfg(unix)]
fn a_second_pipeline_in_the_same_folder_is_refused() {
    let place = place();
    fs::create_dir_all(place.out()).expect("made");
    let lock = Lock::of(&place.out()).expect("free");
    assert_eq!(place.run(), Ended::Stopped(2));
    assert!(place.calls().is_empty());
    drop(lock);
    assert_eq!(place.run(), Ended::Complete);
}

#[test]
#[cfg(unix)]
fn a_stage_that_a_killed_pipeline_left_at_work_is_waited_for() {
    let place = place();
    let base = place.out().join("base");
    fs::create_dir_all(&base).expect("made");
    let lock = Lock::of(&base).expect("free");
    std::thread::scope(|scope| {
        let run = scope.spawn(|| place.run());
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(place.calls().is_empty(), "it holds its run folder");
        drop(lock);
        assert_eq!(run.join().expect("no panic"), Ended::Complete);
    });
}

#[test]
#[cfg(unix)]
fn a_stage_holds_a_pipe_that_ends_when_its_pipeline_does() {
    let place = place();
    // Until its standard input ends, which it would at once without a pipe; the script is killed by its own clock.
    fs::write(
        place.path().join("ruminate"),
        SCRIPT.replace(
            "here=$(dirname \"$0\")",
            "here=$(dirname \"$0\")\n(timeout 0.2 cat; echo $? > \"$here/pipe\")",
        ),
    )
    .expect("written");
    assert_eq!(place.run(), Ended::Complete);
    let held = fs::read_to_string(place.path().join("pipe")).expect("told");
    assert_eq!(held.trim(), "124", "cat was still waiting when its time was over");
}

#[test]
#[cfg(unix)]
fn a_changed_recipe_rebuilds_its_stage_and_what_depends_on_it() {
    let place = place();
    place.run();
    place.calls();
    fs::write(place.path().join("zero.toml"), "# said differently\nmax_steps=3\n").expect("written");
    place.run();
    assert!(place.calls().is_empty(), "a comment is no change");
    fs::write(place.path().join("zero.toml"), "max_steps = 4\n").expect("written");
    place.run();
    assert_eq!(place.calls(), ["zero", "eval-zero"]);
    let begun = fs::read_to_string(place.out().join("zero/metrics.jsonl")).expect("a log");
    assert_eq!(begun.lines().count(), 1, "it began again");
    let earlier = place.path().join("out-earlier/zero-1/metrics.jsonl");
    assert!(earlier.is_file(), "what was made before is put aside, not removed");
    fs::write(place.path().join("base.toml"), "max_steps = 4\n").expect("written");
    place.run();
    assert_eq!(place.calls(), ["base", "zero", "eval-base", "eval-zero"]);
    assert!(place.path().join("out-earlier/zero-2").is_dir() && earlier.is_file());
}

#[test]
#[cfg(unix)]
fn claims_are_printed_with_their_numbers_and_one_that_fails_is_not_excused() {
    let place = place();
    place.run();
    let outs = [place.out()];
    let table = Table::read(&place.graph, &outs).expect("complete");
    assert!(table.text().contains("| base | 20.0 | 10.0-70.0 | 70.0 | 9.0 |\n"), "{}", table.text());
    let (text, all_hold) = check(&place.graph, &table, &outs).expect("figures");
    assert!(all_hold, "{text}");
    for line in [
        "holds          zero above base: zero 0.600, base 0.200, difference +0.400",
        "holds          the majority helps: base 0.7000 > 0.2000, zero 0.7000 > 0.6000",
        "holds          enough of it: zero 1.625e2, base 1.500e2 tokens x active parameters",
        "reported       thoughts: base 9.000 -> zero 9.000",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let stricter = GRAPH.replace("at_least = 0.3", "at_least = 0.5");
    fs::write(place.path().join("graph.toml"), stricter).expect("written");
    let graph = Graph::read(place.path()).expect("valid");
    let (text, all_hold) = check(&graph, &table, &outs).expect("figures");
    assert!(!all_hold && text.contains("DOES NOT HOLD  zero above base"), "{text}");
}

#[test]
fn pipelines_lie_under_the_name_of_their_recipes_unless_a_folder_is_named() {
    let options = |recipes: Option<&str>, out: Option<&str>, seeds: &[u64]| R1Options {
        recipes: recipes.map(PathBuf::from),
        out: out.map(PathBuf::from),
        seeds: seeds.to_vec(),
        ..R1Options::default()
    };
    assert_eq!(options(None, None, &[]).outs(), [PathBuf::from("runs/r1-tiny/seed0")]);
    assert_eq!(options(Some("some/recipes"), None, &[3]).outs(), [PathBuf::from("runs/recipes/seed3")]);
    let two = options(Some("some/recipes"), Some("there"), &[1, 2]).outs();
    assert_eq!(two, ["there/seed1", "there/seed2"].map(PathBuf::from));
}
