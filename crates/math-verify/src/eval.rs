//! The value of an expression at a point, as complex numbers with proven errors.

use crate::ball::{AboutZero, Ball};
use crate::budget::{Budget, TooLarge};
use crate::expr::{Constant, Expr, Function};
use crate::number;
use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive};
use std::collections::HashMap;

/// A complex value; `None` is exactly real.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) real: Ball,
    pub(crate) imaginary: Option<Ball>,
}

/// A point: a value for each symbol.
pub(crate) type Point = HashMap<String, BigRational>;

/// The value at a point; `None` where it is undefined there or not computed.
pub(crate) fn at(expr: &Expr, point: &Point, budget: &Budget) -> Result<Option<Value>, TooLarge> {
    Evaluator { point, budget }.value(expr)
}

impl Value {
    fn real(ball: Ball) -> Self {
        Self { real: ball, imaginary: None }
    }

    fn new(real: Ball, imaginary: Ball) -> Self {
        Self { real, imaginary: Some(imaginary) }
    }

    fn negate(&self) -> Self {
        Self { real: self.real.negate(), imaginary: self.imaginary.as_ref().map(Ball::negate) }
    }

    fn add(&self, other: &Self) -> Option<Self> {
        let imaginary = match (&self.imaginary, &other.imaginary) {
            (Some(a), Some(b)) => Some(a.add(b)?),
            (Some(a), None) | (None, Some(a)) => Some(a.clone()),
            (None, None) => None,
        };
        Some(Self { real: self.real.add(&other.real)?, imaginary })
    }

    pub(crate) fn subtract(&self, other: &Self) -> Option<Self> {
        self.add(&other.negate())
    }

    pub(crate) fn multiply(&self, other: &Self) -> Option<Self> {
        Some(match (&self.imaginary, &other.imaginary) {
            (None, None) => Self::real(self.real.multiply(&other.real)?),
            (Some(b), None) => Self::new(self.real.multiply(&other.real)?, b.multiply(&other.real)?),
            (None, Some(d)) => Self::new(self.real.multiply(&other.real)?, self.real.multiply(d)?),
            (Some(b), Some(d)) => Self::new(
                self.real.multiply(&other.real)?.subtract(&b.multiply(d)?)?,
                self.real.multiply(d)?.add(&b.multiply(&other.real)?)?,
            ),
        })
    }

    fn divide(&self, other: &Self) -> Option<Self> {
        let Some(d) = &other.imaginary else {
            let real = self.real.divide(&other.real)?;
            let imaginary = match &self.imaginary {
                Some(b) => Some(b.divide(&other.real)?),
                None => None,
            };
            return Some(Self { real, imaginary });
        };
        let norm = other.real.multiply(&other.real)?.add(&d.multiply(d)?)?;
        let product = self.multiply(&Self::new(other.real.clone(), d.negate()))?;
        product.divide(&Self::real(norm))
    }

    fn modulus(&self) -> Option<Ball> {
        match &self.imaginary {
            None => Some(self.real.absolute()),
            Some(b) => self.real.multiply(&self.real)?.add(&b.multiply(b)?)?.square_root(),
        }
    }

    /// The principal square root.
    fn square_root(&self) -> Option<Self> {
        let Some(b) = &self.imaginary else {
            return match self.real.about_zero() {
                AboutZero::Negative => Some(Self::new(Ball::integer(0), self.real.negate().square_root()?)),
                _ => Some(Self::real(self.real.square_root()?)),
            };
        };
        let half = |ball: Ball| ball.divide(&Ball::integer(2));
        let modulus = self.modulus()?;
        let real = half(modulus.add(&self.real)?)?.square_root()?;
        let imaginary = half(modulus.subtract(&self.real)?)?.square_root()?;
        match b.about_zero() {
            AboutZero::Positive => Some(Self::new(real, imaginary)),
            AboutZero::Negative => Some(Self::new(real, imaginary.negate())),
            _ => None,
        }
    }

    fn exponential(&self) -> Option<Self> {
        let size = self.real.exponential()?;
        match &self.imaginary {
            None => Some(Self::real(size)),
            Some(b) => {
                let (sine, cosine) = b.sine_cosine()?;
                Some(Self::new(size.multiply(&cosine)?, size.multiply(&sine)?))
            }
        }
    }

    /// The principal logarithm.
    fn logarithm(&self) -> Option<Self> {
        let Some(b) = &self.imaginary else {
            return match self.real.about_zero() {
                AboutZero::Positive => Some(Self::real(self.real.logarithm()?)),
                AboutZero::Negative => Some(Self::new(self.real.negate().logarithm()?, Ball::pi())),
                _ => None,
            };
        };
        let modulus = self.modulus()?;
        // arg z = 2 atan(b / (|z| + a)), away from the negative axis.
        let angle = b.divide(&modulus.add(&self.real)?)?.arctangent()?;
        Some(Self::new(modulus.logarithm()?, angle.add(&angle)?))
    }

    fn integer_power(&self, mut exponent: u64) -> Option<Self> {
        let mut base = self.clone();
        let mut result = Self::real(Ball::integer(1));
        loop {
            if exponent & 1 == 1 {
                result = result.multiply(&base)?;
            }
            exponent >>= 1;
            if exponent == 0 {
                return Some(result);
            }
            base = base.multiply(&base)?;
        }
    }

    fn as_real(&self) -> Option<&Ball> {
        self.imaginary.is_none().then_some(&self.real)
    }
}

struct Evaluator<'a> {
    point: &'a Point,
    budget: &'a Budget,
}

impl Evaluator<'_> {
    fn value(&self, expr: &Expr) -> Result<Option<Value>, TooLarge> {
        self.budget.spend(1)?;
        Ok(match expr {
            Expr::Number { value, .. } => Ball::rational(value).map(Value::real),
            Expr::Symbol(name) => self.point.get(name).and_then(Ball::rational).map(Value::real),
            Expr::Constant(Constant::Pi) => Some(Value::real(Ball::pi())),
            Expr::Constant(Constant::E) => Ball::integer(1).exponential().map(Value::real),
            Expr::Constant(Constant::I) => Some(Value::new(Ball::integer(0), Ball::integer(1))),
            Expr::Degrees(inner) | Expr::Quantity(inner, _) => self.value(inner)?,
            Expr::Percent(inner) => {
                self.value(inner)?.and_then(|v| v.divide(&Value::real(Ball::integer(100))))
            }
            Expr::Negative(inner) => self.value(inner)?.map(|v| v.negate()),
            Expr::Sum(parts) => self.fold(parts, 0, Value::add)?,
            Expr::Product(parts) => self.fold(parts, 1, Value::multiply)?,
            Expr::Quotient(a, b) => match (self.value(a)?, self.value(b)?) {
                (Some(a), Some(b)) => a.divide(&b),
                _ => None,
            },
            Expr::Power(base, exponent) => self.power(base, exponent)?,
            Expr::Call(function, parts) => self.call(*function, parts)?,
            _ => None,
        })
    }

    fn fold(
        &self,
        parts: &[Expr],
        start: i64,
        combine: impl Fn(&Value, &Value) -> Option<Value>,
    ) -> Result<Option<Value>, TooLarge> {
        let mut total = Value::real(Ball::integer(start));
        for part in parts {
            match self.value(part)?.and_then(|part| combine(&total, &part)) {
                Some(value) => total = value,
                None => return Ok(None),
            }
        }
        Ok(Some(total))
    }

    /// An exponent's exact value, where it has one at this point.
    fn exact(&self, expr: &Expr) -> Result<Option<BigRational>, TooLarge> {
        if expr.any(&|node| matches!(node, Expr::Symbol(_))) {
            let at_point = substituted(expr, self.point);
            return number::exact(&at_point, self.budget);
        }
        number::exact(expr, self.budget)
    }

    fn power(&self, base: &Expr, exponent: &Expr) -> Result<Option<Value>, TooLarge> {
        self.budget.spend(20)?;
        let Some(z) = self.value(base)? else { return Ok(None) };
        if let Some(exact) = self.exact(exponent)?.filter(is_small) {
            return Ok(rational_power(&z, &exact));
        }
        let Some(w) = self.value(exponent)? else { return Ok(None) };
        // A negative base has no agreed power of a real exponent.
        if z.imaginary.is_some() || z.real.about_zero() != AboutZero::Positive {
            return Ok(None);
        }
        self.budget.spend(60)?;
        Ok(z.logarithm().and_then(|log| log.multiply(&w)).and_then(|product| product.exponential()))
    }

    fn call(&self, function: Function, parts: &[Expr]) -> Result<Option<Value>, TooLarge> {
        self.budget.spend(40)?;
        match function {
            Function::Factorial | Function::Binomial | Function::Gcd | Function::Lcm => {
                let parts = parts.iter().map(|part| substituted(part, self.point)).collect();
                // Too large to write out at this point; another may be smaller.
                let exact = number::exact(&Expr::Call(function, parts), self.budget).unwrap_or(None);
                self.budget.spend(1)?;
                return Ok(exact.as_ref().and_then(Ball::rational).map(Value::real));
            }
            Function::Root => {
                let [inner, degree] = parts else { return Ok(None) };
                let (Some(z), Some(degree)) = (self.value(inner)?, self.exact(degree)?) else {
                    return Ok(None);
                };
                return Ok(if degree.is_positive() && is_small(&degree) {
                    rational_power(&z, &degree.recip())
                } else {
                    None
                });
            }
            _ => {}
        }
        let mut values = Vec::with_capacity(parts.len());
        for part in parts {
            let value = match part {
                // Degrees are radians inside of a function.
                Expr::Degrees(inner) => self.value(inner)?.and_then(|degrees| {
                    degrees.multiply(&Value::real(Ball::pi()))?.divide(&Value::real(Ball::integer(180)))
                }),
                part => self.value(part)?,
            };
            match value {
                Some(value) => values.push(value),
                None => return Ok(None),
            }
        }
        Ok(apply(function, &values))
    }
}

/// The expression with its symbols replaced by their values.
fn substituted(expr: &Expr, point: &Point) -> Expr {
    match expr {
        Expr::Symbol(name) => {
            point.get(name).map_or_else(|| expr.clone(), |value| Expr::exact(value.clone()))
        }
        _ => expr.map(&mut |child| substituted(child, point)),
    }
}

/// Whether an exponent is a fraction as answers have them, rather than a coordinate of a random point.
fn is_small(exponent: &BigRational) -> bool {
    exponent.denom().bits() <= 6 && exponent.numer().bits() <= 16
}

/// A rational power: real where the exponent's denominator is odd, else the principal one.
fn rational_power(z: &Value, exponent: &BigRational) -> Option<Value> {
    let times = exponent.numer().abs().to_u64()?;
    let degree = exponent.denom();
    let rooted = if *degree == BigInt::from(1) {
        z.clone()
    } else if *degree == BigInt::from(2) {
        z.square_root()?
    } else {
        let base = z.as_real()?;
        let inverse = Ball::rational(&BigRational::new(BigInt::from(1), degree.clone()))?;
        let root = |ball: &Ball| ball.logarithm()?.multiply(&inverse)?.exponential();
        Value::real(match base.about_zero() {
            AboutZero::Positive => root(base)?,
            AboutZero::Negative if degree.is_odd() => root(&base.negate())?.negate(),
            _ => return None,
        })
    };
    let raised = rooted.integer_power(times)?;
    if exponent.is_negative() { Value::real(Ball::integer(1)).divide(&raised) } else { Some(raised) }
}

fn apply(function: Function, values: &[Value]) -> Option<Value> {
    let [first, ..] = values else { return None };
    let one = Ball::integer(1);
    if let (Function::Log, [value, base]) = (function, values) {
        return value.logarithm()?.divide(&base.logarithm()?);
    }
    match function {
        Function::Exp => return first.exponential(),
        Function::Abs => return first.modulus().map(Value::real),
        _ => {}
    }
    let x = first.as_real()?;
    let reals = || values.iter().map(|value| value.as_real().cloned()).collect::<Option<Vec<_>>>();
    let arcsine = |x: &Ball| {
        let rest = one.subtract(&x.multiply(x)?)?;
        match rest.about_zero() {
            AboutZero::Positive => x.divide(&rest.square_root()?)?.arctangent(),
            AboutZero::Zero => {
                let half = Ball::pi().divide(&Ball::integer(2))?;
                // Only exactly at the end; near it the error would be lost.
                let exactly = one.subtract(&x.absolute())?.about_zero() == AboutZero::Zero;
                exactly.then(|| if x.is_negative() { half.negate() } else { half })
            }
            _ => None,
        }
    };
    let real = match function {
        Function::Sin => x.sine_cosine()?.0,
        Function::Cos => x.sine_cosine()?.1,
        Function::Tan | Function::Cot | Function::Sec | Function::Csc => {
            let (sine, cosine) = x.sine_cosine()?;
            match function {
                Function::Tan => sine.divide(&cosine)?,
                Function::Cot => cosine.divide(&sine)?,
                Function::Sec => one.divide(&cosine)?,
                _ => one.divide(&sine)?,
            }
        }
        Function::Arcsin => arcsine(x)?,
        Function::Arccos => Ball::pi().divide(&Ball::integer(2))?.subtract(&arcsine(x)?)?,
        Function::Arctan => x.arctangent()?,
        Function::Sinh | Function::Cosh | Function::Tanh => {
            let (up, down) = (x.exponential()?, x.negate().exponential()?);
            let (difference, sum) = (up.subtract(&down)?, up.add(&down)?);
            match function {
                Function::Sinh => difference.divide(&Ball::integer(2))?,
                Function::Cosh => sum.divide(&Ball::integer(2))?,
                _ => difference.divide(&sum)?,
            }
        }
        Function::Floor => x.floor()?,
        Function::Ceil => x.negate().floor()?.negate(),
        Function::Max | Function::Min => {
            let mut best = x.clone();
            for value in reals()? {
                let larger = value.subtract(&best)?.about_zero() == AboutZero::Positive;
                if larger == (function == Function::Max) {
                    best = value;
                }
            }
            best
        }
        _ => return None,
    };
    Some(Value::real(real))
}
