//! Whether two values or expressions are equal: exact numbers first, then the canonical form, then evaluation.

use crate::algebra::Algebra;
use crate::ball::AboutZero;
use crate::budget::{Budget, TooLarge};
use crate::eval::{self, Point, Value};
use crate::expr::{Constant, Expr, Function};
use crate::number;
use crate::term::is_decimal;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Zero;

/// The answer to whether two things are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sameness {
    Same,
    Different,
    /// Undecided, and why.
    Unknown(&'static str),
}

impl Sameness {
    /// All of several: one difference decides.
    pub(crate) fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Same => other(),
            Self::Different => Self::Different,
            Self::Unknown(_) => match other() {
                Self::Different => Self::Different,
                _ => self,
            },
        }
    }

    pub(crate) fn known(same: bool) -> Self {
        if same { Self::Same } else { Self::Different }
    }
}

pub(crate) const TOO_LARGE: &str = "too large to compare within the step budget";

/// Compares two scalars.
pub(crate) fn compare(a: &Expr, b: &Expr, budget: &Budget) -> Sameness {
    decide(a, b, budget).unwrap_or(Sameness::Unknown(TOO_LARGE))
}

fn decide(a: &Expr, b: &Expr, budget: &Budget) -> Result<Sameness, TooLarge> {
    if a == b {
        return Ok(Sameness::Same);
    }
    if let (Expr::Number { value: x, .. }, Expr::Number { value: y, .. }) = (a, b)
        && x == y
    {
        return Ok(Sameness::Same);
    }
    if let Some(verdict) = based(a, b).or_else(|| percent(a, b, budget)).or_else(|| infinite(a, b)) {
        return Ok(verdict);
    }
    match (divides_by_zero(a, budget)?, divides_by_zero(b, budget)?) {
        (false, false) => {}
        (true, true) => return Ok(Sameness::Unknown("both divide by zero")),
        _ => return Ok(Sameness::Different),
    }
    if is_decimal(a) || is_decimal(b) {
        return rounded(a, b, budget);
    }
    let values = (number::exact(a, budget).ok().flatten(), number::exact(b, budget).ok().flatten());
    if let (Some(x), Some(y)) = &values {
        return Ok(Sameness::known(x == y));
    }
    if let Some(matrices) = crate::matrix::compare(a, b, budget) {
        return Ok(matrices);
    }
    let mut algebra = Algebra::new(budget);
    let canonical = match algebra.fraction(a) {
        Ok(a) => match algebra.fraction(b) {
            Ok(b) => a.zip(b),
            Err(TooLarge) => None,
        },
        Err(TooLarge) => None,
    };
    if let Some((x, y)) = &canonical {
        match algebra.equal(x, y) {
            Ok(true) => return Ok(Sameness::Same),
            Ok(false) if algebra.is_free(x) && algebra.is_free(y) => return Ok(Sameness::Different),
            _ => {}
        }
    }
    if algebra.is_opaque() {
        return Ok(Sameness::Unknown("sums, integrals and limits are compared by their form alone"));
    }
    sampled(a, b, budget)
}

/// Whether a division by a number that is zero occurs: then it has no value.
fn divides_by_zero(expr: &Expr, budget: &Budget) -> Result<bool, TooLarge> {
    if let Expr::Quotient(_, below) = expr
        && number::exact(below, budget).ok().flatten().is_some_and(|value| value.is_zero())
    {
        return Ok(true);
    }
    for child in expr.children() {
        if divides_by_zero(child, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `204_5` equals itself, and 204 where the other side leaves the base out.
fn based(a: &Expr, b: &Expr) -> Option<Sameness> {
    let digits_of = |expr: &Expr| match expr {
        Expr::Number { value, .. } if value.is_integer() => Some(value.to_integer().to_string()),
        _ => None,
    };
    let plain = |digits: &str| digits.trim_start_matches('0').to_owned();
    Some(match (a, b) {
        (Expr::Based { digits: x, base: p }, Expr::Based { digits: y, base: q }) => {
            Sameness::known(plain(x) == plain(y) && p == q)
        }
        // The question may have fixed the base. A prediction with a base that the gold leaves out may be another
        // number.
        (Expr::Based { digits, .. }, other) => {
            Sameness::known(digits_of(other).is_some_and(|other| other == plain(digits)))
        }
        (other, Expr::Based { digits, base }) => {
            match digits_of(other).is_some_and(|other| other == plain(digits)) {
                true if base == "10" => Sameness::Same,
                true => Sameness::Unknown("a base that the gold answer does not name"),
                false => Sameness::Different,
            }
        }
        _ => return None,
    })
}

/// 28% is 28, and 0.28.
fn percent(a: &Expr, b: &Expr, budget: &Budget) -> Option<Sameness> {
    let (inner, other) = match (a, b) {
        (Expr::Percent(x), Expr::Percent(y)) => return Some(compare(x, y, budget)),
        (Expr::Percent(inner), other) | (other, Expr::Percent(inner)) => (inner, other),
        _ => return None,
    };
    let same_number = compare(inner, other, budget);
    if same_number == Sameness::Same {
        let exact = number::exact(inner, budget).ok().flatten();
        return Some(if exact.is_some_and(|v| v.is_integer() && !is_decimal(inner)) {
            Sameness::Same
        } else {
            Sameness::Unknown("a percentage that is no integer against the bare number")
        });
    }
    let hundredth = Expr::Quotient(inner.clone(), Box::new(Expr::integer(100)));
    let exact = |expr: &Expr| number::exact(expr, budget).ok().flatten();
    Some(match (exact(&hundredth), exact(other)) {
        (Some(x), Some(y)) if is_decimal(other) || is_decimal(inner) => Sameness::known(near(&x, &y)),
        (Some(x), Some(y)) => Sameness::known(x == y),
        _ => compare(&hundredth, other, budget),
    })
}

/// Infinity equals itself with the same sign, and nothing else.
fn infinite(a: &Expr, b: &Expr) -> Option<Sameness> {
    let sign = |expr: &Expr| match expr {
        Expr::Constant(Constant::Infinity) => Some(1),
        Expr::Negative(inner) if **inner == Expr::Constant(Constant::Infinity) => Some(-1),
        _ => None,
    };
    let (x, y) = (sign(a), sign(b));
    if x.is_some() || y.is_some() {
        return Some(Sameness::known(x == y));
    }
    let inside = |expr: &Expr| expr.any(&|node| *node == Expr::Constant(Constant::Infinity));
    (inside(a) || inside(b)).then_some(Sameness::Unknown("arithmetic with infinity"))
}

/// A decimal may be rounded: six places decide, as in Math-Verify. What rounds to nothing must be exact.
fn rounded(a: &Expr, b: &Expr, budget: &Budget) -> Result<Sameness, TooLarge> {
    if let (Some(x), Some(y)) = (number::exact(a, budget)?, number::exact(b, budget)?) {
        return Ok(Sameness::known(near(&x, &y)));
    }
    let origin = Point::new();
    let has_symbols = !a.symbols().is_empty() || !b.symbols().is_empty();
    if has_symbols || a.any(&|e| matches!(e, Expr::Apply(..))) || b.any(&|e| matches!(e, Expr::Apply(..))) {
        return sampled_or_exact(a, b, budget);
    }
    let (Some(x), Some(y)) = (eval::at(a, &origin, budget)?, eval::at(b, &origin, budget)?) else {
        return Ok(Sameness::Unknown("a value that cannot be computed"));
    };
    if x.imaginary.is_some() || y.imaginary.is_some() {
        return sampled_or_exact(a, b, budget);
    }
    Ok(match (x.real.micros(), y.real.micros()) {
        (Some(x), Some(y)) if x.is_zero() && y.is_zero() => Sameness::Unknown("both round to zero"),
        (Some(x), Some(y)) => Sameness::known(x == y),
        _ => Sameness::Unknown("a value that is not known to six places"),
    })
}

fn sampled_or_exact(a: &Expr, b: &Expr, budget: &Budget) -> Result<Sameness, TooLarge> {
    let mut algebra = Algebra::new(budget);
    if let (Some(x), Some(y)) = (algebra.fraction(a)?, algebra.fraction(b)?) {
        if algebra.equal(&x, &y)? {
            return Ok(Sameness::Same);
        }
        if algebra.is_free(&x) && algebra.is_free(&y) {
            return Ok(Sameness::Different);
        }
    }
    sampled(a, b, budget)
}

/// Equal to six decimal places, which are not all zero.
fn near(x: &BigRational, y: &BigRational) -> bool {
    let micros = |v: &BigRational| (v * BigInt::from(1_000_000)).round().to_integer();
    x == y || (micros(x) == micros(y) && !micros(x).is_zero())
}

const POSITIVE: &str = "equal where its symbols are positive, but not everywhere";

/// Whether it is pieced together at places that points need not hit.
fn is_pieced(expr: &Expr) -> bool {
    use Function::{Ceil, Floor, Max, Min};
    expr.any(&|node| matches!(node, Expr::Call(Max | Min | Floor | Ceil, _)))
}

/// Evaluates the difference at points: positive ones, which decide, then some of mixed signs.
fn sampled(a: &Expr, b: &Expr, budget: &Budget) -> Result<Sameness, TooLarge> {
    let mut symbols = a.symbols();
    symbols.extend(b.symbols().into_iter().filter(|name| !symbols.contains(name)).collect::<Vec<_>>());
    if symbols.is_empty() {
        return Ok(match difference(a, b, &Point::new(), budget)? {
            Some(AboutZero::Zero) => Sameness::Same,
            Some(AboutZero::Positive | AboutZero::Negative) => Sameness::Different,
            _ => Sameness::Unknown("a value that cannot be computed to fifty digits"),
        });
    }
    let mut agree = 0;
    for point in points(&symbols, Signs::Positive) {
        match difference(a, b, &point, budget)? {
            Some(AboutZero::Positive | AboutZero::Negative) => return Ok(Sameness::Different),
            Some(AboutZero::Zero) => agree += 1,
            _ => {}
        }
    }
    if agree < 3 {
        // Factorials, and powers of negative numbers, exist at integers only.
        agree = 0;
        for point in points(&symbols, Signs::Integer) {
            match difference(a, b, &point, budget)? {
                Some(AboutZero::Positive | AboutZero::Negative) => return Ok(Sameness::Different),
                Some(AboutZero::Zero) => agree += 1,
                _ => {}
            }
        }
        return Ok(if agree >= 5 && !is_pieced(a) && !is_pieced(b) {
            Sameness::Same
        } else {
            Sameness::Unknown("it cannot be evaluated at enough points")
        });
    }
    if is_pieced(a) || is_pieced(b) {
        return Ok(Sameness::Unknown("equal at every point that was tried, but pieced together"));
    }
    for point in points(&symbols, Signs::Mixed) {
        if let Some(AboutZero::Positive | AboutZero::Negative) = difference(a, b, &point, budget)? {
            return Ok(Sameness::Unknown(POSITIVE));
        }
    }
    Ok(Sameness::Same)
}

fn difference(a: &Expr, b: &Expr, point: &Point, budget: &Budget) -> Result<Option<AboutZero>, TooLarge> {
    let (Some(x), Some(y)) = (eval::at(a, point, budget)?, eval::at(b, point, budget)?) else {
        return Ok(None);
    };
    Ok(about_zero(&x, &y))
}

fn about_zero(x: &Value, y: &Value) -> Option<AboutZero> {
    let difference = x.subtract(y)?;
    let real = difference.real.about_zero();
    match (&difference.imaginary, real) {
        (Some(imaginary), AboutZero::Zero | AboutZero::Unclear) => match imaginary.about_zero() {
            AboutZero::Zero => Some(real),
            other => Some(other),
        },
        _ => Some(real),
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Signs {
    Positive,
    Mixed,
    Integer,
}

/// Points for the symbols, always the same ones: a verdict must not depend on luck.
pub(crate) fn points(symbols: &[String], signs: Signs) -> Vec<Point> {
    let count = match signs {
        Signs::Positive => 6,
        Signs::Mixed => 5,
        Signs::Integer => 12,
    };
    let mut state = match signs {
        Signs::Positive => 0x9e37_79b9_7f4a_7c15_u64,
        Signs::Mixed => 0x2545_f491_4f6c_dd1d,
        Signs::Integer => 0x1234_5678_9abc_def1,
    };
    let mut next = || {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..count)
        .map(|at| {
            symbols
                .iter()
                .enumerate()
                .map(|(place, name)| {
                    let random = next();
                    let value = match signs {
                        // Below one at first, where inverse sines live; far away at last, where |x - 100| is no
                        // longer 100 - x.
                        Signs::Positive => fraction((random >> 32) | 1 << 28, [32, 31, 30, 30, 20, 2][at]),
                        Signs::Mixed => {
                            let size = fraction((random >> 32) | 1 << 28, [31, 31, 31, 20, 2][at]);
                            if random & 1 == 0 || symbols.len() == 1 { -size } else { size }
                        }
                        // The first symbol is the larger one of `n!/k!(n-k)!`.
                        Signs::Integer => {
                            let offset = 12 * (symbols.len() - 1 - place).min(3) as u64;
                            BigRational::from_integer(BigInt::from(2 + random % 25 + offset))
                        }
                    };
                    (name.clone(), value)
                })
                .collect()
        })
        .collect()
}

fn fraction(bits: u64, places: u32) -> BigRational {
    BigRational::new(BigInt::from(bits), BigInt::from(1_u64 << places))
}

/// Which of two constants is larger; `None` where that is not decided.
pub(crate) fn order(a: &Expr, b: &Expr, budget: &Budget) -> Option<std::cmp::Ordering> {
    use std::cmp::Ordering;
    let sign = |expr: &Expr| match expr {
        Expr::Constant(Constant::Infinity) => 1,
        Expr::Negative(inner) if **inner == Expr::Constant(Constant::Infinity) => -1,
        _ => 0,
    };
    match (sign(a), sign(b)) {
        (0, 0) => {}
        (x, y) => return Some(x.cmp(&y)),
    }
    if let (Some(x), Some(y)) = (number::exact(a, budget).ok()?, number::exact(b, budget).ok()?) {
        return Some(x.cmp(&y));
    }
    match difference(a, b, &Point::new(), budget).ok()?? {
        AboutZero::Positive => Some(Ordering::Greater),
        AboutZero::Negative => Some(Ordering::Less),
        AboutZero::Zero => Some(Ordering::Equal),
        AboutZero::Unclear => None,
    }
}

/// Whether an absolute value is all that the expression is.
pub(crate) fn absolute(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Call(Function::Abs, parts) => parts.first(),
        _ => None,
    }
}
