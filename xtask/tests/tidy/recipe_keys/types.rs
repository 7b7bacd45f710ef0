//! What a field's type is to someone who writes a recipe.

use super::attributes::{container, derives, first_paragraph, named, renamed};
use super::source::{Sources, find_enum, find_struct};
use anyhow::{Context, Result, bail, ensure};
use syn::{Fields, GenericArgument, ItemEnum, PathArguments, Type};

/// Where types are that stand in another file than the field, by the path that the field names them
/// with.
const HOMES: [(&str, &str); 38] = [
    ("Advantage", "crates/grpo/src/advantage/mod.rs"),
    ("Aggregation", "crates/grpo/src/config/choices.rs"),
    ("Component", "crates/env/src/reward/component.rs"),
    ("Correction", "crates/grpo/src/loss/correction/mod.rs"),
    ("Data", "crates/env/src/data.rs"),
    ("Distill", "crates/ruminate/src/recipe/distill.rs"),
    ("Dtype", "crates/rollout/src/dtype.rs"),
    ("EmptyThought", "crates/reward/src/verifiers/format.rs"),
    ("Eval", "crates/ruminate/src/recipe/eval.rs"),
    ("Format", "crates/model/src/weights/save.rs"),
    ("ImportanceLevel", "crates/grpo/src/config/choices.rs"),
    ("KlEstimator", "crates/grpo/src/loss/kl.rs"),
    ("KlPlacement", "crates/grpo/src/loss/kl.rs"),
    ("Log", "crates/ruminate/src/recipe/log.rs"),
    ("LossType", "crates/grpo/src/config/choices.rs"),
    ("Model", "crates/ruminate/src/recipe/mod.rs"),
    ("Muon", "crates/train/src/optim/muon.rs"),
    ("OptimizerName", "crates/train/src/optim/mod.rs"),
    ("OptimizerState", "crates/train/src/optim/buffer.rs"),
    ("PoolShares", "crates/data/src/pools.rs"),
    ("PromptStyle", "crates/text/src/renderer/template.rs"),
    ("Reduction", "crates/grpo/src/loss/reduction/mod.rs"),
    ("Reward", "crates/env/src/reward/mod.rs"),
    ("RouterReplay", "crates/grpo/src/config/choices.rs"),
    ("Scale", "crates/grpo/src/config/choices.rs"),
    ("Shares", "crates/data/src/split.rs"),
    ("TraceMix", "crates/data/src/traces/mix.rs"),
    ("crate::Config", "crates/train/src/config.rs"),
    ("crate::Dtype", "crates/train/src/dtype.rs"),
    ("fleet::Config", "crates/fleet/src/config.rs"),
    ("grpo::Config", "crates/grpo/src/config.rs"),
    ("grpo::Preset", "crates/grpo/src/presets.rs"),
    ("lora::Config", "crates/model/src/lora/mod.rs"),
    ("rollout::Config", "crates/rollout/src/config.rs"),
    ("ruminate_distill::Config", "crates/distill/src/config.rs"),
    ("supervised::Config", "crates/train/src/supervised/config.rs"),
    ("train::Config", "crates/train/src/config.rs"),
    ("train::alarms::Config", "crates/train/src/alarms/config.rs"),
];

/// Types that read a value by code of their own.
const BY_HAND: [(&str, &str); 1] = [("Limit", "number or `false`")];

/// A struct or an enum by its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) name: String,
}

impl Place {
    pub(super) fn new(file: &str, name: &str) -> Self {
        Self { file: file.to_owned(), name: name.to_owned() }
    }
}

/// A type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One value, in the words of the page.
    Scalar(&'static str),
    /// A table of keys that are not in its type, and what its values are.
    Map(&'static str),
    /// One of some names.
    Names(Vec<Variant>),
    /// A value of one of some types.
    Either(Vec<Variant>),
    /// A struct.
    Table(Place),
    List(Box<Kind>),
    Optional(Box<Kind>),
}

/// A variant of an enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variant {
    /// Its name in Rust.
    pub(super) ident: String,
    /// Its name in a recipe, and others that are read too.
    pub(super) names: Vec<String>,
    pub(super) meaning: String,
    pub(super) is_default: bool,
    /// What it holds, where it is of an untagged enum.
    pub(super) holds: Option<Kind>,
}

impl Variant {
    /// What stands in a recipe for it.
    pub(super) fn text(&self) -> String {
        match &self.holds {
            Some(of) => of.text(),
            None => self.names.iter().map(|name| format!("`\"{name}\"`")).collect::<Vec<_>>().join(" or "),
        }
    }
}

impl Kind {
    /// The column `type`.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Scalar(text) | Self::Map(text) => (*text).to_owned(),
            Self::Names(variants) => match variants.as_slice() {
                [only] => only.text(),
                _ => "enum".to_owned(),
            },
            Self::Either(variants) => variants.iter().map(Variant::text).collect::<Vec<_>>().join(" or "),
            Self::Table(_) => "table".to_owned(),
            Self::List(of) => format!("array of {}s", of.text()),
            Self::Optional(of) => of.text(),
        }
    }

    /// The struct that the key's table, or each of its tables, is read into.
    pub(super) fn table(&self) -> Option<&Place> {
        match self {
            Self::Table(place) => Some(place),
            Self::List(of) | Self::Optional(of) => of.table(),
            _ => None,
        }
    }

    pub(super) fn is_list(&self) -> bool {
        match self {
            Self::List(_) => true,
            Self::Optional(of) => of.is_list(),
            _ => false,
        }
    }

    /// The variants that the key may have.
    pub(super) fn variants(&self) -> &[Variant] {
        match self {
            Self::Names(variants) | Self::Either(variants) => variants,
            Self::List(of) | Self::Optional(of) => of.variants(),
            _ => &[],
        }
    }
}

/// The type of a field in a file.
pub(super) fn kind(sources: &Sources<'_>, file: &str, of: &Type) -> Result<Kind> {
    let Type::Path(path) = of else { bail!("{file}: expected a type by its path") };
    let names: Vec<String> = path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    let Some(last) = path.path.segments.last() else { bail!("{file}: expected a type with a name") };
    let parameters: Vec<&Type> = match &last.arguments {
        PathArguments::AngleBracketed(arguments) => {
            let types = arguments.args.iter().filter_map(|argument| match argument {
                GenericArgument::Type(of) => Some(of),
                _ => None,
            });
            types.collect()
        }
        _ => Vec::new(),
    };
    let written = names.join("::");
    Ok(match (last.ident.to_string().as_str(), parameters.as_slice()) {
        ("Option", [of]) => Kind::Optional(Box::new(kind(sources, file, of)?)),
        ("Vec", [of]) => Kind::List(Box::new(kind(sources, file, of)?)),
        ("BTreeMap", [_, values]) => match kind(sources, file, values)? {
            Kind::Scalar("number") => Kind::Map("table of numbers"),
            _ => Kind::Map("table"),
        },
        ("Map", _) | ("Value", []) => Kind::Map("table"),
        ("Columns", []) => Kind::Map("table of strings"),
        ("f32" | "f64", []) => Kind::Scalar("number"),
        ("u8" | "u16" | "u32" | "u64" | "usize" | "i32" | "i64", []) => Kind::Scalar("integer"),
        ("bool", []) => Kind::Scalar("boolean"),
        ("String", []) => Kind::Scalar("string"),
        ("PathBuf", []) => Kind::Scalar("path"),
        (_, []) => item(sources, file, &written)?,
        _ => bail!("{file}: the type `{written}` is not known to `cargo xtask recipe-keys`"),
    })
}

/// A struct or an enum of the workspace.
fn item(sources: &Sources<'_>, file: &str, written: &str) -> Result<Kind> {
    if let Some((_, text)) = BY_HAND.iter().find(|(name, _)| *name == written) {
        return Ok(Kind::Scalar(text));
    }
    let home = HOMES.iter().find(|(name, _)| *name == written).map(|(_, file)| *file);
    let name = written.rsplit("::").next().unwrap_or(written);
    for path in std::iter::once(file).chain(home) {
        let source = sources.file(path)?;
        let is_here = path != file || !written.contains("::");
        if is_here && find_struct(&source, name).is_some() {
            return Ok(Kind::Table(Place::new(path, name)));
        }
        if let Some(item) = find_enum(&source, name).filter(|_| is_here) {
            return of_enum(sources, path, item).with_context(|| format!("{path}: the enum `{name}`"));
        }
    }
    bail!(
        "{file}: the type `{written}` is in no file that HOMES in xtask/src/recipe_keys/types.rs names for it"
    )
}

fn of_enum(sources: &Sources<'_>, file: &str, item: &ItemEnum) -> Result<Kind> {
    ensure!(
        derives(&item.attrs, "Deserialize"),
        "reads its values by code of its own; say in BY_HAND of xtask/src/recipe_keys/types.rs which they are"
    );
    let container = container(&item.attrs)?;
    let mut variants = Vec::new();
    for variant in &item.variants {
        let ident = variant.ident.to_string();
        let serde = named(&variant.attrs)?;
        if serde.skip {
            continue;
        }
        let name = match serde.rename {
            Some(name) => name,
            None => renamed(&ident, container.rename_all.as_deref())?,
        };
        let holds = match &variant.fields {
            Fields::Unit => None,
            Fields::Unnamed(fields) if container.untagged && fields.unnamed.len() == 1 => {
                Some(kind(sources, file, &fields.unnamed[0].ty)?)
            }
            _ => bail!("`{ident}` holds what the page has no words for"),
        };
        ensure!(holds.is_some() == container.untagged, "`{ident}` is neither a name nor one of some types");
        let meaning = first_paragraph(&variant.attrs);
        ensure!(!meaning.is_empty(), "`{ident}` has no doc comment, which is what the page says of it");
        let is_default = variant.attrs.iter().any(|attribute| attribute.path().is_ident("default"));
        let names = std::iter::once(name).chain(serde.aliases).collect();
        variants.push(Variant { ident, names, meaning, is_default, holds });
    }
    Ok(if container.untagged { Kind::Either(variants) } else { Kind::Names(variants) })
}

#[cfg(test)]
mod tests {
    use super::{Kind, Place, kind};
    use crate::recipe_keys::source::Sources;
    use syn::parse_str;

    const FILE: &str = "
        #[derive(Deserialize)]
        #[serde(rename_all = \"snake_case\")]
        enum Loss {
            /// The paper's.
            #[default]
            Grpo,
            /// No bias.
            #[serde(alias = \"drgrpo\")]
            DrGrpo,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Shots {
            /// So many rows.
            Rows(usize),
            /// A file.
            File(PathBuf),
        }
        struct Inner {}
        enum Own { A }
        #[derive(Deserialize)]
        enum Bare { A }
    ";

    fn of(written: &str) -> Result<Kind, String> {
        let read = |_: &str| Ok(FILE.to_owned());
        let of = parse_str(written).expect("a type");
        kind(&Sources::new(&read), "a.rs", &of).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn types_are_in_the_words_of_toml() {
        for (written, text) in [
            ("f64", "number"),
            ("Option<usize>", "integer"),
            ("Vec<String>", "array of strings"),
            ("Vec<PathBuf>", "array of paths"),
            ("BTreeMap<String, f64>", "table of numbers"),
            ("serde_json::Map<String, Value>", "table"),
            ("Loss", "enum"),
            ("Shots", "integer or path"),
            ("Vec<Inner>", "array of tables"),
            ("Limit", "number or `false`"),
        ] {
            assert_eq!(of(written).expect("known").text(), text, "{written}");
        }
        assert_eq!(of("Option<Inner>").expect("known").table(), Some(&Place::new("a.rs", "Inner")));
    }

    #[test]
    fn variants_have_serdes_names_and_their_meanings() {
        let kind = of("Loss").expect("known");
        let [first, second] = kind.variants() else { panic!("{kind:?}") };
        assert_eq!((&first.names[..], first.is_default), (&["grpo".to_owned()][..], true));
        assert_eq!(second.names, ["dr_grpo", "drgrpo"]);
        assert_eq!(second.meaning, "No bias.");
    }

    #[test]
    fn what_cannot_be_described_is_an_error() {
        for (written, says) in [
            ("Elsewhere", "HOMES"),
            ("other::Inner", "HOMES"),
            ("Own", "BY_HAND"),
            ("Bare", "no doc comment"),
            ("[f64; 2]", "a type by its path"),
        ] {
            let message = of(written).expect_err(written);
            assert!(message.contains(says), "{written}: {message}");
        }
    }
}
