//! The leaves of a term: numerals with their separators, names with subscripts and primes, functions by name, words.

use crate::Error;
use crate::expr::{Constant, Expr};
use crate::parse::Parser;
use crate::term::scalar;
use crate::token::{Bracket, Glue, Token};
use crate::{calendar, number, text};

impl<'a> Parser<'a> {
    /// A literal with its thousands separators and its base.
    pub(super) fn number(&mut self, text: &'a str) -> Result<Expr, Error> {
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

    pub(super) fn letter(&mut self, letter: char) -> Result<Expr, Error> {
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
    pub(super) fn raised_primes(&mut self) -> usize {
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
    pub(super) fn is_applied(&self, name: &str) -> bool {
        if self.peek() != Some(&Token::Open(Bracket::Round)) {
            return false;
        }
        let likely = name.starts_with(['f', 'g', 'h', 'F', 'G', 'H']);
        let possible = name.starts_with(char::is_uppercase) || name.starts_with(['p', 'q', 'u', 'v', 'w']);
        let single = self.peek_at(2) == Some(&Token::Close(Bracket::Round));
        likely || (possible && single) || self.holds_list()
    }

    /// Whether the bracket that starts here holds several arguments: nothing is multiplied by a tuple.
    pub(super) fn holds_list(&self) -> bool {
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
    pub(super) fn subscript(&mut self) -> Result<String, Error> {
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
    pub(super) fn worded(&mut self, text: &'a str) -> Result<Expr, Error> {
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
