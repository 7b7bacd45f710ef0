//! The works that have a peer or a target: what is run, in turn, and what is asked of it.

use super::command;
use super::options::Extent;
use super::records::{Outcome, Record, Run};
use std::ffi::OsString;
use std::path::Path;

/// The column of the peer.
pub(super) const PEER: &str = "peer";

/// A work at a fixed shape.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) id: &'static str,
    /// The name in the table.
    pub(super) title: &'static str,
    pub(super) sides: Vec<Side>,
    /// The peer's program and its arguments.
    peer: (&'static str, Vec<OsString>),
    /// Why nothing of it can be measured here.
    impossible: Option<&'static str>,
}

/// A variant of ours.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) name: &'static str,
    args: Vec<OsString>,
    pub(super) targets: Vec<Target>,
}

/// What is asked, against the peer in the same round or against the machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    /// At least so many times the peer's tokens a second.
    Speed(f64),
    /// At most this share of the peer's memory.
    Memory(f64),
    /// At least this share of the machine's ceiling.
    Ceiling(f64),
}

/// All of them, at the shapes that the page speaks of. `model` is SmolLM2's folder; GRPO needs its tokenizer.
pub(super) fn works(model: &Path, extent: Extent) -> Vec<Work> {
    let (llama, moe) = (Path::new("bench/llama-7m"), Path::new("bench/moe-27m"));
    let shape = |full: &'static str, quick: &'static str| if extent == Extent::Full { full } else { quick };
    let train = |id, title, model: &Path, full, targets| {
        let shape = shape(full, "--batch 2 --tokens 16 --steps 2");
        let side = Side { name: "f32", args: arguments("bench train --model", model, shape), targets };
        let peer = ("peer_train_step.py", arguments("", model, shape));
        Work { id, title, sides: vec![side], peer, impossible: None }
    };
    let generate = |id, title, full, variants: &[(&'static str, &str, f64)]| {
        let shape = shape(full, "--batch 2 --prompt-tokens 8 --new-tokens 4");
        let side = |&(name, flags, times): &(&'static str, &str, f64)| Side {
            name,
            args: arguments("bench generate --repeats 1 --model", model, &format!("{shape} {flags}")),
            targets: vec![Target::Speed(times)],
        };
        let peer = ("peer_generate.py", arguments("", model, shape));
        Work { id, title, sides: variants.iter().map(side).collect(), peer, impossible: None }
    };
    let grpo = |id, title, full, targets| {
        let shape = shape(full, "--prompts 2 --generations 2 --max-completion 8 --steps 2");
        let args = |flags| {
            arguments("bench grpo --tasks bench/tasks.jsonl --model", model, &format!("{shape} {flags}"))
        };
        let peer = ("peer_grpo.py", arguments("", model, &format!("bench/tasks.jsonl {shape}")));
        let lacks_tokenizer = !crate::root().join(model).join("tokenizer.json").exists();
        let impossible =
            lacks_tokenizer.then_some("--model DIR with SmolLM2's tokenizer and weights is needed");
        let sides = vec![
            Side { name: "f32", args: args(""), targets },
            Side { name: "f32 without fused forms", args: args("--composed"), targets: Vec::new() },
        ];
        Work { id, title, sides, peer, impossible }
    };
    vec![
        train(
            "train-llama-7m",
            "train step, Llama 6.8M, 16 x 128",
            llama,
            "--batch 16 --tokens 128 --steps 6",
            vec![Target::Speed(1.3)],
        ),
        train(
            "train-moe-27m",
            "train step, mixture 26M, 16 x 128",
            moe,
            "--batch 16 --tokens 128 --steps 6",
            vec![Target::Speed(3.0)],
        ),
        train(
            "train-smollm2",
            "train step, SmolLM2-135M, 8 x 128",
            model,
            "--batch 8 --tokens 128 --steps 3",
            vec![Target::Speed(1.3), Target::Ceiling(0.65)],
        ),
        generate(
            "generate-32",
            "generate, SmolLM2-135M, 32 x 128",
            "--batch 32 --prompt-tokens 32 --new-tokens 128",
            &[("f32", "", 3.0), ("bf16", "--dtype bfloat16", 5.0), ("int8", "--dtype int8", 5.0)],
        ),
        generate(
            "generate-1",
            "generate, SmolLM2-135M, 1 x 64",
            "--batch 1 --prompt-tokens 32 --new-tokens 64",
            &[("f32", "", 2.0), ("bf16", "--dtype bfloat16", 2.0), ("int8", "--dtype int8", 2.0)],
        ),
        grpo(
            "grpo-smollm2",
            "GRPO step, SmolLM2-135M, 4 x 8 x 64",
            "--prompts 4 --generations 8 --max-completion 64 --steps 2",
            vec![Target::Speed(4.0), Target::Memory(1.0 / 3.0)],
        ),
    ]
}

/// Words before a folder, the folder, words after it.
fn arguments(before: &str, folder: &Path, after: &str) -> Vec<OsString> {
    let words = |text: &str| text.split_whitespace().map(OsString::from).collect::<Vec<_>>();
    words(before).into_iter().chain([folder.as_os_str().to_owned()]).chain(words(after)).collect()
}

/// Runs peer and variants in turn, round after round, so that a machine that changes its speed changes that of all.
pub(super) fn measure(works: &[Work], binary: &Path, python: Option<&Path>, extent: Extent) -> Vec<Record> {
    let rounds = if extent == Extent::Full { 2 } else { 1 };
    let mut records = Vec::new();
    for work in works {
        if let Some(why) = work.impossible {
            eprintln!("NOT MEASURED: {}: {why}", work.title);
            let outcome = Outcome::NotMeasured(why.to_owned());
            records.extend(work.sides.iter().map(|side| record(work, side.name, outcome.clone())));
            continue;
        }
        let mut absent = python.is_none().then(|| Outcome::NotMeasured("no --peer".to_owned()));
        for round in 1..=rounds {
            eprintln!("==> {}, round {round} of {rounds}", work.title);
            let (script, args) = &work.peer;
            let outcome = match (&absent, python) {
                (None, Some(python)) => command::peer(python, script, args),
                (absent, _) => absent.clone().unwrap_or(Outcome::NotMeasured("no --peer".to_owned())),
            };
            if matches!(outcome, Outcome::NotMeasured(_)) {
                absent = Some(outcome.clone()); // it will not come in the next round
            }
            records.push(record(work, PEER, outcome));
            for side in &work.sides {
                records.push(record(work, side.name, command::row(binary, &side.args, None)));
            }
        }
    }
    records
}

fn record(work: &Work, side: &str, outcome: Outcome) -> Record {
    Record::Run(Run { work: work.id.to_owned(), side: side.to_owned(), outcome })
}

#[cfg(test)]
mod tests {
    use super::works;
    use crate::benchmarks::options::Extent;
    use std::path::Path;

    #[test]
    fn a_model_without_a_tokenizer_takes_no_part_in_grpo() {
        let impossible = |model: &Path| -> Vec<&str> {
            works(model, Extent::Full).iter().filter(|w| w.impossible.is_some()).map(|w| w.id).collect()
        };
        assert_eq!(impossible(Path::new("bench/smollm2-135m")), ["grpo-smollm2"]);
        let folder = std::env::temp_dir().join(format!("ruminate-works-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("tokenizer.json"), "{}").expect("written");
        assert_eq!(impossible(&folder), [""; 0]);
        std::fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn both_sides_get_the_same_shape() {
        for work in works(Path::new("bench/smollm2-135m"), Extent::Full) {
            let value = |args: &[std::ffi::OsString], flag: &str| {
                args.iter().position(|arg| arg == flag).map(|at| args[at + 1].clone())
            };
            for flag in
                ["--batch", "--tokens", "--prompt-tokens", "--new-tokens", "--prompts", "--max-completion"]
            {
                for side in &work.sides {
                    assert_eq!(value(&side.args, flag), value(&work.peer.1, flag), "{} {flag}", work.id);
                }
            }
        }
    }
}
