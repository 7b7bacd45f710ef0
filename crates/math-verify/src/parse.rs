//! From tokens to a tree: lists, relations, sets and intervals. Sums and products are in [`crate::term`]. The
//! grammar is bounded in depth and size; what is not in it is an error, never a guess.

use crate::Error;
use crate::budget::Budget;
use crate::expr::{End, Expr, Interval, NumberSet, Relation};
use crate::lex::{self, LexError, Lexeme};
use crate::number;
use crate::token::{Bracket, Token};

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
    let text = text.trim();
    if text.len() > MAX_LENGTH {
        return Err(Error::TooLarge);
    }
    if let Some(value) = number::grouped(text) {
        return Ok(value);
    }
    let tokens = lex::tokens(text).map_err(|error| match error {
        LexError::Command(name) => Error::UnknownNotation(format!("\\{name}")),
        LexError::Character(c) => Error::UnknownNotation(c.to_string()),
    })?;
    budget.spend(tokens.len() as u64 / 4 + 1)?;
    let mut parser = Parser { text, tokens: &tokens, at: 0, depth: 0, chained: 0, bars: 0, budget };
    let answer = parser.answer()?;
    if parser.at < tokens.len() {
        return Err(Error::Malformed("something is left over behind the formula"));
    }
    Ok(answer)
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
            return Some(Expr::Set(self.groups.into_iter().map(Expr::Tuple).collect()));
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
    let is_relation = |e: &Expr| matches!(e, Expr::Relation(..));
    if elements[1..].iter().any(is_relation) {
        return Expr::Set(elements);
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
            sides.push(Expr::Set(elements));
            Expr::Relation(sides, relations)
        }
        _ => Expr::Set(elements),
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
    fn element(&mut self) -> Result<Expr, Error> {
        self.nested(|parser| {
            let mut sides = vec![parser.set()?];
            let mut relations = Vec::new();
            while let Some(Token::Relation(relation)) = parser.peek() {
                parser.advance();
                let side = parser.set()?;
                if *relation == Relation::Approximate {
                    // The value before it is the exact one; a bare name has none.
                    if relations.is_empty() && sides[0].is_name() {
                        sides.push(side);
                        relations.push(Relation::Equal);
                    }
                    while let Some(Token::Relation(_)) = parser.peek() {
                        parser.advance();
                        parser.set()?;
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
        })
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

    /// What stands in brackets, the opening one already taken.
    pub(crate) fn bracketed(&mut self, open: Bracket) -> Result<Expr, Error> {
        let bars = std::mem::take(&mut self.bars);
        let list = self.nested(Self::list);
        self.bars = bars;
        let list = list?;
        let Some(Token::Close(close)) = self.peek() else {
            return Err(Error::Malformed("a bracket is not closed"));
        };
        self.advance();
        let close = *close;
        let is_interval_end = |bracket| matches!(bracket, Bracket::Round | Bracket::Square);
        if open != close && !(is_interval_end(open) && is_interval_end(close)) {
            return Err(Error::Malformed("brackets do not match"));
        }
        let pairs = list.groups.len() > 1 && list.groups.iter().any(|group| group.len() > 1);
        match (open, close, list.len()) {
            (Bracket::Brace, _, 0) => Ok(Expr::Numbers(NumberSet::Empty)),
            (_, _, 0) => Err(Error::Malformed("empty brackets")),
            (Bracket::Floor | Bracket::Ceil, ..) => {
                Err(Error::Malformed("a list in floor or ceiling brackets"))
            }
            (_, _, 1) if open == close && open != Bracket::Brace => Ok(list.flat().remove(0)),
            (Bracket::Brace | Bracket::Group, ..) if pairs => {
                list.bare().ok_or(Error::Malformed("empty brackets"))
            }
            (Bracket::Group, ..) => list.bare().ok_or(Error::Malformed("empty brackets")),
            (Bracket::Brace, ..) => Ok(Expr::Set(list.flat())),
            (Bracket::Round, Bracket::Round, _) | (Bracket::Angle, ..) => Ok(Expr::Tuple(list.flat())),
            (_, _, 2) => {
                let mut ends = list.flat();
                let (high, low) = (ends.pop(), ends.pop());
                let (Some(low), Some(high)) = (low, high) else {
                    return Err(Error::Malformed("an interval without ends"));
                };
                if !low.is_scalar() || !high.is_scalar() {
                    return Err(Error::Malformed("an interval between things that are no numbers"));
                }
                let end = |bracket| if bracket == Bracket::Square { End::Closed } else { End::Open };
                Ok(Expr::Interval(Box::new(Interval { low, high, low_end: end(open), high_end: end(close) })))
            }
            (Bracket::Square, Bracket::Square, _) => Ok(Expr::Tuple(list.flat())),
            _ => Err(Error::Malformed("brackets do not match")),
        }
    }

    /// The one scalar in a group, as an argument.
    pub(crate) fn scalar_group(&mut self, open: Bracket) -> Result<Expr, Error> {
        let bars = std::mem::take(&mut self.bars);
        let inner = self.nested(Self::sum);
        self.bars = bars;
        let inner = inner?;
        self.expect(&Token::Close(open), "a group is not closed")?;
        Ok(inner)
    }
}
