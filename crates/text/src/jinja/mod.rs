//! Jinja2 as chat templates know it, on minijinja: what `transformers` adds to it (`tojson`, `raise_exception`,
//! `strftime_now`), and where minijinja means something else. It does not know chats.

mod budget;
mod checks;
mod json;
mod methods;
mod operands;
mod python;
mod source;

use crate::strftime;
use minijinja::value::{Kwargs, Object, Rest, Tuple, Value, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Environment, Error, ErrorKind, State, filters, tests};
use std::sync::Arc;
use std::time::SystemTime;

pub(crate) use budget::{LIMIT, fueled, start_clock};
pub(crate) use source::{Generation, rewritten};

/// Bytes of one rendered chat: far beyond any context window, far below any memory.
pub(crate) const MAX_OUTPUT_BYTES: usize = 32 << 20;

/// Containers within containers; JSON that is read has at most 128.
const MAX_NESTING: usize = 200;

/// Filters that go through a text by its characters, each of them a value.
const BY_ITEM: [&str; 14] = [
    "list",
    "join",
    "sort",
    "unique",
    "sum",
    "min",
    "max",
    "batch",
    "slice",
    "map",
    "select",
    "selectattr",
    "reject",
    "rejectattr",
];

/// Noncharacters of Unicode, reserved for use inside a program: no text holds them.
pub(crate) const MARKS: [char; 2] = ['\u{fdd0}', '\u{fdd1}'];

/// What `raise_exception` carries through the engine, to be told apart from an engine's error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refusal(pub(crate) String);

/// An environment without templates. `now` is what `strftime_now` gives, in UTC.
pub(crate) fn environment(now: SystemTime) -> Environment<'static> {
    let mut env = Environment::new();
    let syntax = minijinja::syntax::SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    env.set_syntax(syntax.expect("the default delimiters are valid"));
    env.set_formatter(python::write);
    env.set_unknown_method_callback(methods::call);
    checks::add(&mut env);
    add_filters(&mut env);
    // It writes out everything, and is not in Jinja2.
    env.remove_global("debug");
    env.add_function("raise_exception", raise_exception);
    env.add_function("strftime_now", move |format: &str| {
        strftime::format(format, now).map_err(|reason| Error::new(ErrorKind::InvalidOperation, reason))
    });
    env
}

fn add_filters(env: &mut Environment<'static>) {
    env.add_filter("tojson", json::tojson);
    env.add_filter("string", |state: &State, value: &Value| python::text(state, value));
    env.add_filter("default", default);
    env.add_filter("d", default);
    env.add_filter("float", float);
    env.add_filter("int", int);
    env.add_filter(source::MARK_FILTER, |text: String| [MARKS[0].into(), text, MARKS[1].into()].concat());
    env.add_filter(source::LOOP_FILTER, iterated);
    env.add_filter(source::SET_FILTER, bounded);
    env.add_filter(source::WEIGH_FILTER, weighed);
    env.add_filter(source::MACRO_FILTER, |inner: Value| Value::from_object(Collecting(inner)));
    // minijinja takes none for an empty sequence, as Jinja2 does in some of its filters. What is written out or compared is
    // paid for before.
    for (name, takes_none, paying, filter) in [
        ("list", false, false, Value::from_function(filters::list)),
        ("join", false, true, Value::from_function(filters::join)),
        ("first", false, false, Value::from_function(filters::first)),
        ("last", false, false, Value::from_function(filters::last)),
        ("sort", false, true, Value::from_function(filters::sort)),
        ("unique", false, true, Value::from_function(filters::unique)),
        ("sum", false, true, Value::from_function(filters::sum)),
        ("min", false, true, Value::from_function(filters::min)),
        ("max", false, true, Value::from_function(filters::max)),
        ("reverse", false, false, Value::from_function(filters::reverse)),
        ("batch", false, true, Value::from_function(filters::batch)),
        ("slice", false, true, Value::from_function(filters::slice)),
        ("map", true, false, Value::from_function(filters::map)),
        ("select", true, false, Value::from_function(filters::select)),
        ("selectattr", true, false, Value::from_function(filters::selectattr)),
        ("reject", true, false, Value::from_function(filters::reject)),
        ("rejectattr", true, false, Value::from_function(filters::rejectattr)),
        ("escape", true, true, Value::from_function(filters::escape)),
        ("e", true, true, Value::from_function(filters::escape)),
        ("safe", true, true, Value::from_function(filters::safe)),
        ("lower", true, true, Value::from_function(filters::lower)),
        ("upper", true, true, Value::from_function(filters::upper)),
        ("title", true, true, Value::from_function(filters::title)),
        ("capitalize", true, true, Value::from_function(filters::capitalize)),
        ("trim", true, true, Value::from_function(filters::trim)),
        ("split", true, true, Value::from_function(filters::split)),
        ("lines", true, true, Value::from_function(filters::lines)),
        ("format", true, true, Value::from_function(filters::format)),
        ("replace", true, true, Value::from_function(replace)),
        ("indent", true, true, Value::from_function(filters::indent)),
        ("pprint", true, true, Value::from_function(filters::pprint)),
    ] {
        let wrapped = move |state: &mut State, args: Rest<ValueOrKwargs>| {
            let args = args.into_values();
            if !takes_none && args.first().is_some_and(Value::is_none) {
                return Err(not_iterable());
            }
            if let Some(text) = args.first().and_then(Value::as_str)
                && BY_ITEM.contains(&name)
            {
                // Its characters become a value each.
                budget::items(state, text.len())?;
            }
            if paying {
                prepaid(state, name, &args)?;
            } else if matches!(name, "last" | "reverse") {
                // They copy the list.
                budget::items(state, args.first().and_then(Value::len).unwrap_or(0))?;
            }
            filter.call(state, &args)
        };
        env.add_filter(name, wrapped);
    }
}

/// Takes fuel for what a filter is given, and for what it makes of it before the engine counts that.
fn prepaid(state: &State, name: &str, args: &[Value]) -> Result<(), Error> {
    let given = budget::cost(state, args)?;
    let text = args.first().and_then(Value::as_str);
    // The engine fills batches up, and indents every line.
    let number = || numbers(args).into_iter().max().unwrap_or(0);
    match (name, text) {
        ("format", Some(format)) => methods::formatted(state, format, &args[1..]),
        ("split" | "lines", Some(text)) => budget::items(state, text.len()),
        ("batch" | "slice", _) => budget::items(state, number()),
        ("indent", Some(text)) => {
            budget::read(state, (text.matches('\n').count() + 1).saturating_mul(number()))
        }
        ("indent", None) => budget::read(state, given.saturating_mul(number().max(1))),
        // Each level has four more spaces.
        ("pprint", _) => budget::read(state, given.saturating_mul(12)),
        _ => Ok(()),
    }
}

/// The whole numbers that a filter is given behind its value, by place and by name.
fn numbers(args: &[Value]) -> Vec<usize> {
    let number = |value: &Value| usize::try_from(value.clone()).ok();
    let mut numbers: Vec<usize> = args.iter().skip(1).filter_map(number).collect();
    if let Some(names) = args.last().and_then(|last| Kwargs::try_from(last.clone()).ok()) {
        numbers.extend(names.args().filter_map(|name| number(&names.peek(name).ok()?)));
    }
    numbers
}

/// `replace(value, old, new, count)`, paid for by what it may make.
fn replace(
    state: &State,
    value: &Value,
    from: &Value,
    to: &Value,
    rest: Rest<ValueOrKwargs>,
) -> Result<Value, Error> {
    let rest = rest.into_values();
    let (count, names) = from_args::<(Option<Value>, Kwargs)>(&rest)?;
    let count = or_named(count, &names, "count")?.filter(|count| !count.is_none());
    names.assert_all_used()?;
    let count = count.map(i64::try_from).transpose()?.and_then(|count| usize::try_from(count).ok());
    let count = count.unwrap_or(usize::MAX);
    let [value, from, to] = [value, from, to].map(ToString::to_string);
    let matches = value.matches(from.as_str()).take(count).count();
    budget::read(state, matches.saturating_mul(to.len()).saturating_add(value.len()))?;
    Ok(value.replacen(&from, &to, count).into())
}

fn not_iterable() -> Error {
    Error::new(ErrorKind::InvalidOperation, "none is not iterable")
}

/// What a `for` loop goes over: a string by its characters, whose number the loop then knows; none not at all.
fn iterated(state: &State, value: Value) -> Result<Value, Error> {
    budget::in_time()?;
    match value.kind() {
        ValueKind::None => Err(not_iterable()),
        ValueKind::String => {
            budget::items(state, value.len().unwrap_or_default())?;
            Ok(value.try_iter()?.collect::<Vec<Value>>().into())
        }
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            Ok(Value::from_object(budget::Watched(value)))
        }
        _ => Ok(value),
    }
}

/// What is assigned: nested no deeper than [`MAX_NESTING`], and not the namespace that is to hold it; printing, comparing
/// and dropping such values would go down a stack that has an end.
fn bounded(state: &State, value: Value, holder: Option<Value>) -> Result<Value, Error> {
    budget::in_time()?;
    let value = match value.kind() {
        // Views of views of views are such values, too.
        ValueKind::Iterable => {
            budget::items(state, value.len().unwrap_or_default())?;
            value.try_iter()?.collect()
        }
        _ => value,
    };
    fits(state, &value, holder.as_ref(), 0)?;
    Ok(value)
}

fn fits(state: &State, value: &Value, holder: Option<&Value>, depth: usize) -> Result<(), Error> {
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Map) {
        return Ok(());
    }
    state.consume_fuel(1)?;
    let same = |holder: &Value| holder.as_object().is_some() && tests::is_sameas(holder, value);
    if depth > MAX_NESTING || holder.is_some_and(same) {
        return Err(budget::too_deep());
    }
    match value.kind() {
        ValueKind::Map => {
            python::pairs(value).try_for_each(|(_, item)| fits(state, &item, holder, depth + 1))
        }
        _ => value.try_iter()?.try_for_each(|item| fits(state, &item, holder, depth + 1)),
    }
}

/// An operand, paid for.
fn weighed(state: &State, value: Value) -> Result<Value, Error> {
    budget::paid(state, &value)?;
    Ok(value)
}

fn raise_exception(state: &State, message: &Value) -> Result<Value, Error> {
    let message = python::text(state, message)?;
    Err(Error::new(ErrorKind::InvalidOperation, "raise_exception").with_source(Refusal(message)))
}

/// `default(value, default_value, boolean)`, by name or by place.
fn default(value: Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let (places, names) = from_args::<(&[Value], Kwargs)>(&args)?;
    let given = |place: usize, name: &str| match places.get(place) {
        Some(value) => Ok(Some(value.clone())),
        None => names.get::<Option<Value>>(name),
    };
    let (other, lax) = (given(0, "default_value")?, given(1, "boolean")?);
    names.assert_all_used()?;
    let absent = value.is_undefined() || (lax.is_some_and(|lax| lax.is_true()) && !value.is_true());
    Ok(if absent { other.unwrap_or_else(|| Value::from("")) } else { value })
}

/// `float(value, default)`: what is no number becomes the default, 0.0 where none is given.
fn float(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let (default, names) = from_args::<(Option<Value>, Kwargs)>(&args)?;
    let default = or_named(default, &names, "default")?.unwrap_or_else(|| Value::from(0.0));
    names.assert_all_used()?;
    Ok(filters::float(state, value, None, no_names()).unwrap_or(default))
}

/// `int(value, default, base)`: what is no number becomes the default, 0 where none is given.
fn int(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let (default, base, names) = from_args::<(Option<Value>, Option<Value>, Kwargs)>(&args)?;
    let default = or_named(default, &names, "default")?.unwrap_or_else(|| Value::from(0));
    let base = or_named(base, &names, "base")?.map(u32::try_from).transpose()?;
    names.assert_all_used()?;
    let whole = filters::int(state, value, None, base, no_names());
    // `int("3.7")` fails in Python, too, after which Jinja2 takes the float's whole part.
    let whole = whole.or_else(|_| {
        filters::int(state, &filters::float(state, value, None, no_names())?, None, None, no_names())
    });
    Ok(whole.unwrap_or(default))
}

fn or_named(given: Option<Value>, names: &Kwargs, name: &str) -> Result<Option<Value>, Error> {
    if given.is_some() { Ok(given) } else { names.get(name) }
}

fn no_names() -> Kwargs {
    std::iter::empty::<(String, Value)>().collect()
}

/// A macro whose body reads `varargs` or `kwargs`: its last two parameters, which take what the others leave.
#[derive(Debug)]
struct Collecting(Value);

impl Object for Collecting {
    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let spec: Vec<Value> = self.0.get_attr("arguments")?.try_iter()?.collect();
        let spec = &spec[..spec.len().saturating_sub(2)];
        let (places, names) = from_args::<(&[Value], Kwargs)>(args)?;
        let (places, varargs) = places.split_at(places.len().min(spec.len()));
        let (mut passed, mut left) = (Vec::new(), Vec::new());
        let calls_back = self.0.get_attr("caller")?.is_true();
        for name in names.args() {
            let own = (calls_back && name == "caller")
                || spec.iter().any(|parameter| parameter.as_str() == Some(name));
            let to = if own { &mut passed } else { &mut left };
            to.push((name.to_owned(), names.peek::<Value>(name)?));
        }
        passed.push(("varargs".to_owned(), Tuple::from(varargs).into()));
        passed.push(("kwargs".to_owned(), Value::from_pairs(left)));
        let names: Kwargs = passed.into_iter().collect();
        self.0.call(state, &[places, &[names.into()]].concat())
    }
}
