//! Canonical form: a quotient of two polynomials with rational coefficients. Its indeterminates are symbols, and
//! everything that is no polynomial (a root, a sine, `f(x)`), known by the canonical form of its arguments. Two
//! quotients are equal when their cross products are; that is exact, and sound whatever the indeterminates stand
//! for.

use crate::budget::{Budget, TooLarge};
use crate::expr::{Constant, Expr, Function};
use crate::number;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};
use std::collections::{BTreeMap, HashMap};

/// Terms of a polynomial.
const MAX_TERMS: usize = 200;
/// The exponent up to which a sum is multiplied out.
const MAX_EXPONENT: i64 = 24;

/// Indeterminates and their exponents, sorted; exponents are positive.
type Monomial = Vec<(u32, u32)>;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Polynomial(BTreeMap<Monomial, BigRational>);

/// A quotient of polynomials; the denominator is not zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fraction {
    pub(crate) above: Polynomial,
    pub(crate) below: Polynomial,
}

/// What an indeterminate stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Atom {
    Symbol(String),
    Constant(Constant),
    Call(Function, Vec<Fraction>),
    Apply(String, Vec<Fraction>),
    Opaque(&'static str, Vec<Fraction>),
    Power(Fraction, Fraction),
    /// What has no canonical form, as it stands.
    Verbatim(Expr),
}

/// The indeterminates of one comparison.
#[derive(Debug)]
pub(crate) struct Algebra<'a> {
    atoms: Vec<Atom>,
    known: HashMap<Atom, u32>,
    budget: &'a Budget,
}

impl Polynomial {
    fn constant(value: BigRational) -> Self {
        let mut terms = BTreeMap::new();
        if !value.is_zero() {
            terms.insert(Vec::new(), value);
        }
        Self(terms)
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a polynomial without indeterminates.
    pub(crate) fn as_constant(&self) -> Option<BigRational> {
        match self.0.len() {
            0 => Some(BigRational::zero()),
            1 => self.0.get(&Vec::new()).cloned(),
            _ => None,
        }
    }

    fn leading(&self) -> Option<&BigRational> {
        self.0.values().next_back()
    }

    /// Coefficients by the power of one symbol, lowest first; `None` where something else occurs.
    pub(crate) fn univariate(&self, atom: u32) -> Option<Vec<BigRational>> {
        let mut coefficients = Vec::new();
        for (monomial, value) in &self.0 {
            let exponent = match monomial.as_slice() {
                [] => 0,
                [(only, exponent)] if *only == atom => *exponent as usize,
                _ => return None,
            };
            if exponent >= coefficients.len() {
                coefficients.resize(exponent + 1, BigRational::zero());
            }
            coefficients[exponent] = value.clone();
        }
        Some(coefficients)
    }

    /// Whether no term has a degree above one.
    fn is_linear(&self) -> bool {
        self.0.keys().all(|monomial| monomial.iter().map(|(_, exponent)| exponent).sum::<u32>() <= 1)
    }

    fn atoms(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.keys().flatten().map(|(atom, _)| *atom)
    }
}

/// How two equations' or inequalities' sides relate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Proportion {
    /// The first is this multiple of the second.
    Constant(BigRational),
    /// It provably is no multiple, and neither has a factor in common that would matter: both are linear.
    None,
    Unknown,
}

impl<'a> Algebra<'a> {
    pub(crate) fn new(budget: &'a Budget) -> Self {
        Self { atoms: Vec::new(), known: HashMap::new(), budget }
    }

    fn atom(&mut self, atom: Atom) -> u32 {
        // The imaginary unit squares to -1; multiplication looks it up by its number.
        if let Some(&known) = self.known.get(&atom) {
            return known;
        }
        let index = self.atoms.len() as u32;
        self.atoms.push(atom.clone());
        self.known.insert(atom, index);
        index
    }

    pub(crate) fn symbol(&mut self, name: &str) -> u32 {
        self.atom(Atom::Symbol(name.to_owned()))
    }

    fn indeterminate(&mut self, atom: Atom) -> Fraction {
        let index = self.atom(atom);
        let above = Polynomial(BTreeMap::from([(vec![(index, 1)], BigRational::one())]));
        Fraction { above, below: Polynomial::constant(BigRational::one()) }
    }

    fn value(value: BigRational) -> Fraction {
        Fraction { above: Polynomial::constant(value), below: Polynomial::constant(BigRational::one()) }
    }

    fn add(&self, a: &Polynomial, b: &Polynomial, scale: &BigRational) -> Result<Polynomial, TooLarge> {
        self.budget.spend(1 + (a.0.len() + b.0.len()) as u64 / 2)?;
        let mut terms = a.0.clone();
        for (monomial, value) in &b.0 {
            let total = terms.remove(monomial).unwrap_or_else(BigRational::zero) + value * scale;
            if !total.is_zero() {
                terms.insert(monomial.clone(), total);
            }
        }
        if terms.len() > MAX_TERMS { Err(TooLarge) } else { Ok(Polynomial(terms)) }
    }

    fn multiply(&self, a: &Polynomial, b: &Polynomial) -> Result<Polynomial, TooLarge> {
        self.budget.spend(1 + (a.0.len() * b.0.len()) as u64)?;
        let imaginary = self.known.get(&Atom::Constant(Constant::I)).copied();
        let mut terms: BTreeMap<Monomial, BigRational> = BTreeMap::new();
        for (left, x) in &a.0 {
            for (right, y) in &b.0 {
                let mut monomial = join(left, right)?;
                let mut value = x * y;
                if value.numer().bits().max(value.denom().bits()) > 4_096 {
                    return Err(TooLarge);
                }
                if let Some(at) = monomial.iter().position(|(atom, _)| Some(*atom) == imaginary) {
                    let exponent = monomial[at].1;
                    if exponent & 2 == 2 {
                        value = -value;
                    }
                    if exponent.is_multiple_of(2) {
                        monomial.remove(at);
                    } else {
                        monomial[at].1 = 1;
                    }
                }
                let total = terms.remove(&monomial).unwrap_or_else(BigRational::zero) + value;
                if !total.is_zero() {
                    terms.insert(monomial, total);
                }
            }
            if terms.len() > MAX_TERMS {
                return Err(TooLarge);
            }
        }
        Ok(Polynomial(terms))
    }

    fn sum(&self, a: &Fraction, b: &Fraction) -> Result<Fraction, TooLarge> {
        let one = BigRational::one();
        if a.below == b.below {
            return Ok(Fraction { above: self.add(&a.above, &b.above, &one)?, below: a.below.clone() });
        }
        let left = self.multiply(&a.above, &b.below)?;
        let right = self.multiply(&b.above, &a.below)?;
        Ok(Fraction { above: self.add(&left, &right, &one)?, below: self.multiply(&a.below, &b.below)? })
    }

    fn product(&self, a: &Fraction, b: &Fraction) -> Result<Fraction, TooLarge> {
        Ok(Fraction { above: self.multiply(&a.above, &b.above)?, below: self.multiply(&a.below, &b.below)? })
    }

    fn quotient(&self, a: &Fraction, b: &Fraction) -> Result<Option<Fraction>, TooLarge> {
        if b.above.is_zero() {
            return Ok(None);
        }
        let below = self.multiply(&a.below, &b.above)?;
        // (1+i)(1-i) and the like aside, a product of polynomials that are not zero is not zero; with i it may be.
        if below.is_zero() {
            return Ok(None);
        }
        Ok(Some(Fraction { above: self.multiply(&a.above, &b.below)?, below }))
    }

    /// The canonical form; `None` for what is undefined (a division by zero) or no scalar.
    pub(crate) fn fraction(&mut self, expr: &Expr) -> Result<Option<Fraction>, TooLarge> {
        self.budget.spend(1)?;
        Ok(Some(match expr {
            Expr::Number { value, .. } => Self::value(value.clone()),
            Expr::Percent(inner) => {
                let Some(inner) = self.fraction(inner)? else { return Ok(None) };
                let hundredth = Self::value(BigRational::new(BigInt::one(), BigInt::from(100)));
                self.product(&inner, &hundredth)?
            }
            Expr::Degrees(inner) | Expr::Quantity(inner, _) => return self.fraction(inner),
            Expr::Symbol(name) => self.indeterminate(Atom::Symbol(name.clone())),
            Expr::Constant(Constant::Infinity) => return Ok(None),
            Expr::Constant(constant) => self.indeterminate(Atom::Constant(*constant)),
            Expr::Negative(inner) => {
                let Some(inner) = self.fraction(inner)? else { return Ok(None) };
                self.product(&inner, &Self::value(-BigRational::one()))?
            }
            Expr::Sum(parts) => {
                let mut total = Self::value(BigRational::zero());
                for part in parts {
                    let Some(part) = self.fraction(part)? else { return Ok(None) };
                    total = self.sum(&total, &part)?;
                }
                total
            }
            Expr::Product(parts) => {
                let mut total = Self::value(BigRational::one());
                for part in parts {
                    let Some(part) = self.fraction(part)? else { return Ok(None) };
                    total = self.product(&total, &part)?;
                }
                total
            }
            Expr::Quotient(a, b) => {
                let (Some(a), Some(b)) = (self.fraction(a)?, self.fraction(b)?) else { return Ok(None) };
                return self.quotient(&a, &b);
            }
            Expr::Power(base, exponent) => return self.power(base, exponent),
            Expr::Call(Function::Exp, parts) => {
                let e = Expr::Constant(Constant::E);
                return match parts.as_slice() {
                    [exponent] => self.power(&e, exponent),
                    _ => Ok(None),
                };
            }
            Expr::Call(function, parts) => {
                // Exact where it is a number: \sqrt{4}, 5!, \log_2 8.
                if let Ok(Some(value)) = number::exact(expr, self.budget) {
                    return Ok(Some(Self::value(value)));
                }
                let Some(parts) = self.all(parts)? else { return Ok(None) };
                self.indeterminate(Atom::Call(*function, parts))
            }
            Expr::Apply(name, parts) => {
                let Some(parts) = self.all(parts)? else { return Ok(Some(self.verbatim(expr))) };
                self.indeterminate(Atom::Apply(name.clone(), parts))
            }
            Expr::Opaque(kind, parts) => {
                let Some(parts) = self.all(parts)? else { return Ok(Some(self.verbatim(expr))) };
                self.indeterminate(Atom::Opaque(kind, parts))
            }
            Expr::Based { .. } | Expr::Relation(..) => self.verbatim(expr),
            _ => return Ok(None),
        }))
    }

    fn verbatim(&mut self, expr: &Expr) -> Fraction {
        self.indeterminate(Atom::Verbatim(expr.clone()))
    }

    fn all(&mut self, parts: &[Expr]) -> Result<Option<Vec<Fraction>>, TooLarge> {
        let mut out = Vec::with_capacity(parts.len());
        for part in parts {
            match self.fraction(part)? {
                Some(part) => out.push(part),
                None => return Ok(None),
            }
        }
        Ok(Some(out))
    }

    fn power(&mut self, base: &Expr, exponent: &Expr) -> Result<Option<Fraction>, TooLarge> {
        let (Some(base), Some(exponent)) = (self.fraction(base)?, self.fraction(exponent)?) else {
            return Ok(None);
        };
        let constant = |f: &Fraction| Some(f.above.as_constant()? / f.below.as_constant()?);
        if let (Some(base), Some(exponent)) = (constant(&base), constant(&exponent)) {
            match number::power(&base, &exponent, self.budget) {
                Ok(Some(value)) => return Ok(Some(Self::value(value))),
                Ok(None) if base.is_zero() => return Ok(None),
                Ok(None) => {}
                // Too large to write out, but equal to itself.
                Err(TooLarge) => self.budget.spend(1)?,
            }
        } else if let Some(exponent) = constant(&exponent).filter(BigRational::is_integer)
            && let Some(times) = exponent.numer().to_i64().filter(|times| times.abs() <= MAX_EXPONENT)
        {
            let mut total = Self::value(BigRational::one());
            for _ in 0..times.abs() {
                total = self.product(&total, &base)?;
            }
            return if times < 0 {
                self.quotient(&Self::value(BigRational::one()), &total)
            } else {
                Ok(Some(total))
            };
        }
        Ok(Some(self.indeterminate(Atom::Power(base, exponent))))
    }

    /// Whether two fractions are equal whatever their indeterminates stand for.
    pub(crate) fn equal(&self, a: &Fraction, b: &Fraction) -> Result<bool, TooLarge> {
        if a == b {
            return Ok(true);
        }
        Ok(self.multiply(&a.above, &b.below)? == self.multiply(&b.above, &a.below)?)
    }

    /// Whether all indeterminates are free, so that different fractions are different expressions.
    pub(crate) fn is_free(&self, fraction: &Fraction) -> bool {
        let free = |atom: u32| {
            matches!(
                self.atoms[atom as usize],
                Atom::Symbol(_) | Atom::Apply(..) | Atom::Constant(Constant::I)
            )
        };
        fraction.above.atoms().chain(fraction.below.atoms()).all(free)
    }

    /// Whether something occurs that cannot be evaluated.
    pub(crate) fn is_opaque(&self) -> bool {
        self.atoms.iter().any(|atom| matches!(atom, Atom::Opaque(..) | Atom::Verbatim(_)))
    }

    /// Whether a is a constant multiple of b.
    pub(crate) fn proportion(&self, a: &Fraction, b: &Fraction) -> Result<Proportion, TooLarge> {
        let left = self.multiply(&a.above, &b.below)?;
        let right = self.multiply(&b.above, &a.below)?;
        let (Some(x), Some(y)) = (left.leading(), right.leading()) else { return Ok(Proportion::Unknown) };
        let scale = x / y;
        if self.add(&left, &right, &-scale.clone())?.is_zero() {
            return Ok(Proportion::Constant(scale));
        }
        let plain = |f: &Fraction| f.below.as_constant().is_some() && f.above.is_linear() && self.is_free(f);
        Ok(if plain(a) && plain(b) { Proportion::None } else { Proportion::Unknown })
    }

    /// The coefficients of a polynomial in one symbol, lowest first.
    pub(crate) fn coefficients(
        &mut self,
        expr: &Expr,
        symbol: &str,
    ) -> Result<Option<Vec<BigRational>>, TooLarge> {
        let Some(fraction) = self.fraction(expr)? else { return Ok(None) };
        let Some(divisor) = fraction.below.as_constant() else { return Ok(None) };
        let atom = self.symbol(symbol);
        let coefficients = fraction.above.univariate(atom);
        Ok(coefficients.map(|all| all.into_iter().map(|c| c / &divisor).collect()))
    }
}

fn join(a: &Monomial, b: &Monomial) -> Result<Monomial, TooLarge> {
    let mut out = a.clone();
    for &(atom, exponent) in b {
        match out.binary_search_by_key(&atom, |(known, _)| *known) {
            Ok(at) => out[at].1 = out[at].1.checked_add(exponent).filter(|&e| e < 1_000).ok_or(TooLarge)?,
            Err(at) => out.insert(at, (atom, exponent)),
        }
    }
    Ok(out)
}

/// Whether a constant scales an inequality without turning it around.
pub(crate) fn keeps_direction(scale: &BigRational) -> bool {
    scale.is_positive()
}
