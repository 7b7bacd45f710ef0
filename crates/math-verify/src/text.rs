//! Words as answers: names, weekdays, `no solution`. Texts compare as texts, without regard to case, articles at the
//! start, punctuation and space; a letter more or another order is another text.

use crate::expr::{Constant, Expr, NumberSet};
use crate::{units, words};

/// Words of a text that is compared at all: beyond this it is a sentence, which can be said in many ways.
const MAX_WORDS: usize = 6;

/// A text without what does not count; its case is left for [`same`] to ignore.
pub(crate) fn normal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let text = text.replace("\\ ", " ").replace(['~', '\u{a0}'], " ");
    for word in text.split(|c: char| c.is_whitespace() || c == '_') {
        let word = word.trim_matches(|c: char| {
            matches!(
                c,
                '.' | ','
                    | ';'
                    | ':'
                    | '!'
                    | '?'
                    | '"'
                    | '\''
                    | '('
                    | ')'
                    | '$'
                    | '*'
                    | '`'
                    | '{'
                    | '}'
                    | '\u{3002}'
            )
        });
        let article = ["a", "an", "the"].iter().any(|article| word.eq_ignore_ascii_case(article));
        if word.is_empty() || (out.is_empty() && article && text.trim().contains(' ')) {
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// Whether two texts in that form are the same words.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

/// Whether two texts are too long for a difference of words to be one of meaning.
pub(crate) fn is_sentence(text: &str) -> bool {
    text.split(' ').count() > MAX_WORDS
}

/// What data sets write where there is no answer.
pub(crate) fn is_placeholder(text: &str) -> bool {
    matches!(
        normal(text).to_lowercase().as_str(),
        "" | "proof"
            | "n/a"
            | "na"
            | "not found"
            | "null"
            | "nan"
            | "no answer"
            | "unknown"
            | "see solution"
            | "tbd"
    )
}

/// What stands for a set or a value in words: `no solution`, `all real numbers`.
fn synonym(lower: &str) -> Option<Expr> {
    let word = |text: &str| Some(Expr::Text(text.to_owned()));
    let plain = lower.strip_prefix("there is ").or_else(|| lower.strip_prefix("there are ")).unwrap_or(lower);
    match plain {
        "no solution"
        | "no solutions"
        | "none"
        | "no real solution"
        | "no real solutions"
        | "empty set"
        | "empty"
        | "null set"
        | "no such number"
        | "no such numbers"
        | "has no solution"
        | "has no solutions"
        | "no root"
        | "no roots"
        | "no real roots"
        | "no real root"
        | "no integer solutions"
        | "no values"
        | "no value"
        | "\u{65e0}\u{89e3}"
        | "no such value"
        | "inconsistent" => Some(Expr::Numbers(NumberSet::Empty)),
        "all real numbers"
        | "all reals"
        | "any real number"
        | "all real"
        | "every real number"
        | "reals"
        | "real numbers"
        | "all real values"
        | "all numbers"
        | "set of real numbers"
        | "set of all real numbers"
        | "\u{5168}\u{4f53}\u{5b9e}\u{6570}" => Some(Expr::Numbers(NumberSet::Reals)),
        "all integers" | "integers" | "any integer" => Some(Expr::Numbers(NumberSet::Integers)),
        "dne"
        | "does not exist"
        | "doesn't exist"
        | "doesn\u{2019}t exist"
        | "not exist"
        | "nonexistent"
        | "do not exist"
        | "limit does not exist" => word("does not exist"),
        "undefined" | "not defined" | "is undefined" | "is not defined" => word("undefined"),
        // How many, too: `\infty` solutions are infinitely many.
        "infinite"
        | "infinity"
        | "infinitely large"
        | "infinitely many"
        | "infinitely many solutions"
        | "infinite solutions"
        | "infinite number of solutions"
        | "infinite number"
        | "an infinite number of solutions"
        | "infinitely many such" => Some(Expr::Constant(Constant::Infinity)),
        "diverges" | "divergent" | "diverge" | "series diverges" | "is divergent" => word("diverges"),
        "converges" | "convergent" | "converge" | "series converges" | "is convergent" => word("converges"),
        "false" | "true" | "yes" | "no" => word(plain),
        _ => None,
    }
}

/// The text as an answer in words.
pub(crate) fn expression(text: &str) -> Expr {
    let normal = normal(text);
    synonym(&normal.to_lowercase()).unwrap_or(Expr::Text(normal))
}

/// A whole text that is words and no formula: without a command, an operator or a relation, and with a word that no
/// formula has. One run of letters is a text, too.
pub(crate) fn plain(text: &str) -> Option<Expr> {
    let text = text.trim();
    if text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '\\' | '(' | '[' | '-' | '$' | '.')) {
        return None; // a number with its unit, or a term: the grammar knows better
    }
    let text = text.strip_suffix(['.', '!']).unwrap_or(text).trim_end();
    let bare = text.trim_matches(|c| matches!(c, '"' | '\'' | '`'));
    let allowed =
        |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '\'' | '\u{2019}' | '.' | '/' | '&');
    if bare.is_empty() || !bare.chars().all(allowed) || !bare.contains(char::is_alphabetic) {
        return None;
    }
    let is_known = |word: &str| words::word(word).is_some() || words::is_name(word);
    let runs = || {
        bare.split(|c: char| !c.is_alphabetic() && c != '\'' && c != '\u{2019}').filter(|run| !run.is_empty())
    };
    let code = bare.split(' ').next().unwrap_or_default();
    let is_price = words::is_currency_code(code)
        && bare[code.len()..].trim_start().starts_with(|c: char| c.is_ascii_digit());
    if is_price {
        return None;
    }
    let one_run = bare.chars().all(char::is_alphabetic);
    if one_run {
        let long = bare.chars().count() > 1 || !bare.is_ascii();
        let repeated = bare.chars().all(|c| bare.starts_with(c)) && bare.is_ascii();
        return (long && !is_known(bare) && !repeated).then(|| expression(bare));
    }
    if bare.contains('/') && runs().all(|run| run.chars().count() <= 2) {
        return None; // a/b
    }
    let digits_glued = bare.as_bytes().windows(2).any(|pair| {
        pair[0].is_ascii_alphabetic() && pair[1].is_ascii_digit()
            || pair[0].is_ascii_digit() && pair[1].is_ascii_alphabetic()
    });
    let is_word = |run: &&str| {
        let long = run.chars().count() > 2 || (run.chars().count() > 1 && !digits_glued) || !run.is_ascii();
        long && !is_known(run) && !units::is_unit(run)
    };
    let has_minus = bare.contains('-') && !bare.split('-').all(|part| part.starts_with(char::is_alphabetic));
    // `and`, `or` make lists of what stands beside them; a list of texts is one all the same.
    let separates = bare.split_whitespace().any(|word| matches!(word, "and" | "or"));
    if separates {
        let parts: Vec<&str> = bare.split(" and ").flat_map(|part| part.split(" or ")).collect();
        let elements: Option<Vec<Expr>> =
            if parts.len() > 1 { parts.iter().map(|part| plain(part)).collect() } else { None };
        return elements.map(Expr::List);
    }
    (!has_minus && runs().any(|run| is_word(&run))).then(|| expression(bare))
}

/// A text that starts like a formula and goes on in words, `5 north`, as words; `None` where it computes or relates.
pub(crate) fn worded(text: &str) -> Option<Expr> {
    let plain =
        |c: char| c.is_alphanumeric() || c.is_whitespace() || matches!(c, '.' | ',' | '\'' | '"' | '(' | ')');
    text.chars().all(plain).then(|| expression(text))
}

/// Whether a text has the words of another as a product of letters, `ab` for `a b`: the letters as symbols.
pub(crate) fn letters(text: &str) -> Option<Expr> {
    let short = (2..=6).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphabetic());
    let letter = |c: char| match c {
        'e' => Expr::Constant(Constant::E),
        'i' => Expr::Constant(Constant::I),
        _ => Expr::Symbol(c.to_string()),
    };
    short.then(|| Expr::Product(text.chars().map(letter).collect()))
}

#[cfg(test)]
mod tests {
    use super::{is_placeholder, normal, plain, same};
    use crate::expr::{Expr, NumberSet};

    #[test]
    fn words_are_texts_and_formulas_are_none() {
        for text in
            ["east", "Rug B", "May 5", "Not a function", "HHT", "x is even", "Tuesday.", "\u{7b2c}\u{4e00}"]
        {
            assert!(matches!(plain(text), Some(Expr::Text(_))), "{text}");
        }
        for text in ["x", "2ab", "5 m", "sin x", "pi", "a/b", "12 apples", "xx", "x2", "3 and 4"] {
            assert_eq!(plain(text), None, "{text}");
        }
        assert_eq!(plain("no solutions"), Some(Expr::Numbers(NumberSet::Empty)));
    }

    #[test]
    fn case_space_and_punctuation_do_not_count() {
        assert!(same(&normal(" The  \"Rug B\". "), "rug b"));
        assert!(!same("east", "seat"));
        assert!(is_placeholder("N/A") && is_placeholder("Proof.") && !is_placeholder("no"));
    }
}
