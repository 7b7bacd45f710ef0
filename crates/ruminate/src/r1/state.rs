//! What was run, and by which recipes: `graph.json` in the pipeline's folder. A stage's hash covers its recipe and, through
//! its inputs, everything before it, so that a change anywhere is seen wherever it matters.

use super::graph::Stage;
use crate::recipe::load::DEFAULT;
use anyhow::{Context, Result, bail};
use ruminate_run::{sha256_hex, write_file};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Recipes that extend each other in a circle end here.
const MAX_DEPTH: usize = 8;

/// The stages that were begun.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// All stages of the graph, in its order, in which a report shows them.
    #[serde(default)]
    pub(crate) order: Vec<String>,
    pub(crate) stages: BTreeMap<String, Begun>,
}

/// A stage that was begun, and perhaps ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// Of the recipe and of the inputs' hashes.
    pub(crate) hash: String,
    /// How long it took, all attempts together.
    pub(crate) seconds: f64,
}

impl State {
    /// The state of a pipeline's folder; empty where there is none.
    ///
    /// # Errors
    /// A file that is not ours.
    pub(crate) fn read(out: &Path) -> Result<Self> {
        let path = path(out);
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
            Ok(text) => serde_json::from_str(&text).with_context(|| {
                format!("{}: expected what `ruminate r1` wrote; remove it to begin again", path.display())
            }),
        }
    }

    /// Writes it whole or not at all.
    ///
    /// # Errors
    /// A disk that cannot be written.
    pub(crate) fn write(&self, out: &Path) -> Result<()> {
        fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        Ok(write_file(&path(out), serde_json::to_string_pretty(self)?.as_bytes())?)
    }
}

fn path(out: &Path) -> PathBuf {
    out.join("graph.json")
}

/// The hashes of all stages: of the command, the recipe with all that it extends, the overrides, and the inputs.
///
/// # Errors
/// A recipe that cannot be read.
pub(crate) fn hashes(
    folder: &Path,
    stages: &[Stage],
    overrides: &[String],
) -> Result<BTreeMap<String, String>> {
    let mut hashes = BTreeMap::new();
    for stage in stages {
        let mut hashed = Vec::new();
        let mut add = |text: &str| {
            hashed.extend((text.len() as u64).to_le_bytes());
            hashed.extend(text.as_bytes());
        };
        add(&stage.command);
        recipe(&folder.join(&stage.recipe), 0, &mut add)?;
        for set in overrides {
            add(set);
        }
        for (key, input) in &stage.inputs {
            add(key);
            add(input);
        }
        for name in stage.dependencies() {
            add(hashes.get(name).map_or("", String::as_str));
        }
        hashes.insert(stage.name.clone(), sha256_hex(&hashed));
    }
    Ok(hashes)
}

/// Adds a recipe and what it extends, as values: comments and white space change nothing.
fn recipe(path: &Path, depth: usize, add: &mut impl FnMut(&str)) -> Result<()> {
    if depth > MAX_DEPTH {
        bail!("{}: more than {MAX_DEPTH} recipes extend each other; is it a circle?", path.display());
    }
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read the recipe {}", path.display()))?;
    let table: toml::Table = text.parse().with_context(|| path.display().to_string())?;
    add(&serde_json::to_string(&table)?);
    match table.get("extends").and_then(toml::Value::as_str) {
        None => Ok(()),
        Some("default") => {
            let table: toml::Table = DEFAULT.parse().context("the embedded recipe")?;
            add(&serde_json::to_string(&table)?);
            Ok(())
        }
        Some(base) => recipe(&path.parent().unwrap_or(Path::new(".")).join(base), depth + 1, add),
    }
}

#[cfg(test)]
mod tests {
    use super::{Begun, State, hashes};
    use crate::r1::graph::Stage;
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    fn stage(name: &str, from: Option<&str>) -> Stage {
        let inputs = from.map(|from| ("model".to_owned(), format!("{from}/final")));
        Stage {
            name: name.to_owned(),
            command: "train-rl".to_owned(),
            recipe: format!("{name}.toml"),
            inputs: inputs.into_iter().collect(),
            minutes: 1.0,
        }
    }

    fn recipes(folder: &Path, texts: &[(&str, &str)]) {
        for (name, text) in texts {
            fs::write(folder.join(name), text).expect("written");
        }
    }

    #[test]
    fn a_change_reaches_the_stage_and_all_that_depends_on_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        recipes(
            folder,
            &[
                ("common.toml", "threads = 1"),
                ("a.toml", "extends = 'common.toml'\nmax_steps = 3"),
                ("b.toml", "max_steps = 3"),
                ("c.toml", "max_steps = 3"),
            ],
        );
        let stages = [stage("a", None), stage("b", Some("a")), stage("c", None)];
        let of = |overrides: &[String]| hashes(folder, &stages, overrides).expect("recipes");
        let first = of(&[]);
        let changed = |now: &BTreeMap<String, String>| -> Vec<String> {
            first.iter().filter(|(name, hash)| now[*name] != **hash).map(|(name, _)| name.clone()).collect()
        };
        recipes(folder, &[("a.toml", "# a comment\nextends = 'common.toml'\n\nmax_steps  =  3")]);
        assert_eq!(of(&[]), first);
        recipes(folder, &[("c.toml", "max_steps = 4")]);
        assert_eq!(changed(&of(&[])), ["c"]);
        recipes(folder, &[("common.toml", "threads = 2"), ("c.toml", "max_steps = 3")]);
        assert_eq!(changed(&of(&[])), ["a", "b"]);
        assert_eq!(changed(&of(&["seed=1".to_owned()])), ["a", "b", "c"]);
        recipes(folder, &[("common.toml", "extends = 'a.toml'")]);
        assert!(format!("{:#}", hashes(folder, &stages, &[]).expect_err("a circle")).contains("circle"));
    }

    #[test]
    fn the_state_survives_its_file_and_a_foreign_file_is_refused() {
        let out = tempfile::tempdir().expect("a folder");
        assert_eq!(State::read(out.path()).expect("none yet"), State::default());
        let mut state = State::default();
        state.stages.insert("a".into(), Begun { hash: "f".into(), seconds: 1.5 });
        state.write(out.path()).expect("written");
        assert_eq!(State::read(out.path()).expect("ours"), state);
        fs::write(out.path().join("graph.json"), "[]").expect("written");
        assert!(State::read(out.path()).is_err());
    }
}
