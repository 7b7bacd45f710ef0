//! Matrices: their sums and products, and comparison entry by entry. A vector may be written as a tuple elsewhere;
//! that is another answer.

use crate::budget::Budget;
use crate::expr::Expr;
use crate::scalar::{self, Sameness};

type Rows = Vec<Vec<Expr>>;

/// Compares two expressions of which at least one contains a matrix; `None` where none does.
pub(crate) fn compare(a: &Expr, b: &Expr, budget: &Budget) -> Option<Sameness> {
    let has_matrix = |expr: &Expr| expr.any(&|node| matches!(node, Expr::Matrix(_)));
    match (has_matrix(a), has_matrix(b)) {
        (false, false) => return None,
        (true, true) => {}
        _ => return Some(Sameness::Different),
    }
    let (Some(x), Some(y)) = (rows(a, budget), rows(b, budget)) else {
        return Some(Sameness::Unknown("an operation on matrices that is not computed"));
    };
    if x.len() != y.len() || x.first().map(Vec::len) != y.first().map(Vec::len) {
        return Some(Sameness::Different);
    }
    let pairs = x.iter().flatten().zip(y.iter().flatten());
    Some(pairs.fold(Sameness::Same, |so_far, (x, y)| so_far.and(|| scalar::compare(x, y, budget))))
}

fn rows(expr: &Expr, budget: &Budget) -> Option<Rows> {
    match expr {
        Expr::Matrix(rows) => Some(rows.clone()),
        Expr::Negative(inner) => Some(scaled(&rows(inner, budget)?, &Expr::integer(-1))),
        Expr::Sum(parts) => {
            let mut parts = parts.iter().map(|part| rows(part, budget));
            let first = parts.next()??;
            parts.try_fold(first, |total, part| added(&total, &part?))
        }
        Expr::Product(parts) => {
            let mut total: Option<Rows> = None;
            let mut scale: Vec<Expr> = Vec::new();
            for part in parts {
                match (rows(part, budget), total.take()) {
                    (Some(rows), None) => total = Some(rows),
                    (Some(rows), Some(left)) => total = Some(multiplied(&left, &rows, budget)?),
                    (None, before) => {
                        scale.push(part.clone());
                        total = before;
                    }
                }
            }
            let total = total?;
            Some(if scale.is_empty() { total } else { scaled(&total, &Expr::Product(scale)) })
        }
        Expr::Quotient(a, b) => {
            Some(scaled(&rows(a, budget)?, &Expr::Quotient(Box::new(Expr::integer(1)), b.clone())))
        }
        _ => None,
    }
}

fn scaled(rows: &Rows, scale: &Expr) -> Rows {
    let entry = |entry: &Expr| Expr::Product(vec![scale.clone(), entry.clone()]);
    rows.iter().map(|row| row.iter().map(entry).collect()).collect()
}

fn added(a: &Rows, b: &Rows) -> Option<Rows> {
    let same_shape = a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.len() == y.len());
    let entries = |(x, y): (&Vec<Expr>, &Vec<Expr>)| {
        x.iter().zip(y).map(|(x, y)| Expr::Sum(vec![x.clone(), y.clone()])).collect()
    };
    same_shape.then(|| a.iter().zip(b).map(entries).collect())
}

fn multiplied(a: &Rows, b: &Rows, budget: &Budget) -> Option<Rows> {
    let width = b.first()?.len();
    if a.iter().any(|row| row.len() != b.len()) {
        return None;
    }
    budget.spend((a.len() * width * b.len()) as u64).ok()?;
    let entry = |row: &[Expr], column: usize| {
        let products = row.iter().zip(b).map(|(x, y)| Expr::Product(vec![x.clone(), y[column].clone()]));
        Expr::Sum(products.collect())
    };
    Some(a.iter().map(|row| (0..width).map(|column| entry(row, column)).collect()).collect())
}
