//! Sets of real numbers as unions of intervals, and the inequalities that describe them.

use crate::algebra::Algebra;
use crate::budget::Budget;
use crate::expr::{Constant, End, Expr, Interval, NumberSet, Relation};
use crate::scalar::{self, Sameness};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, Zero};
use std::cmp::Ordering;

/// Pieces of a union.
const MAX_PIECES: usize = 32;

/// Disjoint intervals in ascending order; a point is an interval closed at both ends.
#[derive(Clone, Debug)]
pub(crate) struct Reals(Vec<Interval>);

fn infinity() -> Expr {
    Expr::Constant(Constant::Infinity)
}

fn minus(expr: Expr) -> Expr {
    Expr::Negative(Box::new(expr))
}

fn whole_line() -> Interval {
    Interval { low: minus(infinity()), high: infinity(), low_end: End::Open, high_end: End::Open }
}

fn point(at: &Expr) -> Interval {
    Interval { low: at.clone(), high: at.clone(), low_end: End::Closed, high_end: End::Closed }
}

/// `None` throughout: not decided, because ends cannot be ordered or the notation means no real set.
impl Reals {
    /// A set expression as real intervals.
    pub(crate) fn from_set(expr: &Expr, budget: &Budget) -> Option<Self> {
        Some(match expr {
            // Ends in descending order are a pair of numbers, not an empty interval.
            Expr::Interval(interval) => {
                let ascending = scalar::order(&interval.low, &interval.high, budget)? == Ordering::Less;
                ascending.then_some(())?;
                Self::normal(vec![(**interval).clone()], budget)?
            }
            Expr::Tuple(ends) => {
                let [low, high] = ends.as_slice() else { return None };
                (scalar::order(low, high, budget)? == Ordering::Less).then_some(())?;
                let interval = Interval {
                    low: low.clone(),
                    high: high.clone(),
                    low_end: End::Open,
                    high_end: End::Open,
                };
                Self::normal(vec![interval], budget)?
            }
            Expr::Set(elements) | Expr::List(elements) => {
                Self::normal(elements.iter().map(point).collect(), budget)?
            }
            Expr::Described(element, conditions) => {
                let mut total = Self(vec![whole_line()]);
                for condition in conditions {
                    let Expr::Relation(sides, relations) = condition else { return None };
                    if let ([name, Expr::Numbers(NumberSet::Reals)], [Relation::In]) =
                        (sides.as_slice(), relations.as_slice())
                        && *name == **element
                    {
                        continue;
                    }
                    if sides.iter().flat_map(Expr::symbols).any(|name| Expr::Symbol(name) != **element) {
                        return None;
                    }
                    let part = Self::from_relation(sides, relations, budget)?;
                    total = total.intersection(&part, budget)?;
                }
                total
            }
            Expr::Numbers(NumberSet::Reals) => Self(vec![whole_line()]),
            Expr::Numbers(NumberSet::Empty) => Self(Vec::new()),
            Expr::Union(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend(Self::from_set(part, budget)?.0);
                }
                Self::normal(all, budget)?
            }
            Expr::Intersection(parts) => {
                let mut total = Self(vec![whole_line()]);
                for part in parts {
                    total = total.intersection(&Self::from_set(part, budget)?, budget)?;
                }
                total
            }
            Expr::Difference(a, b) => {
                let rest = Self::from_set(b, budget)?.complement();
                Self::from_set(a, budget)?.intersection(&rest, budget)?
            }
            _ => return None,
        })
    }

    /// What satisfies a chain of relations on one quantity: `1 < x <= 2`, `|x| > 3`, `x^2 < 4`, `f(x) \ne 0`.
    pub(crate) fn from_relation(sides: &[Expr], relations: &[Relation], budget: &Budget) -> Option<Self> {
        let mut total = Self(vec![whole_line()]);
        let mut quantity = None;
        for (pair, relation) in sides.windows(2).zip(relations) {
            let [left, right] = pair else { return None };
            let (name, part) = solve(left, right, *relation, budget)?;
            if quantity.get_or_insert_with(|| name.clone()) != &name {
                return None;
            }
            total = total.intersection(&part, budget)?;
        }
        Some(total)
    }

    /// What satisfies one of several relations on one quantity; where that is everything, all of them (`x > 1` and
    /// `x < 3`).
    pub(crate) fn from_alternatives(relations: &[Expr], budget: &Budget) -> Option<Self> {
        let mut union = Vec::new();
        let mut common = Self(vec![whole_line()]);
        let mut names: Option<Vec<String>> = None;
        for relation in relations {
            let Expr::Relation(sides, links) = relation else { return None };
            if *names.get_or_insert_with(|| relation.symbols()) != relation.symbols() {
                return None;
            }
            let part = Self::from_relation(sides, links, budget)?;
            common = common.intersection(&part, budget)?;
            union.extend(part.0);
        }
        let union = Self::normal(union, budget)?;
        Some(if union.is_everything() { common } else { union })
    }

    fn is_everything(&self) -> bool {
        self.0.as_slice() == [whole_line()]
    }

    /// Whether it is neither empty nor everything, so that it says something.
    pub(crate) fn says_something(&self) -> bool {
        !self.0.is_empty() && !self.is_everything()
    }

    /// Sorted and merged.
    fn normal(mut intervals: Vec<Interval>, budget: &Budget) -> Option<Self> {
        if intervals.len() > MAX_PIECES {
            return None;
        }
        let mut kept: Vec<Interval> = Vec::new();
        for interval in intervals.drain(..) {
            if interval.low.symbols().iter().chain(&interval.high.symbols()).next().is_some() {
                return None;
            }
            match scalar::order(&interval.low, &interval.high, budget)? {
                Ordering::Less => kept.push(interval),
                Ordering::Equal if interval.low_end == End::Closed && interval.high_end == End::Closed => {
                    kept.push(interval);
                }
                _ => {}
            }
        }
        // Insertion sort: an order that cannot be decided must be noticed.
        let mut sorted: Vec<Interval> = Vec::new();
        for interval in kept {
            let mut at = sorted.len();
            while at > 0 && scalar::order(&interval.low, &sorted[at - 1].low, budget)? == Ordering::Less {
                at -= 1;
            }
            // Of two that start together the closed one comes first.
            if at > 0
                && interval.low_end == End::Closed
                && scalar::order(&interval.low, &sorted[at - 1].low, budget)? == Ordering::Equal
            {
                at -= 1;
            }
            sorted.insert(at, interval);
        }
        let mut merged: Vec<Interval> = Vec::new();
        for interval in sorted {
            let Some(last) = merged.last_mut() else {
                merged.push(interval);
                continue;
            };
            let touches = match scalar::order(&interval.low, &last.high, budget)? {
                Ordering::Less => true,
                Ordering::Equal => interval.low_end == End::Closed || last.high_end == End::Closed,
                Ordering::Greater => false,
            };
            if !touches {
                merged.push(interval);
                continue;
            }
            match scalar::order(&interval.high, &last.high, budget)? {
                Ordering::Greater => {
                    last.high = interval.high;
                    last.high_end = interval.high_end;
                }
                Ordering::Equal if interval.high_end == End::Closed => last.high_end = End::Closed,
                _ => {}
            }
        }
        Some(Self(merged))
    }

    fn intersection(&self, other: &Self, budget: &Budget) -> Option<Self> {
        let mut out = Vec::new();
        for a in &self.0 {
            for b in &other.0 {
                let (low, low_end) = match scalar::order(&a.low, &b.low, budget)? {
                    Ordering::Less => (b.low.clone(), b.low_end),
                    Ordering::Greater => (a.low.clone(), a.low_end),
                    Ordering::Equal => (a.low.clone(), tighter(a.low_end, b.low_end)),
                };
                let (high, high_end) = match scalar::order(&a.high, &b.high, budget)? {
                    Ordering::Less => (a.high.clone(), a.high_end),
                    Ordering::Greater => (b.high.clone(), b.high_end),
                    Ordering::Equal => (a.high.clone(), tighter(a.high_end, b.high_end)),
                };
                out.push(Interval { low, high, low_end, high_end });
            }
        }
        Self::normal(out, budget)
    }

    fn complement(&self) -> Self {
        let mut out = Vec::new();
        let (mut low, mut low_end) = (minus(infinity()), End::Open);
        for interval in &self.0 {
            out.push(Interval {
                low: std::mem::replace(&mut low, interval.high.clone()),
                high: interval.low.clone(),
                low_end: std::mem::replace(&mut low_end, opposite(interval.high_end)),
                high_end: opposite(interval.low_end),
            });
        }
        out.push(Interval { low, high: infinity(), low_end, high_end: End::Open });
        // What lies beyond infinity is dropped when the set is sorted again.
        let empty =
            |i: &Interval| i.low == i.high && !(i.low_end == End::Closed && i.high_end == End::Closed);
        out.retain(|interval| !empty(interval));
        Self(out)
    }

    pub(crate) fn same(&self, other: &Self, budget: &Budget) -> Sameness {
        if self.0.len() != other.0.len() {
            return Sameness::Different;
        }
        self.0.iter().zip(&other.0).fold(Sameness::Same, |so_far, (a, b)| {
            so_far
                .and(|| Sameness::known(is_end(a) == is_end(b)))
                .and(|| scalar::compare(&a.low, &b.low, budget))
                .and(|| scalar::compare(&a.high, &b.high, budget))
        })
    }
}

/// Which ends count; at infinity there is none.
fn is_end(interval: &Interval) -> (bool, bool) {
    let counts = |end: End, at: &Expr| end == End::Closed && !at.any(&|node| *node == infinity());
    (counts(interval.low_end, &interval.low), counts(interval.high_end, &interval.high))
}

fn tighter(a: End, b: End) -> End {
    if a == End::Open || b == End::Open { End::Open } else { End::Closed }
}

fn opposite(end: End) -> End {
    if end == End::Open { End::Closed } else { End::Open }
}

/// The quantity that a relation bounds, and where it holds.
fn solve(left: &Expr, right: &Expr, relation: Relation, budget: &Budget) -> Option<(Expr, Reals)> {
    let is_constant =
        |expr: &Expr| expr.symbols().is_empty() && !expr.any(&|node| matches!(node, Expr::Apply(..)));
    match (is_constant(left), is_constant(right)) {
        (true, false) => return solve(right, left, relation.flipped()?, budget),
        (false, true) => {}
        _ => return polynomial(left, right, relation, budget),
    }
    if let Some(inner) = scalar::absolute(left) {
        let (name, inside) = solve(inner, right, relation, budget)?;
        let (_, outside) = solve(inner, &minus(right.clone()), relation.flipped()?, budget)?;
        return Some(match relation {
            Relation::Less | Relation::LessEqual | Relation::NotEqual => {
                (name, inside.intersection(&outside, budget)?)
            }
            Relation::Greater | Relation::GreaterEqual => {
                let both = inside.0.into_iter().chain(outside.0).collect();
                (name, Reals::normal(both, budget)?)
            }
            _ => return None,
        });
    }
    if matches!(left, Expr::Symbol(_) | Expr::Apply(..)) {
        return Some((left.clone(), ray(right, relation, budget)?));
    }
    polynomial(left, right, relation, budget)
}

fn ray(bound: &Expr, relation: Relation, budget: &Budget) -> Option<Reals> {
    let interval =
        |low: Expr, high: Expr, low_end: End, high_end: End| Interval { low, high, low_end, high_end };
    let below = |end: End| interval(minus(infinity()), bound.clone(), End::Open, end);
    let above = |end: End| interval(bound.clone(), infinity(), end, End::Open);
    Reals::normal(
        match relation {
            Relation::Less => vec![below(End::Open)],
            Relation::LessEqual => vec![below(End::Closed)],
            Relation::Greater => vec![above(End::Open)],
            Relation::GreaterEqual => vec![above(End::Closed)],
            Relation::Equal => vec![point(bound)],
            Relation::NotEqual => vec![below(End::Open), above(End::Open)],
            _ => return None,
        },
        budget,
    )
}

/// Polynomials of degree one and two in one symbol.
fn polynomial(left: &Expr, right: &Expr, relation: Relation, budget: &Budget) -> Option<(Expr, Reals)> {
    let difference = Expr::Sum(vec![left.clone(), minus(right.clone())]);
    let symbols = difference.symbols();
    let [symbol] = symbols.as_slice() else { return None };
    let coefficients = Algebra::new(budget).coefficients(&difference, symbol).ok()??;
    let name = Expr::Symbol(symbol.clone());
    let turned = |relation: Relation, scale: &BigRational| {
        if scale.is_negative() { relation.flipped() } else { Some(relation) }
    };
    match coefficients.as_slice() {
        [c, b] => {
            let root = Expr::exact(-c / b);
            Some((name, ray(&root, turned(relation, b)?, budget)?))
        }
        [c, b, a] => {
            let four = BigRational::from_integer(BigInt::from(4));
            let two = BigRational::from_integer(BigInt::from(2));
            let discriminant = b * b - four * a * c;
            let relation = turned(relation, a)?;
            let whole = Reals(vec![whole_line()]);
            if discriminant.is_negative() {
                return Some((
                    name,
                    match relation {
                        Relation::Greater | Relation::GreaterEqual | Relation::NotEqual => whole,
                        _ => Reals(Vec::new()),
                    },
                ));
            }
            let middle = -b / (&two * a);
            let square = &discriminant / (&two * a * &two * a);
            let half_width =
                Expr::Call(crate::expr::Function::Root, vec![Expr::exact(square.clone()), Expr::integer(2)]);
            let root = |part: Expr| {
                let expr = Expr::Sum(vec![Expr::exact(middle.clone()), part]);
                match crate::number::exact(&expr, budget) {
                    Ok(Some(value)) => Expr::exact(value),
                    _ => expr,
                }
            };
            let (low, high) = (root(minus(half_width.clone())), root(half_width));
            let between = |end: End| {
                let interval = Interval { low: low.clone(), high: high.clone(), low_end: end, high_end: end };
                Reals::normal(vec![interval], budget)
            };
            let points = if square.is_zero() { vec![point(&low)] } else { vec![point(&low), point(&high)] };
            let set = match relation {
                Relation::Less => between(End::Open)?,
                Relation::LessEqual => between(End::Closed)?,
                Relation::Greater => between(End::Closed)?.complement(),
                Relation::GreaterEqual => Reals::normal(between(End::Open)?.complement().0, budget)?,
                Relation::Equal => Reals::normal(points, budget)?,
                Relation::NotEqual => Reals::normal(points, budget)?.complement(),
                _ => return None,
            };
            // x^2 >= 0 holds everywhere, though nothing lies strictly between equal roots.
            let set = if square.is_zero() && relation == Relation::GreaterEqual { whole } else { set };
            Some((name, set))
        }
        _ => None,
    }
}
