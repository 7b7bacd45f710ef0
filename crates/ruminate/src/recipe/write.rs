//! A recipe as a TOML file for people: sparse, one key a line, with the reason of a key behind it.

use std::fmt::Write;
use toml::{Table, Value};

/// Columns of a comment before it gets lines of its own.
const WIDTH: usize = 118;

/// The table as TOML. `reason` gives the comment of a key, by its path.
pub(crate) fn recipe_text(table: &Table, reason: &dyn Fn(&str) -> Option<String>) -> String {
    let mut text = String::new();
    section(&mut text, table, "", reason);
    text
}

fn section(text: &mut String, table: &Table, path: &str, reason: &dyn Fn(&str) -> Option<String>) {
    let of = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let (tables, values): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| value.is_table());
    if !path.is_empty() && (!values.is_empty() || tables.is_empty()) {
        let header = format!("[{}]", path.split('.').map(quoted).collect::<Vec<_>>().join("."));
        if !text.is_empty() {
            text.push('\n');
        }
        line(text, &header, reason(path));
    }
    for (key, value) in values {
        line(text, &format!("{} = {}", quoted(key), value_text(value)), reason(&of(key)));
    }
    for (key, value) in tables {
        if let Value::Table(inner) = value {
            section(text, inner, &of(key), reason);
        }
    }
}

/// A value as people write it: small numbers with an exponent.
pub(crate) fn value_text(value: &Value) -> String {
    match value {
        Value::Float(float) if *float != 0.0 && float.abs() < 1e-2 => format!("{float:e}"),
        value => value.to_string(),
    }
}

/// A line with its comment behind it, or before it where both are too long for one.
fn line(text: &mut String, content: &str, comment: Option<String>) {
    match comment {
        None => {
            let _ = writeln!(text, "{content}");
        }
        Some(comment) if content.len() + comment.len() + 3 <= WIDTH => {
            let _ = writeln!(text, "{content} # {comment}");
        }
        Some(comment) => {
            let mut row = "#".to_owned();
            for word in comment.split_whitespace() {
                if row.len() + word.len() + 1 > WIDTH {
                    let _ = writeln!(text, "{row}");
                    row.truncate(1);
                }
                row = row + " " + word;
            }
            let _ = writeln!(text, "{row}\n{content}");
        }
    }
}

/// A key as TOML writes it.
fn quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { key.to_owned() } else { Value::String(key.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::recipe_text;
    use toml::Table;

    #[test]
    fn what_is_written_reads_as_the_same_table() {
        let source = r#"
            max_steps = 3
            model = "a \"quoted\"\nfolder"
            [data]
            params = { terms = 3, "odd key" = [1, 2] }
            tasks = [{ task = "gcd", weight = 2.0 }, { task = "countdown", params = { min_numbers = 3 } }]
            [train]
            learning_rate = 2e-5
            [lora]
            [[reward.components]]
            kind = "exact"
            weight = 1e-300
        "#;
        let table: Table = source.parse().expect("TOML");
        let long = "word ".repeat(60);
        let text = recipe_text(&table, &|path| match path {
            "train.learning_rate" => Some("for the size".to_owned()),
            "max_steps" => Some(long.clone()),
            _ => None,
        });
        assert_eq!(text.parse::<Table>().expect("TOML"), table, "{text}");
        assert!(text.contains("learning_rate = 2e-5 # for the size"), "{text}");
        assert!(text.lines().filter(|line| line.starts_with('#')).all(|line| line.len() <= 120), "{text}");
    }
}
