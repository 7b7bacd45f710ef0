//! A hunt for lost data: random commands with a random `--out` among everything that may lie there, in a folder full of
//! runs, models and files of the user. Whatever a command says, no file may be gone or changed but those that its own
//! earlier run lists, and the one that the user named.
//!
//! 200 cases by default; `RUMINATE_HUNT_CASES=5000 cargo test -p ruminate-cli --test hunt` runs more, and
//! `RUMINATE_HUNT_SEED=7` other ones. A failure prints its case.

mod common;

use common::world::{KINDS, World, snapshot, write};
use common::{command, fixture, told};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a case did: the command and where it was to write.
struct Case {
    command: &'static str,
    out: PathBuf,
    output: Output,
    args: Vec<String>,
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

fn one_of<T: Copy>(random: &mut StdRng, all: &[T]) -> T {
    all[random.random_range(0..all.len())]
}

/// A place to write to: one of the kinds, something in it or below it, or a new name.
fn place(random: &mut StdRng, world: &World, is_file: bool) -> PathBuf {
    let kind = world.path(one_of(random, &KINDS));
    let inside = [
        "final",
        "checkpoints",
        "base",
        "report.html",
        "metrics.jsonl",
        "notes.txt",
        "config.json",
        "new",
        "..",
    ];
    match random.random_range(0..10) {
        0..6 => kind,
        6..9 => kind.join(one_of(random, &inside)),
        // New folders train, which takes seconds: most are for files.
        _ if is_file || random.random_bool(0.1) => world.path("new/one"),
        _ => world.path("."),
    }
}

fn case(random: &mut StdRng, world: &World) -> Case {
    const RUNS: [&str; 5] = ["train-rl", "pretrain", "sft", "eval", "distill"];
    const FILES: [&str; 4] = ["generate", "score", "verify", "report"];
    let is_file = random.random_bool(0.4);
    let out = place(random, world, is_file);
    let (model, lines, prompts) = (
        fixture("llama_tied").display().to_string(),
        world.name("data/lines.jsonl"),
        world.name("data/prompts.jsonl"),
    );
    let mut args: Vec<String>;
    let what: &'static str;
    if is_file {
        what = one_of(random, &FILES);
        let (given, flag): (Vec<&str>, &str) = match what {
            "generate" => (vec!["--model", &model, "--max-new-tokens", "1", "--input", &prompts], "--output"),
            "score" => (vec!["--model", &model, "--input", &prompts], "--output"),
            "verify" => (vec!["--input", &lines], "--output"),
            _ => (vec![], "--out"),
        };
        args = vec![what.to_owned()];
        if what == "report" {
            args.push(world.path(one_of(random, &KINDS)).display().to_string());
        }
        args.extend(given.into_iter().chain([flag]).map(str::to_owned));
    } else if random.random_bool(0.15) {
        what = one_of(random, &["merge", "import"]);
        args = vec![what.to_owned(), world.path(one_of(random, &KINDS)).display().to_string()];
    } else {
        what = one_of(random, &RUNS);
        let changed = [&[][..], &["seed=5"], &["max_steps=3"], &["pretrain.learning_rate=1e-4"]];
        args = world.args(what, one_of(random, &changed));
        if random.random_bool(0.1) {
            args.insert(1, world.path(one_of(random, &KINDS)).join("recipe.toml").display().to_string());
        }
        match random.random_range(0..6) {
            0 => args.extend(["--resume".into(), "auto".into()]),
            1 => args.extend(["--resume".into(), world.path(one_of(random, &KINDS)).display().to_string()]),
            2 => args.extend(["--resume".into(), "auto".into(), "--allow-changed".into()]),
            _ => {}
        }
        args.push("--out".into());
    }
    args.push(out.display().to_string());
    let mut process = command(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let output = process.current_dir(world.root()).output().expect("the binary starts");
    Case { command: what, out, output, args }
}

/// Every file and folder below `path` with what tells that it was touched; contents are for [`snapshot`].
fn glance(path: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![path.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("readable") {
            let path = entry.expect("an entry").path();
            let metadata = path.symlink_metadata().expect("there");
            found.insert(path.clone(), format!("{:?} {}", metadata.modified().ok(), metadata.len()));
            if metadata.is_dir() {
                open.push(path);
            }
        }
    }
    found
}

/// Whether a command may change or remove a file: the one that it was told to write, or one that an earlier run of it
/// wrote, in its folder or in that of a stage.
fn is_listed(case: &Case, path: &Path, made: &BTreeMap<PathBuf, serde_json::Value>) -> bool {
    let resolved = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if ["generate", "score", "verify", "report"].contains(&case.command) {
        return resolved(&case.out) == resolved(path);
    }
    let out = resolved(&case.out);
    path.ancestors().skip(1).any(|folder| {
        let is_run = made.get(folder).is_some_and(|made| made["command"] == case.command);
        let relative = path.strip_prefix(folder).unwrap_or(path);
        is_run
            && resolved(folder).starts_with(&out)
            && (ruminate_run::is_run_file(relative) || relative == Path::new(".lock"))
    })
}

/// Who made which folder, before the command.
fn makers(world: &World, before: &BTreeMap<PathBuf, String>) -> BTreeMap<PathBuf, serde_json::Value> {
    let markers = before.keys().filter(|path| path.file_name().is_some_and(|name| name == "run.json"));
    let mut made: BTreeMap<PathBuf, serde_json::Value> = markers
        .filter_map(|path| {
            let made = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
            Some((path.parent()?.to_owned(), made))
        })
        .collect();
    made.insert(world.path("old"), serde_json::json!({ "command": "train-rl" }));
    made
}

#[test]
fn no_command_loses_what_it_did_not_make() {
    let (cases, seed) = (number("RUMINATE_HUNT_CASES", 200), number("RUMINATE_HUNT_SEED", 0));
    let pristine = World::new();
    write(
        &pristine.path("data/prompts.jsonl"),
        "{\"prompt_ids\": [3, 4], \"completion_ids\": [5], \"kind\": \"format\", \"completion\": \"\"}\n",
    );
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let hunt = || {
        let mut world = pristine.twin();
        let (mut seen, mut before) = (glance(world.root()), snapshot(world.root()));
        let mut made = makers(&world, &before);
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed) as u64;
            if number >= cases {
                return;
            }
            let mut random = StdRng::seed_from_u64(seed.wrapping_mul(1 << 32).wrapping_add(number));
            let case = case(&mut random, &world);
            let what = format!(
                "case {number} of seed {seed}: ruminate {}\n{}",
                case.args.join(" "),
                told(&case.output)
            );
            let code = case.output.status.code();
            assert!(matches!(code, Some(0 | 2 | 3 | 4 | 7)), "{code:?}, {what}");
            if glance(world.root()) == seen {
                continue;
            }
            let after = snapshot(world.root());
            done.fetch_add(1, Ordering::Relaxed);
            for path in before.keys().filter(|path| before.get(*path) != after.get(*path)) {
                assert!(is_listed(&case, path, &made), "{} is gone or changed, {what}", path.display());
            }
            // A refusal leaves nothing behind either, unless it is that of a checkpoint.
            if code == Some(2) && !case.args.iter().any(|arg| arg == "--resume") {
                let new: Vec<&PathBuf> = after.keys().filter(|path| !before.contains_key(*path)).collect();
                assert!(new.is_empty(), "{new:?} is new, {what}");
            }
            world = pristine.twin();
            (seen, before) = (glance(world.root()), snapshot(world.root()));
            made = makers(&world, &before);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(hunt);
        }
    });
    assert!(done.load(Ordering::Relaxed) as u64 > cases / 50, "hardly a command did anything");
}
