//! What one rendering may cost, where the engine does not count: time, and texts that lists share. It renders nothing.

use super::{MAX_NESTING, python};
use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueIter, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The engine's budget for one rendering: instructions, of which each is as much as 64 bytes of the texts and lists that they
/// make. With the room that lists grow into it is twice as much memory.
const FUEL: u64 = 1_600_000;

/// How often what is given to a template may be copied beyond that: long chats are rendered, too.
const COPIES: u64 = 32;

/// How long a rendering takes at most. A chat of eight megabytes takes a tenth of a second.
pub(crate) const LIMIT: Duration = Duration::from_secs(2);

thread_local! {
    /// When the rendering on this thread has to have ended.
    static END: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Starts the clock of a rendering that has this thread to itself.
pub(crate) fn start_clock() {
    END.set(Instant::now().checked_add(LIMIT));
}

/// The environment with fuel for so many bytes of input.
pub(crate) fn fueled(env: &Environment<'static>, input_bytes: usize) -> Environment<'static> {
    let mut env = env.clone();
    env.set_fuel(Some(FUEL + input_bytes as u64 * COPIES / 64));
    env
}

/// # Errors
/// The time is over.
pub(super) fn in_time() -> Result<(), Error> {
    if END.get().is_some_and(|end| Instant::now() > end) {
        let reason = format!("expected to end within {} seconds", LIMIT.as_secs());
        return Err(Error::new(ErrorKind::InvalidOperation, reason));
    }
    Ok(())
}

/// Takes fuel for all that a list or a mapping holds, and for the bytes of its texts: a list that is repeated has them only
/// once in memory. The engine has counted texts that stand alone.
///
/// # Errors
/// There is no more fuel or time, or it is nested deeper than [`MAX_NESTING`]: writing, comparing and dropping go down a stack
/// that has an end.
pub(super) fn paid(state: &State, value: &Value) -> Result<(), Error> {
    in_time()?;
    paid_within(state, value, 0)
}

fn paid_within(state: &State, value: &Value, depth: usize) -> Result<(), Error> {
    if let Some(text) = value.as_str() {
        return if depth == 0 { Ok(()) } else { state.consume_fuel(text.len() as u64 / 64 + 1) };
    }
    if depth > MAX_NESTING {
        return Err(too_deep());
    }
    match value.kind() {
        ValueKind::Map => {
            state.consume_fuel(1)?;
            python::pairs(value).try_for_each(|(key, item)| {
                paid_within(state, &key, depth + 1)?;
                paid_within(state, &item, depth + 1)
            })
        }
        ValueKind::Seq | ValueKind::Iterable => {
            state.consume_fuel(1)?;
            value.try_iter()?.try_for_each(|item| paid_within(state, &item, depth + 1))
        }
        _ if depth > 0 => state.consume_fuel(1),
        _ => Ok(()),
    }
}

/// Pays for all values, and returns about how many bytes they have when they are written out.
///
/// # Errors
/// As [`paid`].
pub(super) fn cost(state: &State, values: &[Value]) -> Result<usize, Error> {
    let left = || state.fuel_levels().map_or(0, |(_, left)| left);
    let before = left();
    values.iter().try_for_each(|value| paid(state, value))?;
    let lists = usize::try_from(before.saturating_sub(left())).unwrap_or(usize::MAX).saturating_mul(64);
    Ok(values.iter().map(|value| value.as_str().map_or(0, str::len)).fold(lists, usize::saturating_add))
}

pub(super) fn too_deep() -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        format!("expected a value of at most {MAX_NESTING} levels of nesting, found a deeper one"),
    )
}

/// Takes fuel for bytes that are read.
pub(super) fn read(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel(bytes as u64 / 64)
}

/// Takes fuel for items of a list before it is made.
pub(super) fn items(state: &State, count: usize) -> Result<(), Error> {
    state.consume_fuel(count as u64 / 2 + 1)
}

/// What a loop goes over, with a look at the clock before each item.
#[derive(Debug)]
pub(super) struct Watched(pub(super) Value);

impl Object for Watched {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.0.try_iter().map_or(Enumerator::Empty, |items| Enumerator::Iter(Box::new(InTime(items))))
    }
}

struct InTime(ValueIter);

impl Iterator for InTime {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        let item = self.0.next()?;
        // The engine raises an error that it is given as an item.
        Some(in_time().map_or_else(Value::from, |()| item))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
