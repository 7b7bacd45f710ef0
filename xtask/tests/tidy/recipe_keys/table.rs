//! The tables of a recipe with their keys, found from the struct that the whole recipe is read into: a
//! table or key that is added to a struct is added to the page.

use super::keys::{Key, of_struct};
use super::source::Sources;
use super::types::Place;
use anyhow::Result;

/// A struct as the page has it.
#[derive(Debug)]
pub(super) struct Table {
    place: Place,
    /// The tables that are read into it, such as `pretrain` and `sft`; the empty path is the recipe
    /// itself.
    pub(super) headings: Vec<Heading>,
    pub(super) keys: Vec<Key>,
    /// Paths of other tables on the page whose keys this one has as well.
    pub(super) also: Vec<String>,
}

/// A table of a recipe.
#[derive(Clone, Debug)]
pub(super) struct Heading {
    /// `data.mix`.
    pub(super) path: String,
    pub(super) is_list: bool,
    pub(super) meaning: String,
}

/// All tables, each before those within it.
pub(super) fn tables(sources: &Sources<'_>, (file, name): (&str, &str)) -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    let heading = Heading { path: String::new(), is_list: false, meaning: String::new() };
    find(sources, Place::new(file, name), heading, &mut tables)?;
    let known: Vec<(Place, String)> =
        tables.iter().map(|table| (table.place.clone(), table.headings[0].path.clone())).collect();
    for table in &mut tables {
        (table.keys, table.also) = flat(sources, &table.place, &known)?;
    }
    Ok(tables)
}

/// Adds the table of a struct, and the tables within it.
fn find(sources: &Sources<'_>, place: Place, heading: Heading, tables: &mut Vec<Table>) -> Result<()> {
    let path = heading.path.clone();
    if let Some(table) = tables.iter_mut().find(|table| table.place == place) {
        table.headings.push(heading);
    } else {
        let headings = vec![heading];
        tables.push(Table { place: place.clone(), headings, keys: Vec::new(), also: Vec::new() });
    }
    for key in flat(sources, &place, &[])?.0 {
        if let Some(of) = key.kind.table() {
            let path =
                if path.is_empty() { key.names[0].clone() } else { format!("{path}.{}", key.names[0]) };
            let heading = Heading { path, is_list: key.kind.is_list(), meaning: key.meaning };
            find(sources, of.clone(), heading, tables)?;
        }
    }
    Ok(())
}

/// The keys of a struct and of those that are flattened into it, and the paths of `known` tables that
/// are.
fn flat(sources: &Sources<'_>, place: &Place, known: &[(Place, String)]) -> Result<(Vec<Key>, Vec<String>)> {
    let (mut keys, mut also) = (Vec::new(), Vec::new());
    for key in of_struct(sources, place)? {
        let flattened = key.kind.table().filter(|_| key.is_flat);
        let path = flattened.and_then(|of| known.iter().find(|(place, _)| place == of));
        match (flattened, path) {
            (None, _) => keys.push(key),
            (_, Some((_, path))) => also.push(path.clone()),
            (Some(of), None) => {
                let (inner, more) = flat(sources, of, known)?;
                keys.extend(inner);
                also.extend(more);
            }
        }
    }
    Ok((keys, also))
}

#[cfg(test)]
mod tests {
    use super::{Sources, Table, tables};

    fn read(file: &str) -> Result<Vec<Table>, String> {
        let read = |_: &str| Ok(file.to_owned());
        tables(&Sources::new(&read), ("a.rs", "Recipe")).map_err(|error| format!("{error:#}"))
    }

    fn rows(table: &Table) -> Vec<(String, &str)> {
        table.keys.iter().map(|key| (key.names.join(" "), key.default.as_str())).collect()
    }

    const RECIPE: &str = "
        #[serde(default)]
        struct Recipe {
            /// Steps.
            max_steps: usize,
            /// First.
            sft: Trainer,
            /// Second.
            train: Optimizer,
            /// Third.
            pretrain: Trainer,
            /// Parts.
            parts: Vec<Part>,
        }
        #[derive(Default)]
        #[serde(default)]
        struct Trainer {
            /// Rows.
            rows: Option<usize>,
            #[serde(flatten)]
            train: Optimizer,
            #[serde(flatten)]
            own: Own,
        }
        #[serde(default)]
        struct Optimizer {
            /// Rate.
            #[serde(alias = \"lr\")]
            learning_rate: f64,
            /// Limits.
            limits: Limits,
        }
        #[derive(Default)]
        #[serde(default)]
        struct Limits {
            /// Lowest.
            low: f64,
        }
        #[derive(Default)]
        #[serde(default)]
        struct Own {
            /// Seed.
            #[serde(rename = \"seed\")]
            number: u64,
            #[serde(skip)]
            hidden: u64,
        }
        struct Part {
            /// Kind.
            kind: String,
            /// Weight.
            #[serde(default = \"one\")]
            weight: f64,
            /// Name.
            name: Option<String>,
            /// Others.
            #[serde(flatten)]
            options: Map<String, Value>,
        }
        fn one() -> f64 { 1.0 }
        impl Default for Recipe {
            fn default() -> Self {
                Self {
                    max_steps: 500,
                    sft: Trainer::default(),
                    train: Optimizer::default(),
                    pretrain: Trainer::default(),
                    parts: Vec::new(),
                }
            }
        }
        impl Default for Optimizer {
            fn default() -> Self { Self { learning_rate: 3e-4, limits: Limits::default() } }
        }
    ";

    #[test]
    fn every_table_is_found_with_the_keys_that_serde_reads() {
        let tables = read(RECIPE).expect("readable");
        let paths: Vec<Vec<&str>> = tables
            .iter()
            .map(|table| table.headings.iter().map(|heading| heading.path.as_str()).collect())
            .collect();
        let limits = vec!["sft.limits", "train.limits", "pretrain.limits"];
        assert_eq!(paths, [vec![""], vec!["sft", "pretrain"], limits, vec!["train"], vec!["parts"]]);
        assert_eq!(rows(&tables[0])[0], ("max_steps".to_owned(), "`500`"));
        assert_eq!(rows(&tables[1]), [("rows".to_owned(), "none"), ("seed".to_owned(), "`0`")]);
        assert_eq!(tables[1].also, ["train"], "what has a table of its own is named");
        assert_eq!(rows(&tables[2]), [("low".to_owned(), "`0`")]);
        assert_eq!(
            rows(&tables[3]),
            [("learning_rate lr", "`3e-4`"), ("limits", "")]
                .map(|(name, default)| (name.to_owned(), default))
        );
        let part = [("kind", "needed"), ("weight", "`1`"), ("name", "none"), ("", "")];
        assert_eq!(rows(&tables[4]), part.map(|(name, default)| (name.to_owned(), default)));
        assert!(tables[4].headings[0].is_list);
    }
}
