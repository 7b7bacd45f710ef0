//! Where in a response the program is. It knows tags, fences and the names of languages.

use super::languages::Language;
use crate::parse::tags::{self, Malformed, Opening};
use std::borrow::Cow;

/// The fenced code block of the answer that is the program; the whole of `<answer>` where that has no fence.
///
/// It is the last block of the language that defines `names`, else the last of the language, else the last without
/// one, else the last: neither an example of its use or of its output, nor a line for a shell.
///
/// # Errors
/// Why there is no one program, in words.
pub(super) fn of<'a>(
    text: &'a str,
    opening: Opening,
    language: Language,
    names: &[String],
) -> Result<Cow<'a, str>, String> {
    let tagged = match tags::answer(text, opening) {
        Ok(content) => Some(content),
        Err(Malformed::NoAnswer) => None,
        Err(malformed) => return Err(malformed.to_string()),
    };
    let scope = match tagged {
        Some(content) => content,
        None => behind_thought(text, opening).ok_or("the thought is not closed")?,
    };
    let blocks = blocks(scope).ok_or("the code block is not closed")?;
    match chosen(&blocks, language, names) {
        Some(block) if block.content.trim().is_empty() => Err("the code block is empty".to_owned()),
        Some(block) => Ok(dedented(block)),
        None => tagged
            .filter(|content| !content.trim().is_empty())
            .map(Cow::Borrowed)
            .ok_or_else(|| "no fenced code block in the answer".to_owned()),
    }
}

/// `None` when the text never leaves the thought.
fn behind_thought(text: &str, opening: Opening) -> Option<&str> {
    let end = text.rfind("</think>").map(|at| at + "</think>".len());
    let rest = &text[end.unwrap_or(0)..];
    let is_open = rest.contains("<think>") || (end.is_none() && opening == Opening::InThought);
    (!is_open).then_some(rest)
}

#[derive(Clone, Copy, Debug)]
struct Block<'a> {
    /// The first word behind the opening fence.
    tag: &'a str,
    /// White space in front of the opening fence.
    indent: usize,
    content: &'a str,
}

/// All fenced blocks, or `None` where the last fence opens and nothing closes it. As in CommonMark a fence closes by as
/// many marks as opened it, at most three columns further in, without a word behind them.
fn blocks(text: &str) -> Option<Vec<Block<'_>>> {
    let mut found = Vec::new();
    let mut open: Option<(Fence<'_>, usize)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let fence = Fence::of(line);
        let start = at;
        at += line.len();
        let Some(fence) = fence else { continue };
        match open {
            None => open = Some((fence, at)),
            Some((opening, begin)) if fence.closes(&opening) => {
                let content = &text[begin..start];
                found.push(Block { tag: opening.tag(), indent: opening.indent, content });
                open = None;
            }
            Some(_) => {}
        }
    }
    open.is_none().then_some(found)
}

#[derive(Clone, Copy, Debug)]
struct Fence<'a> {
    indent: usize,
    mark: char,
    marks: usize,
    rest: &'a str,
}

impl<'a> Fence<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let inner = line.trim_start();
        let mark = inner.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
        let rest = inner.trim_start_matches(mark);
        let marks = inner.len() - rest.len();
        // A line of inline code opens nothing.
        let is_fence = marks >= 3 && !(mark == '`' && rest.contains('`'));
        is_fence.then_some(Self { indent: line.len() - inner.len(), mark, marks, rest: rest.trim() })
    }

    fn closes(&self, opening: &Self) -> bool {
        let is_bare = !self.rest.starts_with(|c: char| c.is_alphanumeric() || c == '{');
        self.mark == opening.mark
            && self.marks >= opening.marks
            && self.indent <= opening.indent + 3
            && is_bare
    }

    fn tag(&self) -> &'a str {
        let word = self.rest.trim_start_matches(['{', '.']);
        word.split(|c: char| c.is_whitespace() || matches!(c, '}' | ',' | ':')).next().unwrap_or_default()
    }
}

fn chosen<'b, 'a>(blocks: &'b [Block<'a>], language: Language, names: &[String]) -> Option<&'b Block<'a>> {
    let is_of_language = |block: &&Block<'_>| Language::named(block.tag) == Some(language);
    let is_untagged = |block: &&Block<'_>| block.tag.is_empty();
    let defines = |block: &&Block<'_>| names.iter().any(|name| defines(block.content, name));
    let filled = || blocks.iter().rev().filter(|block| !block.content.trim().is_empty());
    let wanted = || filled().filter(|block| is_of_language(block) && !is_session(block.content));
    let bare = || filled().filter(|block| is_untagged(block) && !is_session(block.content));
    wanted()
        .find(defines)
        .or_else(|| wanted().next())
        .or_else(|| bare().find(defines))
        .or_else(|| bare().find(|block| looks_like_code(block.content)))
        .or_else(|| bare().next())
        .or_else(|| blocks.last())
}

/// Whether a line begins the definition of a name, or assigns to it.
fn defines(content: &str, name: &str) -> bool {
    content.lines().any(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("async ").unwrap_or(line);
        let keyword = line.strip_prefix("def ").or_else(|| line.strip_prefix("class "));
        let behind = keyword.unwrap_or(line).trim_start().strip_prefix(name).unwrap_or_default().trim_start();
        if keyword.is_some() {
            behind.starts_with(['(', ':', '['])
        } else {
            behind.starts_with('=') && !behind.starts_with("==")
        }
    })
}

/// A session of an interpreter or a shell is an example.
fn is_session(content: &str) -> bool {
    let first = content.lines().map(str::trim_start).find(|line| !line.is_empty());
    first.is_some_and(|line| line.starts_with(">>> ") || line.starts_with("$ "))
}

/// Whether a block without a language can be a program: an output of numbers and words cannot.
fn looks_like_code(content: &str) -> bool {
    content.contains(['(', '=', ';']) || content.lines().any(|line| line.trim_end().ends_with(':'))
}

/// The block without its fence's own indentation, as in a list.
fn dedented<'a>(block: &Block<'a>) -> Cow<'a, str> {
    let strip = |line: &'a str| {
        let white = line.len() - line.trim_start_matches([' ', '\t']).len();
        &line[white.min(block.indent)..]
    };
    if block.indent == 0 {
        return Cow::Borrowed(block.content);
    }
    Cow::Owned(block.content.split_inclusive('\n').map(strip).collect())
}

#[cfg(test)]
mod tests {
    use super::of;
    use crate::parse::tags::Opening;
    use crate::verifiers::code::languages::Language;

    fn python(text: &str, opening: Opening) -> Result<String, String> {
        of(text, opening, Language::Python, &[]).map(std::borrow::Cow::into_owned)
    }

    #[test]
    fn the_last_block_behind_the_thought_is_the_program() {
        for (text, program) in [
            ("```python\na\n```", "a\n"),
            ("```\na\n```\nor rather\n```py\nb\n```\ndone", "b\n"),
            ("<think>```python\na\n```</think>\n```python\nb\n```", "b\n"),
            ("<think>t</think><answer>a</answer>", "a"),
            ("```python\na\n```<answer>\n```python\nb\n```\n</answer>", "b\n"),
            ("  ```python\n  a\n  ```", "a\n"),
            ("1. so\n   ```python3\n   if a:\n       b\n   ```", "if a:\n    b\n"),
            ("~~~python\na\n~~~", "a\n"),
            ("````python\n```\na\n```\n````", "```\na\n```\n"),
            ("```{.python}\na\n```", "a\n"),
        ] {
            assert_eq!(python(text, Opening::Bare).as_deref(), Ok(program), "{text}");
        }
        assert_eq!(python("t</think>```\na\n```", Opening::InThought).as_deref(), Ok("a\n"));
    }

    #[test]
    fn examples_outputs_and_shells_are_no_program() {
        let program = "```python\ndef f(x):\n    return x\n```\n";
        for behind in [
            "```bash\npython main.py\n```",
            "```\n3 4\n```",
            "```text\nf(1) = 1\n```",
            "```python\n>>> f(1)\n1\n```",
            "```python\nprint(f(1))\n```",
            "```json\n{\"a\": 1}\n```",
        ] {
            let names = ["f".to_owned()];
            let text = format!("{program}{behind}");
            let found = of(&text, Opening::Bare, Language::Python, &names);
            assert_eq!(found.as_deref(), Ok("def f(x):\n    return x\n"), "{behind}");
        }
        let bare = "```\nprint(1 + 2)\n```\nIt prints\n```\n3\n```";
        assert_eq!(python(bare, Opening::Bare).as_deref(), Ok("print(1 + 2)\n"));
        let inside = "```python\ndef f():\n    \"\"\"\n    ```\n    >>> f()\n    ```\n    \"\"\"\n```";
        assert!(python(inside, Opening::Bare).is_ok_and(|program| program.ends_with("\"\"\"\n")));
    }

    #[test]
    fn a_later_definition_replaces_an_earlier_one() {
        let text = "```python\ndef f(): return 1\n```\nNo:\n```python\ndef f(): return 2\n```";
        let found = of(text, Opening::Bare, Language::Python, &["f".to_owned()]);
        assert_eq!(found.as_deref(), Ok("def f(): return 2\n"));
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
            assert!(python(text, opening).is_err(), "{text}");
        }
    }
}
