//! From LaTeX (and the plain notations mixed into it) to tokens. What only changes how a formula looks is dropped
//! here: sizes, spaces, currency signs, units behind a number. What a token means is the parser's business.

mod dressed;

use crate::expr::Relation;
use crate::token::{Bracket, Glue, Side, Token};
use crate::units::{self, Reading, Unit};
use crate::words::{self, Word};
use crate::{french, layout};

/// A token and where it stands, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Lexeme<'a> {
    pub(crate) token: Token<'a>,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Why a text has no tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LexError {
    /// A command that is not in the vocabulary: it may well mean something.
    Command(String),
    /// A character that no formula has.
    Character(char),
    /// A word that no formula has.
    Word(String),
}

/// The tokens of a formula, in linear time.
pub(crate) fn tokens(text: &str) -> Result<Vec<Lexeme<'_>>, LexError> {
    let mut lexer =
        Lexer { text, at: 0, out: Vec::new(), environments: 0, arrangements: 0, side: Side::Either };
    while lexer.at < text.len() {
        lexer.step()?;
    }
    while matches!(lexer.out.last().map(|l| &l.token), Some(Token::Comma(_) | Token::Semicolon)) {
        lexer.out.pop();
    }
    french::read_ends(&mut lexer.out);
    Ok(lexer.out)
}

/// The length of a repeating part that follows digits: `\overline{3}` in `0.\overline{3}`, `0.1\overline{6}`.
fn repetend(rest: &str, has_point: bool) -> usize {
    let (point, rest) = match rest.strip_prefix('.') {
        Some(rest) if !has_point => (1, rest),
        _ if has_point => (0, rest),
        _ => return 0,
    };
    let Some(inner) = rest.strip_prefix("\\overline{") else { return 0 };
    let digits = inner.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 0 && inner[digits..].starts_with('}') { point + "\\overline{}".len() + digits } else { 0 }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    out: Vec<Lexeme<'a>>,
    /// How many `\begin` are open: `\\` ends a row there, and starts a doubly escaped command elsewhere.
    environments: usize,
    /// How many of them only arrange lines.
    arrangements: usize,
    /// The side that `\left` or `\right` gives the delimiter that follows.
    side: Side,
}

impl<'a> Lexer<'a> {
    fn step(&mut self) -> Result<(), LexError> {
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else { return Ok(()) };
        match first {
            '\\' => self.command(rest),
            '0'..='9' => {
                self.number(rest);
                Ok(())
            }
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.number(rest);
                Ok(())
            }
            'a'..='z' | 'A'..='Z' => self.letters(rest),
            _ => self.sign(rest, first),
        }
    }

    /// The unit and the number words that start here, behind a value.
    fn unit(&mut self, start: usize) -> bool {
        if !self.after_value() {
            return false;
        }
        match units::read(&self.text[start..]) {
            Some(Reading { scale, unit, length }) => {
                if scale > 1 {
                    self.push(Token::Scale(scale), 0);
                }
                if unit != Unit::default() {
                    self.push(Token::Unit(unit), 0);
                }
                self.at = start + length;
                true
            }
            None => false,
        }
    }

    fn push(&mut self, token: Token<'a>, length: usize) {
        self.out.push(Lexeme { token, start: self.at, end: self.at + length });
        self.at += length;
    }

    fn skip(&mut self, length: usize) {
        self.at += length;
    }

    fn last(&self) -> Option<&Token<'a>> {
        self.out.last().map(|lexeme| &lexeme.token)
    }

    /// Whether what was read so far ends in something that a unit can follow.
    fn after_value(&self) -> bool {
        matches!(
            self.last(),
            Some(
                Token::Number(_)
                    | Token::Close(_)
                    | Token::Percent
                    | Token::Degree
                    | Token::Letter(_)
                    | Token::Name(_)
                    | Token::Infinity
                    | Token::Scale(_)
                    | Token::Bar(_)
            )
        )
    }

    fn number(&mut self, rest: &'a str) {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let mut length = digits(rest);
        // TeX takes one digit where it expects an argument: `\frac13` is 1/3. The sign of a root takes them all.
        if length > 1 && self.expects_digit() {
            self.push(Token::Number(&rest[..1]), 1);
            return;
        }
        if rest[length..].starts_with('.') {
            let fraction = digits(&rest[length + 1..]);
            // `1./3` has a point with nothing behind it.
            let bare = rest[length + 1..].starts_with(['/', '*', '+', '-', '^']);
            length += if fraction > 0 || bare { 1 + fraction } else { 0 };
        }
        let repeating = length + repetend(&rest[length..], rest[..length].contains('.'));
        if repeating > length {
            self.push(Token::Number(&rest[..repeating]), repeating);
            return;
        }
        if let Some(exponent) = rest[length..].strip_prefix(['E', 'e']) {
            let sign = usize::from(exponent.starts_with(['+', '-']));
            let size = digits(&exponent[sign..]);
            let ends = !exponent[sign + size..].starts_with(|c: char| c.is_alphanumeric());
            length += if size > 0 && ends { 1 + sign + size } else { 0 };
        }
        self.push(Token::Number(&rest[..length]), length);
    }

    fn expects_digit(&self) -> bool {
        let before = |back: usize| {
            let lexeme = &self.out[self.out.len().checked_sub(back)?];
            let is_tex =
                !matches!(lexeme.token, Token::Command(_)) || self.text[lexeme.start..].starts_with('\\');
            is_tex.then_some(&lexeme.token)
        };
        match before(1) {
            Some(Token::Command("frac" | "sqrt" | "binom")) => true,
            Some(Token::Number(one)) if one.len() == 1 => {
                matches!(before(2), Some(Token::Command("frac" | "binom")))
            }
            _ => false,
        }
    }

    fn letters(&mut self, rest: &'a str) -> Result<(), LexError> {
        let length = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        if self.unit(self.at) || self.spaced_unit(rest) || self.currency(&rest[..length]) {
            return Ok(());
        }
        // `x=1orx=2`
        if length > 2
            && self.after_value()
            && rest.starts_with("or")
            && words::word(&rest[..length]).is_none()
        {
            self.separator(2);
            return Ok(());
        }
        match words::word(&rest[..length]) {
            Some(Word::Separator) => self.separator(length),
            Some(Word::Percent) => self.push(Token::Percent, length),
            Some(Word::Infinity) => self.push(Token::Infinity, length),
            Some(Word::Name(name)) => self.push(Token::Name(name), length),
            Some(Word::Command(name)) => self.push(Token::Command(name), length),
            None if length > 2 && words::is_prose(self.text, self.at, length) => {
                return Err(LexError::Word(rest[..length].to_owned()));
            }
            None => {
                for letter in rest[..length].chars() {
                    self.push(Token::Letter(letter), 1);
                }
            }
        }
        Ok(())
    }

    /// `5 m`: a letter behind a space and a number is a unit where nothing else is in the formula.
    fn spaced_unit(&mut self, rest: &'a str) -> bool {
        let letter = rest.trim_end_matches(['.', ' ', '$']);
        let alone =
            matches!(self.out.as_slice(), [Lexeme { token: Token::Number(_), end, .. }] if *end < self.at);
        let upright = format!("\\text{{{letter}}}");
        if !alone || letter.len() != 1 || !"mgshLNJWVAK".contains(letter) {
            return false;
        }
        let Some(Reading { unit, .. }) = units::read(&upright) else { return false };
        self.push(Token::Unit(unit), rest.len());
        true
    }

    /// `USD 12`, `5^\circ C`
    fn currency(&mut self, word: &str) -> bool {
        if self.last() == Some(&Token::Degree)
            && let [letter] = word.as_bytes()
            && let Some(unit) = Unit::temperature(char::from(*letter))
        {
            self.push(Token::Unit(unit), 1);
            return true;
        }
        let next = self.text[self.at + word.len()..].trim_start_matches([' ', '.', '$', '\\', '~']);
        let is_currency = self.out.is_empty()
            && words::is_currency_code(word)
            && next.starts_with(|c: char| c.is_ascii_digit());
        if is_currency {
            self.skip(word.len());
        }
        is_currency
    }

    /// `and`, `or`: a comma, unless one stands there already (`1, 2, and 3`).
    fn separator(&mut self, length: usize) {
        if matches!(self.last(), Some(Token::Comma(_) | Token::Semicolon) | None) {
            self.skip(length);
        } else {
            self.push(Token::Comma(Glue::Loose), length);
        }
    }

    fn sign(&mut self, rest: &'a str, first: char) -> Result<(), LexError> {
        let length = first.len_utf8();
        if rest.starts_with("{,}") || rest.starts_with("{, }") {
            self.push(Token::Comma(Glue::Glued), if rest.starts_with("{,}") { 3 } else { 4 });
            return Ok(());
        }
        let long = [
            ("**", Token::Caret),
            ("<=", Token::Relation(Relation::LessEqual)),
            (">=", Token::Relation(Relation::GreaterEqual)),
            ("!=", Token::Relation(Relation::NotEqual)),
            ("==", Token::Relation(Relation::Equal)),
            ("~=", Token::Relation(Relation::Approximate)),
        ];
        if let Some((_, token)) = long.into_iter().find(|(sign, _)| rest.starts_with(sign)) {
            self.push(token, 2);
            return Ok(());
        }
        if first.is_whitespace() || words::is_invisible(first) {
            self.skip(length);
            return Ok(());
        }
        if first.is_alphabetic() && !first.is_ascii() && (self.unit(self.at) || self.copula(rest)) {
            return Ok(());
        }
        if self.arrangements > 0 && first == '&' {
            self.skip(1);
            return Ok(());
        }
        // A full stop ends the sentence around the formula.
        if first == '.' {
            return if rest[1..].chars().all(|c| c.is_whitespace() || matches!(c, '.' | '$' | '}' | ')' | ']'))
            {
                self.skip(1);
                Ok(())
            } else {
                Err(LexError::Character('.'))
            };
        }
        if let Some(exponent) = words::superscript(first) {
            self.push(Token::Caret, 0);
            self.push(Token::Number(exponent), length);
            return Ok(());
        }
        if let Some((above, below)) = words::vulgar_fraction(first) {
            self.push(Token::Command("frac"), length);
            for part in [above, below] {
                self.push(Token::Open(Bracket::Group), 0);
                self.push(Token::Number(part), 0);
                self.push(Token::Close(Bracket::Group), 0);
            }
            return Ok(());
        }
        match words::sign(first, std::mem::replace(&mut self.side, Side::Either)) {
            Some(token) => {
                self.push(token, length);
                Ok(())
            }
            None => Err(LexError::Character(first)),
        }
    }

    /// What ends a sentence in Japanese and Korean.
    fn copula(&mut self, rest: &'a str) -> bool {
        const COPULAS: &[&str] =
            &["\u{3067}\u{3059}", "\u{3067}\u{3042}\u{308b}", "\u{c785}\u{b2c8}\u{b2e4}"];
        let found = COPULAS.iter().find(|copula| {
            let end = rest.strip_prefix(**copula).map(|rest| rest.trim_start_matches(['.', ' ', '$']));
            end.is_some_and(str::is_empty)
        });
        self.skip(found.map_or(0, |copula| copula.len()));
        found.is_some()
    }

    fn command(&mut self, rest: &'a str) -> Result<(), LexError> {
        let body = &rest[1..];
        let length = body.bytes().take_while(u8::is_ascii_alphabetic).count();
        if length > 0 {
            return self.named(body, length);
        }
        match body.chars().next() {
            Some('\\') if self.arrangements > 0 => self.push(Token::Semicolon, 2),
            Some('\\') if self.environments > 0 => self.push(Token::RowBreak, 2),
            // A doubly escaped command, or a line break: either way one backslash is too many.
            None | Some('\\') => self.skip(1),
            Some('{') => self.push(Token::Open(Bracket::Brace), 2),
            Some('}') => self.push(Token::Close(Bracket::Brace), 2),
            Some('%') => self.push(Token::Percent, 2),
            Some('|') => {
                let side = std::mem::replace(&mut self.side, Side::Either);
                self.push(Token::Bar(side), 2);
            }
            Some('(') => self.push(Token::Open(Bracket::Round), 2),
            Some(')') => self.push(Token::Close(Bracket::Round), 2),
            Some('!') => {
                // `32,\! 349`: the negative space makes one number of both.
                let spaces = body[1..].bytes().take_while(|&b| b == b' ').count();
                self.skip(2 + spaces);
                if let Some(lexeme) = self.out.last_mut()
                    && matches!(lexeme.token, Token::Comma(_))
                {
                    lexeme.token = Token::Comma(Glue::Glued);
                    lexeme.end = self.at;
                }
            }
            Some(c @ (',' | ';' | ':' | ' ' | '$' | '&' | '#' | '_' | '\n' | '\t' | '/')) => {
                self.skip(1 + c.len_utf8());
            }
            Some(c) => return Err(LexError::Character(c)),
        }
        Ok(())
    }

    fn named(&mut self, body: &'a str, length: usize) -> Result<(), LexError> {
        // `\quadx_2` is `\quad x_2` in data sets.
        let name = match &body[..length] {
            name if name.starts_with("quad") => "quad",
            name if name.starts_with("qquad") => "qquad",
            name => name,
        };
        let whole = 1 + name.len();
        if matches!(name, "left" | "right" | "mleft" | "mright") {
            self.side = if name.ends_with("left") { Side::Left } else { Side::Right };
            self.skip(whole);
            let rest = self.text[self.at..].trim_start();
            if rest.starts_with('.') {
                self.at = self.text.len() - rest.len() + 1;
                self.side = Side::Either;
            }
            return Ok(());
        }
        if layout::is_layout(name) {
            self.skip(whole);
            return Ok(());
        }
        let hidden = layout::hidden_arguments(name);
        if hidden > 0 {
            self.skip(whole);
            for _ in 0..hidden {
                self.option();
                self.at = self.argument().map_or(self.at, |(_, end)| end);
            }
            return Ok(());
        }
        let upright = ["\\Omega", "\\frac{\\text", "\\frac{\\mathrm"];
        if upright.iter().any(|start| self.text[self.at..].starts_with(start)) && self.unit(self.at) {
            return Ok(());
        }
        if layout::is_font(name) {
            self.font(name, whole);
            return Ok(());
        }
        if let Some(token) = words::command(name, std::mem::replace(&mut self.side, Side::Either)) {
            self.push(token, whole);
            return Ok(());
        }
        if matches!(name, "begin" | "end") {
            return self.environment(name, whole);
        }
        Err(LexError::Command(name.to_owned()))
    }
}
