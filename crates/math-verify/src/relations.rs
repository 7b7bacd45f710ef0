//! Equations and inequalities. Two are equal by their sides, up to a factor, or by their solutions where both have some
//! and not every number is one: what always or never holds says nothing, and equals another by its sides alone.

use crate::algebra::{self, Algebra, Proportion};
use crate::budget::{Budget, TooLarge};
use crate::compare::{Rules, compare};
use crate::expr::{Expr, Relation, Written};
use crate::intervals::Reals;
use crate::scalar::{self, Sameness};
use num_traits::Zero;

/// Relations with one or more links, also read from right to left.
pub(crate) fn chains(
    a: &[Expr],
    p: &[Relation],
    b: &[Expr],
    q: &[Relation],
    rules: Rules,
    budget: &Budget,
) -> Sameness {
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
    let sides =
        |x: (&Expr, &Expr)| scalar::compare(a.0, x.0, budget).and(|| scalar::compare(a.1, x.1, budget));
    let sided = sides((b.0, b.1));
    if sided == Sameness::Same {
        let says_nothing = is_identity(a, budget) && a != b;
        return if says_nothing { formally(a, b, false, budget) } else { sided };
    }
    let directed = !matches!(a.2, Relation::Equal | Relation::NotEqual);
    if let (Some(x), Some(y)) = (constant_function(a), constant_function(b))
        && !directed
        && x == y
    {
        return scalar::compare(a.1, b.1, budget);
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
    // What always or never holds equals another by its sides alone, which differ.
    let by_sides = || formally(a, b, directed, budget);
    if is_numeric_link(a) || is_numeric_link(b) || is_identity(a, budget) || is_identity(b, budget) {
        return by_sides();
    }
    match proportion {
        Ok((Proportion::Constant(scale), _)) if scale.is_zero() => by_sides(),
        Ok((Proportion::Constant(scale), _)) if !directed || algebra::keeps_direction(&scale) => {
            Sameness::Same
        }
        // The same boundary seen from the other side, or another boundary.
        Ok((Proportion::Constant(_) | Proportion::None, _)) => Sameness::Different,
        // x = f against x = g: what is named is the same, so the values decide.
        Ok((Proportion::Unknown, _)) if !directed && a.0 == b.0 && a.0.is_name() => {
            scalar::compare(a.1, b.1, budget)
        }
        Ok((Proportion::Unknown, free)) => match scalar::compare(&difference(a), &difference(b), budget) {
            Sameness::Same => Sameness::Same,
            _ => match solved(a, b, budget) {
                // Polynomials in free variables that are no multiples of each other have other zeros.
                Sameness::Unknown(_) if free => Sameness::Different,
                other => other,
            },
        },
        Err(_) => Sameness::Unknown(scalar::TOO_LARGE),
    }
}

/// `f(x)` in `f(x) = 1`, by the name of the function: the name of its argument does not matter where the value does
/// not depend on it.
fn constant_function<'a>(link: &Link<'a>) -> Option<(&'a str, usize)> {
    match link.0 {
        Expr::Apply(name, arguments) if link.1.symbols().is_empty() => {
            let free = arguments.iter().all(|argument| matches!(argument, Expr::Symbol(_)));
            free.then_some((name.as_str(), arguments.len()))
        }
        _ => None,
    }
}

/// Whether a side has a value of its own: no symbol and no unknown function.
pub(crate) fn is_numeric(side: &Expr) -> bool {
    side.is_scalar()
        && !side
            .any(&|node| matches!(node, Expr::Symbol(_) | Expr::Apply(..) | Expr::Opaque(..) | Expr::Text(_)))
}

/// Whether two links have the same sides by their canonical forms: values prove nothing where all are the same.
fn formally(a: &Link<'_>, b: &Link<'_>, directed: bool, budget: &Budget) -> Sameness {
    let mut algebra = Algebra::new(budget);
    let mut same = |x: &Expr, y: &Expr| -> Result<bool, TooLarge> {
        match (algebra.fraction(x)?, algebra.fraction(y)?) {
            (Some(x), Some(y)) => algebra.equal(&x, &y),
            _ => Ok(x == y),
        }
    };
    let mut pair = |x: (&Expr, &Expr), y: (&Expr, &Expr)| Ok(same(x.0, y.0)? && same(x.1, y.1)?);
    let sides: Result<bool, TooLarge> =
        (|| Ok(pair((a.0, a.1), (b.0, b.1))? || (!directed && pair((a.0, a.1), (b.1, b.0))?)))();
    sides.map_or(Sameness::Unknown(scalar::TOO_LARGE), Sameness::known)
}

fn is_numeric_link(link: &Link<'_>) -> bool {
    is_numeric(link.0) && is_numeric(link.1)
}

/// Whether a relation's sides are one expression.
fn is_identity(link: &Link<'_>, budget: &Budget) -> bool {
    let difference = Expr::Sum(vec![link.0.clone(), Expr::Negative(Box::new(link.1.clone()))]);
    scalar::compare(link.0, link.1, budget) == Sameness::Same && !difference.symbols().is_empty()
}

/// Whether two literal numbers of a chain of equations differ: `x = 292 = 293` claims nothing.
pub(crate) fn contradicts(expr: &Expr) -> bool {
    let Expr::Relation(sides, relations) = expr else { return false };
    if !relations.iter().all(|relation| *relation == Relation::Equal) {
        return false;
    }
    let literal = |side: &Expr| match side {
        Expr::Number { value, written: Written::Exact } => Some(value.clone()),
        _ => None,
    };
    let mut values = sides.iter().filter_map(literal);
    values.next().is_some_and(|first| values.any(|value| value != first))
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
        // Nothing and everything are the solutions of many.
        return if x.says_something() && y.says_something() {
            x.same(&y, budget)
        } else {
            Sameness::Different
        };
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
