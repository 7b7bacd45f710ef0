//! Sets, lists and tuples, and lists of relations: assignments go by name, alternatives are a union.

use crate::budget::Budget;
use crate::compare::{Rules, compare};
use crate::expr::{Expr, NumberSet, Relation};
use crate::intervals::Reals;
use crate::scalar::{self, Sameness};

/// Elements of a set or a tuple.
const MAX_ELEMENTS: usize = 64;

pub(crate) fn in_order(a: &[Expr], b: &[Expr], rules: Rules, budget: &Budget) -> Sameness {
    if a.len() != b.len() {
        return Sameness::Different;
    }
    a.iter().zip(b).fold(Sameness::Same, |so_far, (x, y)| so_far.and(|| compare(x, y, rules, budget)))
}

/// Every element of one side has a partner of its own on the other.
pub(crate) fn in_any_order(a: &[&Expr], b: &[&Expr], rules: Rules, budget: &Budget) -> Sameness {
    if a.len() > MAX_ELEMENTS || b.len() > MAX_ELEMENTS {
        return Sameness::Unknown(scalar::TOO_LARGE);
    }
    if a.len() != b.len() {
        return Sameness::Different;
    }
    let mut left = b.to_vec();
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

/// All elements, as often as they occur.
pub(crate) fn all(elements: &[Expr]) -> Vec<&Expr> {
    elements.iter().take(MAX_ELEMENTS + 1).collect()
}

/// Each element once.
pub(crate) fn distinct(elements: &[Expr]) -> Vec<&Expr> {
    let mut out: Vec<&Expr> = Vec::new();
    for element in elements.iter().take(MAX_ELEMENTS + 1) {
        if !out.contains(&element) {
            out.push(element);
        }
    }
    out
}

/// The names and values of a list of equations in which every name occurs once: `a = 1, b = 2`.
fn named(expr: &Expr) -> Option<Vec<(&Expr, &Expr)>> {
    let (Expr::List(elements) | Expr::Set(elements)) = expr else { return None };
    let mut out: Vec<(&Expr, &Expr)> = Vec::with_capacity(elements.len());
    for element in elements {
        let Expr::Relation(sides, relations) = element else { return None };
        let ([name, value], [Relation::Equal]) = (sides.as_slice(), relations.as_slice()) else {
            return None;
        };
        if !name.is_name() || out.iter().any(|(known, _)| *known == name) {
            return None;
        }
        out.push((name, value));
    }
    (out.len() > 1).then_some(out)
}

/// Assignments: to each other by their names, to a tuple or a list of values in the order of the names. `None` where
/// neither side is some.
pub(crate) fn assignments(gold: &Expr, predicted: &Expr, rules: Rules, budget: &Budget) -> Option<Sameness> {
    let in_order = |named: &[(&Expr, &Expr)], values: &[Expr], swap: bool| {
        if named.len() != values.len() {
            return Sameness::Different;
        }
        named.iter().zip(values).fold(Sameness::Same, |so_far, ((_, own), value)| {
            so_far.and(|| {
                if swap { compare(value, own, rules, budget) } else { compare(own, value, rules, budget) }
            })
        })
    };
    let values = |expr: &Expr| match expr {
        Expr::Tuple(values) | Expr::List(values) => {
            (!values.iter().any(|value| matches!(value, Expr::Relation(..)))).then(|| values.clone())
        }
        _ => None,
    };
    match (named(gold), named(predicted)) {
        (Some(a), Some(b)) => {
            if a.len() != b.len() {
                return Some(Sameness::Different);
            }
            let by_name = a.iter().fold(Sameness::Same, |so_far, (name, value)| {
                so_far.and(|| match b.iter().find(|(other, _)| other == name) {
                    Some((_, other)) => compare(value, other, rules, budget),
                    None => Sameness::Different,
                })
            });
            Some(by_name)
        }
        (Some(a), None) => match predicted {
            // (a, b) = (1, 2)
            Expr::Relation(sides, _) => match sides.as_slice() {
                [Expr::Tuple(names), Expr::Tuple(values)] if names.len() == values.len() => {
                    let pairs: Vec<Expr> = names
                        .iter()
                        .zip(values)
                        .map(|(name, value)| {
                            Expr::Relation(vec![name.clone(), value.clone()], vec![Relation::Equal])
                        })
                        .collect();
                    Some(compare(gold, &Expr::List(pairs), rules, budget))
                }
                _ => None,
            },
            _ => values(predicted).map(|values| in_order(&a, &values, false)),
        },
        (None, Some(b)) => values(gold).map(|values| in_order(&b, &values, true)),
        (None, None) => inequalities(gold, predicted, budget),
    }
}

/// Alternatives of one quantity, `x < 1 or x > 3`, against a set: their union, or what they have in common where they
/// leave nothing out.
fn inequalities(gold: &Expr, predicted: &Expr, budget: &Budget) -> Option<Sameness> {
    let bounds = |expr: &Expr| {
        let Expr::List(elements) = expr else { return None };
        let is_bound = |element: &Expr| match element {
            Expr::Relation(_, relations) => relations.iter().all(|relation| relation.orders()),
            _ => false,
        };
        if !elements.iter().all(is_bound) {
            return None;
        }
        Reals::from_alternatives(elements, budget)
    };
    let set = |expr: &Expr| match expr {
        Expr::Relation(sides, relations) => Reals::from_relation(sides, relations, budget),
        set if set.is_set() => Reals::from_set(set, budget),
        _ => None,
    };
    match (bounds(gold), bounds(predicted)) {
        (Some(a), Some(b)) => Some(a.same(&b, budget)),
        (Some(a), None) => set(predicted).map(|b| a.same(&b, budget)),
        (None, Some(b)) => set(gold).map(|a| a.same(&b, budget)),
        (None, None) => None,
    }
}

/// Set-builder notation against a set: as sets of reals, or by the conditions under one name.
pub(crate) fn described(gold: &Expr, predicted: &Expr, rules: Rules, budget: &Budget) -> Sameness {
    if let (Some(a), Some(b)) = (Reals::from_set(gold, budget), Reals::from_set(predicted, budget)) {
        return a.same(&b, budget);
    }
    let (Expr::Described(element, conditions), Expr::Described(other, given)) = (gold, predicted) else {
        return if gold.is_scalar() || predicted.is_scalar() {
            Sameness::Different
        } else {
            Sameness::Unknown("a set by its conditions against one by its elements")
        };
    };
    let (Some(names), Some(others)) = (Some(element.symbols()), Some(other.symbols())) else {
        return Sameness::Unknown("sets by their conditions");
    };
    if names.len() != others.len() {
        return Sameness::Unknown("sets of different elements");
    }
    let renamed = |expr: &Expr| expr.with_names(&others, &names);
    let domain = |condition: &&Expr| !matches!(condition, Expr::Relation(sides, _) if matches!(sides.as_slice(), [_, Expr::Numbers(NumberSet::Reals)]));
    let own: Vec<&Expr> = conditions.iter().filter(domain).collect();
    let given: Vec<Expr> = given.iter().filter(domain).map(renamed).collect();
    let same = compare(element, &renamed(other), rules, budget)
        .and(|| in_any_order(&own, &given.iter().collect::<Vec<_>>(), rules, budget));
    match same {
        Sameness::Same => Sameness::Same,
        _ => Sameness::Unknown("sets by their conditions"),
    }
}
