//! docs/recipe.md: a table for each table of a recipe, from the doc comments and defaults of the structs that a recipe is
//! read into. It reads their source text and builds none of their crates. `cargo xtask recipe-keys` writes the page, tidy
//! compares it.

mod attributes;
mod default;
mod keys;
mod page;
mod source;
mod table;
mod types;

use crate::root;
use anyhow::{Context, Result};
use source::Sources;
use std::fs;

/// Where the page lies, relative to the root.
const PAGE: &str = "docs/recipe.md";

/// The struct that a whole recipe is read into.
const RECIPE: (&str, &str) = ("crates/ruminate/src/recipe/mod.rs", "Recipe");

/// Set by `cargo xtask recipe-keys`: the page is written instead of compared.
const WRITE: &str = "XTASK_WRITE_RECIPE_KEYS";

#[test]
fn the_page_of_a_recipes_keys_is_what_the_doc_comments_say() {
    let page = generated().unwrap_or_else(|error| panic!("{error:#}"));
    let path = root().join(PAGE);
    if std::env::var_os(WRITE).is_some() {
        return fs::write(&path, page).unwrap_or_else(|error| panic!("cannot write {PAGE}: {error}"));
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    if let Some(difference) = difference(&committed, &page) {
        panic!("{PAGE}{difference}; run `cargo xtask recipe-keys` and commit the page");
    }
}

fn generated() -> Result<String> {
    let read =
        |path: &str| fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {path}"));
    let tables = table::tables(&Sources::new(&read), RECIPE)?;
    Ok(page::page(&tables))
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
    use super::difference;

    #[test]
    fn the_first_line_that_differs_is_named_with_both_texts() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        let found = difference("a\nb\nc\n", "a\nB\nc\n").expect("a difference");
        assert!(found.starts_with(":2:") && found.contains("`B`") && found.contains("`b`"), "{found}");
        let found = difference("", "a\n").expect("a difference");
        assert!(found.contains("found the end"), "{found}");
        assert!(difference("a", "a\n").is_some());
    }
}
