//! Whether a predicted answer is the expected one. On purpose not symmetric, as in Math-Verify: the expected
//! answer says which form counts.
//!
//! - A bare gold takes the last side of a predicted equation (`11` takes `x = 11`); a gold `x = 11` takes a bare
//!   11.
//! - An inequality takes an interval, and the reverse unless `allow_set_relation` forbids it.
//! - A pair is an open interval where the other side is one; a tuple's order counts, a set's does not.

use crate::budget::Budget;
use crate::expr::{Expr, NumberSet, Relation};
use crate::intervals::Reals;
use crate::lists::{in_any_order, in_order};
use crate::relations::{self, chains};
use crate::scalar::{self, Sameness};
use crate::tolerance::{self, Tolerance};
use crate::{lists, typed};

/// What the caller allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rules {
    /// Whether a predicted inequality may stand for a gold interval.
    pub(crate) set_relation: bool,
    /// How far a value may be off.
    pub(crate) tolerance: Option<Tolerance>,
}

/// Compares a prediction with the gold answer.
pub(crate) fn compare(gold: &Expr, predicted: &Expr, rules: Rules, budget: &Budget) -> Sameness {
    if relations::contradicts(predicted) && predicted != gold {
        return Sameness::Different;
    }
    let gold = shortened(gold);
    let predicted = shortened(predicted);
    let whole = &predicted;
    let (gold, predicted) = unwrapped(&gold, &predicted);
    let unnamed = !std::ptr::eq(whole, predicted) && gives_something_else(whole);
    if unnamed {
        return match compare(gold, predicted, rules, budget) {
            Sameness::Same => Sameness::Unknown("an equation for something else than its unknown"),
            other => other,
        };
    }
    if gold == predicted {
        return Sameness::Same;
    }
    if let Some(verdict) = typed::compare(gold, predicted, rules, budget) {
        return verdict;
    }
    if let Some(verdict) = lists::assignments(gold, predicted, rules, budget) {
        return verdict;
    }
    if let Expr::Relation(sides, relations) = gold
        && predicted.is_set()
    {
        return described(sides, relations, predicted, budget);
    }
    if let Expr::Relation(sides, relations) = predicted
        && (rules.set_relation || matches!(gold, Expr::Described(..)))
        && gold.is_set()
    {
        return described(sides, relations, gold, budget);
    }
    match (gold, predicted) {
        (Expr::Relation(a, p), Expr::Relation(b, q)) => chains(a, p, b, q, rules, budget),
        (Expr::Relation(..), _) | (_, Expr::Relation(..)) => Sameness::Different,
        (a, b) if a.is_set() || b.is_set() => sets(a, b, rules, budget),
        (a, b) => tolerance::compare(a, b, rules.tolerance, budget),
    }
}

/// `z = 1 + 1 = 2` means `z = 2`.
fn shortened(expr: &Expr) -> Expr {
    match expr {
        Expr::Relation(sides, relations)
            if sides.len() > 2 && relations.iter().all(|r| r.names()) && sides[0].is_name() =>
        {
            let ends = vec![sides[0].clone(), sides[sides.len() - 1].clone()];
            Expr::Relation(ends, vec![relations[relations.len() - 1]])
        }
        _ => expr.clone(),
    }
}

/// Takes the value out of a named one where the other side has no name.
fn unwrapped<'a>(gold: &'a Expr, predicted: &'a Expr) -> (&'a Expr, &'a Expr) {
    let equation = |expr: &'a Expr| match expr {
        Expr::Relation(sides, relations) if relations.iter().all(|r| r.names()) => {
            sides.last().map(|last| (&sides[0], last))
        }
        _ => None,
    };
    match (equation(gold), equation(predicted)) {
        // A membership describes a name only: from -x in S nothing follows for S.
        (None, Some((name, _))) if is_membership(predicted) && !name.is_name() => (gold, predicted),
        (None, Some((_, value))) => (gold, value),
        (Some((name, value)), None) if name.is_name() || relations::is_numeric(name) => (value, predicted),
        (Some((left, value)), Some((_, other))) if relations::is_numeric(left) => (value, other),
        _ => (gold, predicted),
    }
}

fn is_membership(expr: &Expr) -> bool {
    matches!(expr, Expr::Relation(_, relations) if relations.contains(&Relation::In))
}

/// Whether an equation gives a multiple or a power of its one unknown, `2x = 4`: its right side is not the answer,
/// though a question may have asked for just that.
fn gives_something_else(expr: &Expr) -> bool {
    match expr {
        Expr::Relation(sides, _) if sides.len() == 2 => {
            let left = &sides[0];
            !left.is_name() && left.symbols().len() == 1 && !left.any(&|node| matches!(node, Expr::Apply(..)))
        }
        _ => false,
    }
}

/// An inequality against a set.
fn described(sides: &[Expr], relations: &[Relation], set: &Expr, budget: &Budget) -> Sameness {
    match (Reals::from_relation(sides, relations, budget), Reals::from_set(set, budget)) {
        (Some(a), Some(b)) => a.same(&b, budget),
        _ => Sameness::Unknown("an inequality that is not solved against a set"),
    }
}

fn sets(gold: &Expr, predicted: &Expr, rules: Rules, budget: &Budget) -> Sameness {
    use Expr::{Described, Interval, List, Numbers, Opaque, Set, Tuple};
    match (gold, predicted) {
        (Tuple(a), Tuple(b) | Set(b) | List(b)) => in_order(a, b, rules, budget),
        (Set(a), Set(b) | Tuple(b) | List(b)) => {
            in_any_order(&lists::distinct(a), &lists::distinct(b), rules, budget)
        }
        (List(a), Set(b)) => in_any_order(&lists::all(a), &lists::distinct(b), rules, budget),
        (List(a), List(b) | Tuple(b)) => in_any_order(&lists::all(a), &lists::all(b), rules, budget),
        (Opaque("cases", a), Opaque("cases", b)) => {
            in_any_order(&lists::all(a), &lists::all(b), rules, budget)
        }
        (Opaque("cases", _), _) | (_, Opaque("cases", _)) => {
            Sameness::Unknown("an expression by cases against one without")
        }
        (Described(..), _) | (_, Described(..)) => lists::described(gold, predicted, rules, budget),
        (Interval(a), Interval(b)) => {
            if (a.low_end, a.high_end) == (b.low_end, b.high_end) {
                scalar::compare(&a.low, &b.low, budget).and(|| scalar::compare(&a.high, &b.high, budget))
            } else {
                real_sets(gold, predicted, budget)
            }
        }
        // A set of one element is that element.
        (Set(a) | List(a), other) if other.is_scalar() => {
            in_any_order(&lists::distinct(a), &[other], rules, budget)
        }
        (other, Set(b) | List(b)) if other.is_scalar() => {
            in_any_order(&[other], &lists::distinct(b), rules, budget)
        }
        (Numbers(a), Numbers(b)) => Sameness::known(a == b),
        (Numbers(a), _) | (_, Numbers(a)) if !matches!(a, NumberSet::Reals | NumberSet::Empty) => {
            Sameness::Unknown("a set of numbers that is not computed with")
        }
        (a, b) if a.is_scalar() || b.is_scalar() => Sameness::Different,
        _ => real_sets(gold, predicted, budget),
    }
}

pub(crate) fn real_sets(a: &Expr, b: &Expr, budget: &Budget) -> Sameness {
    match (Reals::from_set(a, budget), Reals::from_set(b, budget)) {
        (Some(a), Some(b)) => a.same(&b, budget),
        _ => match (a, b) {
            (Expr::Union(x), Expr::Union(y)) | (Expr::Intersection(x), Expr::Intersection(y))
                if x.len() == y.len() =>
            {
                let rules = Rules { set_relation: false, tolerance: None };
                match in_any_order(&lists::all(x), &lists::all(y), rules, budget) {
                    Sameness::Same => Sameness::Same,
                    _ => Sameness::Unknown("sets whose ends cannot be ordered"),
                }
            }
            (Expr::Interval(_), Expr::Tuple(_)) | (Expr::Tuple(_), Expr::Interval(_)) => Sameness::Different,
            _ => Sameness::Unknown("sets whose ends cannot be ordered"),
        },
    }
}
