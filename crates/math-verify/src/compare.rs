//! Whether a predicted answer is the expected one. On purpose not symmetric, as in Math-Verify: the expected
//! answer says which form counts.
//!
//! - A bare gold takes the last side of a predicted equation (`11` takes `x = 11`); a gold `x = 11` takes a bare
//!   11.
//! - A gold inequality takes a predicted interval; the reverse only with `allow_set_relation`.
//! - A pair is an open interval where the other side is one; a tuple's order counts, a set's does not.

use crate::algebra::{self, Algebra, Proportion};
use crate::budget::{Budget, TooLarge};
use crate::expr::{Expr, NumberSet, Relation};
use crate::intervals::Reals;
use crate::scalar::{self, Sameness};
use num_traits::Zero;

/// Elements of a set or a tuple.
const MAX_ELEMENTS: usize = 64;

/// What the caller allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Whether a predicted inequality may stand for a gold interval.
    pub(crate) set_relation: bool,
}

/// Compares a prediction with the gold answer.
pub(crate) fn compare(gold: &Expr, predicted: &Expr, rules: Rules, budget: &Budget) -> Sameness {
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
    if let Expr::Relation(sides, relations) = gold
        && predicted.is_set()
    {
        return described(sides, relations, predicted, budget);
    }
    if let Expr::Relation(sides, relations) = predicted
        && rules.set_relation
        && gold.is_set()
    {
        return described(sides, relations, gold, budget);
    }
    match (gold, predicted) {
        (Expr::Relation(a, p), Expr::Relation(b, q)) => chains(a, p, b, q, rules, budget),
        (Expr::Relation(..), _) | (_, Expr::Relation(..)) => Sameness::Different,
        (a, b) if a.is_set() || b.is_set() => sets(a, b, rules, budget),
        (a, b) => scalar::compare(a, b, budget),
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
        (Some((name, value)), None) if name.is_name() => (value, predicted),
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

/// Relations with one or more links, also read from right to left.
fn chains(a: &[Expr], p: &[Relation], b: &[Expr], q: &[Relation], rules: Rules, budget: &Budget) -> Sameness {
    if let ([left, right], [x, y]) = (a, b)
        && p == q
        && p.iter().all(|relation| relation.names())
        && (!right.is_scalar() || !y.is_scalar() || !left.is_scalar() || !x.is_scalar())
    {
        return compare(left, x, rules, budget).and(|| compare(right, y, rules, budget));
    }
    if a.len() != b.len() {
        return Sameness::Different;
    }
    if a.len() == 2 {
        return links((&a[0], &a[1], p[0]), (&b[0], &b[1], q[0]), budget);
    }
    let forward = linked(a, p, b, q, budget);
    if forward == Sameness::Same {
        return forward;
    }
    let reversed: Vec<Expr> = b.iter().rev().cloned().collect();
    let Some(flipped) = q.iter().rev().map(|r| r.flipped()).collect::<Option<Vec<_>>>() else {
        return forward;
    };
    match linked(a, p, &reversed, &flipped, budget) {
        Sameness::Same => Sameness::Same,
        Sameness::Different => forward,
        Sameness::Unknown(why) => Sameness::Unknown(why),
    }
}

fn linked(a: &[Expr], p: &[Relation], b: &[Expr], q: &[Relation], budget: &Budget) -> Sameness {
    let gold = a.windows(2).zip(p);
    let predicted = b.windows(2).zip(q);
    gold.zip(predicted).fold(Sameness::Same, |so_far, ((x, r), (y, s))| {
        so_far.and(|| links((&x[0], &x[1], *r), (&y[0], &y[1], *s), budget))
    })
}

type Link<'a> = (&'a Expr, &'a Expr, Relation);

/// Two single relations: their differences of sides must be proportional, in the right direction.
fn links(gold: Link<'_>, predicted: Link<'_>, budget: &Budget) -> Sameness {
    let (a, b) = (upwards(gold), upwards(predicted));
    let ((Some(a), Some(b)), Some((left, right))) = ((&a, &b), a.as_ref().zip(b.as_ref())) else {
        let same = gold.2 == predicted.2 && gold.0 == predicted.0 && gold.1 == predicted.1;
        return if same {
            Sameness::Same
        } else {
            Sameness::Unknown("memberships are compared by their form alone")
        };
    };
    if left.2 != right.2 {
        return Sameness::Different;
    }
    let sides = [a.0, a.1, b.0, b.1];
    if sides.iter().any(|side| !side.is_scalar()) {
        return Sameness::Unknown("a relation between sets");
    }
    let sided = scalar::compare(a.0, b.0, budget).and(|| scalar::compare(a.1, b.1, budget));
    if sided == Sameness::Same {
        return sided;
    }
    let difference =
        |link: &Link<'_>| Expr::Sum(vec![link.0.clone(), Expr::Negative(Box::new(link.1.clone()))]);
    let mut algebra = Algebra::new(budget);
    let proportion = (|| -> Result<_, TooLarge> {
        let x = algebra.fraction(&difference(a))?;
        let y = algebra.fraction(&difference(b))?;
        match x.zip(y) {
            Some((x, y)) => {
                let free = algebra.is_free(&x) && algebra.is_free(&y);
                Ok((algebra.proportion(&x, &y)?, free))
            }
            None => Ok((Proportion::Unknown, false)),
        }
    })();
    let directed = !matches!(a.2, Relation::Equal | Relation::NotEqual);
    match proportion {
        Ok((Proportion::Constant(scale), _)) if scale.is_zero() => {
            Sameness::Unknown("a relation that says nothing")
        }
        Ok((Proportion::Constant(scale), _)) if !directed || algebra::keeps_direction(&scale) => {
            Sameness::Same
        }
        // The same boundary seen from the other side, or another boundary.
        Ok((Proportion::Constant(_) | Proportion::None, _)) => Sameness::Different,
        // x = f against x = g: what is named is the same, so the values decide.
        Ok((Proportion::Unknown, _)) if !directed && a.0 == b.0 && a.0.is_name() => {
            scalar::compare(a.1, b.1, budget)
        }
        Ok((Proportion::Unknown, _)) => match scalar::compare(&difference(a), &difference(b), budget) {
            Sameness::Same => Sameness::Same,
            _ => solved(a, b, budget),
        },
        Err(_) => Sameness::Unknown(scalar::TOO_LARGE),
    }
}

/// In one unknown, relations are equal when their solutions are.
fn solved(a: &Link<'_>, b: &Link<'_>, budget: &Budget) -> Sameness {
    let symbols = |link: &Link<'_>| {
        let mut all = link.0.symbols();
        all.extend(link.1.symbols());
        all.sort();
        all.dedup();
        all
    };
    let solution =
        |link: &Link<'_>| Reals::from_relation(&[link.0.clone(), link.1.clone()], &[link.2], budget);
    if symbols(a) == symbols(b)
        && let (Some(x), Some(y)) = (solution(a), solution(b))
    {
        return x.same(&y, budget);
    }
    Sameness::Unknown("relations that are not solved")
}

/// `5 > x` as `x < 5`: so that only `<`, `<=`, `=` and `!=` are left.
fn upwards(link: Link<'_>) -> Option<Link<'_>> {
    match link.2 {
        Relation::Greater => Some((link.1, link.0, Relation::Less)),
        Relation::GreaterEqual => Some((link.1, link.0, Relation::LessEqual)),
        Relation::In | Relation::NotIn | Relation::Approximate => None,
        _ => Some(link),
    }
}

fn sets(gold: &Expr, predicted: &Expr, rules: Rules, budget: &Budget) -> Sameness {
    use Expr::{Interval, Numbers, Set, Tuple};
    match (gold, predicted) {
        (Tuple(a), Tuple(b) | Set(b)) => in_order(a, b, rules, budget),
        (Set(a), Set(b) | Tuple(b)) => in_any_order(a, b, rules, budget),
        (Interval(a), Interval(b)) => {
            if (a.low_end, a.high_end) == (b.low_end, b.high_end) {
                scalar::compare(&a.low, &b.low, budget).and(|| scalar::compare(&a.high, &b.high, budget))
            } else {
                real_sets(gold, predicted, budget)
            }
        }
        // A set of one element is that element.
        (Set(a), other) if other.is_scalar() => in_any_order(a, std::slice::from_ref(other), rules, budget),
        (other, Set(b)) if other.is_scalar() => in_any_order(std::slice::from_ref(other), b, rules, budget),
        (Numbers(a), Numbers(b)) => Sameness::known(a == b),
        (Numbers(a), _) | (_, Numbers(a)) if !matches!(a, NumberSet::Reals | NumberSet::Empty) => {
            Sameness::Unknown("a set of numbers that is not computed with")
        }
        (a, b) if a.is_scalar() || b.is_scalar() => Sameness::Different,
        _ => real_sets(gold, predicted, budget),
    }
}

fn real_sets(a: &Expr, b: &Expr, budget: &Budget) -> Sameness {
    match (Reals::from_set(a, budget), Reals::from_set(b, budget)) {
        (Some(a), Some(b)) => a.same(&b, budget),
        _ => match (a, b) {
            (Expr::Union(x), Expr::Union(y)) | (Expr::Intersection(x), Expr::Intersection(y))
                if x.len() == y.len() =>
            {
                match in_any_order(x, y, Rules { set_relation: false }, budget) {
                    Sameness::Same => Sameness::Same,
                    _ => Sameness::Unknown("sets whose ends cannot be ordered"),
                }
            }
            (Expr::Interval(_), Expr::Tuple(_)) | (Expr::Tuple(_), Expr::Interval(_)) => Sameness::Different,
            _ => Sameness::Unknown("sets whose ends cannot be ordered"),
        },
    }
}

fn in_order(a: &[Expr], b: &[Expr], rules: Rules, budget: &Budget) -> Sameness {
    if a.len() != b.len() {
        return Sameness::Different;
    }
    a.iter().zip(b).fold(Sameness::Same, |so_far, (x, y)| so_far.and(|| compare(x, y, rules, budget)))
}

/// Every element of one side has a partner of its own on the other.
fn in_any_order(a: &[Expr], b: &[Expr], rules: Rules, budget: &Budget) -> Sameness {
    let (a, b) = (distinct(a), distinct(b));
    if a.len() > MAX_ELEMENTS || b.len() > MAX_ELEMENTS {
        return Sameness::Unknown(scalar::TOO_LARGE);
    }
    if a.len() != b.len() {
        return Sameness::Different;
    }
    let mut left: Vec<&Expr> = b;
    let mut undecided = None;
    for x in a {
        let mut found = None;
        let mut unknown = None;
        for (at, y) in left.iter().enumerate() {
            match compare(x, y, rules, budget) {
                Sameness::Same => {
                    found = Some(at);
                    break;
                }
                Sameness::Unknown(why) => unknown = Some(why),
                Sameness::Different => {}
            }
        }
        match (found, unknown) {
            (Some(at), _) => {
                left.swap_remove(at);
            }
            (None, Some(why)) => undecided = Some(why),
            (None, None) => return Sameness::Different,
        }
    }
    undecided.map_or(Sameness::Same, Sameness::Unknown)
}

fn distinct(elements: &[Expr]) -> Vec<&Expr> {
    let mut out: Vec<&Expr> = Vec::new();
    for element in elements.iter().take(MAX_ELEMENTS + 1) {
        if !out.contains(&element) {
            out.push(element);
        }
    }
    out
}
