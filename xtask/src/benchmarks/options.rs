//! The arguments of `cargo xtask benchmarks`.

use anyhow::{Result, anyhow, bail};
use lexopt::Arg::{Long, Short, Value};
use std::ffi::OsString;
use std::path::PathBuf;

/// What it understands, for people.
const USAGE: &str = "cargo xtask benchmarks [--peer] [--python PATH] [--model DIR] [--only SECTION]... [--quick]
  --peer          measure the Python programs of bench/ in turn with ours
  --python PATH   the interpreter that has torch, transformers and trl [default: python3]
  --model DIR     SmolLM2-135M-Instruct as a Hugging Face folder [default: bench/smollm2-135m, random weights]
  --only SECTION  models, kernels, growth or default: the others stay as they were measured last [may be repeated]
  --quick         a smoke test of minutes: small shapes, written to target/benchmarks/quick.md";

/// A part of the page, measured at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// Whole commands beside their peers.
    Models,
    /// The criterion benches of `kernels`.
    Kernels,
    /// How cost grows.
    Growth,
    /// The embedded default from nothing to its evaluation.
    Default,
}

impl Section {
    pub(super) const ALL: [Self; 4] = [Self::Models, Self::Kernels, Self::Growth, Self::Default];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Models => "models",
            Self::Kernels => "kernels",
            Self::Growth => "growth",
            Self::Default => "default",
        }
    }
}

/// How long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// What the page is made of.
    Full,
    /// Whether everything runs.
    Quick,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// The interpreter of the peers, where they are asked for.
    pub(super) peer: Option<PathBuf>,
    pub(super) model: Option<PathBuf>,
    pub(super) sections: Vec<Section>,
    pub(super) extent: Extent,
}

impl Options {
    pub(super) fn parse(args: &[OsString]) -> Result<Self> {
        let (mut peer, mut python, mut model, mut sections) = (false, None, None, Vec::new());
        let mut extent = Extent::Full;
        let mut parser = lexopt::Parser::from_args(args);
        while let Some(arg) = parser.next().map_err(refused)? {
            match arg {
                Long("peer") => peer = true,
                Long("quick") => extent = Extent::Quick,
                Long("python") => python = Some(PathBuf::from(parser.value().map_err(refused)?)),
                Long("model") => model = Some(PathBuf::from(parser.value().map_err(refused)?)),
                Long("only") => {
                    let name = parser.value().map_err(refused)?;
                    match Section::ALL.into_iter().find(|section| name == section.name()) {
                        Some(section) => sections.push(section),
                        None => bail!("--only {}: no such section\n{USAGE}", name.display()),
                    }
                }
                Long(name) => bail!("unknown argument --{name}\n{USAGE}"),
                Short(name) => bail!("unknown argument -{name}\n{USAGE}"),
                Value(text) => bail!("unknown argument {}\n{USAGE}", text.display()),
            }
        }
        if python.is_some() && !peer {
            bail!("--python is the peers' interpreter; add --peer to measure them");
        }
        if sections.is_empty() {
            sections = Section::ALL.to_vec();
        }
        let peer = peer.then(|| python.unwrap_or_else(|| PathBuf::from("python3")));
        Ok(Self { peer, model, sections, extent })
    }
}

/// What is wrong with the arguments, with the usage.
fn refused(error: lexopt::Error) -> anyhow::Error {
    match error {
        lexopt::Error::MissingValue { option: Some(option) } => anyhow!("{option} needs a value\n{USAGE}"),
        error => anyhow!("{error}\n{USAGE}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Extent, Options, Section};
    use std::ffi::OsString;
    use std::path::Path;

    fn parsed(line: &str) -> Result<Options, String> {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        Options::parse(&args).map_err(|error| error.to_string())
    }

    #[test]
    fn without_arguments_everything_but_the_peers_is_measured() {
        let options = parsed("").expect("valid");
        assert_eq!(options.sections, Section::ALL);
        assert_eq!((options.peer, options.model, options.extent), (None, None, Extent::Full));
    }

    #[test]
    fn each_argument_is_read() {
        let options = parsed("--peer --python p/python --model m --only growth --only default --quick");
        let options = options.expect("valid");
        assert_eq!(options.peer.as_deref(), Some(Path::new("p/python")));
        assert_eq!(options.model.as_deref(), Some(Path::new("m")));
        assert_eq!(options.sections, [Section::Growth, Section::Default]);
        assert_eq!(options.extent, Extent::Quick);
        assert_eq!(parsed("--peer").expect("valid").peer.as_deref(), Some(Path::new("python3")));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_usage() {
        for (line, says) in [
            ("--pear", "unknown argument --pear"),
            ("-q", "unknown argument -q"),
            ("models", "unknown argument models"),
            ("--quick=yes", "--quick"),
            ("--only modles", "no such section"),
            ("--model", "needs a value"),
            ("--python p", "add --peer"),
        ] {
            let message = parsed(line).expect_err("refused");
            assert!(message.contains(says), "{message}");
        }
    }
}
