//! Numbers in free text: the last one, and that of GSM8K's line `#### n`. It knows decimals, no algebra.

use crate::parse::decimal::Decimal;
use ruminate_math_verify::value_of_quantity;

/// Why no number was found, and what was there instead.
pub(crate) struct NoNumber<'a> {
    pub(crate) why: &'static str,
    pub(crate) text: Option<&'a str>,
}

/// What makes of a number in front of it another one.
const SCALES: [&str; 14] = [
    "hundred",
    "thousand",
    "million",
    "billion",
    "trillion",
    "dozen",
    "half",
    "halves",
    "thirds",
    "tenths",
    "squared",
    "cubed",
    "factorial",
    "or",
];

/// What makes of a number behind it one of several, or a bound.
const NOT_ALONE: [&str; 7] = ["or", "and", "not", "than", "least", "most", "minus"];

/// A number that a text states: a decimal, or a fraction of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stated {
    Decimal(Decimal),
    Fraction(Decimal, Decimal),
}

impl Stated {
    /// A decimal, also with a unit behind it, or a fraction.
    fn parse(text: &str) -> Option<Self> {
        if let Some(decimal) = Decimal::parse(text) {
            return Some(Self::Decimal(decimal));
        }
        if let Some((above, below)) = text.split_once('/')
            && let (Some(above), Some(below)) = (Decimal::parse(above), Decimal::parse(below))
        {
            return Some(Self::Fraction(above, below));
        }
        Decimal::parse(value_of_quantity(text)?).map(Self::Decimal)
    }

    /// Whether it is that number.
    pub(crate) fn is(&self, gold: &Decimal) -> bool {
        match self {
            Self::Decimal(decimal) => decimal == gold,
            Self::Fraction(above, below) => gold.is_quotient(above, below),
        }
    }
}

/// The last number, by the word that holds the last digit of any script; digits of a unit (`42 cm²`) and of a footnote
/// (`42 [1]`) are none of it.
pub(crate) fn last_number(text: &str) -> Result<(Stated, &str), NoNumber<'_>> {
    let mut text = without_footnote(text);
    loop {
        let Some((digit, c)) = text.char_indices().rfind(|(_, c)| c.is_numeric()) else {
            return Err(NoNumber { why: "no number", text: None });
        };
        let start = text[..digit]
            .char_indices()
            .rfind(|(_, c)| c.is_whitespace())
            .map_or(0, |(at, c)| at + c.len_utf8());
        let end = text[digit..].find(char::is_whitespace).map_or(text.len(), |at| digit + at);
        let word = &text[start..end];
        // A word of a unit alone: the value stands before it.
        let unit = word.trim_end_matches(['.', ',', ';', '!', '?', '*']);
        if word.starts_with(|c: char| c.is_alphabetic())
            && digit + c.len_utf8() >= start + unit.len()
            && text[..start].trim_end().ends_with(|c: char| c.is_ascii_digit())
            && value_of_quantity(&format!("1 {unit}")).is_some()
        {
            text = &text[..start];
            continue;
        }
        return stated_word(text, start, end);
    }
}

/// The text without a footnote's mark at its end.
fn without_footnote(text: &str) -> &str {
    let trimmed = text.trim_end();
    let Some(inner) = trimmed.strip_suffix(']') else { return text };
    let Some((before, mark)) = inner.rsplit_once('[') else { return text };
    let mark = mark.strip_prefix('^').unwrap_or(mark);
    let is_mark = (1..=2).contains(&mark.len()) && mark.bytes().all(|b| b.is_ascii_digit());
    if is_mark && before.trim_end().ends_with(|c: char| c.is_ascii_digit()) { before } else { text }
}

/// The number of the word that stands there, where it stands for itself.
fn stated_word(text: &str, start: usize, end: usize) -> Result<(Stated, &str), NoNumber<'_>> {
    let word = &text[start..end];
    let bare = undecorated(word);
    let rejected = |why| Err(NoNumber { why, text: Some(word) });
    let Some(number) = Stated::parse(bare) else {
        return rejected("the last number is part of something else");
    };
    let before = text[..start].trim_end();
    let mut words = before.rsplit(char::is_whitespace);
    let previous = words.next().unwrap_or_default();
    // A word with an equals sign states its number itself, whatever came before.
    let stands_alone = word.contains('=') || !continues(previous) && !is_listed(previous);
    let next = text[end..].split_whitespace().next().unwrap_or_default();
    let ends = word.ends_with(['.', ',', ';', '!', '?']);
    if !stands_alone || (!ends && (scales(next) || text[end..].trim_start().starts_with("and a half"))) {
        return rejected("the last number is part of an expression or one of several");
    }
    if denied(before) {
        return rejected("the last number is denied or bounded");
    }
    Ok((number, bare))
}

/// `41, 42`: a number with a comma before another.
fn is_listed(previous: &str) -> bool {
    previous.strip_suffix(',').is_some_and(|item| Decimal::parse(item).is_some())
}

/// Whether the sentence before a number denies or bounds it: `is not equal to`, `do not think it is`, `up to`.
fn denied(before: &str) -> bool {
    let sentence = before.rsplit(['.', '!', '?', '\n', ';', ',']).next().unwrap_or_default().to_lowercase();
    let words: Vec<&str> =
        sentence.split(|c: char| !c.is_alphabetic() && c != '\'').filter(|word| !word.is_empty()).collect();
    let is_denial = |word: &&str| matches!(*word, "not" | "never" | "cannot") || word.ends_with("n't");
    let but = words.iter().rposition(|word| matches!(*word, "but" | "so" | "therefore"));
    let last = &words[but.map_or(0, |at| at + 1)..];
    let tail = &last[last.len().saturating_sub(6)..];
    tail.iter().any(is_denial) || last.ends_with(&["up", "to"])
}

/// Whether a number behind this word is only a part of what the text states.
fn continues(previous: &str) -> bool {
    const OPERATORS: &str = "/*\u{d7}\u{f7}^+-\u{2212}<>\u{2264}\u{2265}\u{2260}\u{b1}:";
    let label = previous.len() > 1 && previous.ends_with(':');
    let operator = previous.ends_with(|c| OPERATORS.contains(c)) && !label && !previous.ends_with("**");
    let comparison = ["<=", ">=", "!="].iter().any(|sign| previous.ends_with(sign));
    operator || comparison || NOT_ALONE.contains(&previous.to_lowercase().as_str())
}

fn scales(next: &str) -> bool {
    const OPERATORS: [&str; 8] = ["/", "*", "\u{d7}", "\u{f7}", "^", "+", "\\cdot", "\\times"];
    let word = next.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    OPERATORS.contains(&next) || next.starts_with(['^', '/']) || SCALES.contains(&word.as_str())
}

/// What LaTeX puts around a value without changing it. `$` alone is a currency.
const WRAPPERS: [&str; 11] =
    ["\\boxed{", "\\fbox{", "\\textbf{", "\\text{", "\\mathbf{", "\\mathrm{", "\\(", "\\[", "$$", "{", "("];

/// The word without markup and punctuation around it, and without what it is equal to.
fn undecorated(word: &str) -> &str {
    let mut value = match word.rsplit_once('=') {
        Some((left, value)) if !left.ends_with(['<', '>', '!']) => value,
        _ => word,
    };
    loop {
        let before = value;
        value = value.trim_start_matches(['*', '_', '`', '"', '\'', '[']);
        value = WRAPPERS.iter().find_map(|wrapper| value.strip_prefix(wrapper)).unwrap_or(value);
        // `$\boxed{5}$` is no price.
        value = value.strip_prefix('$').filter(|rest| rest.starts_with('\\')).unwrap_or(value);
        if value == before {
            break;
        }
    }
    let markup = [
        '*', '_', '`', '"', '\'', ')', ']', '}', '.', ',', ';', ':', '!', '?', '$', '\\', '\u{20ac}',
        '\u{a3}', '\u{a5}',
    ];
    value.trim_end_matches(markup)
}

/// The number of the one line `#### n`, which is the last. What decorates it, and a unit behind it, do not count.
pub(crate) fn marked_number(text: &str) -> Result<(Stated, &str), NoNumber<'_>> {
    let marked = |line: &'_ str| -> bool {
        // A heading has words: `#### Step 1` is none of an answer's lines.
        line.trim()
            .strip_prefix("####")
            .is_some_and(|rest| !rest.trim_start().starts_with(char::is_alphabetic))
    };
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let last = lines.next_back().filter(|line| marked(line));
    let Some(number) = last.and_then(|line| line.trim().strip_prefix("####")) else {
        return Err(NoNumber { why: "the last line is not `#### n`", text: None });
    };
    if lines.any(marked) {
        return Err(NoNumber { why: "more than one line `#### n`", text: Some(number.trim()) });
    }
    let number = number.trim();
    let whole = if number.contains(['=', '#', '/']) { number } else { undecorated(number) };
    let decimal = Decimal::parse(whole).or_else(|| Decimal::parse(value_of_quantity(whole)?));
    match decimal {
        Some(decimal) => Ok((Stated::Decimal(decimal), number)),
        None => Err(NoNumber { why: "what follows `####` is no number", text: Some(number) }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Stated, last_number, marked_number};
    use crate::parse::decimal::Decimal;

    #[test]
    fn the_last_number_stands_for_itself() {
        for text in [
            "42",
            "so it is 42.",
            "6*7=42",
            "x = 42",
            "**42**",
            "**Answer:** 42",
            "Answer: 42",
            "$42.00",
            "\\boxed{42}",
            "$\\boxed{42}$.",
            "\\(42\\)",
            "1, 2, then 42!",
            "+42",
            "042",
            "42 apples",
            "42%",
            "3 + 39 = 42",
            "(42)",
            "\\$42",
            "\\mathbf{42}",
            "$x=\\boxed{42}$",
            "5 - 3 is not it, 42",
            "42kg",
            "42 cm\u{b2}",
            "42 m/s^2",
            "42 [1]",
            "It is not 41 but 42.",
            "42\u{20ac}.",
        ] {
            let found = last_number(text).ok().map(|(number, _)| number);
            assert_eq!(found, Decimal::parse("42").map(Stated::Decimal), "{text}");
        }
    }

    #[test]
    fn digits_of_something_else_are_no_number() {
        for text in [
            "",
            "none",
            "1/42",
            "1 / 42",
            "x42",
            "2^42",
            "2 ^ 42",
            "42x",
            "x_42",
            "3:42",
            "2024-05-42",
            "f(42)",
            "41 or 42",
            "41 and 42",
            "not 42",
            "more than 42",
            "x > 42",
            "x>=42",
            "x != 42",
            "42 million",
            "42 / 2",
            "42 \\times 2",
            "- 42",
            "\u{664}\u{662}",
            "42 \u{663}",
            "41,42",
            "\\frac{1}{42}",
            "1e42",
            "0x42",
            "4.2.42",
            "\u{bd}",
            "42\u{b2}",
            "-\\boxed{42}",
            "1/\\boxed{42}",
            "\\sqrt{42}",
            "2^\\text{42}",
            "42 or 43",
            "The answer is not equal to 42",
            "I do not think it is 42.",
            "42 and a half",
            "up to 42",
            "41, 42",
        ] {
            let found = last_number(text).ok().map(|(number, _)| number);
            assert_ne!(found, Decimal::parse("42").map(Stated::Decimal), "{text}");
        }
        assert!(last_number("41 or 42").is_err());
        let half = Decimal::parse("0.5").expect("a decimal");
        assert!(last_number("1/2").is_ok_and(|(number, _)| number.is(&half)));
        assert!(last_number("1/42").is_ok_and(|(number, _)| !number.is(&half)));
    }

    #[test]
    fn gsm8k_s_line_is_the_last_and_the_only_one() {
        for text in [
            "#### 42",
            "#### 42 apples",
            "#### $42$",
            "#### \\boxed{42}",
            "#### 42.",
            "so\n#### 42\n\n",
            "#### Step 1\nso\n####42",
            "  #### $42.00  ",
        ] {
            let found = marked_number(text).ok().map(|(number, _)| number);
            assert_eq!(found, Decimal::parse("42").map(Stated::Decimal), "{text}");
        }
        for text in [
            "42",
            "### 42",
            "so #### 42",
            "#### 42\nor so",
            "#### 41\n#### 42",
            "#### 42\n#### 42",
            "#### 41 42",
            "#### 42 or 43",
            "####",
            "#### x=42",
            "##### 42",
        ] {
            assert!(marked_number(text).is_err(), "{text}");
        }
    }
}
