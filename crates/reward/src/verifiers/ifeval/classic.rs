//! The 25 instructions of IFEval (arXiv 2311.07911), as lm-evaluation-harness 0.4.13 checks them.

use super::arguments::Arguments;
use super::{tongue, words};
use regex::{Regex, RegexBuilder};

/// Bytes that a compiled keyword may take: rows hold regular expressions.
const MAX_PATTERN: usize = 256 << 10;

const OPTIONS: [&str; 3] = ["My answer is yes.", "My answer is no.", "My answer is maybe."];

/// Whether a text follows an instruction of IFEval; `None` where the instruction is none of them.
///
/// # Errors
/// What the row lacks, in words.
pub(super) fn follows(id: &str, of: &Arguments<'_>, text: &str) -> Result<Option<bool>, String> {
    Ok(Some(match id {
        "keywords:existence" => {
            let mut all = true;
            for keyword in of.texts("keywords")? {
                all = pattern(keyword)?.is_match(text) && all;
            }
            all
        }
        "keywords:frequency" => {
            let keyword = pattern(of.text("keyword")?.trim())?;
            of.relation("relation")?.holds(keyword.find_iter(text).count(), of.count("frequency")?)
        }
        "keywords:forbidden_words" => {
            let mut any = false;
            for word in of.texts("forbidden_words")? {
                any = pattern(&format!(r"\b{word}\b"))?.is_match(text) || any;
            }
            !any
        }
        "keywords:letter_frequency" => {
            let letter = of.text("letter")?.trim().to_lowercase();
            let mut letters = letter.chars();
            let (Some(letter), None) = (letters.next().filter(char::is_ascii_lowercase), letters.next())
            else {
                return Err(format!("expected a letter from a to z as `letter`, found {letter:?}"));
            };
            let found = text.chars().flat_map(char::to_lowercase).filter(|c| *c == letter).count();
            of.relation("let_relation")?.holds(found, of.count("let_frequency")?)
        }
        // A text without a language counts as one in any.
        "language:response_language" => {
            let wanted = of.text("language")?;
            let has_letters = text.chars().any(char::is_alphabetic);
            !has_letters || tongue::language(text) == Some(wanted)
        }
        "length_constraints:number_sentences" => {
            of.relation("relation")?.holds(words::sentences(text).len(), of.count("num_sentences")?)
        }
        "length_constraints:number_paragraphs" => paragraphs(text) == Some(of.count("num_paragraphs")?),
        "length_constraints:number_words" => {
            of.relation("relation")?.holds(words::words(text).count(), of.count("num_words")?)
        }
        "length_constraints:nth_paragraph_first_word" => {
            let (count, nth) = (of.count("num_paragraphs")?, of.count("nth_paragraph")?);
            if nth == 0 || nth > count {
                return Err(format!("expected `nth_paragraph` to be one of {count}, found {nth}"));
            }
            first_word(text, count, nth, &of.text("first_word")?.to_lowercase())
        }
        "detectable_content:number_placeholders" => {
            matches(text, r"\[.*?\]")?.len() >= of.count("num_placeholders")?
        }
        "detectable_content:postscript" => postscript(text, of.text("postscript_marker")?.trim())?,
        "detectable_format:number_bullet_lists" => {
            let stars = matches(text, r"(?m)^\s*\*[^\*].*$")?.len();
            stars + matches(text, r"(?m)^\s*-.*$")?.len() == of.count("num_bullets")?
        }
        "detectable_format:constrained_response" => OPTIONS.iter().any(|option| text.trim().contains(option)),
        "detectable_format:number_highlighted_sections" => highlights(text)? >= of.count("num_highlights")?,
        "detectable_format:multiple_sections" => {
            let splitter = of.text("section_spliter")?.trim();
            matches(text, &format!(r"\s?{splitter}\s?\d+\s?"))?.len() >= of.count("num_sections")?
        }
        "detectable_format:json_format" => is_json(text),
        "detectable_format:title" => {
            let titles = matches(text, r"<<[^\n]+>>")?;
            titles.iter().any(|title| !title.trim_start_matches('<').trim_end_matches('>').trim().is_empty())
        }
        "combination:two_responses" => two_responses(text),
        "combination:repeat_prompt" => {
            let prompt = of.text("prompt_to_repeat")?.trim().to_lowercase();
            text.trim().to_lowercase().starts_with(&prompt)
        }
        "startend:end_checker" => {
            let phrase = of.text("end_phrase")?.trim().to_lowercase();
            text.trim().trim_matches('"').to_lowercase().ends_with(&phrase)
        }
        "startend:quotation" => {
            let text = text.trim();
            text.len() > 1 && text.starts_with('"') && text.ends_with('"')
        }
        "change_case:capital_word_frequency" => {
            let capital = words::tokens(text).iter().filter(|token| words::is_upper(token)).count();
            of.relation("capital_relation")?.holds(capital, of.count("capital_frequency")?)
        }
        "change_case:english_capital" => words::is_upper(text) && tongue::language(text) == Some("en"),
        "change_case:english_lowercase" => words::is_lower(text) && tongue::language(text) == Some("en"),
        "punctuation:no_comma" => !text.contains(','),
        _ => return Ok(None),
    }))
}

/// A keyword of a row, which is a regular expression without case.
fn pattern(text: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(text).case_insensitive(true).size_limit(MAX_PATTERN).build();
    built.map_err(|error| format!("{text:?} is no regular expression: {error}"))
}

fn matches<'a>(text: &'a str, pattern: &str) -> Result<Vec<&'a str>, String> {
    let built = RegexBuilder::new(pattern).size_limit(MAX_PATTERN).build();
    let built = built.map_err(|error| format!("{pattern:?} is no regular expression: {error}"))?;
    Ok(built.find_iter(text).map(|found| found.as_str()).collect())
}

/// Paragraphs between `***`; `None` where one in the middle is empty.
fn paragraphs(text: &str) -> Option<usize> {
    let parts: Vec<&str> = text.split("***").collect();
    let last = parts.len() - 1;
    let mut count = parts.len();
    for (index, part) in parts.iter().enumerate() {
        if part.trim().is_empty() {
            if index != 0 && index != last {
                return None;
            }
            count -= 1;
        }
    }
    Some(count)
}

fn first_word(text: &str, count: usize, nth: usize, wanted: &str) -> bool {
    let paragraphs: Vec<&str> = text.split("\n\n").collect();
    let filled = paragraphs.iter().filter(|paragraph| !paragraph.trim().is_empty()).count();
    let word = paragraphs.get(nth - 1).and_then(|paragraph| paragraph.split_whitespace().next());
    let Some(word) = word.filter(|_| nth <= filled) else { return false };
    let word = word.trim_start_matches('\'').trim_start_matches('"');
    let word: String =
        word.chars().take_while(|c| !matches!(c, '.' | ',' | '?' | '!' | '\'' | '"')).collect();
    filled == count && word.to_lowercase() == wanted
}

fn postscript(text: &str, marker: &str) -> Result<bool, String> {
    let pattern = match marker {
        "P.P.S" => r"(?m)\s*p\.\s?p\.\s?s.*$".to_owned(),
        "P.S." => r"(?m)\s*p\.\s?s\..*$".to_owned(),
        other => format!(r"(?m)\s*{}.*$", other.to_lowercase()),
    };
    Ok(!matches(&text.to_lowercase(), &pattern)?.is_empty())
}

fn highlights(text: &str) -> Result<usize, String> {
    let single = matches(text, r"\*[^\n\*]*\*")?;
    let double = matches(text, r"\*\*[^\n\*]*\*\*")?;
    let filled = |inner: &str| !inner.trim().is_empty();
    let of_single = single.iter().filter(|found| filled(found.trim_matches('*'))).count();
    let of_double = double.iter().filter(|found| filled(&found[2..found.len() - 2])).count();
    Ok(of_single + of_double)
}

fn is_json(text: &str) -> bool {
    let mut inner = text.trim();
    for fence in ["```json", "```Json", "```JSON", "```"] {
        inner = inner.strip_prefix(fence).unwrap_or(inner);
    }
    let inner = inner.strip_suffix("```").unwrap_or(inner).trim();
    serde_json::from_str::<serde::de::IgnoredAny>(inner).is_ok()
        || matches!(inner, "NaN" | "Infinity" | "-Infinity")
}

fn two_responses(text: &str) -> bool {
    let parts: Vec<&str> = text.split("******").collect();
    let last = parts.len() - 1;
    let is_gap = |(index, part): (usize, &&str)| part.trim().is_empty() && index != 0 && index != last;
    if parts.iter().enumerate().any(is_gap) {
        return false;
    }
    let filled: Vec<&str> = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
    matches!(filled[..], [first, second] if first != second)
}

#[cfg(test)]
mod tests {
    use crate::verifiers::ifeval::arguments::Relation;

    #[test]
    fn less_than_is_not_at_most() {
        assert!(
            Relation::LessThan.holds(2, 3)
                && !Relation::LessThan.holds(3, 3)
                && Relation::AtLeast.holds(3, 3)
        );
    }
}
