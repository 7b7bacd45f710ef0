//! What stands behind an answer and is none of it: for which numbers it holds, what its letters mean, a remark in
//! brackets.

/// The text without a condition behind it: `f(x) = x` of `f(x) = x \text{ for all } x`.
pub(crate) fn without(text: &str) -> &str {
    const CONDITIONS: &[&str] = &[
        "for all",
        "for any",
        "for every",
        "for each",
        "for some integer",
        "for integer",
        "where",
        "for real",
        "for positive",
    ];
    let behind_comma = [", for ", ", for $", ",\\ \\text{for", ",\\quad \\text{for"]
        .iter()
        .filter_map(|mark| text.find(mark));
    let first = behind_comma.filter(|&at| at > 0).min();
    let Some(at) = CONDITIONS.iter().filter_map(|condition| word(text, condition)).chain(first).min() else {
        return text;
    };
    let mut kept = text[..at].trim_end();
    loop {
        let before = kept.len();
        for end in [
            "\\text{",
            "\\textrm{",
            "\\mathrm{",
            "\\mbox{",
            "\\quad",
            "\\qquad",
            "\\,",
            "\\;",
            "\\ ",
            ",",
            ";",
            "(",
            "~",
        ] {
            kept = kept.strip_suffix(end).unwrap_or(kept).trim_end();
        }
        if kept.len() == before {
            break;
        }
    }
    if kept.is_empty() { text } else { kept }
}

/// Where a phrase stands as words of its own, behind something.
fn word(text: &str, phrase: &str) -> Option<usize> {
    let letter = |c: char| c.is_alphanumeric();
    text.match_indices(phrase).map(|(at, _)| at).find(|&at| {
        at > 0
            && !text[..at].ends_with(letter)
            && !text[..at].ends_with('\\')
            && !text[at + phrase.len()..].starts_with(|c| letter(c) && c != 's')
    })
}

/// The value before a remark in brackets, `9 (apples)`, `6 (six)`: words alone, behind a number and a space.
pub(crate) fn without_remark(text: &str) -> &str {
    let Some(inner) = text.strip_suffix(')') else { return text };
    let Some((value, remark)) = inner.rsplit_once(" (") else { return text };
    let words = remark.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '\''));
    let is_value = value.ends_with(|c: char| c.is_ascii_digit() || matches!(c, '%' | '}' | '$'));
    if words && remark.chars().count() > 1 && is_value { value } else { text }
}
