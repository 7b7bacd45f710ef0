//! From tokens to a tree: lists, relations, sets and intervals. Sums and products are in [`crate::term`]. The
//! grammar is bounded in depth and size; what is not in it is an error, never a guess.

mod brackets;

use crate::Error;
use crate::budget::Budget;
use crate::expr::{Expr, Relation};
use crate::lex::{self, LexError, Lexeme};
use crate::token::Token;
use crate::units::Unit;
use crate::{calendar, conditions, number, text};

/// Brackets within brackets.
const MAX_DEPTH: usize = 48;
/// Operators of a formula that nest to the left without brackets, beyond the first of each chain: `9!!`, `a/b/c`. They
/// deepen the tree, which is walked by recursion.
const MAX_CHAINED: usize = 100;
/// Bytes of a formula; an answer is shorter.
const MAX_LENGTH: usize = 8192;

/// Parses a whole formula. A chain of more than two `=` that cannot be parsed falls back to its last part.
pub(crate) fn formula(text: &str, budget: &Budget) -> Result<Expr, Error> {
    let whole = strict(text, budget);
    match whole {
        Err(Error::Malformed(_) | Error::UnknownNotation(_)) => match last_side(text) {
            Some(side) => strict(side, budget).or(whole),
            None => whole,
        },
        _ => whole,
    }
}

fn strict(text: &str, budget: &Budget) -> Result<Expr, Error> {
    let text = conditions::without_remark(conditions::without(text.trim()));
    if text.len() > MAX_LENGTH {
        return Err(Error::TooLarge);
    }
    if let Some((unit, amount)) = priced(text) {
        return Ok(match strict(&amount, budget)? {
            value if value.is_scalar() && !matches!(value, Expr::Quantity(..) | Expr::Text(_)) => {
                Expr::Quantity(Box::new(value), unit)
            }
            other => other,
        });
    }
    if let Some(value) = number::grouped(text).or_else(|| typed(text)).or_else(|| text::plain(text)) {
        return Ok(value);
    }
    if let Some(latex) = number::mixed(text).or_else(|| number::grouped_with_unit(text)) {
        return strict(&latex, budget);
    }
    let lexed = lex::tokens(text);
    if let Err(LexError::Word(_)) = lexed
        && let Some(words) = text::worded(text)
    {
        return Ok(words);
    }
    let tokens = lexed.map_err(|error| match error {
        LexError::Word(word) => Error::UnknownNotation(word),
        LexError::Command(name) => Error::UnknownNotation(format!("\\{name}")),
        LexError::Character(c) => Error::UnknownNotation(c.to_string()),
    })?;
    budget.spend(tokens.len() as u64 / 4 + 1)?;
    let mut parser = Parser {
        text,
        tokens: &tokens,
        at: 0,
        depth: 0,
        chained: 0,
        bars: 0,
        units: Vec::new(),
        unit_end: usize::MAX,
        budget,
    };
    let answer = parser.answer()?;
    if parser.at < tokens.len() {
        return Err(Error::Malformed("something is left over behind the formula"));
    }
    Ok(answer)
}

/// A time of day or a date.
fn typed(text: &str) -> Option<Expr> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) || !text.contains([':', '-']) {
        return None;
    }
    let upright = ["\\text{", "\\mathrm{", "\\textrm{"].iter().any(|command| text.contains(command));
    let bare = if upright {
        let bare = ["\\text{", "\\mathrm{", "\\textrm{", "\\,", "~", "\\ ", "}"].iter();
        bare.fold(text.to_owned(), |text, layout| text.replace(layout, " "))
    } else {
        text.to_owned()
    };
    let bare = bare.split_whitespace().collect::<Vec<_>>().join(" ");
    // Three numbers are a ratio; hours, minutes and seconds are one up to a factor of one.
    let is_time = bare.matches(':').count() < 2 || bare.ends_with(|c: char| c.is_alphabetic() || c == '.');
    let time = if is_time { calendar::time(&bare) } else { None };
    time.map(Expr::Time).or_else(|| calendar::date(&bare).map(Expr::Date))
}

/// The unit of a currency sign at the start, and what stands behind it.
fn priced(text: &str) -> Option<(Unit, String)> {
    const SIGNS: &[(&str, &str)] =
        &[("\\$", "dollar"), ("\u{20ac}", "euro"), ("\u{a3}", "pound sterling"), ("\u{20b9}", "rupee")];
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest.trim_start()));
    let (rest, name) = SIGNS.iter().find_map(|(sign, name)| Some((rest.strip_prefix(sign)?, *name)))?;
    let rest = rest.trim_start();
    let is_amount = rest.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    is_amount.then(|| (Unit::named(name), format!("{sign}{rest}")))
}

/// The part behind the last `=` of a chain `a = b = c`.
fn last_side(text: &str) -> Option<&str> {
    if text.contains([',', ';']) {
        return None;
    }
    let is_equality = |&(at, _): &(usize, &str)| !text[..at].ends_with(['<', '>', '!', '\\']);
    let mut equalities = text.match_indices('=').filter(is_equality);
    equalities.next()?;
    equalities.next_back().map(|(at, _)| &text[at + 1..])
}

pub(crate) struct Parser<'a> {
    pub(crate) text: &'a str,
    pub(crate) tokens: &'a [Lexeme<'a>],
    pub(crate) at: usize,
    depth: usize,
    chained: usize,
    /// Absolute values that are open, so that a bar can close one.
    pub(crate) bars: usize,
    /// Units of the value that is being read.
    pub(crate) units: Vec<Unit>,
    /// Where the last of them ended.
    pub(crate) unit_end: usize,
    budget: &'a Budget,
}

/// What stands between brackets: groups by semicolon of elements by comma.
struct List {
    groups: Vec<Vec<Expr>>,
}

impl List {
    fn len(&self) -> usize {
        self.groups.iter().map(Vec::len).sum()
    }

    fn flat(self) -> Vec<Expr> {
        self.groups.into_iter().flatten().collect()
    }

    /// The list as it stands outside of brackets: one element is itself, several are a set; groups of several are
    /// tuples (`1, 2; 3, 4`).
    fn bare(self) -> Option<Expr> {
        if self.groups.len() > 1 && self.groups.iter().any(|group| group.len() > 1) {
            return Some(Expr::List(self.groups.into_iter().map(Expr::Tuple).collect()));
        }
        let mut elements = self.flat();
        if elements.len() < 2 {
            return elements.pop();
        }
        Some(named_list(elements))
    }
}

/// `n = 1, 2, 3` names a set: the first element is a relation and no other is.
fn named_list(mut elements: Vec<Expr>) -> Expr {
    without_domains(&mut elements);
    if elements.len() == 1 {
        return elements.remove(0);
    }
    let is_relation = |e: &Expr| matches!(e, Expr::Relation(..));
    if elements[1..].iter().any(is_relation) {
        return Expr::List(elements);
    }
    match &mut elements[0] {
        Expr::Relation(sides, relations)
            if relations.iter().all(|relation| relation.names()) && sides[0].is_name() =>
        {
            let mut sides = std::mem::take(sides);
            let relations = std::mem::take(relations);
            if let Some(last) = sides.pop() {
                elements[0] = last;
            }
            sides.push(Expr::List(elements));
            Expr::Relation(sides, relations)
        }
        _ => Expr::List(elements),
    }
}

/// Drops what only says what a variable stands for: `k\pi, k \in \mathbb{Z}`.
fn without_domains(elements: &mut Vec<Expr>) {
    let is_domain = |element: &Expr, others: &[Expr]| match element {
        Expr::Relation(sides, relations) => match (sides.as_slice(), relations.as_slice()) {
            ([Expr::Symbol(name), Expr::Numbers(_)], [Relation::In]) => {
                others.iter().any(|other| other.symbols().contains(name))
            }
            _ => false,
        },
        _ => false,
    };
    while let [others @ .., last] = elements.as_slice()
        && is_domain(last, others)
    {
        elements.pop();
    }
}

impl<'a> Parser<'a> {
    pub(crate) fn peek(&self) -> Option<&'a Token<'a>> {
        self.peek_at(0)
    }

    pub(crate) fn peek_at(&self, ahead: usize) -> Option<&'a Token<'a>> {
        self.tokens.get(self.at + ahead).map(|lexeme| &lexeme.token)
    }

    pub(crate) fn advance(&mut self) {
        self.at += 1;
    }

    pub(crate) fn accept(&mut self, token: &Token<'_>) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn expect(&mut self, token: &Token<'_>, what: &'static str) -> Result<(), Error> {
        if self.accept(token) { Ok(()) } else { Err(Error::Malformed(what)) }
    }

    /// Runs `parse` one level deeper.
    pub(crate) fn nested<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.depth >= MAX_DEPTH {
            return Err(Error::TooLarge);
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    /// Counts an operator that deepens the tree to its left, by how many of them its chain has so far.
    pub(crate) fn chain(&mut self, links: usize) -> Result<(), Error> {
        self.chained += usize::from(links > 1);
        if self.chained > MAX_CHAINED { Err(Error::TooLarge) } else { Ok(()) }
    }

    pub(crate) fn spend(&self, steps: u64) -> Result<(), Error> {
        Ok(self.budget.spend(steps)?)
    }

    fn answer(&mut self) -> Result<Expr, Error> {
        let list = self.list()?;
        list.bare().ok_or(Error::Malformed("it is empty"))
    }

    fn list(&mut self) -> Result<List, Error> {
        let mut groups = vec![Vec::new()];
        loop {
            while matches!(self.peek(), Some(Token::Comma(_))) {
                self.advance(); // `1, 2, and 3`
            }
            if self.accept(&Token::Semicolon) {
                groups.push(Vec::new());
                continue;
            }
            if matches!(self.peek(), None | Some(Token::Close(_))) {
                break;
            }
            let element = self.element()?;
            if let Some(group) = groups.last_mut() {
                group.extend(element.readings());
            }
            if !matches!(self.peek(), Some(Token::Comma(_) | Token::Semicolon)) {
                break;
            }
        }
        groups.retain(|group| !group.is_empty());
        Ok(List { groups })
    }

    /// A relation, a set or an expression.
    pub(crate) fn element(&mut self) -> Result<Expr, Error> {
        let start = self.at;
        match self.nested(Self::statement) {
            // Words in it make words of the whole.
            Err(Error::UnknownNotation(_)) if self.is_worded(start) => Ok(self.words(start)),
            other => other,
        }
    }

    /// Where the element that starts there ends: its comma, semicolon or closing bracket.
    fn end_of_element(&self, start: usize) -> usize {
        let mut depth = 0_usize;
        for (at, lexeme) in self.tokens.iter().enumerate().skip(start) {
            match lexeme.token {
                Token::Open(_) => depth += 1,
                Token::Close(_) | Token::Comma(_) | Token::Semicolon if depth == 0 => return at,
                Token::Close(_) => depth -= 1,
                _ => {}
            }
        }
        self.tokens.len()
    }

    /// Whether the element that starts there has words that no formula has.
    fn is_worded(&self, start: usize) -> bool {
        let end = self.end_of_element(start);
        let is_words =
            |token: &Token<'_>| matches!(token, Token::Text(text) if text.len() > 1 && !text.contains('\\'));
        self.tokens[start..end].iter().any(|lexeme| is_words(&lexeme.token))
    }

    /// The element that starts there as it is written.
    fn words(&mut self, start: usize) -> Expr {
        let end = self.end_of_element(start);
        self.at = end;
        self.units.clear();
        let (from, to) = (self.tokens[start].start, self.tokens[end - 1].end);
        let mut written = self.text[from..to].to_owned();
        for command in
            ["\\text", "\\textbf", "\\mathrm", "\\textit", "\\mbox", "\\textrm", "\\,", "\\;", "\\quad"]
        {
            written = written.replace(&format!("{command}{{"), " ").replace(command, " ");
        }
        text::expression(&written.replace(['{', '}'], " "))
    }

    fn statement(&mut self) -> Result<Expr, Error> {
        let mut sides = vec![self.side()?];
        let mut relations = Vec::new();
        while let Some(Token::Relation(relation)) = self.peek() {
            self.advance();
            let side = self.side()?;
            if *relation == Relation::Approximate {
                // The value before it is the exact one; a bare name has none.
                if relations.is_empty() && sides[0].is_name() {
                    sides.push(side);
                    relations.push(Relation::Equal);
                }
                while let Some(Token::Relation(_)) = self.peek() {
                    self.advance();
                    self.side()?;
                }
                break;
            }
            sides.push(side);
            relations.push(*relation);
        }
        Ok(match sides.len() {
            1 => sides.remove(0),
            _ => Expr::Relation(sides, relations),
        })
    }

    /// A side of a relation, with its unit; a chain of colons is a ratio.
    fn side(&mut self) -> Result<Expr, Error> {
        let before = std::mem::take(&mut self.units);
        let first = self.set()?;
        let units = std::mem::replace(&mut self.units, before);
        let first = with_unit(first, units)?;
        if self.peek() != Some(&Token::Colon) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.accept(&Token::Colon) {
            parts.push(self.sum()?);
        }
        if parts.iter().any(|part| !part.is_scalar()) {
            return Err(Error::Malformed("a ratio of things that are no numbers"));
        }
        Ok(Expr::Ratio(parts))
    }

    fn set(&mut self) -> Result<Expr, Error> {
        let mut left = self.sum()?;
        let mut links = 0;
        loop {
            let token = self.peek();
            let minus = matches!(token, Some(Token::Minus)) && left.is_set();
            if !minus && !matches!(token, Some(Token::Union | Token::Intersection | Token::SetMinus)) {
                return Ok(left);
            }
            self.advance();
            let is_flat = token == Some(&Token::Union) && matches!(left, Expr::Union(_));
            if !is_flat {
                links += 1;
                self.chain(links)?;
            }
            let right = self.sum()?;
            if !left.is_set() || !right.is_set() {
                return Err(Error::Malformed("an operation on sets between things that are none"));
            }
            left = match (token, left) {
                (Some(Token::Union), Expr::Union(mut parts)) => {
                    parts.push(right);
                    Expr::Union(parts)
                }
                (Some(Token::Union), left) => Expr::Union(vec![left, right]),
                (Some(Token::Intersection), left) => Expr::Intersection(vec![left, right]),
                (_, left) => Expr::Difference(Box::new(left), Box::new(right)),
            };
        }
    }
}

/// A value with the units that stand in it: the same for all of its terms, or of one kind (`5 ft 6 in`).
fn with_unit(value: Expr, units: Vec<Unit>) -> Result<Expr, Error> {
    let Some(first) = units.first() else { return Ok(value) };
    let value = match value {
        value if !value.is_scalar() => return Ok(value),
        value if units.iter().all(|unit| unit == first) => value,
        Expr::Sum(parts) if parts.len() == units.len() => {
            let mut converted = Vec::with_capacity(parts.len());
            for (part, unit) in parts.into_iter().zip(&units) {
                let Some(factor) = unit.in_terms_of(first) else {
                    return Err(Error::Malformed("units of different kinds in one value"));
                };
                converted.push(Expr::Product(vec![Expr::exact(factor), part]));
            }
            Expr::Sum(converted)
        }
        _ => return Err(Error::Malformed("different units in one value")),
    };
    Ok(Expr::Quantity(Box::new(value), first.clone()))
}
