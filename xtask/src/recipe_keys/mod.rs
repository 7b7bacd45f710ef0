//! `cargo xtask recipe-keys`: writes docs/recipe.md, a table for each table of a recipe, from the doc
//! comments and defaults of the structs that a recipe is read into. It reads their source text and
//! builds none of their crates.

mod attributes;
mod default;
mod keys;
mod page;
mod source;
mod table;
mod types;

use crate::root;
use anyhow::{Context, Result, bail, ensure};
use source::Sources;
use std::ffi::OsString;
use std::fs;
use std::process::ExitCode;

/// Where the page lies, relative to the root.
const PAGE: &str = "docs/recipe.md";

/// The struct that a whole recipe is read into.
const RECIPE: (&str, &str) = ("crates/ruminate/src/recipe/mod.rs", "Recipe");

/// Writes the page, or with `--check` compares it with what would be written.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("`cargo xtask recipe-keys [--check]` takes no other arguments"),
    };
    let read =
        |path: &str| fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {path}"));
    let tables = table::tables(&Sources::new(&read), RECIPE)?;
    let (path, page) = (root().join(PAGE), page::page(&tables));
    if check {
        let committed = fs::read_to_string(&path).unwrap_or_default();
        if let Some(difference) = difference(&committed, &page) {
            bail!("{PAGE}{difference}; run `cargo xtask recipe-keys` and commit the page");
        }
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(path.parent().is_some_and(std::path::Path::is_dir), "expected the folder of {PAGE}");
    fs::write(&path, page).with_context(|| format!("cannot write {PAGE}"))?;
    eprintln!("wrote {PAGE}");
    Ok(ExitCode::SUCCESS)
}

/// The first line in which the committed page is not the generated one.
fn difference(committed: &str, generated: &str) -> Option<String> {
    if committed == generated {
        return None;
    }
    let (mut found, mut expected) = (committed.lines(), generated.lines());
    for number in 1.. {
        match (found.next(), expected.next()) {
            (None, None) => break,
            (found, expected) if found == expected => {}
            (found, expected) => {
                let text = |line: Option<&str>| line.map_or("the end".to_owned(), |line| format!("`{line}`"));
                let (expected, found) = (text(expected), text(found));
                return Some(format!(":{number}: expected {expected} from the doc comments, found {found}"));
            }
        }
    }
    Some(": the ends of its lines are not those that are generated".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{difference, run};

    #[test]
    fn the_first_line_that_differs_is_named_with_both_texts() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        let found = difference("a\nb\nc\n", "a\nB\nc\n").expect("a difference");
        assert!(found.starts_with(":2:") && found.contains("`B`") && found.contains("`b`"), "{found}");
        let found = difference("", "a\n").expect("a difference");
        assert!(found.contains("found the end"), "{found}");
        assert!(difference("a", "a\n").is_some());
    }

    #[test]
    fn an_unknown_argument_is_refused() {
        let message = run(&["--chekc".into()]).expect_err("refused").to_string();
        assert!(message.contains("--check"), "{message}");
    }
}
