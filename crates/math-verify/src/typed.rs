//! Values that are more than numbers: quantities with a unit, ratios, times, dates and words.

use crate::budget::Budget;
use crate::compare::{Rules, compare as compare_any};
use crate::expr::Expr;
use crate::scalar::{self, Sameness};
use crate::text;
use num_traits::One;

/// Compares where one side is such a value; `None` where neither is.
pub(crate) fn compare(gold: &Expr, predicted: &Expr, rules: Rules, budget: &Budget) -> Option<Sameness> {
    use Expr::{Date, Quantity, Ratio, Symbol, Text, Time};
    Some(match (gold, predicted) {
        (Quantity(x, unit), Quantity(y, other)) => match other.in_terms_of(unit) {
            None => Sameness::Different,
            Some(factor) if factor.is_one() => compare_any(x, y, rules, budget),
            Some(factor) => {
                let converted = Expr::Product(vec![Expr::exact(factor), (**y).clone()]);
                compare_any(x, &converted, rules, budget)
            }
        },
        // The question has fixed the unit that one of them leaves out.
        (Quantity(x, _), y) => compare_any(x, y, rules, budget),
        (x, Quantity(y, _)) => compare_any(x, y, rules, budget),
        (Text(a), Text(b)) if text::same(a, b) => Sameness::Same,
        (Text(a), Text(_)) if text::is_sentence(a) => Sameness::Unknown("a sentence in other words"),
        (Text(_), Text(_)) => Sameness::Different,
        (Text(a), Symbol(b)) | (Symbol(b), Text(a)) => Sameness::known(text::same(a, b)),
        (Text(word), formula) | (formula, Text(word))
            if formula.is_scalar() && !formula.symbols().is_empty() =>
        {
            match text::letters(word) {
                Some(product) => scalar::compare(&product, formula, budget),
                None => Sameness::Different,
            }
        }
        (Text(_), other) | (other, Text(_)) if !matches!(other, Expr::List(_) | Expr::Set(_)) => {
            Sameness::Different
        }
        (Time(a), Time(b)) => Sameness::known(a == b),
        (Time(time), Ratio(parts)) => ratios(&time.as_ratio(), parts, budget),
        (Ratio(parts), Time(time)) => ratios(parts, &time.as_ratio(), budget),
        (Date(_) | Time(_), _) | (_, Date(_)) => Sameness::Different,
        (other, Time(_)) if other.is_scalar() => Sameness::Different,
        (Ratio(a), Ratio(b)) => ratios(a, b, budget),
        (Ratio(parts), other) | (other, Ratio(parts)) if other.is_scalar() => quotient(parts, other, budget),
        _ => return None,
    })
}

/// A ratio of two parts as the number that it is.
fn quotient(parts: &[Expr], value: &Expr, budget: &Budget) -> Sameness {
    match parts {
        [above, below] => {
            let quotient = Expr::Quotient(Box::new(above.clone()), Box::new(below.clone()));
            scalar::compare(&quotient, value, budget)
        }
        _ => Sameness::Different,
    }
}

/// Ratios are equal up to a factor.
fn ratios(a: &[Expr], b: &[Expr], budget: &Budget) -> Sameness {
    if a.len() != b.len() {
        return Sameness::Different;
    }
    let product = |x: &Expr, y: &Expr| Expr::Product(vec![x.clone(), y.clone()]);
    let one_is_zero =
        a.iter().chain(b).any(|part| scalar::compare(part, &Expr::integer(0), budget) == Sameness::Same);
    let pairs = a.iter().zip(b);
    if one_is_zero {
        return pairs.fold(Sameness::Same, |so_far, (x, y)| so_far.and(|| scalar::compare(x, y, budget)));
    }
    pairs.skip(1).fold(Sameness::Same, |so_far, (x, y)| {
        so_far.and(|| scalar::compare(&product(&a[0], y), &product(&b[0], x), budget))
    })
}
