//! Intervals with their open ends turned outwards: `]a, b[` is `(a, b)`. Their brackets are rewritten before a formula
//! is parsed, and only where they do not match as they stand.

use crate::lex::Lexeme;
use crate::token::{Bracket, Token};

/// Rewrites the square brackets of such intervals.
pub(crate) fn read_ends(tokens: &mut [Lexeme<'_>]) {
    let square = |token: &Token<'_>| match token {
        Token::Open(Bracket::Square) => Some(true),
        Token::Close(Bracket::Square) => Some(false),
        _ => None,
    };
    let mut depth = 0_i32;
    let mut balanced = true;
    for lexeme in tokens.iter() {
        match (&lexeme.token, square(&lexeme.token)) {
            (_, Some(true)) => depth += 1,
            // `[a, b)` closes with another bracket.
            (Token::Close(Bracket::Round), _) if depth > 0 => {}
            (_, Some(false)) => depth -= 1,
            _ => {}
        }
        balanced &= depth >= 0;
    }
    let mixed = tokens.iter().any(|lexeme| matches!(lexeme.token, Token::Open(Bracket::Round)));
    let half_open = tokens.iter().any(|lexeme| matches!(lexeme.token, Token::Close(Bracket::Round)));
    if (balanced && depth == 0) || (mixed || half_open) {
        return;
    }
    let mut inside = false;
    for lexeme in tokens.iter_mut() {
        let Some(opens) = square(&lexeme.token) else { continue };
        let bracket = |outwards: bool| if outwards { Bracket::Round } else { Bracket::Square };
        lexeme.token = if inside { Token::Close(bracket(opens)) } else { Token::Open(bracket(!opens)) };
        inside = !inside;
    }
}
