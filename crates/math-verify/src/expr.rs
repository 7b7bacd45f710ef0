//! What an answer is once it is parsed: numbers, expressions, relations, sets and matrices in one tree. It keeps
//! what was written (nothing is simplified here), since some comparisons go by form.

use crate::calendar::{Date, Time};
use crate::units::Unit;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed};

/// A node of the tree. Names of symbols keep their case: `m` and `M` are two masses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Expr {
    /// An exact value; a decimal literal may be rounded, and is compared so.
    Number {
        value: BigRational,
        written: Written,
    },
    /// `204_5`: digits with a base.
    Based {
        digits: String,
        base: String,
    },
    /// `28%`: compared as 28 and as 0.28.
    Percent(Box<Expr>),
    /// `90^\circ`: 90, and radians inside of a trigonometric function.
    Degrees(Box<Expr>),
    Constant(Constant),
    Symbol(String),
    Sum(Vec<Expr>),
    Product(Vec<Expr>),
    Negative(Box<Expr>),
    Quotient(Box<Expr>, Box<Expr>),
    Power(Box<Expr>, Box<Expr>),
    /// `a \pm b`; [`Sign::Minus`] is `\mp`. Both signs are expanded before anything is compared.
    PlusMinus(Box<Expr>, Box<Expr>, Sign),
    Call(Function, Vec<Expr>),
    /// `f(x)`: a function of which only the name is known.
    Apply(String, Vec<Expr>),
    /// Sums, integrals and limits: equal when their parts are, otherwise not decided.
    Opaque(&'static str, Vec<Expr>),
    Matrix(Vec<Vec<Expr>>),
    /// `(a, b, ..)`: with two entries also an open interval.
    Tuple(Vec<Expr>),
    /// `{a, b, ..}`: an element counts once.
    Set(Vec<Expr>),
    /// A list without brackets, `a, b, ..`, in any order: an element counts as often as it stands there.
    List(Vec<Expr>),
    /// `\{x | x > 3\}`: what stands before the bar, and the conditions behind it.
    Described(Box<Expr>, Vec<Expr>),
    Interval(Box<Interval>),
    Numbers(NumberSet),
    Union(Vec<Expr>),
    Intersection(Vec<Expr>),
    Difference(Box<Expr>, Box<Expr>),
    /// `a < b = c`: one side more than there are relations.
    Relation(Vec<Expr>, Vec<Relation>),
    /// `12 cm`.
    Quantity(Box<Expr>, Unit),
    /// `3:4:5`, up to a factor.
    Ratio(Vec<Expr>),
    /// `14:30`.
    Time(Time),
    /// `2024-05-01`.
    Date(Date),
    /// Words, in the form of [`crate::text::normal`].
    Text(String),
}

/// How a number was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Written {
    Exact,
    Decimal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sign {
    Plus,
    Minus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Constant {
    Pi,
    E,
    I,
    Infinity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NumberSet {
    Naturals,
    Integers,
    Rationals,
    Reals,
    Complexes,
    Empty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Function {
    /// `\sqrt[n]{x}`: arguments x, n. The real root where n is odd.
    Root,
    Exp,
    /// Arguments x, base.
    Log,
    Sin,
    Cos,
    Tan,
    Cot,
    Sec,
    Csc,
    Arcsin,
    Arccos,
    Arctan,
    Sinh,
    Cosh,
    Tanh,
    Abs,
    Floor,
    Ceil,
    Factorial,
    Binomial,
    Gcd,
    Lcm,
    Max,
    Min,
}

/// An interval with at least one closed end, or a half-open one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Interval {
    pub(crate) low: Expr,
    pub(crate) high: Expr,
    pub(crate) low_end: End,
    pub(crate) high_end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End {
    Open,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Approximate,
    In,
    NotIn,
}

impl Relation {
    /// The relation read from right to left; membership has none.
    pub(crate) fn flipped(self) -> Option<Self> {
        Some(match self {
            Self::Less => Self::Greater,
            Self::LessEqual => Self::GreaterEqual,
            Self::Greater => Self::Less,
            Self::GreaterEqual => Self::LessEqual,
            Self::Equal | Self::NotEqual | Self::Approximate => self,
            Self::In | Self::NotIn => return None,
        })
    }

    /// Whether it says that one side is smaller.
    pub(crate) fn orders(self) -> bool {
        matches!(self, Self::Less | Self::LessEqual | Self::Greater | Self::GreaterEqual)
    }

    /// Whether it names what its left side is: `x = 3`, `x \in S`.
    pub(crate) fn names(self) -> bool {
        matches!(self, Self::Equal | Self::In)
    }
}

impl Expr {
    pub(crate) fn integer(value: i64) -> Self {
        Self::exact(BigRational::from_integer(BigInt::from(value)))
    }

    pub(crate) fn exact(value: BigRational) -> Self {
        Self::Number { value, written: Written::Exact }
    }

    /// A positive integer literal.
    pub(crate) fn is_natural(&self) -> bool {
        matches!(self, Self::Number { value, written: Written::Exact } if value.is_integer() && value.is_positive())
    }

    pub(crate) fn is_minus_one(&self) -> bool {
        match self {
            Self::Number { value, .. } => (-value).is_one(),
            Self::Negative(inner) => matches!(&**inner, Self::Number { value, .. } if value.is_one()),
            _ => false,
        }
    }

    /// Whether it is one value rather than a collection or a statement.
    pub(crate) fn is_scalar(&self) -> bool {
        !matches!(
            self,
            Self::Tuple(_)
                | Self::Set(_)
                | Self::List(_)
                | Self::Described(..)
                | Self::Interval(_)
                | Self::Numbers(_)
                | Self::Union(_)
                | Self::Intersection(_)
                | Self::Difference(..)
                | Self::Relation(..)
                | Self::Opaque("cases", _)
        )
    }

    /// Whether it is a set of any kind; a pair may be an open interval.
    pub(crate) fn is_set(&self) -> bool {
        !self.is_scalar() && !matches!(self, Self::Relation(..))
    }

    /// The expressions directly below this one.
    pub(crate) fn children(&self) -> Vec<&Expr> {
        match self {
            Self::Number { .. }
            | Self::Based { .. }
            | Self::Constant(_)
            | Self::Symbol(_)
            | Self::Time(_)
            | Self::Date(_)
            | Self::Text(_)
            | Self::Numbers(_) => Vec::new(),
            Self::Percent(inner)
            | Self::Degrees(inner)
            | Self::Negative(inner)
            | Self::Quantity(inner, _) => {
                vec![inner]
            }
            Self::Described(element, conditions) => std::iter::once(&**element).chain(conditions).collect(),
            Self::Quotient(a, b) | Self::Power(a, b) | Self::PlusMinus(a, b, _) | Self::Difference(a, b) => {
                vec![a, b]
            }
            Self::Sum(parts)
            | Self::Product(parts)
            | Self::Call(_, parts)
            | Self::Apply(_, parts)
            | Self::Opaque(_, parts)
            | Self::Tuple(parts)
            | Self::Set(parts)
            | Self::List(parts)
            | Self::Ratio(parts)
            | Self::Union(parts)
            | Self::Intersection(parts)
            | Self::Relation(parts, _) => parts.iter().collect(),
            Self::Matrix(rows) => rows.iter().flatten().collect(),
            Self::Interval(interval) => vec![&interval.low, &interval.high],
        }
    }

    /// The same tree with `change` applied to each direct child.
    pub(crate) fn map(&self, change: &mut dyn FnMut(&Expr) -> Expr) -> Expr {
        let mut all = |parts: &[Expr]| parts.iter().map(&mut *change).collect::<Vec<_>>();
        match self {
            Self::Number { .. }
            | Self::Based { .. }
            | Self::Constant(_)
            | Self::Symbol(_)
            | Self::Time(_)
            | Self::Date(_)
            | Self::Text(_)
            | Self::Numbers(_) => self.clone(),
            Self::Percent(inner) => Self::Percent(Box::new(change(inner))),
            Self::Degrees(inner) => Self::Degrees(Box::new(change(inner))),
            Self::Negative(inner) => Self::Negative(Box::new(change(inner))),
            Self::Quotient(a, b) => Self::Quotient(Box::new(change(a)), Box::new(change(b))),
            Self::Power(a, b) => Self::Power(Box::new(change(a)), Box::new(change(b))),
            Self::PlusMinus(a, b, sign) => Self::PlusMinus(Box::new(change(a)), Box::new(change(b)), *sign),
            Self::Difference(a, b) => Self::Difference(Box::new(change(a)), Box::new(change(b))),
            Self::Sum(parts) => Self::Sum(all(parts)),
            Self::Product(parts) => Self::Product(all(parts)),
            Self::Call(function, parts) => Self::Call(*function, all(parts)),
            Self::Apply(name, parts) => Self::Apply(name.clone(), all(parts)),
            Self::Opaque(kind, parts) => Self::Opaque(kind, all(parts)),
            Self::Tuple(parts) => Self::Tuple(all(parts)),
            Self::Set(parts) => Self::Set(all(parts)),
            Self::List(parts) => Self::List(all(parts)),
            Self::Ratio(parts) => Self::Ratio(all(parts)),
            Self::Described(element, conditions) => {
                let conditions = all(conditions);
                Self::Described(Box::new(change(element)), conditions)
            }
            Self::Quantity(inner, unit) => Self::Quantity(Box::new(change(inner)), unit.clone()),
            Self::Union(parts) => Self::Union(all(parts)),
            Self::Intersection(parts) => Self::Intersection(all(parts)),
            Self::Relation(parts, relations) => Self::Relation(all(parts), relations.clone()),
            Self::Matrix(rows) => Self::Matrix(rows.iter().map(|row| all(row)).collect()),
            Self::Interval(interval) => Self::Interval(Box::new(Interval {
                low: change(&interval.low),
                high: change(&interval.high),
                ..**interval
            })),
        }
    }

    /// Whether any node satisfies it.
    pub(crate) fn any(&self, test: &dyn Fn(&Expr) -> bool) -> bool {
        test(self) || self.children().into_iter().any(|child| child.any(test))
    }

    /// The same tree with symbols of one list named as in the other.
    pub(crate) fn with_names(&self, given: &[String], names: &[String]) -> Expr {
        match self {
            Self::Symbol(name) => {
                let at = given.iter().position(|known| known == name);
                at.map_or_else(|| self.clone(), |at| Self::Symbol(names[at].clone()))
            }
            _ => self.map(&mut |child| child.with_names(given, names)),
        }
    }

    /// The symbols in order of their first occurrence.
    pub(crate) fn symbols(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.collect_symbols(&mut found);
        found
    }

    fn collect_symbols(&self, found: &mut Vec<String>) {
        if let Self::Symbol(name) = self
            && !found.contains(name)
        {
            found.push(name.clone());
        }
        self.children().into_iter().for_each(|child| child.collect_symbols(found));
    }

    /// Both readings of every `\pm`: the upper signs and the lower ones. One reading where there is none.
    pub(crate) fn readings(self) -> Vec<Expr> {
        if !self.any(&|node| matches!(node, Self::PlusMinus(..))) {
            return vec![self];
        }
        vec![self.reading(Sign::Plus), self.reading(Sign::Minus)]
    }

    fn reading(&self, upper: Sign) -> Expr {
        match self {
            Self::PlusMinus(a, b, sign) => {
                let (a, b) = (a.reading(upper), b.reading(upper));
                Self::Sum(vec![a, if *sign == upper { b } else { Self::Negative(Box::new(b)) }])
            }
            _ => self.map(&mut |child| child.reading(upper)),
        }
    }

    /// Whether it only names something: symbols, their products, ratios and applications. `x`, `f(x)`, `|AB|`,
    /// `A:B`, `(x, y)`; not `2x`, nor `x + z`.
    pub(crate) fn is_name(&self) -> bool {
        match self {
            Self::Symbol(_) | Self::Apply(..) | Self::Text(_) => true,
            Self::Constant(constant) => matches!(constant, Constant::E | Constant::I),
            Self::Product(_)
            | Self::Quotient(..)
            | Self::Ratio(_)
            | Self::Call(Function::Abs, _)
            | Self::Tuple(_) => self.children().into_iter().all(Self::is_name),
            _ => false,
        }
    }

    /// The letters of a product of symbols read as a word: `odd` is o, d, d.
    pub(crate) fn word(&self) -> Option<String> {
        match self {
            Self::Symbol(name) => Some(name.clone()),
            Self::Constant(Constant::E) => Some("e".to_owned()),
            Self::Constant(Constant::I) => Some("i".to_owned()),
            Self::Product(parts) => parts.iter().map(Self::word).collect(),
            _ => None,
        }
    }
}
