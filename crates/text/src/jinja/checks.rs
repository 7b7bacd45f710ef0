//! Jinja2's tests, where minijinja's mean something else or are missing.

use super::budget::paid;
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, State, tests};

pub(super) fn add(env: &mut Environment<'static>) {
    env.add_test("iterable", is_iterable);
    env.add_test("sequence", is_sequence);
    env.add_test("callable", is_callable);
    for (names, test) in [
        (&["eq", "equalto", "=="][..], tests::is_eq as fn(&Value, &Value) -> bool),
        (&["ne", "!="], tests::is_ne),
        (&["lt", "lessthan", "<"], tests::is_lt),
        (&["le", "<="], tests::is_le),
        (&["gt", "greaterthan", ">"], tests::is_gt),
        (&["ge", ">="], tests::is_ge),
    ] {
        for name in names {
            env.add_test(*name, move |state: &State, value: &Value, other: &Value| {
                both_paid(state, value, other).map(|()| test(value, other))
            });
        }
    }
    env.add_test("in", |state: &State, value: &Value, other: &Value| {
        both_paid(state, value, other)?;
        tests::is_in(state, value, other)
    });
}

/// Comparing goes down into both, and a text is searched for what the other is written as.
fn both_paid(state: &State, value: &Value, other: &Value) -> Result<(), Error> {
    paid(state, value)?;
    paid(state, other)
}

/// What `iter()` takes: no none, which minijinja takes for an empty sequence.
fn is_iterable(value: &Value) -> bool {
    !value.is_none() && tests::is_iterable(value)
}

/// What has a length and items: also strings and mappings.
fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String | ValueKind::Undefined)
}

/// Functions and macros; undefined is callable in Jinja2, and fails when it is called.
fn is_callable(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Plain | ValueKind::Undefined)
}
