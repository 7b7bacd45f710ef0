//! Operands that an operator writes out, compares or looks for, which the engine does before it counts them: a filter is put
//! around each, and the filter counts first. It knows expressions by their tokens, and no values.

use super::source::{WEIGH_FILTER, tokens};
use std::ops::Range;

/// What a token is to its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Part of an operand: a name, a literal, a bracket, a filter, a test.
    Part,
    /// A sign before its operand.
    Sign,
    /// `+` and `-`, which bind weaker than `~`, and stronger than comparisons.
    Sum,
    /// `~`.
    Concat,
    /// `==`, `<` and their like.
    Compare,
    /// `in` and `not in`.
    In,
    /// What ends any operand: `,`, `:`, `=`, `and`, `or`, `not`, `if`, `else`, `recursive`, `as`.
    End,
}

#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    at: usize,
    text: &'a str,
    depth: usize,
    kind: Kind,
}

/// The code with the operands of `~`, of comparisons and of `in` in the filter, where they are no constants. The first `in` of a
/// loop (`is_loop`) is no operator.
pub(super) fn weighed(code: &str, is_loop: bool) -> String {
    let tokens = kinds(code, is_loop);
    let mut insertions: Vec<(usize, String)> = Vec::new();
    for (place, token) in tokens.iter().enumerate() {
        let (left, right) = match (token.kind, token.text) {
            (Kind::In, "not") => (left(&tokens, place), right(&tokens, place, place + 2)),
            (Kind::In, _) if place > 0 && tokens[place - 1].kind == Kind::In => continue,
            (Kind::Concat | Kind::Compare | Kind::In, _) => {
                (left(&tokens, place), right(&tokens, place, place + 1))
            }
            _ => continue,
        };
        let constant = |part: &Range<usize>| tokens[part.clone()].iter().all(is_constant);
        let (left_constant, right_constant) = (constant(&left), constant(&right));
        // The right operand of the operator before is in the filter already.
        let again = left.start.checked_sub(1).is_some_and(|place| tokens[place].kind == token.kind);
        let (of_left, of_right) = match token.kind {
            Kind::Concat => (!left_constant && !again, !right_constant),
            // A text is searched for what the other is written as; brackets may hold a text, too: `('ab')`, `['ab'][0]`.
            Kind::In if right_constant => (!left_constant, false),
            _ => (!left_constant && !right_constant && !again, !left_constant && !right_constant),
        };
        for (part, wanted) in [(left, of_left), (right, of_right)] {
            if wanted && !part.is_empty() {
                let end = &tokens[part.end - 1];
                // Brackets of its own are enough, and the engine bounds how deep they are.
                let (open, close) = if is_bracketed(&tokens[part.clone()]) { ("", "") } else { ("(", ")") };
                insertions.push((tokens[part.start].at, open.to_owned()));
                insertions.push((end.at + end.text.len(), format!("{close}|{WEIGH_FILTER}")));
            }
        }
    }
    // An operator stands between any two of them, so that at one place all open or all close.
    insertions.sort_by_key(|(at, _)| *at);
    let (mut out, mut copied) = (String::with_capacity(code.len() * 2), 0);
    for (at, text) in insertions {
        out.push_str(&code[copied..at]);
        out.push_str(&text);
        copied = at;
    }
    out.push_str(&code[copied..]);
    out
}

/// The significant tokens with their kinds.
fn kinds(code: &str, is_loop: bool) -> Vec<Token<'_>> {
    let mut found: Vec<Token> = Vec::new();
    let (mut loop_in, mut test) = (is_loop, Test::None);
    for (at, text, depth) in tokens(code) {
        if text.trim().is_empty() {
            continue;
        }
        let last = found.last().copied();
        let adjoins = last.is_some_and(|last| last.at + last.text.len() == at && last.depth == depth);
        if let Some(previous) = found.last_mut().filter(|_| adjoins)
            && let Some(kind) = joined(previous.text, text)
        {
            previous.text = &code[previous.at..at + text.len()];
            previous.kind = kind;
            continue;
        }
        let after_dot = last.is_some_and(|last| last.text == "." || last.text == "|");
        let begins = last.is_none_or(|last| last.kind != Kind::Part || is_opening(last.text));
        let kind = match text {
            _ if after_dot => Kind::Part,
            "not" if test == Test::Is => Kind::Part,
            _ if test != Test::None && is_word(text) => Kind::Part,
            "~" => Kind::Concat,
            "<" | ">" => Kind::Compare,
            "-" | "+" if begins => Kind::Sign,
            "-" | "+" => Kind::Sum,
            "in" if loop_in && depth == 0 => {
                loop_in = false;
                Kind::End
            }
            "in" => Kind::In,
            "," | ":" | "=" | "!" | "and" | "or" | "not" | "if" | "else" | "recursive" | "as" => Kind::End,
            _ => Kind::Part,
        };
        if kind == Kind::In
            && let Some(last) = found.last_mut()
            && last.text == "not"
            && last.kind == Kind::End
        {
            last.kind = Kind::In;
        }
        test = match (test, text) {
            (Test::None, "is") if kind == Kind::Part && !after_dot => Test::Is,
            (Test::Is, "not") => Test::Not,
            _ => Test::None,
        };
        found.push(Token { at, text, depth, kind });
    }
    found
}

/// How far `is not NAME` has been read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Test {
    None,
    Is,
    Not,
}

/// The kind of an operator of two characters.
fn joined(first: &str, second: &str) -> Option<Kind> {
    match (first, second) {
        ("=" | "!" | "<" | ">", "=") => Some(Kind::Compare),
        ("*", "*") | ("/", "/") => Some(Kind::Part),
        _ => None,
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn is_opening(text: &str) -> bool {
    matches!(text, "(" | "[" | "{" | "*" | "**" | "/" | "//" | "%" | "|")
}

/// Whether an operand is one pair of round brackets with all that is in them.
fn is_bracketed(operand: &[Token]) -> bool {
    match operand {
        [first, within @ .., last] => {
            first.text == "(" && last.text == ")" && within.iter().all(|token| token.depth > first.depth)
        }
        _ => false,
    }
}

fn is_constant(token: &Token) -> bool {
    const WORDS: [&str; 6] = ["true", "false", "none", "True", "False", "None"];
    token.text.starts_with(|c: char| c.is_ascii_digit() || "'\"[](){},.-:".contains(c))
        || WORDS.contains(&token.text)
}

/// Whether a token ends an operand of that operator.
fn ends(token: &Token, operator: &Token) -> bool {
    match token.kind {
        Kind::Part | Kind::Sign => false,
        Kind::Sum | Kind::Concat => operator.kind == Kind::Concat,
        Kind::Compare | Kind::In | Kind::End => true,
    }
}

/// The tokens before an operator that are its operand: brackets that enclose it are less deep.
fn left(tokens: &[Token], operator: usize) -> Range<usize> {
    let of = &tokens[operator];
    let before = tokens[..operator].iter().rev();
    operator - before.take_while(|token| belongs(token, of)).count()..operator
}

/// The tokens behind an operator, which ends before `from`.
fn right(tokens: &[Token], operator: usize, from: usize) -> Range<usize> {
    let of = &tokens[operator];
    let from = from.min(tokens.len());
    from..from + tokens[from..].iter().take_while(|token| belongs(token, of)).count()
}

fn belongs(token: &Token, operator: &Token) -> bool {
    token.depth > operator.depth || (token.depth == operator.depth && !ends(token, operator))
}

#[cfg(test)]
mod tests {
    use super::weighed;

    #[test]
    fn operands_are_those_of_jinja() {
        for (code, expected) in [
            ("a ~ b", "(a)|W ~ (b)|W"),
            ("a ~ ' ' ~ b.c[0] ~ f(x)", "(a)|W ~ ' ' ~ (b.c[0])|W ~ (f(x))|W"),
            ("a + b ~ c * 2 - d", "a + (b)|W ~ (c * 2)|W - d"),
            ("-a ~ b|f(1)", "(-a)|W ~ (b|f(1))|W"),
            ("x if a == b else c", "x if (a)|W == (b)|W else c"),
            ("a.if == b.in and not c != d", "(a.if)|W == (b.in)|W and not (c)|W != (d)|W"),
            ("a - 1 <= b // 2", "(a - 1)|W <= (b // 2)|W"),
            ("x is not in b or y is none", "x is not in b or y is none"),
            ("x not in y", "(x)|W not in (y)|W"),
            ("x in ['a', 'b'] and 'a' in x", "(x)|W in ['a', 'b'] and 'a' in x"),
            ("[x] not in ('ab')", "([x])|W not in ('ab')"),
            ("x in 'abc'", "(x)|W in 'abc'"),
            ("f(a=b ~ c, d=1)", "f(a=(b)|W ~ (c)|W, d=1)"),
            ("{'k': a ~ b}[c ~ d]", "{'k': (a)|W ~ (b)|W}[(c)|W ~ (d)|W]"),
            ("(a ~ b) ~ c", "((a)|W ~ (b)|W)|W ~ (c)|W"),
            ("x == 'a' or x == 1 or x == -1", "x == 'a' or x == 1 or x == -1"),
            ("a is string ~ b", "(a is string)|W ~ (b)|W"),
            ("a ~", "(a)|W ~"),
            ("~ in not in ==", "(~)|W in not in =="),
        ] {
            assert_eq!(weighed(code, false), expected.replace('W', "weighed__"), "{code}");
        }
        assert_eq!(
            weighed("x in a ~ b if x in c", true),
            "x in (a)|weighed__ ~ (b)|weighed__ if (x)|weighed__ in (c)|weighed__"
        );
    }
}
