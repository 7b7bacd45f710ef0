//! What can be wrong with a rubric or with a line to verify. A completion is never an error: it is judged.

/// Everything in this crate that can fail.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No verifier has that name.
    #[error("unknown verifier kind {kind:?}{}; expected one of: {}", suggestion(*nearest), known.join(", "))]
    UnknownKind {
        /// The name that was asked for.
        kind: String,
        /// The known name most like it.
        nearest: Option<&'static str>,
        /// The names that exist.
        known: Vec<&'static str>,
    },
    /// A line asks for a kind that runs what a model wrote, where that was not allowed.
    #[error(
        "the kind `{kind}` runs programs that a model wrote; `verify --allow-code` lets it, in a sandbox"
    )]
    NotAllowed {
        /// The kind.
        kind: String,
    },
    /// A recipe gives a verifier an option that it does not have.
    #[error("`{kind}` has no option {key:?}{}; expected {}", suggestion(*nearest), listed(known))]
    UnknownOption {
        /// The verifier.
        kind: String,
        /// The option.
        key: String,
        /// The known option most like it.
        nearest: Option<&'static str>,
        /// The options that it has.
        known: &'static [&'static str],
    },
    /// A line has a key that its kind does not read.
    #[error(
        "`{kind}` reads no {key:?}{}; it has {} and reads {}",
        suggestion(*nearest),
        listed_as("options", options),
        listed_as("columns", columns)
    )]
    UnknownKeyword {
        /// The verifier.
        kind: String,
        /// The key.
        key: String,
        /// The known key most like it.
        nearest: Option<&'static str>,
        /// Its options.
        options: Vec<&'static str>,
        /// The columns of a task that it reads.
        columns: Vec<&'static str>,
    },
    /// A verifier to register has the name of another one.
    #[error("a verifier named `{name}` is there already; give this one another name")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// An option of a verifier has a value that it cannot take.
    #[error("`{key}` of the verifier `{kind}`: {reason}")]
    Option {
        /// The verifier.
        kind: &'static str,
        /// The option.
        key: &'static str,
        /// What was expected and what was found.
        reason: String,
    },
    /// A rubric that cannot judge anything.
    #[error("the rubric has no component; give it at least one verifier")]
    EmptyRubric,
    /// A weight that is no number.
    #[error("the weight of `{name}` is {weight}; expected a finite number")]
    Weight {
        /// The component.
        name: String,
        /// Its weight.
        weight: f64,
    },
    /// Two components whose scores would be reported under one name.
    #[error("the rubric has two components named `{name}`; each name is reported once")]
    DuplicateComponent {
        /// The name.
        name: String,
    },
    /// A line of `ruminate verify` that is not what it must be.
    #[error("expected {expected}, found {found}")]
    Line {
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

fn listed(options: &[&str]) -> String {
    if options.is_empty() { "none".to_owned() } else { format!("one of: {}", options.join(", ")) }
}

fn listed_as(what: &str, names: &[&str]) -> String {
    if names.is_empty() { format!("no {what}") } else { format!("the {what} {}", names.join(", ")) }
}
