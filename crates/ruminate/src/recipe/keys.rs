//! Which keys of a recipe each command reads, in one list. A key that the command would ignore is refused; the run's identity
//! holds the keys that it reads and no others. It does not know what the values mean.

use super::Layers;
use crate::error::Refusal;
use anyhow::Result;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use toml::Table;

/// What a command reads of a recipe.
struct Reads {
    command: &'static str,
    /// Keys by their path. A table stands for all keys in it.
    keys: &'static [&'static str],
}

/// All commands that run a recipe. A new key goes into the list of each command that reads it; a test finds one that is in none.
const READS: [Reads; 5] = [
    Reads {
        command: "pretrain",
        keys: &[
            "seed",
            "model",
            "threads",
            "data.task",
            "data.params",
            "data.tasks",
            "data.mix",
            "data.split",
            "data.eval",
            "data.corpus",
            "data.bad_lines",
            "pretrain",
            "lora", // to refuse it with the reason
            "eval.n",
            "log",
            "save",
        ],
    },
    Reads {
        command: "sft",
        keys: &[
            "seed",
            "model",
            "threads",
            "data.train",
            "data.eval",
            "data.split.validation",
            "data.bad_lines",
            "data.columns",
            "data.prompt",
            "data.system",
            "data.template",
            "data.shots",
            "sft",
            "lora",
            "log",
            "save",
        ],
    },
    Reads {
        command: "train-rl",
        keys: &[
            "seed",
            "model",
            "preset",
            "max_steps",
            "num_train_epochs",
            "threads",
            "data",
            "pretrain",
            "train",
            "rollout",
            "fleet",
            "grpo",
            "lora",
            "reward",
            "eval",
            "alarms",
            "log",
            "save",
        ],
    },
    Reads {
        command: "distill",
        keys: &[
            "seed",
            "model",
            "preset",
            "max_steps",
            "num_train_epochs",
            "threads",
            "data",
            "pretrain",
            "sft",
            "train",
            "rollout",
            "fleet",
            "grpo",
            "lora",
            "reward",
            "distill",
            "eval",
            "alarms",
            "log",
            "save",
        ],
    },
    Reads {
        command: "eval",
        keys: &[
            "seed",
            "model",
            "threads",
            "data.task",
            "data.params",
            "data.tasks",
            "data.split",
            "data.train",
            "data.eval",
            "data.bad_lines",
            "data.columns",
            "data.prompt",
            "data.system",
            "data.template",
            "data.shots",
            "rollout.max_new_tokens",
            "rollout.stop",
            "rollout.bad_words",
            "rollout.thought_prefix",
            "rollout.thinking_budget",
            "rollout.thought_end",
            "rollout.kv_cache_memory_gib",
            "rollout.max_num_batched_tokens",
            "rollout.speculative",
            "rollout.max_num_seqs",
            "reward",
            "eval.n",
            "eval.num_samples",
            "eval.settings",
            "eval.temperature",
            "eval.top_p",
            "eval.empty_thought",
            "eval.self_check",
            "eval.languages",
        ],
    },
];

/// Tables of other commands, of which a command reads one key.
const BORROWED: [(&str, &str); 1] = [("pretrain", "eval")];

/// What is probably meant by a key that a command does not read.
const MEANT: [(&str, &str, &str); 11] = [
    ("sft", "max_steps", "sft.max_steps"),
    ("sft", "num_train_epochs", "sft.num_train_epochs"),
    ("sft", "train", "sft"),
    ("sft", "pretrain", "sft"),
    ("sft", "grpo.eval_steps", "sft.eval_steps"),
    ("pretrain", "max_steps", "pretrain.max_steps"),
    ("pretrain", "train", "pretrain"),
    ("pretrain", "sft", "pretrain"),
    ("pretrain", "grpo.eval_steps", "pretrain.eval_steps"),
    ("eval", "rollout.temperature", "eval.temperature"),
    ("eval", "rollout.top_p", "eval.top_p"),
];

/// Whether a command reads a key, or of a table some key in it.
pub(crate) fn is_read(command: &str, key: &str) -> bool {
    reads(command, key, |key, read| is_within(key, read) || is_within(read, key))
}

/// What of a resolved recipe a command reads.
pub(crate) fn only_read(command: &str, recipe: &Value) -> Value {
    fn keep(command: &str, prefix: &str, table: &Map<String, Value>) -> Map<String, Value> {
        let kept = table.iter().filter_map(|(name, value)| {
            let key = path(prefix, name);
            if reads(command, &key, is_within) {
                return Some((name.clone(), value.clone()));
            }
            let inner = value.as_object().filter(|_| is_read(command, &key))?;
            Some((name.clone(), Value::Object(keep(command, &key, inner))))
        });
        kept.collect()
    }
    recipe.as_object().map_or_else(|| recipe.clone(), |table| Value::Object(keep(command, "", table)))
}

/// Refuses what would have no effect: a key of `--set` that the command does not read, and a key that the recipe file
/// states for no command. A file may serve several commands: then it holds a table of which this one reads nothing.
///
/// # Errors
/// With exit code 2, for the first such key.
pub(crate) fn refuse_unread(command: &str, layers: &Layers, sets: &[String]) -> Result<()> {
    for set in sets {
        if let Some(key) = keys_of(set).into_iter().find(|key| !is_read(command, key)) {
            return Err(no_effect(command, &key));
        }
    }
    if layers.resolved {
        return Ok(()); // a `config.json` states every key
    }
    let stated = &layers.stated;
    let served = |key: &str| {
        let of_another = |table: &str| !is_read(command, table) || BORROWED.contains(&(command, table));
        let reader = |other: &&Reads| is_read(other.command, key);
        READS.iter().filter(reader).any(|other| {
            stated
                .iter()
                .any(|(name, value)| value.is_table() && of_another(name) && is_read(other.command, name))
        })
    };
    match leaves(stated).into_iter().find(|key| !is_read(command, key) && !served(key)) {
        Some(key) => Err(no_effect(command, &key)),
        None => Ok(()),
    }
}

/// The overrides whose key a command reads.
pub(crate) fn where_read<'a>(command: &str, sets: &'a [String]) -> impl Iterator<Item = &'a String> {
    sets.iter().filter(move |set| keys_of(set).iter().all(|key| is_read(command, key)))
}

/// Whether an override states a key.
pub(crate) fn is_set(sets: &[String], key: &str) -> bool {
    sets.iter().flat_map(|set| keys_of(set)).any(|set| is_within(&set, key) || is_within(key, &set))
}

fn no_effect(command: &str, key: &str) -> anyhow::Error {
    let meant = MEANT.iter().find(|(of, unread, _)| *of == command && is_within(key, unread));
    let meant = meant.map(|(_, unread, meant)| format!("`{meant}{}` is meant, or ", &key[unread.len()..]));
    let readers: Vec<&str> =
        READS.iter().filter(|other| is_read(other.command, key)).map(|other| other.command).collect();
    let readers = match readers.split_last() {
        None => "no command reads it".to_owned(),
        Some((last, [])) => format!("`{last}` reads it"),
        Some((last, others)) => format!("`{}` and `{last}` read it", others.join("`, `")),
    };
    Refusal::usage(format!(
        "`{key}` has no effect under `{command}`; {}remove it ({readers})",
        meant.unwrap_or_default()
    ))
}

/// What a command reads. One that runs no recipe itself, but looks at it, reads all of it.
fn reads(command: &str, key: &str, matches: fn(&str, &str) -> bool) -> bool {
    let list = READS.iter().find(|reads| reads.command == command);
    list.is_none_or(|reads| reads.keys.iter().any(|read| matches(key, read)))
}

/// The keys that an override states: its path, or those of a table that it gives as a whole.
fn keys_of(set: &str) -> Vec<String> {
    let Some((key, value)) = set.split_once('=') else { return Vec::new() }; // refused where it is applied
    let key: Vec<&str> = key.split('.').map(str::trim).collect();
    let key = key.join(".");
    match format!("value = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("value")) {
        Some(toml::Value::Table(table)) if !opaque(&key) && !table.is_empty() => {
            leaves(&table).into_iter().map(|inner| path(&key, &inner)).collect()
        }
        _ => vec![key],
    }
}

/// Tables whose keys are their owner's, and no keys of the recipe.
fn opaque(key: &str) -> bool {
    ["model", "distill.student", "data.params"].iter().any(|table| is_within(key, table))
}

/// The paths of a table's keys.
fn leaves(table: &Table) -> BTreeSet<String> {
    fn add(prefix: &str, table: &Table, found: &mut BTreeSet<String>) {
        for (name, value) in table {
            let key = path(prefix, name);
            match value {
                toml::Value::Table(inner) if !opaque(&key) && !inner.is_empty() => add(&key, inner, found),
                _ => drop(found.insert(key)),
            }
        }
    }
    let mut found = BTreeSet::new();
    add("", table, &mut found);
    found
}

fn path(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// Whether a key is the table or lies in it.
pub(super) fn is_within(key: &str, table: &str) -> bool {
    key.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;
    use crate::recipe::load::{known_keys, load};
    use std::fs;
    use std::path::Path;

    fn refusal(command: &str, recipe: &str, sets: &[&str]) -> Option<String> {
        let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
        let stated: Table = recipe.parse().expect("TOML");
        refuse_unread(command, &Layers { stated, ..Layers::default() }, &sets)
            .err()
            .map(|error| format!("{error:#}"))
    }

    fn all_keys() -> BTreeSet<String> {
        fn add(prefix: &str, value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(table) if !table.is_empty() => {
                    table.iter().for_each(|(name, value)| add(&path(prefix, name), value, found));
                }
                _ => drop(found.insert(prefix.to_owned())),
            }
        }
        let mut found = BTreeSet::new();
        add("", &Value::Object(known_keys().expect("the defaults serialise")), &mut found);
        found
    }

    #[test]
    fn every_key_is_read_by_some_command_and_no_list_has_a_key_that_is_none() {
        let keys = all_keys();
        assert!(keys.len() > 100 && keys.contains("grpo.num_generations") && keys.contains("lora.r"));
        for key in &keys {
            assert!(
                READS.iter().any(|reads| is_read(reads.command, key)),
                "no command reads `{key}`: add it to the lists of those that do"
            );
        }
        let is_key = |read: &str| keys.iter().any(|key| is_within(key, read));
        for Reads { command, keys } in &READS {
            for read in *keys {
                assert!(is_key(read), "{command} lists `{read}`, which is no key");
                let twice = keys.iter().filter(|other| is_within(read, other)).count();
                assert_eq!(twice, 1, "{command} lists `{read}` twice");
            }
        }
        for (command, key, meant) in MEANT {
            assert!(!is_read(command, key) && is_read(command, meant), "{command}: {key}");
            assert!(is_key(key) && is_key(meant), "{command}: {key}");
        }
    }

    #[test]
    fn an_override_that_the_command_does_not_read_is_refused_with_what_is_meant() {
        for (command, set, says) in [
            (
                "sft",
                "pretrain.eval_steps=5",
                "`pretrain.eval_steps` has no effect under `sft`; `sft.eval_steps` is meant",
            ),
            ("sft", "max_steps=3", "`sft.max_steps` is meant"),
            ("sft", "rollout.temperature=0.5", "`train-rl` and `distill` read it"),
            ("sft", "data.task=gcd", "`data.task` has no effect under `sft`"),
            ("sft", "data={ task = 'gcd', train = 'a' }", "`data.task` has no effect"),
            ("pretrain", "train.learning_rate=1", "`pretrain.learning_rate` is meant"),
            ("pretrain", "data.train=a.jsonl", "data.train"),
            ("eval", "rollout.temperature=0.6", "`eval.temperature` is meant"),
            ("eval", "eval.completions_steps=1", "eval.completions_steps"),
            ("train-rl", "sft.max_steps=3", "`sft` and `distill` read it"),
            ("train-rl", "distill.prompts=3", "`distill` reads it"),
        ] {
            let message = refusal(command, "", &[set]).unwrap_or_else(|| panic!("{command} took {set}"));
            assert!(message.contains(says), "{message}");
        }
        for (command, set) in [
            ("sft", "sft.eval_steps=5"),
            ("sft", "model={ model_type = 'llama' }"),
            ("sft", "data.split={ validation = 0.2 }"),
            ("pretrain", "data.params.terms=3"),
            ("eval", "rollout.max_new_tokens=3"),
            ("distill", "max_steps=3"),
        ] {
            assert_eq!(refusal(command, "", &[set]), None, "{command} {set}");
        }
    }

    #[test]
    fn a_recipe_for_several_commands_keeps_its_tables_and_one_for_this_command_has_no_dead_key() {
        let several = "max_steps = 5\n[data]\ntask = 'gcd'\nmix = { direct = 1 }\n[pretrain]\nmax_steps = 2\n[grpo]\nbeta = 0\n[sft]\nmax_steps = 3";
        for command in ["pretrain", "sft", "train-rl", "distill", "eval"] {
            assert_eq!(refusal(command, several, &[]), None, "{command}");
        }
        let alone = "max_steps = 5\n[data]\ntrain = 'a.jsonl'\n[sft]\neval_steps = 3";
        let message = refusal("sft", alone, &[]).expect("nothing else in it is of train-rl");
        assert!(
            message.contains("`max_steps` has no effect under `sft`; `sft.max_steps` is meant"),
            "{message}"
        );
        let message = refusal("eval", "[rollout]\ntemperature = 0.6\n[eval]\nn = 3", &[]).expect("ignored");
        assert!(message.contains("`eval.temperature` is meant"), "{message}");
    }

    #[test]
    fn the_recipes_of_the_repository_have_no_dead_key_under_their_commands() {
        let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
        let check = |command: &str, recipe: &Path| {
            let layers = load(Some(recipe), &[]).expect("valid").layers;
            refuse_unread(command, &layers, &[])
                .unwrap_or_else(|error| panic!("{}: {error:#}", recipe.display()));
        };
        for name in
            ["ci", "gsm8k", "lora-24gb", "qwen2.5-0.5b-countdown", "smollm2-sums", "smollm2-sums-lora"]
        {
            check("train-rl", &recipes.join(format!("{name}.toml")));
            check("eval", &recipes.join(format!("{name}.toml")));
        }
        check("distill", &recipes.join("smollm2-sums-distill.toml"));
        for folder in ["r1-tiny", "ci-r1"] {
            let folder = recipes.join(folder);
            let graph: Table =
                fs::read_to_string(folder.join("graph.toml")).expect("a graph").parse().expect("TOML");
            let stages = graph["stage"].as_array().expect("stages");
            for stage in stages {
                let text = |key: &str| stage[key].as_str().expect("a text");
                check(text("command"), &folder.join(text("recipe")));
            }
            check("eval", &folder.join(graph["evaluate"]["recipe"].as_str().expect("a text")));
        }
    }

    #[test]
    fn what_is_read_is_cut_out_of_a_recipe() {
        let recipe = serde_json::to_value(Recipe::default()).expect("JSON");
        let read = only_read("sft", &recipe);
        let keys = |value: &Value| value.as_object().expect("a table").keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&read), ["seed", "model", "threads", "data", "sft", "save"]);
        assert_eq!(keys(&read["data"]), ["split", "train", "eval", "bad_lines", "prompt"]);
        assert_eq!(keys(&read["data"]["split"]), ["validation"]);
        assert_eq!(only_read("distill", &recipe), recipe);
        assert_eq!(only_read("doctor", &recipe), recipe, "it looks at recipes for every command");
    }
}
