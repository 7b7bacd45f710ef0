//! From sparse TOML to a checked [`Recipe`]: the file (or the embedded default), what it extends, then `--set`.
//! A key that is not read is an error that names the nearest one.

use super::layers::{Layers, put, remove};
use super::{Log, Recipe, epochs, foreign, paths, preset};
use crate::error::Refusal;
use anyhow::{Context, Result};
use ruminate_data::nearest;
use ruminate_grpo as grpo;
use ruminate_model::lora;
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;
use toml::Table;

/// What every command runs without a recipe.
pub(crate) const DEFAULT: &str = include_str!("../../recipes/default.toml");

/// Recipes that extend each other in a circle end here.
const MAX_DEPTH: usize = 8;

/// Keys of a run folder's `config.json` that say what the run was made with.
pub(crate) const RUN_KEYS: [&str; 5] = ["command", "device", "versions", "git_commit", "inputs"];

/// A recipe with where it came from.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Whole.
    pub(crate) recipe: Recipe,
    /// Who said what.
    pub(crate) layers: Layers,
}

/// Reads and checks.
#[cfg(test)]
pub(crate) fn load(path: Option<&Path>, sets: &[String]) -> Result<Loaded> {
    let loaded = read(path, sets)?;
    loaded.recipe.validate().with_context(|| loaded.layers.origin.clone())?;
    Ok(loaded)
}

/// Reads, merges, overrides. Ranges are checked later: what only the embedded default states may yet be replaced.
///
/// # Errors
/// With exit code 2: bad TOML, an unknown key, a wrong type.
pub(crate) fn read(path: Option<&Path>, sets: &[String]) -> Result<Loaded> {
    let mut layers = match path {
        None => Layers {
            merged: DEFAULT.parse().context("the embedded recipe")?,
            origin: "the embedded recipe".to_owned(),
            ..Layers::default()
        },
        Some(path) => {
            let folder = path.parent().map(Path::to_owned).unwrap_or_default();
            let mut text = text_of(path)?;
            let name = path.display().to_string();
            let resolved = path.extension().is_some_and(|extension| extension == "json");
            if resolved {
                text = resolved_recipe(&text).with_context(|| name.clone())?;
            }
            let (merged, stated) = parse(&text, &folder, 0).with_context(|| name.clone())?;
            Layers { merged, stated, resolved, origin: name, ..Layers::default() }
        }
    };
    for set in sets {
        apply(&mut layers, set).with_context(|| format!("--set {set}"))?;
    }
    epochs::one_of_both(&mut layers).with_context(|| layers.origin.clone())?;
    preset::fill(&mut layers).with_context(|| layers.origin.clone())?;
    let recipe = typed(layers.merged.clone()).with_context(|| layers.origin.clone())?;
    Ok(Loaded { recipe, layers })
}

/// The checked recipe of a table; `name` stands before what is wrong with it.
///
/// # Errors
/// As [`read`], and for a value out of range.
pub(crate) fn checked(table: &Table, name: &str) -> Result<Recipe> {
    let recipe = typed(table.clone()).with_context(|| name.to_owned())?;
    recipe.validate().with_context(|| name.to_owned())?;
    Ok(recipe)
}

/// The recipe in a run folder's `config.json`, as TOML: without what the run was made with, which is no recipe's.
fn resolved_recipe(text: &str) -> Result<String> {
    let mut config: Map<String, Value> = serde_json::from_str(text)
        .map_err(|error| Refusal::usage(format!("expected the `config.json` of a run folder: {error}")))?;
    for key in RUN_KEYS {
        config.shift_remove(key);
    }
    let mut config = Value::Object(config);
    drop_nulls(&mut config);
    Ok(toml::to_string(&config)?)
}

/// Removes keys without a value, which TOML cannot write.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(keys) => {
            keys.retain(|_, value| !value.is_null());
            keys.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// A recipe's text and everything that it extends as one table; and the same without the embedded default.
fn parse(text: &str, folder: &Path, depth: usize) -> Result<(Table, Table)> {
    let mut table: Table = text.parse()?;
    paths::beside(&mut table, folder);
    let Some(base) = table.remove("extends") else { return Ok((table.clone(), table)) };
    let base = base.as_str().ok_or_else(|| {
        Refusal::usage("`extends`: expected \"default\" or the path of a recipe, relative to this one")
    })?;
    if depth == MAX_DEPTH {
        return Err(Refusal::usage(format!(
            "more than {MAX_DEPTH} recipes extend each other; is it a circle?"
        )));
    }
    let (mut merged, mut stated) = if base == "default" {
        (DEFAULT.parse()?, Table::new())
    } else {
        let path = folder.join(base);
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        parse(&text_of(&path)?, &folder, depth + 1).with_context(|| path.display().to_string())?
    };
    merge(&mut merged, table.clone());
    merge(&mut stated, table);
    Ok((merged, stated))
}

fn text_of(path: &Path) -> Result<String> {
    fs::read_to_string(path)
        .map_err(|error| Refusal::usage(format!("cannot read the recipe {}: {error}", path.display())))
}

/// Lays `over` on `base`, key by key.
fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            // Two architectures do not mix: a table that names its family stands for itself.
            (Some(toml::Value::Table(below)), toml::Value::Table(above))
                if !above.contains_key("model_type") =>
            {
                merge(below, above);
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// `key.path=value`: the value as TOML, else as text; without a value the key is removed, and has its default.
fn apply(layers: &mut Layers, set: &str) -> Result<()> {
    let (path, text) =
        set.split_once('=').ok_or_else(|| Refusal::usage("expected KEY.PATH=VALUE, found no `=`"))?;
    let keys: Vec<&str> = path.split('.').map(str::trim).collect();
    if keys.iter().any(|key| key.is_empty()) {
        return Err(Refusal::usage(format!("expected a key before `=`, found {path:?}")));
    }
    let path = keys.join(".");
    if text.trim().is_empty() {
        let mut probe = Table::new();
        put(&mut probe, &path, toml::Value::Boolean(true));
        refuse_unknown(&probe, &known_keys()?, "")?;
        remove(&mut layers.merged, &path);
        remove(&mut layers.stated, &path);
        remove(&mut layers.sets, &path);
        layers.removed.push(path);
        return Ok(());
    }
    layers.removed.retain(|gone| *gone != path);
    for table in [&mut layers.merged, &mut layers.stated, &mut layers.sets] {
        put(table, &path, set_value(text));
    }
    Ok(())
}

/// A value as `--set` takes it: TOML, or else a text.
pub(crate) fn set_value(text: &str) -> toml::Value {
    let parsed = format!("value = {text}").parse::<Table>().ok();
    let alone = parsed.filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    alone.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

/// The recipe of a table.
fn typed(table: Table) -> Result<Recipe> {
    refuse_unknown(&table, &known_keys()?, "")?;
    let recipe = toml::Value::Table(table).try_into();
    recipe.map_err(|error: toml::de::Error| Refusal::usage(error.to_string().trim().replace('\n', ", ")))
}

/// All keys. The defaults written out are the list, so that it cannot go stale.
pub(crate) fn known_keys() -> Result<Map<String, Value>> {
    let mut known = serde_json::to_value(Recipe::default()).context("the default recipe serialises")?;
    known["lora"] = lora_keys()?; // absent by default
    known["fleet"] =
        serde_json::to_value(ruminate_fleet::Config::default()).context("the default fleet serialises")?;
    known["log"] = serde_json::to_value(Log::default()).context("the default logger serialises")?;
    known["rollout"]["engine"] = Value::Null;
    // Not written while they are absent.
    known["preset"] = Value::Null;
    known["num_train_epochs"] = Value::Null;
    for (table, keys) in [
        ("data", &["columns", "system", "shots", "template"][..]),
        ("distill", &["remote_engine"]),
        ("grpo", grpo::Config::keys()),
        ("rollout", &ROLLOUT),
        ("eval", &EVAL),
    ] {
        for key in keys {
            let values = known[table].as_object_mut().context("a table of the default recipe")?;
            values.entry(*key).or_insert(Value::Null);
        }
    }
    match known {
        Value::Object(known) => Ok(known),
        _ => Ok(Map::new()),
    }
}

/// Keys of `[rollout]` that are not written where they say nothing.
const ROLLOUT: [&str; 9] = [
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "stop",
    "bad_words",
    "thought_prefix",
    "thinking_budget",
    "thought_end",
];

/// The same of `[eval]`.
const EVAL: [&str; 5] = [
    "validation_steps",
    "validation_n",
    "metric_for_best_model",
    "early_stopping_patience",
    "early_stopping_threshold",
];

/// The keys of `[lora]`, with the other name that one of them has.
fn lora_keys() -> Result<Value> {
    let mut keys = serde_json::to_value(lora::Config::default()).context("the default adapters serialise")?;
    keys["alpha"] = keys["lora_alpha"].clone();
    Ok(keys)
}

/// An empty or absent table among the defaults takes any key: its owner checks them.
fn refuse_unknown(table: &Table, known: &Map<String, Value>, prefix: &str) -> Result<()> {
    for (key, value) in table {
        match (known.get(key), value) {
            (None, _) => {
                // TRL's configuration is flat: its keys stand in tables here.
                let elsewhere = foreign::elsewhere(&known_keys()?, key);
                let near =
                    nearest(key, known.keys().map(String::as_str)).map(|near| format!("`{prefix}{near}`"));
                let suggestion = match (foreign_advice(key, value), elsewhere.or(near)) {
                    (Some(advice), _) => format!("here {advice}"),
                    (None, Some(near)) => format!("did you mean {near}?"),
                    (None, None) => format!(
                        "expected one of {}",
                        known.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
                    ),
                };
                return Err(Refusal::usage(format!("unknown key `{prefix}{key}`; {suggestion}")));
            }
            (Some(Value::Object(known)), toml::Value::Table(table)) if !known.is_empty() => {
                refuse_unknown(table, known, &format!("{prefix}{key}."))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a key of another library is called here; of a table of theirs, its first key that is known.
fn foreign_advice(key: &str, value: &toml::Value) -> Option<&'static str> {
    let within = || value.as_table()?.iter().find_map(|(key, value)| foreign_advice(key, value));
    foreign::advice(key).or_else(within)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Model;
    use crate::recipe::write::recipe_text;

    fn refusal(sets: &[&str]) -> String {
        let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
        format!("{:#}", load(None, &sets).expect_err("refused"))
    }

    #[test]
    fn every_recipe_of_the_repository_is_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
        let mut count = 0;
        let entries = |folder: &Path| {
            fs::read_dir(folder).expect("recipes/ exists").map(|entry| entry.expect("entry").path())
        };
        let folders = entries(&folder)
            .filter(|path| path.is_dir())
            .flat_map(|folder| entries(&folder).collect::<Vec<_>>());
        for path in entries(&folder).chain(folders) {
            // A graph is no recipe: `xtask` reads it.
            let graph = path.file_name().is_some_and(|name| name == "graph.toml");
            if path.extension().is_some_and(|extension| extension == "toml") && !graph {
                load(Some(&path), &[]).unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
                count += 1;
            }
        }
        assert!(count >= 15, "found {count} recipes");
    }

    #[test]
    fn an_unknown_key_is_told_with_its_path_and_the_nearest_one() {
        let message = refusal(&["grpo.num_generation=4"]);
        assert!(message.contains("`grpo.num_generation`"), "{message}");
        assert!(message.contains("did you mean `grpo.num_generations`?"), "{message}");
        assert!(refusal(&["num_generations=4"]).contains("did you mean `grpo.num_generations`?"));
        let rates = refusal(&["learning_rate=1e-4"]);
        assert!(rates.contains("`train.learning_rate`") && rates.contains("`sft.learning_rate`"), "{rates}");
        assert!(refusal(&["grpo.max_steps=3"]).contains("`max_steps`"));
        assert!(refusal(&["sede=1"]).contains("did you mean `seed`?"));
        assert!(refusal(&["pretrain.learning_rat=1"]).contains("did you mean `pretrain.learning_rate`?"));
        assert!(refusal(&["data.mix.direkt=1"]).contains("did you mean `data.mix.direct`?"));
        assert!(refusal(&["model.hiden_size=8"]).contains("did you mean `model.hidden_size`?"));
        assert!(refusal(&["lora.rank=8"]).contains("did you mean `lora.r`?"));
        assert!(refusal(&["lora.target_module=[]"]).contains("did you mean `lora.target_modules`?"));
        assert!(refusal(&["zzzz=1"]).contains("expected one of seed, model"));
    }

    #[test]
    fn a_value_out_of_range_or_of_another_type_names_its_key() {
        for (set, says) in [
            ("train.learning_rate=-1", "learning_rate"),
            ("pretrain.batch_size=0", "batch_size"),
            ("eval.n=0", "n"),
            ("seed=true", "seed"),
            ("data.task=chain_som", "chain_sum"),
            ("data.params.terms=1", "terms"),
            ("rollout.temperature=-1", "temperature"),
            ("rollout.kv_cache_memory_gib=0", "kv_cache_memory_gib"),
            ("rollout.min_p=2", "min_p"),
            ("rollout.repetition_penalty=0", "repetition_penalty"),
            ("rollout.stop=['']", "`stop`"),
            ("rollout.bad_word=['a']", "did you mean `rollout.bad_words`"),
            ("rollout.max_num_batched_tokens=0", "max_num_batched_tokens"),
            ("model.hidden_size=0", "hidden_size"),
            ("max_steps=0", "max_steps"),
            ("lora.r=0", "lora.r"),
            ("lora.alpha=-1", "lora.lora_alpha"),
            ("lora.target_modules=[]", "lora.target_modules"),
            ("lora.target_modules=q_proj", "target_modules"),
            ("noequals", "KEY.PATH=VALUE"),
        ] {
            let message = refusal(&[set]);
            assert!(message.contains(says), "{set}: {message}");
        }
    }

    #[test]
    fn a_value_is_toml_or_else_text() {
        assert_eq!(set_value("3"), toml::Value::Integer(3));
        assert_eq!(set_value("[1, 2]").as_array().map(Vec::len), Some(2));
        assert_eq!(set_value("my.jsonl"), toml::Value::String("my.jsonl".into()));
        assert_eq!(set_value("1\nother = 2"), toml::Value::String("1\nother = 2".into()));
        let loaded = load(None, &["model=some/folder".into()]).expect("valid");
        assert_eq!(loaded.recipe.model, Some(Model::Folder("some/folder".into())));
        assert!(loaded.layers.sets("model") && !loaded.layers.sets("model.model_type"));
    }

    #[test]
    fn a_key_of_another_library_is_told_by_what_it_is_called_here() {
        for (set, says) in [
            ("rollout.max_completion_length=9", "`rollout.max_new_tokens`"),
            ("max_completion_length=9", "`rollout.max_new_tokens`"),
            ("train.warmup_ratio=0.1", "`train.warmup_steps`"),
            ("per_device_train_batch_size=8", "`grpo.prompts_per_step`"),
            ("grpo.num_train_epochs=2", "`sft.num_train_epochs`"),
            ("grpo.max_num_seqs=8", "`rollout.max_num_seqs`"),
            ("rollout.stop_strings=x", "`rollout.stop`"),
            ("actor_rollout_ref.rollout.n=8", "`grpo.num_generations`"),
        ] {
            let message = refusal(&[set]);
            assert!(message.contains("unknown key") && message.contains(says), "{set}: {message}");
        }
    }

    #[test]
    fn what_a_run_writes_as_its_recipe_is_the_same_recipe() {
        let folder = tempfile::tempdir().expect("a folder");
        let (base, path) = (folder.path().join("base.toml"), folder.path().join("a.toml"));
        fs::write(&base, "extends = 'default'\nseed = 7\n").expect("written");
        fs::write(&path, "extends = 'base.toml'\nmax_steps = 3\n").expect("written");
        let elsewhere = tempfile::tempdir().expect("a folder");
        let written = elsewhere.path().join("recipe.toml");
        let json = |recipe: &Recipe| serde_json::to_value(recipe).expect("JSON");
        for (recipe, sets) in [
            (None, vec![]),
            (None, vec!["grpo.beta=0.1", "data.params={terms=2}", "model=a/b"]),
            (Some(path.as_path()), vec![]),
            (Some(&path), vec!["model.hidden_size=32", "data.params={\nterms=2}"]),
        ] {
            let sets: Vec<String> = sets.into_iter().map(str::to_owned).collect();
            let first = load(recipe, &sets).expect("valid");
            fs::write(&written, recipe_text(&first.layers.merged, &|_| None)).expect("written");
            let again = load(Some(&written), &[]).expect("a recipe");
            assert_eq!(json(&again.recipe), json(&first.recipe), "{sets:?}");
        }
    }

    #[test]
    fn an_empty_value_takes_a_key_out() {
        let sets = |sets: &[&str]| sets.iter().map(ToString::to_string).collect::<Vec<String>>();
        let student = |given: &[&str]| load(None, &sets(given)).expect("valid").recipe.distill.student;
        assert!(student(&[]).is_some(), "else this test shows nothing");
        assert_eq!(student(&["distill.student="]), None);
        assert_eq!(student(&["distill.student=a/b", "distill.student= "]), None);
        let verifier = |given: &[&str]| load(None, &sets(given)).expect("valid").recipe.reward.verifier;
        assert_eq!(verifier(&["reward.verifier=format", "reward.verifier="]), verifier(&[]));
        assert!(refusal(&["distill.studnt="]).contains("did you mean `distill.student`?"));
    }

    #[test]
    fn a_key_without_a_value_is_removed_and_counts_as_stated() {
        let loaded = load(None, &["distill.student=".into(), "lora=".into()]).expect("valid");
        assert!(loaded.recipe.distill.student.is_none() && loaded.layers.states("lora"));
        assert!(
            !loaded.layers.states("train.learning_rate"),
            "the embedded default states nothing of the user's"
        );
        assert!(refusal(&["distill.studnet="]).contains("did you mean `distill.student`?"));
    }

    #[test]
    fn who_stated_a_key_is_known_through_extended_recipes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a.toml"), "extends = \"default\"\n[train]\nlearning_rate = 1e-5\n").expect("written");
        fs::write(path("b.toml"), "extends = \"a.toml\"\n[rollout]\ntop_k = 3\n").expect("written");
        let layers = load(Some(&path("b.toml")), &["eval.n=7".into()]).expect("valid").layers;
        for key in ["train.learning_rate", "rollout.top_k", "eval.n"] {
            assert!(layers.states(key), "{key}");
        }
        assert!(layers.sets("eval.n") && !layers.sets("rollout.top_k"));
        assert!(!layers.states("rollout.max_new_tokens"), "that is the embedded default's");
    }

    #[test]
    fn the_resolved_recipe_of_a_run_is_a_recipe() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.json");
        let first = load(None, &["eval.settings=r1".into()]).expect("valid").recipe;
        let mut config = serde_json::to_value(&first).expect("JSON");
        for key in RUN_KEYS {
            config[key] = "x".into();
        }
        fs::write(&path, config.to_string()).expect("written");
        let again = load(Some(&path), &["seed=3".into()]).expect("valid").recipe;
        assert_eq!(again.seed, 3);
        config = serde_json::to_value(&Recipe { seed: 0, ..again }).expect("JSON");
        assert_eq!(config, serde_json::to_value(&first).expect("JSON"));
    }

    #[test]
    fn a_recipe_that_extends_states_departures_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.toml");
        fs::write(&path, "extends = \"default\"\nseed = 7\n[train]\nwarmup_steps = 3\n").expect("written");
        let (base, extended) = (load(None, &[]).expect("valid"), load(Some(&path), &[]).expect("valid"));
        assert_eq!(extended.recipe.seed, 7);
        assert_eq!(extended.recipe.train.warmup_steps, 3);
        assert_eq!(extended.recipe.train.learning_rate, base.recipe.train.learning_rate);
        fs::write(&path, "extends = \"a.toml\"").expect("written");
        assert!(format!("{:#}", load(Some(&path), &[]).expect_err("a circle")).contains("circle"));
    }
}
