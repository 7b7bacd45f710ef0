//! Jinja2's tests, where minijinja's mean something else or are missing.

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, tests};

pub(super) fn add(env: &mut Environment<'static>) {
    env.add_test("iterable", is_iterable);
    env.add_test("sequence", is_sequence);
    env.add_test("callable", is_callable);
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
