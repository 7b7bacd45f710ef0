//! The tables as a page of Markdown.

use super::keys::Key;
use super::table::{Heading, Table};
use super::types::Variant;
use std::fmt::Write;

const INTRODUCTION: &str = "# Keys of a recipe

<!-- Written by `cargo xtask recipe-keys` from doc comments: change those of the structs that a recipe is read into. -->

Every key of every table. [Recipes](cli.md#recipes) are TOML and state departures from these defaults. The
[embedded default](../recipes/default.toml) is one such recipe. With a model folder some keys get
[settings that fit the model](cli.md#settings-that-fit-the-model) instead. A command that does not read a key
[refuses it](cli.md#keys-that-a-command-does-not-read).

- **Types** are TOML's. A `number` is written with or without a decimal point. A `path` is a string; a relative one is
  looked for in the current folder, then in the recipe's. An `enum` is one of the strings that are listed beside it.
- **Defaults**: `none` means that the key is absent, which has a meaning of its own. `needed` means that there is no default.
";

pub(super) fn page(tables: &[Table]) -> String {
    let mut page = INTRODUCTION.to_owned();
    for table in tables {
        section(&mut page, table, tables);
    }
    page
}

fn section(page: &mut String, table: &Table, tables: &[Table]) {
    let _ = writeln!(page, "\n{}", heading_line(table));
    match table.headings.as_slice() {
        [only] if only.meaning.is_empty() => {}
        [only] => {
            let _ = writeln!(page, "\n{}", only.meaning);
        }
        several => {
            page.push('\n');
            for heading in several {
                let _ = writeln!(page, "- {}: {}", written(heading), heading.meaning);
            }
        }
    }
    page.push_str("\n| key | type | default | meaning |\n|---|---|---|---|\n");
    for key in &table.keys {
        row(page, key, &table.headings[0], tables);
    }
    for path in &table.also {
        let other = tables.iter().find(|other| other.headings.iter().any(|heading| heading.path == *path));
        if let Some(other) = other {
            let _ = writeln!(page, "\nAlso every key of [{}](#{}).", names(other), anchor(other));
        }
    }
}

fn heading_line(table: &Table) -> String {
    let depth = if table.headings[0].path.contains('.') { "###" } else { "##" };
    format!("{depth} {}", names(table))
}

fn names(table: &Table) -> String {
    match table.headings.as_slice() {
        [only] if only.path.is_empty() => "Top level".to_owned(),
        [several @ .., last] if !several.is_empty() => {
            let several: Vec<String> = several.iter().map(written).collect();
            format!("{} and {}", several.join(", "), written(last))
        }
        headings => headings.iter().map(written).collect(),
    }
}

/// A table as its header in TOML.
fn written(heading: &Heading) -> String {
    let path = &heading.path;
    if heading.is_list { format!("`[[{path}]]`") } else { format!("`[{path}]`") }
}

/// The anchor that GitHub makes of the heading: lower case, without punctuation, spaces as hyphens.
fn anchor(table: &Table) -> String {
    let kept = |c: char| match c {
        ' ' => Some('-'),
        '_' | '-' => Some(c),
        c => c.is_alphanumeric().then(|| c.to_ascii_lowercase()),
    };
    names(table).chars().filter_map(kept).collect()
}

fn row(page: &mut String, key: &Key, within: &Heading, tables: &[Table]) {
    let own = key.names.first().map(|name| match within.path.as_str() {
        "" => name.clone(),
        path => format!("{path}.{name}"),
    });
    let below = key.kind.table().and(
        tables.iter().find(|table| table.headings.iter().any(|heading| Some(&heading.path) == own.as_ref())),
    );
    let name = match (key.names.as_slice(), below) {
        ([], _) => "any other".to_owned(),
        ([name, ..], Some(table)) => format!("[`{name}`](#{})", anchor(table)),
        ([name, others @ ..], None) => {
            let others: Vec<String> = others.iter().map(|other| format!(", or `{other}`")).collect();
            format!("`{name}`{}", others.concat())
        }
    };
    let variants: String = key.kind.variants().iter().map(line).collect();
    let meaning = linked(&format!("{}{variants}", key.meaning)).replace('|', "\\|");
    let kind = if key.names.is_empty() { "any".to_owned() } else { key.kind.text() };
    let _ = writeln!(page, "| {name} | {kind} | {} | {meaning} |", key.default);
}

/// Pages that a doc comment names, such as docs/data.md, as links from where this page lies.
fn linked(text: &str) -> String {
    let mut parts = text.split("docs/");
    let mut linked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(".md") {
            Some((page, rest)) if page.chars().all(|c| c.is_ascii_lowercase()) => {
                let _ = write!(linked, "[{page}.md]({page}.md){rest}");
            }
            _ => {
                let _ = write!(linked, "docs/{part}");
            }
        }
    }
    linked
}

/// A variant in a line of its own within the cell.
fn line(variant: &Variant) -> String {
    format!("<br>{}: {}", variant.text(), variant.meaning)
}

#[cfg(test)]
mod tests {
    use super::{linked, page};
    use crate::recipe_keys::source::Sources;
    use crate::recipe_keys::table::tables;

    const FILE: &str = "
        #[derive(Default)]
        #[serde(default)]
        struct Recipe {
            /// Decides a|b.
            seed: u64,
            /// Where from.
            data: Data,
        }
        #[derive(Default)]
        #[serde(default)]
        struct Data {
            /// Sorts.
            mix: Mix,
        }
        #[derive(Default)]
        #[serde(default)]
        struct Mix {
            /// What to do.
            #[serde(alias = \"wrong\")]
            bad: Bad,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = \"snake_case\")]
        enum Bad {
            /// Ends the run.
            #[default]
            Refuse,
            /// Leaves it out.
            Skip,
        }
    ";

    #[test]
    fn a_table_has_a_section_and_a_key_a_row() {
        let read = |_: &str| Ok(FILE.to_owned());
        let page = page(&tables(&Sources::new(&read), ("a.rs", "Recipe")).expect("readable"));
        let (_, tables) = page.split_once("\n## ").expect("a section");
        let expected = "Top level

| key | type | default | meaning |
|---|---|---|---|
| `seed` | integer | `0` | Decides a\\|b. |
| [`data`](#data) | table |  | Where from. |

## `[data]`

Where from.

| key | type | default | meaning |
|---|---|---|---|
| [`mix`](#datamix) | table |  | Sorts. |

### `[data.mix]`

Sorts.

| key | type | default | meaning |
|---|---|---|---|
| `bad`, or `wrong` | enum | `\"refuse\"` | What to do.<br>`\"refuse\"`: Ends the run.<br>`\"skip\"`: Leaves it out. |
";
        assert_eq!(tables, expected);
    }

    #[test]
    fn pages_are_linked_by_their_names() {
        assert_eq!(
            linked("See docs/data.md, or docs/cli.md."),
            "See [data.md](data.md), or [cli.md](cli.md)."
        );
        assert_eq!(linked("Files in docs/ and docs/a/b.md"), "Files in docs/ and docs/a/b.md");
    }
}
