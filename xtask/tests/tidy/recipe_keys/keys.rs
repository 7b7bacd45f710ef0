//! The fields of a struct as the keys that serde reads, each with its type, its default and what it
//! means.

use super::attributes::{Container, Missing, container, derives, first_paragraph, named, renamed};
use super::default;
use super::source::{Sources, default_body, find_struct};
use super::types::{Kind, Place, kind};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use syn::{Expr, Field, ItemStruct};

/// A key, with what its row says.
#[derive(Debug)]
pub(super) struct Key {
    /// Its name, and others that are read too; empty for any other key that the table may have.
    pub(super) names: Vec<String>,
    pub(super) kind: Kind,
    /// In Markdown.
    pub(super) default: String,
    pub(super) meaning: String,
    /// Whether the keys of its type stand in the table of the struct.
    pub(super) is_flat: bool,
}

/// The fields of a struct as keys.
pub(super) fn of_struct(sources: &Sources<'_>, place: &Place) -> Result<Vec<Key>> {
    let Place { file, name } = place;
    let source = sources.file(file)?;
    let find = |name: &str| {
        find_struct(&source, name).with_context(|| format!("{file}: expected the struct `{name}`"))
    };
    let outer = find(name)?;
    // `from`: another struct is read, which has the names and the defaults; what keys mean may stand in
    // either.
    let inner = match container(&outer.attrs)?.from {
        Some(from) => find(&from)?,
        None => outer,
    };
    let container = container(&inner.attrs)?;
    let defaults = defaults(sources, file, inner, &container)?;
    let mut keys = Vec::new();
    for field in &inner.fields {
        let ident =
            field.ident.as_ref().with_context(|| format!("{file}: `{name}` has a field without a name"))?;
        let key = key(sources, file, field, &container, defaults.as_ref(), outer)
            .with_context(|| format!("{file}: the field `{ident}` of `{}`", inner.ident))?;
        keys.extend(key);
    }
    Ok(keys)
}

/// The expressions of `Default`; empty where it is derived, none where it says nothing of missing keys.
fn defaults(
    sources: &Sources<'_>,
    file: &str,
    of: &ItemStruct,
    container: &Container,
) -> Result<Option<BTreeMap<String, Expr>>> {
    if !container.default {
        return Ok(None);
    }
    let name = of.ident.to_string();
    let source = sources.file(file)?;
    if let Some(body) = default_body(&source, &name) {
        let fields = default::fields(body).with_context(|| format!("{file}: `Default` of `{name}`"))?;
        return Ok(Some(fields));
    }
    ensure!(derives(&of.attrs, "Default"), "{file}: expected `impl Default for {name}`");
    Ok(Some(BTreeMap::new()))
}

/// A field as a key; none where serde skips it.
fn key(
    sources: &Sources<'_>,
    file: &str,
    field: &Field,
    container: &Container,
    defaults: Option<&BTreeMap<String, Expr>>,
    outer: &ItemStruct,
) -> Result<Option<Key>> {
    let serde = named(&field.attrs)?;
    if serde.skip {
        return Ok(None);
    }
    let ident = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
    let kind = kind(sources, file, &field.ty)?;
    let in_outer = || outer.fields.iter().find(|other| other.ident == field.ident);
    let meaning = match first_paragraph(&field.attrs) {
        text if text.is_empty() => in_outer().map(|field| first_paragraph(&field.attrs)).unwrap_or_default(),
        text => text,
    };
    if !(serde.flatten && kind.table().is_some()) {
        ensure!(!meaning.is_empty(), "has no doc comment, which is what the page says of the key");
        for text in std::iter::once(&meaning).chain(kind.variants().iter().map(|variant| &variant.meaning)) {
            ensure!(
                !has_link(text),
                "has a link, which a reader of the page cannot follow; name the key instead: {text}"
            );
        }
    }
    let default = match (&serde.missing, defaults.map(|defaults| defaults.get(&ident))) {
        _ if serde.flatten => String::new(),
        (Missing::Call(function), _) => default::of_call(sources, file, function, &kind)?,
        (Missing::OfType, _) | (Missing::Needed, Some(None)) => default::of_kind(&kind)?,
        (Missing::Needed, Some(Some(expression))) => default::of_expression(expression, &kind)?,
        (Missing::Needed, None) if matches!(kind, Kind::Optional(_)) => default::of_kind(&kind)?,
        (Missing::Needed, None) => "needed".to_owned(),
    };
    let names = if serde.flatten {
        Vec::new()
    } else {
        let name = match serde.rename {
            Some(name) => name,
            None => renamed(&ident, container.rename_all.as_deref())?,
        };
        std::iter::once(name).chain(serde.aliases).collect()
    };
    Ok(Some(Key { names, kind, default, meaning, is_flat: serde.flatten }))
}

/// Whether a doc comment links to an item. Brackets in code, as in `[data]`, are none.
fn has_link(text: &str) -> bool {
    text.contains("[`") || text.split('`').step_by(2).any(|outside| outside.contains('['))
}

#[cfg(test)]
mod tests {
    use super::{Key, Place, Sources, has_link, of_struct};

    fn read(file: &str) -> Result<Vec<Key>, String> {
        let read = |_: &str| Ok(file.to_owned());
        of_struct(&Sources::new(&read), &Place::new("a.rs", "Recipe")).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_struct_that_is_read_in_place_of_another_has_the_names_and_defaults() {
        let file = "
            #[serde(from = \"Given\")]
            struct Recipe {
                /// Divides the logits.
                temperature: f64,
            }
            #[derive(Default)]
            #[serde(default)]
            struct Given { temperature: Option<f64> }
        ";
        let keys = read(file).expect("readable");
        let [key] = keys.as_slice() else { panic!("{keys:?}") };
        assert_eq!((key.names.as_slice(), key.default.as_str()), (&["temperature".to_owned()][..], "none"));
        assert_eq!(key.meaning, "Divides the logits.");
    }

    #[test]
    fn a_key_without_words_for_it_is_an_error_with_its_name() {
        for (field, says) in [
            ("seed: u64", "no doc comment"),
            ("/// As [`Other::key`].\n seed: u64", "a link"),
            ("/// Seed.\n seed: Unknown", "HOMES"),
            ("/// Seed.\n #[serde(with = \"hex\")]\n seed: u64", "not known"),
        ] {
            let message = read(&format!("struct Recipe {{ {field} }}")).expect_err(field);
            assert!(message.contains("`seed`") && message.contains(says), "{message}");
        }
        let message =
            read("#[serde(default)] struct Recipe { /// Seed.\n seed: u64 }").expect_err("no default");
        assert!(message.contains("impl Default for Recipe"), "{message}");
    }

    #[test]
    fn brackets_in_code_are_no_links() {
        for (text, expected) in [
            ("Steps of `[pretrain]`.", false),
            ("See [`Config::for_samples`].", true),
            ("See [the page](page.md).", true),
            ("Plain.", false),
        ] {
            assert_eq!(has_link(text), expected, "{text}");
        }
    }
}
