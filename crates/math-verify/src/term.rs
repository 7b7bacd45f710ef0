//! Sums, products, powers, names and numerals. Commands with arguments are in [`crate::call`].

mod names;

use crate::Error;
use crate::expr::{Constant, Expr, Function, Sign, Written};
use crate::number;
use crate::parse::Parser;
use crate::token::{Bracket, Side, Token};
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

impl Parser<'_> {
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
        // 1 \over 2, 7 \choose 3
        let Some(&Token::Command(name @ ("over" | "choose"))) = self.peek() else { return Ok(sum) };
        self.advance();
        let (above, below) = (scalar(sum)?, scalar(self.nested(Self::sum)?)?);
        Ok(match name {
            "over" => Expr::Quotient(Box::new(above), Box::new(below)),
            _ => Expr::Call(Function::Binomial, vec![above, below]),
        })
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
            Some(Token::Command(name)) => !matches!(*name, "pmod" | "over" | "choose"),
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
