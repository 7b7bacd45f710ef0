//! Sums, products, powers and what they are made of.

use super::expr::{Constant, Expr, Function, Sign, Written};
use super::lex::{Bracket, Glue, Side, Token};
use super::number;
use super::parse::{ParseError, Parser};
use num_traits::{Signed, Zero};

/// Rows and columns of a matrix.
const MAX_MATRIX: usize = 16;

fn scalar(expr: Expr) -> Result<Expr, ParseError> {
    if expr.is_scalar() {
        Ok(expr)
    } else {
        Err(ParseError::Malformed("arithmetic with a set or a relation"))
    }
}

impl<'a> Parser<'a> {
    /// A sum; alone, it may also be a set.
    pub(super) fn sum(&mut self) -> Result<Expr, ParseError> {
        let first = match self.peek() {
            Some(Token::PlusMinus | Token::MinusPlus) => Expr::integer(0),
            _ => self.product()?,
        };
        let mut parts = vec![first];
        loop {
            let token = self.peek();
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
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::Sum(parts) })
    }

    fn product(&mut self) -> Result<Expr, ParseError> {
        let mut left = self.unary()?;
        loop {
            let token = self.peek();
            if !matches!(token, Some(Token::Times | Token::Over | Token::Colon)) {
                return Ok(left);
            }
            self.advance();
            let right = scalar(self.unary()?)?;
            left = scalar(left)?;
            left = match token {
                Some(Token::Times) => multiply(left, right),
                _ => Expr::Quotient(Box::new(left), Box::new(right)),
            };
        }
    }

    fn unary(&mut self) -> Result<Expr, ParseError> {
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
    fn factors(&mut self) -> Result<Expr, ParseError> {
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
                    return Err(ParseError::Malformed("two numbers side by side"));
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

    fn starts_factor(&self) -> bool {
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
            Some(Token::Command(name)) => *name != "pmod",
            Some(Token::Bar(side)) => match side {
                Side::Left => true,
                Side::Right => false,
                Side::Either => self.bars == 0,
            },
            _ => false,
        }
    }

    /// A factor with what hangs on it: powers, factorials, percent and degree signs.
    fn postfix(&mut self) -> Result<Expr, ParseError> {
        let mut base = self.primary()?;
        loop {
            self.spend(1)?;
            match self.peek() {
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
                    base = Expr::Percent(Box::new(scalar(base)?));
                }
                Some(Token::Degree) => {
                    self.advance();
                    base = Expr::Degrees(Box::new(scalar(base)?));
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

    fn raised(&mut self, base: Expr) -> Result<Expr, ParseError> {
        let degree = match (self.peek(), self.peek_at(1), self.peek_at(2)) {
            (Some(Token::Degree), ..) => 1,
            (Some(Token::Open(Bracket::Group)), Some(Token::Degree), Some(Token::Close(Bracket::Group))) => 3,
            _ => 0,
        };
        if degree > 0 {
            self.at += degree;
            return Ok(Expr::Degrees(Box::new(scalar(base)?)));
        }
        let exponent = self.script()?;
        // \R^2 is a set of pairs; nothing is known about it but its form.
        if let Expr::Numbers(_) = base {
            return Ok(Expr::Opaque("space", vec![base, exponent]));
        }
        Ok(Expr::Power(Box::new(scalar(base)?), Box::new(exponent)))
    }

    /// The argument of `^`: a group, or one factor with an optional sign.
    fn script(&mut self) -> Result<Expr, ParseError> {
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
    fn argument(&mut self) -> Result<Expr, ParseError> {
        if self.accept(&Token::Open(Bracket::Group)) {
            return scalar(self.scalar_group(Bracket::Group)?);
        }
        self.nested(|parser| scalar(parser.primary()?))
    }

    fn primary(&mut self) -> Result<Expr, ParseError> {
        let Some(token) = self.peek() else {
            return Err(ParseError::Malformed("it ends where a value should stand"));
        };
        self.spend(1)?;
        self.advance();
        match token {
            Token::Number(text) => self.number(text),
            Token::Letter(letter) => self.letter(*letter),
            Token::Name("pi") => Ok(Expr::Constant(Constant::Pi)),
            Token::Name(name) => self.symbol((*name).to_owned()),
            Token::Text(text) => self.text(text),
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
            _ => Err(ParseError::Malformed("an operator where a value should stand")),
        }
    }

    fn absolute(&mut self) -> Result<Expr, ParseError> {
        self.bars += 1;
        let inner = self.nested(Self::sum)?;
        self.bars -= 1;
        match self.peek() {
            Some(Token::Bar(Side::Right | Side::Either)) => {
                self.advance();
                Ok(Expr::Call(Function::Abs, vec![scalar(inner)?]))
            }
            _ => Err(ParseError::Malformed("an absolute value is not closed")),
        }
    }

    /// A literal with its thousands separators and its base.
    fn number(&mut self, text: &'a str) -> Result<Expr, ParseError> {
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
            && minutes.len() == 2
            && minutes.starts_with('0')
        {
            self.at += 2;
            return Ok(Expr::Symbol(format!("{digits}:{minutes}")));
        }
        if self.accept(&Token::Underscore) {
            let base = self.subscript()?;
            return Ok(Expr::Based { digits, base });
        }
        number::literal(&digits).ok_or(ParseError::TooLarge)
    }

    fn letter(&mut self, letter: char) -> Result<Expr, ParseError> {
        let bare = !matches!(self.peek(), Some(Token::Underscore | Token::Prime));
        match letter {
            'e' if bare => Ok(Expr::Constant(Constant::E)),
            'i' if bare => Ok(Expr::Constant(Constant::I)),
            _ => self.symbol(letter.to_string()),
        }
    }

    /// A name with its subscript and primes, applied to what stands in brackets behind it where that is an argument.
    fn symbol(&mut self, name: String) -> Result<Expr, ParseError> {
        let mut name = name;
        loop {
            if self.accept(&Token::Underscore) {
                name.push('_');
                name.push_str(&self.subscript()?);
            } else if self.accept(&Token::Prime) {
                name.push('\'');
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
        Ok(Expr::Symbol(name.to_lowercase()))
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
        likely || (possible && single)
    }

    /// A subscript as text: it is a part of a name.
    fn subscript(&mut self) -> Result<String, ParseError> {
        let start = self.at;
        if self.accept(&Token::Open(Bracket::Group)) {
            let mut depth = 1_usize;
            while depth > 0 {
                match self.peek() {
                    Some(Token::Open(Bracket::Group)) => depth += 1,
                    Some(Token::Close(Bracket::Group)) => depth -= 1,
                    Some(_) => {}
                    None => return Err(ParseError::Malformed("a subscript is not closed")),
                }
                self.advance();
            }
        } else if self.peek().is_some() {
            self.advance();
        } else {
            return Err(ParseError::Malformed("a subscript is missing"));
        }
        let (from, to) = (self.tokens[start].start, self.tokens[self.at - 1].end);
        let visible = |c: &char| !c.is_whitespace() && !matches!(c, '{' | '}' | '\\');
        Ok(self.text[from..to].chars().filter(visible).flat_map(char::to_lowercase).collect())
    }

    /// Words: a name, whatever they say. `\text{(C)}` is the choice C.
    fn text(&mut self, text: &str) -> Result<Expr, ParseError> {
        let name: String =
            text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | '.')).collect();
        if name.is_empty() || name.contains('\\') {
            return Err(ParseError::Unknown(format!("\\text{{{text}}}")));
        }
        self.symbol(name.to_lowercase())
    }

    fn command(&mut self, name: &'static str) -> Result<Expr, ParseError> {
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
                    .ok_or_else(|| ParseError::Unknown(format!("\\{name} over an expression")))?;
                self.symbol(format!("{name}({word})"))
            }
            "sum" | "prod" | "int" | "lim" => self.opaque(name),
            "det" => Err(ParseError::Unknown("\\det".to_owned())),
            "operatorname" => Err(ParseError::Unknown("\\operatorname".to_owned())),
            _ => self.function(name),
        }
    }

    /// A named function with its power and base: `\sin^2 x`, `\log_2 8`.
    fn function(&mut self, name: &'static str) -> Result<Expr, ParseError> {
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
        let one = |function: Function, argument: Expr| -> Result<Expr, ParseError> {
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
            _ => return Err(ParseError::Unknown(format!("\\{name}"))),
        };
        let call = one(function, argument)?;
        Ok(if used { call } else { raise(call, power) })
    }

    /// The argument of a function: brackets, or the factors up to the next function.
    fn function_argument(&mut self) -> Result<Expr, ParseError> {
        if self.accept(&Token::Open(Bracket::Round)) {
            return self.bracketed(Bracket::Round);
        }
        if self.accept(&Token::Open(Bracket::Group)) {
            return self.bracketed(Bracket::Group);
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
    fn opaque(&mut self, name: &'static str) -> Result<Expr, ParseError> {
        let mut parts = Vec::new();
        for script in [Token::Underscore, Token::Caret, Token::Underscore] {
            if self.accept(&script) {
                let start = self.at;
                let bound = if self.accept(&Token::Open(Bracket::Group)) {
                    self.bracketed(Bracket::Group)
                        .map_err(|_| ParseError::Unknown(format!("the bounds of \\{name}")))?
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

    fn matrix(&mut self, kind: &str) -> Result<Expr, ParseError> {
        if !matches!(kind, "matrix" | "pmatrix" | "bmatrix" | "Bmatrix" | "smallmatrix" | "array") {
            return Err(ParseError::Unknown(format!("\\begin{{{kind}}}")));
        }
        let mut rows: Vec<Vec<Expr>> = Vec::new();
        loop {
            if matches!(self.peek(), Some(Token::End(_))) {
                break;
            }
            let mut row = vec![scalar(self.nested(Self::sum)?)?];
            while self.accept(&Token::Ampersand) {
                row.push(scalar(self.nested(Self::sum)?)?);
            }
            rows.push(row);
            if rows.len() > MAX_MATRIX || rows.iter().any(|row| row.len() > MAX_MATRIX) {
                return Err(ParseError::TooLarge);
            }
            if !self.accept(&Token::RowBreak) {
                break;
            }
        }
        match self.peek() {
            Some(Token::End(_)) => self.advance(),
            _ => return Err(ParseError::Malformed("a matrix is not closed")),
        }
        let Some(width) = rows.first().map(Vec::len) else {
            return Err(ParseError::Malformed("an empty matrix"));
        };
        if rows.iter().any(|row| row.len() != width) {
            return Err(ParseError::Malformed("rows of different lengths"));
        }
        Ok(Expr::Matrix(rows))
    }
}

fn negative(expr: Expr) -> Expr {
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

fn raise(base: Expr, power: Option<Expr>) -> Expr {
    match power {
        Some(power) => Expr::Power(Box::new(base), Box::new(power)),
        None => base,
    }
}

/// Whether it was written with a decimal point.
pub(super) fn is_decimal(expr: &Expr) -> bool {
    match expr {
        Expr::Number { written, .. } => *written == Written::Decimal,
        Expr::Negative(inner) | Expr::Percent(inner) | Expr::Degrees(inner) => is_decimal(inner),
        _ => false,
    }
}
