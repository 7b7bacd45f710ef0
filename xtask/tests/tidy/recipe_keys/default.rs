//! A key's default as a recipe would state it, from the expression that makes it in Rust. An expression
//! that is not understood is an error.

use super::source::{Sources, returned};
use super::types::{Kind, Variant};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Expr, Lit, Local, Member, Pat, Stmt, Token, UnOp};

/// What the page says where a key without a value has a meaning of its own.
const NONE: &str = "none";

/// The expression of each field in the body of `default`: some `let`, then the struct.
pub(super) fn fields(body: &[Stmt]) -> Result<BTreeMap<String, Expr>> {
    let (Some(Stmt::Expr(Expr::Struct(made), None)), lets) =
        (body.last(), &body[..body.len().saturating_sub(1)])
    else {
        bail!("expected `default` to end with the struct");
    };
    if made.rest.is_some() {
        bail!("expected `default` to state every field");
    }
    let mut named = BTreeMap::new();
    for statement in lets {
        match statement {
            Stmt::Local(Local { pat: Pat::Ident(name), init: Some(init), .. }) => {
                named.insert(name.ident.to_string(), (*init.expr).clone());
            }
            _ => bail!("expected nothing but `let NAME = ..` before the struct"),
        }
    }
    let mut fields = BTreeMap::new();
    for field in &made.fields {
        let Member::Named(name) = &field.member else { bail!("expected fields with names") };
        let local = match &field.expr {
            Expr::Path(path) => path.path.get_ident().and_then(|ident| named.get(&ident.to_string())),
            _ => None,
        };
        fields.insert(name.to_string(), local.unwrap_or(&field.expr).clone());
    }
    Ok(fields)
}

/// The default that a type has without an expression.
pub(super) fn of_kind(kind: &Kind) -> Result<String> {
    Ok(match kind {
        Kind::Optional(_) => NONE.to_owned(),
        Kind::List(_) => code("[]"),
        Kind::Map(_) => code("{}"),
        Kind::Scalar("boolean") => code("false"),
        Kind::Scalar("number" | "integer") => code("0"),
        Kind::Scalar("string" | "path") => code("\"\""),
        Kind::Table(_) => String::new(),
        Kind::Names(variants) => match variants.iter().find(|variant| variant.is_default) {
            Some(variant) => name(variant),
            None => bail!("no variant has the attribute `default`"),
        },
        Kind::Scalar(_) | Kind::Either(_) => bail!("a type of {} has no default", kind.text()),
    })
}

/// The default that a function of the file returns.
pub(super) fn of_call(sources: &Sources<'_>, file: &str, function: &str, kind: &Kind) -> Result<String> {
    let source = sources.file(file)?;
    let expression = returned(&source, function)
        .with_context(|| format!("expected `fn {function}` in the same file, of one expression"))?;
    of_expression(expression, kind)
}

/// The default that an expression makes.
pub(super) fn of_expression(expression: &Expr, kind: &Kind) -> Result<String> {
    if let (Expr::Path(path), Kind::Optional(_)) = (expression, kind)
        && path.path.is_ident("None")
    {
        return Ok(NONE.to_owned());
    }
    if let Expr::Call(call) = expression {
        let (of, called) = names(&call.func);
        match (of.as_str(), called.as_str(), kind, call.args.first()) {
            ("", "Some", Kind::Optional(of), Some(value)) => return of_expression(value, of),
            (_, "default" | "new", _, None) => return of_kind(kind),
            _ => {}
        }
    }
    if let Kind::Table(_) = kind {
        return Ok(String::new());
    }
    value(expression, kind).map(|value| code(&value))
}

/// The text of a value in TOML.
fn value(expression: &Expr, kind: &Kind) -> Result<String> {
    match expression {
        Expr::Lit(literal) => of_literal(&literal.lit),
        Expr::Paren(inner) => value(&inner.expr, kind),
        Expr::Group(inner) => value(&inner.expr, kind),
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => {
            Ok(format!("-{}", value(&unary.expr, kind)?))
        }
        Expr::MethodCall(call)
            if call.args.is_empty() && ["to_owned", "to_string", "into"].iter().any(|m| call.method == m) =>
        {
            value(&call.receiver, kind)
        }
        Expr::Macro(call) if call.mac.path.is_ident("vec") => {
            let Kind::List(of) = kind else { bail!("expected a list for `vec!`") };
            let items = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(call.mac.tokens.clone())?;
            let items = items.iter().map(|item| value(item, of)).collect::<Result<Vec<_>>>()?;
            Ok(format!("[{}]", items.join(", ")))
        }
        Expr::Path(_) => match (names(expression), variant(expression, kind)) {
            ((of, last), _) if of == "f64" && last == "INFINITY" => Ok("inf".to_owned()),
            (_, Some(variant)) if variant.holds.is_none() => Ok(format!("\"{}\"", variant.names[0])),
            _ => unknown(),
        },
        Expr::Call(call) if call.args.len() == 1 => match (variant(&call.func, kind), kind) {
            (Some(Variant { holds: Some(of), .. }), _) => value(&call.args[0], of),
            // What reads its values by hand: `Limit::At(3.0)` is 3.
            (None, Kind::Scalar(_)) => value(&call.args[0], kind),
            _ => unknown(),
        },
        _ => unknown(),
    }
}

fn of_literal(literal: &Lit) -> Result<String> {
    Ok(match literal {
        Lit::Str(text) => format!("\"{}\"", text.value().escape_default()),
        Lit::Bool(yes) => yes.value.to_string(),
        Lit::Int(number) => number.base10_digits().to_owned(),
        Lit::Float(number) => match number.base10_digits() {
            // 1.0 and 0.20 are shorter in a recipe.
            digits if !digits.contains(['e', 'E']) => {
                digits.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            digits => digits.to_owned(),
        },
        _ => bail!("expected a text, a number or a boolean"),
    })
}

/// The variant that a path names.
fn variant<'k>(path: &Expr, kind: &'k Kind) -> Option<&'k Variant> {
    let (_, last) = names(path);
    kind.variants().iter().find(|variant| variant.ident == last)
}

/// The last two names of a path, `Limit` and `At` of `alarms::Limit::At`; empty where there are none.
fn names(path: &Expr) -> (String, String) {
    let Expr::Path(path) = path else { return Default::default() };
    let mut names = path.path.segments.iter().rev().map(|segment| segment.ident.to_string());
    let last = names.next().unwrap_or_default();
    (names.next().unwrap_or_default(), last)
}

fn name(variant: &Variant) -> String {
    code(&format!("\"{}\"", variant.names[0]))
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn unknown<T>() -> Result<T> {
    bail!("its default is not a value that `cargo xtask recipe-keys` can read; state it as a literal")
}

#[cfg(test)]
mod tests {
    use super::{fields, of_expression, of_kind};
    use crate::recipe_keys::types::{Kind, Variant};
    use syn::{Block, parse_str};

    fn loss() -> Kind {
        let variant = |ident: &str, name: &str, is_default| Variant {
            ident: ident.to_owned(),
            names: vec![name.to_owned()],
            meaning: "What it is.".to_owned(),
            is_default,
            holds: None,
        };
        Kind::Names(vec![variant("Dapo", "dapo", true), variant("DrGrpo", "dr_grpo", false)])
    }

    fn default(expression: &str, kind: &Kind) -> Result<String, String> {
        of_expression(&parse_str(expression).expect("Rust"), kind).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_written_as_a_recipe_writes_them() {
        let (number, text) = (Kind::Scalar("number"), Kind::Scalar("string"));
        let optional = Kind::Optional(Box::new(number.clone()));
        for (expression, kind, expected) in [
            ("3e-4", &number, "`3e-4`"),
            ("1.0", &number, "`1`"),
            ("0.20", &number, "`0.2`"),
            ("-0.5", &number, "`-0.5`"),
            ("5_000_000_000", &number, "`5000000000`"),
            ("f64::INFINITY", &number, "`inf`"),
            ("None", &optional, "none"),
            ("Some(0.5)", &optional, "`0.5`"),
            ("Vec::new()", &Kind::List(Box::new(text.clone())), "`[]`"),
            (
                "vec![\"wait\".to_owned(), \"halt\".into()]",
                &Kind::List(Box::new(text)),
                "`[\"wait\", \"halt\"]`",
            ),
            ("BTreeMap::new()", &Kind::Map("table"), "`{}`"),
            ("LossType::DrGrpo", &loss(), "`\"dr_grpo\"`"),
            ("LossType::default()", &loss(), "`\"dapo\"`"),
            ("Limit::At(3.0)", &Kind::Scalar("number or `false`"), "`3`"),
        ] {
            assert_eq!(default(expression, kind).as_deref(), Ok(expected), "{expression}");
        }
        assert_eq!(of_kind(&Kind::Scalar("boolean")).expect("has one"), "`false`");
    }

    #[test]
    fn an_expression_that_is_not_understood_is_an_error() {
        for expression in ["2 * 3", "SOME_CONSTANT", "LossType::Unknown", "compute(1)"] {
            let kind = if expression == "compute(1)" { loss() } else { Kind::Optional(Box::new(loss())) };
            assert!(default(expression, &kind).is_err(), "{expression}");
        }
    }

    #[test]
    fn fields_may_come_from_a_let_and_none_may_be_left_out() {
        let parsed = |body: &str| fields(&parse_str::<Block>(body).expect("Rust").stmts);
        let found = parsed("{ let alpha = 2.0; Self { r: 16, alpha } }").expect("readable");
        assert_eq!(found.len(), 2);
        assert_eq!(of_expression(&found["alpha"], &Kind::Scalar("number")).expect("a number"), "`2`");
        assert!(parsed("{ Self { r: 16, ..Self::new() } }").is_err());
        assert!(parsed("{ Self::new() }").is_err());
    }
}
