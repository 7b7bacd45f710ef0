//! How far a value may be off, where a caller allows it: by so much, by a part of the expected value, or beyond so many
//! significant digits.

use crate::ball::Ball;
use crate::budget::Budget;
use crate::eval::{self, Point};
use crate::expr::Expr;
use crate::number;
use crate::scalar::{self, Sameness};
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};

/// How far a predicted number may be from the expected one. Each bound that is given is enough.
///
/// ```
/// use ruminate_math_verify::{Options, Tolerance};
///
/// let rounded = Options {
///     tolerance: Some(Tolerance { relative: 0.01, ..Tolerance::default() }),
///     ..Options::default()
/// };
/// assert!(rounded.equal("33.3", "\\frac{100}{3}")?);
/// assert!(!rounded.equal("33.3", "34")?);
/// # Ok::<(), ruminate_math_verify::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tolerance {
    /// The distance that is allowed, in the unit of the expected value; 0 allows none.
    pub absolute: f64,
    /// The distance that is allowed as a part of the expected value; 0 allows none.
    pub relative: f64,
    /// Significant digits to which both are rounded before they are compared.
    pub digits: Option<u32>,
}

/// Compares two scalars, within the tolerance where there is one and both have a value.
pub(crate) fn compare(
    gold: &Expr,
    predicted: &Expr,
    tolerance: Option<Tolerance>,
    budget: &Budget,
) -> Sameness {
    let exact = scalar::compare(gold, predicted, budget);
    let Some(tolerance) = tolerance else { return exact };
    if exact == Sameness::Same {
        return exact;
    }
    match (value(gold, budget), value(predicted, budget)) {
        (Some(x), Some(y)) => Sameness::known(within(&x, &y, tolerance)),
        _ => exact,
    }
}

fn value(expr: &Expr, budget: &Budget) -> Option<BigRational> {
    if let Some(value) = number::exact(expr, budget).ok()? {
        return Some(value);
    }
    let value = eval::at(expr, &Point::new(), budget).ok()??;
    value.imaginary.is_none().then(|| Ball::middle(&value.real))
}

fn within(gold: &BigRational, predicted: &BigRational, tolerance: Tolerance) -> bool {
    let distance = (gold - predicted).abs();
    let allowed = |bound: f64| BigRational::from_float(bound).filter(Signed::is_positive);
    let absolute = allowed(tolerance.absolute).is_some_and(|bound| distance <= bound);
    let relative = allowed(tolerance.relative).is_some_and(|bound| distance <= bound * gold.abs());
    let digits =
        tolerance.digits.is_some_and(|digits| significant(gold, digits) == significant(predicted, digits));
    absolute || relative || digits
}

/// A number rounded to so many significant digits, as scientific notation.
fn significant(value: &BigRational, digits: u32) -> Option<String> {
    if value.is_zero() {
        return Some("0".to_owned());
    }
    let digits = digits.clamp(1, 15) as usize;
    Some(format!("{:.*e}", digits - 1, value.to_f64()?))
}
