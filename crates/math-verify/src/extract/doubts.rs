//! Words around an anchor that make no claim of what stands there: a doubt, or a question.

use super::claims::line_end;

/// Whether the words before an anchor take back what it claims: `I don't think the answer is 9`, `it is false that`.
pub(super) fn is_doubted(text: &str, start: usize) -> bool {
    const WORDS: &[&str] = &[
        "n't think",
        "not think",
        "n't believe",
        "not believe",
        "doubt",
        "not sure",
        "n't say",
        "n't know",
        "mistake to",
        "wrong to",
        "incorrect to",
        "error to",
        "false that",
        "wrong that",
        "untrue that",
        "incorrect that",
        "not true that",
        "n't true that",
        "not the case that",
        "n't the case that",
    ];
    let sentence = sentence_before(text, start, 40);
    WORDS.iter().any(|words| sentence.contains(words))
}

/// What of its sentence stands in so many bytes before an anchor, in lower case.
fn sentence_before(text: &str, start: usize, bytes: usize) -> String {
    let before = &text[text.floor_char_boundary(start.saturating_sub(bytes))..start];
    before.rsplit(['.', '!', '?', '\n', ';']).next().unwrap_or_default().to_lowercase()
}

/// Where a question ends that asks for the answer and offers one, `Is the answer 3?`; None where a yes follows.
pub(super) fn asked(text: &str, start: usize, end: usize) -> Option<usize> {
    const ASKS: &[&str] = &["is", "was", "could", "can", "might", "would", "will", "should", "may", "does"];
    let before = sentence_before(text, start, 80);
    let first = before.split(|c: char| !c.is_alphabetic()).find(|word| !word.is_empty())?;
    let line = &text[end..line_end(text, end)];
    let mark = line.find(['.', '!', '?']).filter(|&at| line[at..].starts_with('?'))?;
    let next = text[end + mark + 1..].trim_start();
    let next = ["yes", "indeed", "correct", "right"]
        .iter()
        .any(|yes| next.get(..yes.len()).is_some_and(|word| word.eq_ignore_ascii_case(yes)));
    (ASKS.contains(&first) && line[..mark].contains(|c: char| c.is_ascii_digit()) && !next)
        .then_some(end + mark)
}
