//! Files that a recipe names: looked for in the current folder first, then in the folder of the recipe that names them.

use super::{Data, Distill, Shots};
use crate::error::Refusal;
use anyhow::Result;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Keys of `[data]` that are paths.
const DATA: [&str; 4] = ["train", "eval", "corpus", "shots"];

/// Replaces a path that is not in the current folder by the one in the recipe's folder, where that one exists.
pub(super) fn beside(table: &mut Table, folder: &Path) {
    if let Some(Value::Table(data)) = table.get_mut("data") {
        for key in DATA {
            if let Some(Value::String(path)) = data.get_mut(key) {
                look_beside(path, folder);
            }
        }
    }
    let distill = table.get_mut("distill").and_then(Value::as_table_mut);
    if let Some(Value::Array(list)) = distill.and_then(|distill| distill.get_mut("decontaminate")) {
        for value in list {
            if let Value::String(path) = value {
                look_beside(path, folder);
            }
        }
    }
}

fn look_beside(path: &mut String, folder: &Path) {
    let own = folder.join(path.as_str());
    if Path::new(path.as_str()).is_relative()
        && !Path::new(path.as_str()).exists()
        && own.exists()
        && let Some(own) = own.to_str()
    {
        own.clone_into(path);
    }
}

/// Checks that the files which a command reads are there.
///
/// # Errors
/// With exit code 3, the key, and the folders that were looked in.
pub(crate) fn check(command: &str, data: &Data, distill: &Distill, recipe: Option<&Path>) -> Result<()> {
    let train = ("data.train", data.train.as_ref());
    let eval = ("data.eval", data.eval.as_ref());
    let shots = match &data.shots {
        Some(Shots::File(path)) => Some(path),
        _ => None,
    };
    let shots = ("data.shots", shots);
    let mut read: Vec<(&str, Option<&PathBuf>)> = match command {
        "pretrain" => vec![("data.corpus", data.corpus.as_ref()), eval],
        _ => vec![train, eval, shots],
    };
    if command == "distill" {
        read.extend(distill.decontaminate.iter().map(|path| ("distill.decontaminate", Some(path))));
    }
    for (key, path) in read {
        if let Some(path) = path.filter(|path| !path.exists()) {
            return Err(missing(key, path, recipe));
        }
    }
    Ok(())
}

fn missing(key: &str, path: &Path, recipe: Option<&Path>) -> anyhow::Error {
    let here = std::env::current_dir().map_or_else(|_| ".".to_owned(), |here| here.display().to_string());
    let beside = recipe.and_then(Path::parent).map_or_else(String::new, |folder| {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        format!(", nor in the recipe's ({})", folder.display())
    });
    let looked = if path.is_absolute() {
        String::new()
    } else {
        format!("; relative paths are looked for in the current folder ({here}){beside}")
    };
    Refusal::input(format!("cannot read {}: `{key}` names no file that is there{looked}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::beside;
    use std::fs;
    use toml::Table;

    #[test]
    fn a_file_beside_the_recipe_is_found_where_the_current_folder_has_none() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("data")).expect("made");
        let file = folder.path().join("data/mine.jsonl");
        fs::write(&file, "{}").expect("written");
        let mut table: Table = "[data]\ntrain = 'data/mine.jsonl'\neval = 'Cargo.toml'\nshots = 3\n\
                                [distill]\ndecontaminate = ['data/mine.jsonl', 'nowhere.jsonl']"
            .parse()
            .expect("TOML");
        beside(&mut table, folder.path());
        let found = file.to_str().expect("UTF-8");
        assert_eq!(table["data"]["train"].as_str(), Some(found));
        assert_eq!(table["data"]["eval"].as_str(), Some("Cargo.toml"), "the current folder goes first");
        assert_eq!(table["data"]["shots"].as_integer(), Some(3));
        let list = table["distill"]["decontaminate"].as_array().expect("a list");
        assert_eq!((list[0].as_str(), list[1].as_str()), (Some(found), Some("nowhere.jsonl")));
    }
}
