//! Rust source without comments, strings and characters, so that rules see code only. It knows no grammar.

/// The text with the content of comments, string and character literals blanked; bytes stay where they are.
pub(crate) fn code(text: &str) -> String {
    blanked(text, |_| true)
}

/// The text with comments alone blanked.
pub(crate) fn uncommented(text: &str) -> String {
    blanked(text, |part| part.starts_with("//") || part.starts_with("/*"))
}

/// The text with those comments and literals blanked that are chosen.
fn blanked(text: &str, chosen: fn(&str) -> bool) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let word = rest.len() - rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').len();
        let literal = literal_len(rest);
        if literal > 0 {
            let part = &rest[..literal];
            let blank = |byte| if byte == b'\n' { '\n' } else { ' ' };
            if chosen(part) {
                code.extend(part.bytes().map(blank));
            } else {
                code.push_str(part);
            }
            rest = &rest[literal..];
        } else {
            // Whole words at once: the `r` of `for"` does not begin a raw string.
            let len = word.max(next.len_utf8());
            code.push_str(&rest[..len]);
            rest = &rest[len..];
        }
    }
    code
}

/// Length in bytes of the comment or literal that the text begins with, 0 when it begins with code.
fn literal_len(text: &str) -> usize {
    let up_to = |end: Option<usize>| end.unwrap_or(text.len());
    if text.starts_with("//") {
        return up_to(text.find('\n'));
    }
    if text.starts_with("/*") {
        return block_comment_len(text);
    }
    let unprefixed = text.strip_prefix(['b', 'c']).unwrap_or(text);
    let prefix = text.len() - unprefixed.len();
    if let Some(raw) = unprefixed.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let open = prefix + 1 + hashes + 1;
            let close = format!("\"{}", "#".repeat(hashes));
            return up_to(text[open..].find(&close).map(|at| open + at + close.len()));
        }
        return 0;
    }
    match unprefixed.chars().next() {
        Some('"') => prefix + quoted_len(unprefixed, '"'),
        Some('\'') if is_char(unprefixed) => prefix + quoted_len(unprefixed, '\''),
        _ => 0,
    }
}

/// `'a'` and `'\n'` are characters, `'a` is a lifetime.
fn is_char(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    let first = chars.next();
    first == Some('\\') || chars.next() == Some('\'')
}

fn quoted_len(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// Block comments nest.
fn block_comment_len(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

#[test]
fn comments_strings_and_characters_are_blanked_and_code_stays() {
    for (text, hidden) in [
        ("a // x\nb", "x"),
        ("a /* x /* x */ x */ b", "x"),
        ("a(\"x \\\" x\") + b", "x"),
        ("a(r#\"x \" x\"#) + b", "x"),
        ("a(br\"x\\\") + b", "x"),
        ("a('x') + b", "x"),
        ("a('\\'', \"x\") + b", "x"),
        ("fn a<'t>(t: &'t str) { \"x\" } b", "x"),
        ("let r = a(\"ä x\"); b", "x"),
    ] {
        let code = code(text);
        assert!(!code.contains(hidden), "{text:?} became {code:?}");
        assert!(code.contains('a') && code.contains('b'), "{text:?} became {code:?}");
    }
}

#[test]
fn strings_stay_where_comments_alone_are_blanked() {
    let text = "a(\"// é\") // é\n/* \"c\" */ b";
    let left = uncommented(text);
    assert!(left.starts_with("a(\"// é\")") && left.ends_with(" b") && !left.contains('c'), "{left:?}");
    assert_eq!((left.len(), code(text).len()), (text.len(), text.len()));
}

#[test]
fn lines_keep_their_numbers() {
    let text = "/* one\ntwo */\n\"three\nfour\"\nfive";
    assert_eq!(code(text).lines().count(), 5);
    assert_eq!(code(text).lines().last(), Some("five"));
}
