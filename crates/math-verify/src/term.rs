//! Sums, products, powers, names and numerals. Commands with arguments are in [`crate::call`].

use crate::Error;
use crate::expr::{Constant, Expr, Function, Sign, Written};
use crate::parse::Parser;
use crate::token::{Bracket, Glue, Side, Token};
use crate::{calendar, number, text};
use num_rational::BigRational;
use num_traits::{Signed, Zero};

pub(crate) fn scalar(expr: Expr) -> Result<Expr, Error> {
    match expr {
        // Braces may only group: \left\{ x + 1 \right\}^2.
        Expr::Set(mut elements) if elements.len() == 1 => scalar(elements.remove(0)),
        expr if expr.is_scalar() => Ok(expr),
        _ => Err(Error::Malformed("arithmetic with a set or a relation")),
    }
}

impl<'a> Parser<'a> {
    /// A sum; alone, it may also be a set.
    pub(crate) fn sum(&mut self) -> Result<Expr, Error> {
        let first = match self.peek() {
            Some(Token::PlusMinus | Token::MinusPlus) => Expr::integer(0),
            _ => self.product()?,
        };
        let mut parts = vec![first];
        let mut links = 0;
        loop {
            let token = self.peek();
            // 5 ft 6 in
            if matches!(token, Some(Token::Number(_))) && self.unit_end == self.at {
                parts.push(scalar(self.product()?)?);
                continue;
            }
            if !matches!(token, Some(Token::Plus | Token::Minus | Token::PlusMinus | Token::MinusPlus)) {
                break;
            }
            if !parts[0].is_scalar() {
                break; // a difference of sets
            }
            self.advance();
            let term = scalar(self.product()?)?;
            match token {
                Some(Token::Plus) => parts.push(term),
                Some(Token::Minus) => parts.push(negative(term)),
                token => {
                    links += 1;
                    self.chain(links)?;
                    let sign = if token == Some(&Token::PlusMinus) { Sign::Plus } else { Sign::Minus };
                    let left = if parts.len() == 1 {
                        parts.remove(0)
                    } else {
                        Expr::Sum(std::mem::take(&mut parts))
                    };
                    parts = vec![Expr::PlusMinus(Box::new(left), Box::new(term), sign)];
                }
            }
        }
        let sum = if parts.len() == 1 { parts.remove(0) } else { Expr::Sum(parts) };
        // 1 \over 2
        if self.peek() == Some(&Token::Command("over")) {
            self.advance();
            return Ok(Expr::Quotient(Box::new(scalar(sum)?), Box::new(scalar(self.nested(Self::sum)?)?)));
        }
        Ok(sum)
    }

    pub(crate) fn product(&mut self) -> Result<Expr, Error> {
        let mut left = self.unary()?;
        let mut links = 0;
        loop {
            let token = self.peek();
            if !matches!(token, Some(Token::Times | Token::Over)) {
                return Ok(left);
            }
            self.advance();
            let right = scalar(self.unary()?)?;
            left = scalar(left)?;
            let is_flat = token == Some(&Token::Times) && matches!(left, Expr::Product(_));
            if !is_flat {
                links += 1;
                self.chain(links)?;
            }
            left = match token {
                Some(Token::Times) => multiply(left, right),
                _ => Expr::Quotient(Box::new(left), Box::new(right)),
            };
        }
    }

    fn unary(&mut self) -> Result<Expr, Error> {
        if self.accept(&Token::Plus) {
            return self.nested(Self::unary);
        }
        if self.accept(&Token::Minus) {
            let inner = self.nested(Self::unary)?;
            return Ok(negative(scalar(inner)?));
        }
        self.factors()
    }

    /// Factors side by side: `2x`, `3\sqrt{2}\pi`; also a mixed number.
    fn factors(&mut self) -> Result<Expr, Error> {
        let value = self.juxtaposed()?;
        let value = match self.peek() {
            Some(Token::Scale(scale)) => {
                self.advance();
                let scale = Expr::exact(BigRational::from_integer((*scale).into()));
                Expr::Product(vec![scalar(value)?, scale])
            }
            _ => value,
        };
        if let Some(Token::Unit(unit)) = self.peek() {
            self.advance();
            self.units.push(unit.clone());
            self.unit_end = self.at;
        }
        Ok(value)
    }

    fn juxtaposed(&mut self) -> Result<Expr, Error> {
        let starts_with_number = matches!(self.peek(), Some(Token::Number(_)));
        let first = self.postfix()?;
        if !self.starts_factor() {
            return Ok(first);
        }
        let mut parts = vec![scalar(first)?];
        while self.starts_factor() {
            let token = self.peek();
            let factor = scalar(self.postfix()?)?;
            match token {
                Some(Token::Number(_))
                    if matches!(parts.last(), Some(Expr::Number { .. } | Expr::Based { .. })) =>
                {
                    return Err(Error::Malformed("two numbers side by side"));
                }
                // 2\frac{1}{2} is a mixed number.
                Some(Token::Command("frac"))
                    if parts.len() == 1
                        && starts_with_number
                        && parts[0].is_natural()
                        && matches!(&factor, Expr::Quotient(a, b) if a.is_natural() && b.is_natural()) =>
                {
                    let whole = parts.remove(0);
                    parts.push(Expr::Sum(vec![whole, factor]));
                }
                _ => parts.push(factor),
            }
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::Product(parts) })
    }

    pub(crate) fn starts_factor(&self) -> bool {
        match self.peek() {
            Some(
                Token::Number(_)
                | Token::Letter(_)
                | Token::Name(_)
                | Token::Text(_)
                | Token::Infinity
                | Token::Begin(_)
                | Token::Open(_),
            ) => true,
            Some(Token::Command(name)) => !matches!(*name, "pmod" | "over"),
            Some(Token::Bar(side)) => match side {
                Side::Left => true,
                Side::Right => false,
                Side::Either => self.bars == 0,
            },
            _ => false,
        }
    }

    /// A factor with what hangs on it: powers, factorials, percent and degree signs.
    pub(crate) fn postfix(&mut self) -> Result<Expr, Error> {
        let mut base = self.primary()?;
        let mut links = 0;
        loop {
            self.spend(1)?;
            let token = self.peek();
            if matches!(token, Some(Token::Caret | Token::Bang | Token::Degree | Token::Command("pmod"))) {
                links += 1;
                self.chain(links)?;
            }
            match token {
                Some(Token::Caret) => {
                    self.advance();
                    base = self.raised(base)?;
                }
                Some(Token::Bang) => {
                    self.advance();
                    base = Expr::Call(Function::Factorial, vec![scalar(base)?]);
                }
                Some(Token::Percent) => {
                    self.advance();
                    // Twice the sign is a slip of the pen, not a hundredth of a percent.
                    base = match scalar(base)? {
                        percent @ Expr::Percent(_) => percent,
                        value => Expr::Percent(Box::new(value)),
                    };
                }
                Some(Token::Degree) => {
                    self.advance();
                    base = self.degrees(base)?;
                }
                Some(Token::Command("pmod")) => {
                    self.advance();
                    let modulus = scalar(self.nested(Self::postfix)?)?;
                    base = Expr::Opaque("mod", vec![scalar(base)?, modulus]);
                }
                _ => return Ok(base),
            }
        }
    }

    /// An angle with its minutes of arc: `30^\circ 15'`.
    fn degrees(&mut self, base: Expr) -> Result<Expr, Error> {
        let base = scalar(base)?;
        let (Some(Token::Number(minutes)), Some(Token::Prime)) = (self.peek(), self.peek_at(1)) else {
            return Ok(Expr::Degrees(Box::new(base)));
        };
        let minutes = number::literal(minutes).ok_or(Error::TooLarge)?;
        self.at += 2;
        let mut parts = vec![base, Expr::Quotient(Box::new(minutes), Box::new(Expr::integer(60)))];
        if let (Some(Token::Number(seconds)), Some(Token::Prime), Some(Token::Prime)) =
            (self.peek(), self.peek_at(1), self.peek_at(2))
        {
            let seconds = number::literal(seconds).ok_or(Error::TooLarge)?;
            self.at += 3;
            parts.push(Expr::Quotient(Box::new(seconds), Box::new(Expr::integer(3600))));
        }
        Ok(Expr::Degrees(Box::new(Expr::Sum(parts))))
    }

    fn raised(&mut self, base: Expr) -> Result<Expr, Error> {
        let degree = match (self.peek(), self.peek_at(1), self.peek_at(2)) {
            (Some(Token::Degree), ..) => 1,
            (Some(Token::Open(Bracket::Group)), Some(Token::Degree), Some(Token::Close(Bracket::Group))) => 3,
            _ => 0,
        };
        if degree > 0 {
            self.at += degree;
            return self.degrees(base);
        }
        let exponent = self.script()?;
        // \R^2 is a set of pairs; nothing is known about it but its form.
        if let Expr::Numbers(_) = base {
            return Ok(Expr::Opaque("space", vec![base, exponent]));
        }
        Ok(Expr::Power(Box::new(scalar(base)?), Box::new(exponent)))
    }

    /// The argument of `^`: a group, or one factor with an optional sign.
    pub(crate) fn script(&mut self) -> Result<Expr, Error> {
        self.nested(|parser| {
            if parser.accept(&Token::Minus) {
                return Ok(negative(parser.script()?));
            }
            if parser.accept(&Token::Open(Bracket::Group)) {
                return parser.scalar_group(Bracket::Group);
            }
            let primary = scalar(parser.primary()?)?;
            // 2^3^2 is 2^9.
            if parser.accept(&Token::Caret) {
                return Ok(Expr::Power(Box::new(primary), Box::new(parser.script()?)));
            }
            Ok(primary)
        })
    }

    /// A braced argument of a command, or the one token that TeX takes in its place.
    pub(crate) fn argument(&mut self) -> Result<Expr, Error> {
        if self.accept(&Token::Open(Bracket::Group)) {
            return scalar(self.scalar_group(Bracket::Group)?);
        }
        self.nested(|parser| scalar(parser.primary()?))
    }

    pub(crate) fn primary(&mut self) -> Result<Expr, Error> {
        let Some(token) = self.peek() else {
            return Err(Error::Malformed("it ends where a value should stand"));
        };
        self.spend(1)?;
        self.advance();
        match token {
            Token::Number(text) => self.number(text),
            Token::Letter(letter) => self.letter(*letter),
            Token::Name("pi") => Ok(Expr::Constant(Constant::Pi)),
            Token::Name(name) => self.symbol((*name).to_owned()),
            Token::Text(text) => self.worded(text),
            Token::Infinity => Ok(Expr::Constant(Constant::Infinity)),
            Token::Numbers(set) => Ok(Expr::Numbers(*set)),
            Token::Open(Bracket::Floor) => {
                Ok(Expr::Call(Function::Floor, vec![scalar(self.scalar_group(Bracket::Floor)?)?]))
            }
            Token::Open(Bracket::Ceil) => {
                Ok(Expr::Call(Function::Ceil, vec![scalar(self.scalar_group(Bracket::Ceil)?)?]))
            }
            Token::Open(bracket) => self.bracketed(*bracket),
            Token::Bar(Side::Left | Side::Either) => self.absolute(),
            Token::Begin(kind) => self.matrix(kind),
            Token::Command(name) => self.nested(|parser| parser.command(name)),
            _ => Err(Error::Malformed("an operator where a value should stand")),
        }
    }

    fn absolute(&mut self) -> Result<Expr, Error> {
        self.bars += 1;
        let inner = self.nested(Self::sum)?;
        self.bars -= 1;
        match self.peek() {
            Some(Token::Bar(Side::Right | Side::Either)) => {
                self.advance();
                Ok(Expr::Call(Function::Abs, vec![scalar(inner)?]))
            }
            _ => Err(Error::Malformed("an absolute value is not closed")),
        }
    }

    /// A literal with its thousands separators and its base.
    fn number(&mut self, text: &'a str) -> Result<Expr, Error> {
        let mut digits = text.to_owned();
        // Groups of three that can only be one number: glued, spaced, or with leading zeros (`1,000`).
        loop {
            let previous_end = self.tokens[self.at - 1].end;
            let is_group = |ahead: usize| match self.tokens.get(self.at + ahead) {
                Some(lexeme) => match lexeme.token {
                    Token::Number(next) if next.split('.').next().is_some_and(|whole| whole.len() == 3) => {
                        Some((next, lexeme.start))
                    }
                    _ => None,
                },
                None => None,
            };
            let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
            let short = text.len() <= 3;
            let (group, taken) = match self.peek() {
                Some(Token::Comma(Glue::Glued)) => (is_group(1), 2),
                Some(Token::Comma(Glue::Loose)) => {
                    let close =
                        |(next, start): &(&str, usize)| next.starts_with('0') && start - previous_end == 1;
                    (is_group(1).filter(close), 2)
                }
                Some(Token::Number(_)) => (is_group(0).filter(|(_, start)| *start > previous_end), 1),
                _ => (None, 0),
            };
            match group {
                Some((group, _)) if plain && short => {
                    digits.push_str(group);
                    self.at += taken;
                }
                _ => break,
            }
        }
        // 12:05 is a time of day, not a ratio.
        if let (Some(Token::Colon), Some(Token::Number(minutes))) = (self.peek(), self.peek_at(1))
            && self.peek_at(2) != Some(&Token::Colon)
            && !self.at.checked_sub(2).is_some_and(|at| self.tokens[at].token == Token::Colon)
            && let Some(time) = calendar::time(&format!("{digits}:{minutes}"))
        {
            self.at += 2;
            return Ok(Expr::Time(time));
        }
        if self.accept(&Token::Underscore) {
            let base = self.subscript()?;
            return Ok(Expr::Based { digits, base });
        }
        number::literal(&digits).ok_or(Error::TooLarge)
    }

    fn letter(&mut self, letter: char) -> Result<Expr, Error> {
        let bare = !matches!(self.peek(), Some(Token::Underscore | Token::Prime));
        match letter {
            'e' if bare => Ok(Expr::Constant(Constant::E)),
            'i' if bare => Ok(Expr::Constant(Constant::I)),
            _ => self.symbol(letter.to_string()),
        }
    }

    /// A name with its subscript and primes, applied to what stands in brackets behind it where that is an
    /// argument.
    pub(crate) fn symbol(&mut self, name: String) -> Result<Expr, Error> {
        let mut name = name;
        loop {
            if self.accept(&Token::Underscore) {
                name.push('_');
                name.push_str(&self.subscript()?);
            } else if self.accept(&Token::Prime) {
                name.push('\'');
            } else if let primes @ 1.. = self.raised_primes() {
                name.extend(std::iter::repeat_n('\'', primes));
            } else {
                break;
            }
        }
        if self.is_applied(&name) {
            self.advance();
            return match self.nested(|parser| parser.bracketed(Bracket::Round))? {
                Expr::Tuple(arguments) => Ok(Expr::Apply(name, arguments)),
                argument => Ok(Expr::Apply(name, vec![scalar(argument)?])),
            };
        }
        Ok(Expr::Symbol(name))
    }

    /// `^{\prime}`, `^\prime`: how many primes were taken.
    fn raised_primes(&mut self) -> usize {
        if self.peek() != Some(&Token::Caret) {
            return 0;
        }
        let grouped = self.peek_at(1) == Some(&Token::Open(Bracket::Group));
        let first = 1 + usize::from(grouped);
        let primes = (0..4).take_while(|at| self.peek_at(first + at) == Some(&Token::Prime)).count();
        let closed = !grouped || self.peek_at(first + primes) == Some(&Token::Close(Bracket::Group));
        if primes == 0 || !closed {
            return 0;
        }
        self.at += first + primes + usize::from(grouped);
        primes
    }

    /// Whether the bracket behind a name holds its argument: `f(x + 1)`, `P(2)`, but `a(b + c)` and `P(1 + r)` are
    /// products.
    fn is_applied(&self, name: &str) -> bool {
        if self.peek() != Some(&Token::Open(Bracket::Round)) {
            return false;
        }
        let likely = name.starts_with(['f', 'g', 'h', 'F', 'G', 'H']);
        let possible = name.starts_with(char::is_uppercase) || name.starts_with(['p', 'q', 'u', 'v', 'w']);
        let single = self.peek_at(2) == Some(&Token::Close(Bracket::Round));
        likely || (possible && single) || self.holds_list()
    }

    /// Whether the bracket that starts here holds several arguments: nothing is multiplied by a tuple.
    fn holds_list(&self) -> bool {
        let mut depth = 0_usize;
        for lexeme in &self.tokens[self.at..] {
            match lexeme.token {
                Token::Open(_) => depth += 1,
                Token::Close(_) => {
                    depth -= 1;
                    if depth == 0 {
                        return false;
                    }
                }
                Token::Comma(Glue::Loose) if depth == 1 => return true,
                _ => {}
            }
        }
        false
    }

    /// A subscript as text: it is a part of a name.
    fn subscript(&mut self) -> Result<String, Error> {
        let start = self.at;
        if self.accept(&Token::Open(Bracket::Group)) {
            let mut depth = 1_usize;
            while depth > 0 {
                match self.peek() {
                    Some(Token::Open(Bracket::Group)) => depth += 1,
                    Some(Token::Close(Bracket::Group)) => depth -= 1,
                    Some(_) => {}
                    None => return Err(Error::Malformed("a subscript is not closed")),
                }
                self.advance();
            }
        } else if self.peek().is_some() {
            self.advance();
        } else {
            return Err(Error::Malformed("a subscript is missing"));
        }
        let (from, to) = (self.tokens[start].start, self.tokens[self.at - 1].end);
        let visible = |c: &char| !c.is_whitespace() && !matches!(c, '{' | '}' | '\\');
        Ok(self.text[from..to].chars().filter(visible).collect())
    }

    /// Words: alone they are a text; beside others one word is a name, and several are no formula.
    fn worded(&mut self, text: &'a str) -> Result<Expr, Error> {
        let bounds = |token: Option<&Token<'_>>| {
            matches!(
                token,
                None | Some(
                    Token::Comma(_)
                        | Token::Semicolon
                        | Token::Open(_)
                        | Token::Close(_)
                        | Token::Relation(_)
                        | Token::Ampersand
                        | Token::RowBreak
                )
            )
        };
        let before = self.at.checked_sub(2).map(|at| &self.tokens[at].token);
        if text.contains('\\') {
            return Err(Error::UnknownNotation(format!("\\text{{{text}}}")));
        }
        let name: String =
            text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | '.')).collect();
        let is_letter = name.len() == 1 && name.bytes().all(|b| b.is_ascii_alphabetic());
        if !is_letter && !name.is_empty() && bounds(before) && bounds(self.peek()) {
            return Ok(text::expression(text));
        }
        if name.is_empty() || text.trim().contains(' ') {
            return Err(Error::UnknownNotation(format!("\\text{{{text}}}")));
        }
        self.symbol(name)
    }
}

pub(crate) fn negative(expr: Expr) -> Expr {
    match expr {
        Expr::Number { value, written } if value.is_positive() || value.is_zero() => {
            Expr::Number { value: -value, written }
        }
        // A negative zero is zero, and -(28%) is (-28)%.
        Expr::Percent(inner) => Expr::Percent(Box::new(negative(*inner))),
        other => Expr::Negative(Box::new(other)),
    }
}

fn multiply(left: Expr, right: Expr) -> Expr {
    match left {
        Expr::Product(mut parts) => {
            parts.push(right);
            Expr::Product(parts)
        }
        left => Expr::Product(vec![left, right]),
    }
}

/// Whether it was written with a decimal point.
pub(crate) fn is_decimal(expr: &Expr) -> bool {
    match expr {
        Expr::Number { written, .. } => *written == Written::Decimal,
        Expr::Negative(inner) | Expr::Percent(inner) | Expr::Degrees(inner) => is_decimal(inner),
        _ => false,
    }
}
