//! The tokens of a formula. What they are made of is in [`crate::lex`], what the words mean in [`crate::words`].

use crate::expr::{NumberSet, Relation};
use crate::units::Unit;

/// A piece of a formula.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// Digits with an optional fraction, as written.
    Number(&'a str),
    /// One letter, as written.
    Letter(char),
    /// A Greek letter or another named symbol.
    Name(&'static str),
    /// The content of `\text{..}` and its like.
    Text(&'a str),
    /// A unit of measure behind a value.
    Unit(Unit),
    /// A number word behind a value: what it multiplies by.
    Scale(u64),
    /// A command with its own grammar, without the backslash.
    Command(&'static str),
    Relation(Relation),
    Plus,
    Minus,
    Times,
    Over,
    Colon,
    Caret,
    Underscore,
    Bang,
    Prime,
    Percent,
    Degree,
    PlusMinus,
    MinusPlus,
    /// `Glued` stands inside of one number: `1{,}000`, `1,\!000`.
    Comma(Glue),
    Semicolon,
    Open(Bracket),
    Close(Bracket),
    Bar(Side),
    /// `\mid`
    Mid,
    Union,
    Intersection,
    SetMinus,
    Numbers(NumberSet),
    Infinity,
    Ampersand,
    RowBreak,
    Begin(&'a str),
    End(&'a str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Glue {
    Loose,
    Glued,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bracket {
    Round,
    Square,
    /// `\{`
    Brace,
    /// `{`
    Group,
    Angle,
    Floor,
    Ceil,
}

/// Which side of what it encloses a bar stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
    Either,
}
