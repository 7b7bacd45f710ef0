//! The verifiers of ruminate for Python: one verdict, or many on threads of their own, without the interpreter's lock. It
//! knows Python values and lines of JSON; what a line means is the crate `reward`'s business.

mod judge;

use judge::{Answer, Batch};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use ruminate_reward::check_keywords;
use serde_json::{Map, Number, Value};
use std::time::Duration;

/// Levels of lists and dictionaries that are taken.
const DEPTH: usize = 64;

/// The judgement of a completion.
#[pyclass(frozen, get_all, module = "ruminate_verify")]
#[derive(Debug)]
struct Verdict {
    /// `correct`, `wrong` or `unscored`.
    outcome: String,
    /// The verifier's score; 0 when unscored.
    score: f64,
    /// The piece of the completion that was judged.
    extracted: Option<String>,
    /// The reason in words.
    why: String,
}

#[pymethods]
impl Verdict {
    /// Whether it is correct: an unscored one is neither correct nor wrong.
    #[getter]
    fn correct(&self) -> bool {
        self.outcome == "correct"
    }

    /// Whether it was judged at all.
    #[getter]
    fn scored(&self) -> bool {
        self.outcome != "unscored"
    }

    fn __repr__(&self) -> String {
        let Self { outcome, score, extracted, why } = self;
        format!("Verdict(outcome={outcome:?}, score={score}, extracted={extracted:?}, why={why:?})")
    }
}

impl From<Answer> for Verdict {
    fn from(answer: Answer) -> Self {
        let Answer { outcome, score, extracted, why } = answer;
        Self { outcome: outcome.to_owned(), score, extracted, why }
    }
}

/// Judges a completion by a verifier, given the expected answer. Keyword arguments are the verifier's options and the task's
/// columns; one that the kind does not read is a `ValueError`. With `deadline_s`, a verdict that takes longer is unscored; this works in any thread.
#[pyfunction]
#[pyo3(signature = (kind, gold, completion, *, deadline_s=None, **options))]
fn verify(
    py: Python<'_>,
    kind: &str,
    gold: &Bound<'_, PyAny>,
    completion: &str,
    deadline_s: Option<f64>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<Verdict> {
    let deadline = deadline_s.map(deadline).transpose()?;
    let line = line(kind, gold, completion, options)?;
    let answer = py.detach(|| judge::one(line, deadline));
    answer.map(Verdict::from).map_err(PyValueError::new_err)
}

/// Judges completions, each by its own expected answer, on `threads` threads (0: one per core). The interpreter's lock is
/// free meanwhile. A verdict that takes longer than `deadline_s` is unscored. Each of `columns` is a list with a value for
/// each completion; other keyword arguments hold for all of them.
#[pyfunction]
#[pyo3(signature = (kind, golds, completions, *, deadline_s=10.0, threads=0, columns=None, **options))]
#[expect(clippy::too_many_arguments, reason = "they are keyword arguments of Python")]
fn verify_batch(
    py: Python<'_>,
    kind: &str,
    golds: Vec<Bound<'_, PyAny>>,
    completions: Vec<String>,
    deadline_s: f64,
    threads: usize,
    columns: Option<&Bound<'_, PyDict>>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<Vec<Verdict>> {
    if golds.len() != completions.len() {
        let (golds, completions) = (golds.len(), completions.len());
        return Err(PyValueError::new_err(format!(
            "expected as many golds as completions, found {golds} and {completions}"
        )));
    }
    let mut lines = Vec::with_capacity(golds.len());
    // Rows differ in values alone, so one of them has all keywords.
    let mut checked = false;
    for (at, (gold, completion)) in golds.iter().zip(&completions).enumerate() {
        let mut row = row(kind, gold, completion, options)?;
        for (name, values) in columns.into_iter().flatten() {
            let value = values.get_item(at).map_err(|_| {
                PyValueError::new_err(format!("expected {} values in the column {name}", completions.len()))
            })?;
            row.insert(name.extract()?, json(&value, 0)?);
        }
        if !checked {
            check(kind, &row)?;
            checked = true;
        }
        lines.push(Value::Object(row).to_string());
    }
    let batch = Batch { deadline: deadline(deadline_s)?, threads };
    let answers = py.detach(|| batch.judge(lines));
    let answers = answers.map_err(PyValueError::new_err)?;
    Ok(answers.into_iter().map(Verdict::from).collect())
}

/// The names of verifiers that `verify` takes.
#[pyfunction]
fn kinds() -> Vec<&'static str> {
    ruminate_reward::KINDS.to_vec()
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Verdict>()?;
    module.add_function(wrap_pyfunction!(verify, module)?)?;
    module.add_function(wrap_pyfunction!(verify_batch, module)?)?;
    module.add_function(wrap_pyfunction!(kinds, module)?)
}

fn deadline(seconds: f64) -> PyResult<Duration> {
    let deadline = Duration::try_from_secs_f64(seconds).ok().filter(|deadline| !deadline.is_zero());
    deadline.filter(|deadline| deadline.as_secs() <= 24 * 60 * 60).ok_or_else(|| {
        PyValueError::new_err(format!("expected `deadline_s` above 0 and at most a day, found {seconds}"))
    })
}

fn line(
    kind: &str,
    gold: &Bound<'_, PyAny>,
    completion: &str,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<String> {
    let row = row(kind, gold, completion, options)?;
    check(kind, &row)?;
    Ok(Value::Object(row).to_string())
}

/// Refuses keywords that the kind does not read.
fn check(kind: &str, row: &Map<String, Value>) -> PyResult<()> {
    check_keywords(kind, row).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// What `ruminate verify` reads.
fn row(
    kind: &str,
    gold: &Bound<'_, PyAny>,
    completion: &str,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<Map<String, Value>> {
    let mut row = Map::new();
    for (name, value) in options.into_iter().flatten() {
        row.insert(name.extract()?, json(&value, 0)?);
    }
    row.insert("kind".to_owned(), kind.into());
    row.insert("gold".to_owned(), json(gold, 0)?);
    row.insert("completion".to_owned(), completion.into());
    Ok(row)
}

/// A value of Python as JSON.
fn json(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    if depth > DEPTH {
        return Err(PyValueError::new_err(format!("expected values nested at most {DEPTH} deep")));
    }
    if value.is_none() {
        return Ok(Value::Null);
    }
    // A boolean is an integer to Python.
    if value.is_instance_of::<PyBool>() {
        return Ok(Value::Bool(value.extract()?));
    }
    if value.is_instance_of::<PyInt>() {
        // Digits beyond 64 bits are kept as text.
        return Ok(match value.extract::<i64>() {
            Ok(number) => number.into(),
            Err(_) => Value::String(value.str()?.extract()?),
        });
    }
    if value.is_instance_of::<PyFloat>() {
        let number: f64 = value.extract()?;
        let number = Number::from_f64(number);
        return number.map(Value::Number).ok_or_else(|| PyValueError::new_err("expected a finite number"));
    }
    if value.is_instance_of::<PyString>() {
        return Ok(Value::String(value.extract()?));
    }
    if let Ok(list) = value.cast::<PyList>() {
        return list.iter().map(|item| json(&item, depth + 1)).collect();
    }
    if let Ok(list) = value.cast::<PyTuple>() {
        return list.iter().map(|item| json(&item, depth + 1)).collect();
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        let entry = |(name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
            Ok((name.extract::<String>()?, json(&value, depth + 1)?))
        };
        return Ok(Value::Object(dict.iter().map(entry).collect::<PyResult<_>>()?));
    }
    let found = value.get_type();
    Err(PyTypeError::new_err(format!(
        "expected None, a bool, a number, a str, a list, a tuple or a dict, found {}",
        found.name()?
    )))
}
