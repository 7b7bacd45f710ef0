//! The one reading of R1's tags: `<think> .. </think> <answer> .. </answer>`. Every verifier uses it, so that no
//! two of them disagree on what the answer is. It works on the sequence of tags, not on a regular expression:
//! newlines, nesting, repetition and text behind the answer are then ordinary cases.

/// Where a completion starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// In the open: the policy writes `<think>` itself.
    Bare,
    /// Inside a thought that the prompt's last `<think>` has opened.
    InThought,
}

/// A well-formed response, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// What stands in the thought, as written.
    pub thought: &'a str,
    /// What stands in the answer, as written.
    pub answer: &'a str,
}

/// Why a text has no well-formed response, or no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// There is no `<answer>` at all.
    #[error("no <answer>")]
    NoAnswer,
    /// `<answer>` is never closed: cut off, or forgotten.
    #[error("<answer> is not closed")]
    UnclosedAnswer,
    /// More than one `<answer>` or `</answer>`: whoever writes two answers has not decided.
    #[error("more than one <answer> or </answer>")]
    RepeatedAnswer,
    /// The answer lies inside the thought.
    #[error("the answer is inside the thought")]
    AnswerInThought,
    /// A tag inside the answer.
    #[error("a tag inside the answer")]
    TagInAnswer,
    /// The tags are not `<think></think><answer></answer>`, each once and in this order.
    #[error("expected <think>..</think><answer>..</answer>, each tag once and in this order")]
    Tags,
    /// Text before, between or behind the two blocks.
    #[error("text outside <think>..</think> and <answer>..</answer>")]
    TextOutside,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Think,
    EndThink,
    Answer,
    EndAnswer,
}

const TAGS: [(&str, Tag); 4] = [
    ("<think>", Tag::Think),
    ("</think>", Tag::EndThink),
    ("<answer>", Tag::Answer),
    ("</answer>", Tag::EndAnswer),
];

/// A tag at `start..end` of the text, in bytes.
#[derive(Clone, Copy, Debug)]
struct Found {
    tag: Tag,
    start: usize,
    end: usize,
}

/// The tags of a text in order. No tag is a part of another, so each `<` begins at most one.
fn scan(text: &str) -> impl Iterator<Item = Found> {
    text.match_indices('<').filter_map(|(start, _)| {
        let (literal, tag) = TAGS.iter().find(|(literal, _)| text[start..].starts_with(literal))?;
        Some(Found { tag: *tag, start, end: start + literal.len() })
    })
}

/// The parts of a response that is one thought, then one answer, and nothing else but white space around them.
///
/// # Errors
/// What is wrong with it.
pub fn well_formed(text: &str, opening: Opening) -> Result<Parts<'_>, Malformed> {
    // One more than a good response has is enough to know that there are too many.
    let found: Vec<Found> = scan(text).take(5).collect();
    let (before, thought_start, rest) = match (opening, found.split_first()) {
        (Opening::InThought, _) => ("", 0, found.as_slice()),
        (Opening::Bare, Some((first, rest))) if first.tag == Tag::Think => {
            (&text[..first.start], first.end, rest)
        }
        _ => return Err(Malformed::Tags),
    };
    let &[thought_end, answer, answer_end] = rest else {
        return Err(Malformed::Tags);
    };
    if [thought_end.tag, answer.tag, answer_end.tag] != [Tag::EndThink, Tag::Answer, Tag::EndAnswer] {
        return Err(Malformed::Tags);
    }
    let outside = [before, &text[thought_end.end..answer.start], &text[answer_end.end..]];
    if outside.iter().any(|part| !part.trim().is_empty()) {
        return Err(Malformed::TextOutside);
    }
    Ok(Parts {
        thought: &text[thought_start..thought_end.start],
        answer: &text[answer.end..answer_end.start],
    })
}

/// The content of the one `<answer>` block outside the thought. More lenient than [`well_formed`]: the thought
/// may be missing or repeated, and text may stand around it; that is the format's business.
///
/// # Errors
/// Why there is no one answer.
pub fn answer(text: &str, opening: Opening) -> Result<&str, Malformed> {
    let mut in_thought = opening == Opening::InThought;
    let mut start: Option<Found> = None;
    let mut end: Option<Found> = None;
    for found in scan(text) {
        match found.tag {
            Tag::Answer if start.is_some() => return Err(Malformed::RepeatedAnswer),
            Tag::EndAnswer if end.is_some() => return Err(Malformed::RepeatedAnswer),
            Tag::Answer if in_thought || end.is_some() => return Err(Malformed::AnswerInThought),
            Tag::EndAnswer if start.is_none() => return Err(Malformed::NoAnswer),
            Tag::Answer => start = Some(found),
            Tag::EndAnswer => end = Some(found),
            Tag::Think | Tag::EndThink if start.is_some() && end.is_none() => {
                return Err(Malformed::TagInAnswer);
            }
            // A thought that closes behind the answer held the answer, whether or not we saw it open.
            Tag::EndThink if end.is_some() && !in_thought => return Err(Malformed::AnswerInThought),
            Tag::Think => in_thought = true,
            Tag::EndThink => in_thought = false,
        }
    }
    match (start, end) {
        (Some(start), Some(end)) => Ok(&text[start.end..end.start]),
        (Some(_), None) => Err(Malformed::UnclosedAnswer),
        (None, _) => Err(Malformed::NoAnswer),
    }
}

#[cfg(test)]
mod tests {
    use super::{Malformed, Opening, Parts, answer, well_formed};

    #[test]
    fn a_thought_and_an_answer_are_well_formed_over_lines() {
        let parts = well_formed(" <think>a\nb</think>\n<answer>\n1\n</answer>\n", Opening::Bare);
        assert_eq!(parts, Ok(Parts { thought: "a\nb", answer: "\n1\n" }));
        let opened = well_formed("a</think><answer>1</answer>", Opening::InThought);
        assert_eq!(opened, Ok(Parts { thought: "a", answer: "1" }));
    }

    #[test]
    fn everything_else_is_malformed() {
        for (text, expected) in [
            ("", Malformed::Tags),
            ("<answer>1</answer>", Malformed::Tags),
            ("<think>a</think>", Malformed::Tags),
            ("<think>a</think><answer>1", Malformed::Tags),
            ("<answer>1</answer><think>a</think>", Malformed::Tags),
            ("<think>a</think><think>b</think><answer>1</answer>", Malformed::Tags),
            ("<think><think>a</think></think><answer>1</answer>", Malformed::Tags),
            ("<think>a</think><answer>1</answer><answer>1</answer>", Malformed::Tags),
            ("<think>a</think><answer><answer>1</answer></answer>", Malformed::Tags),
            ("<think><answer>1</answer></think>", Malformed::Tags),
            ("<think>a</think><answer>1</answer></answer>", Malformed::Tags),
            ("x<think>a</think><answer>1</answer>", Malformed::TextOutside),
            ("<think>a</think>x<answer>1</answer>", Malformed::TextOutside),
            ("<think>a</think><answer>1</answer>x", Malformed::TextOutside),
            ("<THINK>a</THINK><answer>1</answer>", Malformed::Tags),
        ] {
            assert_eq!(well_formed(text, Opening::Bare), Err(expected), "{text}");
        }
        let twice = well_formed("<think>a</think><answer>1</answer>", Opening::InThought);
        assert_eq!(twice, Err(Malformed::Tags), "the prompt had opened the thought already");
    }

    #[test]
    fn the_answer_is_the_one_block_outside_the_thought() {
        for (text, expected) in [
            ("<think>a</think><answer>1</answer>", Ok("1")),
            ("so it is <answer> 1 </answer>.", Ok(" 1 ")),
            ("<think>a</think> hm <think>b</think><answer>1</answer>", Ok("1")),
            ("<answer>1</answer><think>late</think>", Ok("1")),
            ("1", Err(Malformed::NoAnswer)),
            ("1</answer>", Err(Malformed::NoAnswer)),
            ("<answer>1", Err(Malformed::UnclosedAnswer)),
            ("<answer>1</answer><answer>1</answer>", Err(Malformed::RepeatedAnswer)),
            ("<answer><answer>1</answer></answer>", Err(Malformed::RepeatedAnswer)),
            ("<answer>1</answer></answer>", Err(Malformed::RepeatedAnswer)),
            ("<think><answer>1</answer></think>", Err(Malformed::AnswerInThought)),
            ("<think><answer>1</answer>", Err(Malformed::AnswerInThought)),
            ("<answer>1</answer></think>", Err(Malformed::AnswerInThought)),
            ("<think><answer>1</answer></think><answer>1</answer>", Err(Malformed::AnswerInThought)),
            ("<answer><think>1</think></answer>", Err(Malformed::TagInAnswer)),
        ] {
            assert_eq!(answer(text, Opening::Bare), expected, "{text}");
        }
        assert_eq!(answer("a<answer>1</answer>", Opening::InThought), Err(Malformed::AnswerInThought));
        assert_eq!(answer("a</think><answer>1</answer>", Opening::InThought), Ok("1"));
    }
}
