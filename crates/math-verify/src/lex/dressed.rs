//! Commands with a braced argument that dresses a formula or text: fonts, environments, and what their braces hold.

use super::{LexError, Lexeme, Lexer};
use crate::layout;
use crate::token::Token;
use crate::words::{self, Word};

impl<'a> Lexer<'a> {
    /// Skips an optional argument, `[HTML]`.
    pub(super) fn option(&mut self) {
        let rest = &self.text[self.at..];
        if rest.starts_with('[')
            && let Some(end) = rest.find(']')
        {
            self.at += end + 1;
        }
    }

    /// The braced argument that starts here, and where it ends.
    pub(super) fn argument(&self) -> Option<(&'a str, usize)> {
        let rest = &self.text[self.at..];
        let open = rest.len() - rest.trim_start().len();
        let inner = rest[open..].strip_prefix('{')?;
        let mut depth = 1_usize;
        let mut escaped = false;
        for (at, byte) in inner.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'{' => depth += 1,
                b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        return Some((&inner[..at], self.at + open + at + 2));
                    }
                }
                _ => {}
            }
        }
        None
    }

    pub(super) fn environment(&mut self, name: &str, whole: usize) -> Result<(), LexError> {
        let start = self.at;
        self.at += whole;
        let Some((kind, end)) = self.argument() else { return Err(LexError::Command(name.to_owned())) };
        if layout::is_arrangement(kind) {
            let opens = usize::from(name == "begin");
            self.arrangements = (self.arrangements + 2 * opens).saturating_sub(1);
            self.at = end;
            return Ok(());
        }
        let token = if name == "begin" {
            self.environments += 1;
            Token::Begin(kind)
        } else {
            self.environments = self.environments.saturating_sub(1);
            Token::End(kind)
        };
        self.at = end;
        if name == "begin" && kind == "array" {
            // The columns' alignment.
            self.at = self.argument().map_or(end, |(_, end)| end);
        }
        self.out.push(Lexeme { token, start, end: self.at });
        Ok(())
    }

    /// `\text{..}`, `\mathrm{..}` and their like.
    pub(super) fn font(&mut self, name: &str, whole: usize) {
        let start = self.at;
        self.at += whole;
        let Some((content, end)) = self.argument() else {
            // `\mathbf x`, or the old `{\rm x}`.
            return;
        };
        let trimmed = content.trim();
        self.at = start;
        if !layout::is_bold(name)
            && trimmed.trim_start_matches(['~', ' ']).starts_with(char::is_alphabetic)
            && self.unit(start)
        {
            return;
        }
        // A font that dresses an expression: its braces are a group.
        let is_plain =
            |c: char| c.is_alphanumeric() || matches!(c, ' ' | '.' | ',' | '-' | '(' | ')' | '\'' | '%');
        if (layout::is_bold(name) || name.starts_with("math") || name == "textbf")
            && !trimmed.chars().all(is_plain)
        {
            self.at = start + whole;
            return;
        }
        if self.last() == Some(&Token::Degree) && trimmed.len() == 1 && self.currency(trimmed) {
            self.at = end;
            return;
        }
        match words::word(trimmed) {
            _ if name == "mathbb" => match words::number_set(trimmed) {
                Some(set) => self.push(Token::Numbers(set), end - start),
                None => self.push(Token::Text(trimmed), end - start),
            },
            // A number in bold is a number.
            _ if is_number(trimmed) => self.push(Token::Number(trimmed), end - start),
            Some(Word::Separator) => self.separator(end - start),
            Some(Word::Percent) => self.push(Token::Percent, end - start),
            Some(Word::Command(command)) if !name.starts_with("text") && name != "mbox" => {
                self.push(Token::Command(command), end - start);
            }
            _ if trimmed == "%" || trimmed == "\\%" => self.push(Token::Percent, end - start),
            // Nothing, or the full stop of the sentence.
            _ if trimmed.is_empty() || trimmed == "." => self.skip(end - start),
            // An upright e is the constant; an upright word is a word; other fonts dress an expression.
            _ if matches!(name, "mathrm" | "rm" | "mathit" | "mathnormal") && is_letter(trimmed) => {
                let letter = trimmed.chars().next().unwrap_or('e');
                self.push(Token::Letter(letter), end - start);
            }
            _ => self.push(Token::Text(trimmed), end - start),
        }
    }
}

fn is_letter(text: &str) -> bool {
    text.len() == 1 && text.as_bytes()[0].is_ascii_alphabetic()
}

/// `8`, `0.5`
fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && text.matches('.').count() < 2
}
