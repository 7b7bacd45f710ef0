//! What stands in brackets: groups, tuples, sets by their elements or by a condition, intervals, nested lists.

use super::Parser;
use crate::Error;
use crate::expr::{End, Expr, Interval, NumberSet};
use crate::token::{Bracket, Side, Token};

impl Parser<'_> {
    /// What stands in brackets, the opening one already taken.
    pub(crate) fn bracketed(&mut self, open: Bracket) -> Result<Expr, Error> {
        if open == Bracket::Brace
            && let Some(bar) = self.bar()
        {
            return self.nested(|parser| parser.described(bar));
        }
        let bars = std::mem::take(&mut self.bars);
        let units = std::mem::take(&mut self.units);
        let list = self.nested(Self::list);
        self.bars = bars;
        self.units = units;
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
                if open == close
                    && let Some(rows) = rows(&[low.clone(), high.clone()])
                {
                    return Ok(Expr::Matrix(rows));
                }
                if !low.is_scalar() || !high.is_scalar() {
                    return Err(Error::Malformed("an interval between things that are no numbers"));
                }
                let end = |bracket| if bracket == Bracket::Square { End::Closed } else { End::Open };
                Ok(Expr::Interval(Box::new(Interval { low, high, low_end: end(open), high_end: end(close) })))
            }
            (Bracket::Square, Bracket::Square, _) => {
                let elements = list.flat();
                Ok(rows(&elements).map_or(Expr::Tuple(elements), Expr::Matrix))
            }
            _ => Err(Error::Malformed("brackets do not match")),
        }
    }

    /// Where the bar of set-builder notation stands, behind an opening brace: not first, with no comma before it and
    /// a condition behind it.
    pub(super) fn bar(&self) -> Option<usize> {
        let end = self.end_of_element(self.at);
        let is_bar =
            |token: &Token<'_>| matches!(token, Token::Mid | Token::Colon | Token::Bar(Side::Either));
        let mut depth = 0_usize;
        let bar = (self.at..end).find(|&at| {
            match self.tokens[at].token {
                Token::Open(_) => depth += 1,
                Token::Close(_) => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && at > self.at && is_bar(&self.tokens[at].token)
        })?;
        let says = |token: &Token<'_>| matches!(token, Token::Relation(_) | Token::Text(_));
        self.tokens[bar + 1..].iter().any(|lexeme| says(&lexeme.token)).then_some(bar)
    }

    /// `\{x \in \mathbb{R} \mid x > 3\}`, up to its closing brace.
    pub(super) fn described(&mut self, bar: usize) -> Result<Expr, Error> {
        let tokens = self.tokens;
        self.tokens = &tokens[..bar];
        let element = self.element();
        let taken = self.at == bar;
        self.tokens = tokens;
        let element = element?;
        if !taken {
            return Err(Error::Malformed("something is left over before the bar of a set"));
        }
        self.at = bar + 1;
        let mut conditions = self.list()?.flat();
        self.expect(&Token::Close(Bracket::Brace), "a brace is not closed")?;
        let element = match element {
            Expr::Relation(sides, relations) => {
                let member = sides[0].clone();
                conditions.insert(0, Expr::Relation(sides, relations));
                member
            }
            element => element,
        };
        Ok(Expr::Described(Box::new(element), conditions))
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

/// The rows of `[[1, 2], [3, 4]]`.
fn rows(elements: &[Expr]) -> Option<Vec<Vec<Expr>>> {
    let row = |element: &Expr| match element {
        Expr::Tuple(entries) if entries.iter().all(Expr::is_scalar) => Some(entries.clone()),
        Expr::Interval(interval) if (interval.low_end, interval.high_end) == (End::Closed, End::Closed) => {
            Some(vec![interval.low.clone(), interval.high.clone()])
        }
        _ => None,
    };
    let rows: Option<Vec<Vec<Expr>>> = elements.iter().map(row).collect();
    rows.filter(|rows| rows.windows(2).all(|pair| pair[0].len() == pair[1].len()))
}
