//! Commands and what they take: fractions, roots, functions, sums, matrices.

use crate::Error;
use crate::expr::{Constant, Expr, Function};
use crate::parse::Parser;
use crate::term::{negative, scalar};
use crate::token::{Bracket, Token};

/// Rows and columns of a matrix.
const MAX_MATRIX: usize = 16;

impl Parser<'_> {
    pub(crate) fn command(&mut self, name: &'static str) -> Result<Expr, Error> {
        match name {
            "frac" => {
                let above = self.argument()?;
                Ok(Expr::Quotient(Box::new(above), Box::new(self.argument()?)))
            }
            "binom" => {
                let above = self.argument()?;
                Ok(Expr::Call(Function::Binomial, vec![above, self.argument()?]))
            }
            "sqrt" => {
                let mut degree = Expr::integer(2);
                if self.accept(&Token::Open(Bracket::Square)) {
                    degree = scalar(self.scalar_group(Bracket::Square)?)?;
                }
                Ok(Expr::Call(Function::Root, vec![self.argument()?, degree]))
            }
            "boxed" => {
                self.expect(&Token::Open(Bracket::Group), "a box without braces")?;
                self.bracketed(Bracket::Group)
            }
            "vec" | "hat" | "bar" | "overline" | "tilde" => {
                let inner = self.argument()?;
                let word = inner
                    .word()
                    .ok_or_else(|| Error::UnknownNotation(format!("\\{name} over an expression")))?;
                self.symbol(format!("{name}({word})"))
            }
            "sum" | "prod" | "int" | "lim" => self.opaque(name),
            "det" => Err(Error::UnknownNotation("\\det".to_owned())),
            _ => self.function(name),
        }
    }

    /// A named function with its power and base: `\sin^2 x`, `\log_2 8`.
    fn function(&mut self, name: &'static str) -> Result<Expr, Error> {
        let mut base = None;
        let mut power = None;
        loop {
            if self.accept(&Token::Underscore) {
                base = Some(self.script()?);
            } else if self.accept(&Token::Caret) {
                power = Some(self.script()?);
            } else {
                break;
            }
        }
        let argument = self.function_argument()?;
        let one = |function: Function, argument: Expr| -> Result<Expr, Error> {
            Ok(Expr::Call(function, vec![scalar(argument)?]))
        };
        let inverse = power.as_ref().is_some_and(Expr::is_minus_one);
        let trigonometric = |function: Function, inverted: Option<Function>| match (inverse, inverted) {
            (true, Some(inverted)) => (inverted, true),
            _ => (function, false),
        };
        let (function, used) = match name {
            "log" | "lg" => {
                let base = base.unwrap_or_else(|| Expr::integer(10));
                let call = Expr::Call(Function::Log, vec![scalar(argument)?, base]);
                return Ok(raise(call, power));
            }
            "ln" => {
                let call = Expr::Call(Function::Log, vec![scalar(argument)?, Expr::Constant(Constant::E)]);
                return Ok(raise(call, power));
            }
            "gcd" | "lcm" | "max" | "min" => {
                let function = match name {
                    "gcd" => Function::Gcd,
                    "lcm" => Function::Lcm,
                    "max" => Function::Max,
                    _ => Function::Min,
                };
                let arguments = match argument {
                    Expr::Tuple(parts) | Expr::Set(parts) => parts,
                    single => vec![scalar(single)?],
                };
                return Ok(raise(Expr::Call(function, arguments), power));
            }
            "exp" => (Function::Exp, false),
            "sin" => trigonometric(Function::Sin, Some(Function::Arcsin)),
            "cos" => trigonometric(Function::Cos, Some(Function::Arccos)),
            "tan" => trigonometric(Function::Tan, Some(Function::Arctan)),
            "cot" => (Function::Cot, false),
            "sec" => (Function::Sec, false),
            "csc" => (Function::Csc, false),
            "arcsin" => (Function::Arcsin, false),
            "arccos" => (Function::Arccos, false),
            "arctan" => (Function::Arctan, false),
            "sinh" => (Function::Sinh, false),
            "cosh" => (Function::Cosh, false),
            "tanh" => (Function::Tanh, false),
            "floor" => (Function::Floor, false),
            "ceil" => (Function::Ceil, false),
            _ => return Err(Error::UnknownNotation(format!("\\{name}"))),
        };
        let call = one(function, argument)?;
        Ok(if used { call } else { raise(call, power) })
    }

    /// The argument of a function: brackets, or the factors up to the next function.
    fn function_argument(&mut self) -> Result<Expr, Error> {
        if self.accept(&Token::Open(Bracket::Round)) {
            return self.bracketed(Bracket::Round);
        }
        for bracket in [Bracket::Group, Bracket::Brace] {
            if self.accept(&Token::Open(bracket)) {
                return self.bracketed(bracket); // \max\{a, b\}
            }
        }
        if self.accept(&Token::Minus) {
            let inner = self.nested(Self::function_argument)?;
            return Ok(negative(scalar(inner)?));
        }
        let mut parts = vec![scalar(self.nested(Self::postfix)?)?];
        while self.starts_factor()
            && !matches!(self.peek(), Some(Token::Command(name)) if !matches!(*name, "frac" | "sqrt"))
            && !matches!(self.peek(), Some(Token::Open(Bracket::Round | Bracket::Square)))
        {
            parts.push(scalar(self.postfix()?)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::Product(parts) })
    }

    /// Sums, products, integrals, limits: their bounds and the body, as they stand.
    fn opaque(&mut self, name: &'static str) -> Result<Expr, Error> {
        let mut parts = Vec::new();
        for script in [Token::Underscore, Token::Caret, Token::Underscore] {
            if self.accept(&script) {
                let start = self.at;
                let bound = if self.accept(&Token::Open(Bracket::Group)) {
                    self.bracketed(Bracket::Group)
                        .map_err(|_| Error::UnknownNotation(format!("the bounds of \\{name}")))?
                } else {
                    self.script()?
                };
                // Lower and upper bounds in either order are told apart by their place.
                let place = if script == Token::Underscore { "below" } else { "above" };
                debug_assert!(self.at > start, "a bound takes tokens");
                parts.push(Expr::Opaque(place, vec![bound]));
            }
        }
        parts.push(self.product()?);
        Ok(Expr::Opaque(name, parts))
    }

    pub(crate) fn matrix(&mut self, kind: &str) -> Result<Expr, Error> {
        if kind.trim_end_matches('*') == "cases" || matches!(kind, "dcases" | "rcases") {
            return self.cases();
        }
        if !matches!(kind, "matrix" | "pmatrix" | "bmatrix" | "Bmatrix" | "smallmatrix" | "array") {
            return Err(Error::UnknownNotation(format!("\\begin{{{kind}}}")));
        }
        let mut rows: Vec<Vec<Expr>> = Vec::new();
        loop {
            if matches!(self.peek(), Some(Token::End(_))) {
                break;
            }
            if kind == "array" && rows.is_empty() && self.is_column() {
                return self.cases();
            }
            let mut row = vec![scalar(self.nested(Self::sum)?)?];
            while self.accept(&Token::Ampersand) {
                row.push(scalar(self.nested(Self::sum)?)?);
            }
            rows.push(row);
            if rows.len() > MAX_MATRIX || rows.iter().any(|row| row.len() > MAX_MATRIX) {
                return Err(Error::TooLarge);
            }
            if !self.accept(&Token::RowBreak) {
                break;
            }
        }
        match self.peek() {
            Some(Token::End(_)) => self.advance(),
            _ => return Err(Error::Malformed("a matrix is not closed")),
        }
        let Some(width) = rows.first().map(Vec::len) else {
            return Err(Error::Malformed("an empty matrix"));
        };
        if rows.iter().any(|row| row.len() != width) {
            return Err(Error::Malformed("rows of different lengths"));
        }
        if kind == "array" && width == 1 && rows.len() == 1 {
            return Ok(rows.remove(0).remove(0));
        }
        Ok(Expr::Matrix(rows))
    }

    /// Whether the array that starts here has relations in one column: a system of them.
    fn is_column(&self) -> bool {
        let rest = &self.tokens[self.at..];
        let end = rest.iter().position(|lexeme| matches!(lexeme.token, Token::End(_))).unwrap_or(rest.len());
        let has = |test: &dyn Fn(&Token<'_>) -> bool| rest[..end].iter().any(|lexeme| test(&lexeme.token));
        has(&|token| matches!(token, Token::Relation(_))) && !has(&|token| *token == Token::Ampersand)
    }

    /// An expression by cases, each with its condition, or a system of relations without any.
    fn cases(&mut self) -> Result<Expr, Error> {
        let mut rows: Vec<Expr> = Vec::new();
        let mut conditional = false;
        while !matches!(self.peek(), None | Some(Token::End(_))) {
            let value = self.element()?;
            while matches!(self.peek(), Some(Token::Comma(_) | Token::Semicolon)) {
                self.advance();
            }
            let row = if self.accept(&Token::Ampersand) {
                conditional = true;
                while matches!(self.peek(), Some(Token::Text(word)) if matches!(*word, "if" | "for" | "when" | "where"))
                {
                    self.advance();
                }
                Expr::Tuple(vec![value, self.element()?])
            } else {
                value
            };
            rows.push(row);
            while matches!(self.peek(), Some(Token::RowBreak | Token::Comma(_) | Token::Semicolon)) {
                self.advance();
            }
            if rows.len() > MAX_MATRIX {
                return Err(Error::TooLarge);
            }
        }
        if !matches!(self.peek(), Some(Token::End(_))) {
            return Err(Error::Malformed("cases are not closed"));
        }
        self.advance();
        Ok(if conditional { Expr::Opaque("cases", rows) } else { Expr::List(rows) })
    }
}

fn raise(base: Expr, power: Option<Expr>) -> Expr {
    match power {
        Some(power) => Expr::Power(Box::new(base), Box::new(power)),
        None => base,
    }
}
