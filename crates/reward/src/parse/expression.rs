//! Arithmetic over non-negative integer literals with `+ - * /`, signs and parentheses, evaluated exactly. No names,
//! no powers, no `//`, no decimals: what is not in the grammar does not parse.

use crate::parse::rational::Rational;

/// Parentheses within parentheses. Twice what sensible text has, and far from the end of the stack.
const MAX_DEPTH: usize = 100;

/// A piece of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A literal; `None` when it does not fit, which is then no number that anybody was given.
    Number(Option<i128>),
    /// One of `+ - * / ( )`.
    Symbol(u8),
}

/// Why an expression has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoValue {
    #[error("not an expression of integers, + - * / and parentheses")]
    Malformed,
    #[error("division by zero")]
    DivisionByZero,
    /// The budget ran out: undecided.
    #[error("too large to evaluate: deeper than {MAX_DEPTH} parentheses, or beyond 128 bits")]
    TooLarge,
}

/// Splits text into tokens, linear in its length.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, NoValue> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => at += 1,
            b'+' | b'-' | b'*' | b'/' | b'(' | b')' => {
                tokens.push(Token::Symbol(byte));
                at += 1;
            }
            b'0'..=b'9' => {
                let length = bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
                let digits = &text[at..at + length];
                if length > 1 && byte == b'0' {
                    return Err(NoValue::Malformed); // as in Python, whose `eval` the reference uses
                }
                tokens.push(Token::Number(digits.parse().ok()));
                at += length;
            }
            _ => return Err(NoValue::Malformed),
        }
    }
    Ok(tokens)
}

/// The value of an expression.
pub(crate) fn evaluate(tokens: &[Token]) -> Result<Rational, NoValue> {
    let mut parser = Parser { rest: tokens, depth: 0 };
    let value = parser.sum()?;
    if parser.rest.is_empty() { Ok(value) } else { Err(NoValue::Malformed) }
}

/// Recursive descent: sum = product (+|- product)*, product = signed (*|/ signed)*, signed = (+|-)* atom,
/// atom = number | ( sum ).
struct Parser<'a> {
    rest: &'a [Token],
    depth: usize,
}

impl Parser<'_> {
    fn next_if(&mut self, symbols: &[u8]) -> Option<u8> {
        match self.rest.split_first() {
            Some((&Token::Symbol(symbol), rest)) if symbols.contains(&symbol) => {
                self.rest = rest;
                Some(symbol)
            }
            _ => None,
        }
    }

    fn sum(&mut self) -> Result<Rational, NoValue> {
        let mut value = self.product()?;
        while let Some(symbol) = self.next_if(b"+-") {
            let right = self.product()?;
            let right = if symbol == b'-' { right.negate() } else { Some(right) };
            value = right.and_then(|right| value.add(right)).ok_or(NoValue::TooLarge)?;
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<Rational, NoValue> {
        let mut value = self.signed()?;
        while let Some(symbol) = self.next_if(b"*/") {
            let right = self.signed()?;
            let result = match symbol {
                b'*' => value.multiply(right),
                _ if right.is_zero() => return Err(NoValue::DivisionByZero),
                _ => value.divide(right),
            };
            value = result.ok_or(NoValue::TooLarge)?;
        }
        Ok(value)
    }

    fn signed(&mut self) -> Result<Rational, NoValue> {
        let mut negative = false;
        while let Some(symbol) = self.next_if(b"+-") {
            negative ^= symbol == b'-';
        }
        let value = self.atom()?;
        if negative { value.negate().ok_or(NoValue::TooLarge) } else { Ok(value) }
    }

    fn atom(&mut self) -> Result<Rational, NoValue> {
        if let Some((&Token::Number(number), rest)) = self.rest.split_first() {
            self.rest = rest;
            return number.map(Rational::integer).ok_or(NoValue::TooLarge);
        }
        self.next_if(b"(").ok_or(NoValue::Malformed)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(NoValue::TooLarge);
        }
        let value = self.sum()?;
        self.depth -= 1;
        self.next_if(b")").ok_or(NoValue::Malformed)?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::{NoValue, Rational, evaluate, tokens};

    fn value(text: &str) -> Result<Rational, NoValue> {
        tokens(text).and_then(|tokens| evaluate(&tokens))
    }

    #[test]
    fn precedence_signs_and_fractions_are_exact() {
        for (text, expected) in [
            ("1+2*3", 7),
            ("(1+2)*3", 9),
            ("8-3-2", 3),
            ("16/4/2", 2),
            ("8/(3-8/3)", 24),
            ("-(2-5)*4", 12),
            ("2--3", 5),
            (" 6 *\n4 ", 24),
            ("1/3+1/3+1/3", 1),
        ] {
            assert_eq!(value(text), Ok(Rational::integer(expected)), "{text}");
        }
    }

    #[test]
    fn what_is_outside_the_grammar_has_no_value() {
        for text in [
            "",
            "()",
            "1+",
            "*2",
            "2**3",
            "7//2",
            "1.5*4",
            "1 2",
            "(3)(4)",
            "(1",
            "1)",
            "07",
            "1e3",
            "x",
            "6=6",
            "__import__('os')",
            "6\u{d7}4",
            "\u{0664}",
            "2^3",
            "4!",
        ] {
            assert_eq!(value(text), Err(NoValue::Malformed), "{text}");
        }
        assert_eq!(value("1/(2-2)"), Err(NoValue::DivisionByZero));
    }

    #[test]
    fn size_is_bounded_whatever_the_text() {
        let deep = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
        assert_eq!(value(&deep), Err(NoValue::TooLarge));
        assert_eq!(value(&"9".repeat(1_000_000)), Err(NoValue::TooLarge));
        assert_eq!(value(&vec!["999999999"; 50].join("*")), Err(NoValue::TooLarge));
        assert_eq!(value(&format!("{}1", "-".repeat(1_000_000))), Ok(Rational::integer(1)));
    }
}
