//! Verifiers and group rewards by name, for recipes and for `ruminate verify`.

use crate::verifiers::math::{Notation, Required};
use crate::verifiers::pattern::{Extent, Pattern, Subject};
use crate::{
    Cosine, Countdown, EXTERNAL_KINDS, Error, Exact, Format, GroupReward, Gsm8k, InstructionFollowing,
    JsonAnswer, LanguageId, LastNumber, Length, Math, MultipleChoice, Overlong, Repetition, Response,
    TagCount, TextMatch, Verifier,
};
use ruminate_data::{Task, Verdict, nearest};
use ruminate_math_verify::{Comma, Options, Require, SetRelation, Tolerance, Variables};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The names that [`by_name`] knows.
pub const KINDS: &[&str] = &[
    "choice",
    "countdown",
    "exact",
    "format",
    "gsm8k",
    "ifeval",
    "json",
    "language",
    "last_number",
    "math",
    "overlong",
    "regex",
    "repetition",
    "tag_count",
    "text",
];

/// The names that [`group_reward`] knows.
pub const GROUP_REWARDS: &[&str] = &["cosine", "length"];

/// The options of each kind that has any; docs/rewards.md describes them.
const OPTIONS: &[(&str, &[&str])] = &[
    ("choice", &["choices"]),
    ("cosine", &["max_len", "min_value_wrong", "max_value_wrong", "min_value_correct", "max_value_correct"]),
    ("format", &["style", "empty_thought"]),
    ("ifeval", &["following", "scoring"]),
    ("json", &["check"]),
    ("language", &["language"]),
    (
        "math",
        &[
            "targets",
            "strict",
            "allow_set_relation",
            "require",
            "golds",
            "decimal_comma",
            "abs",
            "rel",
            "digits",
            "tolerance_column",
        ],
    ),
    ("overlong", &["max_completion_len", "soft_punish_cache"]),
    ("regex", &["pattern", "subject", "extent"]),
    ("repetition", &["ngram_size", "max_penalty", "unit"]),
    ("text", &["metric", "threshold"]),
];

/// Verifiers of the program around this crate, by name.
static REGISTERED: Mutex<BTreeMap<String, Arc<dyn Verifier>>> = Mutex::new(BTreeMap::new());

/// Adds a verifier of one's own to those that [`by_name`] finds in this process, under its own name. It has no options.
///
/// ```
/// use ruminate_data::{Task, Verdict, nearest};
/// use ruminate_reward::{Response, Verifier, by_name, register};
/// use std::sync::Arc;
///
/// struct Palindrome;
///
/// impl Verifier for Palindrome {
///     fn name(&self) -> &str {
///         "palindrome"
///     }
///
///     fn verify(&self, _: &Task, response: &Response<'_>) -> Verdict {
///         let text = response.text.trim();
///         if text.chars().eq(text.chars().rev()) { Verdict::correct(1.0) } else { Verdict::wrong(0.0) }
///     }
/// }
///
/// register(Arc::new(Palindrome))?;
/// let verdict = by_name("palindrome")?.verify(&Task::new("", ""), &Response::finished("noon"));
/// assert_eq!(verdict.score, 1.0);
/// # Ok::<(), ruminate_reward::Error>(())
/// ```
///
/// # Errors
/// [`Error::NameTaken`] where a kind or a verifier that was registered before has that name.
pub fn register(verifier: Arc<dyn Verifier>) -> Result<(), Error> {
    let name = verifier.name().to_owned();
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    let known = [KINDS, GROUP_REWARDS, EXTERNAL_KINDS].concat();
    if known.contains(&name.as_str()) || registered.contains_key(&name) {
        return Err(Error::NameTaken { name });
    }
    registered.insert(name, verifier);
    Ok(())
}

/// Whether a verifier of that name was registered.
pub(crate) fn is_registered(kind: &str) -> bool {
    REGISTERED.lock().unwrap_or_else(PoisonError::into_inner).contains_key(kind)
}

fn registered(kind: &str) -> Option<Box<dyn Verifier>> {
    let registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    registered.get(kind).map(|verifier| Box::new(Registered(verifier.clone())) as Box<dyn Verifier>)
}

/// A verifier that was registered, for one rubric.
struct Registered(Arc<dyn Verifier>);

impl Verifier for Registered {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn verify(&self, task: &Task, response: &Response<'_>) -> Verdict {
        self.0.verify(task, response)
    }

    fn check_gold(&self, task: &Task) -> Result<(), String> {
        self.0.check_gold(task)
    }
}

/// The verifier of that name with its default options.
///
/// # Errors
/// [`Error::UnknownKind`] with the nearest name.
pub fn by_name(kind: &str) -> Result<Box<dyn Verifier>, Error> {
    with_options(kind, &Map::new())
}

/// The verifier of that name; it takes its own options and ignores other keys, as `ruminate verify` must.
///
/// # Errors
/// [`Error::UnknownKind`] with the nearest name; [`Error::Option`] for a value that an option cannot take.
pub fn with_options(kind: &str, options: &Map<String, Value>) -> Result<Box<dyn Verifier>, Error> {
    Ok(match kind {
        "choice" => Box::new(choice(options)?),
        "countdown" => Box::new(Countdown),
        "exact" => Box::new(Exact),
        "format" => Box::new(Format {
            style: or_default("format", "style", options)?,
            empty_thought: or_default("format", "empty_thought", options)?,
        }),
        "gsm8k" => Box::new(Gsm8k),
        "ifeval" => Box::new(InstructionFollowing {
            following: or_default("ifeval", "following", options)?,
            scoring: or_default("ifeval", "scoring", options)?,
        }),
        "json" => Box::new(JsonAnswer { check: or_default("json", "check", options)? }),
        "language" => Box::new(language(options)?),
        "last_number" => Box::new(LastNumber),
        "math" => Box::new(math(options)?),
        "overlong" => Box::new(overlong(options)?),
        "regex" => Box::new(regex(options)?),
        "repetition" => Box::new(repetition(options)?),
        "tag_count" => Box::new(TagCount),
        "text" => Box::new(text(options)?),
        _ => return registered(kind).ok_or_else(|| unknown(kind, KINDS)),
    })
}

/// The group reward of that name with its options; other keys are ignored.
///
/// # Errors
/// As [`with_options`].
pub fn group_reward(kind: &str, options: &Map<String, Value>) -> Result<Box<dyn GroupReward>, Error> {
    Ok(match kind {
        "cosine" => Box::new(cosine(options)?),
        "length" => Box::new(Length),
        _ => return Err(unknown(kind, GROUP_REWARDS)),
    })
}

/// The options of a kind.
pub(crate) fn options_of(kind: &str) -> &'static [&'static str] {
    OPTIONS.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, options)| options)
}

/// Rejects an unknown kind and a key that is no option of it, so that a recipe's slip does not pass silently.
///
/// # Errors
/// [`Error::UnknownKind`], [`Error::UnknownOption`], each with the nearest name.
pub fn check_options<'a>(kind: &str, keys: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
    if !KINDS.contains(&kind) && !GROUP_REWARDS.contains(&kind) && !is_registered(kind) {
        return Err(unknown(kind, &[KINDS, GROUP_REWARDS].concat()));
    }
    let known = options_of(kind);
    match keys.into_iter().find(|key| !known.contains(key)) {
        None => Ok(()),
        Some(key) => Err(Error::UnknownOption {
            kind: kind.to_owned(),
            key: key.to_owned(),
            nearest: nearest(key, known.iter().copied()),
            known,
        }),
    }
}

fn choice(options: &Map<String, Value>) -> Result<MultipleChoice, Error> {
    let choices = option("choice", "choices", options)?.unwrap_or(MultipleChoice::default().choices);
    in_range("choice", "choices", choices, (2..=26).contains(&choices), "a whole number from 2 to 26")?;
    Ok(MultipleChoice { choices })
}

fn language(options: &Map<String, Value>) -> Result<LanguageId, Error> {
    let Some(code) = option::<String>("language", "language", options)? else {
        return Ok(LanguageId::default());
    };
    LanguageId::new(&code).ok_or_else(|| Error::Option {
        kind: "language",
        key: "language",
        reason: format!("expected one of {}, found {code:?}", LanguageId::codes().join(", ")),
    })
}

fn math(options: &Map<String, Value>) -> Result<Math, Error> {
    let targets = match option::<Vec<Notation>>("math", "targets", options)? {
        Some(named) => named.into_iter().map(Into::into).collect(),
        None => Options::default().targets,
    };
    in_range("math", "targets", targets.len(), !targets.is_empty(), "at least one of latex, expr, string")?;
    let variables = match option("math", "strict", options)? {
        Some(false) => Variables::Renamed,
        Some(true) | None => Variables::Strict,
    };
    let set_relation = match option("math", "allow_set_relation", options)? {
        Some(true) | None => SetRelation::Allowed,
        Some(false) => SetRelation::Refused,
    };
    let require = match option::<Required>("math", "require", options)? {
        Some(Required::Boxed) => Require::Boxed,
        Some(Required::Anything) | None => Require::Anything,
    };
    let comma = match option("math", "decimal_comma", options)? {
        Some(true) => Comma::Decimal,
        Some(false) | None => Comma::List,
    };
    Ok(Math {
        options: Options { targets, variables, set_relation, require, comma, tolerance: tolerance(options)? },
        golds: or_default("math", "golds", options)?,
        tolerance_column: option("math", "tolerance_column", options)?,
    })
}

fn tolerance(options: &Map<String, Value>) -> Result<Option<Tolerance>, Error> {
    let distance = |key: &'static str| -> Result<Option<f64>, Error> {
        let value: Option<f64> = option("math", key, options)?;
        let fits = value.is_none_or(|value| value.is_finite() && value >= 0.0);
        in_range("math", key, value.unwrap_or_default(), fits, "a number from 0")?;
        Ok(value)
    };
    let (absolute, relative) = (distance("abs")?, distance("rel")?);
    let digits: Option<u32> = option("math", "digits", options)?;
    in_range("math", "digits", digits.unwrap_or(1), digits.is_none_or(|n| (1..=15).contains(&n)), "1 to 15")?;
    let given = absolute.is_some() || relative.is_some() || digits.is_some();
    Ok(given.then(|| Tolerance {
        absolute: absolute.unwrap_or_default(),
        relative: relative.unwrap_or_default(),
        digits,
    }))
}

fn overlong(options: &Map<String, Value>) -> Result<Overlong, Error> {
    let paper = Overlong::default();
    let max_completion_len =
        option("overlong", "max_completion_len", options)?.unwrap_or(paper.max_completion_len);
    let soft_punish_cache =
        option("overlong", "soft_punish_cache", options)?.unwrap_or(paper.soft_punish_cache);
    let fits = soft_punish_cache <= max_completion_len;
    in_range("overlong", "soft_punish_cache", soft_punish_cache, fits, "at most `max_completion_len`")?;
    Ok(Overlong { max_completion_len, soft_punish_cache })
}

fn repetition(options: &Map<String, Value>) -> Result<Repetition, Error> {
    let paper = Repetition::default();
    let ngram_size = option("repetition", "ngram_size", options)?.unwrap_or(paper.ngram_size);
    // Longer ones would make the hash of each n-gram as long as the text.
    in_range(
        "repetition",
        "ngram_size",
        ngram_size,
        (1..=64).contains(&ngram_size),
        "a whole number from 1 to 64",
    )?;
    let max_penalty = option("repetition", "max_penalty", options)?.unwrap_or(paper.max_penalty);
    in_range("repetition", "max_penalty", max_penalty, max_penalty <= 0.0, "a number not above 0")?;
    Ok(Repetition { ngram_size, max_penalty, unit: or_default("repetition", "unit", options)? })
}

fn text(options: &Map<String, Value>) -> Result<TextMatch, Error> {
    let threshold = option("text", "threshold", options)?.unwrap_or(TextMatch::default().threshold);
    let fits = threshold > 0.0 && threshold <= 1.0;
    in_range("text", "threshold", threshold, fits, "a number above 0, up to 1")?;
    Ok(TextMatch { metric: or_default("text", "metric", options)?, threshold })
}

fn regex(options: &Map<String, Value>) -> Result<Pattern, Error> {
    let pattern: Option<String> = option("regex", "pattern", options)?;
    let subject: Subject = or_default("regex", "subject", options)?;
    let extent: Extent = or_default("regex", "extent", options)?;
    Pattern::new(pattern.as_deref(), subject, extent).map_err(|reason| Error::Option {
        kind: "regex",
        key: "pattern",
        reason,
    })
}

fn cosine(options: &Map<String, Value>) -> Result<Cosine, Error> {
    let max_len: Option<usize> = option("cosine", "max_len", options)?;
    let max_len = max_len.filter(|&tokens| tokens > 0).ok_or_else(|| Error::Option {
        kind: "cosine",
        key: "max_len",
        reason: "expected a number of tokens from 1, as `rollout.max_new_tokens`".to_owned(),
    })?;
    let mut cosine = Cosine::new(max_len);
    for (key, value) in [
        ("min_value_wrong", &mut cosine.min_value_wrong),
        ("max_value_wrong", &mut cosine.max_value_wrong),
        ("min_value_correct", &mut cosine.min_value_correct),
        ("max_value_correct", &mut cosine.max_value_correct),
    ] {
        *value = option("cosine", key, options)?.unwrap_or(*value);
    }
    Ok(cosine)
}

/// The value of an option, where there is one.
fn option<T: DeserializeOwned>(
    kind: &'static str,
    key: &'static str,
    options: &Map<String, Value>,
) -> Result<Option<T>, Error> {
    let read = |value: &Value| serde_json::from_value(value.clone());
    options.get(key).map(read).transpose().map_err(|error| Error::Option {
        kind,
        key,
        reason: error.to_string(),
    })
}

fn or_default<T: DeserializeOwned + Default>(
    kind: &'static str,
    key: &'static str,
    options: &Map<String, Value>,
) -> Result<T, Error> {
    Ok(option(kind, key, options)?.unwrap_or_default())
}

fn in_range(
    kind: &'static str,
    key: &'static str,
    found: impl std::fmt::Display,
    fits: bool,
    expected: &str,
) -> Result<(), Error> {
    if fits {
        return Ok(());
    }
    Err(Error::Option { kind, key, reason: format!("expected {expected}, found {found}") })
}

pub(crate) fn unknown(kind: &str, known: &[&'static str]) -> Error {
    Error::UnknownKind {
        kind: kind.to_owned(),
        nearest: nearest(kind, known.iter().copied()),
        known: known.to_vec(),
    }
}
