//! Doc comments, and what serde's attributes say of names. An attribute that could change a key and is
//! not known here is an error: the page must not have other names than serde.

use anyhow::{Result, bail};
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Expr, Lit, LitStr, Meta};

/// The first paragraph of a doc comment, on one line; empty without one.
pub(super) fn first_paragraph(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    let lines: Vec<String> = attributes.iter().filter_map(line).collect();
    let paragraph = lines.iter().skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty());
    paragraph.map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// What stands for a key that a file leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is needed, unless its type is an option.
    #[default]
    Needed,
    /// The default of its type.
    OfType,
    /// What this function returns.
    Call(String),
}

/// serde's attributes of a field or a variant.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) rename: Option<String>,
    pub(super) aliases: Vec<String>,
    pub(super) flatten: bool,
    pub(super) skip: bool,
    pub(super) missing: Missing,
}

/// serde's attributes of a struct or an enum.
#[derive(Debug, Default)]
pub(super) struct Container {
    pub(super) rename_all: Option<String>,
    pub(super) default: bool,
    pub(super) untagged: bool,
    /// The struct that is read in place of this one.
    pub(super) from: Option<String>,
}

pub(super) fn named(attributes: &[Attribute]) -> Result<Named> {
    let mut named = Named::default();
    each(attributes, |name, meta| {
        match name {
            "rename" => named.rename = Some(text(meta)?),
            "alias" => named.aliases.push(text(meta)?),
            "flatten" => named.flatten = true,
            "skip" | "skip_deserializing" => named.skip = true,
            "default" if meta.input.peek(syn::Token![=]) => named.missing = Missing::Call(text(meta)?),
            "default" => named.missing = Missing::OfType,
            "skip_serializing_if" => drop(text(meta)?),
            "skip_serializing" => {}
            _ => return Err(meta.error(format!("serde's `{name}` of a field or variant is not known"))),
        }
        Ok(())
    })?;
    Ok(named)
}

pub(super) fn container(attributes: &[Attribute]) -> Result<Container> {
    let mut container = Container::default();
    each(attributes, |name, meta| {
        match name {
            "rename_all" => container.rename_all = Some(text(meta)?),
            "default" if !meta.input.peek(syn::Token![=]) => container.default = true,
            "untagged" => container.untagged = true,
            "from" => container.from = Some(text(meta)?),
            "expecting" => drop(text(meta)?),
            "deny_unknown_fields" => {}
            _ => return Err(meta.error(format!("serde's `{name}` of a struct or enum is not known"))),
        }
        Ok(())
    })?;
    Ok(container)
}

/// Whether the attributes derive the trait.
pub(super) fn derives(attributes: &[Attribute], name: &str) -> bool {
    let mut found = false;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("derive")) {
        // A derive that does not parse is the compiler's to refuse.
        let _ = attribute.parse_nested_meta(|meta| {
            found |= meta.path.segments.last().is_some_and(|segment| segment.ident == name);
            Ok(())
        });
    }
    found
}

fn each(
    attributes: &[Attribute],
    mut take: impl FnMut(&str, &ParseNestedMeta<'_>) -> syn::Result<()>,
) -> Result<()> {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute.parse_nested_meta(|meta| {
            let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            take(&name, &meta)
        })?;
    }
    Ok(())
}

fn text(meta: &ParseNestedMeta<'_>) -> syn::Result<String> {
    meta.value()?.parse::<LitStr>().map(|text| text.value())
}

/// The name of a field or variant under `rename_all`.
pub(super) fn renamed(name: &str, rule: Option<&str>) -> Result<String> {
    let words = |between: char| {
        let mut renamed = String::new();
        for (at, c) in name.char_indices() {
            if c.is_uppercase() && at > 0 {
                renamed.push(between);
            }
            renamed.push(if c == '_' { between } else { c.to_ascii_lowercase() });
        }
        renamed
    };
    Ok(match rule {
        None => name.to_owned(),
        Some("lowercase") => name.to_lowercase(),
        Some("snake_case") => words('_'),
        Some("kebab-case") => words('-'),
        Some(rule) => bail!("serde's `rename_all = \"{rule}\"` is not known"),
    })
}

#[cfg(test)]
mod tests {
    use super::{Missing, container, derives, first_paragraph, named, renamed};
    use syn::{ItemStruct, parse_str};

    fn attributes(text: &str) -> Vec<syn::Attribute> {
        parse_str::<ItemStruct>(&format!("{text} struct S;")).expect("Rust").attrs
    }

    #[test]
    fn the_first_paragraph_is_joined_and_the_rest_left_out() {
        let doc = attributes("/// One\n/// line.\n///\n/// More.\n#[derive(Debug)]\n");
        assert_eq!(first_paragraph(&doc), "One line.");
        assert_eq!(first_paragraph(&attributes("#[derive(Debug)]")), "");
    }

    #[test]
    fn names_are_serdes() {
        let given = "#[serde(rename = \"a\", alias = \"b\", alias = \"c\", default = \"one\")]";
        let found = named(&attributes(given)).expect("known");
        assert_eq!(
            (found.rename.as_deref(), found.aliases),
            (Some("a"), vec!["b".to_owned(), "c".to_owned()])
        );
        assert_eq!(found.missing, Missing::Call("one".to_owned()));
        let found = named(&attributes("#[serde(default, skip_serializing_if = \"f\")] #[serde(flatten)]"));
        let found = found.expect("known");
        assert!(found.flatten && !found.skip && found.missing == Missing::OfType);
        let found = container(&attributes("#[serde(default, rename_all = \"lowercase\", from = \"G\")]"));
        let found = found.expect("known");
        assert_eq!((found.rename_all.as_deref(), found.from.as_deref()), (Some("lowercase"), Some("G")));
        assert!(found.default && !found.untagged);
    }

    #[test]
    fn an_attribute_that_is_not_known_is_an_error() {
        for given in ["#[serde(with = \"hex\")]", "#[serde(rename(deserialize = \"a\"))]"] {
            assert!(named(&attributes(given)).is_err(), "{given}");
        }
        assert!(container(&attributes("#[serde(tag = \"kind\")]")).is_err());
        assert!(renamed("a", Some("camelCase")).is_err());
    }

    #[test]
    fn variants_are_renamed_as_serde_renames_them() {
        for (name, rule, expected) in [
            ("DrGrpo", Some("snake_case"), "dr_grpo"),
            ("R1", Some("snake_case"), "r1"),
            ("OpenR1", Some("kebab-case"), "open-r1"),
            ("Bfloat16", Some("lowercase"), "bfloat16"),
            ("max_len", Some("kebab-case"), "max-len"),
            ("AsIs", None, "AsIs"),
        ] {
            assert_eq!(renamed(name, rule).expect("known"), expected);
        }
    }

    #[test]
    fn a_derive_is_found_by_its_last_name() {
        let found = attributes("#[derive(Clone, serde::Deserialize)]");
        assert!(derives(&found, "Deserialize") && derives(&found, "Clone") && !derives(&found, "Default"));
    }
}
