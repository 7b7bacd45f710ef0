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

impl Opening {
    /// Where a completion of that prompt starts: a prompt that ends with `<think>` has opened the thought.
    pub fn of(prompt: &str) -> Self {
        if prompt.trim_end().ends_with("<think>") { Self::InThought } else { Self::Bare }
    }
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
    /// More than one `<answer>` or `</answer>`: a response with two answers has not decided.
    #[error("more than one <answer> or </answer>")]
    RepeatedAnswer,
    /// The answer lies inside the thought.
    #[error("the answer is inside the thought")]
    AnswerInThought,
    /// A tag inside the answer.
    #[error("a tag inside the answer")]
    TagInAnswer,
    /// The last thought has no end: cut off, or everything is a thought.
    #[error("the thought is not closed")]
    UnclosedThought,
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

/// The tags that stand outside of closed thoughts; what a thought quotes is text. The second value says whether one
/// was quoted.
fn outside(text: &str, opening: Opening) -> (Vec<Found>, bool) {
    let mut in_thought = opening == Opening::InThought;
    let mut kept: Vec<Found> = Vec::new();
    // Where the tags of the thought that is open begin.
    let mut since = 0;
    let mut quoted = false;
    for found in scan(text) {
        match found.tag {
            Tag::Think if !in_thought => {
                in_thought = true;
                kept.push(found);
                since = kept.len();
            }
            Tag::EndThink if in_thought => {
                quoted |= kept.len() > since;
                kept.truncate(since);
                kept.push(found);
                in_thought = false;
            }
            // A few are enough to know that there are too many.
            Tag::Answer | Tag::EndAnswer if kept.len() > since + 8 => {}
            _ => kept.push(found),
        }
    }
    (kept, quoted)
}

/// The content of the one `<answer>` block outside the thought. More lenient than [`well_formed`]: the thought
/// may be missing or repeated, it may quote the tags, and text may stand around it; that is the format's business.
///
/// # Errors
/// Why there is no one answer.
pub fn answer(text: &str, opening: Opening) -> Result<&str, Malformed> {
    let (tags, quoted) = outside(text, opening);
    let mut in_thought = opening == Opening::InThought;
    let mut start: Option<Found> = None;
    let mut end: Option<Found> = None;
    for found in tags {
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
        (None, _) if quoted => Err(Malformed::AnswerInThought),
        (None, _) => Err(Malformed::NoAnswer),
    }
}

/// Where the answer is to be looked for when `<answer>` is not demanded: the content of the one `<answer>` where
/// the text has such tags outside of its thoughts, else what stands behind the last thought.
///
/// # Errors
/// As [`answer`]; [`Malformed::UnclosedThought`] when there is nothing but a thought.
pub fn final_text(text: &str, opening: Opening) -> Result<&str, Malformed> {
    let (mut in_thought, mut start, mut tagged) = (opening == Opening::InThought, 0, false);
    for found in outside(text, opening).0 {
        match found.tag {
            Tag::Think => in_thought = true,
            Tag::EndThink => (in_thought, start) = (false, found.end),
            Tag::Answer | Tag::EndAnswer => tagged = true,
        }
    }
    match (tagged, in_thought) {
        (true, _) => answer(text, opening),
        (false, true) => Err(Malformed::UnclosedThought),
        (false, false) => Ok(&text[start..]),
    }
}

/// What stands in the thoughts, the unclosed last one included; nothing where the policy did not think.
pub fn thoughts(text: &str, opening: Opening) -> Vec<&str> {
    let mut thoughts = Vec::new();
    let mut start = (opening == Opening::InThought).then_some(0);
    for found in scan(text) {
        match (found.tag, start) {
            (Tag::Think, None) => start = Some(found.end),
            (Tag::EndThink, Some(from)) => {
                thoughts.push(&text[from..found.start]);
                start = None;
            }
            _ => {}
        }
    }
    thoughts.extend(start.map(|from| &text[from..]));
    thoughts
}

/// How many of the four tags stand exactly once, and in order: the longest run of them, behind one another, that
/// does. A thought that the prompt has opened counts as a `<think>` at the start.
pub fn count_in_order(text: &str, opening: Opening) -> usize {
    const ORDER: [Tag; 4] = [Tag::Think, Tag::EndThink, Tag::Answer, Tag::EndAnswer];
    let given = (opening == Opening::InThought).then_some(Tag::Think);
    let mut places: [Vec<usize>; 4] = Default::default();
    for (place, tag) in given.into_iter().chain(scan(text).map(|found| found.tag)).enumerate() {
        let places = &mut places[ORDER.iter().position(|other| *other == tag).unwrap_or(0)];
        // Twice is enough to know that it is not once.
        if places.len() < 2 {
            places.push(place);
        }
    }
    let once: Vec<usize> = places.iter().filter(|places| places.len() == 1).map(|places| places[0]).collect();
    // The longest increasing subsequence of at most four.
    let mut longest: Vec<usize> = Vec::with_capacity(once.len());
    for (at, place) in once.iter().enumerate() {
        let before = (0..at).filter(|&earlier| once[earlier] < *place).map(|earlier| longest[earlier]).max();
        longest.push(before.unwrap_or(0) + 1);
    }
    longest.into_iter().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Malformed, Opening, Parts, answer, count_in_order, final_text, thoughts, well_formed};

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
            ("<think><answer>1</answer></think><answer>2</answer>", Ok("2")),
            ("<think>in <answer></answer> tags</think><answer>1</answer>", Ok("1")),
            ("<answer><think>1</think></answer>", Err(Malformed::TagInAnswer)),
        ] {
            assert_eq!(answer(text, Opening::Bare), expected, "{text}");
        }
        assert_eq!(answer("a<answer>1</answer>", Opening::InThought), Err(Malformed::AnswerInThought));
        assert_eq!(answer("a</think><answer>1</answer>", Opening::InThought), Ok("1"));
    }

    #[test]
    fn the_final_text_is_the_answer_block_or_what_follows_the_thought() {
        for (text, expected) in [
            ("42", Ok("42")),
            ("<think>41</think> 42", Ok(" 42")),
            ("<think>a</think>b<think>c</think>42", Ok("42")),
            ("41</think>42", Ok("42")),
            ("<think>a</think>x<answer>42</answer>y", Ok("42")),
            ("<think>42", Err(Malformed::UnclosedThought)),
            ("41<think>a</think>b<think>42", Err(Malformed::UnclosedThought)),
            ("<think><answer>41</answer></think>42", Ok("42")),
            ("42</answer>", Err(Malformed::NoAnswer)),
            ("<answer>42", Err(Malformed::UnclosedAnswer)),
        ] {
            assert_eq!(final_text(text, Opening::Bare), expected, "{text}");
        }
        assert_eq!(final_text("42", Opening::InThought), Err(Malformed::UnclosedThought));
    }

    #[test]
    fn thoughts_are_found_whole_torn_and_repeated() {
        assert_eq!(thoughts("<think>a</think>b<think>c", Opening::Bare), ["a", "c"]);
        assert_eq!(thoughts("a</think>b</think>", Opening::InThought), ["a"]);
        assert_eq!(thoughts("<think>a<think>b</think>", Opening::Bare), ["a<think>b"]);
        assert!(thoughts("</think>a", Opening::Bare).is_empty());
    }

    #[test]
    fn tags_count_once_each_and_in_order() {
        for (text, expected) in [
            ("", 0),
            ("<think>a</think><answer>1</answer>", 4),
            ("x<think>a</think>y<answer>1</answer>z", 4),
            ("<think>a</think>1", 2),
            ("<answer>1</answer><think>a</think>", 2),
            ("</answer><answer></think><think>", 1),
            ("<think><think></think><answer></answer>", 3),
            ("<think></think><answer></answer><think></think><answer></answer>", 0),
            ("<answer><think></think></answer>", 3),
        ] {
            assert_eq!(count_in_order(text, Opening::Bare), expected, "{text}");
        }
        assert_eq!(count_in_order("a</think><answer>1</answer>", Opening::InThought), 4);
        assert_eq!(count_in_order("<think>a</think><answer>1</answer>", Opening::InThought), 3);
    }
}
