//! Where in a response the program is. It knows tags and fences, no programming language.

use crate::parse::tags::{self, Malformed, Opening};

/// The last fenced code block of the answer; the whole of `<answer>` where that has no fence.
///
/// # Errors
/// Why there is no one program, in words.
pub(super) fn of(text: &str, opening: Opening) -> Result<&str, String> {
    let tagged = match tags::answer(text, opening) {
        Ok(content) => Some(content),
        Err(Malformed::NoAnswer) => None,
        Err(malformed) => return Err(malformed.to_string()),
    };
    let scope = match tagged {
        Some(content) => content,
        None => behind_thought(text, opening).ok_or("the thought is not closed")?,
    };
    match last_block(scope) {
        Ok(Some(block)) if block.trim().is_empty() => Err("the code block is empty".to_owned()),
        Ok(Some(block)) => Ok(block),
        Ok(None) => tagged
            .filter(|content| !content.trim().is_empty())
            .ok_or_else(|| "no fenced code block in the answer".to_owned()),
        Err(()) => Err("the code block is not closed".to_owned()),
    }
}

/// `None` when the text never leaves the thought.
fn behind_thought(text: &str, opening: Opening) -> Option<&str> {
    let end = text.rfind("</think>").map(|at| at + "</think>".len());
    let rest = &text[end.unwrap_or(0)..];
    let is_open = rest.contains("<think>") || (end.is_none() && opening == Opening::InThought);
    (!is_open).then_some(rest)
}

/// The content of the last pair of fence lines; an error where the last fence opens and nothing closes it.
fn last_block(text: &str) -> Result<Option<&str>, ()> {
    let mut start = None;
    let mut last = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("```") {
            match start.take() {
                // The line's own rest is the name of a language.
                None => start = Some(at + line.len()),
                Some(start) => last = Some(&text[start..at]),
            }
        }
        at += line.len();
    }
    if start.is_some() { Err(()) } else { Ok(last) }
}

#[cfg(test)]
mod tests {
    use super::of;
    use crate::parse::tags::Opening;

    #[test]
    fn the_last_block_behind_the_thought_is_the_program() {
        for (text, program) in [
            ("```python\na\n```", "a\n"),
            ("```\na\n```\nor rather\n```py\nb\n```\ndone", "b\n"),
            ("<think>```python\na\n```</think>\n```python\nb\n```", "b\n"),
            ("<think>t</think><answer>a</answer>", "a"),
            ("```python\na\n```<answer>\n```python\nb\n```\n</answer>", "b\n"),
            ("  ```python\n  a\n  ```", "  a\n"),
        ] {
            assert_eq!(of(text, Opening::Bare), Ok(program), "{text}");
        }
        assert_eq!(of("t</think>```\na\n```", Opening::InThought), Ok("a\n"));
    }

    #[test]
    fn what_is_only_thought_of_or_cut_off_is_no_program() {
        for (text, opening) in [
            ("", Opening::Bare),
            ("print(1)", Opening::Bare),
            ("<think>```python\na\n```", Opening::Bare),
            ("```python\na\n```", Opening::InThought),
            ("<think>```python\na\n```</think>", Opening::Bare),
            ("<think><answer>a</answer></think>", Opening::Bare),
            ("<answer>a</answer><answer>b</answer>", Opening::Bare),
            ("```python\na\n```\n```python\nb", Opening::Bare),
            ("```python\n\n```", Opening::Bare),
            ("<answer> </answer>", Opening::Bare),
        ] {
            assert!(of(text, opening).is_err(), "{text}");
        }
    }
}
