//! Every package that any of our features links has a licence that `deny.toml` allows. `cargo deny` asks the same where it
//! is installed; this is asked on every machine. It reads what packages say of themselves, not their texts.

use crate::{Finding, root};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::Command;

const REASON: &str = "what is handed out under MIT OR Apache-2.0 may not oblige those who take it to more";

/// Packages that have a text in place of an expression: what the text is, and its SHA-256.
const TEXTS: [(&str, &str, &str); 1] =
    [("cfg_block", "Apache-2.0", "408bbc4d10bdf74d8c9b74b64ea4910603257e24133da18edc4d16198e3b4010")];

/// A package with its licence, as `cargo metadata` has it.
#[derive(Debug)]
pub(crate) struct Package {
    name: String,
    version: String,
    licence: Option<String>,
}

/// What `deny.toml` allows.
#[derive(Debug)]
pub(crate) struct Allowed {
    everywhere: BTreeSet<String>,
    /// By package.
    exceptions: Vec<(String, BTreeSet<String>)>,
}

impl Allowed {
    /// The tables `[licenses]` of `deny.toml`.
    pub(crate) fn of(deny: &toml::Table) -> Self {
        let texts = |list: Option<&toml::Value>| {
            let list = list.and_then(toml::Value::as_array).into_iter().flatten();
            list.filter_map(|text| text.as_str().map(str::to_owned)).collect::<BTreeSet<_>>()
        };
        let licences = &deny["licenses"];
        let exceptions = licences.get("exceptions").and_then(toml::Value::as_array).into_iter().flatten();
        let exception = |table: &toml::Value| {
            let name = ["name", "crate"].iter().find_map(|key| table.get(key)?.as_str());
            (name.expect("an exception names its package").to_owned(), texts(table.get("allow")))
        };
        Self { everywhere: texts(licences.get("allow")), exceptions: exceptions.map(exception).collect() }
    }

    fn has(&self, package: &str, licence: &str) -> bool {
        let of_package = self.exceptions.iter().filter(|(name, _)| name == package);
        self.everywhere.contains(licence)
            || of_package.into_iter().any(|(_, allowed)| allowed.contains(licence))
    }
}

/// All packages of the lock file that some feature, on some system, takes in; without our own. Where they cannot be
/// downloaded, those of this system, which has compiled them.
pub(crate) fn packages() -> Vec<Package> {
    let whole = metadata(&["--all-features"]);
    let metadata = whole.or_else(|problem| {
        eprintln!("INCOMPLETE: licences of this system's packages only, since cargo cannot get all of them: {problem}");
        let system = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        metadata(&["--offline", "--filter-platform", &system])
    });
    let metadata = metadata.unwrap_or_else(|problem| panic!("cargo metadata: {problem}"));
    let text = |package: &Value, key: &str| package[key].as_str().map(str::to_owned);
    let package = |package: &Value| Package {
        name: text(package, "name").expect("a package has a name"),
        version: text(package, "version").expect("a package has a version"),
        licence: text(package, "license").or_else(|| licence_of_text(package).map(str::to_owned)),
    };
    let list = metadata["packages"].as_array().expect("a list");
    list.iter().filter(|package| !package["source"].is_null()).map(package).collect()
}

/// What `cargo metadata` says.
///
/// # Errors
/// What it complains of.
fn metadata(args: &[&str]) -> Result<Value, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--locked"]).args(args).current_dir(root());
    let output = command.output().expect("cargo starts");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// What the text is that a package has in place of an expression, where it is still the one that we have read.
fn licence_of_text(package: &Value) -> Option<&'static str> {
    use sha2::{Digest, Sha256};
    let (_, licence, hash) = TEXTS.into_iter().find(|(name, ..)| package["name"] == *name)?;
    let manifest = std::path::Path::new(package["manifest_path"].as_str()?);
    let text = std::fs::read(manifest.with_file_name(package["license_file"].as_str()?)).ok()?;
    let mut found = String::new();
    for byte in Sha256::digest(text) {
        write!(found, "{byte:02x}").ok()?;
    }
    (found == hash).then_some(licence)
}

/// Packages whose licence is not allowed, or cannot be read.
pub(crate) fn findings(packages: &[Package], allowed: &Allowed) -> Vec<Finding> {
    let finding = |Package { name, version, licence }: &Package| {
        let rule = match licence.as_deref().map(|text| permits(text, &|licence| allowed.has(name, licence))) {
            Some(Ok(true)) => return None,
            Some(Ok(false)) => {
                format!("`{}` is not allowed by deny.toml", licence.as_deref().unwrap_or_default())
            }
            Some(Err(problem)) => {
                format!("`{}` is no SPDX expression: {problem}", licence.as_deref().unwrap_or_default())
            }
            None => "it names no licence; read its text, and add it to `TEXTS`".to_owned(),
        };
        Some(Finding { place: format!("{name} {version}"), rule, reason: REASON })
    };
    packages.iter().filter_map(finding).collect()
}

/// Whether an SPDX expression can be met with licences of which `allowed` says yes. `A/B` is cargo's old form of `A OR B`.
///
/// # Errors
/// In words, where it is no expression.
fn permits(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, at: 0, allowed };
    let permitted = parser.alternatives()?;
    match parser.peek() {
        None => Ok(permitted),
        Some(word) => Err(format!("expected its end, found `{word}`")),
    }
}

/// Annex D of the SPDX specification: `WITH` binds closest, then `AND`, then `OR`.
struct Parser<'a> {
    words: &'a [&'a str],
    at: usize,
    allowed: &'a dyn Fn(&str) -> bool,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.at += usize::from(found);
        found
    }

    fn alternatives(&mut self) -> Result<bool, String> {
        let mut permitted = self.conjunction()?;
        while self.take("OR") {
            permitted |= self.conjunction()?;
        }
        Ok(permitted)
    }

    fn conjunction(&mut self) -> Result<bool, String> {
        let mut permitted = self.licence()?;
        while self.take("AND") {
            permitted &= self.licence()?;
        }
        Ok(permitted)
    }

    fn licence(&mut self) -> Result<bool, String> {
        if self.take("(") {
            let permitted = self.alternatives()?;
            return if self.take(")") { Ok(permitted) } else { Err("expected `)`".to_owned()) };
        }
        let name = self.name()?;
        if self.take("WITH") {
            let exception = self.name()?;
            // An exception only adds rights.
            return Ok((self.allowed)(name) || (self.allowed)(&format!("{name} WITH {exception}")));
        }
        Ok((self.allowed)(name))
    }

    fn name(&mut self) -> Result<&'a str, String> {
        let is_name = |word: &&str| {
            !["OR", "AND", "WITH"].contains(word)
                && word.chars().all(|c| c.is_ascii_alphanumeric() || "-.+:".contains(c))
        };
        let name = self.peek().filter(is_name).ok_or_else(|| {
            format!("expected the name of a licence, found {}", self.peek().unwrap_or("its end"))
        })?;
        self.at += 1;
        Ok(name)
    }
}

#[test]
fn expressions_are_met_as_spdx_says() {
    let allowed = |name: &str| ["MIT", "Apache-2.0", "ISC", "GPL-3.0 WITH Classpath"].contains(&name);
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT OR GPL-3.0", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("MIT AND (GPL-3.0 OR ISC)", true),
        ("GPL-3.0 OR MIT AND ISC", true),
        ("MIT AND ISC OR GPL-3.0", true),
        ("(MIT OR ISC) AND NCSA", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("GPL-3.0 WITH Classpath", true),
        ("GPL-3.0 WITH Bison", false),
        ("GPL-3.0-or-later", false),
    ] {
        assert_eq!(permits(expression, &allowed), Ok(met), "{expression}");
    }
    for expression in ["", "MIT OR", "(MIT", "MIT)", "MIT ISC", "AND", "MIT, ISC", "MIT WITH"] {
        assert!(permits(expression, &allowed).is_err(), "{expression}");
    }
}

#[test]
fn a_package_without_an_allowed_licence_is_found() {
    let deny = "[licenses]\nallow = [\"MIT\"]\nexceptions = [{ name = \"roots\", allow = [\"MPL-2.0\"] }]";
    let allowed = Allowed::of(&deny.parse().expect("TOML"));
    let package = |name: &str, licence: Option<&str>| Package {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        licence: licence.map(str::to_owned),
    };
    let packages = [
        package("a", Some("MIT OR GPL-3.0")),
        package("roots", Some("MPL-2.0")),
        package("b", Some("MPL-2.0")),
        package("c", None),
        package("d", Some("see LICENSE")),
    ];
    let places: Vec<String> = findings(&packages, &allowed).into_iter().map(|f| f.place).collect();
    assert_eq!(places, ["b 1.0.0", "c 1.0.0", "d 1.0.0"]);
}
